#pragma once
/*
 * fuse: patterns of several nodes that one kernel runs, in a specialised graph.
 *
 * Pad into Conv and pools, activations and residual Add into Conv and Gemm as post-ops, Sigmoid and Mul into
 * Silu, MatMul and Add into Gemm. Weights are not touched, so that all specialisations of a model share
 * them.
 */
#include "base/error.h"
#include "engine/graph.h"

int graph_fuse(struct graph *graph, struct error *error);
