#pragma once
/*
 * image_job: one image on its way through decode pool, batcher and worker.
 *
 * Owned by whoever created it; between its submission and done() it belongs to the stage that holds it, and
 * only that stage touches it. Times are clock_ns().
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/classify.h"
#include "proto/problem.h"
#include "server/admission.h"
#include "server/metrics.h"

struct backend;
struct image_job;

struct image_job_ops {
        /* The image leaves the queue: a worker takes it, or it is dropped. Exactly once, before done(). */
        void (*dequeued)(struct image_job *job);
        /* The outcome is set; the job may be freed from here on. Exactly once, on any thread. */
        void (*done)(struct image_job *job);
};

struct image_job {
        const struct image_job_ops *ops;
        void *owner;
        struct image_job *next;      /* for lists of the stage that holds it */
        const atomic_bool *gone;     /* its client has left */
        const atomic_bool *stopping; /* the server gives up what is queued */

        const unsigned char *bytes; /* the file, borrowed */
        size_t size;
        size_t model;            /* the slot, for the queue and the metrics */
        struct backend *backend; /* what it runs on: the owner keeps it until done() */
        size_t top_k;
        uint64_t deadline_ns;
        uint64_t
                order_ns; /* its place among others: the deadline, later for the later images of a request */
        uint64_t sequence;          /* set by the queues: equals stay in order of arrival */
        struct admission_cost cost; /* as expected */

        unsigned char *pixels;                   /* [H, W, 3], from decode to infer */
        struct classify_prediction *predictions; /* [top_k] room, the owner's */
        size_t n_predictions;

        enum metrics_outcome outcome;
        struct problem problem; /* unless METRICS_OUTCOME_OK */
        size_t width, height;   /* 0 until decoded */
        size_t batch_size;      /* images that ran together */

        uint64_t queued_ns, decode_start_ns, decode_end_ns, infer_start_ns,
                infer_end_ns; /* 0: not reached */
};

/* True where the job is not worth going on with: sets outcome and problem then. */
bool image_job_dropped(struct image_job *job, uint64_t now_ns);

/* Gives back the memory of pixels that it may hold. */
void image_job_drop_pixels(struct image_job *job);

/* dequeued() and done() with the outcome that is set. */
void image_job_finish(struct image_job *job);
