#include "engine/keep_bf16.h"

#include <stdlib.h>
#include <string.h>

#include "engine/ops/bf16.h"

static bool is_concat_of_maps(const struct graph *graph, const struct node *node) {
        int64_t axis = node_attribute_integer(node, "axis", 1);

        return node_is(node, "Concat") && graph->values[node->outputs[0]].shape.rank == 4 &&
               (axis == 1 || axis == -3);
}

/* Can a step write the value so, and does one want to read it so? */
static bool can_be_kept(const struct graph *graph, uint32_t value, const uint32_t *producers,
                        const bool *wanted) {
        const struct value *v = &graph->values[value];
        const struct node *maker;

        if (producers[value] == VALUE_NONE || !wanted[value] || v->constant || !v->known ||
            v->dtype != DTYPE_F32)
                return false;
        maker = &graph->nodes[producers[value]];
        if (v->shape.rank != 4 && !node_is(maker, "InnerProduct"))
                return false;
        return maker->outputs[0] == value &&
               (is_concat_of_maps(graph, maker) || bf16_can_write(graph, maker));
}

/* Values that some node reads as bfloat16. A concatenation passes on what is wanted of it. */
static void find_wanted(bool *wanted, const struct graph *graph) {
        for (size_t i = graph->n_nodes; i-- > 0;) {
                const struct node *node = &graph->nodes[i];

                for (size_t k = 0; k < node->n_inputs; k++)
                        if (node->inputs[k] != VALUE_NONE)
                                wanted[node->inputs[k]] |= is_concat_of_maps(graph, node)
                                                                   ? wanted[node->outputs[0]]
                                                                   : bf16_can_read(graph, node, k);
                for (size_t k = 0; k < node->n_post_ops; k++)
                        if (node->post_ops[k].kind == POST_OP_SUM && node_is(node, "Conv"))
                                wanted[node->post_ops[k].operand] = true;
        }
}

/* A concatenation and its parts lie in one place: all of them are kept so, or none. *ret_changed: one of
 * them was not. */
static void agree(struct graph *graph, const struct node *node, bool *ret_changed) {
        bool all = graph->values[node->outputs[0]].bf16;

        for (size_t k = 0; k < node->n_inputs; k++)
                all &= graph->values[node->inputs[k]].bf16;
        for (size_t k = 0; !all && k <= node->n_inputs; k++) {
                struct value *value =
                        &graph->values[k < node->n_inputs ? node->inputs[k] : node->outputs[0]];

                *ret_changed |= value->bf16;
                value->bf16 = false;
        }
}

int graph_keep_bf16(struct graph *graph, struct error *error) {
        _cleanup_(freep) uint32_t *producers = graph_find_producers(graph);
        _cleanup_(freep) bool *wanted = calloc(MAX(graph->n_values, 1u), sizeof(*wanted));
        bool changed = true;

        if (!producers || !wanted)
                return error_no_memory(error);
        find_wanted(wanted, graph);
        for (uint32_t i = 0; i < graph->n_values; i++)
                graph->values[i].bf16 = can_be_kept(graph, i, producers, wanted);
        while (changed) {
                changed = false;
                for (size_t i = 0; i < graph->n_nodes; i++)
                        if (is_concat_of_maps(graph, &graph->nodes[i]))
                                agree(graph, &graph->nodes[i], &changed);
        }
        return 0;
}
