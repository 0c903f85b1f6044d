#include "engine/operator.h"

#include <string.h>

#include "engine/ops/families.h"

#define VARIADIC OPERATOR_VARIADIC
#define no_fold  NULL
#define no_lower NULL
#define OPERATOR(type, since, inputs, infer, fold, lower)                                                   \
        {type, since, OPERATOR_NEWEST, inputs, infer, fold, lower},

static const struct operator operators[] = {
#include "engine/ops/operators.inc"
};

/* Made by simplify.c, fuse.c and the passes before it. ScaleShift: y = x * scale + shift, a pair of
 * constants for each channel. Those without infer are made of values whose shapes are known. Q*, Quantize
 * and Dequantize: the integer form of quantised networks, quantised.h. */
static const struct operator internal_operators[] = {
        {"Attention", 1, 1, 5, NULL, NULL, attention_lower},
        {"Channels", 1, 1, OPERATOR_VARIADIC, channels_infer, NULL, channels_lower},
        {"ConvPair", 1, 1, 5, conv_pair_infer, NULL, conv_pair_lower},
        {"Dequantize", 1, 1, 1, dequantize_infer, NULL, dequantize_lower},
        {"DequantizeWeights", 1, 1, 3, dequantize_linear_infer, NULL, NULL},
        {"FakeQuantize", 1, 1, 5, fake_quantize_infer, NULL, fake_quantize_lower},
        {"GeluErf", 1, 1, 1, unary_infer, NULL, unary_lower},
        {"InnerProduct", 1, 1, 3, NULL, NULL, inner_product_lower},
        {"LayerNorm", 1, 1, 3, NULL, NULL, layer_norm_rows_lower},
        {"QAdd", 1, 1, 2, q_binary_infer, NULL, q_binary_lower},
        {"QAveragePool", 1, 1, 1, q_pool_infer, NULL, q_pool_lower},
        {"QConcat", 1, 1, OPERATOR_VARIADIC, q_concat_infer, NULL, q_concat_lower},
        {"QConv", 1, 1, 3, q_conv_infer, NULL, q_conv_lower},
        {"QGlobalAveragePool", 1, 1, 1, q_global_pool_infer, NULL, q_global_pool_lower},
        {"QInnerProduct", 1, 1, 3, q_inner_product_infer, NULL, q_inner_product_lower},
        {"QLookup", 1, 1, 2, q_lookup_infer, NULL, q_lookup_lower},
        {"QMaxPool", 1, 1, 1, q_pool_infer, NULL, q_pool_lower},
        {"QMul", 1, 1, 2, q_binary_infer, NULL, q_binary_lower},
        {"QView", 1, 1, 1, NULL, NULL, q_view_lower},
        {"Quantize", 1, 1, 1, quantize_infer, NULL, quantize_lower},
        {"ScaleShift", 1, 1, 3, scale_shift_infer, NULL, scale_shift_lower},
        {"Silu", 1, 1, 1, unary_infer, NULL, unary_lower},
        {"View", 1, 1, 1, NULL, NULL, view_lower},
};

/* Of the domain com.microsoft: what ONNX Runtime's tools write into quantised files. */
static const struct operator microsoft_operators[] = {
        {"DequantizeLinear", 1, OPERATOR_NEWEST, 3, dequantize_linear_infer, dequantize_linear_fold, NULL},
        {"QGemm", 1, OPERATOR_NEWEST, 9, q_linear_infer, NULL, NULL},
        {"QLinearAdd", 1, OPERATOR_NEWEST, 8, q_linear_infer, NULL, NULL},
        {"QLinearAveragePool", 1, OPERATOR_NEWEST, 5, q_linear_infer, NULL, NULL},
        {"QLinearConcat", 1, OPERATOR_NEWEST, OPERATOR_VARIADIC, q_linear_infer, NULL, NULL},
        {"QLinearGlobalAveragePool", 1, OPERATOR_NEWEST, 5, q_linear_infer, NULL, NULL},
        {"QLinearLeakyRelu", 1, OPERATOR_NEWEST, 5, q_linear_infer, NULL, NULL},
        {"QLinearMul", 1, OPERATOR_NEWEST, 8, q_linear_infer, NULL, NULL},
        {"QLinearSigmoid", 1, OPERATOR_NEWEST, 5, q_linear_infer, NULL, NULL},
        {"QuantizeLinear", 1, OPERATOR_NEWEST, 3, quantize_linear_infer, quantize_linear_fold, NULL},
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
        if (strcmp(domain, "com.microsoft") == 0)
                return find(microsoft_operators, ARRAY_SIZE(microsoft_operators), type, opset);
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
