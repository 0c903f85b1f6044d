#pragma once
/*
 * cost_table: measured milliseconds of one run of a model, by batch size and threads.
 *
 * Plain values; whoever shares a table guards it. Only what is worth using is in it: a batch that is no
 * faster for each image than a smaller one only adds waiting.
 */
#include <stdbool.h>
#include <stddef.h>

struct cost_row {
        size_t batch; /* images */
        unsigned threads;
        double ms; /* of the whole batch */
};

#define COST_TABLE_MAX_ROWS 16u /* 1, 2, 4, ... 1024 with one thread, 1 with all, and some to spare */

/* A batch must beat the best smaller one by this much for each image; less than that is noise, while a
 * larger batch takes memory and makes its first image wait for its last. */
#define COST_TABLE_GAIN 0.10

struct cost_table {
        struct cost_row rows[COST_TABLE_MAX_ROWS];
        size_t n_rows;
};

/* Adds or replaces. False where the table is full. */
bool cost_table_set(struct cost_table *table, size_t batch, unsigned threads, double ms);

/* Milliseconds, or 0 where it was not measured. */
double cost_table_ms(const struct cost_table *table, size_t batch, unsigned threads);

/* Whether ms for batch on one thread gains COST_TABLE_GAIN over every smaller batch in the table. */
bool cost_table_pays(const struct cost_table *table, size_t batch, double ms);

/* The largest batch on one thread that is at most limit; at least 1. */
size_t cost_table_batch(const struct cost_table *table, size_t limit);

/* The thread count that is fastest for one image alone. */
unsigned cost_table_threads(const struct cost_table *table);
