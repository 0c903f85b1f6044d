#pragma once
/*
 * fuse_rows: patterns of transformers that work on rows, the last dimension of a value.
 *
 * What exporters write out becomes LayerNorm, GeluErf and InnerProduct (operator.c), which are one step
 * each.
 */
#include "base/error.h"
#include "engine/graph.h"

/* On a specialised graph. */
int graph_fuse_rows(struct graph *graph, struct error *error);
