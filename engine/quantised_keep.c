#include <string.h>

#include "engine/operator.h"
#include "engine/ops/quantise_linear.h"
#include "engine/quantised_internal.h"

/* ---- activations ---- */

/* Does a reader of what quantize makes understand it as quantize means it, with one scale for all? */
static bool is_plain_pair(const struct graph *graph, const struct node *quantize,
                          const struct node *dequantize) {
        const struct tensor *scale = graph_input_constant(graph, quantize, 1);

        return scale && scale->n_elements == 1 &&
               quantised_same_parameter(graph, node_input(quantize, 1), node_input(dequantize, 1)) &&
               quantised_same_parameter(graph, node_input(quantize, 2), node_input(dequantize, 2));
}

/* Quantised values that no step on integers has a form for are rounded in float32. */
static int keep_activations(struct graph *graph, struct error *error) {
        _cleanup_(freep) uint32_t *producers = graph_find_producers(graph);
        _cleanup_(freep) bool *other = calloc(MAX(graph->n_nodes, 1u), sizeof(*other));

        if (!producers || !other)
                return error_no_memory(error);
        for (size_t pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < graph->n_nodes; i++) {
                        struct node *node = &graph->nodes[i];
                        uint32_t from = node_input(node, 0);
                        const struct node *quantize;
                        int r;

                        if (!node_is(node, "DequantizeLinear") || from == VALUE_NONE ||
                            producers[from] == VALUE_NONE)
                                continue;
                        quantize = &graph->nodes[producers[from]];
                        if (!node_is(quantize, "QuantizeLinear"))
                                continue;
                        if (pass == 0) {
                                other[producers[from]] |= !is_plain_pair(graph, quantize, node);
                        } else if (other[producers[from]]) {
                                r = quantised_fake(graph, quantize, node, error);
                                if (r < 0)
                                        return r;
                        }
                }
        return 0;
}

/* ---- weights ---- */

static bool zero_points_are(const struct tensor *zero_point, int64_t value) {
        for (size_t i = 0; zero_point && i < zero_point->n_elements; i++)
                if (tensor_integer(zero_point, i) != value)
                        return false;
        return zero_point || value == 0;
}

/* uint8 around 128 is int8 around 0. */
static int to_int8(struct tensor **ret_tensor, struct tensor *tensor, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *held = NULL, *integers = NULL;
        int r;

        r = tensor_hold(&held, tensor, error);
        if (r >= 0)
                r = tensor_new(&integers, DTYPE_I8, &tensor->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < held->n_elements; i++)
                ((int8_t *)integers->data)[i] = (int8_t)(((const uint8_t *)held->data)[i] - 128);
        *ret_tensor = steal_ptr(&integers);
        return 0;
}

/* Are all readers of the value matrix products that can take it as weights? */
static int mark_weights(bool *is_weights, const struct graph *graph) {
        for (size_t i = 0; i < graph->n_values; i++)
                is_weights[i] = graph->values[i].name;
        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct node *node = &graph->nodes[i];
                bool product = node_is(node, "Conv") || node_is(node, "Gemm") || node_is(node, "MatMul");

                for (size_t k = 0; k < node->n_inputs; k++)
                        if (node->inputs[k] != VALUE_NONE && !(product && k == 1))
                                is_weights[node->inputs[k]] = false;
        }
        return 0;
}

static int keep_weights(struct graph *graph, struct error *error) {
        _cleanup_(freep) bool *is_weights = calloc(MAX(graph->n_values, 1u), sizeof(*is_weights));
        size_t n_nodes = graph->n_nodes;
        int r;

        if (!is_weights)
                return error_no_memory(error);
        mark_weights(is_weights, graph);
        for (size_t i = 0; i < n_nodes; i++) {
                struct node *node = &graph->nodes[i];
                const struct tensor *integers = graph_input_constant(graph, node, 0);
                struct linear linear;

                if (!node_is(node, "DequantizeLinear") || !integers || integers->shape.rank < 2 ||
                    !is_weights[node->outputs[0]] ||
                    linear_read(&linear, graph, node, &integers->shape, integers->dtype, NULL) < 0)
                        continue;
                if (integers->dtype == DTYPE_U8 && zero_points_are(linear.zero_point, 128)) {
                        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
                        uint32_t *inputs = pool_copy(graph->pool, node->inputs, 2, sizeof(*inputs));

                        r = graph_charge(graph, DTYPE_I8, &integers->shape, error);
                        if (r >= 0)
                                r = to_int8(&tensor, graph->values[node->inputs[0]].constant, error);
                        if (r >= 0 && !inputs)
                                r = error_no_memory(error);
                        if (r >= 0)
                                r = graph_add_value(graph, &inputs[0], graph->values[node->inputs[0]].name,
                                                    error);
                        if (r < 0)
                                return r;
                        graph_set_constant(graph, inputs[0], tensor);
                        node->inputs = inputs;
                        node->n_inputs = 2;
                } else if (integers->dtype != DTYPE_I8 || !zero_points_are(linear.zero_point, 0)) {
                        continue;
                }
                node->type = "DequantizeWeights";
                node->op = operator_find_internal("DequantizeWeights");
        }
        return 0;
}

int graph_quantised_keep(struct graph *graph, struct error *error) {
        int r;

        r = keep_activations(graph, error);
        if (r >= 0)
                r = keep_weights(graph, error);
        return r < 0 ? r : graph_sweep(graph, error);
}
