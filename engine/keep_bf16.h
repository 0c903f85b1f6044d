#pragma once
/*
 * keep_bf16: which feature maps of a network in bfloat16 are kept in bfloat16.
 *
 * Those that a step can write so and a step can read so (ops/bf16.h), where nothing stands between them that
 * knows only float32; all others stay float32, and who needs them in bfloat16 rounds them as it reads them.
 * Sets bf16 of values. The parts of a concatenation are kept as it is.
 */
#include "base/error.h"
#include "engine/graph.h"

/* The last pass before a graph is lowered. */
int graph_keep_bf16(struct graph *graph, struct error *error);
