#pragma once
/*
 * draft: a model on the way to be served: opened, identified, planned, run warm, and held to its golden
 * answers. Nothing of it is seen by anybody but the loader's thread, and it may be thrown away at any point.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "server/cost_table.h"
#include "server/metrics.h"

struct backend;
struct context;
struct tuning;

struct draft {
        struct backend *backend;
        struct tuning *tuning; /* for its version; NULL: that of the options is for it too */
        struct cost_table costs;
        size_t n_golden_images;
};

struct draft_options {
        struct context *context;
        size_t slot;
        bool beside_serving;   /* there is time for a better look than before the server is ready */
        struct tuning *tuning; /* what was measured for tuning_version, the version before; or NULL */
        const char *tuning_version;
        const atomic_bool *stop;
};

/* *draft, all zero before, is to be released also where this fails. *ret_load: how far it came. Fails with
 * the errors of model_open(), plan_new() and model_check(). */
int draft_make(struct draft *draft, const struct draft_options *options, enum metrics_load *ret_load,
               struct error *error);

/* Frees what was not taken out of it. */
void draft_release(struct draft *draft);
