#include "engine/quantised_internal.h"

#include <string.h>

bool graph_is_quantised(const struct graph *graph) {
        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct node *node = &graph->nodes[i];

                if (node_is(node, "QuantizeLinear") || node_is(node, "DequantizeLinear") ||
                    strncmp(node->type, "QLinear", strlen("QLinear")) == 0 || node_is(node, "QGemm"))
                        return true;
        }
        return false;
}

int graph_quantised_expand(struct graph *graph, struct error *error) {
        int r;

        r = quantised_expand(graph, error);
        return r < 0 ? r : quantised_merge(graph, error);
}
