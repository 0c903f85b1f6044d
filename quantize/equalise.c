#include "quantize/equalise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/ops/families.h"

#define LEAST_FACTOR 0.0625f /* a channel that is hardly ever seen may be larger on other pictures */
#define CLIP_MARGIN  2.0f

/* Layers of which the second alone reads what the first gives. */
struct pair {
        const struct node *first, *second;
        bool depthwise;                      /* the second */
        const struct value_statistics *seen; /* of the value between them */
        float bound;                         /* of the Clip between them; INFINITY: there is none */
};

static bool is_convolution(enum layer_kind kind) {
        return kind == LAYER_CONV || kind == LAYER_DEPTHWISE;
}

/* Nothing, Relu, or a Clip from zero on. */
static bool read_activation(const struct scheme *scheme, uint32_t activation, float *ret_bound) {
        struct eltwise eltwise[2];

        *ret_bound = INFINITY;
        if (activation == VALUE_NONE)
                return true;
        if (eltwise_read(eltwise, scheme->graph, &scheme->graph->nodes[activation]) != 1)
                return false;
        if (eltwise[0].kind == ELTWISE_RELU)
                return true;
        *ret_bound = eltwise[0].beta;
        return eltwise[0].kind == ELTWISE_CLIP && eltwise[0].alpha == 0 && eltwise[0].beta > 0;
}

/* Constants that another node reads too must stay as they are. */
static bool owns_constants(const struct node *node, const uint32_t *uses) {
        return uses[node->inputs[1]] == 1 &&
               (node_input(node, 2) == VALUE_NONE || uses[node->inputs[2]] == 1);
}

static bool find_pair(struct pair *ret_pair, const struct scheme *scheme, const uint32_t *uses,
                      const struct calibration *calibration, const uint32_t *watch_of, size_t second) {
        const struct graph *graph = scheme->graph;
        const struct node *node = &graph->nodes[second];
        const struct layer *layer = &scheme->layers[second];
        const struct tensor *weights = graph_input_constant(graph, node, 1);
        uint32_t value, first;
        size_t channels;

        if (!layer->quantised || !is_convolution(layer->kind))
                return false;
        value = node->inputs[0];
        first = scheme->producers[value];
        if (first == VALUE_NONE || !is_convolution(scheme->layers[first].kind) || uses[value] != 1 ||
            watch_of[value] == VALUE_NONE || !owns_constants(&graph->nodes[first], uses) ||
            !owns_constants(node, uses))
                return false;
        channels = graph_input_constant(graph, &graph->nodes[first], 1)->shape.dims[0];
        if (layer->kind == LAYER_CONV && weights->shape.dims[1] != channels)
                return false;
        *ret_pair = (struct pair){.first = &graph->nodes[first],
                                  .second = node,
                                  .depthwise = layer->kind == LAYER_DEPTHWISE,
                                  .seen = &calibration->values[watch_of[value]]};
        return ret_pair->seen->n_channels == channels &&
               read_activation(scheme, scheme->layers[first].activation, &ret_pair->bound);
}

/* A copy of a constant that may be written to. */
static int own(struct graph *graph, uint32_t value, struct tensor **ret_tensor, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *held = NULL, *copy = NULL;
        int r;

        r = tensor_hold(&held, graph->values[value].constant, error);
        if (r >= 0)
                r = tensor_new(&copy, DTYPE_F32, &held->shape, error);
        if (r < 0)
                return r;
        memcpy(copy->data, held->data, tensor_bytes(held));
        graph_set_constant(graph, value, copy);
        *ret_tensor = copy;
        return 0;
}

static float largest_seen(const struct pair *pair, size_t channel) {
        return MAX(fabsf(pair->seen->lows[channel]), fabsf(pair->seen->highs[channel]));
}

/* Of each channel's weights the largest, for the largest of its output; [channels], 0 to 1. */
static void column_ranges(float *ret_ranges, const struct tensor *weights, size_t channels) {
        const float *w = weights->data;
        size_t outputs = weights->shape.dims[0], taps = weights->n_elements / outputs / channels;

        memset(ret_ranges, 0, channels * sizeof(*ret_ranges));
        for (size_t o = 0; o < outputs; o++) {
                float largest = 0;

                for (size_t i = 0; i < channels * taps; i++)
                        largest = MAX(largest, fabsf(w[o * channels * taps + i]));
                for (size_t i = 0; i < channels * taps && largest > 0; i++)
                        ret_ranges[i / taps] =
                                MAX(ret_ranges[i / taps], fabsf(w[o * channels * taps + i]) / largest);
        }
}

/* What each channel is divided by in the first layer and multiplied by in the second. */
static bool choose_factors(float *ret_factors, const struct pair *pair, const float *ranges,
                           size_t channels) {
        float largest = 0, reference;
        bool any = false;

        for (size_t c = 0; c < channels; c++) {
                ret_factors[c] = ranges[c] > 0 ? sqrtf(largest_seen(pair, c) / ranges[c]) : 0;
                if (pair->depthwise)
                        ret_factors[c] = largest_seen(pair, c);
                largest = MAX(largest, ret_factors[c]);
        }
        reference = largest > 0 ? largest : 1;
        for (size_t c = 0; c < channels; c++) {
                float seen = largest_seen(pair, c), factor = ret_factors[c] / reference;

                factor = MIN(MAX(factor, LEAST_FACTOR), 1.0f);
                if (ret_factors[c] == 0)
                        factor = 1;
                /* The Clip cuts off at factor * bound now; 1 where the channel may reach it. */
                factor = MAX(factor, MIN(seen * CLIP_MARGIN / pair->bound, 1.0f));
                ret_factors[c] = factor;
                any = any || factor != 1;
        }
        return any;
}

static void divide_first(struct tensor *weights, struct tensor *bias, const float *factors) {
        size_t channels = weights->shape.dims[0], n = weights->n_elements / channels;

        for (size_t c = 0; c < channels; c++) {
                for (size_t i = 0; i < n; i++)
                        ((float *)weights->data)[c * n + i] /= factors[c];
                if (bias)
                        ((float *)bias->data)[c] /= factors[c];
        }
}

static void multiply_second(struct tensor *weights, const float *factors, size_t channels, bool depthwise) {
        size_t outputs = weights->shape.dims[0], n = weights->n_elements / outputs;

        for (size_t o = 0; o < outputs; o++)
                for (size_t i = 0; i < n; i++)
                        ((float *)weights->data)[o * n + i] *=
                                factors[depthwise ? o / (outputs / channels) : i / (n / channels)];
}

static int pair_equalise(struct graph *graph, const struct pair *pair, size_t *n_pairs,
                         struct error *error) {
        size_t channels = pair->seen->n_channels;
        _cleanup_(freep) float *factors = calloc(channels, sizeof(*factors));
        _cleanup_(freep) float *ranges = calloc(channels, sizeof(*ranges));
        struct tensor *first, *second, *bias = NULL;
        int r;

        if (!factors || !ranges)
                return error_no_memory(error);
        r = own(graph, pair->second->inputs[1], &second, error);
        if (r < 0)
                return r;
        if (!pair->depthwise)
                column_ranges(ranges, second, channels);
        if (!choose_factors(factors, pair, ranges, channels))
                return 0;
        r = own(graph, pair->first->inputs[1], &first, error);
        if (r >= 0 && node_input(pair->first, 2) != VALUE_NONE)
                r = own(graph, pair->first->inputs[2], &bias, error);
        if (r < 0)
                return r;
        divide_first(first, bias, factors);
        multiply_second(second, factors, channels, pair->depthwise);
        (*n_pairs)++;
        return 0;
}

int equalise(struct graph *graph, const struct scheme *scheme, const struct calibration *calibration,
             const uint32_t *watch_of, size_t *ret_n_pairs, struct error *error) {
        _cleanup_(freep) uint32_t *uses = graph_count_uses(graph);
        size_t n_pairs = 0;
        int r;

        if (!uses)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct pair pair;

                if (!find_pair(&pair, scheme, uses, calibration, watch_of, i))
                        continue;
                r = pair_equalise(graph, &pair, &n_pairs, error);
                if (r < 0)
                        return error_prefix(error, r, "node '%s'", graph->nodes[i].name);
        }
        *ret_n_pairs = n_pairs;
        return 0;
}
