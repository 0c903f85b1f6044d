#pragma once
/*
 * weights: constants packed for kernels, once a model and layout, shared by all its plans.
 *
 * Guarded by a lock of its own; what was handed out stays until weights_free().
 */
#include <stddef.h>

#include "base/error.h"
#include "engine/kernel.h"

struct weights;

int weights_new(struct weights **ret_weights, struct error *error);
void weights_free(struct weights *weights);
DEFINE_CLEANUP(weights)

/* Bytes of tensor, seen as the layout as, in the layout want. The tensor must stay as long as the weights.
 */
int weights_pack(struct weights *weights, const struct tensor *tensor, const struct layout *as,
                 const struct layout *want, const void **ret_bytes, struct error *error);

/* What all packed copies take. */
size_t weights_bytes(struct weights *weights);
