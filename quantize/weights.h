#pragma once
/*
 * weights: constant weights of a layer as signed bytes, with a scale for each of its outputs.
 *
 * Symmetric: -127 to 127, zero is zero. The bias takes over what rounding the weights changes on average.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/graph.h"
#include "quantize/scheme.h"

struct quantised_weights {
        struct tensor *integers; /* int8, of the weights' shape */
        size_t axis;             /* which dimension the outputs are in */
        float *scales;           /* [n_outputs] */
        double *bias;            /* [n_outputs], corrected */
        size_t n_outputs;
        bool has_bias;        /* in the network, or by correction */
        double signal, noise; /* sums of squares: of the weights, and of what rounding changed */
};

enum weight_scale {
        WEIGHT_SCALE_LARGEST, /* no weight is cut off */
        WEIGHT_SCALE_MSE,     /* the least squared error of each output's weights */
};

/* means: of each channel that the layer reads, or NULL: the bias is not corrected. Fails with ERROR_IO,
 * ERROR_NO_MEMORY, ERROR_INVALID (weights that are not finite). */
int quantised_weights_new(struct quantised_weights **ret_weights, const struct graph *graph,
                          const struct node *node, enum layer_kind kind, enum weight_scale scale,
                          const double *means, size_t n_means, struct error *error);
void quantised_weights_free(struct quantised_weights *weights);
DEFINE_CLEANUP(quantised_weights)
