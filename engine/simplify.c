#include "engine/simplify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/operator.h"
#include "engine/ops/families.h"
#include "engine/origin.h"
#include "engine/quantised.h"
#include "engine/simplify_internal.h"

int node_error(struct error *error, int code, const struct node *node) {
        return error_prefix(error, code, "node '%s': %s (opset %d)", node->name, node->type, node->opset);
}

/* Do elements stay what they are, one by one, so that they need not be there? */
static bool folds_unseen(const struct node *node) {
        static const char *const types[] = {"Cast",  "EyeLike", "Flatten", "Identity", "Reshape",
                                            "Shape", "Size",    "Squeeze", "Unsqueeze"};

        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (node_is(node, types[i]))
                        return true;
        return false;
}

/* Inputs of a node that were given their elements for as long as folding takes. */
struct held {
        struct graph *graph;
        const struct node *node;
        struct tensor **elsewhere; /* what to put back, for each input; NULL: nothing */
};

static void held_release(struct held *held) {
        for (size_t i = 0; held->elsewhere && i < held->node->n_inputs; i++) {
                struct value *value = &held->graph->values[held->node->inputs[i]];

                if (!held->elsewhere[i])
                        continue;
                tensor_unref(value->constant);
                value->constant = held->elsewhere[i];
        }
        free(held->elsewhere);
}

static int inputs_hold(struct held *held, struct error *error) {
        const struct node *node = held->node;
        int r;

        held->elsewhere = calloc(MAX(node->n_inputs, 1u), sizeof(*held->elsewhere));
        if (!held->elsewhere)
                return error_no_memory(error);
        for (size_t i = 0; i < node->n_inputs; i++) {
                struct value *value =
                        node->inputs[i] == VALUE_NONE ? NULL : &held->graph->values[node->inputs[i]];
                struct tensor *tensor;

                if (!value || !value->constant || !value->constant->origin)
                        continue;
                r = tensor_hold(&tensor, value->constant, error);
                if (r < 0)
                        return r;
                held->elsewhere[i] = value->constant;
                value->constant = tensor;
        }
        return 0;
}

/* One place for each output of a node, all of which may be made by folding. */
struct folded {
        struct tensor **tensors;
        size_t n;
};

static void folded_release(struct folded *folded) {
        for (size_t i = 0; folded->tensors && i < folded->n; i++)
                if (folded->tensors[i])
                        tensor_unref(folded->tensors[i]);
        free(folded->tensors);
}

static bool can_fold(const struct graph *graph, const struct node *node) {
        bool shape_only = node_is(node, "Shape") || node_is(node, "Size") || node_is(node, "EyeLike");

        if (!node->op->fold || node_output(node, 0) == VALUE_NONE)
                return false;
        for (size_t i = 0; i < node->n_inputs; i++) {
                const struct value *value =
                        node->inputs[i] == VALUE_NONE ? NULL : &graph->values[node->inputs[i]];

                if (value && !(value->constant || (shape_only && value->known)))
                        return false;
        }
        return true;
}

int graph_fold_node(struct graph *graph, struct node *node, bool *ret_folded, struct error *error) {
        _cleanup_(folded_release) struct folded folded = {.n = node->n_outputs};
        _cleanup_(held_release) struct held held = {.graph = graph, .node = node};
        int r;

        *ret_folded = false;
        if (!can_fold(graph, node))
                return 0;
        folded.tensors = calloc(folded.n, sizeof(struct tensor *));
        if (!folded.tensors)
                return error_no_memory(error);
        r = folds_unseen(node) ? 0 : inputs_hold(&held, error);
        if (r >= 0)
                r = node->op->infer(graph, node, error);
        for (size_t i = 0; i < node->n_outputs && r >= 0; i++) {
                const struct value *value =
                        node->outputs[i] == VALUE_NONE ? NULL : &graph->values[node->outputs[i]];

                if (value && value->known)
                        r = graph_charge(graph, value->dtype, &value->shape, error);
        }
        if (r >= 0)
                r = graph_charge_work(graph, node, error);
        if (r >= 0)
                r = node->op->fold(folded.tensors, graph, node, error);
        if (r < 0)
                return node_error(error, r, node);
        for (size_t i = 0; i < node->n_outputs; i++)
                if (folded.tensors[i] && node->outputs[i] != VALUE_NONE)
                        graph_set_constant(graph, node->outputs[i], folded.tensors[i]);
        node_kill(node);
        *ret_folded = true;
        return 0;
}

/* ---- BatchNormalization ---- */

/* A float32 constant of n elements, or NULL. */
static struct tensor *floats_of(const struct graph *graph, const struct node *node, size_t input, size_t n) {
        uint32_t value = node_input(node, input);
        struct tensor *tensor = value == VALUE_NONE ? NULL : graph->values[value].constant;

        return tensor && tensor->dtype == DTYPE_F32 && tensor->n_elements == n ? tensor : NULL;
}

int simplify_add_constant(struct graph *graph, uint32_t *ret_value, const char *base, const char *what,
                          struct tensor *tensor, struct error *error) {
        const char *name = pool_printf(graph->pool, "%s:%s", base, what);
        int r;

        if (!name)
                return error_no_memory(error);
        r = graph_charge(graph, tensor->dtype, &tensor->shape, error);
        if (r >= 0)
                r = graph_add_value(graph, ret_value, name, error);
        if (r < 0)
                return r;
        graph_set_constant(graph, *ret_value, tensor);
        return 0;
}

struct parameters {
        struct tensor *tensors[4];
};

static void parameters_release(struct parameters *parameters) {
        for (size_t i = 0; i < ARRAY_SIZE(parameters->tensors); i++)
                if (parameters->tensors[i])
                        tensor_unref(parameters->tensors[i]);
}

/* y = x * scale + shift, from y = (x - mean) / sqrt(variance + epsilon) * gamma + beta (ONNX,
 * BatchNormalization). */
static int scale_shift_of(struct tensor **ret_scale, struct tensor **ret_shift, const struct graph *graph,
                          const struct node *node, struct error *error) {
        enum { GAMMA, BETA, MEAN, VARIANCE, N_PARAMETERS };
        const struct tensor *first = graph_input_constant(graph, node, 1);
        size_t n = first ? first->n_elements : 0;
        double epsilon = (double)node_attribute_real(node, "epsilon", 1e-5f);
        _cleanup_(parameters_release) struct parameters parameters = {0};
        _cleanup_(tensor_unrefp) struct tensor *scale = NULL, *shift = NULL;
        struct shape shape = {.rank = 1, .dims = {n}};
        int r;

        for (size_t i = 0; i < N_PARAMETERS; i++) {
                struct tensor *tensor = floats_of(graph, node, 1 + i, n);

                if (!tensor || n == 0)
                        return error_set(error, ERROR_UNSUPPORTED,
                                         "scale, bias, mean and variance must be float32 constants of "
                                         "one value a channel");
                r = tensor_hold(&parameters.tensors[i], tensor, error);
                if (r < 0)
                        return r;
        }
        r = tensor_new(&scale, DTYPE_F32, &shape, error);
        if (r >= 0)
                r = tensor_new(&shift, DTYPE_F32, &shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                double factor = tensor_real(parameters.tensors[GAMMA], i) /
                                sqrt(tensor_real(parameters.tensors[VARIANCE], i) + epsilon);

                tensor_set(scale, i, factor, 0);
                tensor_set(shift, i,
                           tensor_real(parameters.tensors[BETA], i) -
                                   tensor_real(parameters.tensors[MEAN], i) * factor,
                           0);
        }
        *ret_scale = steal_ptr(&scale);
        *ret_shift = steal_ptr(&shift);
        return 0;
}

/* Multiplies scale into the weights [O, ...] of a convolution and makes its bias bias * scale + shift. */
static int fold_into_conv(struct graph *graph, struct node *conv, struct tensor *scale,
                          const struct tensor *shift, struct error *error) {
        size_t channels = scale->n_elements;
        struct tensor *w = graph->values[conv->inputs[1]].constant, *b = floats_of(graph, conv, 2, channels);
        _cleanup_(tensor_unrefp) struct tensor *weights = NULL, *bias = NULL, *old_bias = NULL;
        uint32_t *inputs;
        int r;

        r = tensor_scale_rows(&weights, w, scale, error);
        if (r >= 0)
                r = tensor_new(&bias, DTYPE_F32, &shift->shape, error);
        if (r >= 0 && b)
                r = tensor_hold(&old_bias, b, error);
        if (r < 0)
                return r;
        for (size_t o = 0; o < channels; o++)
                tensor_set(bias, o,
                           (old_bias ? tensor_real(old_bias, o) * tensor_real(scale, o) : 0) +
                                   tensor_real(shift, o),
                           0);

        inputs = pool_allocate(graph->pool, 3, sizeof(*inputs));
        if (!inputs)
                return error_no_memory(error);
        inputs[0] = conv->inputs[0];
        r = simplify_add_constant(graph, &inputs[1], conv->name, "weights", weights, error);
        if (r >= 0)
                r = simplify_add_constant(graph, &inputs[2], conv->name, "bias", bias, error);
        if (r < 0)
                return r;
        conv->inputs = inputs;
        conv->n_inputs = 3;
        return 0;
}

static bool conv_takes_scale(const struct graph *graph, const struct node *conv,
                             const struct tensor *scale) {
        const struct tensor *w = graph_input_constant(graph, conv, 1);

        return node_is(conv, "Conv") && w && w->dtype == DTYPE_F32 && w->shape.rank == 4 &&
               w->n_elements > 0 && w->shape.dims[0] == scale->n_elements &&
               (node_input(conv, 2) == VALUE_NONE || floats_of(graph, conv, 2, scale->n_elements));
}

static int simplify_batch_normalization(struct graph *graph, struct node *node, uint32_t *uses,
                                        const uint32_t *producers, struct aliases *aliases,
                                        struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *scale = NULL, *shift = NULL;
        uint32_t input = node_input(node, 0), *inputs;
        struct node *conv;
        int r;

        if (input == VALUE_NONE)
                return error_set(error, ERROR_INVALID, "input 0 is missing");
        if (node_attribute_integer(node, "training_mode", 0) != 0 ||
            node_attribute_integer(node, "spatial", 1) == 0)
                return error_set(error, ERROR_UNSUPPORTED, "training_mode, or spatial 0");
        r = scale_shift_of(&scale, &shift, graph, node, error);
        if (r < 0)
                return r;

        conv = producers[input] == VALUE_NONE ? NULL : &graph->nodes[producers[input]];
        if (conv && uses[input] == 1 && conv_takes_scale(graph, conv, scale)) {
                r = fold_into_conv(graph, conv, scale, shift, error);
                if (r < 0)
                        return r;
                /* Who reads the result now reads the convolution: a further BatchNormalization must count
                 * them. */
                uses[conv->outputs[0]] = uses[node->outputs[0]];
                aliases_set(aliases, node->outputs[0], conv->outputs[0]);
                node_kill(node);
                return 0;
        }

        inputs = pool_allocate(graph->pool, 3, sizeof(*inputs));
        if (!inputs)
                return error_no_memory(error);
        inputs[0] = input;
        r = simplify_add_constant(graph, &inputs[1], node->name, "scale", scale, error);
        if (r >= 0)
                r = simplify_add_constant(graph, &inputs[2], node->name, "shift", shift, error);
        if (r < 0)
                return r;
        node->inputs = inputs;
        node->n_inputs = 3;
        node->n_outputs = 1;
        node->type = "ScaleShift";
        node->op = operator_find_internal("ScaleShift");
        return 0;
}

/* ---- Gemm ---- */

/* Multiplies the constant input by factor, in place of the attribute. */
static int scale_input(struct graph *graph, struct node *node, size_t input, float factor, const char *what,
                       struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *scaled = NULL, *factors = NULL;
        int r;

        r = tensor_new(&factors, DTYPE_F32, &(struct shape){.rank = 1, .dims = {1}}, error);
        if (r < 0)
                return r;
        tensor_set(factors, 0, (double)factor, 0);
        r = tensor_scale_rows(&scaled, graph->values[node->inputs[input]].constant, factors, error);
        if (r < 0)
                return r;
        return simplify_add_constant(graph, &node->inputs[input], node->name, what, scaled, error);
}

/* A bias of one value becomes a row of them, as long as the constant second matrix is wide. */
static int widen_bias(struct graph *graph, struct node *node, struct error *error) {
        const struct tensor *b = graph_input_constant(graph, node, 1),
                            *c = graph_input_constant(graph, node, 2);
        _cleanup_(tensor_unrefp) struct tensor *row = NULL;
        struct shape shape = {.rank = 1};
        int r;

        if (!c || c->n_elements != 1 || b->shape.rank != 2)
                return 0;
        shape.dims[0] = b->shape.dims[node_attribute_integer(node, "transB", 0) != 0 ? 0 : 1];
        r = tensor_new(&row, DTYPE_F32, &shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < row->n_elements; i++)
                tensor_set(row, i, tensor_real(c, 0), 0);
        return simplify_add_constant(graph, &node->inputs[2], node->name, "row", row, error);
}

static bool is_float_constant(const struct graph *graph, const struct node *node, size_t input) {
        const struct tensor *tensor = graph_input_constant(graph, node, input);

        return tensor && tensor->dtype == DTYPE_F32;
}

static int simplify_gemm(struct graph *graph, struct node *node, struct error *error) {
        float alpha = node_attribute_real(node, "alpha", 1), beta = node_attribute_real(node, "beta", 1);
        struct attribute *attributes;
        int r;

        if (!is_float_constant(graph, node, 1) ||
            (node_input(node, 2) != VALUE_NONE && !is_float_constant(graph, node, 2)))
                return 0;
        r = widen_bias(graph, node, error);
        if (r < 0 || (alpha == 1 && beta == 1))
                return r;
        if (alpha != 1) {
                r = scale_input(graph, node, 1, alpha, "alpha", error);
                if (r < 0)
                        return r;
        }
        if (beta != 1 && node_input(node, 2) != VALUE_NONE) {
                r = scale_input(graph, node, 2, beta, "beta", error);
                if (r < 0)
                        return r;
        }
        attributes = pool_copy(graph->pool, node->attributes, node->n_attributes, sizeof(*attributes));
        if (!attributes)
                return error_no_memory(error);
        for (size_t i = 0; i < node->n_attributes; i++)
                if (strcmp(attributes[i].name, "alpha") == 0 || strcmp(attributes[i].name, "beta") == 0)
                        attributes[i].real = 1;
        node->attributes = attributes;
        return 0;
}

/* keep_quantised: constants stay integers under a DequantizeLinear. */
static int simplify_nodes(struct graph *graph, bool keep_quantised, struct error *error) {
        _cleanup_(freep) uint32_t *uses = graph_count_uses(graph);
        _cleanup_(freep) uint32_t *producers = graph_find_producers(graph);
        _cleanup_(aliases_release) struct aliases aliases = {0};
        int r;

        if (!uses || !producers)
                return error_no_memory(error);
        r = aliases_init(&aliases, graph, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *node = &graph->nodes[i];
                bool folded;

                aliases_apply(&aliases, node);
                if (keep_quantised && node_is(node, "DequantizeLinear"))
                        continue;
                r = graph_fold_node(graph, node, &folded, error);
                if (r < 0)
                        return r;
                if (folded)
                        continue;
                if (node_is(node, "Dropout")) {
                        r = dropout_check(graph, node, error);
                        if (r < 0)
                                return node_error(error, r, node);
                }
                if ((node_is(node, "Identity") || node_is(node, "Dropout")) &&
                    node_input(node, 0) != VALUE_NONE && node_output(node, 0) != VALUE_NONE &&
                    (node_output(node, 1) == VALUE_NONE || uses[node->outputs[1]] == 0)) {
                        /* The uses of the output are now uses of the input, in place of the node's own. */
                        uses[node->inputs[0]] += uses[node->outputs[0]] - 1;
                        aliases_set(&aliases, node->outputs[0], node->inputs[0]);
                        node_kill(node);
                        continue;
                }
                r = 0;
                if (node_is(node, "BatchNormalization") && node_output(node, 0) != VALUE_NONE)
                        r = simplify_batch_normalization(graph, node, uses, producers, &aliases, error);
                else if (node_is(node, "Gemm"))
                        r = simplify_gemm(graph, node, error);
                else if (node_is(node, "Mul") && node_output(node, 0) != VALUE_NONE)
                        r = simplify_layer_scale(graph, node, uses, producers, &aliases, error);
                if (r < 0)
                        return node_error(error, r, node);
        }
        aliases_apply_to_outputs(&aliases, graph);
        return graph_sweep(graph, error);
}

int graph_simplify(struct graph *graph, enum precision precision, struct error *error) {
        bool integers = precision == PRECISION_INT8;
        int r;

        if (!graph_is_quantised(graph))
                return simplify_nodes(graph, false, error);
        r = simplify_nodes(graph, integers, error);
        if (r >= 0)
                r = graph_quantised_expand(graph, error);
        if (r >= 0)
                r = integers ? graph_quantised_keep(graph, error) : graph_quantised_to_float(graph, error);
        return r < 0 ? r : simplify_nodes(graph, false, error);
}
