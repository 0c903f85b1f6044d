#include <inttypes.h>
#include <string.h>

#include "engine/ops/native.h"

/* ---- Trilu: one triangle of each matrix, zeros in the other ---- */

struct trilu {
        size_t matrices, rows, columns;
        int64_t diagonal; /* the first one kept, or the last */
        bool upper;
};

static int trilu_read(struct trilu *ret_trilu, const struct graph *graph, const struct node *node,
                      struct error *error) {
        const struct tensor *diagonal = graph_input_constant(graph, node, 1);
        struct trilu trilu = {.matrices = 1, .upper = node_attribute_integer(node, "upper", 1) != 0};
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        if (x->shape.rank < 2)
                return error_set(error, ERROR_INVALID, "rank %zu, matrices are needed", x->shape.rank);
        if (node_input(node, 1) != VALUE_NONE && (!diagonal || diagonal->n_elements != 1))
                return error_set(error, ERROR_UNSUPPORTED, "a diagonal that is no constant of one value");
        trilu.rows = x->shape.dims[x->shape.rank - 2];
        trilu.columns = x->shape.dims[x->shape.rank - 1];
        for (size_t i = 0; i + 2 < x->shape.rank; i++)
                trilu.matrices *= x->shape.dims[i];
        /* Beyond the matrix all diagonals are alike. */
        if (diagonal)
                trilu.diagonal =
                        MIN(MAX(tensor_integer(diagonal, 0), -(int64_t)trilu.rows), (int64_t)trilu.columns);
        *ret_trilu = trilu;
        return 0;
}

static void trilu_copy(const struct trilu *p, void *dst, const void *src, size_t element_bytes) {
        for (size_t i = 0; i < p->matrices * p->rows; i++) {
                int64_t edge = (int64_t)(i % p->rows) + p->diagonal + (p->upper ? 0 : 1);
                size_t cut = (size_t)MIN(MAX(edge, 0), (int64_t)p->columns);
                size_t begin = p->upper ? cut : 0, end = p->upper ? p->columns : cut;
                char *to = (char *)dst + i * p->columns * element_bytes;

                memset(to, 0, p->columns * element_bytes);
                memcpy(to + begin * element_bytes,
                       (const char *)src + (i * p->columns + begin) * element_bytes,
                       (end - begin) * element_bytes);
        }
}

OPERATOR_INFER(trilu) {
        struct trilu trilu;
        int r;

        r = trilu_read(&trilu, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, graph->values[node->inputs[0]].dtype,
                         &graph->values[node->inputs[0]].shape);
        return 0;
}

OPERATOR_FOLD(trilu) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        struct trilu trilu;
        int r;

        r = fold_check(&x->shape, error);
        if (r >= 0)
                r = trilu_read(&trilu, graph, node, error);
        if (r >= 0)
                r = tensor_new(ret_tensor, x->dtype, &x->shape, error);
        if (r < 0)
                return r;
        trilu_copy(&trilu, (*ret_tensor)->data, x->data, dtype_bytes(x->dtype));
        return 0;
}

static void trilu_run(const void *params, void *const *addresses) {
        trilu_copy(params, addresses[1], addresses[0], sizeof(float));
}

OPERATOR_LOWER(trilu) {
        struct trilu trilu;
        int r;

        r = trilu_read(&trilu, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:trilu",
                                    .function = trilu_run,
                                    .params = &trilu,
                                    .params_bytes = sizeof(trilu),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                            },
                            error);
}

/* ---- EyeLike: ones on a diagonal, in the shape of the input ---- */

OPERATOR_INFER(eye_like) {
        const struct value *x;
        enum dtype dtype;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        if (x->shape.rank != 2)
                return error_set(error, ERROR_INVALID, "rank %zu, a matrix is needed", x->shape.rank);
        dtype = x->dtype;
        if (node_attribute(node, "dtype")) {
                r = dtype_of_attribute(&dtype, node, "dtype", error);
                if (r < 0)
                        return r;
        }
        graph_set_output(graph, node, dtype, &x->shape);
        return 0;
}

/* Needs the shape of its input only. */
OPERATOR_FOLD(eye_like) {
        const struct value *out = &graph->values[node->outputs[0]];
        size_t rows = out->shape.dims[0], columns = out->shape.dims[1];
        int64_t k = node_attribute_integer(node, "k", 0);
        int r;

        k = MIN(MAX(k, -(int64_t)rows), (int64_t)columns);
        if (out->dtype == DTYPE_F16 || out->dtype == DTYPE_BF16)
                return error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(out->dtype));
        r = fold_check(&out->shape, error);
        if (r >= 0)
                r = tensor_new(ret_tensor, out->dtype, &out->shape, error);
        if (r < 0)
                return r;
        for (int64_t i = MAX(-k, 0); i < (int64_t)rows && i + k < (int64_t)columns; i++)
                tensor_set(*ret_tensor, (size_t)(i * (int64_t)columns + i + k), 1, 1);
        return 0;
}
