#include "engine/native/inner_product.h"
#include "engine/ops/bf16.h"
#include "engine/team.h"

/* Made by fuse_rows.c: what works on rows, the last dimension, whatever stands before it. */

static size_t rows_of(const struct shape *shape) {
        return shape_elements(shape) / shape->dims[shape->rank - 1];
}

/* ---- LayerNorm ---- */

struct layer_norm {
        const struct native *native;
        size_t threads, rows, k;
        float epsilon;
};

struct layer_norm_job {
        const struct layer_norm *norm;
        const float *x, *gamma, *beta;
        float *y;
};

static void layer_norm_share(void *argument, size_t thread, size_t n_threads) {
        const struct layer_norm_job *job = argument;
        const struct layer_norm *norm = job->norm;
        size_t begin, end;

        team_share(norm->rows, thread, n_threads, &begin, &end);
        norm->native->layer_norm(end - begin, norm->k, job->x + begin * norm->k, job->gamma, job->beta,
                                 norm->epsilon, job->y + begin * norm->k);
}

/* Addresses: x, gamma, beta, y. */
static void layer_norm_step(const void *params, void *const *addresses) {
        const struct layer_norm *norm = params;
        struct layer_norm_job job = {norm, addresses[0], addresses[1], addresses[2], addresses[3]};

        team_run(norm->threads, layer_norm_share, &job);
}

OPERATOR_LOWER(layer_norm_rows) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct shape *shape = &graph->values[node->outputs[0]].shape;
        size_t k = shape->dims[shape->rank - 1];
        struct layer_norm norm = {
                .native = native_best(),
                .threads = kernels_threads(kernels),
                .rows = rows_of(shape),
                .k = k,
                .epsilon = node_attribute_real(node, "epsilon", 1e-5f),
        };
        const struct layout *plain = layout_plain(kernels, shape);
        const struct layout *row = layout_plain(kernels, &(struct shape){.rank = 1, .dims = {k}});
        struct operand operands[4];
        const struct kernel *kernel;
        int r;

        if (!plain || !row)
                return error_no_memory(error);
        r = kernel_native_new(&kernel, kernels, "native:layer_norm", layer_norm_step, &norm, sizeof(norm),
                              (const struct layout *[]){plain, row, row, plain}, 4, error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0], plain, &operands[0], error);
        for (size_t i = 1; i < 3 && r >= 0; i++)
                r = lowering_constant(lowering, graph->values[node->inputs[i]].constant, row, row,
                                      &operands[i], error);
        if (r >= 0)
                r = lowering_place(lowering, plain, &operands[3], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands,
                                  8 * (double)shape_elements(shape), error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[3]);
        return 0;
}

/* ---- InnerProduct ---- */

#define PANEL_COLUMNS 32u

/*
 * With AVX-512 a product with Gelu is our own: the convolution of oneDNN takes 2.75 ms with it and 2.05
 * without (M 3136, K 96, N 384), our product 2.51 with it; 8.50 and 8.40 where M is 197, K 768, N 3072. With
 * AVX2 it gains nothing.
 */
static bool is_gelu_of_panels(const struct node *node, const struct native *native) {
        return node->n_post_ops == 1 && node->post_ops[0].kind == POST_OP_ELTWISE &&
               node->post_ops[0].eltwise.kind == ELTWISE_GELU_ERF && native->lanes == 16 &&
               native->gemm_columns == PANEL_COLUMNS;
}

struct gelu_params {
        struct inner_product product;
        bool bias;
};

/* Addresses: x, w, the bias where there is one, y. */
static void gelu_step(const void *params, void *const *addresses) {
        const struct gelu_params *p = params;

        inner_product_gelu(&p->product, addresses[0], addresses[1], p->bias ? addresses[2] : NULL,
                           addresses[p->bias ? 3 : 2]);
}

static int inner_product_gelu_lower(struct lowering *lowering, const struct node *node, size_t rows,
                                    size_t k, size_t n, bool transposed, struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        struct gelu_params params = {
                .product = {.rows = rows, .k = k, .n = n, .native = native_best()},
                .bias = node->n_inputs > 2,
        };
        struct shape matrix = {.rank = 4, .dims = {n, k, 1, 1}}, vector = {.rank = 1, .dims = {n}};
        const struct layout *as = layout_strided(
                kernels, &matrix, transposed ? (size_t[]){k, 1, 1, 1} : (size_t[]){1, n, 1, 1});
        const struct layout *panels = layout_panels_of_32(kernels, &matrix);
        const struct layout *bias = layout_plain(kernels, &vector), *layouts[4];
        size_t n_operands = params.bias ? 4 : 3;
        struct operand operands[4];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES];
        int r;

        params.product.threads = kernels_threads(kernels);
        if (!as || !panels || !bias)
                return error_no_memory(error);
        r = lowering_use(lowering, node->inputs[0],
                         layout_plain(kernels, &graph->values[node->inputs[0]].shape), &operands[0], error);
        if (r >= 0)
                r = lowering_constant(lowering, graph->values[node->inputs[1]].constant, as, panels,
                                      &operands[1], error);
        if (r >= 0 && params.bias)
                r = lowering_constant(lowering, graph->values[node->inputs[2]].constant, bias, bias,
                                      &operands[2], error);
        if (r >= 0)
                r = lowering_place(lowering, layout_plain(kernels, &graph->values[node->outputs[0]].shape),
                                   &operands[n_operands - 1], error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_operands; i++)
                layouts[i] = operands[i].layout;
        r = kernel_native_new(&kernel, kernels, "native:inner_product", gelu_step, &params, sizeof(params),
                              layouts, n_operands, error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, operands,
                                  2.0 * (double)rows * (double)k * (double)n, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[n_operands - 1]);
        return 0;
}

/*
 * A 1x1 convolution over rows for pixels, channels last: 110 to 117 GFLOP/s on a core whose peak is 118,
 * with AVX-512 as with AVX2. Inner product and matrix product are as fast with AVX-512, but fall to 50 to
 * 105 with AVX2 (M 49 to 3136, N and K 96 to 3072).
 */
int row_product_lower(struct lowering *lowering, const struct node *node, const struct row_product *product,
                      enum dtype from, enum dtype to, struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        size_t rows = product->rows, k = product->k, n = product->n, last;
        struct kernel_conv spec = {
                .src = {.rank = 4, .dims = {1, k, rows, 1}},
                .dst = {.rank = 4, .dims = {1, n, rows, 1}},
                .groups = 1,
                .window = {.kernel = {1, 1}, .strides = {1, 1}, .dilations = {1, 1}},
                .bias = product->bias,
                .post_ops = post_ops_of(node),
        };
        struct shape matrix = {.rank = 4, .dims = {n, k, 1, 1}}, vector = {.rank = 1, .dims = {n}};
        const struct layout *weights = layout_strided(
                kernels, &matrix, product->transposed ? (size_t[]){k, 1, 1, 1} : (size_t[]){1, n, 1, 1});
        const struct layout *bias = layout_plain(kernels, &vector);
        const struct layout *x =
                layout_as(kernels, layout_plain(kernels, &graph->values[node->inputs[0]].shape), from);
        const struct layout *y =
                layout_as(kernels, layout_plain(kernels, &graph->values[node->outputs[0]].shape), to);
        uint32_t sum = sum_operand_of(node);
        struct operand operands[4];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES];
        int r;

        spec.src_layout = layout_as(kernels, layout_channels_last(kernels, &spec.src), from);
        spec.dst_layout = layout_as(kernels, layout_channels_last(kernels, &spec.dst), to);
        if (!weights || !bias || !x || !y || !spec.src_layout || !spec.dst_layout)
                return error_no_memory(error);
        r = kernel_conv_new(&kernel, kernels, &spec, error);
        if (r < 0)
                return r;
        last = kernel_n_args(kernel) - 1;
        r = lowering_use(lowering, node->inputs[0], x, &operands[0], error);
        if (r >= 0)
                r = lowering_constant(lowering, product->weights, weights, kernel_layout(kernel, 1),
                                      &operands[1], error);
        if (r >= 0 && product->bias)
                r = lowering_constant(lowering, product->bias, bias, kernel_layout(kernel, 2), &operands[2],
                                      error);
        if (r >= 0)
                r = sum != VALUE_NONE ? lowering_use_writable(lowering, node, sum, y, &operands[last], error)
                                      : lowering_place(lowering, y, &operands[last], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, operands,
                                  2.0 * (double)rows * (double)k * (double)n, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[last]);
        return 0;
}

OPERATOR_LOWER(inner_product) {
        const struct graph *graph = lowering_graph(lowering);
        const struct value *x = &graph->values[node->inputs[0]], *w = &graph->values[node->inputs[1]];
        const struct shape *out = &graph->values[node->outputs[0]].shape;
        const struct row_product product = {
                .rows = rows_of(&x->shape),
                .k = x->shape.dims[x->shape.rank - 1],
                .n = out->dims[out->rank - 1],
                .transposed = node_attribute_integer(node, "transB", 0) != 0,
                .weights = w->constant,
                .bias = node->n_inputs > 2 ? graph->values[node->inputs[2]].constant : NULL,
        };

        if (lowering_takes_bf16(lowering))
                return bf16_product_lower(lowering, node, &product, error);
        if (is_gelu_of_panels(node, native_best()))
                return inner_product_gelu_lower(lowering, node, product.rows, product.k, product.n,
                                                product.transposed, error);
        return row_product_lower(lowering, node, &product, DTYPE_F32, DTYPE_F32, error);
}
