#pragma once
/*
 * classifier: what a graph says of itself as a classifier, which ONNX has no words for: the order of its
 * input's axes, the output that has the scores, and whether these are probabilities already.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/graph.h"

/*
 * Is the input [N, H, W, C], as TensorFlow's exporters write it? By the first operator that knows its axes:
 * a Transpose to [N, C, H, W], or a convolution or pool, which take nothing else; where none comes, by the
 * declared shape: one or three channels are last and not in place of them. The graph is as read.
 */
int classifier_channels_last(bool *ret_channels_last, const struct graph *graph, struct error *error);

/* Where all that reads an input [N, H, W, C] are Transposes to [N, C, H, W], the input becomes [N, C, H, W]
 * and they vanish: graph->input_is_transposed. */
int classifier_take_transpose(struct graph *graph, struct error *error);

/* The first float32 output whose last dimension is declared to be n_labels; without one, or without labels
 * (0), the first float32 output; without one, the first. */
uint32_t classifier_output(const struct graph *graph, size_t n_labels);

/*
 * Are the scores probabilities? So they are behind a Softmax over the classes, also one that is written out
 * as Exp / ReduceSum(Exp), and behind a Sigmoid, where classes do not exclude each other; what comes behind
 * may only rename the same numbers. LogSoftmax gives logits: softmax(log p) = p. shapes of the graph are
 * known.
 */
bool classifier_gives_probabilities(const struct graph *graph, size_t batch);
