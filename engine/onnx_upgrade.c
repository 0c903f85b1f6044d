#include "engine/onnx_upgrade.h"

#include <string.h>

/* What was an attribute until version `since`, and is an input from then on. */
struct moved {
        const char *type, *attribute;
        int since;
        size_t input;
};

static const struct moved moves[] = {
        {.type = "Clip", .attribute = "min", .since = 11, .input = 1},
        {.type = "Clip", .attribute = "max", .since = 11, .input = 2},
        {.type = "Pad", .attribute = "pads", .since = 11, .input = 1},
        {.type = "Pad", .attribute = "value", .since = 11, .input = 2},
        {.type = "ReduceSum", .attribute = "axes", .since = 13, .input = 1},
        {.type = "Slice", .attribute = "starts", .since = 10, .input = 1},
        {.type = "Slice", .attribute = "ends", .since = 10, .input = 2},
        {.type = "Slice", .attribute = "axes", .since = 10, .input = 3},
        {.type = "Split", .attribute = "split", .since = 13, .input = 1},
        {.type = "Squeeze", .attribute = "axes", .since = 13, .input = 1},
        {.type = "Unsqueeze", .attribute = "axes", .since = 13, .input = 1},
};

/* The constant that says what attribute said. */
static int constant_of(struct tensor **ret_tensor, const struct attribute *attribute, struct error *error) {
        struct tensor *tensor;
        int r;

        if (attribute->type != ATTRIBUTE_INTS && attribute->type != ATTRIBUTE_FLOAT)
                return error_set(error, ERROR_INVALID, "attribute '%s' is of another type", attribute->name);
        if (attribute->type == ATTRIBUTE_FLOAT)
                r = tensor_new(&tensor, DTYPE_F32, &(struct shape){.rank = 0}, error);
        else
                r = tensor_new(&tensor, DTYPE_I64, &(struct shape){.rank = 1, .dims = {attribute->n}},
                               error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < tensor->n_elements; i++)
                tensor_set(tensor, i, (double)attribute->real,
                           attribute->type == ATTRIBUTE_INTS ? attribute->ints[i] : 0);
        *ret_tensor = tensor;
        return 0;
}

static int node_move(struct graph *graph, struct node *node, const struct moved *moved,
                     struct error *error) {
        const struct attribute *attribute = node_attribute(node, moved->attribute);
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        struct attribute *left;
        uint32_t *inputs, value;
        const char *name;
        size_t n = MAX(node->n_inputs, moved->input + 1), n_left = 0;
        int r;

        if (!attribute)
                return 0;
        name = pool_printf(graph->pool, "%s:%s", node->name, moved->attribute);
        inputs = pool_allocate(graph->pool, n, sizeof(*inputs));
        left = pool_allocate(graph->pool, node->n_attributes, sizeof(*left));
        if (!name || !inputs || !left)
                return error_no_memory(error);
        r = constant_of(&tensor, attribute, error);
        if (r >= 0)
                r = graph_add_value(graph, &value, name, error);
        if (r < 0)
                return r;
        graph_set_constant(graph, value, tensor);
        for (size_t i = 0; i < n; i++)
                inputs[i] = i < node->n_inputs ? node->inputs[i] : VALUE_NONE;
        inputs[moved->input] = value;
        for (size_t i = 0; i < node->n_attributes; i++)
                if (&node->attributes[i] != attribute)
                        left[n_left++] = node->attributes[i];
        node->inputs = inputs;
        node->n_inputs = n;
        node->attributes = left;
        node->n_attributes = n_left;
        return 0;
}

/* Before 13 these worked on a matrix: everything from the axis on was one row. */
static int softmax_upgrade(struct graph *graph, const uint32_t *producers, struct node *node,
                           struct error *error) {
        int64_t axis = node_attribute_integer(node, "axis", 1);
        uint32_t input = node_input(node, 0);
        const struct node *producer = input == VALUE_NONE || producers[input] == VALUE_NONE
                                              ? NULL
                                              : &graph->nodes[producers[input]];
        bool is_matrix = producer && (node_is(producer, "Flatten") || node_is(producer, "Gemm") ||
                                      (graph->values[input].known && graph->values[input].shape.rank == 2));
        struct attribute *attribute;

        if (axis != -1 && !(axis == 1 && is_matrix))
                return error_set(error, ERROR_UNSUPPORTED,
                                 "opset %d normalises all dimensions from axis %jd on together; export the "
                                 "model with opset 13 or later",
                                 node->opset, (intmax_t)axis);
        attribute = pool_allocate(graph->pool, 1, sizeof(*attribute));
        if (!attribute)
                return error_no_memory(error);
        *attribute = (struct attribute){.name = "axis", .type = ATTRIBUTE_INT, .integer = axis};
        node->attributes = attribute;
        node->n_attributes = 1;
        return 0;
}

static int node_upgrade(struct graph *graph, const uint32_t *producers, struct node *node, int opset,
                        struct error *error) {
        int r = 0;

        if (node_is(node, "Softmax") || node_is(node, "LogSoftmax") || node_is(node, "Hardmax"))
                r = softmax_upgrade(graph, producers, node, error);
        else if (node_is(node, "Scatter") || node_is(node, "Dropout"))
                r = error_set(error, ERROR_UNSUPPORTED, "export the model with opset 13 or later");
        for (size_t i = 0; i < ARRAY_SIZE(moves) && r >= 0; i++)
                if (node_is(node, moves[i].type) && node->opset < moves[i].since)
                        r = node_move(graph, node, &moves[i], error);
        node->opset = opset;
        return r;
}

int onnx_upgrade(struct graph *graph, int opset, struct error *error) {
        _cleanup_(freep) uint32_t *producers = NULL;
        int r;

        if (graph->opset >= opset)
                return 0;
        producers = graph_find_producers(graph);
        if (!producers)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *node = &graph->nodes[i];

                if (node_is_dead(node) || (node->domain && node->domain[0]))
                        continue;
                r = node_upgrade(graph, producers, node, opset, error);
                if (r < 0)
                        return error_prefix(error, r, "node '%s': %s", node->name, node->type);
        }
        graph->opset = opset;
        return 0;
}
