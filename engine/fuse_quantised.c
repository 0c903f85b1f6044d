#include "engine/fuse_quantised.h"

#include <string.h>

#include "engine/operator.h"
#include "engine/ops/quantise_linear.h"
#include "engine/ops/quantised.h"
#include "engine/pattern.h"
#include "engine/simplify.h"

/* ---- what integers mean ---- */

static int set_activation(struct graph *graph, struct node *node, struct error *error) {
        struct quantisation *quantisation = pool_allocate(graph->pool, 1, sizeof(*quantisation));
        struct shape shape = graph->values[node->outputs[0]].shape;
        struct linear linear;
        enum dtype dtype;
        int r;

        if (!quantisation)
                return error_no_memory(error);
        r = quantize_linear_dtype(&dtype, graph, node, error);
        if (r >= 0)
                r = linear_read_parameters(&linear, graph, node, dtype, error);
        if (r < 0)
                return r;
        *quantisation = (struct quantisation){
                .scale = (float)tensor_real(linear.scale, 0),
                .zero_point = linear.zero_point ? (int32_t)tensor_integer(linear.zero_point, 0) : 0,
        };
        quantisation->zero_point += dtype == DTYPE_I8 ? 128 : 0;
        graph_set_output(graph, node, DTYPE_U8, &shape);
        graph->values[node->outputs[0]].quantisation = quantisation;
        return 0;
}

static void retype(struct node *node, const char *type) {
        node->type = type;
        node->op = operator_find_internal(type);
}

/* QuantizeLinear and DequantizeLinear on computed values become Quantize and Dequantize. Those with a scale
 * for each channel are none: they have become FakeQuantize. */
static int take_ends(struct graph *graph, struct error *error) {
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *node = &graph->nodes[i];
                const struct tensor *scale = graph_input_constant(graph, node, 1);
                int r;

                if (!scale || scale->n_elements != 1)
                        continue;
                if (node_is(node, "QuantizeLinear")) {
                        r = set_activation(graph, node, error);
                        if (r < 0)
                                return r;
                        retype(node, "Quantize");
                        node->n_inputs = 1;
                } else if (node_is(node, "DequantizeLinear") &&
                           graph->values[node->inputs[0]].quantisation) {
                        retype(node, "Dequantize");
                        node->n_inputs = 1;
                }
        }
        return 0;
}

/* A view of what is dequantised is one of the integers, which are dequantised after it: so that who reads
 * the view can take them. The value between the two, which nobody else reads, becomes the integers viewed.
 */
static void view_integers(struct pattern *p, struct node *view) {
        struct graph *graph = p->graph;
        struct node *dequantize = pattern_input(p, view, 0, "Dequantize", 1);
        struct shape shape = graph->values[view->outputs[0]].shape;

        if (!dequantize)
                return;
        graph_set_output(graph, dequantize, DTYPE_U8, &shape);
        graph->values[dequantize->outputs[0]].quantisation =
                graph->values[dequantize->inputs[0]].quantisation;
        retype(dequantize, "QView");
        retype(view, "Dequantize");
        view->n_inputs = 1;
}

/* The int8 weights behind value, with a scale for each index of axis or one for all; VALUE_NONE: there are
 * none. */
static int weights_of(const struct pattern *p, uint32_t value, size_t axis, uint32_t *ret_weights,
                      struct error *error) {
        struct graph *graph = p->graph;
        const struct node *node = value == VALUE_NONE ? NULL : pattern_producer(p, value);
        struct quantisation *quantisation;
        struct value *weights;
        struct linear linear;

        *ret_weights = VALUE_NONE;
        if (!node_is(node, "DequantizeWeights"))
                return 0;
        weights = &graph->values[node->inputs[0]];
        if (linear_read(&linear, graph, node, &weights->shape, DTYPE_I8, NULL) < 0 ||
            (linear.scale->n_elements > 1 && linear.axis != axis))
                return 0;
        quantisation = pool_allocate(graph->pool, 1, sizeof(*quantisation));
        if (!quantisation)
                return error_no_memory(error);
        *quantisation = (struct quantisation){
                .scale = (float)tensor_real(linear.scale, 0),
                .scales = linear.scale->n_elements > 1 ? linear.scale->data : NULL,
                .n_scales = linear.scale->n_elements,
        };
        if (weights->quantisation && memcmp(weights->quantisation, quantisation, sizeof(*quantisation)) != 0)
                return 0;
        weights->quantisation = quantisation;
        *ret_weights = node->inputs[0];
        return 0;
}

/* ---- products ---- */

static int set_inputs(struct graph *graph, struct node *node, const uint32_t *inputs, size_t n,
                      struct error *error) {
        uint32_t *copy = pool_copy(graph->pool, inputs, n, sizeof(*inputs));

        if (!copy)
                return error_no_memory(error);
        node->inputs = copy;
        node->n_inputs = n;
        return 0;
}

static int take_conv(struct pattern *p, struct node *node, struct error *error) {
        uint32_t inputs[3] = {pattern_integers(p, node_input(node, 0)), VALUE_NONE, node_input(node, 2)};
        struct node saved = *node;
        int r;

        r = weights_of(p, node_input(node, 1), 0, &inputs[1], error);
        if (r < 0 || inputs[0] == VALUE_NONE || inputs[1] == VALUE_NONE)
                return r;
        r = set_inputs(p->graph, node, inputs, inputs[2] == VALUE_NONE ? 2 : 3, error);
        if (r < 0)
                return r;
        retype(node, "QConv");
        if (!q_conv_can(p->graph, node))
                *node = saved;
        return 0;
}

/* x [..., K] * weights: [N, K], or [K, N] where not transposed. */
static int take_product(struct pattern *p, struct node *node, bool transposed, struct error *error) {
        struct graph *graph = p->graph;
        uint32_t inputs[3] = {pattern_integers(p, node_input(node, 0)), VALUE_NONE, node_input(node, 2)};
        const struct shape *x = &graph->values[node->inputs[0]].shape;
        const struct shape *w = &graph->values[node->inputs[1]].shape;
        struct attribute *attribute = pool_allocate(graph->pool, 1, sizeof(*attribute));
        size_t n = w->rank == 2 ? w->dims[transposed ? 0 : 1] : 0;
        struct node saved = *node;
        int r;

        if (!attribute)
                return error_no_memory(error);
        if (n == 0 || x->rank < 2 || inputs[0] == VALUE_NONE)
                return 0;
        if (inputs[2] != VALUE_NONE && !pattern_is_row(graph, node, 2, n))
                return 0;
        r = weights_of(p, node_input(node, 1), transposed ? 0 : 1, &inputs[1], error);
        if (r < 0 || inputs[1] == VALUE_NONE)
                return r;
        r = set_inputs(graph, node, inputs, inputs[2] == VALUE_NONE ? 2 : 3, error);
        if (r < 0)
                return r;
        *attribute = (struct attribute){.name = "transB", .type = ATTRIBUTE_INT, .integer = transposed};
        node->attributes = attribute;
        node->n_attributes = 1;
        retype(node, "QInnerProduct");
        if (!q_inner_product_can(graph, node))
                *node = saved;
        return 0;
}

/* A row added to a product is its bias. */
static int take_bias(struct pattern *p, struct node *node, struct error *error) {
        struct graph *graph = p->graph;

        for (size_t i = 0; i < 2; i++) {
                struct node *product = pattern_input(p, node, i, "QInnerProduct", 1);
                const struct shape *shape = &graph->values[node->outputs[0]].shape;
                uint32_t inputs[3];
                int r;

                if (!product || product->n_inputs != 2 ||
                    !shape_equal(&graph->values[product->outputs[0]].shape, shape) ||
                    !pattern_is_row(graph, node, 1 - i, shape->dims[shape->rank - 1]))
                        continue;
                memcpy(inputs, product->inputs, 2 * sizeof(*inputs));
                inputs[2] = node->inputs[1 - i];
                r = set_inputs(graph, product, inputs, 3, error);
                if (r < 0)
                        return r;
                product->outputs[0] = node->outputs[0];
                p->producers[node->outputs[0]] = (uint32_t)(product - graph->nodes);
                node_kill(node);
                return 0;
        }
        return 0;
}

static bool is_plain_gemm(const struct node *node) {
        return node_is(node, "Gemm") && node_attribute_integer(node, "transA", 0) == 0 &&
               node_attribute_real(node, "alpha", 1) == 1 && node_attribute_real(node, "beta", 1) == 1;
}

/* Weights that no product took are reals. */
static int release_weights(struct graph *graph, struct error *error) {
        _cleanup_(freep) uint32_t *uses = graph_count_uses(graph);
        bool folded;
        int r;

        if (!uses)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *node = &graph->nodes[i];

                if (!node_is(node, "DequantizeWeights"))
                        continue;
                if (uses[node->outputs[0]] == 0) {
                        node_kill(node);
                        continue;
                }
                node->type = "DequantizeLinear";
                node->op = operator_find("", "DequantizeLinear", MAX(graph->opset, 13));
                r = graph_fold_node(graph, node, &folded, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int graph_quantise_products(struct graph *graph, struct error *error) {
        _cleanup_(pattern_release) struct pattern p = {0};
        int r;

        r = take_ends(graph, error);
        if (r >= 0)
                r = pattern_init(&p, graph, error);
        for (size_t i = 0; i < graph->n_nodes && r >= 0; i++) {
                struct node *node = &graph->nodes[i];

                if (fuse_quantised_is_view(node))
                        view_integers(&p, node);
                if (node_is(node, "Conv"))
                        r = take_conv(&p, node, error);
                else if (is_plain_gemm(node))
                        r = take_product(&p, node, node_attribute_integer(node, "transB", 0) != 0, error);
                else if (node_is(node, "MatMul"))
                        r = take_product(&p, node, false, error);
                else if (node_is(node, "Add"))
                        r = take_bias(&p, node, error);
        }
        if (r >= 0)
                r = graph_sweep(graph, error);
        if (r >= 0)
                r = release_weights(graph, error);
        return r < 0 ? r : graph_sweep(graph, error);
}
