#include <string.h>

#include "engine/ops/native.h"

/* Operators that choose by a condition: Where, Not. The condition is constant for a given input shape. */

OPERATOR_INFER(where) {
        const struct value *condition, *x, *y;
        struct shape shape;
        int r;

        r = graph_need_input(graph, node, 0, &condition, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 2, &y, error);
        if (r < 0)
                return r;
        if (condition->dtype != DTYPE_BOOL || x->dtype != y->dtype)
                return error_set(error, ERROR_INVALID, "types %s, %s and %s", dtype_name(condition->dtype),
                                 dtype_name(x->dtype), dtype_name(y->dtype));
        r = shape_broadcast(&shape, &condition->shape, &x->shape, error);
        if (r >= 0)
                r = shape_broadcast(&shape, &shape, &y->shape, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, x->dtype, &shape);
        return 0;
}

static void where_walk(struct strided *ret_strided, const struct graph *graph, const struct node *node) {
        strided_broadcast(ret_strided, &graph->values[node->outputs[0]].shape,
                          (const struct shape *const[]){&graph->values[node->inputs[0]].shape,
                                                        &graph->values[node->inputs[1]].shape,
                                                        &graph->values[node->inputs[2]].shape},
                          3);
}

OPERATOR_FOLD(where) {
        const unsigned char *condition = graph_input_constant(graph, node, 0)->data;
        const char *x = graph_input_constant(graph, node, 1)->data;
        const char *y = graph_input_constant(graph, node, 2)->data;
        const struct value *out = &graph->values[node->outputs[0]];
        size_t bytes = dtype_bytes(out->dtype);
        struct tensor *tensor;
        struct strided strided;
        struct strided_row row;
        int r;

        r = fold_check(&out->shape, error);
        if (r >= 0)
                r = tensor_new(&tensor, out->dtype, &out->shape, error);
        if (r < 0)
                return r;
        where_walk(&strided, graph, node);
        for (bool more = strided_first(&strided, &row); more; more = strided_next(&strided, &row))
                for (ptrdiff_t i = 0; i < (ptrdiff_t)row.n; i++) {
                        ptrdiff_t at_x = row.operands[1] + i * row.steps[1];
                        ptrdiff_t at_y = row.operands[2] + i * row.steps[2];

                        memcpy((char *)tensor->data + (row.at + (size_t)i) * bytes,
                               condition[row.operands[0] + i * row.steps[0]] ? x + at_x * (ptrdiff_t)bytes
                                                                             : y + at_y * (ptrdiff_t)bytes,
                               bytes);
                }
        *ret_tensor = tensor;
        return 0;
}

static void where_run(const void *params, void *const *addresses) {
        const float *condition = addresses[0], *x = addresses[1], *y = addresses[2];
        float *dst = addresses[3];
        struct strided_row row;

        for (bool more = strided_first(params, &row); more; more = strided_next(params, &row))
                for (ptrdiff_t i = 0; i < (ptrdiff_t)row.n; i++)
                        dst[row.at + (size_t)i] = condition[row.operands[0] + i * row.steps[0]] != 0
                                                          ? x[row.operands[1] + i * row.steps[1]]
                                                          : y[row.operands[2] + i * row.steps[2]];
}

OPERATOR_LOWER(where) {
        struct strided strided;

        where_walk(&strided, lowering_graph(lowering), node);
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:where",
                                    .function = where_run,
                                    .params = &strided,
                                    .params_bytes = sizeof(strided),
                                    .inputs = {0, 1, 2},
                                    .n_inputs = 3,
                                    .n_outputs = 1,
                            },
                            error);
}

/* ---- Not ---- */

OPERATOR_INFER(not ) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        if (x->dtype != DTYPE_BOOL)
                return error_set(error, ERROR_INVALID, "type %s, bool is needed", dtype_name(x->dtype));
        graph_set_output(graph, node, DTYPE_BOOL, &x->shape);
        return 0;
}

OPERATOR_FOLD(not ) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        int r;

        r = tensor_new(ret_tensor, DTYPE_BOOL, &x->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x->n_elements; i++)
                tensor_set(*ret_tensor, i, tensor_integer(x, i) == 0, 0);
        return 0;
}
