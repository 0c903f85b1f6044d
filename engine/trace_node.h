#pragma once
/* trace_node: what each operator that only rearranges does to a trace. */
#include "engine/graph.h"
#include "engine/trace.h"

/* trace, of the first input, becomes that of the first output, and true is returned; false where node
 * computes something, or where a trace cannot say it: *trace is then undefined. */
bool trace_node(const struct graph *graph, const struct node *node, struct trace *trace);
