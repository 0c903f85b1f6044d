#include "engine/simplify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/operator.h"
#include "engine/ops/families.h"

int node_error(struct error *error, int code, const struct node *node) {
        return error_prefix(error, code, "node '%s': %s (opset %d)", node->name, node->type, node->opset);
}

static bool is(const struct node *node, const char *type) {
        return !node_is_dead(node) && strcmp(node->type, type) == 0;
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
        bool shape_only = is(node, "Shape") || is(node, "Size") || is(node, "EyeLike");

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
        int r;

        *ret_folded = false;
        if (!can_fold(graph, node))
                return 0;
        folded.tensors = calloc(folded.n, sizeof(struct tensor *));
        if (!folded.tensors)
                return error_no_memory(error);
        r = node->op->infer(graph, node, error);
        for (size_t i = 0; i < node->n_outputs && r >= 0; i++) {
                const struct value *value =
                        node->outputs[i] == VALUE_NONE ? NULL : &graph->values[node->outputs[i]];

                if (value && value->known)
                        r = graph_charge(graph, value->dtype, &value->shape, error);
        }
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

/* float32 constants of n elements, or NULL. */
static const float *floats_of(const struct graph *graph, const struct node *node, size_t input, size_t n) {
        const struct tensor *tensor = graph_input_constant(graph, node, input);

        return tensor && tensor->dtype == DTYPE_F32 && tensor->n_elements == n ? tensor->data : NULL;
}

static int add_constant(struct graph *graph, uint32_t *ret_value, const char *base, const char *what,
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

/* y = x * scale + shift, from y = (x - mean) / sqrt(variance + epsilon) * gamma + beta (ONNX,
 * BatchNormalization). */
static int scale_shift_of(struct tensor **ret_scale, struct tensor **ret_shift, const struct graph *graph,
                          const struct node *node, struct error *error) {
        const struct tensor *gamma_tensor = graph_input_constant(graph, node, 1);
        size_t n = gamma_tensor ? gamma_tensor->n_elements : 0;
        const float *gamma = floats_of(graph, node, 1, n), *beta = floats_of(graph, node, 2, n);
        const float *mean = floats_of(graph, node, 3, n), *variance = floats_of(graph, node, 4, n);
        double epsilon = (double)node_attribute_real(node, "epsilon", 1e-5f);
        _cleanup_(tensor_unrefp) struct tensor *scale = NULL, *shift = NULL;
        struct shape shape = {.rank = 1, .dims = {n}};
        int r;

        if (!gamma || !beta || !mean || !variance || n == 0)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "scale, bias, mean and variance must be float32 constants of "
                                 "one value a channel");
        r = tensor_new(&scale, DTYPE_F32, &shape, error);
        if (r >= 0)
                r = tensor_new(&shift, DTYPE_F32, &shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                double factor = (double)gamma[i] / sqrt((double)variance[i] + epsilon);

                tensor_set(scale, i, factor, 0);
                tensor_set(shift, i, (double)beta[i] - (double)mean[i] * factor, 0);
        }
        *ret_scale = steal_ptr(&scale);
        *ret_shift = steal_ptr(&shift);
        return 0;
}

/* Multiplies scale into the weights [O, ...] of a convolution and makes its bias bias * scale + shift. */
static int fold_into_conv(struct graph *graph, struct node *conv, const struct tensor *scale,
                          const struct tensor *shift, struct error *error) {
        const struct tensor *w = graph_input_constant(graph, conv, 1);
        const struct tensor *b = graph_input_constant(graph, conv, 2);
        _cleanup_(tensor_unrefp) struct tensor *weights = NULL, *bias = NULL;
        size_t channels = scale->n_elements, run = w->n_elements / channels;
        const float *factors = scale->data, *source = w->data;
        float *target;
        uint32_t *inputs;
        int r;

        r = tensor_new(&weights, DTYPE_F32, &w->shape, error);
        if (r >= 0)
                r = tensor_new(&bias, DTYPE_F32, &shift->shape, error);
        if (r < 0)
                return r;
        target = weights->data;
        for (size_t o = 0; o < channels; o++) {
                for (size_t i = 0; i < run; i++)
                        target[o * run + i] = source[o * run + i] * factors[o];
                tensor_set(bias, o, (b ? tensor_real(b, o) * (double)factors[o] : 0) + tensor_real(shift, o),
                           0);
        }

        inputs = pool_allocate(graph->pool, 3, sizeof(*inputs));
        if (!inputs)
                return error_no_memory(error);
        inputs[0] = conv->inputs[0];
        r = add_constant(graph, &inputs[1], conv->name, "weights", weights, error);
        if (r >= 0)
                r = add_constant(graph, &inputs[2], conv->name, "bias", bias, error);
        if (r < 0)
                return r;
        conv->inputs = inputs;
        conv->n_inputs = 3;
        return 0;
}

static bool conv_takes_scale(const struct graph *graph, const struct node *conv,
                             const struct tensor *scale) {
        const struct tensor *w = graph_input_constant(graph, conv, 1);

        return is(conv, "Conv") && w && w->dtype == DTYPE_F32 && w->shape.rank == 4 && w->n_elements > 0 &&
               w->shape.dims[0] == scale->n_elements &&
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
        r = add_constant(graph, &inputs[1], node->name, "scale", scale, error);
        if (r >= 0)
                r = add_constant(graph, &inputs[2], node->name, "shift", shift, error);
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
        const struct tensor *tensor = graph_input_constant(graph, node, input);
        _cleanup_(tensor_unrefp) struct tensor *scaled = NULL;
        int r;

        r = tensor_new(&scaled, DTYPE_F32, &tensor->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < tensor->n_elements; i++)
                ((float *)scaled->data)[i] = ((const float *)tensor->data)[i] * factor;
        return add_constant(graph, &node->inputs[input], node->name, what, scaled, error);
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
        return add_constant(graph, &node->inputs[2], node->name, "row", row, error);
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

int graph_simplify(struct graph *graph, struct error *error) {
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
                r = graph_fold_node(graph, node, &folded, error);
                if (r < 0)
                        return r;
                if (folded)
                        continue;
                if (is(node, "Dropout")) {
                        r = dropout_check(graph, node, error);
                        if (r < 0)
                                return node_error(error, r, node);
                }
                if ((is(node, "Identity") || is(node, "Dropout")) && node_input(node, 0) != VALUE_NONE &&
                    node_output(node, 0) != VALUE_NONE &&
                    (node_output(node, 1) == VALUE_NONE || uses[node->outputs[1]] == 0)) {
                        /* The uses of the output are now uses of the input, in place of the node's own. */
                        uses[node->inputs[0]] += uses[node->outputs[0]] - 1;
                        aliases_set(&aliases, node->outputs[0], node->inputs[0]);
                        node_kill(node);
                        continue;
                }
                r = 0;
                if (is(node, "BatchNormalization") && node_output(node, 0) != VALUE_NONE)
                        r = simplify_batch_normalization(graph, node, uses, producers, &aliases, error);
                else if (is(node, "Gemm"))
                        r = simplify_gemm(graph, node, error);
                if (r < 0)
                        return node_error(error, r, node);
        }
        aliases_apply_to_outputs(&aliases, graph);
        return graph_sweep(graph, error);
}
