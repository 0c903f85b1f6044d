#include <inttypes.h>
#include <string.h>

#include "engine/ops/native.h"

/* ConvTranspose over any number of dimensions, by own code: each element of the input adds a kernel to the
 * result. */

#define SPATIAL_MAX (TENSOR_MAX_RANK - 2u)

struct conv_transpose {
        size_t images, groups, channels_in, channels_out; /* channels of a group */
        size_t n;                                         /* spatial dimensions */
        int64_t in[SPATIAL_MAX], out[SPATIAL_MAX], kernel[SPATIAL_MAX];
        int64_t stride[SPATIAL_MAX], dilation[SPATIAL_MAX], begin[SPATIAL_MAX];
        size_t in_elements, out_elements, kernel_elements; /* of a plane, of a kernel */
        bool bias;
};

/* ONNX: output_shape, or SAME, says the size, and the padding follows; otherwise it is the other way round.
 */
static int sizes_settle(struct conv_transpose *p, const struct node *node, struct error *error) {
        const char *auto_pad = node_attribute_string(node, "auto_pad", "NOTSET");
        bool same = strncmp(auto_pad, "SAME", 4) == 0, upper = strcmp(auto_pad, "SAME_UPPER") == 0;
        int64_t pads[2 * SPATIAL_MAX], output_padding[SPATIAL_MAX], output_shape[SPATIAL_MAX];
        int r;

        r = window_list_read(pads, 2 * p->n, node, "pads", 0, 0, error);
        if (r >= 0)
                r = window_list_read(output_padding, p->n, node, "output_padding", 0, 0, error);
        if (r >= 0)
                r = window_list_read(output_shape, p->n, node, "output_shape", 0, 0, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < p->n; i++) {
                int64_t full = (p->in[i] - 1) * p->stride[i] + output_padding[i] +
                               (p->kernel[i] - 1) * p->dilation[i] + 1;
                bool given = output_shape[i] > 0 || same;

                if (given) {
                        int64_t total;

                        p->out[i] = output_shape[i] > 0 ? output_shape[i] : p->in[i] * p->stride[i];
                        /* What the result has beyond all kernels stays empty, at its end. */
                        total = MAX(full - p->out[i], 0);
                        p->begin[i] = upper ? total / 2 : total - total / 2;
                } else if (strcmp(auto_pad, "VALID") == 0) {
                        p->out[i] = full;
                } else {
                        p->begin[i] = pads[i];
                        p->out[i] = full - pads[i] - pads[i + p->n];
                }
                if (p->out[i] < 1)
                        return error_set(error, ERROR_INVALID, "padding that leaves nothing of the result");
        }
        return 0;
}

static int conv_transpose_read(struct conv_transpose *ret_conv, struct shape *ret_shape,
                               const struct graph *graph, const struct node *node, struct error *error) {
        int64_t groups = node_attribute_integer(node, "group", 1), dims[TENSOR_MAX_RANK],
                kernel[SPATIAL_MAX];
        struct conv_transpose conv = {.bias = node_input(node, 2) != VALUE_NONE};
        const struct value *x, *w;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &w, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r >= 0)
                r = need_float(w, error);
        if (r >= 0 && conv.bias)
                r = need_float(&graph->values[node->inputs[2]], error);
        if (r < 0)
                return r;
        if (x->shape.rank < 3 || w->shape.rank != x->shape.rank)
                return error_set(error, ERROR_INVALID,
                                 "ranks %zu and %zu; [N, C, ...] and [C, M, ...] are needed", x->shape.rank,
                                 w->shape.rank);
        if (groups < 1 || x->shape.dims[1] % (uint64_t)groups != 0 || w->shape.dims[0] != x->shape.dims[1])
                return error_set(error, ERROR_INVALID,
                                 "%zu channels, weights for %zu, in %" PRId64 " groups", x->shape.dims[1],
                                 w->shape.dims[0], groups);
        conv.n = x->shape.rank - 2;
        conv.images = x->shape.dims[0];
        conv.groups = (size_t)groups;
        conv.channels_in = x->shape.dims[1] / conv.groups;
        conv.channels_out = w->shape.dims[1];
        if (conv.bias &&
            shape_elements(&graph->values[node->inputs[2]].shape) != conv.channels_out * conv.groups)
                return error_set(error, ERROR_INVALID, "a bias of another number than output channels");
        r = window_list_read(kernel, conv.n, node, "kernel_shape", 1, 0, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < conv.n; i++) {
                if (kernel[i] != 0 && (uint64_t)kernel[i] != w->shape.dims[i + 2])
                        return error_set(error, ERROR_INVALID, "kernel_shape is not that of the weights");
                conv.in[i] = (int64_t)x->shape.dims[i + 2];
                conv.kernel[i] = (int64_t)w->shape.dims[i + 2];
                if (conv.kernel[i] > WINDOW_MAX)
                        return error_set(error, ERROR_INVALID, "a kernel of %" PRId64, conv.kernel[i]);
        }
        r = window_list_read(conv.stride, conv.n, node, "strides", 1, 1, error);
        if (r >= 0)
                r = window_list_read(conv.dilation, conv.n, node, "dilations", 1, 1, error);
        if (r >= 0)
                r = sizes_settle(&conv, node, error);
        if (r < 0)
                return r;
        dims[0] = (int64_t)conv.images;
        if (__builtin_mul_overflow(conv.channels_out, conv.groups, &dims[1]))
                return error_set(error, ERROR_LIMIT, "too many output channels");
        memcpy(&dims[2], conv.out, conv.n * sizeof(*dims));
        r = shape_from_dims(ret_shape, dims, x->shape.rank, error);
        if (r < 0)
                return r;
        conv.in_elements = conv.out_elements = conv.kernel_elements = 1;
        for (size_t i = 0; i < conv.n; i++) {
                conv.in_elements *= (size_t)conv.in[i];
                conv.out_elements *= (size_t)conv.out[i];
                conv.kernel_elements *= (size_t)conv.kernel[i];
        }
        *ret_conv = conv;
        return 0;
}

OPERATOR_INFER(conv_transpose) {
        struct conv_transpose conv;
        struct shape shape;
        int r;

        r = conv_transpose_read(&conv, &shape, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &shape);
        return 0;
}

/* Adds the kernel times value at the place of position. */
static void kernel_add(const struct conv_transpose *p, float *dst, const float *kernel, float value,
                       const int64_t *position) {
        int64_t k[SPATIAL_MAX] = {0};

        do {
                int64_t at = 0;
                bool inside = true;

                for (size_t i = 0; i < p->n; i++) {
                        int64_t c = position[i] * p->stride[i] + k[i] * p->dilation[i] - p->begin[i];

                        inside &= c >= 0 && c < p->out[i];
                        at = at * p->out[i] + c;
                }
                if (inside)
                        dst[at] += value * *kernel;
                kernel++;
        } while (box_advance(k, p->kernel, p->n));
}

static void plane_add(const struct conv_transpose *p, float *dst, const float *src, const float *kernel) {
        int64_t position[SPATIAL_MAX] = {0};

        do
                kernel_add(p, dst, kernel, *src++, position);
        while (box_advance(position, p->in, p->n));
}

static void conv_transpose_run(const void *params, void *const *addresses) {
        const struct conv_transpose *p = params;
        const float *src = addresses[0], *weights = addresses[1];
        const float *bias = p->bias ? addresses[2] : NULL;
        float *dst = addresses[p->bias ? 3 : 2];

        for (size_t i = 0; i < p->images * p->groups; i++)
                for (size_t o = 0; o < p->channels_out; o++, dst += p->out_elements) {
                        size_t group = i % p->groups;

                        for (size_t k = 0; k < p->out_elements; k++)
                                dst[k] = bias ? bias[group * p->channels_out + o] : 0;
                        for (size_t c = 0; c < p->channels_in; c++)
                                plane_add(p, dst, src + (i * p->channels_in + c) * p->in_elements,
                                          weights + ((group * p->channels_in + c) * p->channels_out + o) *
                                                            p->kernel_elements);
                }
}

OPERATOR_LOWER(conv_transpose) {
        struct conv_transpose conv;
        struct shape shape;
        int r;

        r = conv_transpose_read(&conv, &shape, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:convtranspose",
                                    .function = conv_transpose_run,
                                    .params = &conv,
                                    .params_bytes = sizeof(conv),
                                    .inputs = {0, 1, 2},
                                    .n_inputs = conv.bias ? 3 : 2,
                                    .n_outputs = 1,
                                    .flop = 2.0 * (double)(conv.images * conv.groups * conv.channels_in) *
                                            (double)conv.in_elements * (double)conv.channels_out *
                                            (double)conv.kernel_elements,
                            },
                            error);
}
