#include <inttypes.h>

#include "engine/ops/families.h"

struct gemm {
        const struct value *a, *b, *c; /* c may be NULL */
        bool transpose_b;
        size_t m, k, n;
};

static int gemm_read(struct gemm *ret_gemm, const struct graph *graph, const struct node *node,
                     struct error *error) {
        struct gemm gemm = {.transpose_b = node_attribute_integer(node, "transB", 0) != 0};
        size_t b_k;
        int r;

        r = graph_need_input(graph, node, 0, &gemm.a, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &gemm.b, error);
        if (r >= 0)
                r = need_float(gemm.a, error);
        if (r >= 0)
                r = need_float(gemm.b, error);
        if (r < 0)
                return r;
        if (gemm.a->shape.rank != 2 || gemm.b->shape.rank != 2)
                return error_set(error, ERROR_INVALID, "matrices of rank %zu and %zu", gemm.a->shape.rank,
                                 gemm.b->shape.rank);
        if (node_attribute_integer(node, "transA", 0) != 0)
                return error_set(error, ERROR_UNSUPPORTED, "transA");
        /* Simplification has multiplied constant factors into constant matrices. */
        if (node_attribute_real(node, "alpha", 1) != 1 ||
            (node_input(node, 2) != VALUE_NONE && node_attribute_real(node, "beta", 1) != 1))
                return error_set(error, ERROR_UNSUPPORTED, "alpha or beta with matrices that are computed");
        if (!gemm.b->constant)
                return error_set(error, ERROR_UNSUPPORTED, "a second matrix that is computed");

        gemm.m = gemm.a->shape.dims[0];
        gemm.k = gemm.a->shape.dims[1];
        gemm.n = gemm.b->shape.dims[gemm.transpose_b ? 0 : 1];
        b_k = gemm.b->shape.dims[gemm.transpose_b ? 1 : 0];
        if (b_k != gemm.k)
                return error_set(error, ERROR_INVALID, "%zu columns times %zu rows", gemm.k, b_k);
        if (node_input(node, 2) != VALUE_NONE) {
                gemm.c = &graph->values[node->inputs[2]];
                if (!gemm.c->constant || gemm.c->dtype != DTYPE_F32 ||
                    gemm.c->constant->n_elements != gemm.n ||
                    (gemm.c->shape.rank > 0 && gemm.c->shape.dims[gemm.c->shape.rank - 1] != gemm.n))
                        return error_set(error, ERROR_UNSUPPORTED,
                                         "'%s' must be a constant float32 row of %zu values", gemm.c->name,
                                         gemm.n);
        }
        *ret_gemm = gemm;
        return 0;
}

OPERATOR_INFER(gemm) {
        struct gemm gemm;
        int r;

        r = gemm_read(&gemm, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &(struct shape){.rank = 2, .dims = {gemm.m, gemm.n}});
        return 0;
}

OPERATOR_LOWER(gemm) {
        struct kernels *kernels = lowering_kernels(lowering);
        struct kernel_post_ops post_ops = post_ops_of(node);
        struct shape src, weights_shape, bias_shape;
        const struct layout *as, *bias_as;
        struct operand operands[4];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES];
        struct gemm gemm;
        size_t last;
        int r;

        r = gemm_read(&gemm, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        src = (struct shape){.rank = 2, .dims = {gemm.m, gemm.k}};
        weights_shape = (struct shape){.rank = 2, .dims = {gemm.n, gemm.k}};
        bias_shape = (struct shape){.rank = 1, .dims = {gemm.n}};
        as = gemm.transpose_b ? layout_plain(kernels, &weights_shape)
                              : layout_strided(kernels, &weights_shape, (size_t[]){1, gemm.n});
        bias_as = layout_plain(kernels, &bias_shape);
        if (!as || !bias_as)
                return error_no_memory(error);

        r = kernel_inner_product_new(&kernel, kernels, &src, gemm.n, gemm.c, &post_ops, error);
        if (r < 0)
                return r;
        last = kernel_n_args(kernel) - 1;
        r = lowering_use(lowering, node->inputs[0], kernel_layout(kernel, 0), &operands[0], error);
        if (r >= 0)
                r = lowering_constant(lowering, gemm.b->constant, as, kernel_layout(kernel, 1), &operands[1],
                                      error);
        if (r >= 0 && gemm.c)
                r = lowering_constant(lowering, gemm.c->constant, bias_as, kernel_layout(kernel, 2),
                                      &operands[2], error);
        if (r >= 0)
                r = lowering_place(lowering, kernel_layout(kernel, last), &operands[last], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, operands,
                                  2.0 * (double)gemm.m * (double)gemm.k * (double)gemm.n, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[last]);
        return 0;
}

/* ---- MatMul: numpy's rules, ranks from 2 ---- */

static int matmul_shape(struct shape *ret_shape, const struct shape *a, const struct shape *b,
                        struct error *error) {
        size_t rank = MAX(a->rank, b->rank);
        struct shape shape = {.rank = rank};

        if (a->rank < 2 || b->rank < 2 || (a->rank != b->rank && b->rank != 2))
                return error_set(error, ERROR_UNSUPPORTED, "ranks %zu and %zu", a->rank, b->rank);
        if (a->dims[a->rank - 1] != b->dims[b->rank - 2])
                return error_set(error, ERROR_INVALID, "%zu columns times %zu rows", a->dims[a->rank - 1],
                                 b->dims[b->rank - 2]);
        for (size_t i = 0; i + 2 < rank; i++) {
                size_t da = a->dims[i], db = b->rank == rank ? b->dims[i] : 1;

                if (da != db && da != 1 && db != 1)
                        return error_set(error, ERROR_INVALID, "dimensions %zu and %zu do not broadcast", da,
                                         db);
                shape.dims[i] = MAX(da, db);
        }
        shape.dims[rank - 2] = a->dims[rank - 2];
        shape.dims[rank - 1] = b->dims[b->rank - 1];
        *ret_shape = shape;
        return 0;
}

OPERATOR_INFER(matmul) {
        const struct value *a, *b;
        struct shape shape;
        int64_t dims[TENSOR_MAX_RANK];
        int r;

        r = graph_need_input(graph, node, 0, &a, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &b, error);
        if (r >= 0)
                r = need_float(a, error);
        if (r >= 0)
                r = need_float(b, error);
        if (r >= 0)
                r = matmul_shape(&shape, &a->shape, &b->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < shape.rank; i++)
                dims[i] = (int64_t)shape.dims[i];
        r = shape_from_dims(&shape, dims, shape.rank, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &shape);
        return 0;
}

OPERATOR_LOWER(matmul) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct shape *dst = &graph->values[node->outputs[0]].shape;
        struct shape b_shape = graph->values[node->inputs[1]].shape;
        const struct layout *a_layout = layout_plain(kernels, &graph->values[node->inputs[0]].shape);
        const struct layout *b_layout = layout_plain(kernels, &b_shape);
        const struct layout *b_padded = b_layout;
        struct operand operands[3];
        const struct kernel *kernel;
        int r;

        /* A matrix for all batches: leading dimensions of 1, which oneDNN broadcasts. */
        if (b_shape.rank < dst->rank) {
                struct shape padded = {.rank = dst->rank};

                for (size_t i = 0; i + 2 < dst->rank; i++)
                        padded.dims[i] = 1;
                padded.dims[dst->rank - 2] = b_shape.dims[0];
                padded.dims[dst->rank - 1] = b_shape.dims[1];
                b_padded = layout_plain(kernels, &padded);
        }
        if (!a_layout || !b_layout || !b_padded)
                return error_no_memory(error);
        r = kernel_matmul_new(&kernel, kernels, a_layout, b_padded, dst, error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0], a_layout, &operands[0], error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[1], b_layout, &operands[1], error);
        if (r >= 0)
                r = lowering_place(lowering, kernel_layout(kernel, 2), &operands[2], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, "MatMul", kernel, operands,
                                  2.0 * (double)shape_elements(dst) * (double)b_shape.dims[b_shape.rank - 2],
                                  error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[2]);
        return 0;
}
