#pragma once
/*
 * cost_table: milliseconds of one run of a model, by batch size and threads.
 *
 * A row begins with what was measured when the model was loaded, and follows what real runs take: a
 * neighbour on the CPUs, a quota, a throttled clock. A batch that is not run for a while drifts to what it
 * took at first times the slowdown that those which run have, so that no batch is judged for ever by one bad
 * moment. Plain values; whoever shares a table guards it. Only what is worth using is in it: a batch that is
 * no faster for each image than a smaller one only adds waiting.
 */
#include <stdbool.h>
#include <stddef.h>

struct cost_row {
        size_t batch; /* images */
        unsigned threads;
        double ms;       /* of the whole batch, as things are now */
        double first_ms; /* as measured at load */
};

#define COST_TABLE_MAX_ROWS 16u /* 1, 2, 4, ... 1024 with one thread, 1 with all, and some to spare */

/* A batch must beat the best smaller one by this much for each image; less than that is noise, while a
 * larger batch takes memory and makes its first image wait for its last. */
#define COST_TABLE_GAIN 0.10

struct cost_table {
        struct cost_row rows[COST_TABLE_MAX_ROWS];
        size_t n_rows;
};

/* Adds or replaces what was measured. False where the table is full. */
bool cost_table_set(struct cost_table *table, size_t batch, unsigned threads, double ms);

/* The same for what takes ratio times as long as one image on one thread does; false also where that is not
 * known. */
bool cost_table_set_ratio(struct cost_table *table, size_t batch, unsigned threads, double ratio);

/* A real run took ms: a moving average (1/8 of each new value); other rows of as many threads drift by 1/64.
 * What lies beyond 8 times the estimate counts as that: a process that was stopped is no slow run. */
void cost_table_observe(struct cost_table *table, size_t batch, unsigned threads, double ms);

/* Milliseconds, or 0 where it was not measured. */
double cost_table_ms(const struct cost_table *table, size_t batch, unsigned threads);

/* Whether ms for batch on one thread gains COST_TABLE_GAIN over every smaller batch in the table. */
bool cost_table_pays(const struct cost_table *table, size_t batch, double ms);

/* The batch on one thread with the least milliseconds an image, of those that are at most limit images and
 * at most within_ms long; at least 1. */
size_t cost_table_batch(const struct cost_table *table, size_t limit, double within_ms);

/* Milliseconds an image of the batch that cost_table_batch() gives without a limit; 0 for an empty table. */
double cost_table_image_ms(const struct cost_table *table);

/* The thread count that is fastest for one image alone, of those that are at most limit; at least 1. */
unsigned cost_table_threads(const struct cost_table *table, unsigned limit);
