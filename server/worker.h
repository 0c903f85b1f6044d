#pragma once
/*
 * worker: threads that decode images and run the models on them, as the batcher tells them.
 *
 * Worker 0 also does what batcher_call() asks, since it is the only one that may form an OpenMP team.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"

struct admission;
struct batcher;
struct metrics;
struct worker_pool;

struct worker_options {
        unsigned n_workers;
        size_t max_batch;
        size_t max_pixels;       /* of an image */
        bool exact;              /* no DCT scaling */
        struct batcher *batcher; /* all outlive the pool */
        struct admission *admission;
        struct metrics *metrics;
};

/* Fails with ERROR_NO_MEMORY or ERROR_IO (no thread). */
int worker_pool_new(struct worker_pool **ret_pool, const struct worker_options *options,
                    struct error *error);

/* Waits for the threads, which end after batcher_stop(). */
void worker_pool_free(struct worker_pool *pool);
DEFINE_CLEANUP(worker_pool)
