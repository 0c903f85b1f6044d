/* Mutations of nodes and of how they are connected. */
#include <string.h>

#include "base/macros.h"
#include "engine/operator.h"
#include "tests/fuzz/graph/mutation.h"

static Onnx__NodeProto *some_node(struct mutation *m, size_t *ret_index) {
        size_t index = mutation_below(m, m->graph->n_node);

        if (m->graph->n_node == 0)
                return NULL;
        if (ret_index)
                *ret_index = index;
        return m->graph->node[index];
}

static void insert_node(struct mutation *m, size_t at, Onnx__NodeProto *node) {
        m->graph->node = mutation_insert(m, m->graph->node, m->graph->n_node, at, node);
        m->graph->n_node++;
}

static Onnx__NodeProto *new_node(struct mutation *m, const char *type, char *const *inputs,
                                 size_t n_inputs) {
        Onnx__NodeProto *node = mutation_allocate(m, 1, sizeof(*node));

        onnx__node_proto__init(node);
        node->op_type = mutation_string(m, type);
        node->name = mutation_fresh_name(m);
        node->n_input = n_inputs;
        node->input = mutation_allocate(m, n_inputs, sizeof(*inputs));
        memcpy(node->input, inputs, n_inputs * sizeof(*inputs));
        node->n_output = 1;
        node->output = mutation_allocate(m, 1, sizeof(*node->output));
        node->output[0] = mutation_fresh_name(m);
        return node;
}

static void add_attribute(struct mutation *m, Onnx__NodeProto *node, Onnx__AttributeProto *attribute) {
        node->attribute =
                mutation_insert(m, node->attribute, node->n_attribute, node->n_attribute, attribute);
        node->n_attribute++;
}

static const char *some_operator(struct mutation *m) {
        return operator_at(mutation_below(m, operator_count()))->type;
}

/* Forwards mostly keeps its order; now and then a cycle. */
void mutate_input(struct mutation *m) {
        Onnx__NodeProto *node = some_node(m, NULL);

        if (!node)
                return;
        if (node->n_input == 0 || mutation_one_in(m, 6)) {
                node->input = mutation_insert(m, node->input, node->n_input,
                                              mutation_below(m, node->n_input + 1), mutation_name(m));
                node->n_input++;
        } else if (mutation_one_in(m, 6)) {
                mutation_remove(node->input, &node->n_input, mutation_below(m, node->n_input));
        } else {
                node->input[mutation_below(m, node->n_input)] = mutation_name(m);
        }
}

void mutate_output(struct mutation *m) {
        Onnx__NodeProto *node = some_node(m, NULL);

        if (!node)
                return;
        if (node->n_output == 0 || mutation_one_in(m, 2)) {
                char *name = mutation_one_in(m, 2) ? mutation_name(m) : mutation_fresh_name(m);

                node->output = mutation_insert(m, node->output, node->n_output, node->n_output, name);
                node->n_output++;
        } else {
                node->output[mutation_below(m, node->n_output)] = mutation_name(m);
        }
}

/* The users of a removed node read what it read, or nothing that exists. */
void mutate_remove_node(struct mutation *m) {
        size_t index;
        Onnx__NodeProto *node = some_node(m, &index);
        const Onnx__GraphProto *graph = m->graph;

        if (!node)
                return;
        if (node->n_input > 0 && node->n_output > 0 && !mutation_one_in(m, 6))
                for (size_t i = 0; i < graph->n_node; i++)
                        for (size_t k = 0; k < graph->node[i]->n_input; k++)
                                if (strcmp(graph->node[i]->input[k], node->output[0]) == 0)
                                        graph->node[i]->input[k] = node->input[0];
        mutation_remove(m->graph->node, &m->graph->n_node, index);
}

/* The same node once more, on its own output or beside it; seldom with the same name for its output. */
void mutate_repeat_node(struct mutation *m) {
        size_t index;
        Onnx__NodeProto *node = some_node(m, &index), *copy;

        if (!node)
                return;
        copy = mutation_allocate(m, 1, sizeof(*copy));
        *copy = *node;
        if (!mutation_one_in(m, 10) && node->n_output > 0) {
                node->output =
                        mutation_insert(m, node->output + 1, node->n_output - 1, 0, mutation_fresh_name(m));
                if (node->n_input > 0 && mutation_one_in(m, 2)) {
                        copy->input =
                                mutation_insert(m, node->input + 1, node->n_input - 1, 0, node->output[0]);
                }
        }
        insert_node(m, index + 1, copy);
}

/* A node of any type the engine has, between a node and one of its inputs. */
void mutate_insert_node(struct mutation *m) {
        const struct operator* op = operator_at(mutation_below(m, operator_count()));
        size_t most = MIN(op->inputs_max, 5u), n, index, slot;
        Onnx__NodeProto *user = some_node(m, &index), *node;
        char *inputs[5];

        if (!user)
                return;
        n = most == 0 ? 0 : 1 + mutation_below(m, most);
        slot = mutation_below(m, user->n_input);
        for (size_t i = 0; i < n; i++)
                inputs[i] = i == 0 && user->n_input > 0 ? user->input[slot] : mutation_name(m);
        node = new_node(m, op->type, inputs, n);
        if (user->n_input > 0)
                user->input[slot] = node->output[0];
        insert_node(m, index, node);
        for (size_t i = mutation_below(m, 3); i > 0; i--)
                mutate_add_attribute(m);
}

void mutate_operator(struct mutation *m) {
        Onnx__NodeProto *node = some_node(m, NULL);

        if (!node)
                return;
        node->op_type = mutation_string(m, some_operator(m));
        if (mutation_one_in(m, 10))
                node->domain = mutation_one_in(m, 2) ? mutation_string(m, "ai.onnx") : mutation_name(m);
}

void mutate_swap_nodes(struct mutation *m) {
        size_t a, b;

        if (!some_node(m, &a) || !some_node(m, &b))
                return;
        Onnx__NodeProto *node = m->graph->node[a];
        m->graph->node[a] = m->graph->node[b];
        m->graph->node[b] = node;
}

static char *add_integers(struct mutation *m, size_t n) {
        int64_t values[5], dims[1] = {(int64_t)n};

        for (size_t i = 0; i < n; i++)
                values[i] = mutation_integer(m);
        return mutation_add_tensor(m, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, dims,
                                   mutation_one_in(m, 8) ? 0 : 1, values, n * sizeof(*values));
}

/* What exporters write for a view: Shape -> Gather or Slice or arithmetic -> Concat -> Reshape and the like,
 * in front of a node. */
void mutate_shape_arithmetic(struct mutation *m) {
        static const char *const middles[] = {"Gather", "Slice", "Mul",       "Add",     "Div",   "Sub",
                                              "Cast",   "Abs",   "Unsqueeze", "Squeeze", "Concat"};
        static const char *const ends[] = {"Reshape", "ConstantOfShape", "Expand", "Tile",
                                           "Pad",     "Slice",           "Resize"};
        size_t index, slot;
        Onnx__NodeProto *user = some_node(m, &index), *node;
        char *from, *value;

        if (!user || user->n_input == 0)
                return;
        slot = mutation_below(m, user->n_input);
        from = user->input[slot];
        if (mutation_one_in(m, 3)) {
                value = add_integers(m, 1 + mutation_below(m, 5));
        } else {
                node = new_node(m, "Shape", &from, 1);
                insert_node(m, index++, node);
                value = node->output[0];
        }
        for (size_t i = mutation_below(m, 4); i > 0; i--) {
                char *inputs[] = {value, add_integers(m, 1 + mutation_below(m, 3)), add_integers(m, 1)};

                node = new_node(m, middles[mutation_below(m, ARRAY_SIZE(middles))], inputs,
                                2 + mutation_below(m, 2));
                insert_node(m, index++, node);
                value = node->output[0];
        }
        node = new_node(m, ends[mutation_below(m, ARRAY_SIZE(ends))], (char *[]){from, value}, 2);
        if (strcmp(node->op_type, "ConstantOfShape") == 0) {
                node->input[0] = value;
                node->n_input = 1;
        }
        user->input[slot] = node->output[0];
        insert_node(m, index, node);
}

/* Many nodes of one type one after the other. */
void mutate_chain(struct mutation *m) {
        const char *type = some_operator(m);
        size_t index, slot, n = 2 + mutation_below(m, 30);
        Onnx__NodeProto *user = some_node(m, &index);
        bool twice = mutation_one_in(m, 2);

        if (!user || user->n_input == 0)
                return;
        slot = mutation_below(m, user->n_input);
        for (size_t i = 0; i < n; i++) {
                char *inputs[] = {user->input[slot], user->input[slot]};
                Onnx__NodeProto *node = new_node(m, type, inputs, twice ? 2 : 1);

                if (i == 0 && mutation_one_in(m, 2)) {
                        Onnx__AttributeProto *axis = mutation_new_attribute(m, "axis");

                        axis->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
                        axis->has_i = true;
                        axis->i = mutation_integer(m);
                        add_attribute(m, node, axis);
                }
                user->input[slot] = node->output[0];
                insert_node(m, index++, node);
        }
}

void mutate_many_inputs(struct mutation *m) {
        Onnx__NodeProto *node = some_node(m, NULL);
        size_t n = 2 + mutation_below(m, 100);
        char **inputs;

        if (!node || node->n_input == 0)
                return;
        inputs = mutation_allocate(m, n, sizeof(*inputs));
        for (size_t i = 0; i < n; i++)
                inputs[i] = mutation_one_in(m, 10) ? mutation_name(m)
                                                   : node->input[mutation_below(m, node->n_input)];
        node->op_type = mutation_string(m, "Concat");
        node->input = inputs;
        node->n_input = n;
}
