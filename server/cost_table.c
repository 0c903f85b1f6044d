#include "server/cost_table.h"

#include <math.h>
#include <stdint.h>

#include "base/macros.h"

#define AVERAGE   8.0
#define DRIFT     64.0
#define MOST_SLOW 8.0

static struct cost_row *find(struct cost_table *table, size_t batch, unsigned threads) {
        for (size_t i = 0; i < table->n_rows; i++)
                if (table->rows[i].batch == batch && table->rows[i].threads == threads)
                        return &table->rows[i];
        return NULL;
}

bool cost_table_set(struct cost_table *table, size_t batch, unsigned threads, double ms) {
        struct cost_row *row = find(table, batch, threads);

        if (!row) {
                if (table->n_rows == ARRAY_SIZE(table->rows))
                        return false;
                row = &table->rows[table->n_rows++];
        }
        *row = (struct cost_row){batch, threads, ms, ms};
        return true;
}

bool cost_table_set_ratio(struct cost_table *table, size_t batch, unsigned threads, double ratio) {
        const struct cost_row *one = find(table, 1, 1);
        double ms, first_ms;

        if (!one)
                return false;
        ms = one->ms * ratio;
        first_ms = one->first_ms * ratio;
        if (!cost_table_set(table, batch, threads, ms))
                return false;
        find(table, batch, threads)->first_ms = first_ms;
        return true;
}

void cost_table_observe(struct cost_table *table, size_t batch, unsigned threads, double ms) {
        struct cost_row *ran = find(table, batch, threads);
        double slowdown;

        if (!ran)
                return;
        ran->ms += (fmin(ms, MOST_SLOW * ran->ms) - ran->ms) / AVERAGE;
        slowdown = ran->ms / ran->first_ms;
        for (size_t i = 0; i < table->n_rows; i++) {
                struct cost_row *row = &table->rows[i];

                if (row != ran && row->threads == threads)
                        row->ms += (row->first_ms * slowdown - row->ms) / DRIFT;
        }
}

double cost_table_ms(const struct cost_table *table, size_t batch, unsigned threads) {
        for (size_t i = 0; i < table->n_rows; i++)
                if (table->rows[i].batch == batch && table->rows[i].threads == threads)
                        return table->rows[i].ms;
        return 0;
}

bool cost_table_pays(const struct cost_table *table, size_t batch, double ms) {
        for (size_t i = 0; i < table->n_rows; i++) {
                const struct cost_row *row = &table->rows[i];

                if (row->threads == 1 && row->batch < batch &&
                    ms / (double)batch > row->ms / (double)row->batch * (1 - COST_TABLE_GAIN))
                        return false;
        }
        return true;
}

static const struct cost_row *best_row(const struct cost_table *table, size_t limit, double within_ms) {
        const struct cost_row *best = NULL;

        for (size_t i = 0; i < table->n_rows; i++) {
                const struct cost_row *row = &table->rows[i];

                if (row->threads != 1 || row->batch > limit || row->ms > within_ms)
                        continue;
                if (!best || row->ms / (double)row->batch < best->ms / (double)best->batch)
                        best = row;
        }
        return best;
}

size_t cost_table_batch(const struct cost_table *table, size_t limit, double within_ms) {
        const struct cost_row *best = best_row(table, limit, within_ms);

        return best ? best->batch : 1;
}

double cost_table_image_ms(const struct cost_table *table) {
        const struct cost_row *best = best_row(table, SIZE_MAX, INFINITY);

        return best ? best->ms / (double)best->batch : 0;
}

unsigned cost_table_threads(const struct cost_table *table, unsigned limit) {
        const struct cost_row *best = NULL;

        for (size_t i = 0; i < table->n_rows; i++) {
                const struct cost_row *row = &table->rows[i];

                if (row->batch == 1 && row->threads <= limit && (!best || row->ms < best->ms))
                        best = row;
        }
        return best ? best->threads : 1;
}
