#include <string.h>

#include "engine/lowering_internal.h"
#include "engine/operator.h"
#include "engine/simplify.h"

static void lowering_release(struct lowering *lowering) {
        free(lowering->places);
        free(lowering->last_use);
        free(lowering->buffer_last_use);
        if (lowering->slices)
                slices_free(lowering->slices);
}

const struct graph *lowering_graph(const struct lowering *lowering) {
        return lowering->plan->graph;
}

struct kernels *lowering_kernels(struct lowering *lowering) {
        return lowering->plan->kernels;
}

/* ---- values ---- */

static void place_add(struct lowering *lowering, uint32_t value, struct operand operand) {
        struct places *places = &lowering->places[value];

        if (places->n < PLACES_MAX)
                places->operands[places->n++] = operand;
        lowering->buffer_last_use[operand.buffer] =
                MAX(lowering->buffer_last_use[operand.buffer], lowering->last_use[value]);
}

void lowering_define(struct lowering *lowering, uint32_t value, struct operand operand) {
        place_add(lowering, value, operand);
}

/* Conditions and exponents may be of another type; operators check the types of all others. */
static int constant_to_float(struct lowering *lowering, uint32_t value, struct tensor **ret_tensor,
                             struct error *error) {
        struct graph *graph = lowering->plan->graph;
        struct tensor *constant = graph->values[value].constant, *floats;
        int r;

        if (constant->dtype == DTYPE_F32) {
                *ret_tensor = constant;
                return 0;
        }
        r = graph_charge(graph, DTYPE_F32, &constant->shape, error);
        if (r >= 0)
                r = tensor_cast(&floats, constant, DTYPE_F32, error);
        if (r < 0)
                return r;
        r = graph_keep_tensor(graph, floats, error);
        if (r < 0) {
                tensor_unref(floats);
                return r;
        }
        *ret_tensor = floats;
        return 0;
}

static int place_of(struct lowering *lowering, uint32_t value, const struct layout *want,
                    struct operand *ret_operand, struct error *error) {
        const struct graph *graph = lowering->plan->graph;
        const struct places *places = &lowering->places[value];
        struct operand operand;
        struct tensor *tensor;
        int r;

        if (places->n == 0 && graph->values[value].constant) {
                const struct layout *plain =
                        layout_plain(lowering->plan->kernels, &graph->values[value].shape);

                if (!plain)
                        return error_no_memory(error);
                r = constant_to_float(lowering, value, &tensor, error);
                if (r >= 0)
                        r = lowering_constant(lowering, tensor, plain, want ? want : plain, &operand, error);
                if (r < 0)
                        return r;
                place_add(lowering, value, operand);
        } else if (places->n == 0 && lowering_network_input(graph, value) < graph->n_network_inputs) {
                r = lowering_define_network_input(lowering, value, error);
                if (r < 0)
                        return r;
        } else if (places->n == 0 && value == graph->input) {
                r = lowering_define_input(lowering, want, error);
                if (r < 0)
                        return r;
        } else if (places->n == 0) {
                return error_set(error, ERROR_UNSUPPORTED, "'%s' is not the first output of its node",
                                 graph->values[value].name);
        }

        *ret_operand = places->operands[0];
        for (size_t i = 0; want && i < places->n; i++)
                if (layout_equal(places->operands[i].layout, want))
                        *ret_operand = places->operands[i];
        return 0;
}

int lowering_use(struct lowering *lowering, uint32_t value, const struct layout *want,
                 struct operand *ret_operand, struct error *error) {
        struct operand operand, reordered;
        int r;

        r = place_of(lowering, value, want, &operand, error);
        if (r < 0)
                return r;
        if (want && !layout_equal(operand.layout, want)) {
                r = lowering_reorder(lowering, &lowering->plan->graph->nodes[lowering->current], operand,
                                     want, &reordered, error);
                if (r < 0)
                        return r;
                place_add(lowering, value, reordered);
                operand = reordered;
        }
        *ret_operand = operand;
        return 0;
}

bool lowering_takes_bf16(const struct lowering *lowering) {
        return lowering->plan->taste.bf16;
}

enum dtype lowering_dtype(const struct lowering *lowering, uint32_t value) {
        const struct value *v = &lowering->plan->graph->values[value];

        return v->bf16 ? DTYPE_BF16 : v->dtype;
}

int lowering_layout_any(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                        struct error *error) {
        struct operand operand;
        int r;

        r = place_of(lowering, value, NULL, &operand, error);
        if (r < 0)
                return r;
        *ret_layout = operand.layout;
        return 0;
}

int lowering_layout(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                    struct error *error) {
        const struct layout *layout;
        int r;

        r = lowering_layout_any(lowering, value, &layout, error);
        if (r < 0)
                return r;
        layout = layout_as(lowering->plan->kernels, layout, DTYPE_F32);
        if (!layout)
                return error_no_memory(error);
        *ret_layout = layout;
        return 0;
}

int lowering_dense_layout(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                          struct error *error) {
        const struct shape *shape = &lowering->plan->graph->values[value].shape;
        const struct layout *layout;
        int r;

        r = lowering_layout(lowering, value, &layout, error);
        if (r < 0)
                return r;
        if (shape->rank == 4 && layout_pixel(layout) > shape->dims[1])
                layout = layout_channels_last(lowering->plan->kernels, shape);
        if (!layout)
                return error_no_memory(error);
        *ret_layout = layout;
        return 0;
}

int lowering_dense_layout_for(struct lowering *lowering, uint32_t value, uint32_t result,
                              const struct layout **ret_layout, struct error *error) {
        const struct layout *layout;
        int r;

        r = lowering_dense_layout(lowering, value, &layout, error);
        if (r < 0)
                return r;
        layout = layout_as(lowering->plan->kernels, layout, lowering_dtype(lowering, result));
        if (!layout)
                return error_no_memory(error);
        *ret_layout = layout;
        return 0;
}

/* How many of node's inputs and operands lie in buffer. */
static size_t count_in_buffer(const struct lowering *lowering, const struct node *node, uint32_t buffer) {
        size_t n = 0;

        for (size_t i = 0; i < node->n_inputs + node->n_post_ops; i++) {
                uint32_t value =
                        i < node->n_inputs ? node->inputs[i] : node->post_ops[i - node->n_inputs].operand;

                if (value == VALUE_NONE ||
                    (i >= node->n_inputs && node->post_ops[i - node->n_inputs].kind != POST_OP_SUM))
                        continue;
                for (size_t k = 0; k < lowering->places[value].n; k++)
                        n += lowering->places[value].operands[k].buffer == buffer;
        }
        return n;
}

bool lowering_may_overwrite(const struct lowering *lowering, const struct node *node,
                            struct operand operand) {
        return !lowering->plan->buffers[operand.buffer].constant &&
               lowering->buffer_last_use[operand.buffer] <= lowering->current &&
               count_in_buffer(lowering, node, operand.buffer) == 1;
}

int lowering_use_writable(struct lowering *lowering, const struct node *node, uint32_t value,
                          const struct layout *want, struct operand *ret_operand, struct error *error) {
        struct plan *plan = lowering->plan;
        struct operand operands[2];
        const struct kernel *kernel;
        int r;

        r = lowering_use(lowering, value, want, &operands[0], error);
        if (r < 0)
                return r;
        if (lowering_may_overwrite(lowering, node, operands[0])) {
                *ret_operand = operands[0];
                return 0;
        }
        r = kernel_reorder_new(&kernel, plan->kernels, operands[0].layout, want, error);
        if (r >= 0)
                r = lowering_place(lowering, want, &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, "Copy", kernel, operands, 0, error);
        if (r < 0)
                return r;
        r = lowering_explain(lowering,
                             pool_printf(plan->pool, "%s '%s' overwrites it, and it is read elsewhere",
                                         node->type, node->name),
                             error);
        if (r < 0)
                return r;
        *ret_operand = operands[1];
        return 0;
}

bool lowering_is_at(const struct lowering *lowering, uint32_t value, struct operand operand) {
        const struct places *places = &lowering->places[value];

        for (size_t i = 0; i < places->n; i++)
                if (places->operands[i].buffer == operand.buffer &&
                    places->operands[i].offset == operand.offset &&
                    layout_equal(places->operands[i].layout, operand.layout))
                        return true;
        return false;
}

/* ---- the story ---- */

static int find_last_uses(struct lowering *lowering, struct error *error) {
        const struct graph *graph = lowering->plan->graph;

        lowering->places = calloc(MAX(graph->n_values, 1u), sizeof(*lowering->places));
        lowering->last_use = calloc(MAX(graph->n_values, 1u), sizeof(*lowering->last_use));
        if (!lowering->places || !lowering->last_use)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct node *node = &graph->nodes[i];

                for (size_t k = 0; k < node->n_inputs; k++)
                        if (node->inputs[k] != VALUE_NONE)
                                lowering->last_use[node->inputs[k]] = (uint32_t)i;
                for (size_t k = 0; k < node->n_post_ops; k++)
                        if (node->post_ops[k].kind == POST_OP_SUM)
                                lowering->last_use[node->post_ops[k].operand] = (uint32_t)i;
        }
        if (graph->output != VALUE_NONE)
                lowering->last_use[graph->output] = UINT32_MAX;
        for (size_t i = 0; i < graph->n_watched; i++)
                lowering->last_use[graph->watched[i]] = UINT32_MAX;
        for (size_t i = 0; i < graph->n_network_outputs; i++)
                lowering->last_use[graph->network_outputs[i]] = UINT32_MAX;
        return 0;
}

int plan_lower(struct plan *plan, struct weights *weights, struct error *error) {
        _cleanup_(lowering_release) struct lowering lowering = {
                .plan = plan, .weights = weights, .choice = PLAN_NO_CHOICE};
        const struct graph *graph = plan->graph;
        const struct layout *plain;
        struct operand output;
        uint32_t input_buffer;
        int r;

        r = find_last_uses(&lowering, error);
        if (r >= 0)
                r = slices_new(&lowering.slices, graph, error);
        if (r >= 0)
                r = lowering_add_buffer(&lowering, NULL, 0, &input_buffer, error);
        if (r < 0)
                return r;

        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct node *node = &graph->nodes[i];

                lowering.current = (uint32_t)i;
                lowering.choice = PLAN_NO_CHOICE;
                if (!node->op->lower)
                        r = error_set(error, ERROR_UNSUPPORTED,
                                      "on data that is computed; only constants and shapes");
                else
                        r = node->op->lower(&lowering, node, error);
                if (r < 0)
                        return node_error(error, r, node);
        }

        lowering.current = graph->n_nodes > 0 ? (uint32_t)graph->n_nodes - 1 : 0;
        lowering.at_output = true;
        if (graph->output == VALUE_NONE)
                return lowering_network_outputs(&lowering, error);
        plain = layout_plain(plan->kernels, &graph->values[graph->output].shape);
        if (!plain)
                return error_no_memory(error);
        if (graph->n_nodes == 0)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "nothing is computed: the output is the input or constant");
        r = lowering_use(&lowering, graph->output, plain, &output, error);
        if (r >= 0)
                r = lowering_watch(&lowering, error);
        if (r < 0)
                return r;
        /* The run copies it out after the last step. */
        plan->buffers[output.buffer].last = (uint32_t)plan->n_steps;
        plan->output = (struct plan_place){output.buffer, output.offset};
        plan->output_shape = graph->values[graph->output].shape;
        plan->output_elements = shape_elements(&plan->output_shape);
        return 0;
}
