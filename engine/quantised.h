#pragma once
/*
 * quantised: networks whose files say how they are quantised, as QuantizeLinear and DequantizeLinear around
 * operators on reals, or as operators on integers (QLinearConv and its like).
 */
#include <stdbool.h>

#include "base/error.h"
#include "engine/graph.h"

/* Has a graph, as read, any such operator? */
bool graph_is_quantised(const struct graph *graph);

/*
 * Takes operators on integers apart. To be called once constants are folded, but for DequantizeLinear where
 * integer steps are to be made of it.
 */
int graph_quantised_expand(struct graph *graph, struct error *error);

/* What integers a plan computes on stays (fuse_quantised.h): weights under a DequantizeWeights, which is
 * never folded; what steps on integers have no form for is rounded in float32. */
int graph_quantised_keep(struct graph *graph, struct error *error);

/* What still quantises becomes steps on float32 that round as integers would: each pair a FakeQuantize. */
int graph_quantised_to_float(struct graph *graph, struct error *error);
