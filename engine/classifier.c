#include "engine/classifier.h"

#include <stdlib.h>
#include <string.h>

static bool is_one_of(const struct node *node, const char *const *types, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(node->type, types[i]) == 0)
                        return true;
        return false;
}

static bool is(const struct node *node, const char *type) {
        return is_one_of(node, &type, 1);
}

/* ---- the order of the input's axes ---- */

static bool is_permutation(const struct node *node, const int64_t permutation[4]) {
        const struct attribute *perm = node_attribute(node, "perm");

        return is(node, "Transpose") && perm && perm->type == ATTRIBUTE_INTS && perm->n == 4 &&
               memcmp(perm->ints, permutation, 4 * sizeof(*permutation)) == 0;
}

enum order { ORDER_UNKNOWN, ORDER_CHANNELS_FIRST, ORDER_CHANNELS_LAST };

/* What a node that takes the input, or what is made of it value by value, says about the order. */
static enum order order_by_node(const struct node *node) {
        static const char *const channels_first[] = {
                "AveragePool", "BatchNormalization", "Conv", "GlobalAveragePool", "GlobalMaxPool",
                "MaxPool",     "QLinearConv",
        };

        if (is_permutation(node, (int64_t[]){0, 3, 1, 2}))
                return ORDER_CHANNELS_LAST;
        if (is_permutation(node, (int64_t[]){0, 2, 3, 1}) ||
            is_one_of(node, channels_first, ARRAY_SIZE(channels_first)))
                return ORDER_CHANNELS_FIRST;
        return ORDER_UNKNOWN;
}

static bool keeps_axes(const struct node *node) {
        static const char *const types[] = {"Add",      "Cast", "Clip", "DequantizeLinear", "Div",
                                            "Identity", "Mul",  "Pad",  "QuantizeLinear",   "Relu",
                                            "Sub"};

        return is_one_of(node, types, ARRAY_SIZE(types));
}

static bool is_picture_depth(int64_t channels) {
        return channels == 1 || channels == 3;
}

int classifier_channels_last(bool *ret_channels_last, const struct graph *graph, struct error *error) {
        _cleanup_(freep) bool *has_axes = calloc(graph->n_values, sizeof(*has_axes));
        enum order order = ORDER_UNKNOWN;

        if (!has_axes)
                return error_no_memory(error);
        has_axes[graph->input] = true;
        for (size_t i = 0; i < graph->n_nodes && order == ORDER_UNKNOWN; i++) {
                const struct node *node = &graph->nodes[i];
                bool takes = false;

                for (size_t k = 0; k < node->n_inputs; k++)
                        takes |= node->inputs[k] != VALUE_NONE && has_axes[node->inputs[k]];
                if (!takes)
                        continue;
                order = order_by_node(node);
                if (keeps_axes(node) && node_output(node, 0) != VALUE_NONE)
                        has_axes[node->outputs[0]] = true;
        }
        if (order == ORDER_UNKNOWN && is_picture_depth(graph->input_dims[3]) &&
            !is_picture_depth(graph->input_dims[1]))
                order = ORDER_CHANNELS_LAST;
        *ret_channels_last = order == ORDER_CHANNELS_LAST;
        return 0;
}

static bool is_transpose_of_input(const struct graph *graph, const struct node *node) {
        return node->n_inputs == 1 && node->inputs[0] == graph->input &&
               node_output(node, 0) != VALUE_NONE && is_permutation(node, (int64_t[]){0, 3, 1, 2});
}

int classifier_take_transpose(struct graph *graph, struct error *error) {
        _cleanup_(aliases_release) struct aliases aliases = {0};
        int r;

        if (graph->output == graph->input)
                return 0;
        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct node *node = &graph->nodes[i];

                for (size_t k = 0; k < node->n_inputs; k++)
                        if (node->inputs[k] == graph->input && !is_transpose_of_input(graph, node))
                                return 0;
        }
        r = aliases_init(&aliases, graph, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *node = &graph->nodes[i];

                if (is_transpose_of_input(graph, node)) {
                        aliases_set(&aliases, node->outputs[0], graph->input);
                        node_kill(node);
                } else {
                        aliases_apply(&aliases, node);
                }
        }
        aliases_apply_to_outputs(&aliases, graph);
        graph->input_is_transposed = true;
        return graph_sweep(graph, error);
}

/* ---- the output that has the scores ---- */

uint32_t classifier_output(const struct graph *graph, size_t n_labels) {
        const struct graph_output *first = NULL;

        for (size_t i = 0; i < graph->n_outputs; i++) {
                const struct graph_output *output = &graph->outputs[i];

                if (!output->is_float)
                        continue;
                if (n_labels > 0 && output->last_dim == (int64_t)n_labels)
                        return output->value;
                first = first ? first : output;
        }
        return first ? first->value : graph->outputs[0].value;
}

/* ---- logits or probabilities ---- */

/* The node that makes value, before node end: so that following a chain back visits each node once. */
static const struct node *producer(const struct graph *graph, uint32_t value, const struct node *end) {
        for (const struct node *node = end; node-- > graph->nodes;)
                if (value != VALUE_NONE && node_output(node, 0) == value)
                        return node;
        return NULL;
}

/* Elements over which a Softmax sums: of one axis, before opset 13 of all axes from that one on. */
static size_t softmax_extent(const struct graph *graph, const struct node *node) {
        const struct shape *shape = &graph->values[node->outputs[0]].shape;
        int64_t axis = node_attribute_integer(node, "axis", node->opset < 13 ? 1 : -1);
        size_t extent = 1;

        axis += axis < 0 ? (int64_t)shape->rank : 0;
        if (axis < 0 || axis >= (int64_t)shape->rank)
                return 0;
        if (node->opset >= 13)
                return shape->dims[axis];
        for (size_t d = (size_t)axis; d < shape->rank; d++)
                extent *= shape->dims[d];
        return extent;
}

/* Exp(x) / ReduceSum(Exp(x)), with one sum an image. */
static bool is_written_out_softmax(const struct graph *graph, const struct node *node, size_t batch) {
        const struct node *exp = producer(graph, node_input(node, 0), node);
        const struct node *sum = producer(graph, node_input(node, 1), node);

        return is(node, "Div") && exp && is(exp, "Exp") && sum && is(sum, "ReduceSum") &&
               node_input(sum, 0) == exp->outputs[0] &&
               shape_elements(&graph->values[sum->outputs[0]].shape) == batch;
}

bool classifier_gives_probabilities(const struct graph *graph, size_t batch) {
        static const char *const renaming[] = {
                "Cast",     "Dequantize", "Dropout", "FakeQuantize", "Flatten",   "Identity",
                "Quantize", "Reshape",    "Squeeze", "Transpose",    "Unsqueeze",
        };
        size_t n_classes = shape_elements(&graph->values[graph->output].shape) / batch;
        const struct node *node = producer(graph, graph->output, graph->nodes + graph->n_nodes);

        while (node && is_one_of(node, renaming, ARRAY_SIZE(renaming)))
                node = producer(graph, node_input(node, 0), node);
        if (!node)
                return false;
        if (is(node, "Softmax"))
                return softmax_extent(graph, node) == n_classes;
        return is(node, "Sigmoid") || is_written_out_softmax(graph, node, batch);
}
