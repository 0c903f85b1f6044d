#include "engine/operator.h"

#include <string.h>

#include "engine/ops/families.h"

static const struct operator operators[] = {
        {"Abs", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Add", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"AveragePool", 7, OPERATOR_NEWEST, 1, pool_infer, NULL, pool_lower},
        {"BatchNormalization", 7, OPERATOR_NEWEST, 5, batch_normalization_infer, NULL, NULL},
        {"Cast", 6, OPERATOR_NEWEST, 1, cast_infer, cast_fold, NULL},
        {"Clip", 6, OPERATOR_NEWEST, 3, unary_infer, NULL, unary_lower},
        {"Concat", 4, OPERATOR_NEWEST, OPERATOR_VARIADIC, concat_infer, concat_fold, concat_lower},
        {"Constant", 1, OPERATOR_NEWEST, 0, constant_infer, constant_fold, NULL},
        {"ConstantOfShape", 9, OPERATOR_NEWEST, 1, constant_of_shape_infer, constant_of_shape_fold, NULL},
        {"Conv", 1, OPERATOR_NEWEST, 3, conv_infer, NULL, conv_lower},
        {"Div", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Dropout", 7, OPERATOR_NEWEST, 3, identity_infer, view_fold, view_lower},
        {"Elu", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Exp", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Flatten", 1, OPERATOR_NEWEST, 1, flatten_infer, view_fold, view_lower},
        {"Gather", 1, OPERATOR_NEWEST, 2, gather_infer, gather_fold, NULL},
        {"Gemm", 7, OPERATOR_NEWEST, 3, gemm_infer, NULL, gemm_lower},
        {"GlobalAveragePool", 1, OPERATOR_NEWEST, 1, global_pool_infer, NULL, global_pool_lower},
        {"GlobalMaxPool", 1, OPERATOR_NEWEST, 1, global_pool_infer, NULL, global_pool_lower},
        {"HardSigmoid", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"HardSwish", 14, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Identity", 1, OPERATOR_NEWEST, 1, identity_infer, view_fold, view_lower},
        {"LeakyRelu", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Log", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"MatMul", 1, OPERATOR_NEWEST, 2, matmul_infer, NULL, matmul_lower},
        {"MaxPool", 1, OPERATOR_NEWEST, 1, pool_infer, NULL, pool_lower},
        {"Mul", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Pad", 2, OPERATOR_NEWEST, 4, pad_infer, NULL, pad_lower},
        {"ReduceMean", 1, OPERATOR_NEWEST, 2, reduce_mean_infer, NULL, reduce_mean_lower},
        {"Relu", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Reshape", 5, OPERATOR_NEWEST, 2, reshape_infer, view_fold, view_lower},
        {"Shape", 1, OPERATOR_NEWEST, 1, shape_infer, shape_fold, NULL},
        {"Sigmoid", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Slice", 1, OPERATOR_NEWEST, 5, slice_infer, slice_fold, NULL},
        {"Softmax", 1, OPERATOR_NEWEST, 1, softmax_infer, NULL, softmax_lower},
        {"Sqrt", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Squeeze", 1, OPERATOR_NEWEST, 2, squeeze_infer, view_fold, view_lower},
        {"Sub", 7, OPERATOR_NEWEST, 2, binary_infer, binary_fold, binary_lower},
        {"Tanh", 6, OPERATOR_NEWEST, 1, unary_infer, NULL, unary_lower},
        {"Transpose", 1, OPERATOR_NEWEST, 1, transpose_infer, transpose_fold, transpose_lower},
        {"Unsqueeze", 1, OPERATOR_NEWEST, 2, unsqueeze_infer, view_fold, view_lower},
};

/* Made by simplify.c and fuse.c. ScaleShift: y = x * scale + shift, a pair of constants for each channel. */
static const struct operator internal_operators[] = {
        {"ScaleShift", 1, 1, 3, scale_shift_infer, NULL, scale_shift_lower},
        {"Silu", 1, 1, 1, unary_infer, NULL, unary_lower},
};

static const struct operator* find(const struct operator* table, size_t n, const char *type, int opset) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(table[i].type, type) == 0 && opset >= table[i].since && opset <= table[i].until)
                        return &table[i];
        return NULL;
}

const struct operator* operator_find(const char *domain, const char *type, int opset) {
        if (domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0)
                return find(operators, ARRAY_SIZE(operators), type, opset);
        return NULL;
}

size_t operator_count(void) {
        return ARRAY_SIZE(operators);
}

const struct operator* operator_at(size_t index) {
        return &operators[index];
}

const struct operator* operator_find_internal(const char *type) {
        return find(internal_operators, ARRAY_SIZE(internal_operators), type, 1);
}
