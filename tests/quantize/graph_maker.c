#include "tests/quantize/graph_maker.h"

#include <check.h>
#include <string.h>

struct graph *made_graph(int opset, const int64_t *dims, size_t rank) {
        struct graph *graph;

        ck_assert_int_eq(graph_new(&graph, NULL), 0);
        graph->opset = opset;
        graph->nodes = pool_allocate(graph->pool, MADE_MAX_NODES, sizeof(*graph->nodes));
        ck_assert_ptr_nonnull(graph->nodes);
        ck_assert_int_eq(graph_add_value(graph, &graph->input, "input", NULL), 0);
        memcpy(graph->input_dims, dims, rank * sizeof(*dims));
        graph->input_rank = rank;
        graph->output = graph->input;
        return graph;
}

uint32_t made_constant(struct graph *graph, const char *name, const size_t *dims, size_t rank,
                       float (*fill)(size_t index)) {
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        struct shape shape = {.rank = rank};
        uint32_t value;

        for (size_t i = 0; i < rank; i++) /* dims may be NULL where rank is 0 */
                shape.dims[i] = dims[i];
        ck_assert_int_eq(tensor_new(&tensor, DTYPE_F32, &shape, NULL), 0);
        for (size_t i = 0; i < tensor->n_elements; i++)
                ((float *)tensor->data)[i] = fill(i);
        ck_assert_int_eq(graph_add_value(graph, &value, name, NULL), 0);
        graph_set_constant(graph, value, tensor);
        return value;
}

uint32_t made_node(struct graph *graph, const char *type, const char *name, const uint32_t *inputs,
                   const struct attribute *attributes, size_t n_attributes) {
        struct node *node = &graph->nodes[graph->n_nodes++];
        size_t n = 0;

        ck_assert_uint_le(graph->n_nodes, MADE_MAX_NODES);
        while (inputs[n] != VALUE_NONE)
                n++;
        *node = (struct node){.name = name,
                              .type = type,
                              .domain = "",
                              .opset = graph->opset,
                              .attributes = attributes,
                              .n_attributes = n_attributes,
                              .inputs = pool_copy(graph->pool, inputs, n, sizeof(*inputs)),
                              .n_inputs = n,
                              .n_outputs = 1};
        node->outputs = pool_allocate(graph->pool, 1, sizeof(*node->outputs));
        ck_assert_int_eq(graph_add_value(graph, &node->outputs[0], name, NULL), 0);
        graph->output = node->outputs[0];
        return graph->output;
}
