#include <inttypes.h>
#include <string.h>

#include "engine/ops/families.h"

struct conv {
        const struct value *x, *w, *b; /* b may be NULL */
        struct kernel_conv spec;
};

static int conv_read(struct conv *ret_conv, const struct graph *graph, const struct node *node,
                     struct error *error) {
        struct conv conv = {0};
        const struct attribute *kernel_shape = node_attribute(node, "kernel_shape");
        int64_t groups = node_attribute_integer(node, "group", 1);
        const struct shape *x, *w;
        size_t output[2];
        int r;

        r = graph_need_input(graph, node, 0, &conv.x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &conv.w, error);
        if (r >= 0)
                r = need_feature_map(conv.x, error);
        if (r < 0)
                return r;
        x = &conv.x->shape;
        w = &conv.w->shape;
        if (!conv.w->constant)
                return error_set(error, ERROR_UNSUPPORTED, "weights that are computed");
        if (w->rank != 4 || shape_elements(w) == 0 || conv.w->dtype != DTYPE_F32)
                return error_set(error, ERROR_INVALID, "weights '%s' must be float32 [O, I, kh, kw]",
                                 conv.w->name);
        if (groups < 1 || w->dims[0] % (uint64_t)groups != 0)
                return error_set(error, ERROR_INVALID,
                                 "group %" PRId64 " does not divide %zu output channels", groups,
                                 w->dims[0]);
        if (w->dims[1] * (uint64_t)groups != x->dims[1])
                return error_set(error, ERROR_INVALID,
                                 "weights for %zu input channels in %" PRId64 " groups, the input has %zu",
                                 w->dims[1], groups, x->dims[1]);
        if (kernel_shape &&
            (kernel_shape->type != ATTRIBUTE_INTS || kernel_shape->n != 2 ||
             kernel_shape->ints[0] != (int64_t)w->dims[2] || kernel_shape->ints[1] != (int64_t)w->dims[3]))
                return error_set(error, ERROR_INVALID, "kernel_shape contradicts the weights' %zux%zu",
                                 w->dims[2], w->dims[3]);
        if (node_input(node, 2) != VALUE_NONE) {
                conv.b = &graph->values[node->inputs[2]];
                if (!conv.b->constant)
                        return error_set(error, ERROR_UNSUPPORTED, "a bias that is computed");
                if (conv.b->dtype != DTYPE_F32 || conv.b->constant->n_elements != w->dims[0])
                        return error_set(error, ERROR_INVALID, "bias '%s' must be float32 [%zu]",
                                         conv.b->name, w->dims[0]);
        }

        r = window_read(&conv.spec.window, output, node, &w->dims[2], &x->dims[2], false, error);
        if (r < 0)
                return r;
        conv.spec.src = *x;
        r = shape_from_dims(&conv.spec.dst,
                            (int64_t[]){(int64_t)x->dims[0], (int64_t)w->dims[0], (int64_t)output[0],
                                        (int64_t)output[1]},
                            4, error);
        if (r < 0)
                return r;
        conv.spec.groups = (size_t)groups;
        conv.spec.bias = conv.b;
        *ret_conv = conv;
        return 0;
}

/* Emits a convolution with weights seen as the layout the kernel speaks of, and defines the node's output.
 */
static int conv_emit(struct lowering *lowering, const struct node *node, struct kernel_conv *spec,
                     uint32_t src, struct tensor *weights, struct tensor *bias, struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        size_t g = spec->groups, o = spec->dst.dims[1], i = spec->src.dims[1];
        const size_t *k = spec->window.kernel;
        struct shape weights_shape = {.rank = 4, .dims = {o, i, k[0], k[1]}};
        struct shape grouped_shape = {.rank = 5, .dims = {g, o / g, i / g, k[0], k[1]}};
        struct shape bias_shape = {.rank = 1, .dims = {o}};
        const struct layout *as = layout_plain(kernels, g > 1 ? &grouped_shape : &weights_shape);
        const struct layout *bias_as = layout_plain(kernels, &bias_shape);
        uint32_t sum = sum_operand_of(node);
        struct operand operands[4];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES];
        size_t last;
        double flop;
        int r;

        if (!as || !bias_as)
                return error_no_memory(error);
        spec->post_ops = post_ops_of(node);
        if (node->channels_last) {
                spec->src_layout = layout_channels_last(kernels, &spec->src);
                spec->dst_layout = layout_channels_last(kernels, &spec->dst);
                if (!spec->src_layout || !spec->dst_layout)
                        return error_no_memory(error);
        }
        r = kernel_conv_new(&kernel, kernels, spec, error);
        if (r >= 0 && node->channels_last && strncmp(kernel_name(kernel), "ref", 3) == 0) {
                /* oneDNN has nothing fast for this convolution in that layout. */
                spec->src_layout = spec->dst_layout = NULL;
                r = kernel_conv_new(&kernel, kernels, spec, error);
        }
        if (r < 0)
                return r;
        last = kernel_n_args(kernel) - 1;

        r = lowering_use(lowering, src, kernel_layout(kernel, 0), &operands[0], error);
        if (r >= 0)
                r = lowering_constant(lowering, weights, as, kernel_layout(kernel, 1), &operands[1], error);
        if (r >= 0 && spec->bias)
                r = lowering_constant(lowering, bias, bias_as, kernel_layout(kernel, 2), &operands[2],
                                      error);
        if (r >= 0)
                r = sum != VALUE_NONE
                            ? lowering_use_writable(lowering, node, sum, kernel_layout(kernel, last),
                                                    &operands[last], error)
                            : lowering_place(lowering, kernel_layout(kernel, last), &operands[last], error);
        if (r < 0)
                return r;

        flop = 2.0 * (double)shape_elements(&spec->dst) * (double)(i / g) * (double)(k[0] * k[1]);
        r = lowering_emit(lowering, node, op_text(node, op), kernel, operands, flop, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[last]);
        return 0;
}

OPERATOR_INFER(conv) {
        struct conv conv;
        int r;

        r = conv_read(&conv, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &conv.spec.dst);
        return 0;
}

OPERATOR_LOWER(conv) {
        struct conv conv;
        int r;

        r = conv_read(&conv, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        return conv_emit(lowering, node, &conv.spec, node->inputs[0], conv.w->constant,
                         conv.b ? conv.b->constant : NULL, error);
}

/* ---- BatchNormalization ---- */

/* Simplification has replaced those with constant parameters, which are all that inference needs. */
OPERATOR_INFER(batch_normalization) {
        (void)graph;
        (void)node;
        return error_set(error, ERROR_UNSUPPORTED,
                         "scale, bias, mean and variance must be constants of one "
                         "float32 value a channel, and training_mode 0");
}

OPERATOR_INFER(scale_shift) {
        const struct value *x, *scale;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &scale, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r < 0)
                return r;
        if (x->shape.rank < 2)
                return error_set(error, ERROR_INVALID, "rank %zu has no channels", x->shape.rank);
        if (shape_elements(&scale->shape) != x->shape.dims[1])
                return error_set(error, ERROR_INVALID, "parameters for %zu channels, the input has %zu",
                                 shape_elements(&scale->shape), x->shape.dims[1]);
        graph_set_output(graph, node, DTYPE_F32, &x->shape);
        return 0;
}

/* Where there is no height and width: a product and a sum in place, row-major. */
static int scale_shift_plain_lower(struct lowering *lowering, const struct node *node, struct error *error) {
        static const enum kernel_binary_kind kinds[] = {KERNEL_BINARY_MUL, KERNEL_BINARY_ADD};
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct shape *shape = &graph->values[node->inputs[0]].shape;
        struct shape channels = {.rank = shape->rank};
        const struct layout *plain = layout_plain(kernels, shape), *channels_layout;
        struct operand operands[3];
        int r;

        for (size_t i = 0; i < shape->rank; i++)
                channels.dims[i] = i == 1 ? shape->dims[1] : 1;
        channels_layout = layout_plain(kernels, &channels);
        if (!plain || !channels_layout)
                return error_no_memory(error);
        r = lowering_use_writable(lowering, node, node->inputs[0], plain, &operands[0], error);
        operands[2] = operands[0];
        for (size_t i = 0; i < ARRAY_SIZE(kinds) && r >= 0; i++) {
                struct tensor *parameters = graph->values[node->inputs[1 + i]].constant;
                const struct kernel *kernel;

                r = kernel_binary_new(&kernel, kernels, kinds[i], plain, channels_layout, error);
                if (r >= 0)
                        r = lowering_constant(lowering, parameters, channels_layout, channels_layout,
                                              &operands[1], error);
                if (r >= 0)
                        r = lowering_emit(lowering, node, node->type, kernel, operands,
                                          (double)shape_elements(shape), error);
        }
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[2]);
        return 0;
}

/* A scale and a shift for each channel are a depthwise 1x1 convolution, which oneDNN runs in any layout and
 * which takes post-ops. */
OPERATOR_LOWER(scale_shift) {
        const struct graph *graph = lowering_graph(lowering);
        const struct value *x = &graph->values[node->inputs[0]];
        struct kernel_conv spec = {
                .src = x->shape,
                .dst = x->shape,
                .groups = x->shape.dims[1],
                .window = {.kernel = {1, 1}, .strides = {1, 1}, .dilations = {1, 1}},
                .bias = true,
        };

        if (x->shape.rank != 4)
                return scale_shift_plain_lower(lowering, node, error);
        return conv_emit(lowering, node, &spec, node->inputs[0], graph->values[node->inputs[1]].constant,
                         graph->values[node->inputs[2]].constant, error);
}
