#include <math.h>

#include "engine/ops/native.h"

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

/* ---- LogSoftmax ---- */

struct log_softmax {
        size_t outer, n, inner;
};

static void log_softmax_run(const void *params, void *const *addresses) {
        const struct log_softmax *p = params;
        const float *src = addresses[0];
        float *dst = addresses[1];

        for (size_t o = 0; o < p->outer; o++, src += p->n * p->inner, dst += p->n * p->inner)
                for (size_t i = 0; i < p->inner; i++) {
                        float largest = src[i];
                        double sum = 0;

                        for (size_t k = 1; k < p->n; k++)
                                largest = fmaxf(largest, src[k * p->inner + i]);
                        for (size_t k = 0; k < p->n; k++)
                                sum += (double)expf(src[k * p->inner + i] - largest);
                        for (size_t k = 0; k < p->n; k++)
                                dst[k * p->inner + i] = src[k * p->inner + i] - largest - (float)log(sum);
                }
}

OPERATOR_LOWER(log_softmax) {
        const struct shape *shape = &lowering_graph(lowering)->values[node->inputs[0]].shape;
        struct log_softmax params = {.outer = 1, .inner = 1};
        size_t axis;
        int r;

        r = axis_normalise(&axis, node_attribute_integer(node, "axis", node->opset < 13 ? 1 : -1),
                           shape->rank, error);
        if (r < 0)
                return r;
        params.n = shape->dims[axis];
        for (size_t i = 0; i < shape->rank; i++) {
                params.outer *= i < axis ? shape->dims[i] : 1;
                params.inner *= i > axis ? shape->dims[i] : 1;
        }
        /* Before opset 13 the dimensions from axis on were one. */
        if (node->opset < 13) {
                params.n *= params.inner;
                params.inner = 1;
        }
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:logsoftmax",
                                    .function = log_softmax_run,
                                    .params = &params,
                                    .params_bytes = sizeof(params),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                                    .flop = 4.0 * (double)shape_elements(shape),
                            },
                            error);
}
