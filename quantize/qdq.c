#include "quantize/qdq.h"

#include <math.h>
#include <stdlib.h>

#include "engine/ops/families.h"

#define STEPS 255.0f

struct rounding rounding_of(float low, float high, float limit) {
        struct rounding rounding = {.scale = (high - low) / STEPS};

        if (!(rounding.scale > 1e-30f))
                return (struct rounding){.scale = 1};
        while (low == 0 && high <= limit && rounding.scale * STEPS > limit)
                rounding.scale = nextafterf(rounding.scale, 0);
        rounding.zero_point = (uint8_t)MIN(MAX(nearbyintf(-low / rounding.scale), 0.0f), STEPS);
        return rounding;
}

struct builder {
        struct graph *graph;
        const struct scheme *scheme;
        const struct rounding *roundings;
        struct quantised_weights *const *weights;
        struct node *nodes;
        size_t n_nodes, n_allocated;
        uint32_t *rounded; /* DequantizeLinear's result, for each of the scheme's values; or VALUE_NONE */
};

static struct node *node_add(struct builder *builder, struct error *error) {
        if (builder->n_nodes == builder->n_allocated) {
                size_t n = MAX(2 * builder->n_allocated, (size_t)256);
                struct node *grown = reallocarray(builder->nodes, n, sizeof(*grown));

                if (!grown) {
                        error_no_memory(error);
                        return NULL;
                }
                builder->nodes = grown;
                builder->n_allocated = n;
        }
        return &builder->nodes[builder->n_nodes++];
}

static int constant_add(struct builder *builder, uint32_t *ret_value, const char *name, const char *what,
                        struct tensor *tensor, struct error *error) {
        const char *full = pool_printf(builder->graph->pool, "%s_%s", name, what);
        int r;

        if (!full)
                return error_no_memory(error);
        r = graph_add_value(builder->graph, ret_value, full, error);
        if (r < 0)
                return r;
        graph_set_constant(builder->graph, *ret_value, tensor);
        return 0;
}

/* A scalar: the scale or zero point of a value. */
static int scalar_add(struct builder *builder, uint32_t *ret_value, const char *name, const char *what,
                      enum dtype dtype, double real, int64_t integer, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        int r;

        r = tensor_new(&tensor, dtype, &(struct shape){.rank = 0}, error);
        if (r < 0)
                return r;
        tensor_set(tensor, 0, real, integer);
        return constant_add(builder, ret_value, name, what, tensor, error);
}

/* inputs: a value, its scale, and its zero point or VALUE_NONE: zero, of the value's type. */
static int linear_add(struct builder *builder, const char *type, const uint32_t inputs[3],
                      uint32_t *ret_output, const char *name, const char *what, size_t axis,
                      struct error *error) {
        struct pool *pool = builder->graph->pool;
        struct node *node = node_add(builder, error);
        const char *full = pool_printf(pool, "%s_%s", name, what);
        struct attribute *attribute;
        int r;

        if (!node || !full)
                return error_no_memory(error);
        *node = (struct node){.name = full, .type = type, .domain = "", .opset = 13};
        r = graph_add_value(builder->graph, ret_output, full, error);
        if (r < 0)
                return r;
        node->inputs = pool_copy(pool, inputs, 3, sizeof(*inputs));
        node->outputs = pool_copy(pool, ret_output, 1, sizeof(*ret_output));
        node->n_inputs = inputs[2] == VALUE_NONE ? 2 : 3;
        node->n_outputs = 1;
        if (!node->inputs || !node->outputs)
                return error_no_memory(error);
        if (axis == SIZE_MAX)
                return 0;
        attribute = pool_allocate(pool, 1, sizeof(*attribute));
        if (!attribute)
                return error_no_memory(error);
        *attribute = (struct attribute){.name = "axis", .type = ATTRIBUTE_INT, .integer = (int64_t)axis};
        node->attributes = attribute;
        node->n_attributes = 1;
        return 0;
}

/* value -> QuantizeLinear -> DequantizeLinear. */
static int value_round(struct builder *builder, uint32_t value, struct error *error) {
        struct rounding rounding = builder->roundings[value];
        const char *name = builder->graph->values[value].name;
        uint32_t inputs[3] = {value}, integers = VALUE_NONE;
        int r;

        r = scalar_add(builder, &inputs[1], name, "scale", DTYPE_F32, (double)rounding.scale, 0, error);
        if (r >= 0)
                r = scalar_add(builder, &inputs[2], name, "zero_point", DTYPE_U8, 0, rounding.zero_point,
                               error);
        if (r >= 0)
                r = linear_add(builder, "QuantizeLinear", inputs, &integers, name, "quantized", SIZE_MAX,
                               error);
        inputs[0] = integers;
        if (r >= 0)
                r = linear_add(builder, "DequantizeLinear", inputs, &builder->rounded[value], name,
                               "dequantized", SIZE_MAX, error);
        return r;
}

/* ---- weights ---- */

/* A bias is so many steps of the product of both scales, which must fit 32 bits. */
#define BIAS_LARGEST 2147483000.0

static int weights_add(struct builder *builder, uint32_t *ret_value, const char *name,
                       const struct quantised_weights *weights, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *scales = NULL;
        const struct shape shape = {.rank = 1, .dims = {weights->n_outputs}};
        uint32_t inputs[3] = {VALUE_NONE, VALUE_NONE, VALUE_NONE};
        int r;

        r = tensor_new(&scales, DTYPE_F32, &shape, error);
        if (r < 0)
                return r;
        for (size_t o = 0; o < weights->n_outputs; o++)
                tensor_set(scales, o, (double)weights->scales[o], 0);
        r = constant_add(builder, &inputs[0], name, "weights_quantized", weights->integers, error);
        if (r >= 0)
                r = constant_add(builder, &inputs[1], name, "weights_scale", scales, error);
        if (r >= 0)
                r = linear_add(builder, "DequantizeLinear", inputs, ret_value, name, "weights_dequantized",
                               weights->axis, error);
        return r;
}

static int bias_add(struct builder *builder, uint32_t *ret_value, const char *name,
                    const struct quantised_weights *weights, float source_scale, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *integers = NULL, *scales = NULL;
        const struct shape shape = {.rank = 1, .dims = {weights->n_outputs}};
        uint32_t inputs[3] = {VALUE_NONE, VALUE_NONE, VALUE_NONE};
        int r;

        r = tensor_new(&integers, DTYPE_I32, &shape, error);
        if (r >= 0)
                r = tensor_new(&scales, DTYPE_F32, &shape, error);
        if (r < 0)
                return r;
        for (size_t o = 0; o < weights->n_outputs; o++) {
                float scale = source_scale * weights->scales[o];
                double steps = nearbyint(weights->bias[o] / (double)scale);

                tensor_set(scales, o, (double)scale, 0);
                tensor_set(integers, o, 0, (int64_t)MIN(MAX(steps, -BIAS_LARGEST), BIAS_LARGEST));
        }
        r = constant_add(builder, &inputs[0], name, "bias_quantized", integers, error);
        if (r >= 0)
                r = constant_add(builder, &inputs[1], name, "bias_scale", scales, error);
        if (r >= 0)
                r = linear_add(builder, "DequantizeLinear", inputs, ret_value, name, "bias_dequantized", 0,
                               error);
        return r;
}

static int weights_replace(struct builder *builder, struct node *node,
                           const struct quantised_weights *weights, float source_scale,
                           struct error *error) {
        size_t n = weights->has_bias ? 3 : MIN(node->n_inputs, (size_t)2);
        uint32_t *inputs = pool_allocate(builder->graph->pool, 3, sizeof(*inputs));
        int r;

        if (!inputs)
                return error_no_memory(error);
        inputs[0] = node->inputs[0];
        r = weights_add(builder, &inputs[1], node->name, weights, error);
        if (r >= 0 && weights->has_bias)
                r = bias_add(builder, &inputs[2], node->name, weights, source_scale, error);
        if (r < 0)
                return r;
        node->inputs = inputs;
        node->n_inputs = n;
        return 0;
}

/* ---- nodes ---- */

/* Does rounding to a byte do all that the activation does? */
static bool is_implied(const struct builder *builder, const struct layer *layer) {
        const struct scheme *scheme = builder->scheme;
        struct rounding rounding = builder->roundings[layer->output];
        struct eltwise eltwise[2];

        if (layer->activation == VALUE_NONE || !layer->quantised ||
            !scheme->rounded_by_layer[layer->output] || rounding.zero_point != 0 ||
            eltwise_read(eltwise, scheme->graph, &scheme->graph->nodes[layer->activation]) != 1)
                return false;
        if (eltwise[0].kind == ELTWISE_RELU)
                return eltwise[0].alpha == 0;
        return eltwise[0].kind == ELTWISE_CLIP && eltwise[0].alpha == 0 &&
               rounding.scale * STEPS <= eltwise[0].beta;
}

static int inputs_replace(struct builder *builder, struct node *node, size_t index, struct error *error) {
        const struct scheme *scheme = builder->scheme;
        uint32_t *inputs = pool_copy(builder->graph->pool, node->inputs, node->n_inputs, sizeof(*inputs));

        if (!inputs)
                return error_no_memory(error);
        for (size_t k = 0; k < node->n_inputs; k++) {
                uint32_t value = inputs[k];
                bool reads = scheme->layers[index].quantised && scheme_reads(scheme, index, k);

                /* What a layer on integers gives exists only in its rounded form. */
                if (value != VALUE_NONE && (reads || scheme->rounded_by_layer[value]))
                        inputs[k] = builder->rounded[value];
        }
        node->inputs = inputs;
        return 0;
}

static int node_build(struct builder *builder, size_t index, const bool *left_out, struct error *error) {
        const struct scheme *scheme = builder->scheme;
        const struct layer *layer = &scheme->layers[index];
        const struct node *origin = &scheme->graph->nodes[index];
        struct node node = builder->graph->nodes[index], *added;
        size_t n_outputs = node.n_outputs;
        int r;

        if (left_out[index] || node_is_dead(origin))
                return 0;
        r = inputs_replace(builder, &node, index, error);
        if (r >= 0 && layer->quantised && layer_kind_has_weights(layer->kind))
                r = weights_replace(builder, &node, builder->weights[index],
                                    builder->roundings[origin->inputs[0]].scale, error);
        if (r < 0)
                return r;
        if (is_implied(builder, layer)) {
                node.outputs = pool_copy(builder->graph->pool, &layer->output, 1, sizeof(*node.outputs));
                if (!node.outputs)
                        return error_no_memory(error);
        }
        added = node_add(builder, error);
        if (!added)
                return ERROR_NO_MEMORY;
        *added = node;
        for (size_t o = 0; o < n_outputs; o++) {
                if (node.outputs[o] == VALUE_NONE || !scheme->quantised[node.outputs[o]])
                        continue;
                r = value_round(builder, node.outputs[o], error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int build(struct builder *builder, struct error *error) {
        const struct scheme *scheme = builder->scheme;
        _cleanup_(freep) bool *left_out = calloc(MAX(scheme->graph->n_nodes, 1u), sizeof(*left_out));
        int r = 0;

        if (!left_out)
                return error_no_memory(error);
        for (size_t i = 0; i < scheme->graph->n_nodes; i++)
                if (is_implied(builder, &scheme->layers[i]))
                        left_out[scheme->layers[i].activation] = true;
        if (scheme->quantised[scheme->graph->input])
                r = value_round(builder, scheme->graph->input, error);
        for (size_t i = 0; i < scheme->graph->n_nodes && r >= 0; i++)
                r = node_build(builder, i, left_out, error);
        if (r < 0)
                return r;
        builder->graph->nodes =
                pool_copy(builder->graph->pool, builder->nodes, builder->n_nodes, sizeof(*builder->nodes));
        if (!builder->graph->nodes)
                return error_no_memory(error);
        builder->graph->n_nodes = builder->n_nodes;
        return 0;
}

int qdq_new(struct graph **ret_graph, const struct scheme *scheme, const struct rounding *roundings,
            struct quantised_weights *const *weights, struct error *error) {
        _cleanup_(graph_freep) struct graph *graph = NULL;
        struct builder builder = {.scheme = scheme, .roundings = roundings, .weights = weights};
        int r;

        r = graph_clone(&graph, scheme->graph, error);
        if (r < 0)
                return r;
        builder.graph = graph;
        builder.rounded = malloc(scheme->graph->n_values * sizeof(*builder.rounded));
        r = builder.rounded ? 0 : error_no_memory(error);
        for (size_t i = 0; builder.rounded && i < scheme->graph->n_values; i++)
                builder.rounded[i] = VALUE_NONE;
        if (r >= 0)
                r = build(&builder, error);
        free(builder.nodes);
        free(builder.rounded);
        if (r < 0)
                return r;
        *ret_graph = steal_ptr(&graph);
        return 0;
}
