#pragma once
/*
 * batcher: decoded images wait here for a worker, in order of deadline.
 *
 * Work-conserving: a free worker never waits beside a waiting image, unless delay_ns was asked for. How many
 * images a worker takes, and how many threads it uses, comes from the cost table of their model: the largest
 * batch that was measured to be worth it and that leaves its share to the other free workers; all CPUs for
 * an image that is alone in the server (only worker 0 does that, so that one OpenMP team exists).
 * All functions are thread safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "server/cost_table.h"

struct batcher;
struct image_job;

struct batcher_options {
        size_t n_models;
        unsigned n_workers;
        size_t max_batch;  /* images */
        uint64_t delay_ns; /* how long a free worker may wait for a fuller batch */
};

/* Fails with ERROR_NO_MEMORY. */
int batcher_new(struct batcher **ret_batcher, const struct batcher_options *options, struct error *error);
void batcher_free(struct batcher *batcher);
DEFINE_CLEANUP(batcher)

void batcher_set_costs(struct batcher *batcher, size_t model, const struct cost_table *costs);
struct cost_table batcher_costs(struct batcher *batcher, size_t model);

/* An image is on its way: it will either be put, or given up by batcher_unexpect(). */
void batcher_expect(struct batcher *batcher);
void batcher_unexpect(struct batcher *batcher);

/* Takes an expected image. What cannot be queued for want of memory is finished as internal error. */
void batcher_put(struct batcher *batcher, struct image_job *job);

/* Waits until decoded images are few enough that more are wanted: decoding far ahead takes CPUs from the
 * workers and holds memory. False once stopped. */
bool batcher_wait_room(struct batcher *batcher);

struct batch {
        struct image_job **jobs; /* room for max_batch, the caller's */
        size_t n_jobs;
        size_t model;
        unsigned threads;
        void (*call)(void *argument); /* not NULL: call it instead; worker 0 only */
        void *argument;
};

/* Waits for work for this worker. Images that are dropped are finished here. False once stopped and empty.
 * After the work is done, batcher_release() must follow. */
bool batcher_take(struct batcher *batcher, unsigned worker, struct batch *batch);
void batcher_release(struct batcher *batcher, unsigned worker);

/* Runs call(argument) on worker 0 and waits for it. False, and not called, once stopped. */
bool batcher_call(struct batcher *batcher, void (*call)(void *argument), void *argument);

/* No more images come; batcher_take() returns false when none wait. */
void batcher_stop(struct batcher *batcher);

struct batcher_load {
        size_t waiting_images;  /* decoded, not taken */
        size_t expected_images; /* not decoded yet */
        unsigned busy_threads, n_workers;
};
struct batcher_load batcher_load(struct batcher *batcher);
