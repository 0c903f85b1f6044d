#pragma once
/*
 * fuse_quantised: steps on integers out of what a specialised graph quantises.
 *
 * The graph has come from graph_quantised_keep(): integers are made by QuantizeLinear and read by
 * DequantizeLinear with the same parameters, weights are integers under DequantizeWeights. What lies between
 * a DequantizeLinear and a QuantizeLinear becomes one step on integers where there is a kernel for it
 * ("QConv", "QAdd", ...; operator.c lists them); elsewhere it stays in float32, between Dequantize and
 * Quantize. Values that are quantised are uint8, int8 ones around 128, and say what they mean (struct
 * quantisation).
 */
#include <stdbool.h>

#include "base/error.h"
#include "engine/graph.h"

/* Products with constant weights. Before graph_fuse(), which gives them activations and sums. */
int graph_quantise_products(struct graph *graph, struct error *error);

/* All else, and results of products as integers. After graph_fuse(). */
int graph_quantise_rest(struct graph *graph, struct error *error);

/* Does node give the same bytes another shape, of data that lies row-major? */
bool fuse_quantised_is_view(const struct node *node);
