#include <stdlib.h>
#include <string.h>

#include "engine/operator.h"
#include "engine/quantised_internal.h"

bool quantised_same_parameter(const struct graph *graph, uint32_t a, uint32_t b) {
        const struct tensor *x, *y;

        if (a == b || a == VALUE_NONE || b == VALUE_NONE)
                return a == b;
        x = graph->values[a].constant;
        y = graph->values[b].constant;
        return x && y && x->dtype == y->dtype && x->n_elements == y->n_elements && x->data && y->data &&
               memcmp(x->data, y->data, tensor_bytes(x)) == 0;
}

/* An axis says nothing where there is one scale. */
static bool same_axis(const struct graph *graph, const struct node *a, const struct node *b) {
        const struct tensor *scale = graph_input_constant(graph, a, 1);

        return (scale && scale->n_elements == 1) ||
               node_attribute_integer(a, "axis", 1) == node_attribute_integer(b, "axis", 1);
}

static bool same_attributes(const struct graph *graph, const struct node *a, const struct node *b) {
        return same_axis(graph, a, b) &&
               node_attribute_integer(a, "block_size", 0) == node_attribute_integer(b, "block_size", 0) &&
               node_attribute_integer(a, "output_dtype", 0) == node_attribute_integer(b, "output_dtype", 0);
}

/* ---- equal ones ---- */

#define EQUALS_MAX 16u /* nodes that are compared with each other: a value has a few readers */

/* Nodes that read one value, the latest first. */
struct readers {
        uint32_t *first;    /* for each value */
        uint32_t *previous; /* for each node */
};

static void readers_release(struct readers *readers) {
        free(readers->first);
        free(readers->previous);
}

static bool is_linear(const struct node *node) {
        return (node_is(node, "QuantizeLinear") || node_is(node, "DequantizeLinear")) &&
               node_input(node, 0) != VALUE_NONE && node_output(node, 0) != VALUE_NONE;
}

static const struct node *find_equal(const struct graph *graph, const struct readers *readers,
                                     const struct node *node) {
        uint32_t index = readers->first[node->inputs[0]];

        for (size_t i = 0; i < EQUALS_MAX && index != VALUE_NONE; i++, index = readers->previous[index]) {
                const struct node *other = &graph->nodes[index];

                if (strcmp(node->type, other->type) == 0 && same_attributes(graph, node, other) &&
                    quantised_same_parameter(graph, node_input(node, 1), node_input(other, 1)) &&
                    quantised_same_parameter(graph, node_input(node, 2), node_input(other, 2)))
                        return other;
        }
        return NULL;
}

int quantised_merge(struct graph *graph, struct error *error) {
        _cleanup_(readers_release) struct readers readers = {
                .first = malloc(MAX(graph->n_values, 1u) * sizeof(*readers.first)),
                .previous = malloc(MAX(graph->n_nodes, 1u) * sizeof(*readers.previous))};
        _cleanup_(aliases_release) struct aliases aliases = {0};
        int r;

        if (!readers.first || !readers.previous)
                return error_no_memory(error);
        r = aliases_init(&aliases, graph, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < graph->n_values; i++)
                readers.first[i] = VALUE_NONE;
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *node = &graph->nodes[i];
                const struct node *equal;

                aliases_apply(&aliases, node);
                if (!is_linear(node))
                        continue;
                equal = find_equal(graph, &readers, node);
                if (equal) {
                        aliases_set(&aliases, node->outputs[0], equal->outputs[0]);
                        node_kill(node);
                        continue;
                }
                readers.previous[i] = readers.first[node->inputs[0]];
                readers.first[node->inputs[0]] = (uint32_t)i;
        }
        aliases_apply_to_outputs(&aliases, graph);
        return graph_sweep(graph, error);
}

/* ---- in float32 ---- */

int quantised_fake(struct graph *graph, const struct node *quantize, struct node *dequantize,
                   struct error *error) {
        bool same = quantised_same_parameter(graph, node_input(quantize, 1), node_input(dequantize, 1)) &&
                    quantised_same_parameter(graph, node_input(quantize, 2), node_input(dequantize, 2));
        uint32_t *inputs = pool_allocate(graph->pool, 5, sizeof(*inputs));

        if (!inputs)
                return error_no_memory(error);
        for (size_t i = 0; i < 3; i++)
                inputs[i] = node_input(quantize, i);
        for (size_t i = 1; i < 3; i++)
                inputs[i + 2] = same ? VALUE_NONE : node_input(dequantize, i);
        dequantize->inputs = inputs;
        dequantize->n_inputs = 5;
        dequantize->attributes = quantize->attributes;
        dequantize->n_attributes = quantize->n_attributes;
        dequantize->type = "FakeQuantize";
        dequantize->op = operator_find_internal("FakeQuantize");
        return 0;
}

int graph_quantised_to_float(struct graph *graph, struct error *error) {
        _cleanup_(freep) uint32_t *producers = graph_find_producers(graph);

        if (!producers)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *node = &graph->nodes[i];
                const struct node *quantize;
                uint32_t index;
                int r;

                if (!node_is(node, "DequantizeLinear") || !is_linear(node))
                        continue;
                index = producers[node->inputs[0]];
                quantize = index == VALUE_NONE ? NULL : &graph->nodes[index];
                if (!node_is(quantize, "QuantizeLinear") || !is_linear(quantize) ||
                    !same_axis(graph, node, quantize))
                        continue;
                r = quantised_fake(graph, quantize, node, error);
                if (r < 0)
                        return r;
        }
        return graph_sweep(graph, error);
}
