#pragma once
/*
 * fuse_channels: what only moves channels around - Slice and Split of channels, the shuffle that ShuffleNet
 * writes as Reshape, Transpose and Reshape, and the Concat between them - is followed back to where each
 * channel was computed.
 *
 * A convolution takes its input's channels in any order, if its weights are put into that order as they are
 * packed (attribute "order"). So what is left is one node "Channels" for each value that something computes
 * with, which copies whole runs of channels.
 */
#include "base/error.h"
#include "engine/graph.h"

/* After graph_fuse(), before graph_fuse_inputs(). */
int graph_fuse_channels(struct graph *graph, struct error *error);
