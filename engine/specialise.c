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

int graph_infer(struct graph *graph, struct error *error) {
        int r;

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
                if (r < 0)
                        return node_error(error, r, node);
        }
        return graph_sweep(graph, error);
}
