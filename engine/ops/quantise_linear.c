#include "engine/ops/quantise_linear.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/ops/native.h"

/*
 * QuantizeLinear and DequantizeLinear. On constants they are folded; a pair of them on computed data is one
 * step, FakeQuantize, which rounds float32 to what the integers can say: integers themselves are never
 * computed in float32 plans.
 */

static bool is_quantised(enum dtype dtype) {
        return dtype == DTYPE_U8 || dtype == DTYPE_I8;
}

void dtype_range(enum dtype dtype, int32_t *ret_low, int32_t *ret_high) {
        *ret_low = dtype == DTYPE_U8 ? 0 : INT8_MIN;
        *ret_high = dtype == DTYPE_U8 ? UINT8_MAX : INT8_MAX;
}

static int scales_check(const struct tensor *scale, const char *name, struct error *error) {
        const float *scales = scale->data;

        for (size_t i = 0; i < scale->n_elements; i++)
                if (!(isfinite(scales[i]) && scales[i] > 0))
                        return error_set(error, ERROR_INVALID,
                                         "scale '%s' has %g; a scale is a finite number above 0", name,
                                         (double)scales[i]);
        return 0;
}

/* input: of the scale, the zero point is the next one. */
static int parameters_read(struct linear *ret_linear, const struct graph *graph, const struct node *node,
                           size_t input, enum dtype dtype, struct error *error) {
        const struct value *scale, *zero_point = NULL;
        int r;

        r = graph_need_input(graph, node, input, &scale, error);
        if (r < 0)
                return r;
        if (node_input(node, input + 1) != VALUE_NONE)
                zero_point = &graph->values[node->inputs[input + 1]];
        if (!scale->constant || (zero_point && !zero_point->constant))
                return error_set(error, ERROR_UNSUPPORTED, "a scale or a zero point that is computed");
        if (scale->dtype != DTYPE_F32)
                return error_set(error, ERROR_UNSUPPORTED, "scale '%s' is %s; float32 is supported",
                                 scale->name, dtype_name(scale->dtype));
        if (node_attribute_integer(node, "block_size", 0) != 0 || scale->shape.rank > 1)
                return error_set(error, ERROR_UNSUPPORTED, "a scale for each block");
        if (!scale->constant->data || scale->constant->n_elements == 0)
                return error_set(error, ERROR_LIMIT, "a scale of %zu elements", scale->constant->n_elements);
        r = scales_check(scale->constant, scale->name, error);
        if (r < 0)
                return r;
        if (zero_point && zero_point->dtype != dtype)
                return error_set(error, ERROR_INVALID, "zero point '%s' is %s, the integers are %s",
                                 zero_point->name, dtype_name(zero_point->dtype), dtype_name(dtype));
        if (zero_point && zero_point->constant->n_elements != scale->constant->n_elements)
                return error_set(error, ERROR_INVALID, "%zu scales and %zu zero points",
                                 scale->constant->n_elements, zero_point->constant->n_elements);
        if (zero_point && !zero_point->constant->data)
                return error_set(error, ERROR_LIMIT, "%zu zero points", zero_point->constant->n_elements);
        *ret_linear = (struct linear){.scale = scale->constant,
                                      .zero_point = zero_point ? zero_point->constant : NULL};
        return 0;
}

/* Whether there are as many indices of the axis as scales. */
static int axis_check(struct linear *linear, const struct node *node, const struct shape *shape,
                      struct error *error) {
        int r;

        if (linear->scale->n_elements == 1)
                return 0;
        r = axis_normalise(&linear->axis, node_attribute_integer(node, "axis", 1), shape->rank, error);
        if (r < 0)
                return r;
        if (shape->dims[linear->axis] != linear->scale->n_elements)
                return error_set(error, ERROR_INVALID, "%zu scales for the %zu indices of axis %zu",
                                 linear->scale->n_elements, shape->dims[linear->axis], linear->axis);
        return 0;
}

int linear_read(struct linear *ret_linear, const struct graph *graph, const struct node *node,
                const struct shape *shape, enum dtype dtype, struct error *error) {
        struct linear linear;
        int r;

        r = parameters_read(&linear, graph, node, 1, dtype, error);
        if (r >= 0)
                r = axis_check(&linear, node, shape, error);
        if (r < 0)
                return r;
        *ret_linear = linear;
        return 0;
}

int linear_read_parameters(struct linear *ret_linear, const struct graph *graph, const struct node *node,
                           enum dtype dtype, struct error *error) {
        return parameters_read(ret_linear, graph, node, 1, dtype, error);
}

int quantize_linear_dtype(enum dtype *ret_dtype, const struct graph *graph, const struct node *node,
                          struct error *error) {
        uint32_t zero_point = node_input(node, 2);
        enum dtype dtype = DTYPE_U8;
        int r = 0;

        if (zero_point != VALUE_NONE)
                dtype = graph->values[zero_point].dtype;
        else if (node_attribute_integer(node, "output_dtype", 0) != 0)
                r = dtype_of_attribute(&dtype, node, "output_dtype", error);
        if (r < 0)
                return r;
        if (!is_quantised(dtype))
                return error_set(error, ERROR_UNSUPPORTED, "integers of %s; uint8 and int8 are supported",
                                 dtype_name(dtype));
        *ret_dtype = dtype;
        return 0;
}

/* ---- elements ---- */

/* Whether dimensions before and after the axis lie together: element i is of index i / inner % n. */
struct indexing {
        size_t n, inner;
};

static struct indexing indexing_of(const struct linear *linear, const struct shape *shape) {
        struct indexing indexing = {.n = linear->scale->n_elements, .inner = 1};

        if (indexing.n == 1)
                indexing.inner = MAX(shape_elements(shape), 1u);
        for (size_t i = linear->axis + 1; indexing.n > 1 && i < shape->rank; i++)
                indexing.inner *= shape->dims[i];
        return indexing;
}

/* Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even, where |x| < 2^22. */
#define ROUND_SHIFT 12582912.0f

/* To the integer nearest to x / scale among those from low to high, as a float; NaN gives low. */
static float to_integer(float x, float scale, float low, float high) {
        float y = x / scale;

        y = y >= low ? y : low;
        y = y <= high ? y : high;
        return (y + ROUND_SHIFT) - ROUND_SHIFT;
}

/* ---- QuantizeLinear ---- */

OPERATOR_INFER(quantize_linear) {
        const struct value *x;
        struct linear linear;
        enum dtype dtype;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = quantize_linear_dtype(&dtype, graph, node, error);
        if (r < 0)
                return r;
        if (x->dtype != DTYPE_F32)
                return error_set(error, ERROR_UNSUPPORTED, "of %s", dtype_name(x->dtype));
        r = linear_read(&linear, graph, node, &x->shape, dtype, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, dtype, &x->shape);
        return 0;
}

OPERATOR_FOLD(quantize_linear) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        enum dtype dtype = graph->values[node->outputs[0]].dtype;
        struct indexing indexing;
        struct linear linear;
        int32_t low, high;
        int r;

        r = linear_read(&linear, graph, node, &x->shape, dtype, error);
        if (r >= 0)
                r = tensor_new(&tensor, dtype, &x->shape, error);
        if (r < 0)
                return r;
        indexing = indexing_of(&linear, &x->shape);
        dtype_range(dtype, &low, &high);
        for (size_t i = 0; i < x->n_elements; i++) {
                size_t index = i / indexing.inner % indexing.n;
                int32_t zero = linear.zero_point ? (int32_t)tensor_integer(linear.zero_point, index) : 0;
                float scale = ((const float *)linear.scale->data)[index];

                tensor_set(tensor, i, 0,
                           zero + (int32_t)to_integer(((const float *)x->data)[i], scale,
                                                      (float)(low - zero), (float)(high - zero)));
        }
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}

/* ---- DequantizeLinear ---- */

OPERATOR_INFER(dequantize_linear) {
        const struct value *x;
        struct linear linear;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        if (!is_quantised(x->dtype) && x->dtype != DTYPE_I32)
                return error_set(error, ERROR_UNSUPPORTED, "of %s; uint8, int8 and int32 are supported",
                                 dtype_name(x->dtype));
        r = linear_read(&linear, graph, node, &x->shape, x->dtype, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &x->shape);
        return 0;
}

OPERATOR_FOLD(dequantize_linear) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        struct indexing indexing;
        struct linear linear;
        float *reals;
        int r;

        r = linear_read(&linear, graph, node, &x->shape, x->dtype, error);
        if (r >= 0)
                r = tensor_new(&tensor, DTYPE_F32, &x->shape, error);
        if (r < 0)
                return r;
        indexing = indexing_of(&linear, &x->shape);
        reals = tensor->data;
        for (size_t i = 0; i < x->n_elements; i++) {
                size_t index = i / indexing.inner % indexing.n;
                int64_t zero = linear.zero_point ? tensor_integer(linear.zero_point, index) : 0;

                reals[i] = (float)(tensor_integer(x, i) - zero) * ((const float *)linear.scale->data)[index];
        }
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}

/* ---- FakeQuantize: a pair of them; inputs x, scale and zero point of the first, of the second ---- */

#define SECOND 3u /* input that has the scale of the second, where it is another one */

static int fake_read(struct linear *ret_linear, struct linear *ret_second, enum dtype *ret_dtype,
                     const struct graph *graph, const struct node *node, struct error *error) {
        const struct value *x;
        struct linear linear, second;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r >= 0)
                r = quantize_linear_dtype(ret_dtype, graph, node, error);
        if (r >= 0)
                r = linear_read(&linear, graph, node, &x->shape, *ret_dtype, error);
        if (r < 0)
                return r;
        second = linear;
        if (node_input(node, SECOND) != VALUE_NONE) {
                r = parameters_read(&second, graph, node, SECOND, *ret_dtype, error);
                if (r >= 0)
                        r = axis_check(&second, node, &x->shape, error);
                if (r < 0)
                        return r;
                if (second.scale->n_elements != linear.scale->n_elements)
                        return error_set(error, ERROR_UNSUPPORTED,
                                         "%zu scales to quantise and %zu to dequantise",
                                         linear.scale->n_elements, second.scale->n_elements);
        }
        *ret_linear = linear;
        *ret_second = second;
        return 0;
}

OPERATOR_INFER(fake_quantize) {
        struct linear linear, second;
        enum dtype dtype;
        int r;

        r = fake_read(&linear, &second, &dtype, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &graph->values[node->inputs[0]].shape);
        return 0;
}

struct fake {
        struct indexing indexing;
        size_t n_rows;                /* of indexing.inner elements */
        float low, high;              /* of the integers */
        size_t zero, scale_2, zero_2; /* indices of addresses; 0: there is none */
};

static float parameter(void *const *addresses, size_t at, size_t index) {
        return at == 0 ? 0 : ((const float *)addresses[at])[index];
}

static void fake_run(const void *params, void *const *addresses) {
        const struct fake *p = params;
        const float *src = addresses[0];
        float *dst = addresses[1 + MAX(MAX(p->zero, p->zero_2), MAX(p->scale_2, 1u))];

        for (size_t row = 0; row < p->n_rows; row++) {
                size_t index = row % p->indexing.n;
                float scale = parameter(addresses, 1, index), zero = parameter(addresses, p->zero, index);
                float scale_2 = parameter(addresses, p->scale_2, index),
                      shift = zero - parameter(addresses, p->zero_2, index);

                for (size_t i = 0; i < p->indexing.inner; i++)
                        *dst++ =
                                (to_integer(*src++, scale, p->low - zero, p->high - zero) + shift) * scale_2;
        }
}

OPERATOR_LOWER(fake_quantize) {
        const struct graph *graph = lowering_graph(lowering);
        const struct shape *shape = &graph->values[node->inputs[0]].shape;
        struct native native = {.name = "native:fake_quantize",
                                .function = fake_run,
                                .inputs = {0, 1},
                                .n_inputs = 2,
                                .n_outputs = 1,
                                .flop = (double)shape_elements(shape)};
        struct linear linear, second;
        struct fake fake = {0};
        enum dtype dtype;
        int32_t low, high;
        int r;

        r = fake_read(&linear, &second, &dtype, graph, node, error);
        if (r < 0)
                return r;
        dtype_range(dtype, &low, &high);
        fake.indexing = indexing_of(&linear, shape);
        fake.n_rows = shape_elements(shape) / fake.indexing.inner;
        fake.low = (float)low;
        fake.high = (float)high;
        if (linear.zero_point) {
                fake.zero = native.n_inputs;
                native.inputs[native.n_inputs++] = 2;
        }
        fake.scale_2 = 1;
        fake.zero_2 = fake.zero;
        if (node_input(node, SECOND) != VALUE_NONE) {
                fake.scale_2 = native.n_inputs;
                native.inputs[native.n_inputs++] = SECOND;
                fake.zero_2 = 0;
                if (second.zero_point) {
                        fake.zero_2 = native.n_inputs;
                        native.inputs[native.n_inputs++] = SECOND + 1;
                }
        }
        native.params = &fake;
        native.params_bytes = sizeof(fake);
        return native_lower(lowering, node, &native, error);
}

/* ---- operators on integers ---- */

/* Reading has taken apart (quantised_expand()) those that can be. */
OPERATOR_INFER(q_linear) {
        (void)graph;
        (void)node;
        return error_set(error, ERROR_UNSUPPORTED,
                         "its scales must be constant float32, and none of its inputs left out");
}
