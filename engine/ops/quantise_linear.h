#pragma once
/* quantise_linear: the parameters of QuantizeLinear, DequantizeLinear and what is made of them. */
#include "engine/ops/families.h"

/* Scales and zero points, one for the whole tensor or one for each index of an axis. */
struct linear {
        const struct tensor *scale, *zero_point; /* zero_point: NULL where it is 0 */
        size_t axis;                             /* of use where scale has several elements */
};

/*
 * Those of inputs 1 and 2 of node for data of shape; dtype: of the integers. Constants only. Fails with
 * ERROR_INVALID where a scale is no finite number above 0, where a zero point has another type or another
 * number of elements, or where the axis does not have as many indices as there are scales.
 */
int linear_read(struct linear *ret_linear, const struct graph *graph, const struct node *node,
                const struct shape *shape, enum dtype dtype, struct error *error);

/* The same but for what the shape of the data says: axis stays 0. */
int linear_read_parameters(struct linear *ret_linear, const struct graph *graph, const struct node *node,
                           enum dtype dtype, struct error *error);

/* The type that a QuantizeLinear makes. */
int quantize_linear_dtype(enum dtype *ret_dtype, const struct graph *graph, const struct node *node,
                          struct error *error);

/* The smallest and the largest integer of uint8 or int8. */
void dtype_range(enum dtype dtype, int32_t *ret_low, int32_t *ret_high);
