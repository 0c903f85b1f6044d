#pragma once
/*
 * weights: constants packed for kernels, once a model and layout, shared by all its plans.
 *
 * Guarded by a lock of its own. What is folded anew for each plan is packed anew, and stays until
 * weights_free().
 */
#include <stddef.h>

#include "base/error.h"
#include "engine/kernel.h"

struct weights;

int weights_new(struct weights **ret_weights, struct error *error);
void weights_free(struct weights *weights);
DEFINE_CLEANUP(weights)

/* Bytes of tensor, seen as the layout as, in the layout want. The bytes stay as long as both the weights and
 * the tensor; weights keep a reference to what they had to pack. */
int weights_pack(struct weights *weights, struct tensor *tensor, const struct layout *as,
                 const struct layout *want, const void **ret_bytes, struct error *error);

/* What all packed copies take. */
size_t weights_bytes(struct weights *weights);
