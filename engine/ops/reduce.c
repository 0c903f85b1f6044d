#include <string.h>

#include "engine/ops/families.h"

/* ---- ReduceMean ---- */

static int reduce_read(bool ret_reduced[TENSOR_MAX_RANK], bool *ret_keep, const struct graph *graph,
                       const struct node *node, const struct value **ret_x, struct error *error) {
        int64_t axes[2 * TENSOR_MAX_RANK];
        const struct value *x;
        size_t n;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r >= 0)
                r = read_integers(graph, node, "axes", 1, axes, &n, error);
        if (r < 0)
                return r;
        if (n == 0 && node_attribute_integer(node, "noop_with_empty_axes", 0) != 0)
                return error_set(error, ERROR_UNSUPPORTED, "noop_with_empty_axes");
        for (size_t i = 0; i < x->shape.rank; i++)
                ret_reduced[i] = n == 0;
        for (size_t i = 0; i < n; i++) {
                size_t axis;

                r = axis_normalise(&axis, axes[i], x->shape.rank, error);
                if (r < 0)
                        return r;
                ret_reduced[axis] = true;
        }
        *ret_keep = node_attribute_integer(node, "keepdims", 1) != 0;
        *ret_x = x;
        return 0;
}

OPERATOR_INFER(reduce_mean) {
        bool reduced[TENSOR_MAX_RANK], keep;
        struct shape shape = {0};
        const struct value *x;
        int r;

        r = reduce_read(reduced, &keep, graph, node, &x, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x->shape.rank; i++) {
                if (!reduced[i])
                        shape.dims[shape.rank++] = x->shape.dims[i];
                else if (keep)
                        shape.dims[shape.rank++] = 1;
        }
        graph_set_output(graph, node, DTYPE_F32, &shape);
        return 0;
}

OPERATOR_LOWER(reduce_mean) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        bool reduced[TENSOR_MAX_RANK], keep, spatial;
        struct operand operands[2];
        const struct kernel *kernel;
        const struct value *x;
        struct shape kept;
        int r;

        r = reduce_read(reduced, &keep, graph, node, &x, error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0], NULL, &operands[0], error);
        if (r < 0)
                return r;
        kept = x->shape;
        for (size_t i = 0; i < kept.rank; i++)
                kept.dims[i] = reduced[i] ? 1 : kept.dims[i];
        /* Every dimension to reduce is 1 already, which oneDNN refuses. */
        if (shape_equal(&kept, &x->shape))
                return view_lower(lowering, node, error);

        /* Over height and width it is a pool, which has fast kernels for every layout. */
        spatial = kept.rank == 4 && !reduced[0] && !reduced[1] && reduced[2] && reduced[3];
        if (spatial) {
                struct kernel_pool spec = {
                        .kind = KERNEL_POOL_AVERAGE,
                        .dst = kept,
                        .window = {.kernel = {x->shape.dims[2], x->shape.dims[3]},
                                   .strides = {1, 1},
                                   .dilations = {1, 1}},
                        .src_layout = operands[0].layout,
                };

                r = kernel_pool_new(&kernel, kernels, &spec, error);
        } else {
                r = kernel_mean_new(&kernel, kernels, operands[0].layout, &kept, error);
        }
        if (r >= 0)
                r = lowering_place(lowering, kernel_layout(kernel, 1), &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands,
                                  (double)shape_elements(&x->shape), error);
        if (r < 0)
                return r;
        return view_define(lowering, node, operands[1], error);
}

/* ---- Softmax ---- */

OPERATOR_INFER(softmax) {
        const struct value *x;
        size_t axis;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r >= 0)
                r = axis_normalise(&axis, node_attribute_integer(node, "axis", node->opset < 13 ? 1 : -1),
                                   x->shape.rank, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &x->shape);
        return 0;
}

OPERATOR_LOWER(softmax) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        struct shape shape = graph->values[node->inputs[0]].shape;
        const struct layout *plain = layout_plain(kernels, &shape), *seen;
        struct operand operands[2];
        const struct kernel *kernel;
        size_t axis;
        int r;

        r = axis_normalise(&axis, node_attribute_integer(node, "axis", node->opset < 13 ? 1 : -1),
                           shape.rank, error);
        if (r < 0)
                return r;
        /* Before opset 13 the dimensions from axis on were one. */
        if (node->opset < 13) {
                struct shape flat = {.rank = 2, .dims = {1, 1}};

                for (size_t i = 0; i < shape.rank; i++)
                        flat.dims[i >= axis] *= shape.dims[i];
                shape = flat;
                axis = 1;
        }
        seen = layout_plain(kernels, &shape);
        if (!plain || !seen)
                return error_no_memory(error);
        r = kernel_softmax_new(&kernel, kernels, seen, axis, error);
        if (r >= 0)
                r = lowering_use_writable(lowering, node, node->inputs[0], plain, &operands[0], error);
        if (r < 0)
                return r;
        operands[1] = operands[0];
        r = lowering_emit(lowering, node, node->type, kernel, operands, 4.0 * (double)shape_elements(&shape),
                          error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[1]);
        return 0;
}
