#pragma once
/* graph_maker: small graphs written by hand, as onnx_read() would give them. Failures are the test's. */
#include "engine/graph.h"

#define MADE_MAX_NODES 32u

/* Of an operator set; input: float32, -1 is open. */
struct graph *made_graph(int opset, const int64_t *dims, size_t rank);

/* float32, filled with what fill gives for each element. */
uint32_t made_constant(struct graph *graph, const char *name, const size_t *dims, size_t rank,
                       float (*fill)(size_t index));

/* A node called name, and its output called the same. inputs end with VALUE_NONE. */
uint32_t made_node(struct graph *graph, const char *type, const char *name, const uint32_t *inputs,
                   const struct attribute *attributes, size_t n_attributes);
