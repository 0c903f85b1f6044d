#pragma once
/*
 * batcher: which image is decoded next, which images run next and together, and on which cores.
 *
 * One worker thread for each core that the process has does both: it decodes, or runs what is decoded, so
 * nothing waits for another thread, and there are never more threads at work than cores. Work-conserving: no
 * core is idle beside a waiting image, unless delay_ns was asked for. A worker runs what is decoded once
 * that is as many images as run best together (by the cost table of their model), or nothing is left to
 * decode; else it decodes. A batch is no larger than the time allows that its first image has left, and
 * leaves their share to other free cores. An image that is alone in the server gets all cores (worker 0
 * alone does that, so that one OpenMP team exists). Between models: see lanes.h. All functions are thread
 * safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "server/cost_table.h"

struct batcher;
struct image_job;

/* How many batches for each core may lie decoded: the one after this one. */
#define BATCHER_ROUNDS_AHEAD 2u

struct batcher_options {
        size_t n_models;
        unsigned n_workers; /* and cores, at first; at least 1 */
        size_t max_batch;   /* images */
        uint64_t delay_ns;  /* how long a free worker may wait for a fuller batch */
};

/* Fails with ERROR_NO_MEMORY. */
int batcher_new(struct batcher **ret_batcher, const struct batcher_options *options, struct error *error);
void batcher_free(struct batcher *batcher);
DEFINE_CLEANUP(batcher)

/* From now on so many: 1 to n_workers, others are brought into that range. What works goes on. */
void batcher_set_cores(struct batcher *batcher, unsigned cores);

void batcher_set_costs(struct batcher *batcher, size_t model, const struct cost_table *costs);
struct cost_table batcher_costs(struct batcher *batcher, size_t model);

/* What was measured, see cost_table_set_ratio(). */
void batcher_set_ratio(struct batcher *batcher, size_t model, size_t batch, unsigned threads, double ratio);

/* What a real run took, see cost_table_observe(). Returns what an image costs now, cost_table_image_ms(). */
double batcher_observe(struct batcher *batcher, size_t model, size_t batch, unsigned threads, double ms);

/* An image that is to be decoded. What cannot be queued for want of memory is finished as internal error. */
void batcher_submit(struct batcher *batcher, struct image_job *job);

enum work_kind {
        WORK_NONE,
        WORK_DECODE, /* jobs[0] */
        WORK_RUN,    /* all jobs, as one batch */
        WORK_CALL,   /* call(argument); worker 0 only */
};

struct work {
        enum work_kind kind;
        struct image_job **jobs; /* room for max_batch, the caller's */
        size_t n_jobs;           /* after WORK_DECODE set to 0 where that failed and the job is finished */
        size_t model;
        unsigned threads;
        void (*call)(void *argument);
        void *argument;
};

/* Ends the work that this worker was given last (WORK_NONE at first) and waits for more. Images that are
 * dropped are finished here. False once stopped and nothing is left. */
bool batcher_next(struct batcher *batcher, unsigned worker, struct work *work);

/* Finishes what waits and is not worth going on with: clients may have left. */
void batcher_sweep(struct batcher *batcher);

/* Runs call(argument) on worker 0 and waits for it. False, and not called, once stopped. */
bool batcher_call(struct batcher *batcher, void (*call)(void *argument), void *argument);

/* No more images come; what is queued is still given out. */
void batcher_stop(struct batcher *batcher);

struct batcher_load {
        size_t waiting_images;  /* decoded, not taken */
        size_t expected_images; /* not decoded yet */
        unsigned busy_cores, cores;
};
struct batcher_load batcher_load(struct batcher *batcher);
