#pragma once
/* simplify_internal: the parts of simplify.c that stand in files of their own. */
#include "engine/graph.h"

/* A new constant value "base:what". Takes a reference of its own. */
int simplify_add_constant(struct graph *graph, uint32_t *ret_value, const char *base, const char *what,
                          struct tensor *tensor, struct error *error);

/* Multiplies a factor for each channel, node, into the weights and bias of the matrix product before it,
 * also through a Transpose between them, and kills node: what ConvNeXt calls layer scale. */
int simplify_layer_scale(struct graph *graph, struct node *node, uint32_t *uses, const uint32_t *producers,
                         struct aliases *aliases, struct error *error);
