#pragma once
/*
 * scheme: which nodes of a simplified graph compute on integers, and which values are rounded for them.
 *
 * A layer is a node that can, together with the Relu or Clip that alone reads it. Convolutions and products
 * with constant matrices round what they read, wherever it comes from. All others (sums, gates, pools,
 * concatenations, views, functions of one value) follow: they compute on integers where all they read are
 * results of such layers, and where something behind them wants integers. What comes after the last
 * convolution or product stays float32, and so do the scores.
 *
 * A value is rounded where a layer on integers reads it. Values that a node only moves or selects from
 * (MaxPool, Concat, Reshape, ...) share one rounding with what it gives: they are of one class.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/graph.h"

enum layer_kind {
        LAYER_NONE, /* the node computes in float32 */
        LAYER_CONV,
        LAYER_DEPTHWISE,
        LAYER_GEMM,
        LAYER_MATMUL,
        LAYER_ADD,
        LAYER_MUL,
        LAYER_POOL,   /* an average: rounds anew */
        LAYER_TIED,   /* gives what it reads */
        LAYER_LOOKUP, /* a function of one value */
};

const char *layer_kind_name(enum layer_kind kind);
bool layer_kind_has_weights(enum layer_kind kind);

struct layer {
        enum layer_kind kind;
        uint32_t activation; /* the node that is folded in, or VALUE_NONE */
        uint32_t output;     /* value, after the activation */
        bool useful;         /* something behind it wants integers */
        bool quantised;
};

struct scheme {
        const struct graph *graph;
        struct layer *layers;   /* one a node */
        uint32_t *class_of;     /* of values; the number of one of them */
        uint32_t *makers;       /* the node that makes each value; or VALUE_NONE */
        uint32_t *producers;    /* layers' nodes, by the value after the activation; or VALUE_NONE */
        bool *quantised;        /* values */
        bool *rounded_by_layer; /* values: rounded, and given by a layer on integers */
};

/*
 * graph: simplified, and it must outlive the scheme. shapes: a clone of it with shapes for one image.
 * kept: one a node, those that stay float32 whatever they are; NULL: none. Fails with ERROR_NO_MEMORY.
 */
int scheme_new(struct scheme **ret_scheme, const struct graph *graph, const struct graph *shapes,
               const bool *kept, struct error *error);
void scheme_free(struct scheme *scheme);
DEFINE_CLEANUP(scheme)

/* Does layer node read input as a value to be rounded? */
bool scheme_reads(const struct scheme *scheme, size_t node, size_t input);

/* Which dimension of a layer's weights its outputs are in. */
size_t layer_weights_axis(const struct node *node);
