#pragma once
/*
 * metrics_store: how the counts lie in memory. For metrics.c, which records them, and metrics_text.c, which
 * prints them, alone.
 *
 * A shard is an array of cells; a histogram is a run of them: a count for each bucket, not cumulative, one
 * more for what is above all bounds, and the sum. Durations are nanoseconds. Each bucket of durations has an
 * exemplar, which all shards share.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/utf8.h"
#include "server/exemplar.h"
#include "server/metrics.h"

#define METRICS_N_SHARDS          16u /* threads beyond that share one */
#define METRICS_N_CODES           20u
#define METRICS_N_DURATION_BOUNDS 31u
#define METRICS_N_BATCH_BOUNDS    11u

#define METRICS_DURATION_CELLS    (METRICS_N_DURATION_BOUNDS + 2)
#define METRICS_BATCH_CELLS       (METRICS_N_BATCH_BOUNDS + 2)
#define METRICS_DURATION_BUCKETS  (METRICS_N_DURATION_BOUNDS + 1)

extern const unsigned metrics_codes[METRICS_N_CODES];
extern const uint64_t metrics_duration_bounds_ns[METRICS_N_DURATION_BOUNDS];
extern const uint64_t metrics_batch_bounds[METRICS_N_BATCH_BOUNDS];

struct metrics_model {
        bool known, is_loaded, last_load_failed;
        char name[METRICS_MODEL_NAME_MAX * UTF8_REPAIR_FACTOR + 1];
        char version[32], precision[16];
};

struct metrics {
        struct metrics_options options;
        _Atomic unsigned next_shard;
        size_t n_cells;          /* of one shard, a multiple of a cache line */
        _Atomic uint64_t *cells; /* [METRICS_N_SHARDS, n_cells] */
        struct exemplar
                *exemplars; /* [n_handlers + n_models * METRICS_STAGE_MAX, METRICS_DURATION_BUCKETS] */
        pthread_mutex_t models_lock;  /* guards what follows */
        struct metrics_model *models; /* [n_models] */

        /* Where each family begins in a shard. */
        size_t requests;          /* [n_handlers, METRICS_N_CODES] */
        size_t request_durations; /* [n_handlers, METRICS_DURATION_CELLS] */
        size_t images;            /* [n_models, METRICS_OUTCOME_MAX] */
        size_t loads;             /* [n_models, METRICS_LOAD_MAX] */
        size_t stages;            /* [n_models, METRICS_STAGE_MAX, METRICS_DURATION_CELLS] */
        size_t batches;           /* [n_models, METRICS_BATCH_CELLS] */
        size_t sheds;             /* [METRICS_SHED_MAX] */
        size_t slow_requests;
};

/* A cell summed over the shards. */
static inline uint64_t metrics_total(const struct metrics *metrics, size_t cell) {
        uint64_t sum = 0;

        for (size_t shard = 0; shard < METRICS_N_SHARDS; shard++)
                sum += atomic_load_explicit(&metrics->cells[shard * metrics->n_cells + cell],
                                            memory_order_relaxed);
        return sum;
}

/* The first cell and the first exemplar of a stage's or a handler's histogram. */
static inline size_t metrics_stage_cell(const struct metrics *metrics, size_t model, size_t stage) {
        return metrics->stages + (model * METRICS_STAGE_MAX + stage) * METRICS_DURATION_CELLS;
}

static inline size_t metrics_request_cell(const struct metrics *metrics, size_t handler) {
        return metrics->request_durations + handler * METRICS_DURATION_CELLS;
}

static inline struct exemplar *metrics_stage_exemplars(const struct metrics *metrics, size_t model,
                                                       size_t stage) {
        return metrics->exemplars +
               (metrics->options.n_handlers + model * METRICS_STAGE_MAX + stage) * METRICS_DURATION_BUCKETS;
}

static inline struct exemplar *metrics_request_exemplars(const struct metrics *metrics, size_t handler) {
        return metrics->exemplars + handler * METRICS_DURATION_BUCKETS;
}
