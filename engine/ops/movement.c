#include <inttypes.h>
#include <string.h>

#include "engine/ops/families.h"

/* Operators that move data: Concat, Transpose, Pad. */

/* ---- Concat ---- */

static int concat_axis(size_t *ret_axis, const struct graph *graph, const struct node *node,
                       struct error *error) {
        const struct value *first;
        int r;

        r = graph_need_input(graph, node, 0, &first, error);
        if (r < 0)
                return r;
        return axis_normalise(ret_axis, node_attribute_integer(node, "axis", 1), first->shape.rank, error);
}

OPERATOR_INFER(concat) {
        const struct value *first, *x;
        int64_t dims[TENSOR_MAX_RANK];
        struct shape shape;
        size_t axis;
        int r;

        r = concat_axis(&axis, graph, node, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 0, &first, error);
        if (r < 0)
                return r;
        for (size_t d = 0; d < first->shape.rank; d++)
                dims[d] = (int64_t)first->shape.dims[d];
        for (size_t i = 1; i < node->n_inputs; i++) {
                r = graph_need_input(graph, node, i, &x, error);
                if (r < 0)
                        return r;
                if (x->dtype != first->dtype || x->shape.rank != first->shape.rank)
                        return error_set(error, ERROR_INVALID, "'%s' differs from '%s' in type or rank",
                                         x->name, first->name);
                for (size_t d = 0; d < x->shape.rank; d++) {
                        if (d != axis && x->shape.dims[d] != first->shape.dims[d])
                                return error_set(error, ERROR_INVALID,
                                                 "'%s' differs from '%s' in dimension %zu", x->name,
                                                 first->name, d);
                        if (d == axis)
                                dims[d] += (int64_t)x->shape.dims[d];
                }
        }
        r = shape_from_dims(&shape, dims, first->shape.rank, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, first->dtype, &shape);
        return 0;
}

OPERATOR_FOLD(concat) {
        const struct value *out = &graph->values[node->outputs[0]];
        size_t bytes = dtype_bytes(out->dtype), outer = 1, inner = 1, axis, offset = 0;
        struct tensor *tensor;
        int r;

        r = concat_axis(&axis, graph, node, error);
        if (r >= 0)
                r = tensor_new(&tensor, out->dtype, &out->shape, error);
        if (r < 0)
                return r;
        for (size_t d = 0; d < out->shape.rank; d++) {
                outer *= d < axis ? out->shape.dims[d] : 1;
                inner *= d > axis ? out->shape.dims[d] : 1;
        }
        for (size_t i = 0; i < node->n_inputs; i++) {
                const struct tensor *x = graph_input_constant(graph, node, i);
                size_t run = x->shape.dims[axis] * inner * bytes,
                       row = out->shape.dims[axis] * inner * bytes;

                for (size_t o = 0; o < outer && run > 0; o++)
                        memcpy((char *)tensor->data + o * row + offset, (const char *)x->data + o * run,
                               run);
                offset += run;
        }
        *ret_tensor = tensor;
        return 0;
}

/* The parts that are not in their slices yet are copied there. */
static int concat_slices_lower(struct lowering *lowering, const struct node *node, struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        uint32_t out = node->outputs[0];
        size_t channel = 0, channels;
        struct operand part, slice;
        int r;

        for (size_t i = 0; i < node->n_inputs; i++, channel += channels) {
                channels = graph->values[node->inputs[i]].shape.dims[1];
                r = lowering_slice(lowering, out, channel, channels, &slice, error);
                if (r < 0)
                        return r;
                if (lowering_is_at(lowering, node->inputs[i], slice))
                        continue;
                r = lowering_use(lowering, node->inputs[i], NULL, &part, error);
                if (r >= 0)
                        r = lowering_copy(lowering, node, part, slice, error);
                if (r < 0)
                        return r;
                lowering_define(lowering, node->inputs[i], slice);
        }
        r = lowering_slice(lowering, out, 0, channel, &slice, error);
        if (r < 0)
                return r;
        lowering_define(lowering, out, slice);
        return 0;
}

/* Row-major data: runs of each source, one after the other. */
struct concat {
        size_t n_sources, outer;
        size_t run_bytes[KERNEL_CONCAT_MAX];
};

static void concat_run(const void *params, void *const *addresses) {
        const struct concat *p = params;
        char *dst = addresses[p->n_sources];

        for (size_t o = 0; o < p->outer; o++)
                for (size_t i = 0; i < p->n_sources; i++) {
                        memcpy(dst, (const char *)addresses[i] + o * p->run_bytes[i], p->run_bytes[i]);
                        dst += p->run_bytes[i];
                }
}

/* Our own code in place of oneDNN's reference, which finds the address of each element anew. */
static int concat_plain_lower(struct lowering *lowering, const struct node *node, size_t axis,
                              struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct shape *out = &graph->values[node->outputs[0]].shape;
        struct operand operands[KERNEL_CONCAT_MAX + 1];
        const struct layout *layouts[KERNEL_CONCAT_MAX + 1];
        struct concat concat = {.n_sources = node->n_inputs, .outer = 1};
        const struct kernel *kernel;
        int r;

        for (size_t d = 0; d < axis; d++)
                concat.outer *= out->dims[d];
        for (size_t i = 0; i < node->n_inputs; i++) {
                const struct shape *shape = &graph->values[node->inputs[i]].shape;

                concat.run_bytes[i] = shape_elements(shape) / concat.outer * sizeof(float);
                layouts[i] = layout_plain(kernels, shape);
                if (!layouts[i])
                        return error_no_memory(error);
                r = lowering_use(lowering, node->inputs[i], layouts[i], &operands[i], error);
                if (r < 0)
                        return r;
        }
        layouts[node->n_inputs] = layout_plain(kernels, out);
        r = lowering_place(lowering, layouts[node->n_inputs], &operands[node->n_inputs], error);
        if (r >= 0)
                r = kernel_native_new(&kernel, kernels, "native:concat", concat_run, &concat, sizeof(concat),
                                      layouts, node->n_inputs + 1, error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands, 0, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[node->n_inputs]);
        return 0;
}

OPERATOR_LOWER(concat) {
        const struct graph *graph = lowering_graph(lowering);
        struct operand operands[KERNEL_CONCAT_MAX + 1];
        const struct layout *layouts[KERNEL_CONCAT_MAX];
        const struct kernel *kernel;
        size_t axis;
        int r;

        r = concat_axis(&axis, graph, node, error);
        if (r < 0)
                return r;
        if (lowering_is_sliced(lowering, node->outputs[0]))
                return concat_slices_lower(lowering, node, error);
        if (node->n_inputs > KERNEL_CONCAT_MAX)
                return error_set(error, ERROR_LIMIT, "%zu inputs, the limit is %u", node->n_inputs,
                                 KERNEL_CONCAT_MAX);
        for (size_t i = 0; i < node->n_inputs; i++) {
                r = need_float(&graph->values[node->inputs[i]], error);
                if (r >= 0)
                        r = lowering_layout(lowering, node->inputs[i], &layouts[i], error);
                if (r >= 0)
                        r = lowering_use(lowering, node->inputs[i], layouts[i], &operands[i], error);
                if (r < 0)
                        return r;
        }
        r = kernel_concat_new(&kernel, lowering_kernels(lowering), layouts, node->n_inputs, axis, error);
        if (r >= 0 && kernel_is_reference(kernel))
                return concat_plain_lower(lowering, node, axis, error);
        if (r >= 0)
                r = lowering_place(lowering, kernel_layout(kernel, node->n_inputs),
                                   &operands[node->n_inputs], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands, 0, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[node->n_inputs]);
        return 0;
}

/* ---- Transpose ---- */

static int permutation_read(size_t ret_permutation[TENSOR_MAX_RANK], const struct node *node, size_t rank,
                            struct error *error) {
        const struct attribute *perm = node_attribute(node, "perm");
        bool seen[TENSOR_MAX_RANK] = {false};

        if (perm && (perm->type != ATTRIBUTE_INTS || perm->n != rank))
                return error_set(error, ERROR_INVALID, "perm needs %zu values", rank);
        for (size_t i = 0; i < rank; i++) {
                int64_t axis = perm ? perm->ints[i] : (int64_t)(rank - 1 - i);

                if (axis < 0 || axis >= (int64_t)rank || seen[axis])
                        return error_set(error, ERROR_INVALID, "perm is no permutation");
                seen[axis] = true;
                ret_permutation[i] = (size_t)axis;
        }
        return 0;
}

/* Steps, in elements, through the row-major source for each dimension of the result. */
static void transpose_strides(size_t strides[TENSOR_MAX_RANK], const struct shape *x,
                              const size_t *permutation) {
        size_t plain[TENSOR_MAX_RANK], stride = 1;

        for (size_t i = x->rank; i-- > 0;) {
                plain[i] = stride;
                stride *= x->dims[i];
        }
        for (size_t i = 0; i < x->rank; i++)
                strides[i] = plain[permutation[i]];
}

OPERATOR_INFER(transpose) {
        size_t permutation[TENSOR_MAX_RANK];
        const struct value *x;
        struct shape shape;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = permutation_read(permutation, node, x->shape.rank, error);
        if (r < 0)
                return r;
        shape.rank = x->shape.rank;
        for (size_t i = 0; i < shape.rank; i++)
                shape.dims[i] = x->shape.dims[permutation[i]];
        graph_set_output(graph, node, x->dtype, &shape);
        return 0;
}

OPERATOR_FOLD(transpose) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        const struct shape *shape = &graph->values[node->outputs[0]].shape;
        size_t permutation[TENSOR_MAX_RANK], strides[TENSOR_MAX_RANK], index[TENSOR_MAX_RANK] = {0},
                                                                       from = 0;
        size_t bytes = dtype_bytes(x->dtype);
        struct tensor *tensor;
        int r;

        r = permutation_read(permutation, node, x->shape.rank, error);
        if (r >= 0)
                r = tensor_new(&tensor, x->dtype, shape, error);
        if (r < 0)
                return r;
        transpose_strides(strides, &x->shape, permutation);
        for (size_t i = 0; i < tensor->n_elements; i++) {
                memcpy((char *)tensor->data + i * bytes, (const char *)x->data + from * bytes, bytes);
                for (size_t d = shape->rank; d-- > 0;) {
                        from += strides[d];
                        if (++index[d] < shape->dims[d])
                                break;
                        from -= strides[d] * shape->dims[d];
                        index[d] = 0;
                }
        }
        *ret_tensor = tensor;
        return 0;
}

/*
 * Between [N, H, W, C] and [N, C, H, W] a Transpose moves nothing where the channels are innermost in memory
 * before and after, which is what convolutions want or come near to: its result is another name for these
 * bytes. The layout that the source must have, and what the result is called then; *ret_from NULL for any
 * other permutation.
 */
static int transpose_by_name(const struct layout **ret_from, const struct layout **ret_to,
                             struct kernels *kernels, const struct shape *x, const struct shape *out,
                             const size_t *permutation, struct error *error) {
        static const size_t to_channels_first[] = {0, 3, 1, 2}, to_channels_last[] = {0, 2, 3, 1};

        *ret_from = *ret_to = NULL;
        if (x->rank == 4 && memcmp(permutation, to_channels_first, sizeof(to_channels_first)) == 0) {
                *ret_from = layout_plain(kernels, x);
                *ret_to = layout_channels_last(kernels, out);
        } else if (x->rank == 4 && memcmp(permutation, to_channels_last, sizeof(to_channels_last)) == 0) {
                *ret_from = layout_channels_last(kernels, x);
                *ret_to = layout_plain(kernels, out);
        } else {
                return 0;
        }
        return *ret_from && *ret_to ? 0 : error_no_memory(error);
}

OPERATOR_LOWER(transpose) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct shape *x = &graph->values[node->inputs[0]].shape;
        const struct shape *out = &graph->values[node->outputs[0]].shape;
        size_t permutation[TENSOR_MAX_RANK], strides[TENSOR_MAX_RANK];
        const struct layout *seen, *plain, *from, *to;
        struct operand operands[2];
        const struct kernel *kernel;
        int r;

        r = permutation_read(permutation, node, x->rank, error);
        if (r < 0)
                return r;
        r = transpose_by_name(&from, &to, kernels, x, out, permutation, error);
        if (r >= 0 && from)
                r = lowering_use(lowering, node->inputs[0], from, &operands[0], error);
        if (r < 0)
                return r;
        if (from) {
                operands[0].layout = to;
                lowering_define(lowering, node->outputs[0], operands[0]);
                return 0;
        }
        transpose_strides(strides, x, permutation);
        plain = layout_plain(kernels, x);
        seen = layout_strided(kernels, out, strides);
        to = layout_plain(kernels, out);
        if (!plain || !seen || !to)
                return error_no_memory(error);
        r = kernel_reorder_new(&kernel, kernels, seen, to, error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0], plain, &operands[0], error);
        if (r >= 0)
                r = lowering_place(lowering, to, &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands, 0, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[1]);
        return 0;
}

/* ---- Pad ---- */

struct pad {
        struct shape src, dst;
        int64_t begin[TENSOR_MAX_RANK];
        float value;
};

int pad_read(int64_t ret_begin[TENSOR_MAX_RANK], int64_t ret_end[TENSOR_MAX_RANK], float *ret_value,
             const struct graph *graph, const struct node *node, struct error *error) {
        const struct tensor *constant = graph_input_constant(graph, node, 2);
        const char *mode = node_attribute_string(node, "mode", "constant");
        int64_t pads[2 * TENSOR_MAX_RANK];
        const struct value *x;
        size_t n;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r >= 0)
                r = read_integers(graph, node, "pads", 1, pads, &n, error);
        if (r < 0)
                return r;
        if (strcmp(mode, "constant") != 0)
                return error_set(error, ERROR_UNSUPPORTED, "mode '%s'", mode);
        if (node_input(node, 3) != VALUE_NONE)
                return error_set(error, ERROR_UNSUPPORTED, "axes");
        if (node_input(node, 2) != VALUE_NONE && (!constant || constant->n_elements != 1))
                return error_set(error, ERROR_UNSUPPORTED, "a fill value that is computed");
        if (x->shape.rank == 0)
                return error_set(error, ERROR_INVALID, "a scalar has no dimension to pad");
        if (n != 2 * x->shape.rank)
                return error_set(error, ERROR_INVALID, "%zu pads for rank %zu", n, x->shape.rank);
        for (size_t i = 0; i < x->shape.rank; i++) {
                ret_begin[i] = pads[i];
                ret_end[i] = pads[i + x->shape.rank];
                if (MAX(ret_begin[i], ret_end[i]) > INT32_MAX || MIN(ret_begin[i], ret_end[i]) < 0)
                        return error_set(error, ERROR_UNSUPPORTED, "pads %" PRId64 " and %" PRId64,
                                         ret_begin[i], ret_end[i]);
        }
        *ret_value = constant ? (float)tensor_real(constant, 0) : node_attribute_real(node, "value", 0);
        return 0;
}

OPERATOR_INFER(pad) {
        int64_t begin[TENSOR_MAX_RANK], end[TENSOR_MAX_RANK], dims[TENSOR_MAX_RANK];
        const struct shape *x;
        struct shape shape;
        float value;
        int r;

        r = pad_read(begin, end, &value, graph, node, error);
        if (r < 0)
                return r;
        x = &graph->values[node->inputs[0]].shape;
        for (size_t i = 0; i < x->rank; i++)
                dims[i] = (int64_t)x->dims[i] + begin[i] + end[i];
        r = shape_from_dims(&shape, dims, x->rank, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &shape);
        return 0;
}

static void pad_run(const void *params, void *const *addresses) {
        const struct pad *p = params;
        const float *src = addresses[0];
        float *dst = addresses[1];
        size_t rank = p->src.rank, n = shape_elements(&p->dst), row = p->src.dims[rank - 1];
        size_t index[TENSOR_MAX_RANK] = {0};

        for (size_t i = 0; i < n; i++)
                dst[i] = p->value;
        for (size_t done = 0, total = shape_elements(&p->src); done < total; done += row) {
                size_t to = 0;

                for (size_t d = 0; d < rank; d++)
                        to = to * p->dst.dims[d] + index[d] + (size_t)p->begin[d];
                memcpy(dst + to, src + done, row * sizeof(*src));
                for (size_t d = rank - 1; d-- > 0;) {
                        if (++index[d] < p->src.dims[d])
                                break;
                        index[d] = 0;
                }
        }
}

OPERATOR_LOWER(pad) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        struct pad pad = {.src = graph->values[node->inputs[0]].shape,
                          .dst = graph->values[node->outputs[0]].shape};
        const struct layout *layouts[] = {layout_plain(kernels, &pad.src), layout_plain(kernels, &pad.dst)};
        int64_t end[TENSOR_MAX_RANK];
        struct operand operands[2];
        const struct kernel *kernel;
        int r;

        if (!layouts[0] || !layouts[1])
                return error_no_memory(error);
        r = pad_read(pad.begin, end, &pad.value, graph, node, error);
        if (r >= 0)
                r = kernel_native_new(&kernel, kernels, "native:pad", pad_run, &pad, sizeof(pad), layouts, 2,
                                      error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0], layouts[0], &operands[0], error);
        if (r >= 0)
                r = lowering_place(lowering, layouts[1], &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands, 0, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[1]);
        return 0;
}
