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

OPERATOR_INFER(conv);
OPERATOR_LOWER(conv);
OPERATOR_INFER(scale_shift);
OPERATOR_LOWER(scale_shift);
OPERATOR_INFER(batch_normalization);
OPERATOR_LOWER(attention);
OPERATOR_LOWER(inner_product);
OPERATOR_LOWER(layer_norm_rows);
OPERATOR_INFER(gemm);
OPERATOR_LOWER(gemm);
OPERATOR_INFER(matmul);
OPERATOR_LOWER(matmul);
OPERATOR_INFER(pool);
OPERATOR_LOWER(pool);
OPERATOR_INFER(global_pool);
OPERATOR_LOWER(global_pool);
OPERATOR_INFER(unary);
OPERATOR_LOWER(unary);
OPERATOR_INFER(binary);
OPERATOR_FOLD(binary);
OPERATOR_LOWER(binary);
OPERATOR_INFER(softmax);
OPERATOR_LOWER(softmax);
OPERATOR_INFER(reduce);
OPERATOR_FOLD(reduce);
OPERATOR_LOWER(reduce);
OPERATOR_INFER(math);
OPERATOR_FOLD(math);
OPERATOR_LOWER(math);
OPERATOR_INFER(where);
OPERATOR_FOLD(where);
OPERATOR_LOWER(where);
OPERATOR_INFER(not );
OPERATOR_FOLD(not );
OPERATOR_INFER(layer_normalization);
OPERATOR_LOWER(layer_normalization);
OPERATOR_INFER(einsum);
OPERATOR_LOWER(einsum);
OPERATOR_INFER(concat);
OPERATOR_FOLD(concat);
OPERATOR_LOWER(concat);
OPERATOR_INFER(transpose);
OPERATOR_FOLD(transpose);
OPERATOR_LOWER(transpose);
OPERATOR_INFER(pad);
OPERATOR_LOWER(pad);
OPERATOR_INFER(reshape);
OPERATOR_INFER(flatten);
OPERATOR_INFER(squeeze);
OPERATOR_INFER(unsqueeze);
OPERATOR_INFER(identity);
OPERATOR_FOLD(view);
OPERATOR_LOWER(view);
OPERATOR_INFER(shape);
OPERATOR_FOLD(shape);
OPERATOR_INFER(gather);
OPERATOR_FOLD(gather);
OPERATOR_LOWER(gather);
OPERATOR_INFER(scatter);
OPERATOR_FOLD(scatter);
OPERATOR_LOWER(scatter);
OPERATOR_INFER(slice);
OPERATOR_FOLD(slice);
OPERATOR_LOWER(slice);
OPERATOR_INFER(split);
OPERATOR_FOLD(split);
OPERATOR_LOWER(split);
OPERATOR_INFER(expand);
OPERATOR_FOLD(expand);
OPERATOR_LOWER(expand);
OPERATOR_INFER(tile);
OPERATOR_FOLD(tile);
OPERATOR_LOWER(tile);
OPERATOR_INFER(cast);
OPERATOR_FOLD(cast);
OPERATOR_LOWER(cast);
OPERATOR_INFER(size);
OPERATOR_FOLD(size);
OPERATOR_INFER(range);
OPERATOR_FOLD(range);
OPERATOR_INFER(non_zero);
OPERATOR_FOLD(non_zero);
OPERATOR_INFER(constant);
OPERATOR_FOLD(constant);
OPERATOR_INFER(constant_of_shape);
OPERATOR_FOLD(constant_of_shape);

/* ---- shared helpers ---- */

/* Rank and type that an operator on feature maps needs: float32 [N, C, H, W] without empty dimensions. */
int need_feature_map(const struct value *value, struct error *error);

/* float32 data, which is what steps compute on. */
int need_float(const struct value *value, struct error *error);

/* axis of an attribute or tensor, counted from the end where negative. Fails with ERROR_INVALID. */
int axis_normalise(size_t *ret_axis, int64_t axis, size_t rank, struct error *error);

/* Integers from attribute name, or where that is absent from the constant input index; *ret_n 0 where there
 * is neither. values has room for TENSOR_MAX_RANK * 2. Fails where the input is not constant. */
int read_integers(const struct graph *graph, const struct node *node, const char *name, size_t input,
                  int64_t *values, size_t *ret_n, struct error *error);

/* Kernel, strides, dilations and pads of Conv and the pools for an input of height and width, pads and
 * auto_pad resolved, and the size of the output. */
int window_read(struct kernel_window *ret_window, size_t ret_output[2], const struct node *node,
                const size_t kernel[2], const size_t input[2], bool ceil_mode, struct error *error);

/* The activation of a node as one or two elementary functions; 0 functions: none that steps know. */
size_t eltwise_read(struct eltwise ret_eltwise[2], const struct graph *graph, const struct node *node);

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

/* "Conv+Clip". */
#define OP_TEXT_BYTES 64u
const char *op_text(const struct node *node, char buffer[OP_TEXT_BYTES]);
