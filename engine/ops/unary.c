#include <float.h>
#include <string.h>

#include "engine/ops/families.h"

/* A bound of Clip: an attribute until opset 10, an input since. false: neither constant nor absent. */
static bool clip_bound(float *ret_bound, const struct graph *graph, const struct node *node,
                       const char *name, size_t input, float otherwise) {
        const struct tensor *tensor = graph_input_constant(graph, node, input);

        *ret_bound = node_attribute_real(node, name, otherwise);
        if (node->opset < 11 || node_input(node, input) == VALUE_NONE)
                return true;
        if (!tensor || tensor->n_elements != 1)
                return false;
        *ret_bound = (float)tensor_real(tensor, 0);
        return true;
}

size_t eltwise_read(struct eltwise ret_eltwise[2], const struct graph *graph, const struct node *node) {
        static const struct {
                const char *type;
                struct eltwise eltwise;
        } simple[] = {
                {"Relu", {.kind = ELTWISE_RELU}},
                {"Sigmoid", {.kind = ELTWISE_SIGMOID}},
                {"HardSwish", {.kind = ELTWISE_HARDSWISH}},
                {"Tanh", {.kind = ELTWISE_TANH}},
                {"Exp", {.kind = ELTWISE_EXP}},
                {"Sqrt", {.kind = ELTWISE_SQRT}},
                {"Abs", {.kind = ELTWISE_ABS}},
                {"GeluErf", {.kind = ELTWISE_GELU_ERF}},
                {"Silu", {.kind = ELTWISE_SWISH, .alpha = 1}},
        };

        for (size_t i = 0; i < ARRAY_SIZE(simple); i++)
                if (strcmp(node->type, simple[i].type) == 0) {
                        ret_eltwise[0] = simple[i].eltwise;
                        return 1;
                }
        if (strcmp(node->type, "LeakyRelu") == 0) {
                ret_eltwise[0] = (struct eltwise){.kind = ELTWISE_RELU,
                                                  .alpha = node_attribute_real(node, "alpha", 0.01f)};
                return 1;
        }
        if (strcmp(node->type, "Elu") == 0) {
                ret_eltwise[0] = (struct eltwise){.kind = ELTWISE_ELU,
                                                  .alpha = node_attribute_real(node, "alpha", 1.0f)};
                return 1;
        }
        if (strcmp(node->type, "HardSigmoid") == 0) {
                ret_eltwise[0] = (struct eltwise){.kind = ELTWISE_LINEAR,
                                                  .alpha = node_attribute_real(node, "alpha", 0.2f),
                                                  .beta = node_attribute_real(node, "beta", 0.5f)};
                ret_eltwise[1] = (struct eltwise){.kind = ELTWISE_CLIP, .alpha = 0, .beta = 1};
                return 2;
        }
        if (strcmp(node->type, "Clip") == 0) {
                ret_eltwise[0] = (struct eltwise){.kind = ELTWISE_CLIP};
                if (!clip_bound(&ret_eltwise[0].alpha, graph, node, "min", 1, -FLT_MAX) ||
                    !clip_bound(&ret_eltwise[0].beta, graph, node, "max", 2, FLT_MAX))
                        return 0;
                /* ONNX: min(max(x, lower), upper), so that crossed bounds give the upper one; oneDNN refuses
                 * them. */
                ret_eltwise[0].alpha = MIN(ret_eltwise[0].alpha, ret_eltwise[0].beta);
                return 1;
        }
        return 0;
}

/* Integers are clipped in shape arithmetic. */
OPERATOR_INFER(clip) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        if (!x->constant)
                return unary_infer(graph, node, error);
        graph_set_output(graph, node, x->dtype, &x->shape);
        return 0;
}

OPERATOR_INFER(unary) {
        struct eltwise eltwise[2];
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r < 0)
                return r;
        if (eltwise_read(eltwise, graph, node) == 0)
                return error_set(error, ERROR_UNSUPPORTED, "bounds that are computed");
        graph_set_output(graph, node, DTYPE_F32, &x->shape);
        return 0;
}

OPERATOR_LOWER(unary) {
        const struct layout *layout;
        struct eltwise eltwise[2];
        struct operand operands[2];
        size_t n = eltwise_read(eltwise, lowering_graph(lowering), node);
        int r;

        r = lowering_dense_layout_for(lowering, node->inputs[0], node->outputs[0], &layout, error);
        if (r >= 0)
                r = lowering_use_writable(lowering, node, node->inputs[0], layout, &operands[0], error);
        if (r < 0)
                return r;
        operands[1] = operands[0];
        for (size_t i = 0; i < n; i++) {
                struct shape shape = layout_shape(layout);
                const struct kernel *kernel;

                r = kernel_eltwise_new(&kernel, lowering_kernels(lowering), layout, &eltwise[i], error);
                if (r >= 0)
                        r = lowering_emit(lowering, node, node->type, kernel, operands,
                                          (double)shape_elements(&shape), error);
                if (r < 0)
                        return r;
        }
        lowering_define(lowering, node->outputs[0], operands[0]);
        return 0;
}
