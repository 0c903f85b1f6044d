#pragma once
/* quantised_internal: the parts of quantised.c that stand in files of their own. */
#include "engine/quantised.h"

/*
 * Operators on integers (QLinearConv, com.microsoft.QLinearAdd, a MaxPool of uint8, ...) become
 * DequantizeLinear, the operator on reals, QuantizeLinear: afterwards integers are only ever made by a
 * QuantizeLinear and read by a DequantizeLinear. What cannot be taken apart stays, and its infer function
 * says why.
 */
int quantised_expand(struct graph *graph, struct error *error);

/* Equal QuantizeLinear of one value become one, as do equal DequantizeLinear. */
int quantised_merge(struct graph *graph, struct error *error);

/* The pair becomes a FakeQuantize, in place of dequantize. */
int quantised_fake(struct graph *graph, const struct node *quantize, struct node *dequantize,
                   struct error *error);

/* Do two inputs (scales or zero points) say the same? VALUE_NONE is allowed. */
bool quantised_same_parameter(const struct graph *graph, uint32_t a, uint32_t b);
