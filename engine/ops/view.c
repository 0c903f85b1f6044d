#include <inttypes.h>
#include <string.h>

#include "engine/ops/families.h"

/* Operators that give the same bytes another shape: they fold on constants and cost nothing on plain
 * layouts. */

OPERATOR_FOLD(view) {
        const struct value *out = &graph->values[node->outputs[0]];
        const struct tensor *x = graph_input_constant(graph, node, 0);

        return tensor_reshape(ret_tensor, x, &out->shape, error);
}

int view_define(struct lowering *lowering, const struct node *node, struct operand operand,
                struct error *error) {
        const struct value *out = &lowering_graph(lowering)->values[node->outputs[0]];
        struct kernels *kernels = lowering_kernels(lowering);
        struct shape shape = layout_shape(operand.layout);
        int r;

        if (!shape_equal(&shape, &out->shape)) {
                r = lowering_reorder(lowering, node, operand, layout_plain(kernels, &shape), &operand,
                                     error);
                if (r < 0)
                        return r;
                operand.layout = layout_plain(kernels, &out->shape);
                if (!operand.layout)
                        return error_no_memory(error);
        }
        lowering_define(lowering, node->outputs[0], operand);
        return 0;
}

OPERATOR_LOWER(view) {
        const struct graph *graph = lowering_graph(lowering);
        const struct value *x = &graph->values[node->inputs[0]];
        struct operand operand;
        int r;

        /* Row-major order is what ONNX's views speak of. */
        r = lowering_use(lowering, node->inputs[0], layout_plain(lowering_kernels(lowering), &x->shape),
                         &operand, error);
        if (r < 0)
                return r;
        return view_define(lowering, node, operand, error);
}

OPERATOR_INFER(identity) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, x->dtype, &x->shape);
        return 0;
}

OPERATOR_INFER(flatten) {
        const struct value *x;
        struct shape shape = {.rank = 2, .dims = {1, 1}};
        int64_t axis = node_attribute_integer(node, "axis", 1);
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        if (axis < -(int64_t)x->shape.rank || axis > (int64_t)x->shape.rank)
                return error_set(error, ERROR_INVALID, "axis %" PRId64 " of a tensor of rank %zu", axis,
                                 x->shape.rank);
        if (axis < 0)
                axis += (int64_t)x->shape.rank;
        for (size_t i = 0; i < x->shape.rank; i++)
                shape.dims[(int64_t)i >= axis] *= x->shape.dims[i];
        graph_set_output(graph, node, x->dtype, &shape);
        return 0;
}

OPERATOR_INFER(reshape) {
        int64_t dims[2 * TENSOR_MAX_RANK];
        const struct value *x;
        size_t n, open = SIZE_MAX, elements, known = 1;
        struct shape shape;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = read_integers(graph, node, NULL, 1, dims, &n, error);
        if (r < 0)
                return r;
        if (n > TENSOR_MAX_RANK)
                return error_set(error, ERROR_LIMIT, "rank %zu, the limit is %u", n, TENSOR_MAX_RANK);
        elements = shape_elements(&x->shape);
        for (size_t i = 0; i < n; i++) {
                if (dims[i] == 0 && node_attribute_integer(node, "allowzero", 0) == 0) {
                        if (i >= x->shape.rank)
                                return error_set(error, ERROR_INVALID,
                                                 "dimension %zu is to be copied, the input has %zu", i,
                                                 x->shape.rank);
                        dims[i] = (int64_t)x->shape.dims[i];
                }
                if (dims[i] == -1) {
                        if (open != SIZE_MAX)
                                return error_set(error, ERROR_INVALID, "more than one dimension is -1");
                        open = i;
                } else if (dims[i] < 0 || !size_multiply(&known, known, (size_t)dims[i])) {
                        return error_set(error, ERROR_INVALID, "dimension %zu is %" PRId64, i, dims[i]);
                }
        }
        if (open != SIZE_MAX) {
                if (known == 0 || elements % known != 0)
                        return error_set(error, ERROR_INVALID, "%zu elements do not divide into %zu",
                                         elements, known);
                dims[open] = (int64_t)(elements / known);
        }
        r = shape_from_dims(&shape, dims, n, error);
        if (r < 0)
                return r;
        if (shape_elements(&shape) != elements) {
                char from[SHAPE_TEXT_BYTES], to[SHAPE_TEXT_BYTES];

                return error_set(error, ERROR_INVALID, "%s to %s changes the number of elements",
                                 shape_text(&x->shape, from), shape_text(&shape, to));
        }
        graph_set_output(graph, node, x->dtype, &shape);
        return 0;
}

/* Marks the axes that Squeeze and Unsqueeze name, of a tensor of rank. */
static int axes_read(bool ret_named[2 * TENSOR_MAX_RANK], size_t *ret_n, const struct graph *graph,
                     const struct node *node, size_t rank, struct error *error) {
        int64_t axes[2 * TENSOR_MAX_RANK];
        int r;

        memset(ret_named, 0, 2 * TENSOR_MAX_RANK * sizeof(*ret_named));
        r = read_integers(graph, node, "axes", 1, axes, ret_n, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < *ret_n; i++) {
                size_t axis;

                r = axis_normalise(&axis, axes[i], rank, error);
                if (r < 0)
                        return r;
                if (ret_named[axis])
                        return error_set(error, ERROR_INVALID, "axis %zu is named twice", axis);
                ret_named[axis] = true;
        }
        return 0;
}

OPERATOR_INFER(squeeze) {
        bool named[2 * TENSOR_MAX_RANK];
        struct shape shape = {0};
        const struct value *x;
        size_t n;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = axes_read(named, &n, graph, node, x->shape.rank, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x->shape.rank; i++) {
                if (named[i] && x->shape.dims[i] != 1)
                        return error_set(error, ERROR_INVALID, "dimension %zu is %zu, not 1", i,
                                         x->shape.dims[i]);
                if (n == 0 ? x->shape.dims[i] != 1 : !named[i])
                        shape.dims[shape.rank++] = x->shape.dims[i];
        }
        graph_set_output(graph, node, x->dtype, &shape);
        return 0;
}

OPERATOR_INFER(unsqueeze) {
        bool named[2 * TENSOR_MAX_RANK];
        int64_t axes[2 * TENSOR_MAX_RANK];
        const struct value *x;
        struct shape shape;
        size_t n, next = 0;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = read_integers(graph, node, "axes", 1, axes, &n, error);
        if (r < 0)
                return r;
        if (n == 0 || x->shape.rank + n > TENSOR_MAX_RANK)
                return error_set(error, ERROR_INVALID, "%zu axes added to rank %zu", n, x->shape.rank);
        r = axes_read(named, &n, graph, node, x->shape.rank + n, error);
        if (r < 0)
                return r;
        shape.rank = x->shape.rank + n;
        for (size_t i = 0; i < shape.rank; i++)
                shape.dims[i] = named[i] ? 1 : x->shape.dims[next++];
        graph_set_output(graph, node, x->dtype, &shape);
        return 0;
}
