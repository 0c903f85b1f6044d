#include <stdlib.h>
#include <string.h>

#include "engine/operator.h"
#include "engine/quantised_internal.h"
#include "engine/rewrite.h"
#include "engine/simplify_internal.h"

struct expansion {
        struct graph *graph;
        struct rewrite rewrite;

        /* For each value that the graph had: its scale and zero point where it is made of integers. */
        uint32_t *scales, *zero_points;
};

static void expansion_release(struct expansion *expansion) {
        rewrite_release(&expansion->rewrite);
        free(expansion->scales);
        free(expansion->zero_points);
}

static struct attribute *integer_attribute(struct pool *pool, const char *name, int64_t integer) {
        struct attribute attribute = {.name = name, .type = ATTRIBUTE_INT, .integer = integer};

        return pool_copy(pool, &attribute, 1, sizeof(attribute));
}

/* Operators on integers may have a scale for each channel and one zero point for all of them, which
 * DequantizeLinear may not. */
static int spread_zero_point(struct expansion *e, const struct node *node, uint32_t scale,
                             uint32_t *zero_point, struct error *error) {
        const struct tensor *scales = e->graph->values[scale].constant, *zero = NULL;
        _cleanup_(tensor_unrefp) struct tensor *zeros = NULL;
        int r;

        if (*zero_point != VALUE_NONE)
                zero = e->graph->values[*zero_point].constant;
        if (!scales || scales->n_elements <= 1 || !zero || zero->n_elements != 1 || !zero->data ||
            (zero->dtype != DTYPE_U8 && zero->dtype != DTYPE_I8))
                return 0;
        r = tensor_new(&zeros, zero->dtype, &scales->shape, error);
        if (r < 0)
                return r;
        memset(zeros->data, ((const unsigned char *)zero->data)[0], zeros->n_elements);
        return simplify_add_constant(e->graph, zero_point, node->name, "zero_point", zeros, error);
}

/* The reals of integers with scale and zero_point; axis: of several scales. */
static int dequantise(struct expansion *e, const struct node *node, uint32_t x, uint32_t scale,
                      uint32_t zero_point, int64_t axis, uint32_t *ret_real, struct error *error) {
        struct attribute *attribute = integer_attribute(e->graph->pool, "axis", axis);
        int r;

        if (!attribute)
                return error_no_memory(error);
        r = spread_zero_point(e, node, scale, &zero_point, error);
        if (r < 0)
                return r;
        return rewrite_add(&e->rewrite,
                           &(struct rewrite_node){.type = "DequantizeLinear",
                                                  .name = node->name,
                                                  .inputs = (uint32_t[]){x, scale, zero_point},
                                                  .n_inputs = 3,
                                                  .output = VALUE_NONE,
                                                  .attributes = attribute,
                                                  .n_attributes = 1},
                           ret_real, error);
}

/* node's output as the integers of real. */
static int quantise(struct expansion *e, const struct node *node, uint32_t real, uint32_t scale,
                    uint32_t zero_point, struct error *error) {
        e->scales[node->outputs[0]] = scale;
        e->zero_points[node->outputs[0]] = zero_point;
        return rewrite_add(&e->rewrite,
                           &(struct rewrite_node){.type = "QuantizeLinear",
                                                  .name = node->name,
                                                  .inputs = (uint32_t[]){real, scale, zero_point},
                                                  .n_inputs = 3,
                                                  .output = node->outputs[0]},
                           NULL, error);
}

/* The operator on reals, with node's attributes. */
static int compute(struct expansion *e, const struct node *node, const char *type, const uint32_t *inputs,
                   size_t n_inputs, uint32_t *ret_real, struct error *error) {
        return rewrite_add(&e->rewrite,
                           &(struct rewrite_node){.type = type,
                                                  .name = node->name,
                                                  .inputs = inputs,
                                                  .n_inputs = n_inputs,
                                                  .output = VALUE_NONE,
                                                  .attributes = node->attributes,
                                                  .n_attributes = node->n_attributes},
                           ret_real, error);
}

/* ---- operators on integers ---- */

/* The scale of an int32 bias: factor * scale of the input * scales of the weights. VALUE_NONE: these are not
 * constant. */
static int bias_scale(struct expansion *e, const struct node *node, uint32_t x_scale, uint32_t w_scale,
                      float factor, uint32_t *ret_scale, struct error *error) {
        const struct tensor *x = e->graph->values[x_scale].constant, *w = e->graph->values[w_scale].constant;
        _cleanup_(tensor_unrefp) struct tensor *scale = NULL;
        int r;

        *ret_scale = VALUE_NONE;
        if (!x || !w || x->n_elements != 1 || x->dtype != DTYPE_F32 || w->dtype != DTYPE_F32 || !w->data)
                return 0;
        r = tensor_new(&scale, DTYPE_F32, &w->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < w->n_elements; i++)
                ((float *)scale->data)[i] =
                        factor * ((const float *)x->data)[0] * ((const float *)w->data)[i];
        return simplify_add_constant(e->graph, ret_scale, node->name, "bias_scale", scale, error);
}

static bool has_inputs(const struct node *node, const size_t *indices, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (node_input(node, indices[i]) == VALUE_NONE)
                        return false;
        return node_output(node, 0) != VALUE_NONE;
}

/* x, scale, zero point; w, scale, zero point; y's scale, zero point; bias */
static int expand_conv(struct expansion *e, const struct node *node, bool *ret_done, struct error *error) {
        static const size_t needed[] = {0, 1, 3, 4, 6};
        uint32_t inputs[3], real, scale;
        size_t n = 2;
        int r;

        if (!has_inputs(node, needed, ARRAY_SIZE(needed)))
                return 0;
        if (node_input(node, 8) != VALUE_NONE) {
                r = bias_scale(e, node, node->inputs[1], node->inputs[4], 1, &scale, error);
                if (r < 0 || scale == VALUE_NONE)
                        return r;
                r = dequantise(e, node, node->inputs[8], scale, VALUE_NONE, 0, &inputs[n++], error);
                if (r < 0)
                        return r;
        }
        r = dequantise(e, node, node->inputs[0], node->inputs[1], node_input(node, 2), 1, &inputs[0], error);
        if (r >= 0)
                r = dequantise(e, node, node->inputs[3], node->inputs[4], node_input(node, 5), 0, &inputs[1],
                               error);
        if (r >= 0)
                r = compute(e, node, "Conv", inputs, n, &real, error);
        if (r >= 0)
                r = quantise(e, node, real, node->inputs[6], node_input(node, 7), error);
        *ret_done = true;
        return r;
}

/* Two operands with scales and zero points; y's scale, zero point. type: of the operator on reals. */
static int expand_pair(struct expansion *e, const struct node *node, const char *type, bool *ret_done,
                       struct error *error) {
        static const size_t needed[] = {0, 1, 3, 4, 6};
        uint32_t inputs[2], real;
        int r;

        if (!has_inputs(node, needed, ARRAY_SIZE(needed)))
                return 0;
        r = dequantise(e, node, node->inputs[0], node->inputs[1], node_input(node, 2), -1, &inputs[0],
                       error);
        if (r >= 0)
                r = dequantise(e, node, node->inputs[3], node->inputs[4], node_input(node, 5), -1,
                               &inputs[1], error);
        if (r >= 0)
                r = compute(e, node, type, inputs, 2, &real, error);
        if (r >= 0)
                r = quantise(e, node, real, node->inputs[6], node_input(node, 7), error);
        *ret_done = true;
        return r;
}

static int expand_matmul(struct expansion *e, const struct node *node, bool *ret_done, struct error *error) {
        return expand_pair(e, node, "MatMul", ret_done, error);
}

static int expand_add(struct expansion *e, const struct node *node, bool *ret_done, struct error *error) {
        return expand_pair(e, node, "Add", ret_done, error);
}

static int expand_mul(struct expansion *e, const struct node *node, bool *ret_done, struct error *error) {
        return expand_pair(e, node, "Mul", ret_done, error);
}

/* a, scale, zero point; b, scale, zero point; c; y's scale, zero point: without these y is real. */
static int expand_gemm(struct expansion *e, const struct node *node, bool *ret_done, struct error *error) {
        static const size_t needed[] = {0, 1, 3, 4};
        bool transposed = node_attribute_integer(node, "transB", 0) != 0;
        uint32_t inputs[3], real, scale;
        size_t n = 2;
        int r;

        if (!has_inputs(node, needed, ARRAY_SIZE(needed)))
                return 0;
        if (node_input(node, 6) != VALUE_NONE) {
                r = bias_scale(e, node, node->inputs[1], node->inputs[4],
                               node_attribute_real(node, "alpha", 1), &scale, error);
                if (r < 0 || scale == VALUE_NONE)
                        return r;
                r = dequantise(e, node, node->inputs[6], scale, VALUE_NONE, -1, &inputs[n++], error);
                if (r < 0)
                        return r;
        }
        r = dequantise(e, node, node->inputs[0], node->inputs[1], node_input(node, 2), -1, &inputs[0],
                       error);
        if (r >= 0)
                r = dequantise(e, node, node->inputs[3], node->inputs[4], node_input(node, 5),
                               transposed ? 0 : 1, &inputs[1], error);
        if (r < 0)
                return r;
        *ret_done = true;
        if (node_input(node, 7) == VALUE_NONE)
                return rewrite_add(&e->rewrite,
                                   &(struct rewrite_node){.type = "Gemm",
                                                          .name = node->name,
                                                          .inputs = inputs,
                                                          .n_inputs = n,
                                                          .output = node->outputs[0],
                                                          .attributes = node->attributes,
                                                          .n_attributes = node->n_attributes},
                                   NULL, error);
        r = compute(e, node, "Gemm", inputs, n, &real, error);
        return r < 0 ? r : quantise(e, node, real, node->inputs[7], node_input(node, 8), error);
}

static int transpose(struct expansion *e, const struct node *node, uint32_t *value, const int64_t perm[4],
                     struct error *error) {
        struct attribute attribute = {.name = "perm", .type = ATTRIBUTE_INTS, .ints = perm, .n = 4}, *copy;

        copy = pool_copy(e->graph->pool, &attribute, 1, sizeof(attribute));
        if (!copy)
                return error_no_memory(error);
        return rewrite_add(&e->rewrite,
                           &(struct rewrite_node){.type = "Transpose",
                                                  .name = node->name,
                                                  .inputs = value,
                                                  .n_inputs = 1,
                                                  .output = VALUE_NONE,
                                                  .attributes = copy,
                                                  .n_attributes = 1},
                           value, error);
}

/* x, scale, zero point; y's scale, zero point. channels_last: x is [N, H, W, C], as is y. */
static int expand_unary(struct expansion *e, const struct node *node, const char *type, bool *ret_done,
                        struct error *error) {
        static const size_t needed[] = {0, 1, 3};
        static const int64_t to_first[] = {0, 3, 1, 2}, to_last[] = {0, 2, 3, 1};
        bool channels_last = node_attribute_integer(node, "channels_last", 0) != 0;
        uint32_t real;
        int r;

        if (!has_inputs(node, needed, ARRAY_SIZE(needed)))
                return 0;
        r = dequantise(e, node, node->inputs[0], node->inputs[1], node_input(node, 2), 1, &real, error);
        if (r >= 0 && channels_last)
                r = transpose(e, node, &real, to_first, error);
        if (r >= 0)
                r = compute(e, node, type, &real, 1, &real, error);
        if (r >= 0 && channels_last)
                r = transpose(e, node, &real, to_last, error);
        if (r >= 0)
                r = quantise(e, node, real, node->inputs[3], node_input(node, 4), error);
        *ret_done = true;
        return r;
}

static int expand_average_pool(struct expansion *e, const struct node *node, bool *ret_done,
                               struct error *error) {
        return expand_unary(e, node, "AveragePool", ret_done, error);
}

static int expand_global_average_pool(struct expansion *e, const struct node *node, bool *ret_done,
                                      struct error *error) {
        return expand_unary(e, node, "GlobalAveragePool", ret_done, error);
}

static int expand_sigmoid(struct expansion *e, const struct node *node, bool *ret_done,
                          struct error *error) {
        return expand_unary(e, node, "Sigmoid", ret_done, error);
}

static int expand_leaky_relu(struct expansion *e, const struct node *node, bool *ret_done,
                             struct error *error) {
        return expand_unary(e, node, "LeakyRelu", ret_done, error);
}

/* y's scale, zero point; x, scale, zero point of each part */
static int expand_concat(struct expansion *e, const struct node *node, bool *ret_done, struct error *error) {
        size_t n = node->n_inputs >= 5 && node->n_inputs % 3 == 2 ? node->n_inputs / 3 : 0;
        uint32_t *inputs = pool_allocate(e->graph->pool, n, sizeof(*inputs)), real;
        int r;

        if (!inputs)
                return error_no_memory(error);
        if (n == 0 || !has_inputs(node, (size_t[]){0}, 1))
                return 0;
        for (size_t i = 0; i < n; i++)
                if (!has_inputs(node, (size_t[]){2 + 3 * i, 3 + 3 * i}, 2))
                        return 0;
        for (size_t i = 0; i < n; i++) {
                const uint32_t *part = node->inputs + 2 + 3 * i;

                r = dequantise(e, node, part[0], part[1], part[2], 1, &inputs[i], error);
                if (r < 0)
                        return r;
        }
        *ret_done = true;
        r = compute(e, node, "Concat", inputs, n, &real, error);
        return r < 0 ? r : quantise(e, node, real, node->inputs[0], node->inputs[1], error);
}

static const struct {
        const char *type;
        int (*expand)(struct expansion *e, const struct node *node, bool *ret_done, struct error *error);
} expansions[] = {
        {"QGemm", expand_gemm},
        {"QLinearAdd", expand_add},
        {"QLinearAveragePool", expand_average_pool},
        {"QLinearConcat", expand_concat},
        {"QLinearConv", expand_conv},
        {"QLinearGlobalAveragePool", expand_global_average_pool},
        {"QLinearLeakyRelu", expand_leaky_relu},
        {"QLinearMatMul", expand_matmul},
        {"QLinearMul", expand_mul},
        {"QLinearSigmoid", expand_sigmoid},
};

/* ---- integers that are only moved ---- */

/* Do the elements that node gives come from its first inputs, n of them, as they are? */
static bool moves(const struct node *node, size_t *ret_n) {
        static const char *const types[] = {"DepthToSpace", "Expand",  "Flatten",   "Gather",
                                            "MaxPool",      "Reshape", "Slice",     "SpaceToDepth",
                                            "Squeeze",      "Tile",    "Transpose", "Unsqueeze"};

        *ret_n = 1;
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (node_is(node, types[i]))
                        return true;
        *ret_n = node->n_inputs;
        return node_is(node, "Concat");
}

/* A scale and a zero point for all of the elements that node moves. */
static bool has_one_meaning(const struct expansion *e, const struct node *node, size_t n) {
        for (size_t i = 0; i < n; i++) {
                uint32_t value = node_input(node, i);

                if (value == VALUE_NONE || e->scales[value] == VALUE_NONE ||
                    !quantised_same_parameter(e->graph, e->scales[value], e->scales[node->inputs[0]]) ||
                    !quantised_same_parameter(e->graph, e->zero_points[value],
                                              e->zero_points[node->inputs[0]]))
                        return false;
        }
        return n > 0 && node->n_outputs > 0 && node_output(node, 0) != VALUE_NONE &&
               node_output(node, 1) == VALUE_NONE;
}

static int expand_moving(struct expansion *e, const struct node *node, bool *ret_done, struct error *error) {
        uint32_t scale, zero_point, real, *inputs;
        size_t n;
        int r;

        if (!moves(node, &n) || !has_one_meaning(e, node, n))
                return 0;
        scale = e->scales[node->inputs[0]];
        zero_point = e->zero_points[node->inputs[0]];
        inputs = pool_copy(e->graph->pool, node->inputs, node->n_inputs, sizeof(*inputs));
        if (!inputs)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++) {
                r = dequantise(e, node, node->inputs[i], scale, zero_point, 1, &inputs[i], error);
                if (r < 0)
                        return r;
        }
        *ret_done = true;
        r = rewrite_add(&e->rewrite,
                        &(struct rewrite_node){.type = node->type,
                                               .name = node->name,
                                               .inputs = inputs,
                                               .n_inputs = node->n_inputs,
                                               .output = VALUE_NONE,
                                               .attributes = node->attributes,
                                               .n_attributes = node->n_attributes},
                        &real, error);
        return r < 0 ? r : quantise(e, node, real, scale, zero_point, error);
}

/* ---- the story ---- */

/* A QuantizeLinear of the file, with one scale. */
static void note_meaning(struct expansion *e, const struct node *node) {
        const struct tensor *scale = graph_input_constant(e->graph, node, 1);

        if (!node_is(node, "QuantizeLinear") || !scale || scale->n_elements != 1 ||
            node_output(node, 0) == VALUE_NONE)
                return;
        e->scales[node->outputs[0]] = node->inputs[1];
        e->zero_points[node->outputs[0]] = node_input(node, 2);
}

static int expand_node(struct expansion *e, const struct node *node, struct error *error) {
        bool done = false;
        int r = 0;

        note_meaning(e, node);
        for (size_t i = 0; i < ARRAY_SIZE(expansions) && !done && r >= 0; i++)
                if (node_is(node, expansions[i].type))
                        r = expansions[i].expand(e, node, &done, error);
        if (r >= 0 && !done)
                r = expand_moving(e, node, &done, error);
        if (r >= 0 && !done)
                r = rewrite_keep(&e->rewrite, node, error);
        return r;
}

int quantised_expand(struct graph *graph, struct error *error) {
        _cleanup_(expansion_release) struct expansion e = {.graph = graph, .rewrite = {.graph = graph}};
        size_t n_values = MAX(graph->n_values, 1u);

        e.scales = malloc(n_values * sizeof(*e.scales));
        e.zero_points = malloc(n_values * sizeof(*e.zero_points));
        if (!e.scales || !e.zero_points)
                return error_no_memory(error);
        for (size_t i = 0; i < n_values; i++)
                e.scales[i] = e.zero_points[i] = VALUE_NONE;
        for (size_t i = 0; i < graph->n_nodes; i++) {
                int r = expand_node(&e, &graph->nodes[i], error);

                if (r < 0)
                        return r;
        }
        return rewrite_finish(&e.rewrite, error);
}
