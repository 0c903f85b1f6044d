#pragma once
/*
 * backend: a loaded model with its plans, for all workers. The registry says which one is served.
 *
 * One thread, the loader, opens it, adds plans and replaces them by better ones, while the workers may
 * execute those that were kept before. Each worker has a run of its own for each plan. A plan that was
 * replaced goes once no worker holds it: each holds the one that it executed last.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/model.h"
#include "server/server.h"

struct backend;

/* What plans are made with. */
struct backend_options {
        unsigned n_workers;
        bool no_winograd;
        enum precision precision;
};

/* Fails with the errors of model_open(). */
int backend_open(struct backend **ret_backend, const struct server_model *source,
                 const struct backend_options *options, struct error *error);
void backend_free(struct backend *backend);
DEFINE_CLEANUP(backend)

/* Builds the plan for batch and threads as a candidate, in place of the last one, by what was measured;
 * tuning is borrowed for the call. Fails with the errors of plan_new(), and with ERROR_LIMIT when there are
 * too many plans. */
int backend_plan(struct backend *backend, size_t batch, unsigned threads, struct tuning *tuning,
                 struct error *error);

/* Keeps the candidate, in place of an older one for as many images and threads: gives each worker what it
 * needs to run it, only worker 0 where threads > 1. Fails with the errors of run_new(). */
int backend_keep(struct backend *backend, struct error *error);
void backend_discard(struct backend *backend);

/* Least milliseconds of repeat runs on neutral pixels, after one to warm up, in memory of its own: workers
 * may use the plan at the same time. For more than one thread, call it on worker 0's thread. */
int backend_measure(struct backend *backend, size_t batch, unsigned threads, unsigned repeat, double *ret_ms,
                    struct error *error);

/* What the plan for batch and threads, the candidate or one that was kept, takes beside one image on one
 * thread: the quotient of the least times of n_pairs runs of both by turns, so that load which comes and
 * goes meets both. As backend_measure() otherwise. Fails early, with ERROR_INTERNAL, once *stop is set. */
int backend_compare(struct backend *backend, size_t batch, unsigned threads, unsigned n_pairs,
                    const atomic_bool *stop, double *ret_ratio, struct error *error);

/* Runs one image [H, W, 3] on the plan for one thread, on the calling thread and in memory of its own:
 * probabilities [classes], see plan_probabilities(). */
int backend_try(struct backend *backend, const unsigned char *pixels, float *probabilities,
                struct error *error);

const struct model *backend_model(const struct backend *backend);
struct model *backend_model_to_tune(struct backend *backend); /* for tuner_run() */
size_t backend_pixels_bytes(const struct backend *backend);   /* of one image, [H, W, 3] */

/* The labels as the proto layer wants them, model_n_classes() strings; NULL where the model has none. */
const char *const *backend_labels(const struct backend *backend);

/* Whether workers have a plan for batch images on one thread. */
bool backend_has_batch(struct backend *backend, size_t batch);

/* Room for a batch, [N, H, W, 3], this worker's own until it executes that; NULL where there is no such
 * plan. */
unsigned char *backend_input(struct backend *backend, unsigned worker, size_t batch);

/* Runs pixels [N, H, W, 3]. *ret_output is [N, classes], the worker's own until its next run. */
int backend_execute(struct backend *backend, unsigned worker, size_t batch, unsigned threads,
                    const unsigned char *pixels, const float **ret_output, struct error *error);

/* output of one image that worker has executed -> probabilities [classes], see plan_probabilities(). */
void backend_probabilities(const struct backend *backend, unsigned worker, const float *output,
                           float *probabilities);
