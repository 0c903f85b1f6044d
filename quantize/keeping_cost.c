#include "quantize/keeping_cost.h"

#include "quantize/scheme.h"

/* In multiplications of a convolution, of which int8 saves some 0.014 ns each on one thread with VNNI: a
 * depthwise one reads as much as it multiplies, and an element that is converted is read and written. */
#define DEPTHWISE_FACTOR  4.0
#define ELEMENT_FACTOR    2.0
#define CONVERSION_FACTOR 8.0

static double elements_of(const struct graph *shapes, uint32_t value) {
        return value != VALUE_NONE && shapes->values[value].known
                       ? (double)shape_elements(&shapes->values[value].shape)
                       : 0;
}

static double layer_cost(const struct graph *graph, const struct graph *shapes, const struct node *node,
                         enum layer_kind kind) {
        double outputs = elements_of(shapes, node_output(node, 0)), inner = 1;
        const struct tensor *weights;

        if (!layer_kind_has_weights(kind))
                return ELEMENT_FACTOR * outputs;
        weights = graph_input_constant(graph, node, 1);
        if (weights)
                inner = (double)weights->n_elements / (double)weights->shape.dims[layer_weights_axis(node)];
        return (kind == LAYER_DEPTHWISE ? DEPTHWISE_FACTOR : 1) * inner * outputs;
}

int keeping_cost(double *ret_cost, const struct graph *graph, const struct graph *shapes, const bool *kept,
                 struct error *error) {
        _cleanup_(scheme_freep) struct scheme *scheme = NULL;
        double cost = 0;
        int r;

        r = scheme_new(&scheme, graph, shapes, kept, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct layer *layer = &scheme->layers[i];
                const struct node *node = &graph->nodes[i];

                if (layer->kind == LAYER_NONE || !layer->useful)
                        continue;
                if (!layer->quantised)
                        cost += layer_cost(graph, shapes, node, layer->kind);
                for (size_t k = 0; k < node->n_inputs; k++) {
                        /* The picture is bytes already. */
                        if (!scheme_reads(scheme, i, k) || node->inputs[k] == graph->input)
                                continue;
                        /* Float32 reads integers, or integers read what was computed in float32. */
                        if (layer->quantised != scheme->rounded_by_layer[node->inputs[k]])
                                cost += CONVERSION_FACTOR * elements_of(shapes, node->inputs[k]);
                }
        }
        *ret_cost = cost;
        return 0;
}
