#include <string.h>

#include "engine/native/native.h"
#include "engine/ops/bf16.h"
#include "engine/ops/pool.h"

/* Average over windows where the padding that was asked for counts, but what ceil_mode adds beyond it does
 * not. */
struct average {
        struct shape src, dst;
        struct kernel_window window;
        int64_t counted_end[2]; /* rows and columns, from the first real one, that count */
};

static void average_run(const void *params, void *const *addresses) {
        const struct average *p = params;
        const float *src = addresses[0];
        float *dst = addresses[1];
        int64_t h = (int64_t)p->src.dims[2], w = (int64_t)p->src.dims[3];

        for (size_t plane = 0; plane < p->src.dims[0] * p->src.dims[1]; plane++, src += h * w)
                for (int64_t oy = 0; oy < (int64_t)p->dst.dims[2]; oy++)
                        for (int64_t ox = 0; ox < (int64_t)p->dst.dims[3]; ox++) {
                                int64_t y0 = oy * (int64_t)p->window.strides[0] - p->window.pads_begin[0];
                                int64_t x0 = ox * (int64_t)p->window.strides[1] - p->window.pads_begin[1];
                                int64_t y1 = MIN(y0 + (int64_t)p->window.kernel[0], p->counted_end[0]);
                                int64_t x1 = MIN(x0 + (int64_t)p->window.kernel[1], p->counted_end[1]);
                                double sum = 0;

                                for (int64_t y = MAX(y0, 0); y < MIN(y1, h); y++)
                                        for (int64_t x = MAX(x0, 0); x < MIN(x1, w); x++)
                                                sum += (double)src[y * w + x];
                                *dst++ = (float)(sum / (double)((y1 - y0) * (x1 - x0)));
                        }
}

int pool_read(struct pool_params *ret_params, int64_t ret_counted_end[2], const struct graph *graph,
              const struct node *node, struct error *error) {
        const struct attribute *kernel_shape = node_attribute(node, "kernel_shape");
        bool quantised = node->op->infer == q_pool_infer;
        bool max = node_is(node, "MaxPool") || node_is(node, "QMaxPool");
        bool count = node_attribute_integer(node, "count_include_pad", 0) != 0 || node->pads_count;
        bool ceil_mode = node_attribute_integer(node, "ceil_mode", 0) != 0;
        struct pool_params params = {0};
        struct kernel_window floor_window;
        const struct value *x;
        size_t kernel[2], output[2], floor_output[2];
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = quantised ? need_quantised_map(x, error) : need_feature_map(x, error);
        if (r < 0)
                return r;
        if (!kernel_shape || kernel_shape->type != ATTRIBUTE_INTS || kernel_shape->n != 2)
                return error_set(error, ERROR_UNSUPPORTED, "kernel_shape must have two values");
        if (node_output(node, 1) != VALUE_NONE)
                return error_set(error, ERROR_UNSUPPORTED, "the output of indices");
        for (size_t i = 0; i < 2; i++)
                kernel[i] = kernel_shape->ints[i] > 0 ? (size_t)kernel_shape->ints[i] : 0;
        r = window_read(&params.spec.window, output, node, kernel, &x->shape.dims[2], ceil_mode, error);
        if (r < 0)
                return r;
        r = window_read(&floor_window, floor_output, node, kernel, &x->shape.dims[2], false, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < 2; i++) {
                const struct attribute *pads = node_attribute(node, "pads");
                int64_t end = pads && pads->type == ATTRIBUTE_INTS && pads->n == 4 ? pads->ints[i + 2] : 0;

                ret_counted_end[i] = (int64_t)x->shape.dims[i + 2] + end + node->fused_pads[i + 2];
                if (node_attribute_string(node, "auto_pad", "N")[0] == 'S')
                        ret_counted_end[i] = (int64_t)x->shape.dims[i + 2] + floor_window.pads_end[i];
                params.native |= !max && count && output[i] != floor_output[i];
                params.native |= !max && params.spec.window.pads_begin[i] >= (int64_t)kernel[i];
                if (max && params.spec.window.pads_begin[i] >= (int64_t)kernel[i])
                        return error_set(error, ERROR_UNSUPPORTED, "padding as large as the kernel");
        }
        if (params.native && (params.spec.window.dilations[0] != 1 || params.spec.window.dilations[1] != 1))
                return error_set(error, ERROR_UNSUPPORTED,
                                 "dilations of an average that counts its padding");

        params.spec.kind = max     ? KERNEL_POOL_MAX
                           : count ? KERNEL_POOL_AVERAGE_WITH_PADDING
                                   : KERNEL_POOL_AVERAGE;
        params.spec.dst = (struct shape){.rank = 4,
                                         .dims = {x->shape.dims[0], x->shape.dims[1], output[0], output[1]}};
        *ret_params = params;
        return 0;
}

OPERATOR_INFER(pool) {
        struct pool_params params;
        int64_t counted_end[2];
        int r;

        r = pool_read(&params, counted_end, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &params.spec.dst);
        return 0;
}

static int pool_emit(struct lowering *lowering, const struct node *node, const struct kernel *kernel,
                     struct operand src, double flop, struct error *error) {
        struct operand operands[2] = {src};
        int r;

        r = lowering_place(lowering, kernel_layout(kernel, 1), &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands, flop, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[1]);
        return 0;
}

/* oneDNN pools row-major maps by code for no CPU in particular: blocks of channels, where those fill them.
 */
static int pool_layout(struct lowering *lowering, const struct node *node, const struct layout **ret_layout,
                       struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct shape *shape = &lowering_graph(lowering)->values[node->inputs[0]].shape;
        size_t lanes = native_best()->lanes;
        const struct layout *layout, *plain;
        int r;

        r = lowering_dense_layout_for(lowering, node->inputs[0], node->outputs[0], &layout, error);
        if (r < 0)
                return r;
        plain = layout_plain(kernels, shape);
        if (!plain)
                return error_no_memory(error);
        if ((lanes == 8 || lanes == 16) && shape->dims[1] % lanes == 0 && layout_equal(layout, plain))
                layout = layout_channel_blocks(kernels, shape, lanes);
        if (!layout)
                return error_no_memory(error);
        *ret_layout = layout;
        return 0;
}

OPERATOR_LOWER(pool) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct value *x = &graph->values[node->inputs[0]];
        const struct layout *plain[2];
        struct pool_params params;
        const struct kernel *kernel;
        struct average average = {0};
        struct operand src;
        double flop;
        int r;

        r = pool_read(&params, average.counted_end, graph, node, error);
        if (r < 0)
                return r;
        flop = (double)shape_elements(&params.spec.dst) *
               (double)(params.spec.window.kernel[0] * params.spec.window.kernel[1]);
        if (params.native) {
                average.src = x->shape;
                average.dst = params.spec.dst;
                average.window = params.spec.window;
                plain[0] = layout_plain(kernels, &average.src);
                plain[1] = layout_plain(kernels, &average.dst);
                if (!plain[0] || !plain[1])
                        return error_no_memory(error);
                r = lowering_use(lowering, node->inputs[0], plain[0], &src, error);
                if (r >= 0)
                        r = kernel_native_new(&kernel, kernels, "native:average", average_run, &average,
                                              sizeof(average), plain, 2, error);
        } else {
                r = pool_layout(lowering, node, &params.spec.src_layout, error);
                if (r >= 0)
                        r = lowering_use(lowering, node->inputs[0], params.spec.src_layout, &src, error);
                if (r >= 0)
                        r = kernel_pool_new(&kernel, kernels, &params.spec, error);
        }
        if (r < 0)
                return r;
        return pool_emit(lowering, node, kernel, src, flop, error);
}

OPERATOR_INFER(global_pool) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_feature_map(x, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32,
                         &(struct shape){.rank = 4, .dims = {x->shape.dims[0], x->shape.dims[1], 1, 1}});
        return 0;
}

OPERATOR_LOWER(global_pool) {
        const struct graph *graph = lowering_graph(lowering);
        const struct shape *x = &graph->values[node->inputs[0]].shape;
        struct kernel_pool spec = {
                .kind = strcmp(node->type, "GlobalMaxPool") == 0 ? KERNEL_POOL_MAX : KERNEL_POOL_AVERAGE,
                .dst = {.rank = 4, .dims = {x->dims[0], x->dims[1], 1, 1}},
                .window = {.kernel = {x->dims[2], x->dims[3]}, .strides = {1, 1}, .dilations = {1, 1}},
        };
        const struct kernel *kernel;
        struct operand src;
        int r;

        if (lowering_takes_bf16(lowering) && spec.kind == KERNEL_POOL_AVERAGE)
                return bf16_mean_lower(lowering, node, error);
        r = lowering_dense_layout(lowering, node->inputs[0], &spec.src_layout, error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0], spec.src_layout, &src, error);
        if (r < 0)
                return r;
        r = kernel_pool_new(&kernel, lowering_kernels(lowering), &spec, error);
        if (r < 0)
                return r;
        return pool_emit(lowering, node, kernel, src, (double)shape_elements(x), error);
}
