#pragma once
/*
 * onnx_upgrade: the nodes of an older operator set as those of a newer one that mean the same.
 *
 * What moved from attributes to inputs moves (Clip, Pad, Slice, Split, Squeeze, Unsqueeze, ReduceSum); all
 * that the engine has and that did not change its meaning stays. Fails with ERROR_UNSUPPORTED where a node
 * meant something that the newer operator cannot say.
 */
#include "base/error.h"
#include "engine/graph.h"

/* opset: 13. A graph of that or a newer one is left as it is. */
int onnx_upgrade(struct graph *graph, int opset, struct error *error);
