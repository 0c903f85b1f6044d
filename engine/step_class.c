#include "engine/step_class.h"

#include <string.h>

#include "engine/graph.h"

/* By the ONNX operator that the step began with; what is not listed works element by element. */
static const struct {
        const char *type;
        enum step_class class;
} classes[] = {
        {"Attention", STEP_MATRIX},
        {"AveragePool", STEP_POOL},
        {"BatchNormalization", STEP_NORMALISATION},
        {"Concat", STEP_MOVEMENT},
        {"ConvTranspose", STEP_CONV_OTHER},
        {"DepthToSpace", STEP_MOVEMENT},
        {"Dequantize", STEP_CONVERSION},
        {"Expand", STEP_MOVEMENT},
        {"Flatten", STEP_MOVEMENT},
        {"Gather", STEP_MOVEMENT},
        {"Gemm", STEP_MATRIX},
        {"GlobalAveragePool", STEP_POOL},
        {"GlobalMaxPool", STEP_POOL},
        {"GroupNormalization", STEP_NORMALISATION},
        {"Identity", STEP_MOVEMENT},
        {"InstanceNormalization", STEP_NORMALISATION},
        {"LRN", STEP_NORMALISATION},
        {"LayerNorm", STEP_NORMALISATION},
        {"LayerNormalization", STEP_NORMALISATION},
        {"LogSoftmax", STEP_NORMALISATION},
        {"LpNormalization", STEP_NORMALISATION},
        {"MatMul", STEP_MATRIX},
        {"MaxPool", STEP_POOL},
        {"MeanVarianceNormalization", STEP_NORMALISATION},
        {"Pad", STEP_MOVEMENT},
        {"QAveragePool", STEP_POOL},
        {"QConcat", STEP_MOVEMENT},
        {"QGlobalAveragePool", STEP_POOL},
        {"QInnerProduct", STEP_MATRIX},
        {"QMaxPool", STEP_POOL},
        {"QView", STEP_MOVEMENT},
        {"Quantize", STEP_CONVERSION},
        {"ReduceMax", STEP_POOL},
        {"ReduceMean", STEP_POOL},
        {"ReduceMin", STEP_POOL},
        {"ReduceSum", STEP_POOL},
        {"Reshape", STEP_MOVEMENT},
        {"ScaleShift", STEP_NORMALISATION},
        {"Slice", STEP_MOVEMENT},
        {"Softmax", STEP_NORMALISATION},
        {"SpaceToDepth", STEP_MOVEMENT},
        {"Split", STEP_MOVEMENT},
        {"Squeeze", STEP_MOVEMENT},
        {"Tile", STEP_MOVEMENT},
        {"Transpose", STEP_MOVEMENT},
        {"Unsqueeze", STEP_MOVEMENT},
};

/* Weights are [O, I / groups, kh, kw]. */
static enum step_class class_of_conv(const struct graph *graph, const struct node *node) {
        uint32_t weights = node_input(node, 1);
        const struct shape *w = weights == VALUE_NONE ? NULL : &graph->values[weights].shape;

        if (!w || w->rank != 4)
                return STEP_CONV_OTHER;
        if (node_attribute_integer(node, "group", 1) > 1 && w->dims[1] == 1)
                return STEP_CONV_DEPTHWISE;
        if (w->dims[2] == 1 && w->dims[3] == 1)
                return STEP_CONV_1X1;
        return w->dims[2] == 3 && w->dims[3] == 3 ? STEP_CONV_3X3 : STEP_CONV_OTHER;
}

enum step_class step_class_of(const struct graph *graph, const struct node *node, const char *op) {
        if (strcmp(op, "Reorder") == 0 || strcmp(op, "Copy") == 0)
                return STEP_REORDER;
        if (!node)
                return STEP_MOVEMENT;
        if (strcmp(node->type, "Conv") == 0 || strcmp(node->type, "QConv") == 0)
                return class_of_conv(graph, node);
        for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
                if (strcmp(classes[i].type, node->type) == 0)
                        return classes[i].class;
        return STEP_ELEMENTWISE;
}

const char *step_class_name(enum step_class class) {
        static const char *const names[] = {
                [STEP_CONV_1X1] = "1x1 convolution",
                [STEP_CONV_3X3] = "3x3 convolution",
                [STEP_CONV_DEPTHWISE] = "depthwise convolution",
                [STEP_CONV_OTHER] = "other convolution",
                [STEP_MATRIX] = "matrix product",
                [STEP_POOL] = "pooling",
                [STEP_ELEMENTWISE] = "elementwise",
                [STEP_NORMALISATION] = "normalisation",
                [STEP_MOVEMENT] = "data movement",
                [STEP_CONVERSION] = "conversion",
                [STEP_REORDER] = "reorder",
        };

        return names[class];
}
