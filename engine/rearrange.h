#pragma once
/*
 * rearrange: takes the copies out of a specialised graph.
 *
 * Exporters put Reshape, Transpose and Slice between the operators of a transformer: to split heads, to cut
 * windows, to bring channels to the end. This pass follows where elements really lie (engine/trace.h). What
 * works on rows or on single elements is moved before such a rearrangement, until it meets its reverse and
 * both vanish; attention reads and writes through it.
 */
#include "base/error.h"
#include "engine/graph.h"

/* After graph_fuse_rows(). */
int graph_rearrange(struct graph *graph, struct error *error);
