#include <stdio.h>
#include <string.h>

#include "engine/ops/bf16_dot.h"

static int onednn_lower(struct lowering *lowering, const struct node *node,
                        const struct row_product *product, struct error *error) {
        return row_product_lower(lowering, node, product, DTYPE_BF16,
                                 lowering_dtype(lowering, node->outputs[0]), error);
}

int bf16_product_lower(struct lowering *lowering, const struct node *node, const struct row_product *product,
                       struct error *error) {
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
