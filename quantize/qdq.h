#pragma once
/*
 * qdq: a graph in which a scheme's layers read rounded values: QuantizeLinear and DequantizeLinear around
 * them, weights as int8, biases as int32 (operator set 13).
 *
 * Every layer on integers reads DequantizeLinear's results alone, and gives its own to QuantizeLinear, which
 * is the form that ONNX Runtime and others recognise. Zero points of weights and biases are zero and left
 * out. A Relu or Clip that rounding does anyway is left out.
 */
#include <stdint.h>

#include "base/error.h"
#include "engine/graph.h"
#include "quantize/scheme.h"
#include "quantize/weights.h"

/* real = scale * (integer - zero_point), integer uint8. */
struct rounding {
        float scale;
        uint8_t zero_point;
};

/* low <= 0 <= high. limit: what high * must not exceed after rounding (Clip's bound), INFINITY: nothing. */
struct rounding rounding_of(float low, float high, float limit);

/* roundings: one a value, those of a class alike. weights: one a node, NULL where it is no layer
 * with weights. The graph borrows from the scheme's. */
int qdq_new(struct graph **ret_graph, const struct scheme *scheme, const struct rounding *roundings,
            struct quantised_weights *const *weights, struct error *error);
