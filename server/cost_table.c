#include "server/cost_table.h"

#include "base/macros.h"

bool cost_table_set(struct cost_table *table, size_t batch, unsigned threads, double ms) {
        size_t i = 0;

        while (i < table->n_rows && (table->rows[i].batch != batch || table->rows[i].threads != threads))
                i++;
        if (i == ARRAY_SIZE(table->rows))
                return false;
        table->rows[i] = (struct cost_row){batch, threads, ms};
        table->n_rows = MAX(table->n_rows, i + 1);
        return true;
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

size_t cost_table_batch(const struct cost_table *table, size_t limit) {
        size_t best = 1;

        for (size_t i = 0; i < table->n_rows; i++) {
                const struct cost_row *row = &table->rows[i];

                if (row->threads == 1 && row->batch <= limit && row->batch > best)
                        best = row->batch;
        }
        return best;
}

unsigned cost_table_threads(const struct cost_table *table) {
        const struct cost_row *best = NULL;

        for (size_t i = 0; i < table->n_rows; i++) {
                const struct cost_row *row = &table->rows[i];

                if (row->batch == 1 && (!best || row->ms < best->ms))
                        best = row;
        }
        return best ? best->threads : 1;
}
