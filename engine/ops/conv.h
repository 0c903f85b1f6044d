#pragma once
/*
 * conv: how a convolution becomes a step. Several kernels can do it: oneDNN's implementations, our own
 * (conv_winograd.c); conv.c chooses.
 */
#include "engine/ops/families.h"
#include "engine/tuning.h"
#include "engine/weights.h"

struct conv {
        const struct value *x, *w, *b; /* b may be NULL */
        struct kernel_conv spec;
};

/* Checks all of a Conv or QConv; b is constant, w unless it is
 * quantised in the file and not yet taken by a QConv. Without post-ops. */
int conv_read(struct conv *ret_conv, const struct graph *graph, const struct node *node,
              struct error *error);

/* A convolution to be lowered. */
struct conv_source {
        struct kernel_conv *spec;
        uint32_t src; /* value */
        struct tensor *weights, *bias;
};

/* Where the result goes: the place of a fused sum's operand where there is one, a new place otherwise. */
int conv_result(struct lowering *lowering, const struct node *node, const struct layout *layout,
                struct operand *ret_operand, struct error *error);

/* Multiplications and additions by the definition, whatever the kernel saves of them. */
double conv_flop(const struct kernel_conv *spec);

/* What the speed of the ways to compute node depends on. */
void conv_question(char ret_text[TUNING_MAX_TEXT], const struct node *node, const struct kernel_conv *spec);

/* One of oneDNN's convolutions; the weights are seen as the layout that the kernel speaks of. */
int conv_onednn_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                      struct error *error);

/* Where src is, channels last with pixels at one distance, and where the result goes, likewise: over what is
 * fused as a sum, into its slice of a concatenation, or to a new place. In this order. */
int conv_pixels(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                struct error *error);
int conv_destination(struct lowering *lowering, const struct node *node, struct operand *ret_operand,
                     struct error *error);

/* Source and result for code of our own that works on vectors of lanes channels, in the source's layout
 * where that will do, channels last otherwise. */
int conv_maps(struct lowering *lowering, const struct node *node, const struct conv_source *source,
              size_t lanes, struct operand *ret_src, struct operand *ret_dst, struct error *error);

/* A sum, an activation that is a clipping, or both in this order: what our kernels do on the way out. False:
 * something else. */
bool conv_clip(const struct kernel_post_ops *post_ops, bool *ret_sum, float *ret_low, float *ret_high);

/* A kernel of our own: its arguments are src, weights, bias where there is one, dst, and scratch. */
struct conv_native {
        const char *name;
        kernel_native *function;
        const void *params;
        size_t params_bytes, scratch_bytes;
        struct operand src, dst;
        const char *weights_form; /* see weights_pack_form() */
        size_t weights_bytes;
        weights_packer *packer;
        const void *packer_params;
        size_t bias_elements; /* the bias is filled up with zeros to so many */
};

/* Emits the step and defines the node's output. */
int conv_native_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                      const struct conv_native *native, struct error *error);

/* ---- pointwise, depthwise, grouped (native_conv.c) ---- */

bool native_conv_can(const struct kernel_conv *spec);

/* Whether it is the fastest as a rule, with the source where it is. */
int native_conv_is_usual(struct lowering *lowering, const struct node *node, const struct kernel_conv *spec,
                         bool *ret_usual, struct error *error);

int native_conv_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                      struct error *error);

/* Two convolutions as one step (native/conv.h, struct native_pair); node reads first's input and makes
 * second's output. */
bool native_pair_fits(const struct kernel_conv *first, const struct kernel_conv *second);
int native_pair_lower(struct lowering *lowering, const struct node *node, const struct conv_source *first,
                      const struct conv_source *second, struct error *error);

/* ---- Winograd ---- */

/* 3x3, stride 1, no groups, and nothing fused but a sum and clipping. */
bool conv_winograd_can(const struct kernel_conv *spec);

/* The m of F(m x m, 3 x 3) that is the fastest as a rule; 0: the definition is. */
unsigned conv_winograd_usual(const struct kernel_conv *spec);

int conv_winograd_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                        unsigned m, struct error *error);
