#include <inttypes.h>
#include <string.h>

#include "engine/ops/bf16.h"
#include "engine/ops/native.h"

/* ---- Gemm: alpha * a * b + beta * c ---- */

struct gemm {
        const struct value *a, *b, *c; /* c may be NULL */
        bool transpose_a, transpose_b;
        bool fully_connected; /* constant weights and a row as bias: the form that has the fastest kernels */
        float alpha, beta;
        size_t m, k, n;
};

static int gemm_read(struct gemm *ret_gemm, const struct graph *graph, const struct node *node,
                     struct error *error) {
        struct gemm gemm = {.transpose_a = node_attribute_integer(node, "transA", 0) != 0,
                            .transpose_b = node_attribute_integer(node, "transB", 0) != 0,
                            .alpha = node_attribute_real(node, "alpha", 1),
                            .beta = node_attribute_real(node, "beta", 1)};
        struct shape result = {.rank = 2}, fits;
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

        gemm.m = gemm.a->shape.dims[gemm.transpose_a ? 1 : 0];
        gemm.k = gemm.a->shape.dims[gemm.transpose_a ? 0 : 1];
        gemm.n = gemm.b->shape.dims[gemm.transpose_b ? 0 : 1];
        b_k = gemm.b->shape.dims[gemm.transpose_b ? 1 : 0];
        if (b_k != gemm.k)
                return error_set(error, ERROR_INVALID, "%zu columns times %zu rows", gemm.k, b_k);
        /* Simplification has multiplied constant factors into constant matrices. */
        gemm.fully_connected = !gemm.transpose_a && gemm.b->constant && gemm.alpha == 1;
        if (node_input(node, 2) != VALUE_NONE) {
                gemm.c = &graph->values[node->inputs[2]];
                result.dims[0] = gemm.m;
                result.dims[1] = gemm.n;
                r = need_float(gemm.c, error);
                if (r >= 0)
                        r = shape_broadcast(&fits, &gemm.c->shape, &result, error);
                if (r < 0)
                        return r;
                if (!shape_equal(&fits, &result))
                        return error_set(error, ERROR_INVALID, "'%s' is larger than the result",
                                         gemm.c->name);
                gemm.fully_connected &= gemm.beta == 1 && gemm.c->constant &&
                                        gemm.c->constant->n_elements == gemm.n && gemm.c->shape.rank > 0 &&
                                        gemm.c->shape.dims[gemm.c->shape.rank - 1] == gemm.n;
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

static int fully_connected_lower(struct lowering *lowering, const struct node *node, const struct gemm *gemm,
                                 struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        struct kernel_post_ops post_ops = post_ops_of(node);
        struct shape src, weights_shape, bias_shape;
        const struct layout *as, *bias_as;
        struct operand operands[4];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES];
        size_t last;
        bool done = false;
        int r = 0;

        if (lowering_takes_bf16(lowering))
                return bf16_product_lower(lowering, node,
                                          &(struct row_product){.rows = gemm->m,
                                                                .k = gemm->k,
                                                                .n = gemm->n,
                                                                .transposed = gemm->transpose_b,
                                                                .weights = gemm->b->constant,
                                                                .bias = gemm->c ? gemm->c->constant : NULL},
                                          error);
        if (gemm->transpose_b)
                r = native_product_lower(lowering, node, gemm->m, gemm->k, gemm->n, gemm->b->constant,
                                         gemm->c ? gemm->c->constant : NULL, &done, error);
        if (r < 0 || done)
                return r;
        src = (struct shape){.rank = 2, .dims = {gemm->m, gemm->k}};
        weights_shape = (struct shape){.rank = 2, .dims = {gemm->n, gemm->k}};
        bias_shape = (struct shape){.rank = 1, .dims = {gemm->n}};
        as = gemm->transpose_b ? layout_plain(kernels, &weights_shape)
                               : layout_strided(kernels, &weights_shape, (size_t[]){1, gemm->n});
        bias_as = layout_plain(kernels, &bias_shape);
        if (!as || !bias_as)
                return error_no_memory(error);

        r = kernel_inner_product_new(&kernel, kernels, &src, gemm->n, gemm->c, &post_ops, error);
        if (r < 0)
                return r;
        last = kernel_n_args(kernel) - 1;
        r = lowering_use(lowering, node->inputs[0], kernel_layout(kernel, 0), &operands[0], error);
        if (r >= 0)
                r = lowering_constant(lowering, gemm->b->constant, as, kernel_layout(kernel, 1),
                                      &operands[1], error);
        if (r >= 0 && gemm->c)
                r = lowering_constant(lowering, gemm->c->constant, bias_as, kernel_layout(kernel, 2),
                                      &operands[2], error);
        if (r >= 0)
                r = lowering_place(lowering, kernel_layout(kernel, last), &operands[last], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, operands,
                                  2.0 * (double)gemm->m * (double)gemm->k * (double)gemm->n, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[last]);
        return 0;
}

/* dst = alpha * dst + beta * c */
struct finish {
        float alpha, beta;
        size_t m, n;
        size_t step_row, step_column; /* of c; 0 where it is broadcast */
};

static void finish_run(const void *params, void *const *addresses) {
        const struct finish *p = params;
        const float *c = addresses[0];
        float *dst = addresses[1];

        for (size_t i = 0; i < p->m; i++)
                for (size_t k = 0; k < p->n; k++, dst++)
                        *dst = p->alpha * *dst + p->beta * c[i * p->step_row + k * p->step_column];
}

static void scale_run(const void *params, void *const *addresses) {
        const struct finish *p = params;
        float *dst = addresses[1];

        for (size_t i = 0; i < p->m * p->n; i++)
                dst[i] *= p->alpha;
}

static int finish_lower(struct lowering *lowering, const struct node *node, const struct gemm *gemm,
                        struct operand dst, struct error *error) {
        struct finish finish = {.alpha = gemm->alpha, .beta = gemm->beta, .m = gemm->m, .n = gemm->n};
        struct kernels *kernels = lowering_kernels(lowering);
        struct operand operands[2] = {dst, dst};
        const struct kernel *kernel;
        int r;

        if (!gemm->c && gemm->alpha == 1)
                return 0;
        if (gemm->c) {
                const struct shape *c = &gemm->c->shape;

                finish.step_column = c->rank > 0 && c->dims[c->rank - 1] > 1;
                finish.step_row = c->rank == 2 && c->dims[0] > 1 ? c->dims[1] : 0;
                r = lowering_use(lowering, node->inputs[2], layout_plain(kernels, c), &operands[0], error);
                if (r < 0)
                        return r;
        }
        r = kernel_native_new(&kernel, kernels, "native:gemm", gemm->c ? finish_run : scale_run, &finish,
                              sizeof(finish), (const struct layout *[]){operands[0].layout, dst.layout}, 2,
                              error);
        if (r < 0)
                return r;
        return lowering_emit(lowering, node, "Gemm:c", kernel, operands,
                             2.0 * (double)gemm->m * (double)gemm->n, error);
}

static const struct layout *matrix_layout(struct kernels *kernels, bool transposed, size_t rows,
                                          size_t columns) {
        return layout_strided(kernels, &(struct shape){.rank = 2, .dims = {rows, columns}},
                              transposed ? (size_t[]){1, rows} : (size_t[]){columns, 1});
}

/* Any matrices: a product, and steps for what follows it. */
static int product_lower(struct lowering *lowering, const struct node *node, const struct gemm *gemm,
                         struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        struct shape dst = {.rank = 2, .dims = {gemm->m, gemm->n}};
        const struct layout *a = matrix_layout(kernels, gemm->transpose_a, gemm->m, gemm->k);
        const struct layout *b = matrix_layout(kernels, gemm->transpose_b, gemm->k, gemm->n);
        struct operand operands[3];
        const struct kernel *kernel;
        int r;

        if (!a || !b)
                return error_no_memory(error);
        r = kernel_matmul_new(&kernel, kernels, a, b, &dst, error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0], layout_plain(kernels, &gemm->a->shape),
                                 &operands[0], error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[1], layout_plain(kernels, &gemm->b->shape),
                                 &operands[1], error);
        if (r >= 0)
                r = lowering_place(lowering, kernel_layout(kernel, 2), &operands[2], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, "Gemm", kernel, operands,
                                  2.0 * (double)gemm->m * (double)gemm->k * (double)gemm->n, error);
        if (r >= 0)
                r = finish_lower(lowering, node, gemm, operands[2], error);
        for (size_t i = 0; i < node->n_post_ops && r >= 0; i++) {
                r = kernel_eltwise_new(&kernel, kernels, operands[2].layout, &node->post_ops[i].eltwise,
                                       error);
                if (r >= 0)
                        r = lowering_emit(lowering, node, node->fused, kernel,
                                          (struct operand[]){operands[2], operands[2]},
                                          (double)gemm->m * (double)gemm->n, error);
        }
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[2]);
        return 0;
}

OPERATOR_LOWER(gemm) {
        struct gemm gemm;
        int r;

        r = gemm_read(&gemm, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        return gemm.fully_connected ? fully_connected_lower(lowering, node, &gemm, error)
                                    : product_lower(lowering, node, &gemm, error);
}

/* ---- MatMul: numpy's rules ---- */

/* Both operands with the rank of the batches and 2 more: a vector becomes a row or a column, which the
 * result does not have. */
struct matmul {
        struct shape a, b, dst; /* of one rank */
        struct shape result;    /* as ONNX has it */
};

static struct shape widen(const struct shape *shape, size_t rank) {
        struct shape wide = {.rank = rank};

        for (size_t i = 0; i < rank; i++)
                wide.dims[i] = i + shape->rank >= rank ? shape->dims[i + shape->rank - rank] : 1;
        return wide;
}

static int matmul_read(struct matmul *ret_matmul, const struct graph *graph, const struct node *node,
                       struct error *error) {
        const struct value *a, *b;
        int64_t dims[TENSOR_MAX_RANK];
        struct matmul matmul = {0};
        size_t rank, n = 0;
        int r;

        r = graph_need_input(graph, node, 0, &a, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &b, error);
        if (r >= 0)
                r = need_float(a, error);
        if (r >= 0)
                r = need_float(b, error);
        if (r < 0)
                return r;
        if (a->shape.rank == 0 || b->shape.rank == 0)
                return error_set(error, ERROR_INVALID, "a scalar");
        rank = MAX(MAX(a->shape.rank, b->shape.rank), 2u);
        matmul.a = widen(&a->shape, rank);
        matmul.b = widen(&b->shape, rank);
        if (b->shape.rank == 1) {
                matmul.b.dims[rank - 2] = b->shape.dims[0];
                matmul.b.dims[rank - 1] = 1;
        }
        if (matmul.a.dims[rank - 1] != matmul.b.dims[rank - 2])
                return error_set(error, ERROR_INVALID, "%zu columns times %zu rows", matmul.a.dims[rank - 1],
                                 matmul.b.dims[rank - 2]);
        for (size_t i = 0; i + 2 < rank; i++) {
                size_t da = matmul.a.dims[i], db = matmul.b.dims[i];

                if (da != db && da != 1 && db != 1)
                        return error_set(error, ERROR_INVALID, "dimensions %zu and %zu do not broadcast", da,
                                         db);
                dims[i] = (int64_t)MAX(da, db);
        }
        dims[rank - 2] = (int64_t)matmul.a.dims[rank - 2];
        dims[rank - 1] = (int64_t)matmul.b.dims[rank - 1];
        r = shape_from_dims(&matmul.dst, dims, rank, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < rank; i++)
                if ((i != rank - 2 || a->shape.rank > 1) && (i != rank - 1 || b->shape.rank > 1))
                        matmul.result.dims[n++] = matmul.dst.dims[i];
        matmul.result.rank = n;
        *ret_matmul = matmul;
        return 0;
}

OPERATOR_INFER(matmul) {
        struct matmul matmul;
        int r;

        r = matmul_read(&matmul, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &matmul.result);
        return 0;
}

/* Batches that are no batches become rows, equal ones become one, so that oneDNN's fast kernels take it. */
static void matmul_flatten(struct matmul *matmul) {
        struct shape *a = &matmul->a, *b = &matmul->b, *dst = &matmul->dst;
        size_t rank = a->rank, batch_a = 1, batch_b = 1, m = a->dims[rank - 2], k = a->dims[rank - 1],
               n = b->dims[rank - 1];

        for (size_t i = 0; i + 2 < rank; i++) {
                batch_a *= a->dims[i];
                batch_b *= b->dims[i];
        }
        if (batch_b == 1) {
                *a = (struct shape){.rank = 2, .dims = {batch_a * m, k}};
                *b = (struct shape){.rank = 2, .dims = {k, n}};
                *dst = (struct shape){.rank = 2, .dims = {batch_a * m, n}};
        } else if (memcmp(a->dims, b->dims, (rank - 2) * sizeof(a->dims[0])) == 0) {
                *a = (struct shape){.rank = 3, .dims = {batch_a, m, k}};
                *b = (struct shape){.rank = 3, .dims = {batch_a, k, n}};
                *dst = (struct shape){.rank = 3, .dims = {batch_a, m, n}};
        }
}

OPERATOR_LOWER(matmul) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct layout *a, *b;
        struct operand operands[3];
        const struct kernel *kernel;
        struct matmul matmul;
        int r;

        r = matmul_read(&matmul, graph, node, error);
        if (r < 0)
                return r;
        matmul_flatten(&matmul);
        a = layout_plain(kernels, &matmul.a);
        b = layout_plain(kernels, &matmul.b);
        if (!a || !b)
                return error_no_memory(error);
        r = kernel_matmul_new(&kernel, kernels, a, b, &matmul.dst, error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0],
                                 layout_plain(kernels, &graph->values[node->inputs[0]].shape), &operands[0],
                                 error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[1],
                                 layout_plain(kernels, &graph->values[node->inputs[1]].shape), &operands[1],
                                 error);
        if (r >= 0)
                r = lowering_place(lowering, kernel_layout(kernel, 2), &operands[2], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, "MatMul", kernel, operands,
                                  2.0 * (double)shape_elements(&matmul.dst) *
                                          (double)matmul.a.dims[matmul.a.rank - 1],
                                  error);
        if (r < 0)
                return r;
        operands[2].layout = layout_plain(kernels, &matmul.result);
        if (!operands[2].layout)
                return error_no_memory(error);
        lowering_define(lowering, node->outputs[0], operands[2]);
        return 0;
}
