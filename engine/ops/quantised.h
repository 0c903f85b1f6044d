#pragma once
/*
 * ops/quantised: steps on integers (fuse_quantised.h), by native/dot.h and native/bytes.h.
 *
 * A quantised feature map lies channels-last in bytes, perhaps in a slice of a concatenation; other values
 * lie row-major. Where a result is no integer, it is float32 in the same arrangement.
 */
#include "engine/native/bytes.h"
#include "engine/ops/families.h"

/* Is there a kernel for a QConv, a QInnerProduct? */
bool q_conv_can(const struct graph *graph, const struct node *node);
bool q_inner_product_can(const struct graph *graph, const struct node *node);

/* Can a product on integers do these post-ops? */
bool q_takes_post_ops(const struct kernel_post_ops *post_ops);

/* A value of any rank, row-major; of node the first output. */
int q_source_rows(struct lowering *lowering, uint32_t value, struct operand *ret_operand,
                  struct error *error);
int q_destination_rows(struct lowering *lowering, const struct node *node, struct operand *ret_operand,
                       struct error *error);

/* A value as pixels of channels: [N, C, H, W] as N * H * W of C; others as one of all elements. */
struct q_form {
        size_t pixels, channels;
};
struct q_form q_form_of(const struct shape *shape);

struct bytes_real q_real_of(const struct value *value);
enum bytes_type q_type_of(const struct value *value);

/* Where value is, in bytes or float32 as the graph says, and how far apart its pixels are. */
int q_source(struct lowering *lowering, uint32_t value, struct operand *ret_operand, size_t *ret_pixel,
             struct error *error);

/* Where the first output of node goes: its slice of a concatenation, or a place of its own. */
int q_destination(struct lowering *lowering, const struct node *node, struct operand *ret_operand,
                  size_t *ret_pixel, struct error *error);

/* A step of own code. */
struct q_step {
        const char *family; /* of the kernel's name: "dot" */
        const char *isa;
        kernel_native *function;
        const void *params;
        size_t params_bytes;
        const struct operand *operands; /* the destination last */
        size_t n_operands, scratch_bytes;
        double flop;
        bool part; /* makes only a part of what node makes */
};

/* Adds it, and defines what node makes where it makes all of it. */
int q_emit(struct lowering *lowering, const struct node *node, const struct q_step *step,
           struct error *error);
