#include <string.h>

#include "engine/ops/conv.h"
#include "engine/ops/pool.h"
#include "engine/ops/strided.h"

/* Shapes and types of the integer form that engine/quantised.h and engine/fuse_quantised.h make. */

/* uint8 where the pass has said what the integers mean, float32 otherwise. */
static void set_output(struct graph *graph, const struct node *node, const struct shape *shape) {
        bool quantised = graph->values[node->outputs[0]].quantisation;

        graph_set_output(graph, node, quantised ? DTYPE_U8 : DTYPE_F32, shape);
}

static int quantised_input(const struct value **ret_value, const struct graph *graph,
                           const struct node *node, size_t input, struct error *error) {
        int r;

        r = graph_need_input(graph, node, input, ret_value, error);
        return r < 0 ? r : need_quantised(*ret_value, error);
}

OPERATOR_INFER(quantize) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_U8, &x->shape);
        return 0;
}

OPERATOR_INFER(dequantize) {
        const struct value *x;
        int r;

        r = quantised_input(&x, graph, node, 0, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &x->shape);
        return 0;
}

OPERATOR_INFER(q_conv) {
        struct conv conv;
        int r;

        r = conv_read(&conv, graph, node, error);
        if (r < 0)
                return r;
        set_output(graph, node, &conv.spec.dst);
        return 0;
}

OPERATOR_INFER(q_inner_product) {
        const struct value *x, *w;
        struct shape shape;
        int r;

        r = quantised_input(&x, graph, node, 0, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &w, error);
        if (r < 0)
                return r;
        shape = x->shape;
        if (shape.rank == 0 || shape.dims[shape.rank - 1] != w->shape.dims[1])
                return error_set(error, ERROR_INVALID, "weights for %zu inputs, '%s' has %zu",
                                 w->shape.dims[1], x->name, shape.rank ? shape.dims[shape.rank - 1] : 1);
        shape.dims[shape.rank - 1] = w->shape.dims[0];
        if (shape_elements(&shape) == 0 || shape_elements(&shape) > TENSOR_MAX_ELEMENTS)
                return error_set(error, ERROR_LIMIT, "a result of %zu elements", shape_elements(&shape));
        set_output(graph, node, &shape);
        return 0;
}

OPERATOR_INFER(q_binary) {
        const struct value *a, *b;
        struct shape shape;
        int r;

        r = quantised_input(&a, graph, node, 0, error);
        if (r >= 0)
                r = quantised_input(&b, graph, node, 1, error);
        if (r >= 0)
                r = shape_broadcast(&shape, &a->shape, &b->shape, error);
        if (r < 0)
                return r;
        set_output(graph, node, &shape);
        return 0;
}

OPERATOR_INFER(q_pool) {
        struct pool_params params;
        int64_t counted_end[2];
        int r;

        r = pool_read(&params, counted_end, graph, node, error);
        if (r < 0)
                return r;
        set_output(graph, node, &params.spec.dst);
        return 0;
}

OPERATOR_INFER(q_global_pool) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_quantised_map(x, error);
        if (r < 0)
                return r;
        set_output(graph, node,
                   &(struct shape){.rank = 4, .dims = {x->shape.dims[0], x->shape.dims[1], 1, 1}});
        return 0;
}

OPERATOR_INFER(q_concat) {
        const struct value *x;

        for (size_t i = 0; i < node->n_inputs; i++) {
                int r = quantised_input(&x, graph, node, i, error);

                if (r < 0)
                        return r;
        }
        return concat_infer(graph, node, error);
}

OPERATOR_INFER(q_lookup) {
        const struct value *x;
        int r;

        r = quantised_input(&x, graph, node, 0, error);
        if (r < 0)
                return r;
        set_output(graph, node, &x->shape);
        return 0;
}
