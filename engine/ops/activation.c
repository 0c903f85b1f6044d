#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/ops/native.h"

/* Functions of one element with parameters: activations. Those that oneDNN has are steps of unary.c and only
 * folded here. */

struct parameters {
        float a, b;
};

struct function {
        const char *type;
        const char *name_a, *name_b; /* of the attributes; NULL: none */
        struct parameters defaults;
        float (*apply)(float x, struct parameters p);
};

static float celu(float x, struct parameters p) {
        return fmaxf(0, x) + fminf(0, p.a * expm1f(x / p.a));
}

static float clip(float x, struct parameters p) {
        return fminf(fmaxf(x, p.a), p.b);
}

static float elu(float x, struct parameters p) {
        return x < 0 ? p.a * expm1f(x) : x;
}

static float hard_sigmoid(float x, struct parameters p) {
        return fmaxf(0, fminf(1, p.a * x + p.b));
}

static float hard_swish(float x, _unused_ struct parameters p) {
        return x * fmaxf(0, fminf(1, x / 6 + 0.5f));
}

static float leaky_relu(float x, struct parameters p) {
        return x < 0 ? p.a * x : x;
}

static float selu(float x, struct parameters p) {
        return x <= 0 ? p.b * p.a * expm1f(x) : p.b * x;
}

static float shrink(float x, struct parameters p) {
        return x < -p.b ? x + p.a : x > p.b ? x - p.a : 0;
}

static float thresholded_relu(float x, struct parameters p) {
        return x > p.a ? x : 0;
}

static const struct function functions[] = {
        {"Celu", "alpha", NULL, {1, 0}, celu},
        {"Clip", "min", "max", {-FLT_MAX, FLT_MAX}, clip},
        {"Elu", "alpha", NULL, {1, 0}, elu},
        {"HardSigmoid", "alpha", "beta", {0.2f, 0.5f}, hard_sigmoid},
        {"HardSwish", NULL, NULL, {0, 0}, hard_swish},
        {"LeakyRelu", "alpha", NULL, {0.01f, 0}, leaky_relu},
        /* The defaults are those of ONNX. */
        {"Selu", "alpha", "gamma", {1.67326319217681884765625f, 1.05070102214813232421875f}, selu},
        {"Shrink", "bias", "lambd", {0, 0.5f}, shrink},
        {"ThresholdedRelu", "alpha", NULL, {1, 0}, thresholded_relu},
};

static const struct function *function_of(const struct node *node) {
        for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
                if (strcmp(functions[i].type, node->type) == 0)
                        return &functions[i];
        return NULL;
}

static struct parameters parameters_of(const struct graph *graph, const struct node *node) {
        const struct function *function = function_of(node);
        struct parameters p = function->defaults;

        if (function->name_a)
                p.a = node_attribute_real(node, function->name_a, p.a);
        if (function->name_b)
                p.b = node_attribute_real(node, function->name_b, p.b);
        if (strcmp(node->type, "Clip") == 0 && graph_input_constant(graph, node, 1))
                p.a = (float)tensor_real(graph_input_constant(graph, node, 1), 0);
        if (strcmp(node->type, "Clip") == 0 && graph_input_constant(graph, node, 2))
                p.b = (float)tensor_real(graph_input_constant(graph, node, 2), 0);
        return p;
}

/* Clip of integers is shape arithmetic too. */
static int64_t clip_integer(int64_t x, const struct tensor *min, const struct tensor *max) {
        if (min)
                x = MAX(x, tensor_integer(min, 0));
        return max ? MIN(x, tensor_integer(max, 0)) : x;
}

OPERATOR_INFER(activation) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, x->dtype, &x->shape);
        return 0;
}

OPERATOR_FOLD(activation) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        const struct tensor *bounds[] = {graph_input_constant(graph, node, 1),
                                         graph_input_constant(graph, node, 2)};
        bool is_clip = strcmp(node->type, "Clip") == 0;
        bool integer = is_clip && (x->dtype == DTYPE_I64 || x->dtype == DTYPE_I32 || x->dtype == DTYPE_I8 ||
                                   x->dtype == DTYPE_U8);
        struct parameters p;
        int r;

        for (size_t i = 0; i < 2; i++)
                if (bounds[i] && (bounds[i]->n_elements != 1 || bounds[i]->dtype != x->dtype))
                        return error_set(error, ERROR_INVALID,
                                         "bounds must be one value of the type of the input");
        if (x->dtype != DTYPE_F32 && !integer)
                return error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(x->dtype));
        r = fold_check(&x->shape, error);
        if (r >= 0)
                r = tensor_new(ret_tensor, x->dtype, &x->shape, error);
        if (r < 0)
                return r;
        p = parameters_of(graph, node);
        for (size_t i = 0; i < x->n_elements; i++)
                if (integer)
                        tensor_set(*ret_tensor, i, 0,
                                   clip_integer(tensor_integer(x, i), bounds[0], bounds[1]));
                else
                        ((float *)(*ret_tensor)->data)[i] =
                                function_of(node)->apply(((const float *)x->data)[i], p);
        return 0;
}

struct activation {
        const struct function *function;
        struct parameters parameters;
        size_t n;
};

static void activation_run(const void *params, void *const *addresses) {
        const struct activation *p = params;
        const float *src = addresses[0];
        float *dst = addresses[1];

        for (size_t i = 0; i < p->n; i++)
                dst[i] = p->function->apply(src[i], p->parameters);
}

OPERATOR_LOWER(activation) {
        const struct graph *graph = lowering_graph(lowering);
        struct activation activation = {.function = function_of(node),
                                        .parameters = parameters_of(graph, node),
                                        .n = shape_elements(&graph->values[node->inputs[0]].shape)};

        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:activation",
                                    .function = activation_run,
                                    .params = &activation,
                                    .params_bytes = sizeof(activation),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                                    .flop = (double)activation.n,
                            },
                            error);
}
