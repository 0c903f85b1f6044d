#pragma once
/*
 * runner: a network over many pictures, one picture a thread at a time.
 *
 * One image at a time and one thread each, so that the results do not depend on how many CPUs there are.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "engine/model.h"
#include "engine/plan.h"
#include "quantize/parallel.h"
#include "quantize/pictures.h"

/* What the network gave for picture index: output float32 [classes]; run has the watched values. Called by
 * the threads of parallel, one picture each at a time. */
struct runner_visitor {
        int (*visit)(void *context, unsigned thread, size_t index, const struct run *run,
                     const float *output, struct error *error);
        void *context;
};

/* Every step-th picture. as_defined: convolutions without Winograd's form (struct plan_options). */
int runner_run(struct model *model, const struct pictures *pictures, size_t step, bool as_defined,
               const struct parallel *parallel, const struct runner_visitor *visitor, struct error *error);

/* ret_outputs: float32 [n, classes] for every step-th picture. */
int runner_outputs(float *ret_outputs, struct model *model, const struct pictures *pictures, size_t step,
                   bool as_defined, const struct parallel *parallel, struct error *error);
