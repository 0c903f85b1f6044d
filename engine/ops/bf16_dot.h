#pragma once
/* bf16_dot: steps of native/dot.h in bfloat16, for convolutions and products. */
#include "engine/ops/bf16.h"

/* spec: with its post-ops. */
bool bf16_dot_can(const struct kernel_conv *spec);

int bf16_dot_conv_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                        struct error *error);

/* spec: product as a convolution of as many images as it has rows. */
int bf16_dot_product_lower(struct lowering *lowering, const struct node *node,
                           const struct row_product *product, const struct kernel_conv *spec,
                           struct error *error);
