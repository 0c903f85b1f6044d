#pragma once
/*
 * ops/bf16: steps in bfloat16, of a plan that computes in it (lowering_takes_bf16()). Sums are float32
 * inside, and rounded once where they are written.
 *
 * Which values lie in bfloat16 is decided before (keep_bf16.h); a step writes what lowering_dtype() says,
 * and has what it reads rounded where that lies in float32.
 */
#include "engine/ops/conv.h"

/* Is there a step in bfloat16 for node, or one that reads this input of it so? */
bool bf16_can_write(const struct graph *graph, const struct node *node);
bool bf16_can_read(const struct graph *graph, const struct node *node, size_t input);

/* Does node, a Conv, compute in bfloat16? */
bool bf16_conv_can(const struct graph *graph, const struct node *node);

int bf16_conv_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                    struct error *error);

/* The result is float32, or what lowering_dtype() says. */
int bf16_product_lower(struct lowering *lowering, const struct node *node, const struct row_product *product,
                       struct error *error);

/* x * scale[c] + shift[c] and clipping, and the mean of each map: where bf16_can_write() says so. */
int bf16_scale_shift_lower(struct lowering *lowering, const struct node *node, struct error *error);
int bf16_mean_lower(struct lowering *lowering, const struct node *node, struct error *error);

/* x * gate [N, C, 1, 1], in either order; *ret_done stays as it is where node is something else. */
int bf16_gate_lower(struct lowering *lowering, const struct node *node, bool *ret_done, struct error *error);

/* Channels last in bfloat16: the layout of value where it is such, else a dense one. */
int bf16_pixels(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                struct error *error);
