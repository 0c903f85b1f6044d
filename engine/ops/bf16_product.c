#include <stdio.h>
#include <string.h>

#include "engine/ops/bf16_dot.h"

static int onednn_lower(struct lowering *lowering, const struct node *node,
                        const struct bf16_product *product, struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct graph *graph = lowering_graph(lowering);
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
        const struct layout *as = layout_strided(
                kernels, &matrix, product->transposed ? (size_t[]){k, 1, 1, 1} : (size_t[]){1, n, 1, 1});
        const struct layout *x =
                layout_as(kernels, layout_plain(kernels, &graph->values[node->inputs[0]].shape), DTYPE_BF16);
        const struct layout *y =
                layout_as(kernels, layout_plain(kernels, &graph->values[node->outputs[0]].shape),
                          lowering_dtype(lowering, node->outputs[0]));
        const struct layout *bias = layout_plain(kernels, &vector);
        uint32_t sum = sum_operand_of(node);
        struct operand operands[4];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES];
        int r;

        spec.src_layout = layout_as(kernels, layout_channels_last(kernels, &spec.src), DTYPE_BF16);
        spec.dst_layout = layout_as(kernels, layout_channels_last(kernels, &spec.dst),
                                    lowering_dtype(lowering, node->outputs[0]));
        if (!as || !x || !y || !bias || !spec.src_layout || !spec.dst_layout)
                return error_no_memory(error);
        r = kernel_conv_new(&kernel, kernels, &spec, error);
        if (r < 0)
                return r;
        last = kernel_n_args(kernel) - 1;
        r = lowering_use(lowering, node->inputs[0], x, &operands[0], error);
        if (r >= 0)
                r = lowering_constant(lowering, product->weights, as, kernel_layout(kernel, 1), &operands[1],
                                      error);
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

int bf16_product_lower(struct lowering *lowering, const struct node *node,
                       const struct bf16_product *product, struct error *error) {
        struct kernel_conv spec = {
                .src = {.rank = 4, .dims = {product->rows, product->k, 1, 1}},
                .dst = {.rank = 4, .dims = {product->rows, product->n, 1, 1}},
                .groups = 1,
                .window = {.kernel = {1, 1}, .strides = {1, 1}, .dilations = {1, 1}},
                .bias = product->bias,
                .post_ops = post_ops_of(node),
        };
        static const char *const labels[] = {"native", "onednn"};
        char question[TUNING_MAX_TEXT], op[OP_TEXT_BYTES];
        size_t taken;
        int r;

        if (!bf16_dot_can(&spec))
                return onednn_lower(lowering, node, product, error);
        snprintf(question, sizeof(question), "bf16%s %s %zu rows of %zu to %zu",
                 lowering_dtype(lowering, node->outputs[0]) == DTYPE_F32 ? " to f32" : "", op_text(node, op),
                 product->rows, product->k, product->n);
        r = lowering_choose(lowering, question, labels, ARRAY_SIZE(labels), 0, &taken, error);
        if (r < 0)
                return r;
        return taken == 0 ? bf16_dot_product_lower(lowering, node, product, &spec, error)
                          : onednn_lower(lowering, node, product, error);
}
