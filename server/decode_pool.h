#pragma once
/*
 * decode_pool: threads that turn image files into pixels and hand them to the batcher.
 *
 * Images are decoded in order of deadline, and not far ahead of the workers. Thread safe.
 */
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/image/preprocess.h"

struct admission;
struct batcher;
struct decode_pool;
struct image_job;

struct decode_pool_options {
        unsigned n_threads;
        size_t max_pixels;
        bool exact;
        struct admission *admission; /* these two outlive the pool */
        struct batcher *batcher;
        size_t n_models;
};

/* Fails with ERROR_NO_MEMORY or ERROR_IO (no thread). */
int decode_pool_new(struct decode_pool **ret_pool, const struct decode_pool_options *options,
                    struct error *error);

/* Finishes what is queued, then ends the threads. */
void decode_pool_free(struct decode_pool *pool);
DEFINE_CLEANUP(decode_pool)

/* Before any job for that model. The preprocess is borrowed. */
void decode_pool_set_model(struct decode_pool *pool, size_t model, const struct preprocess *preprocess);

/* The job is the pool's, and after it the batcher's, until its done(). */
void decode_pool_put(struct decode_pool *pool, struct image_job *job);

/* For done(): gives back the memory of pixels that a job may hold. */
void decode_pool_drop_pixels(struct image_job *job);
