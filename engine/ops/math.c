#include <math.h>
#include <string.h>

#include "engine/ops/native.h"

/* Functions of one element that oneDNN does not compute, or not as ONNX wants it. Folded on constants. */

struct function {
        const char *type;
        double (*real)(double x);
        void (*row)(float *dst, const float *src, size_t n);
        bool of_integers; /* real is exact on them too */
};

static double real_neg(double x) {
        return -x;
}

static double real_sign(double x) {
        return (x > 0) - (x < 0);
}

static double real_reciprocal(double x) {
        return 1 / x;
}

static double real_softsign(double x) {
        return x / (1 + fabs(x));
}

/* log(1 + exp(x)) without overflow. */
static double real_softplus(double x) {
        return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double real_sigmoid(double x) {
        return 1 / (1 + exp(-x));
}

static double real_relu(double x) {
        return x < 0 ? 0 : x;
}

#define ROW_FUNCTION(name, expression)                                                                      \
        static void row_##name(float *dst, const float *src, size_t n) {                                    \
                for (size_t i = 0; i < n; i++) {                                                            \
                        float x = src[i];                                                                   \
                                                                                                            \
                        dst[i] = (expression);                                                              \
                }                                                                                           \
        }

ROW_FUNCTION(acos, acosf(x))
ROW_FUNCTION(acosh, acoshf(x))
ROW_FUNCTION(asin, asinf(x))
ROW_FUNCTION(asinh, asinhf(x))
ROW_FUNCTION(atan, atanf(x))
ROW_FUNCTION(atanh, atanhf(x))
ROW_FUNCTION(ceil, ceilf(x))
ROW_FUNCTION(cos, cosf(x))
ROW_FUNCTION(cosh, coshf(x))
ROW_FUNCTION(erf, erff(x))
ROW_FUNCTION(floor, floorf(x))
ROW_FUNCTION(log, logf(x))
ROW_FUNCTION(neg, -x)
ROW_FUNCTION(reciprocal, 1 / x)
ROW_FUNCTION(round, nearbyintf(x)) /* to even, which is the default rounding of C */
ROW_FUNCTION(sign, (float)((x > 0) - (x < 0)))
ROW_FUNCTION(sin, sinf(x))
ROW_FUNCTION(sinh, sinhf(x))
ROW_FUNCTION(softplus, fmaxf(x, 0) + log1pf(expf(-fabsf(x))))
ROW_FUNCTION(softsign, x / (1 + fabsf(x)))
ROW_FUNCTION(tan, tanf(x))

/* Those without a row are steps of oneDNN, see unary.c; here they are folded. */
static const struct function functions[] = {
        {"Abs", fabs, NULL, true},
        {"Acos", acos, row_acos, false},
        {"Acosh", acosh, row_acosh, false},
        {"Asin", asin, row_asin, false},
        {"Asinh", asinh, row_asinh, false},
        {"Atan", atan, row_atan, false},
        {"Atanh", atanh, row_atanh, false},
        {"Ceil", ceil, row_ceil, true},
        {"Cos", cos, row_cos, false},
        {"Cosh", cosh, row_cosh, false},
        {"Erf", erf, row_erf, false},
        {"Exp", exp, NULL, false},
        {"Floor", floor, row_floor, true},
        {"Log", log, row_log, false}, /* oneDNN's is off by 1e-6 near 1 */
        {"Neg", real_neg, row_neg, true},
        {"Reciprocal", real_reciprocal, row_reciprocal, false},
        {"Relu", real_relu, NULL, true},
        {"Round", nearbyint, row_round, true},
        {"Sigmoid", real_sigmoid, NULL, false},
        {"Sign", real_sign, row_sign, true},
        {"Sin", sin, row_sin, false},
        {"Sinh", sinh, row_sinh, false},
        {"Softplus", real_softplus, row_softplus, false},
        {"Softsign", real_softsign, row_softsign, false},
        {"Sqrt", sqrt, NULL, false},
        {"Tan", tan, row_tan, false},
        {"Tanh", tanh, NULL, false},
};

static const struct function *function_of(const struct node *node) {
        for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
                if (strcmp(functions[i].type, node->type) == 0)
                        return &functions[i];
        return NULL;
}

OPERATOR_INFER(math) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, x->dtype, &x->shape);
        return 0;
}

OPERATOR_FOLD(math) {
        const struct function *function = function_of(node);
        const struct tensor *x = graph_input_constant(graph, node, 0);
        bool real = x->dtype == DTYPE_F32 || x->dtype == DTYPE_F64;
        int r;

        if ((!real && !function->of_integers) || x->dtype == DTYPE_F16 || x->dtype == DTYPE_BF16 ||
            x->dtype == DTYPE_BOOL)
                return error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(x->dtype));
        r = fold_check(&x->shape, error);
        if (r >= 0)
                r = tensor_new(ret_tensor, x->dtype, &x->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x->n_elements; i++) {
                double result = function->real(tensor_real(x, i));

                tensor_set(*ret_tensor, i, result, real ? 0 : (int64_t)MIN(MAX(result, -9.2e18), 9.2e18));
        }
        return 0;
}

struct math {
        const struct function *function;
        size_t n;
};

static void math_run(const void *params, void *const *addresses) {
        const struct math *p = params;

        p->function->row(addresses[1], addresses[0], p->n);
}

OPERATOR_LOWER(math) {
        const struct shape *shape = &lowering_graph(lowering)->values[node->inputs[0]].shape;
        struct math math = {.function = function_of(node), .n = shape_elements(shape)};

        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:math",
                                    .function = math_run,
                                    .params = &math,
                                    .params_bytes = sizeof(math),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                                    .flop = (double)math.n,
                            },
                            error);
}
