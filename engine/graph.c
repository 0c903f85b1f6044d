#include "engine/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct kept_tensor {
        struct kept_tensor *next;
        struct tensor *tensor;
};

bool quantisation_equal(const struct quantisation *a, const struct quantisation *b) {
        return a->scale == b->scale && a->zero_point == b->zero_point;
}

uint8_t quantisation_apply(const struct quantisation *quantisation, float real) {
        float steps = rintf(real / quantisation->scale) + (float)quantisation->zero_point;

        return (uint8_t)(!(steps > 0) ? 0 : steps > UINT8_MAX ? UINT8_MAX : steps);
}

int graph_new(struct graph **ret_graph, struct error *error) {
        _cleanup_(graph_freep) struct graph *graph = calloc(1, sizeof(*graph));

        if (!graph)
                return error_no_memory(error);
        graph->pool = pool_new();
        if (!graph->pool)
                return error_no_memory(error);
        graph->input = graph->output = VALUE_NONE;
        *ret_graph = steal_ptr(&graph);
        return 0;
}

void graph_free(struct graph *graph) {
        for (struct kept_tensor *kept = graph->kept; kept; kept = kept->next)
                tensor_unref(kept->tensor);
        for (size_t i = 0; i < graph->n_values; i++)
                if (graph->values[i].constant)
                        tensor_unref(graph->values[i].constant);
        free(graph->values);
        if (graph->pool)
                pool_free(graph->pool);
        free(graph);
}

int graph_clone(struct graph **ret_graph, const struct graph *origin, struct error *error) {
        _cleanup_(graph_freep) struct graph *graph = NULL;
        struct pool *pool;
        int r;

        r = graph_new(&graph, error);
        if (r < 0)
                return r;
        pool = graph->pool;
        *graph = *origin;
        graph->pool = pool;
        graph->kept = NULL;

        graph->n_values = 0;
        graph->n_values_allocated = origin->n_values;
        graph->values = calloc(MAX(origin->n_values, 1u), sizeof(*graph->values));
        if (!graph->values)
                return error_no_memory(error);
        for (size_t i = 0; i < origin->n_values; i++) {
                graph->values[i] = origin->values[i];
                if (graph->values[i].constant)
                        tensor_ref(graph->values[i].constant);
        }
        graph->n_values = origin->n_values;

        graph->nodes = pool_copy(pool, origin->nodes, origin->n_nodes, sizeof(*origin->nodes));
        if (!graph->nodes)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *node = &graph->nodes[i];

                node->inputs = pool_copy(pool, node->inputs, node->n_inputs, sizeof(*node->inputs));
                node->outputs = pool_copy(pool, node->outputs, node->n_outputs, sizeof(*node->outputs));
                if (!node->inputs || !node->outputs)
                        return error_no_memory(error);
        }
        if (origin->n_watched > 0) {
                graph->watched =
                        pool_copy(pool, origin->watched, origin->n_watched, sizeof(*origin->watched));
                if (!graph->watched)
                        return error_no_memory(error);
        }
        if (origin->n_network_outputs > 0) {
                graph->network_outputs = pool_copy(pool, origin->network_outputs, origin->n_network_outputs,
                                                   sizeof(*origin->network_outputs));
                if (!graph->network_outputs)
                        return error_no_memory(error);
        }
        *ret_graph = steal_ptr(&graph);
        return 0;
}

int graph_add_value(struct graph *graph, uint32_t *ret_value, const char *name, struct error *error) {
        char *copy = pool_string(graph->pool, name);

        if (!copy)
                return error_no_memory(error);
        if (graph->n_values == graph->n_values_allocated) {
                size_t n = MAX(2 * graph->n_values_allocated, 64u);
                struct value *values = reallocarray(graph->values, n, sizeof(*values));

                if (!values || n >= VALUE_NONE) {
                        graph->values = values ? values : graph->values;
                        return error_no_memory(error);
                }
                graph->values = values;
                graph->n_values_allocated = n;
        }
        graph->values[graph->n_values] = (struct value){.name = copy};
        *ret_value = (uint32_t)graph->n_values++;
        return 0;
}

int graph_keep_tensor(struct graph *graph, struct tensor *tensor, struct error *error) {
        struct kept_tensor *kept = pool_allocate(graph->pool, 1, sizeof(*kept));

        if (!kept)
                return error_no_memory(error);
        *kept = (struct kept_tensor){.next = graph->kept, .tensor = tensor};
        graph->kept = kept;
        return 0;
}

int graph_charge(struct graph *graph, enum dtype dtype, const struct shape *shape, struct error *error) {
        size_t bytes = shape_elements(shape) * dtype_bytes(dtype);

        if (bytes > graph->derived_bytes_left)
                return error_set(
                        error, ERROR_LIMIT,
                        "constants made from others take more than %zu MiB and %u times the bytes of "
                        "the file's own",
                        GRAPH_DERIVED_BASE_BYTES >> 20, GRAPH_DERIVED_FACTOR);
        graph->derived_bytes_left -= bytes;
        return 0;
}

static size_t work_bytes(const struct graph *graph, uint32_t value) {
        const struct value *v = value == VALUE_NONE ? NULL : &graph->values[value];

        return v && v->known ? shape_elements(&v->shape) * dtype_bytes(v->dtype) : 0;
}

int graph_charge_work(struct graph *graph, const struct node *node, struct error *error) {
        size_t bytes = 0;

        for (size_t i = 0; i < node->n_inputs; i++)
                if (node->inputs[i] != VALUE_NONE && graph->values[node->inputs[i]].constant)
                        bytes += work_bytes(graph, node->inputs[i]);
        for (size_t i = 0; i < node->n_outputs; i++)
                bytes += work_bytes(graph, node->outputs[i]);
        if (bytes > graph->work_bytes_left)
                return error_set(error, ERROR_LIMIT,
                                 "constants are made from others by reading and writing more than %u times "
                                 "what may be made (%zu MiB and %u times the bytes of the file's own)",
                                 GRAPH_WORK_FACTOR, GRAPH_DERIVED_BASE_BYTES >> 20, GRAPH_DERIVED_FACTOR);
        graph->work_bytes_left -= bytes;
        return 0;
}

void graph_set_constant(struct graph *graph, uint32_t value, struct tensor *tensor) {
        struct value *v = &graph->values[value];

        tensor_ref(tensor);
        if (v->constant)
                tensor_unref(v->constant);
        v->constant = tensor;
        v->known = true;
        v->dtype = tensor->dtype;
        v->shape = tensor->shape;
}

uint32_t node_input(const struct node *node, size_t index) {
        return index < node->n_inputs ? node->inputs[index] : VALUE_NONE;
}

uint32_t node_output(const struct node *node, size_t index) {
        return index < node->n_outputs ? node->outputs[index] : VALUE_NONE;
}

const struct tensor *graph_input_constant(const struct graph *graph, const struct node *node, size_t index) {
        uint32_t value = node_input(node, index);

        return value == VALUE_NONE ? NULL : graph->values[value].constant;
}

int graph_need_input(const struct graph *graph, const struct node *node, size_t index,
                     const struct value **ret_value, struct error *error) {
        uint32_t value = node_input(node, index);

        if (value == VALUE_NONE)
                return error_set(error, ERROR_INVALID, "input %zu is missing", index);
        *ret_value = &graph->values[value];
        return 0;
}

const struct attribute *node_attribute(const struct node *node, const char *name) {
        for (size_t i = 0; i < node->n_attributes; i++)
                if (strcmp(node->attributes[i].name, name) == 0)
                        return &node->attributes[i];
        return NULL;
}

int64_t node_attribute_integer(const struct node *node, const char *name, int64_t otherwise) {
        const struct attribute *attribute = node_attribute(node, name);

        return attribute && attribute->type == ATTRIBUTE_INT ? attribute->integer : otherwise;
}

float node_attribute_real(const struct node *node, const char *name, float otherwise) {
        const struct attribute *attribute = node_attribute(node, name);

        return attribute && attribute->type == ATTRIBUTE_FLOAT ? attribute->real : otherwise;
}

const char *node_attribute_string(const struct node *node, const char *name, const char *otherwise) {
        const struct attribute *attribute = node_attribute(node, name);

        return attribute && attribute->type == ATTRIBUTE_STRING ? attribute->string : otherwise;
}

void graph_set_output(struct graph *graph, const struct node *node, enum dtype dtype,
                      const struct shape *shape) {
        graph_set_output_at(graph, node, 0, dtype, shape);
}

void graph_set_output_at(struct graph *graph, const struct node *node, size_t output, enum dtype dtype,
                         const struct shape *shape) {
        uint32_t index = node_output(node, output);

        if (index == VALUE_NONE)
                return;
        graph->values[index].known = true;
        graph->values[index].dtype = dtype;
        graph->values[index].shape = *shape;
}

int aliases_init(struct aliases *aliases, const struct graph *graph, struct error *error) {
        aliases->of = malloc(MAX(graph->n_values, 1u) * sizeof(*aliases->of));
        if (!aliases->of)
                return error_no_memory(error);
        aliases->n = graph->n_values;
        for (size_t i = 0; i < graph->n_values; i++)
                aliases->of[i] = (uint32_t)i;
        return 0;
}

void aliases_release(struct aliases *aliases) {
        free(aliases->of);
}

void aliases_set(struct aliases *aliases, uint32_t value, uint32_t by) {
        aliases->of[value] = aliases_resolve(aliases, by);
}

uint32_t aliases_resolve(const struct aliases *aliases, uint32_t value) {
        return value < aliases->n ? aliases->of[value] : value;
}

void aliases_apply(const struct aliases *aliases, struct node *node) {
        for (size_t i = 0; i < node->n_inputs; i++)
                node->inputs[i] = aliases_resolve(aliases, node->inputs[i]);
        for (size_t i = 0; i < node->n_post_ops; i++)
                node->post_ops[i].operand = aliases_resolve(aliases, node->post_ops[i].operand);
}

void aliases_apply_to_outputs(const struct aliases *aliases, struct graph *graph) {
        graph->output = aliases_resolve(aliases, graph->output);
        for (size_t i = 0; i < graph->n_watched; i++)
                graph->watched[i] = aliases_resolve(aliases, graph->watched[i]);
        for (size_t i = 0; i < graph->n_network_outputs; i++)
                graph->network_outputs[i] = aliases_resolve(aliases, graph->network_outputs[i]);
}

uint32_t *graph_count_uses(const struct graph *graph) {
        uint32_t *uses = calloc(MAX(graph->n_values, 1u), sizeof(*uses));

        if (!uses)
                return NULL;
        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct node *node = &graph->nodes[i];

                for (size_t k = 0; k < node->n_inputs && !node_is_dead(node); k++)
                        if (node->inputs[k] != VALUE_NONE)
                                uses[node->inputs[k]]++;
                for (size_t k = 0; k < node->n_post_ops && !node_is_dead(node); k++)
                        if (node->post_ops[k].kind == POST_OP_SUM)
                                uses[node->post_ops[k].operand]++;
        }
        if (graph->output != VALUE_NONE)
                uses[graph->output]++;
        for (size_t i = 0; i < graph->n_watched; i++)
                uses[graph->watched[i]]++;
        for (size_t i = 0; i < graph->n_network_outputs; i++)
                uses[graph->network_outputs[i]]++;
        return uses;
}

uint32_t *graph_find_producers(const struct graph *graph) {
        uint32_t *producers = calloc(MAX(graph->n_values, 1u), sizeof(*producers));

        if (!producers)
                return NULL;
        for (size_t i = 0; i < graph->n_values; i++)
                producers[i] = VALUE_NONE;
        for (size_t i = 0; i < graph->n_nodes; i++)
                for (size_t k = 0; k < graph->nodes[i].n_outputs && !node_is_dead(&graph->nodes[i]); k++)
                        if (graph->nodes[i].outputs[k] != VALUE_NONE)
                                producers[graph->nodes[i].outputs[k]] = (uint32_t)i;
        return producers;
}

void node_kill(struct node *node) {
        node->type = NULL;
}

bool node_is_dead(const struct node *node) {
        return !node->type;
}

bool node_is(const struct node *node, const char *type) {
        return node && !node_is_dead(node) && strcmp(node->type, type) == 0;
}

int graph_sweep(struct graph *graph, struct error *error) {
        _cleanup_(freep) uint32_t *uses = graph_count_uses(graph);
        size_t n = 0;

        if (!uses)
                return error_no_memory(error);
        for (size_t i = graph->n_nodes; i-- > 0;) {
                struct node *node = &graph->nodes[i];
                bool used = false;

                for (size_t k = 0; k < node->n_outputs; k++)
                        used |= node->outputs[k] != VALUE_NONE && uses[node->outputs[k]] > 0;
                if (used || node_is_dead(node))
                        continue;
                for (size_t k = 0; k < node->n_inputs; k++)
                        if (node->inputs[k] != VALUE_NONE)
                                uses[node->inputs[k]]--;
                for (size_t k = 0; k < node->n_post_ops; k++)
                        if (node->post_ops[k].kind == POST_OP_SUM)
                                uses[node->post_ops[k].operand]--;
                node_kill(node);
        }
        for (size_t i = 0; i < graph->n_nodes; i++)
                if (!node_is_dead(&graph->nodes[i]))
                        graph->nodes[n++] = graph->nodes[i];
        graph->n_nodes = n;

        /* A constant that only dead nodes used must not keep its memory. */
        for (size_t i = 0; i < graph->n_values; i++)
                if (uses[i] == 0 && graph->values[i].constant) {
                        tensor_unref(graph->values[i].constant);
                        graph->values[i].constant = NULL;
                }
        return 0;
}
