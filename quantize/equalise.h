#pragma once
/*
 * equalise: channels of a value brought to ranges that one scale can serve, without a change of what the
 * network computes.
 *
 * Between two layers each channel may be divided by a factor in the first one's weights and bias, and
 * multiplied by it in the second one's: a Relu between them commutes with that (Nagel et al. 2019,
 * "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1). There both layers'
 * weights have one scale each. Here they have one for each output, which absorbs the factor in the first
 * layer and in a depthwise second one, so that it is the range of the values, as seen on pictures, that is
 * equalised with that of the second layer's weights.
 *
 * A Clip does not commute: only channels that stay below half of its bound on all pictures, before and
 * after, are changed.
 */
#include "base/error.h"
#include "engine/graph.h"
#include "quantize/calibration.h"
#include "quantize/scheme.h"

/* graph: a clone of the scheme's, whose weights and biases are replaced. watch_of: of each value its place
 * in calibration, or VALUE_NONE. ret_n_pairs: of layers between which something was changed. Fails with
 * ERROR_IO, ERROR_NO_MEMORY. */
int equalise(struct graph *graph, const struct scheme *scheme, const struct calibration *calibration,
             const uint32_t *watch_of, size_t *ret_n_pairs, struct error *error);
