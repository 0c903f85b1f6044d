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

/* Those of operators that only simplify.c and fuse.c make. */
OPERATOR_INFER(scale_shift);
OPERATOR_LOWER(scale_shift);

/* ---- shared helpers ---- */

/* Rank and type that an operator on feature maps needs: float32 [N, C, H, W] without empty dimensions. */
int need_feature_map(const struct value *value, struct error *error);

/* float32 data, which is what steps compute on. */
int need_float(const struct value *value, struct error *error);

/* axis of an attribute or tensor, counted from the end where negative. Fails with ERROR_INVALID. */
int axis_normalise(size_t *ret_axis, int64_t axis, size_t rank, struct error *error);

/* The element type that an attribute names by its number in onnx.proto. */
int dtype_of_attribute(enum dtype *ret_dtype, const struct node *node, const char *name,
                       struct error *error);

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

/* Can a convolution work on its input as it reads it (struct prologue)? */
bool native_conv_takes_prologue(const struct kernel_conv *spec);

/* As native_conv_takes_prologue(), of a node. */
bool conv_takes_prologue(const struct graph *graph, const struct node *node);

/* "Conv+Clip". */
#define OP_TEXT_BYTES 64u
const char *op_text(const struct node *node, char buffer[OP_TEXT_BYTES]);
