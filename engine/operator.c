#include "engine/operator.h"

#include <string.h>

#include "engine/ops/families.h"

static const struct operator operators[] = {
        {"Abs", 6, OPERATOR_NEWEST, 1, unary_infer, math_fold, unary_lower},
        {"Acos", 7, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Acosh", 9, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Add", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"And", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Asin", 7, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Asinh", 9, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Atan", 7, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Atanh", 9, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"AveragePool", 7, OPERATOR_NEWEST, 1, pool_infer, NULL, pool_lower},
        {"BatchNormalization", 7, OPERATOR_NEWEST, 5, batch_normalization_infer, NULL, NULL},
        {"Cast", 6, OPERATOR_NEWEST, 1, cast_infer, cast_fold, cast_lower},
        {"Ceil", 6, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Clip", 6, OPERATOR_NEWEST, 3, unary_infer, NULL, unary_lower},
        {"Concat", 4, OPERATOR_NEWEST, OPERATOR_VARIADIC, concat_infer, concat_fold, concat_lower},
        {"Constant", 1, OPERATOR_NEWEST, 0, constant_infer, constant_fold, NULL},
        {"ConstantOfShape", 9, OPERATOR_NEWEST, 1, constant_of_shape_infer, constant_of_shape_fold, NULL},
        {"Conv", 1, OPERATOR_NEWEST, 3, conv_infer, NULL, conv_lower},
        {"Cos", 7, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Cosh", 9, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Div", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Dropout", 7, OPERATOR_NEWEST, 3, identity_infer, view_fold, view_lower},
        {"Einsum", 12, OPERATOR_NEWEST, OPERATOR_VARIADIC, einsum_infer, NULL, einsum_lower},
        {"Elu", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Equal", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Erf", 9, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Exp", 6, OPERATOR_NEWEST, 1, unary_infer, math_fold, unary_lower},
        {"Expand", 8, OPERATOR_NEWEST, 2, expand_infer, expand_fold, expand_lower},
        {"Flatten", 1, OPERATOR_NEWEST, 1, flatten_infer, view_fold, view_lower},
        {"Floor", 6, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Gather", 1, OPERATOR_NEWEST, 2, gather_infer, gather_fold, gather_lower},
        {"GatherElements", 11, OPERATOR_NEWEST, 2, gather_infer, gather_fold, gather_lower},
        {"GatherND", 11, OPERATOR_NEWEST, 2, gather_infer, gather_fold, gather_lower},
        {"Gemm", 7, OPERATOR_NEWEST, 3, gemm_infer, NULL, gemm_lower},
        {"GlobalAveragePool", 1, OPERATOR_NEWEST, 1, global_pool_infer, NULL, global_pool_lower},
        {"GlobalMaxPool", 1, OPERATOR_NEWEST, 1, global_pool_infer, NULL, global_pool_lower},
        {"Greater", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"GreaterOrEqual", 12, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"HardSigmoid", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"HardSwish", 14, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Identity", 1, OPERATOR_NEWEST, 1, identity_infer, view_fold, view_lower},
        {"LayerNormalization", 17, OPERATOR_NEWEST, 3, layer_normalization_infer, NULL,
         layer_normalization_lower},
        {"LeakyRelu", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Less", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"LessOrEqual", 12, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Log", 6, OPERATOR_NEWEST, 1, unary_infer, math_fold, unary_lower},
        {"MatMul", 1, OPERATOR_NEWEST, 2, matmul_infer, NULL, matmul_lower},
        {"Max", 8, OPERATOR_NEWEST, OPERATOR_VARIADIC, binary_infer, binary_fold, binary_lower},
        {"MaxPool", 1, OPERATOR_NEWEST, 1, pool_infer, NULL, pool_lower},
        {"Mean", 8, OPERATOR_NEWEST, OPERATOR_VARIADIC, binary_infer, binary_fold, binary_lower},
        {"Min", 8, OPERATOR_NEWEST, OPERATOR_VARIADIC, binary_infer, binary_fold, binary_lower},
        {"Mod", 10, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Mul", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Neg", 6, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"NonZero", 9, OPERATOR_NEWEST, 1, non_zero_infer, non_zero_fold, NULL},
        {"Not", 1, OPERATOR_NEWEST, 1, not_infer, not_fold, NULL},
        {"Or", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"PRelu", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Pad", 2, OPERATOR_NEWEST, 4, pad_infer, NULL, pad_lower},
        {"Pow", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Range", 11, OPERATOR_NEWEST, 3, range_infer, range_fold, NULL},
        {"Reciprocal", 6, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"ReduceL1", 1, OPERATOR_NEWEST, 2, reduce_infer, reduce_fold, reduce_lower},
        {"ReduceL2", 1, OPERATOR_NEWEST, 2, reduce_infer, reduce_fold, reduce_lower},
        {"ReduceLogSum", 1, OPERATOR_NEWEST, 2, reduce_infer, reduce_fold, reduce_lower},
        {"ReduceLogSumExp", 1, OPERATOR_NEWEST, 2, reduce_infer, reduce_fold, reduce_lower},
        {"ReduceMax", 1, OPERATOR_NEWEST, 2, reduce_infer, reduce_fold, reduce_lower},
        {"ReduceMean", 1, OPERATOR_NEWEST, 2, reduce_infer, reduce_fold, reduce_lower},
        {"ReduceMin", 1, OPERATOR_NEWEST, 2, reduce_infer, reduce_fold, reduce_lower},
        {"ReduceProd", 1, OPERATOR_NEWEST, 2, reduce_infer, reduce_fold, reduce_lower},
        {"ReduceSum", 1, OPERATOR_NEWEST, 2, reduce_infer, reduce_fold, reduce_lower},
        {"ReduceSumSquare", 1, OPERATOR_NEWEST, 2, reduce_infer, reduce_fold, reduce_lower},
        {"Relu", 6, OPERATOR_NEWEST, 1, unary_infer, math_fold, unary_lower},
        {"Reshape", 5, OPERATOR_NEWEST, 2, reshape_infer, view_fold, view_lower},
        {"Round", 11, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"ScatterElements", 11, OPERATOR_NEWEST, 3, scatter_infer, scatter_fold, scatter_lower},
        {"ScatterND", 11, OPERATOR_NEWEST, 3, scatter_infer, scatter_fold, scatter_lower},
        {"Shape", 1, OPERATOR_NEWEST, 1, shape_infer, shape_fold, NULL},
        {"Sigmoid", 6, OPERATOR_NEWEST, 1, unary_infer, math_fold, unary_lower},
        {"Sign", 9, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Sin", 7, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Sinh", 9, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Size", 1, OPERATOR_NEWEST, 1, size_infer, size_fold, NULL},
        {"Slice", 1, OPERATOR_NEWEST, 5, slice_infer, slice_fold, slice_lower},
        {"Softmax", 1, OPERATOR_NEWEST, 1, softmax_infer, NULL, softmax_lower},
        {"Softplus", 1, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Softsign", 1, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Split", 2, OPERATOR_NEWEST, 2, split_infer, split_fold, split_lower},
        {"Sqrt", 6, OPERATOR_NEWEST, 1, unary_infer, math_fold, unary_lower},
        {"Squeeze", 1, OPERATOR_NEWEST, 2, squeeze_infer, view_fold, view_lower},
        {"Sub", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Sum", 8, OPERATOR_NEWEST, OPERATOR_VARIADIC, binary_infer, binary_fold, binary_lower},
        {"Tan", 7, OPERATOR_NEWEST, 1, math_infer, math_fold, math_lower},
        {"Tanh", 6, OPERATOR_NEWEST, 1, unary_infer, math_fold, unary_lower},
        {"Tile", 6, OPERATOR_NEWEST, 2, tile_infer, tile_fold, tile_lower},
        {"Transpose", 1, OPERATOR_NEWEST, 1, transpose_infer, transpose_fold, transpose_lower},
        {"Unsqueeze", 1, OPERATOR_NEWEST, 2, unsqueeze_infer, view_fold, view_lower},
        {"Where", 9, OPERATOR_NEWEST, 3, where_infer, where_fold, where_lower},
        {"Xor", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
};

/* Made by simplify.c, fuse.c and the passes before it. ScaleShift: y = x * scale + shift, a pair of
 * constants for each channel. Those without infer are made of values whose shapes are known. */
static const struct operator internal_operators[] = {
        {"Attention", 1, 1, 5, NULL, NULL, attention_lower},
        {"GeluErf", 1, 1, 1, unary_infer, NULL, unary_lower},
        {"InnerProduct", 1, 1, 3, NULL, NULL, inner_product_lower},
        {"LayerNorm", 1, 1, 3, NULL, NULL, layer_norm_rows_lower},
        {"ScaleShift", 1, 1, 3, scale_shift_infer, NULL, scale_shift_lower},
        {"Silu", 1, 1, 1, unary_infer, NULL, unary_lower},
        {"View", 1, 1, 1, NULL, NULL, view_lower},
};

/* Rows are sorted by type; a type may have several, for different versions. */
static const struct operator* find(const struct operator* table, size_t n, const char *type, int opset) {
        size_t low = 0, high = n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(table[middle].type, type) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (; low < n && strcmp(table[low].type, type) == 0; low++)
                if (opset >= table[low].since && opset <= table[low].until)
                        return &table[low];
        return NULL;
}

const struct operator* operator_find(const char *domain, const char *type, int opset) {
        if (domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0)
                return find(operators, ARRAY_SIZE(operators), type, opset);
        return NULL;
}

const struct operator* operator_find_internal(const char *type) {
        return find(internal_operators, ARRAY_SIZE(internal_operators), type, 1);
}
