#include "quantize/weights.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#define LARGEST    127.0f
#define CANDIDATES 40u /* scales that are tried, down to three fifths of the largest weight's */

/* Where the weights of output o lie: n of them, from first on, so far apart. */
struct row {
        size_t first, step, n;
};

static struct row row_of(const struct tensor *tensor, size_t axis, size_t o) {
        if (axis == 0)
                return (struct row){.first = o * (tensor->n_elements / tensor->shape.dims[0]),
                                    .step = 1,
                                    .n = tensor->n_elements / tensor->shape.dims[0]};
        return (struct row){.first = o, .step = tensor->shape.dims[1], .n = tensor->shape.dims[0]};
}

static float round_weight(float weight, float scale) {
        return MIN(MAX(nearbyintf(weight / scale), -LARGEST), LARGEST);
}

static double row_error(const float *weights, struct row row, float scale) {
        double sum = 0;

        for (size_t i = 0; i < row.n; i++) {
                float w = weights[row.first + i * row.step];
                double d = (double)(round_weight(w, scale) * scale - w);

                sum += d * d;
        }
        return sum;
}

static float row_scale(const float *weights, struct row row, enum weight_scale how) {
        float largest = 0, best, scale;
        double least;

        for (size_t i = 0; i < row.n; i++)
                largest = MAX(largest, fabsf(weights[row.first + i * row.step]));
        /* An output that is only its bias: any scale will do. */
        if (largest < 1e-20f)
                return 1.0f / LARGEST;
        best = largest / LARGEST;
        if (how == WEIGHT_SCALE_LARGEST)
                return best;
        least = row_error(weights, row, best);
        for (unsigned i = 1; i <= CANDIDATES; i++) {
                double error;

                scale = largest / LARGEST * (1 - 0.4f * (float)i / (float)CANDIDATES);
                error = row_error(weights, row, scale);
                if (error < least) {
                        least = error;
                        best = scale;
                }
        }
        return best;
}

/* Which of the channels that the layer reads weight i of output o belongs to. */
static size_t channel_of(const struct tensor *tensor, enum layer_kind kind, size_t group_outputs, size_t o,
                         size_t i) {
        if (kind == LAYER_GEMM || kind == LAYER_MATMUL)
                return i;
        return o / group_outputs * tensor->shape.dims[1] +
               i / (tensor->n_elements / tensor->shape.dims[0] / tensor->shape.dims[1]);
}

static int round_all(struct quantised_weights *weights, const struct tensor *tensor, const struct node *node,
                     enum layer_kind kind, enum weight_scale how, const double *means, size_t n_means,
                     struct error *error) {
        const float *elements = tensor->data;
        size_t groups = (size_t)MAX(node_attribute_integer(node, "group", 1), 1);
        size_t group_outputs = MAX(weights->n_outputs / groups, (size_t)1);

        for (size_t o = 0; o < weights->n_outputs; o++) {
                struct row row = row_of(tensor, weights->axis, o);
                float scale = row_scale(elements, row, how);

                if (!isfinite(scale))
                        return error_set(error, ERROR_INVALID, "weights that are not finite");
                weights->scales[o] = scale;
                for (size_t i = 0; i < row.n; i++) {
                        float w = elements[row.first + i * row.step], q = round_weight(w, scale);
                        double changed = (double)(q * scale) - (double)w;
                        size_t channel = channel_of(tensor, kind, group_outputs, o, i);

                        ((int8_t *)weights->integers->data)[row.first + i * row.step] = (int8_t)q;
                        weights->signal += (double)w * (double)w;
                        weights->noise += changed * changed;
                        if (means && channel < n_means)
                                weights->bias[o] -= changed * means[channel];
                }
        }
        return 0;
}

int quantised_weights_new(struct quantised_weights **ret_weights, const struct graph *graph,
                          const struct node *node, enum layer_kind kind, enum weight_scale scale,
                          const double *means, size_t n_means, struct error *error) {
        _cleanup_(quantised_weights_freep) struct quantised_weights *weights = calloc(1, sizeof(*weights));
        _cleanup_(tensor_unrefp) struct tensor *held = NULL, *bias = NULL;
        struct tensor *tensor = graph->values[node->inputs[1]].constant;
        int r;

        if (!weights)
                return error_no_memory(error);
        r = tensor_hold(&held, tensor, error);
        if (r < 0)
                return r;
        weights->axis = layer_weights_axis(node);
        weights->n_outputs = held->shape.dims[weights->axis];
        weights->scales = calloc(weights->n_outputs, sizeof(*weights->scales));
        weights->bias = calloc(weights->n_outputs, sizeof(*weights->bias));
        if (!weights->scales || !weights->bias)
                return error_no_memory(error);
        r = tensor_new(&weights->integers, DTYPE_I8, &held->shape, error);
        if (r < 0)
                return r;
        weights->has_bias = kind != LAYER_MATMUL && (means || node_input(node, 2) != VALUE_NONE);
        if (kind != LAYER_MATMUL && node_input(node, 2) != VALUE_NONE) {
                r = tensor_hold(&bias, graph->values[node->inputs[2]].constant, error);
                if (r < 0)
                        return r;
                for (size_t o = 0; o < weights->n_outputs; o++)
                        weights->bias[o] = tensor_real(bias, o);
        }
        r = round_all(weights, held, node, kind, scale, weights->has_bias ? means : NULL, n_means, error);
        if (r < 0)
                return r;
        *ret_weights = steal_ptr(&weights);
        return 0;
}

void quantised_weights_free(struct quantised_weights *weights) {
        if (weights->integers)
                tensor_unref(weights->integers);
        free(weights->scales);
        free(weights->bias);
        free(weights);
}
