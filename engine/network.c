#include "engine/network.h"

#include <stdlib.h>
#include <string.h>

#include "engine/onnx_reader.h"
#include "engine/plan_internal.h"
#include "engine/simplify.h"

struct network {
        struct graph *graph;
        struct weights *weights;
        struct plan *plan;
        struct run *run;
};

int network_read(struct network **ret_network, const void *bytes, size_t size, struct error *error) {
        _cleanup_(network_freep) struct network *network = calloc(1, sizeof(*network));
        _cleanup_(source_unrefp) struct source *source = NULL;
        int r;

        if (!network)
                return error_no_memory(error);
        r = source_borrow(&source, bytes, size, error);
        if (r >= 0)
                r = weights_new(&network->weights, error);
        if (r >= 0)
                r = onnx_read_network(&network->graph, source, NULL, error);
        if (r < 0)
                return r;
        *ret_network = steal_ptr(&network);
        return 0;
}

void network_free(struct network *network) {
        if (network->run)
                run_free(network->run);
        if (network->plan)
                plan_free(network->plan);
        if (network->weights)
                weights_free(network->weights);
        if (network->graph)
                graph_free(network->graph);
        free(network);
}

static struct value *input_value(const struct network *network, size_t input) {
        return &network->graph->values[network->graph->network_inputs[input]];
}

size_t network_n_inputs(const struct network *network) {
        return network->graph->n_network_inputs;
}

const char *network_input_name(const struct network *network, size_t input) {
        return input_value(network, input)->name;
}

enum dtype network_input_dtype(const struct network *network, size_t input) {
        return input_value(network, input)->dtype;
}

void network_set_shape(struct network *network, size_t input, const struct shape *shape) {
        input_value(network, input)->known = true;
        input_value(network, input)->shape = *shape;
}

int network_set_constant(struct network *network, size_t input, struct tensor *tensor, struct error *error) {
        const struct value *value = input_value(network, input);

        if (tensor->dtype != value->dtype)
                return error_set(error, ERROR_INVALID, "input '%s' is %s, not %s", value->name,
                                 dtype_name(value->dtype), dtype_name(tensor->dtype));
        graph_set_constant(network->graph, network->graph->network_inputs[input], tensor);
        return 0;
}

int network_prepare(struct network *network, struct error *error) {
        int r;

        for (size_t i = 0; i < network_n_inputs(network); i++)
                if (!input_value(network, i)->known)
                        return error_set(error, ERROR_INVALID, "input '%s' has no shape",
                                         network_input_name(network, i));
        r = graph_simplify(network->graph, PRECISION_F32, error);
        if (r >= 0)
                r = plan_new_network(&network->plan, network->graph, network->weights, error);
        if (r >= 0)
                r = run_new(&network->run, network->plan, error);
        return r;
}

int network_run(struct network *network, const float *const *inputs, struct error *error) {
        return run_execute_network(network->run, inputs, error);
}

size_t network_n_outputs(const struct network *network) {
        return network->graph->n_network_outputs;
}

struct network_output network_output(const struct network *network, size_t output) {
        const struct graph *graph = network->plan->graph;
        const struct value *value = &graph->values[graph->network_outputs[output]];

        return (struct network_output){
                .dtype = value->dtype,
                .shape = value->shape,
                .data = value->constant ? value->constant->data
                                        : run_place(network->run, network->plan->network_outputs[output]),
        };
}
