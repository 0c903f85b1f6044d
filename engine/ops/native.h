#pragma once
/* native: what operators need to become a step of own code on row-major float32 data. */
#include "engine/ops/families.h"
#include "engine/ops/strided.h"

#define NATIVE_MAX_INPUTS  8u
#define NATIVE_MAX_OUTPUTS 3u

struct native {
        const char *name; /* "native:pad" */
        kernel_native *function;
        const void *params; /* copied */
        size_t params_bytes;
        size_t inputs[NATIVE_MAX_INPUTS]; /* of the node, in the order of addresses; outputs come after them
                                           */
        size_t n_inputs;
        size_t outputs[NATIVE_MAX_OUTPUTS];
        size_t n_outputs;
        double flop;
};

/* Emits the step and defines the outputs. Constants of other types are given in float32. Fails with
 * ERROR_UNSUPPORTED where data is not float32 or is empty. */
int native_lower(struct lowering *lowering, const struct node *node, const struct native *native,
                 struct error *error);

/* output of node as a copy of its input 0, walked as strided says: folded, and as a step. */
int strided_fold(struct tensor **ret_tensor, const struct graph *graph, const struct node *node,
                 size_t output, const struct strided *strided, struct error *error);
int strided_lower(struct lowering *lowering, const struct node *node, size_t output,
                  const struct strided *strided, struct error *error);

/* Folding makes constants; a model has no use for larger ones. Fails with ERROR_LIMIT. */
#define FOLD_MAX_ELEMENTS ((size_t)1 << 24)
int fold_check(const struct shape *shape, struct error *error);

/* For what works more than in proportion to its inputs and outputs: 20,000 nodes of it take a second. */
#define FOLD_MAX_OPERATIONS 1e4
