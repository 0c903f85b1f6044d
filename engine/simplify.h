#pragma once
/*
 * simplify: rewrites that hold for every input shape, done once a model.
 *
 * Constants are folded, Identity and Dropout vanish, BatchNormalization goes into the convolution before it
 * or becomes a scale and shift, factors of Gemm go into its matrices.
 */
#include "base/error.h"
#include "engine/graph.h"
#include "engine/precision.h"

/* precision: PRECISION_INT8 makes integer steps of what the file quantises (quantised.h); any other keeps it
 * in float32. */
int graph_simplify(struct graph *graph, enum precision precision, struct error *error);

/* Replaces the first output of a node by a constant where all its inputs are, and kills the node. Also for a
 * Shape of which only the shape is known. *ret_folded tells. */
int graph_fold_node(struct graph *graph, struct node *node, bool *ret_folded, struct error *error);

/* Prefixes "node 'conv1': Conv". */
int node_error(struct error *error, int code, const struct node *node);
