#pragma once
/*
 * watch: values of a graph that somebody wants to see beside its output.
 *
 * A watched value counts as used, so that no pass folds it into something else or drops it, and its memory
 * is not given to another one before a run has ended. To be called on a graph as it was read: simplification
 * renames nothing, but what it removes cannot be found any more.
 */
#include <stddef.h>

#include "base/error.h"
#include "engine/graph.h"

/* names: of nodes, which stand for their first output, or of values. Fails with ERROR_NOT_FOUND, the nearest
 * names in the text. */
int graph_watch(struct graph *graph, const char *const *names, size_t n, struct error *error);
