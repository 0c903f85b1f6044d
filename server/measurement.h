#pragma once
/*
 * measurement: what a served model costs, and which of its plans are worth keeping.
 *
 * First what every request needs: one image on one thread, and alone on all. Then, step by step beside
 * serving, better kernels and larger batches; those that do not pay are freed again. For one backend, on the
 * loader's thread; what teams of threads do runs on worker 0.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "server/cost_table.h"

struct backend;
struct context;
struct tuning;

struct measurement {
        struct context *context; /* all are borrowed */
        size_t slot;             /* whose costs the batcher is told */
        struct backend *backend;
        struct tuning *tuning;
        const atomic_bool *stop; /* set from elsewhere: give up soon */
        /* What is left to do beside serving. */
        bool to_look, to_tune;
        size_t next_batch; /* 0: none */
        unsigned n_failures;
};

/* Plans for one image, and their costs in *ret_costs. With beside_serving there is time to run them warm on
 * all CPUs too. Fails with the errors of plan_new(). */
int measurement_basics(struct measurement *measurement, bool beside_serving, struct cost_table *ret_costs,
                       struct error *error);

/* All that is to be done beside serving is to be done (again). */
void measurement_begin(struct measurement *measurement);

/* Whether measurement_look() or measurement_step() has something to do. */
bool measurement_is_pending(const struct measurement *measurement);

/* Looks at the basics again, with more patience than there was before the server was ready. What *stop ended
 * is still to be done, here and below. */
void measurement_look(struct measurement *measurement);

/* Tunes, or tries the next batch. */
void measurement_step(struct measurement *measurement);
