#include "engine/specialise.h"

#include "engine/operator.h"
#include "engine/simplify.h"

int graph_specialise(struct graph *graph, const struct shape *input, struct error *error) {
        int r;

        graph->values[graph->input].known = true;
        graph->values[graph->input].dtype = DTYPE_F32;
        graph->values[graph->input].shape = *input;
        r = graph_infer(graph, error);
        if (r < 0)
                return r;
        if (!graph->values[graph->output].known)
                return error_set(error, ERROR_UNSUPPORTED, "the shape of output '%s' is not known",
                                 graph->values[graph->output].name);
        return 0;
}

/* What has no elements is known without computing it. *ret_constant: value is constant, by this or before.
 */
static int settle_empty(struct graph *graph, uint32_t index, bool *ret_constant, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        struct value *value = &graph->values[index];
        int r;

        *ret_constant = value->constant;
        if (!value->known || value->constant || shape_elements(&value->shape) > 0)
                return 0;
        r = tensor_new(&tensor, value->dtype, &value->shape, error);
        if (r < 0)
                return r;
        graph_set_constant(graph, index, tensor);
        *ret_constant = true;
        return 0;
}

static int settle_outputs(struct graph *graph, struct node *node, struct error *error) {
        bool all = true, constant;

        for (size_t i = 0; i < node->n_outputs; i++)
                if (node->outputs[i] != VALUE_NONE) {
                        int r = settle_empty(graph, node->outputs[i], &constant, error);

                        if (r < 0)
                                return r;
                        all &= constant;
                }
        if (all)
                node_kill(node);
        return 0;
}

int graph_infer(struct graph *graph, struct error *error) {
        bool constant;
        int r;

        for (size_t i = 0; i < graph->n_network_inputs; i++) {
                r = settle_empty(graph, graph->network_inputs[i], &constant, error);
                if (r < 0)
                        return r;
        }

        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *node = &graph->nodes[i];
                bool folded;

                for (size_t k = 0; k < node->n_inputs; k++)
                        if (node->inputs[k] != VALUE_NONE && !graph->values[node->inputs[k]].known) {
                                r = error_set(error, ERROR_UNSUPPORTED,
                                              "the shape of input '%s' is not known",
                                              graph->values[node->inputs[k]].name);
                                return node_error(error, r, node);
                        }
                r = graph_fold_node(graph, node, &folded, error);
                if (r < 0)
                        return r;
                if (folded)
                        continue;
                r = node->op->infer(graph, node, error);
                if (r >= 0)
                        r = settle_outputs(graph, node, error);
                if (r < 0)
                        return node_error(error, r, node);
        }
        return graph_sweep(graph, error);
}
