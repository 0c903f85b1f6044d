#include "quantize/scheme.h"

#include <stdlib.h>
#include <string.h>

#include "engine/ops/families.h"

const char *layer_kind_name(enum layer_kind kind) {
        static const char *const names[] = {
                [LAYER_NONE] = "float32",          [LAYER_CONV] = "convolution",
                [LAYER_DEPTHWISE] = "depthwise",   [LAYER_GEMM] = "fully connected",
                [LAYER_MATMUL] = "matrix product", [LAYER_ADD] = "sum",
                [LAYER_MUL] = "product",           [LAYER_POOL] = "average",
                [LAYER_TIED] = "rearrangement",    [LAYER_LOOKUP] = "function",
        };

        return names[kind];
}

bool layer_kind_has_weights(enum layer_kind kind) {
        return kind == LAYER_CONV || kind == LAYER_DEPTHWISE || kind == LAYER_GEMM || kind == LAYER_MATMUL;
}

static bool is_one_of(const struct node *node, const char *const *types, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (node_is(node, types[i]))
                        return true;
        return false;
}

static const struct tensor *float_constant(const struct graph *graph, const struct node *node,
                                           size_t input) {
        const struct tensor *tensor = graph_input_constant(graph, node, input);

        return tensor && tensor->dtype == DTYPE_F32 && tensor->n_elements > 0 ? tensor : NULL;
}

static bool has_usable_bias(const struct graph *graph, const struct node *node, size_t n) {
        const struct tensor *bias = float_constant(graph, node, 2);

        return node_input(node, 2) == VALUE_NONE || (bias && bias->shape.rank == 1 && bias->n_elements == n);
}

static enum layer_kind conv_kind(const struct graph *graph, const struct node *node) {
        const struct tensor *w = float_constant(graph, node, 1);

        if (!w || w->shape.rank < 3 || !has_usable_bias(graph, node, w->shape.dims[0]))
                return LAYER_NONE;
        return w->shape.dims[1] == 1 && node_attribute_integer(node, "group", 1) > 1 ? LAYER_DEPTHWISE
                                                                                     : LAYER_CONV;
}

static enum layer_kind gemm_kind(const struct graph *graph, const struct node *node) {
        const struct tensor *w = float_constant(graph, node, 1);

        if (!w || w->shape.rank != 2 || node_attribute_integer(node, "transA", 0) != 0 ||
            node_attribute_real(node, "alpha", 1) != 1 || node_attribute_real(node, "beta", 1) != 1 ||
            !has_usable_bias(graph, node, w->shape.dims[layer_weights_axis(node)]))
                return LAYER_NONE;
        return LAYER_GEMM;
}

static bool is_computed(const struct graph *graph, uint32_t value) {
        return value != VALUE_NONE && !graph->values[value].constant;
}

/* Two maps of one shape, or where a gate is allowed one of them [N, C, 1, 1]. */
static bool reads_two_maps(const struct graph *graph, const struct graph *shapes, const struct node *node,
                           bool gate) {
        const struct value *a, *b;

        if (node->n_inputs != 2 || !is_computed(graph, node->inputs[0]) ||
            !is_computed(graph, node->inputs[1]) || node->inputs[0] == node->inputs[1])
                return false;
        a = &shapes->values[node->inputs[0]];
        b = &shapes->values[node->inputs[1]];
        if (!a->known || !b->known || a->dtype != DTYPE_F32)
                return false;
        if (shape_equal(&a->shape, &b->shape))
                return true;
        if (a->shape.rank != 4 || b->shape.rank != 4 || !gate || a->shape.dims[1] != b->shape.dims[1])
                return false;
        return a->shape.dims[2] * a->shape.dims[3] == 1 || b->shape.dims[2] * b->shape.dims[3] == 1;
}

/* x * Sigmoid(x) is a function of x: the sigmoid alone is not rounded. */
static bool is_silu(const struct graph *graph, const uint32_t *makers, const struct node *node,
                    size_t *ret_sigmoid) {
        for (size_t i = 0; i < node->n_inputs && node->n_inputs == 2; i++) {
                uint32_t value = node->inputs[i];
                const struct node *producer = value == VALUE_NONE || makers[value] == VALUE_NONE
                                                      ? NULL
                                                      : &graph->nodes[makers[value]];

                if (producer && node_is(producer, "Sigmoid") &&
                    node_input(producer, 0) == node->inputs[1 - i]) {
                        *ret_sigmoid = makers[value];
                        return true;
                }
        }
        return false;
}

static enum layer_kind kind_of(const struct graph *graph, const struct graph *shapes,
                               const struct node *node) {
        static const char *const tied[] = {"Concat", "Flatten", "Identity", "MaxPool",   "Reshape",
                                           "Slice",  "Split",   "Squeeze",  "Transpose", "Unsqueeze"};
        static const char *const lookups[] = {"Clip",      "Elu",  "HardSigmoid", "HardSwish",
                                              "LeakyRelu", "Relu", "Sigmoid",     "Tanh"};
        uint32_t output = node_output(node, 0);

        if (output == VALUE_NONE || !shapes->values[output].known ||
            shapes->values[output].dtype != DTYPE_F32 || shapes->values[output].constant)
                return LAYER_NONE;
        if (node_is(node, "Conv"))
                return conv_kind(graph, node);
        if (node_is(node, "Gemm"))
                return gemm_kind(graph, node);
        if (node_is(node, "MatMul")) {
                const struct tensor *w = float_constant(graph, node, 1);

                return w && w->shape.rank == 2 ? LAYER_MATMUL : LAYER_NONE;
        }
        if (node_is(node, "Add"))
                return reads_two_maps(graph, shapes, node, false) ? LAYER_ADD : LAYER_NONE;
        if (node_is(node, "Mul"))
                return reads_two_maps(graph, shapes, node, true) ? LAYER_MUL : LAYER_NONE;
        if (node_is(node, "AveragePool") || node_is(node, "GlobalAveragePool"))
                return LAYER_POOL;
        if (is_one_of(node, tied, ARRAY_SIZE(tied)))
                return LAYER_TIED;
        return is_one_of(node, lookups, ARRAY_SIZE(lookups)) ? LAYER_LOOKUP : LAYER_NONE;
}

size_t layer_weights_axis(const struct node *node) {
        if (node_is(node, "Conv"))
                return 0;
        return node_is(node, "Gemm") && node_attribute_integer(node, "transB", 0) != 0 ? 0 : 1;
}

bool scheme_reads(const struct scheme *scheme, size_t node, size_t input) {
        const struct graph *graph = scheme->graph;
        const struct node *n = &graph->nodes[node];
        enum layer_kind kind = scheme->layers[node].kind;

        size_t sigmoid;

        if (kind == LAYER_NONE || !is_computed(graph, node_input(n, input)))
                return false;
        if (kind == LAYER_LOOKUP && is_silu(graph, scheme->makers, n, &sigmoid))
                return n->inputs[input] == graph->nodes[sigmoid].inputs[0];
        return input == 0 || kind == LAYER_ADD || kind == LAYER_MUL || node_is(n, "Concat");
}

static bool folds_activation(const struct graph *graph, const struct node *node) {
        struct eltwise eltwise[2];

        return (node_is(node, "Relu") || node_is(node, "Clip")) && eltwise_read(eltwise, graph, node) == 1;
}

/* The node that alone reads value, or NULL. */
static const struct node *only_reader(const struct graph *graph, const uint32_t *uses, uint32_t value) {
        if (uses[value] != 1)
                return NULL;
        for (size_t i = 0; i < graph->n_nodes; i++)
                for (size_t k = 0; k < graph->nodes[i].n_inputs; k++)
                        if (graph->nodes[i].inputs[k] == value)
                                return &graph->nodes[i];
        return NULL;
}

static void find_layers(struct scheme *scheme, const struct graph *shapes, const uint32_t *uses) {
        const struct graph *graph = scheme->graph;
        size_t sigmoid;

        for (size_t i = 0; i < graph->n_nodes; i++)
                scheme->layers[i] = (struct layer){.kind = kind_of(graph, shapes, &graph->nodes[i]),
                                                   .activation = VALUE_NONE,
                                                   .output = node_output(&graph->nodes[i], 0)};
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct layer *layer = &scheme->layers[i];
                const struct node *reader;

                if (layer->kind == LAYER_MUL && is_silu(graph, scheme->makers, &graph->nodes[i], &sigmoid)) {
                        layer->kind = LAYER_LOOKUP;
                        if (uses[scheme->layers[sigmoid].output] == 1)
                                scheme->layers[sigmoid].kind = LAYER_NONE;
                }
                if (layer->kind == LAYER_NONE || layer->kind == LAYER_TIED || layer->kind == LAYER_LOOKUP ||
                    layer->kind == LAYER_MATMUL)
                        continue;
                reader = only_reader(graph, uses, layer->output);
                if (!reader || !folds_activation(graph, reader) || reader->inputs[0] != layer->output)
                        continue;
                layer->activation = (uint32_t)(reader - graph->nodes);
                layer->output = reader->outputs[0];
        }
        for (size_t i = 0; i < graph->n_nodes; i++)
                if (scheme->layers[i].activation != VALUE_NONE)
                        scheme->layers[scheme->layers[i].activation].kind = LAYER_NONE;
        for (size_t i = 0; i < graph->n_nodes; i++)
                if (scheme->layers[i].kind != LAYER_NONE)
                        for (size_t k = 0; k < graph->nodes[i].n_outputs; k++)
                                if (graph->nodes[i].outputs[k] != VALUE_NONE)
                                        scheme->producers[k == 0 ? scheme->layers[i].output
                                                                 : graph->nodes[i].outputs[k]] = (uint32_t)i;
}

static bool is_followable(const struct scheme *scheme, const bool *integers, size_t node) {
        const struct graph *graph = scheme->graph;
        const struct node *n = &graph->nodes[node];
        bool any = false;

        for (size_t k = 0; k < n->n_inputs; k++) {
                if (!scheme_reads(scheme, node, k))
                        continue;
                any = true;
                if (!integers[n->inputs[k]])
                        return false;
        }
        return any;
}

/* Forwards: what may be integers. Backwards: whether anybody wants them. */
static int follow(struct scheme *scheme, struct error *error) {
        const struct graph *graph = scheme->graph;
        _cleanup_(freep) bool *integers = calloc(graph->n_values, sizeof(*integers));
        _cleanup_(freep) bool *wanted = calloc(graph->n_values, sizeof(*wanted));

        if (!integers || !wanted)
                return error_no_memory(error);
        integers[graph->input] = true;
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct layer *layer = &scheme->layers[i];
                const struct node *node = &graph->nodes[i];

                if (layer->kind == LAYER_NONE)
                        continue;
                if (!layer_kind_has_weights(layer->kind) && !is_followable(scheme, integers, i)) {
                        layer->kind = LAYER_NONE;
                        continue;
                }
                if (layer->kind == LAYER_MATMUL)
                        continue;
                integers[layer->output] = true;
                for (size_t k = 1; k < node->n_outputs; k++)
                        if (node->outputs[k] != VALUE_NONE)
                                integers[node->outputs[k]] = true;
        }
        for (size_t i = graph->n_nodes; i-- > 0;) {
                struct layer *layer = &scheme->layers[i];
                const struct node *node = &graph->nodes[i];

                if (layer->kind == LAYER_NONE)
                        continue;
                layer->useful = layer_kind_has_weights(layer->kind) || wanted[layer->output];
                for (size_t k = 1; k < node->n_outputs; k++)
                        layer->useful = layer->useful ||
                                        (node->outputs[k] != VALUE_NONE && wanted[node->outputs[k]]);
                for (size_t k = 0; layer->useful && k < node->n_inputs; k++)
                        if (scheme_reads(scheme, i, k))
                                wanted[node->inputs[k]] = true;
        }
        return 0;
}

static uint32_t class_find(const struct scheme *scheme, uint32_t value) {
        while (scheme->class_of[value] != value)
                value = scheme->class_of[value];
        return value;
}

/* The smaller number names the class: that of the picture is the picture's. */
static void class_join(struct scheme *scheme, uint32_t a, uint32_t b) {
        a = class_find(scheme, a);
        b = class_find(scheme, b);
        scheme->class_of[MAX(a, b)] = MIN(a, b);
}

/* What moves integers is of use only where a layer behind it reads them: its readers are settled first. */
static bool is_wanted(const struct scheme *scheme, const struct layer *layer, const struct node *node) {
        if (layer->kind != LAYER_TIED)
                return true;
        for (size_t o = 0; o < node->n_outputs; o++)
                if (node->outputs[o] != VALUE_NONE && scheme->quantised[node->outputs[o]])
                        return true;
        return scheme->quantised[layer->output];
}

static void settle(struct scheme *scheme, const bool *kept) {
        const struct graph *graph = scheme->graph;

        for (size_t i = graph->n_nodes; i-- > 0;) {
                struct layer *layer = &scheme->layers[i];
                const struct node *node = &graph->nodes[i];

                layer->quantised = layer->kind != LAYER_NONE && layer->useful && !(kept && kept[i]) &&
                                   is_wanted(scheme, layer, node);
                for (size_t k = 0; layer->quantised && k < node->n_inputs; k++) {
                        if (!scheme_reads(scheme, i, k))
                                continue;
                        scheme->quantised[node->inputs[k]] = true;
                        for (size_t o = 0; layer->kind == LAYER_TIED && o < node->n_outputs; o++)
                                if (node->outputs[o] != VALUE_NONE)
                                        class_join(scheme, node->inputs[k], node->outputs[o]);
                }
        }
        for (uint32_t v = 0; v < graph->n_values; v++) {
                uint32_t producer = scheme->producers[v];

                scheme->class_of[v] = class_find(scheme, v);
                scheme->rounded_by_layer[v] =
                        scheme->quantised[v] && producer != VALUE_NONE && scheme->layers[producer].quantised;
        }
}

int scheme_new(struct scheme **ret_scheme, const struct graph *graph, const struct graph *shapes,
               const bool *kept, struct error *error) {
        _cleanup_(scheme_freep) struct scheme *scheme = calloc(1, sizeof(*scheme));
        _cleanup_(freep) uint32_t *uses = graph_count_uses(graph);
        int r;

        if (!scheme || !uses)
                return error_no_memory(error);
        scheme->graph = graph;
        scheme->makers = graph_find_producers(graph);
        scheme->layers = calloc(MAX(graph->n_nodes, 1u), sizeof(*scheme->layers));
        scheme->class_of = calloc(graph->n_values, sizeof(*scheme->class_of));
        scheme->producers = calloc(graph->n_values, sizeof(*scheme->producers));
        scheme->quantised = calloc(graph->n_values, sizeof(*scheme->quantised));
        scheme->rounded_by_layer = calloc(graph->n_values, sizeof(*scheme->rounded_by_layer));
        if (!scheme->makers || !scheme->layers || !scheme->class_of || !scheme->producers ||
            !scheme->quantised || !scheme->rounded_by_layer)
                return error_no_memory(error);
        for (uint32_t v = 0; v < graph->n_values; v++) {
                scheme->class_of[v] = v;
                scheme->producers[v] = VALUE_NONE;
        }
        find_layers(scheme, shapes, uses);
        r = follow(scheme, error);
        if (r < 0)
                return r;
        settle(scheme, kept);
        *ret_scheme = steal_ptr(&scheme);
        return 0;
}

void scheme_free(struct scheme *scheme) {
        free(scheme->makers);
        free(scheme->layers);
        free(scheme->class_of);
        free(scheme->producers);
        free(scheme->quantised);
        free(scheme->rounded_by_layer);
        free(scheme);
}
