#include <math.h>
#include <string.h>

#include "engine/ops/conv.h"

bool conv_clip(const struct kernel_post_ops *post_ops, bool *ret_sum, float *ret_low, float *ret_high) {
        bool sum = post_ops->n > 0 && post_ops->ops[0].sum;
        float low = -INFINITY, high = INFINITY;
        size_t i = sum;

        if (i < post_ops->n && !post_ops->ops[i].sum) {
                const struct eltwise *eltwise = &post_ops->ops[i].eltwise;

                if (eltwise->kind == ELTWISE_RELU && eltwise->alpha == 0) {
                        low = 0;
                } else if (eltwise->kind == ELTWISE_CLIP) {
                        low = eltwise->alpha;
                        high = eltwise->beta;
                } else {
                        return false;
                }
                i++;
        }
        if (i < post_ops->n)
                return false;
        *ret_sum = sum;
        *ret_low = low;
        *ret_high = high;
        return true;
}

int conv_maps(struct lowering *lowering, const struct node *node, const struct conv_source *source,
              size_t lanes, struct operand *ret_src, struct operand *ret_dst, struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct kernel_conv *spec = source->spec;
        const struct layout *src;
        struct map_strides strides;
        struct operand operands[2];
        bool blocks;
        int r;

        r = lowering_layout(lowering, source->src, &src, error);
        if (r < 0)
                return r;
        blocks = layout_map_strides(src, lanes, &strides) && strides.step != lanes;
        if (!blocks)
                r = conv_pixels(lowering, source->src, &src, error);
        if (r >= 0)
                r = lowering_use(lowering, source->src, src, &operands[0], error);
        if (r < 0)
                return r;
        if (blocks && spec->dst.dims[1] % lanes == 0 && !lowering_is_sliced(lowering, node->outputs[0]))
                r = conv_result(lowering, node, layout_channel_blocks(kernels, &spec->dst, lanes),
                                &operands[1], error);
        else
                r = conv_destination(lowering, node, &operands[1], error);
        if (r < 0)
                return r;
        *ret_src = operands[0];
        *ret_dst = operands[1];
        return 0;
}

/* Code of our own reads whole vectors of the bias: behind it the form stays zero. */
static int pack_vector(_unused_ const void *params, size_t first, size_t n, const void *source, void *target,
                       _unused_ struct error *error) {
        memcpy((float *)target + first, source, n * sizeof(float));
        return 0;
}

int conv_native_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                      const struct conv_native *native, struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct kernel_conv *spec = source->spec;
        struct shape weights_shape = {.rank = 1, .dims = {native->weights_bytes / sizeof(float)}};
        struct shape bias_shape = {.rank = 1, .dims = {native->bias_elements}};
        const struct layout *layouts[4] = {native->src.layout, layout_plain(kernels, &weights_shape),
                                           layout_plain(kernels, &bias_shape)};
        size_t last = 2 + spec->bias;
        struct operand operands[4] = {native->src};
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES];
        int r;

        if (!layouts[1] || !layouts[2])
                return error_no_memory(error);
        layouts[last] = native->dst.layout;
        operands[last] = native->dst;
        r = kernel_native_scratch_new(&kernel, kernels, native->name, native->function, native->params,
                                      native->params_bytes, layouts, last + 1, native->scratch_bytes, error);
        if (r >= 0)
                r = lowering_constant_form(lowering, source->weights, native->weights_form, layouts[1],
                                           DTYPE_F32, native->packer, native->packer_params, &operands[1],
                                           error);
        if (r >= 0 && spec->bias)
                r = lowering_constant_form(lowering, source->bias, "vector", layouts[2], DTYPE_F32,
                                           pack_vector, NULL, &operands[2], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, operands, conv_flop(spec),
                                  error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[last]);
        return 0;
}
