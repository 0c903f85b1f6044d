#pragma once
/* specialise: a graph for one input shape. */
#include "base/error.h"
#include "engine/graph.h"

/* Sets the input's shape, infers all others, folds what became constant (shape arithmetic). The graph is a
 * clone for this shape. Errors name the node. */
int graph_specialise(struct graph *graph, const struct shape *input, struct error *error);

/* The same where the shapes of all inputs are set already. */
int graph_infer(struct graph *graph, struct error *error);
