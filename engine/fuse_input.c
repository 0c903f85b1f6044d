#include "engine/fuse_input.h"

#include <math.h>
#include <string.h>

#include "engine/operator.h"
#include "engine/ops/families.h"

/* The gate among the factors of Mul: [N, C, 1, 1] to the other's [N, C, H, W]. SIZE_MAX: there is none. */
static size_t gate_of(const struct graph *graph, const struct node *node) {
        for (size_t i = 0; i < 2; i++) {
                const struct value *gate = &graph->values[node->inputs[i]],
                                   *x = &graph->values[node->inputs[1 - i]];

                if (!gate->constant && !x->constant && gate->shape.rank == 4 && x->shape.rank == 4 &&
                    gate->shape.dims[0] == x->shape.dims[0] && gate->shape.dims[1] == x->shape.dims[1] &&
                    gate->shape.dims[2] == 1 && gate->shape.dims[3] == 1 &&
                    x->shape.dims[2] * x->shape.dims[3] > 1)
                        return i;
        }
        return SIZE_MAX;
}

/* What node does as a prologue and its operands; false: it is none. */
static bool prologue_of(struct prologue *ret_prologue, uint32_t *ret_x, uint32_t ret_operands[2],
                        const struct graph *graph, const struct node *node) {
        if (node_is(node, "Mul") && node->n_inputs == 2) {
                size_t gate = gate_of(graph, node);

                if (gate == SIZE_MAX)
                        return false;
                *ret_prologue = (struct prologue){.kind = PROLOGUE_GATE};
                *ret_x = node->inputs[1 - gate];
                ret_operands[0] = node->inputs[gate];
                ret_operands[1] = VALUE_NONE;
                return true;
        }
        if (node_is(node, "ScaleShift") && graph->values[node->inputs[0]].shape.rank == 4) {
                struct prologue prologue = {
                        .kind = PROLOGUE_SCALE_SHIFT, .low = -INFINITY, .high = INFINITY};
                const struct post_op *op = &node->post_ops[0];

                if (node->n_post_ops > 1 || (node->n_post_ops == 1 && op->kind != POST_OP_ELTWISE))
                        return false;
                if (node->n_post_ops == 1 && op->eltwise.kind == ELTWISE_CLIP) {
                        prologue.low = op->eltwise.alpha;
                        prologue.high = op->eltwise.beta;
                } else if (node->n_post_ops == 1) {
                        if (op->eltwise.kind != ELTWISE_RELU || op->eltwise.alpha != 0)
                                return false;
                        prologue.low = 0;
                }
                *ret_prologue = prologue;
                *ret_x = node->inputs[0];
                ret_operands[0] = node->inputs[1];
                ret_operands[1] = node->inputs[2];
                return true;
        }
        return false;
}

static int fuse_input(struct graph *graph, struct node *node, struct node *conv, struct error *error) {
        struct prologue prologue;
        uint32_t x, operands[2], *inputs;

        if (!prologue_of(&prologue, &x, operands, graph, node) || !conv_takes_prologue(graph, conv))
                return 0;
        inputs = pool_allocate(graph->pool, 5, sizeof(*inputs));
        conv->fused = pool_printf(graph->pool, "%s%s%s", conv->fused ? conv->fused : "",
                                  prologue.kind == PROLOGUE_GATE ? "<Mul" : "<ScaleShift",
                                  node->fused ? node->fused : "");
        if (!inputs || !conv->fused)
                return error_no_memory(error);
        inputs[0] = x;
        inputs[1] = conv->inputs[1];
        inputs[2] = node_input(conv, 2);
        inputs[3] = operands[0];
        inputs[4] = operands[1];
        conv->inputs = inputs;
        conv->n_inputs = operands[1] == VALUE_NONE ? 4 : 5;
        conv->prologue = prologue;
        node_kill(node);
        return 0;
}

/* second, and first, which it alone reads, become one node in the place of second. */
static int fuse_pair(struct graph *graph, struct node *first, struct node *second, struct error *error) {
        struct node *parts;
        uint32_t *inputs;
        const char *fused;

        if (!node_is(first, "Conv") || first->prologue.kind != PROLOGUE_NONE ||
            node_attribute(first, "order") || node_attribute(second, "order") ||
            !conv_pair_fits(graph, first, second))
                return 0;
        parts = pool_allocate(graph->pool, 2, sizeof(*parts));
        inputs = pool_allocate(graph->pool, 5, sizeof(*inputs));
        fused = pool_printf(graph->pool, "%s>Conv%s", first->fused ? first->fused : "",
                            second->fused ? second->fused : "");
        if (!parts || !inputs || !fused)
                return error_no_memory(error);
        parts[0] = *first;
        parts[1] = *second;
        inputs[0] = first->inputs[0];
        inputs[1] = first->inputs[1];
        inputs[2] = node_input(first, 2);
        inputs[3] = second->inputs[1];
        inputs[4] = node_input(second, 2);
        *second = (struct node){.name = second->name,
                                .type = "ConvPair",
                                .domain = "",
                                .opset = second->opset,
                                .op = operator_find_internal("ConvPair"),
                                .inputs = inputs,
                                .n_inputs = 5,
                                .outputs = second->outputs,
                                .n_outputs = second->n_outputs,
                                .fused = fused,
                                .parts = parts};
        node_kill(first);
        return 0;
}

int graph_fuse_inputs(struct graph *graph, struct error *error) {
        _cleanup_(freep) uint32_t *uses = graph_count_uses(graph);
        _cleanup_(freep) uint32_t *producers = graph_find_producers(graph);
        int r;

        if (!uses || !producers)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *conv = &graph->nodes[i];
                uint32_t x = node_input(conv, 0);

                if (!node_is(conv, "Conv") || x == VALUE_NONE || uses[x] != 1 || producers[x] == VALUE_NONE)
                        continue;
                r = fuse_input(graph, &graph->nodes[producers[x]], conv, error);
                if (r >= 0)
                        r = fuse_pair(graph, &graph->nodes[producers[x]], conv, error);
                if (r < 0)
                        return r;
        }
        return graph_sweep(graph, error);
}
