#include "engine/ops/families.h"

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
