#include <string.h>

#include "engine/ops/native.h"

/* CumSum: sums of all elements up to each, along an axis that is constant. */

struct cumulative {
        size_t outer, n, inner;
        bool exclusive, reverse;
};

static int cumulative_read(struct cumulative *ret_cumulative, const struct graph *graph,
                           const struct node *node, struct error *error) {
        const struct tensor *axis_tensor = graph_input_constant(graph, node, 1);
        struct cumulative c = {.outer = 1,
                               .inner = 1,
                               .exclusive = node_attribute_integer(node, "exclusive", 0) != 0,
                               .reverse = node_attribute_integer(node, "reverse", 0) != 0};
        const struct value *x;
        size_t axis;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        if (!axis_tensor || axis_tensor->n_elements != 1)
                return error_set(error, ERROR_UNSUPPORTED, "an axis that is no constant of one value");
        r = axis_normalise(&axis, tensor_integer(axis_tensor, 0), x->shape.rank, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x->shape.rank; i++) {
                c.outer *= i < axis ? x->shape.dims[i] : 1;
                c.inner *= i > axis ? x->shape.dims[i] : 1;
        }
        c.n = x->shape.dims[axis];
        *ret_cumulative = c;
        return 0;
}

OPERATOR_INFER(cumulative) {
        struct cumulative cumulative;
        int r;

        r = cumulative_read(&cumulative, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, graph->values[node->inputs[0]].dtype,
                         &graph->values[node->inputs[0]].shape);
        return 0;
}

/* Element number k along the axis, of row i. */
static size_t position(const struct cumulative *c, size_t i, size_t k) {
        size_t along = c->reverse ? c->n - 1 - k : k;

        return (i / c->inner * c->n + along) * c->inner + i % c->inner;
}

OPERATOR_FOLD(cumulative) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        bool real = x->dtype == DTYPE_F32 || x->dtype == DTYPE_F64;
        struct cumulative c;
        int r;

        if (!real && x->dtype != DTYPE_I64 && x->dtype != DTYPE_I32)
                return error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(x->dtype));
        r = fold_check(&x->shape, error);
        if (r >= 0)
                r = cumulative_read(&c, graph, node, error);
        if (r >= 0)
                r = tensor_new(ret_tensor, x->dtype, &x->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < c.outer * c.inner; i++) {
                uint64_t integer = 0; /* wraps, as the runtimes do */
                double sum = 0;

                for (size_t k = 0; k < c.n; k++) {
                        size_t at = position(&c, i, k);

                        if (c.exclusive)
                                tensor_set(*ret_tensor, at, sum, (int64_t)integer);
                        sum += tensor_real(x, at);
                        integer += real ? 0 : (uint64_t)tensor_integer(x, at);
                        if (!c.exclusive)
                                tensor_set(*ret_tensor, at, sum, (int64_t)integer);
                }
        }
        return 0;
}

static void cumulative_run(const void *params, void *const *addresses) {
        const struct cumulative *c = params;
        const float *src = addresses[0];
        float *dst = addresses[1];

        for (size_t i = 0; i < c->outer * c->inner; i++) {
                float sum = 0;

                for (size_t k = 0; k < c->n; k++) {
                        size_t at = position(c, i, k);
                        float x = src[at];

                        dst[at] = c->exclusive ? sum : sum + x;
                        sum += x;
                }
        }
}

OPERATOR_LOWER(cumulative) {
        struct cumulative cumulative;
        int r;

        r = cumulative_read(&cumulative, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:cumsum",
                                    .function = cumulative_run,
                                    .params = &cumulative,
                                    .params_bytes = sizeof(cumulative),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                            },
                            error);
}
