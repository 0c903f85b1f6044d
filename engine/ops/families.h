#pragma once
/*
 * families: the functions behind the rows of the operator table (engine/operator.c), one file a family.
 *
 * infer, fold and lower are described in engine/operator.h. What several families need stands here as well.
 */
#include "engine/graph.h"
#include "engine/kernel.h"
#include "engine/lowering.h"
#include "engine/operator.h"

/* Any number of statements that an operator's signature takes. */
#define OPERATOR_INFER(name)                                                                                \
        int name##_infer(struct graph *graph, const struct node *node, struct error *error)
#define OPERATOR_FOLD(name)                                                                                 \
        int name##_fold(struct tensor **ret_tensor, const struct graph *graph, const struct node *node,     \
                        struct error *error)
#define OPERATOR_LOWER(name)                                                                                \
        int name##_lower(struct lowering *lowering, const struct node *node, struct error *error)

/* Those of the table. A function that several rows name is declared several times, which C allows; no_fold
 * and no_lower are no functions and never defined. */
#define OPERATOR(type, since, inputs, infer, fold, lower)                                                   \
        int infer(struct graph *graph, const struct node *node, struct error *error);                       \
        int fold(struct tensor **ret_tensor, const struct graph *graph, const struct node *node,            \
                 struct error *error);                                                                      \
        int lower(struct lowering *lowering, const struct node *node, struct error *error);
#include "engine/ops/operators.inc"
#undef OPERATOR

/* What pool_any and pad_any hand on to. */
OPERATOR_INFER(pool);
OPERATOR_LOWER(pool);
OPERATOR_INFER(pad);
OPERATOR_LOWER(pad);

/* Those of operators that only simplify.c and fuse.c make. */
OPERATOR_LOWER(attention);
OPERATOR_INFER(channels);
OPERATOR_LOWER(channels);
OPERATOR_INFER(conv_pair);
OPERATOR_LOWER(conv_pair);
OPERATOR_LOWER(inner_product);
OPERATOR_LOWER(layer_norm_rows);
OPERATOR_INFER(scale_shift);
OPERATOR_LOWER(scale_shift);
OPERATOR_INFER(q_linear);
OPERATOR_INFER(fake_quantize);
OPERATOR_LOWER(fake_quantize);
OPERATOR_INFER(quantize);
OPERATOR_INFER(dequantize);
OPERATOR_INFER(q_conv);
OPERATOR_INFER(q_inner_product);
OPERATOR_INFER(q_binary);
OPERATOR_INFER(q_pool);
OPERATOR_INFER(q_global_pool);
OPERATOR_INFER(q_concat);
OPERATOR_INFER(q_lookup);
OPERATOR_LOWER(quantize);
OPERATOR_LOWER(dequantize);
OPERATOR_LOWER(q_conv);
OPERATOR_LOWER(q_inner_product);
OPERATOR_LOWER(q_binary);
OPERATOR_LOWER(q_pool);
OPERATOR_LOWER(q_global_pool);
OPERATOR_LOWER(q_concat);
OPERATOR_LOWER(q_lookup);
OPERATOR_LOWER(q_view);

/* ---- shared helpers ---- */

/* Rank and type that an operator on feature maps needs: float32 [N, C, H, W] without empty dimensions. */
int need_feature_map(const struct value *value, struct error *error);

/* float32 data, which is what steps compute on. */
int need_float(const struct value *value, struct error *error);

/* A quantised value of the internal form: uint8 with what it means; the second of a feature map too. */
int need_quantised(const struct value *value, struct error *error);
int need_quantised_map(const struct value *value, struct error *error);

/* axis of an attribute or tensor, counted from the end where negative. Fails with ERROR_INVALID. */
int axis_normalise(size_t *ret_axis, int64_t axis, size_t rank, struct error *error);

/* The element type that an attribute names by its number in onnx.proto. */
int dtype_of_attribute(enum dtype *ret_dtype, const struct node *node, const char *name,
                       struct error *error);

/* Integers from attribute name, or where that is absent from the constant input index; *ret_n 0 where there
 * is neither. values has room for TENSOR_MAX_RANK * 2. Fails where the input is not constant. */
int read_integers(const struct graph *graph, const struct node *node, const char *name, size_t input,
                  int64_t *values, size_t *ret_n, struct error *error);

/* An attribute of n integers, each at least least and at most WINDOW_MAX; otherwise, where it is absent. */
#define WINDOW_MAX 65536 /* strides, dilations, pads and kernels beyond any image */
int window_list_read(int64_t *values, size_t n, const struct node *node, const char *name, int64_t least,
                     int64_t otherwise, struct error *error);

/* Kernel, strides, dilations and pads of Conv and the pools for an input of height and width, pads and
 * auto_pad resolved, and the size of the output. */
int window_read(struct kernel_window *ret_window, size_t ret_output[2], const struct node *node,
                const size_t kernel[2], const size_t input[2], bool ceil_mode, struct error *error);

/* The activation of a node as one or two elementary functions; 0 functions: none that steps know. */
size_t eltwise_read(struct eltwise ret_eltwise[2], const struct graph *graph, const struct node *node);

/* Does Dropout do nothing? */
int dropout_check(const struct graph *graph, const struct node *node, struct error *error);

/* What Pad adds before and after each dimension, all at least 0, and the value it fills in. */
int pad_read(int64_t ret_begin[TENSOR_MAX_RANK], int64_t ret_end[TENSOR_MAX_RANK], float *ret_value,
             const struct graph *graph, const struct node *node, struct error *error);

/* The output of node is at operand, with its own shape for the same bytes. */
int view_define(struct lowering *lowering, const struct node *node, struct operand operand,
                struct error *error);

/* The post-ops of node for a kernel. */
struct kernel_post_ops post_ops_of(const struct node *node);

/* Operand of a sum among the post-ops, VALUE_NONE where there is none. */
uint32_t sum_operand_of(const struct node *node);

/* A fully connected layer of few rows as a pointwise convolution; weights [outputs, inputs]; bias may be
 * NULL. */
int native_product_lower(struct lowering *lowering, const struct node *node, size_t rows, size_t inputs,
                         size_t outputs, struct tensor *weights, struct tensor *bias, bool *ret_done,
                         struct error *error);

/* x [rows, k] * weights + bias. */
struct row_product {
        size_t rows, k, n;
        bool transposed;               /* weights [n, k], else [k, n] */
        struct tensor *weights, *bias; /* bias: NULL where there is none */
};

/* The same by oneDNN; from, to: the types of x and of the result, float32 or bfloat16. */
int row_product_lower(struct lowering *lowering, const struct node *node, const struct row_product *product,
                      enum dtype from, enum dtype to, struct error *error);

/* A name of a packed form says what it depends on; of long lists, this: FNV-1a, which begins with FORM_HASH
 * and goes on from hash. */
#define FORM_HASH 0xcbf29ce484222325u
uint64_t form_hash(uint64_t hash, const void *bytes, size_t n);

/* Can a convolution work on its input as it reads it (struct prologue)? */
bool native_conv_takes_prologue(const struct kernel_conv *spec);

/* Can node, a convolution, take the channels of its input in any order? A depthwise one gives them in that
 * order. */
bool conv_takes_order(const struct graph *graph, const struct node *node, bool *ret_depthwise);

/* Are first and second, which alone reads its result, faster as one step ("ConvPair")? */
bool conv_pair_fits(const struct graph *graph, const struct node *first, const struct node *second);

/* As native_conv_takes_prologue(), of a node. */
bool conv_takes_prologue(const struct graph *graph, const struct node *node);

/* "Conv+Clip". */
#define OP_TEXT_BYTES 64u
const char *op_text(const struct node *node, char buffer[OP_TEXT_BYTES]);
