#pragma once
/*
 * fuse_input: what convolutions do with their input as they read it (struct prologue): the gate of
 * squeeze-and- excitation, and the scale, shift and Relu of networks that normalise before they convolve.
 */
#include "base/error.h"
#include "engine/graph.h"

/* After graph_fuse(). */
int graph_fuse_inputs(struct graph *graph, struct error *error);
