#pragma once
/*
 * keeping_cost: an estimate of the time that layers in float32 cost, without measuring.
 *
 * Not measured, so that a busy machine makes the same file. A layer in float32 costs what its
 * multiplications cost beyond those of integers, and each value that goes between integers and float32 costs
 * its conversion: so a layer beside one that is kept already costs less than one in the middle of others.
 */
#include <stdbool.h>

#include "base/error.h"
#include "engine/graph.h"

/* ret_cost: about the multiplications of a convolution in the same time. kept: one a node. shapes: a clone
 * of graph with shapes for one image. Fails with ERROR_NO_MEMORY. */
int keeping_cost(double *ret_cost, const struct graph *graph, const struct graph *shapes, const bool *kept,
                 struct error *error);
