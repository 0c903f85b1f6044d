#pragma once
/*
 * independence: does a network answer for each image of a batch as for that image alone?
 *
 * Almost all do; then threads may share a batch out among themselves. A Softmax over the batch, a mean over
 * it, or a constant that has other numbers for each place in the batch make the images depend on each other.
 */
#include <stdbool.h>

#include "base/error.h"
#include "engine/graph.h"

/* The axis of the images is followed from the input to the output; an operator that this does not know
 * counts as dependence. graph: specialised for a batch of at least 2, not fused. Fails with ERROR_NO_MEMORY.
 */
int graph_is_independent(bool *ret_independent, const struct graph *graph, size_t batch,
                         struct error *error);
