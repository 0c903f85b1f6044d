#pragma once
/* pattern: what passes that look for patterns of nodes share. */
#include <math.h>
#include <string.h>

#include "engine/graph.h"
#include "engine/operator.h"

struct pattern {
        struct graph *graph;
        size_t n; /* values that there were at the beginning, which uses and producers are of */
        uint32_t *uses, *producers;
};

_unused_ static inline int pattern_init(struct pattern *pattern, struct graph *graph, struct error *error) {
        pattern->graph = graph;
        pattern->n = graph->n_values;
        pattern->uses = graph_count_uses(graph);
        pattern->producers = graph_find_producers(graph);
        return pattern->uses && pattern->producers ? 0 : error_no_memory(error);
}

_unused_ static inline void pattern_release(struct pattern *pattern) {
        free(pattern->uses);
        free(pattern->producers);
}

/* 0 where value came later. */
static inline uint32_t pattern_uses(const struct pattern *pattern, uint32_t value) {
        return value < pattern->n ? pattern->uses[value] : 0;
}

/* The node that makes value, or NULL. */
_unused_ static inline struct node *pattern_producer(const struct pattern *pattern, uint32_t value) {
        uint32_t index = value < pattern->n ? pattern->producers[value] : VALUE_NONE;

        return index == VALUE_NONE ? NULL : &pattern->graph->nodes[index];
}

/* The node of type that makes input of node and whose output is used n_uses times, or NULL. */
_unused_ static inline struct node *pattern_input(const struct pattern *pattern, const struct node *node,
                                                  size_t input, const char *type, uint32_t n_uses) {
        uint32_t value = node_input(node, input);
        struct node *producer;

        if (value == VALUE_NONE || pattern_uses(pattern, value) != n_uses)
                return NULL;
        producer = pattern_producer(pattern, value);
        return node_is(producer, type) && producer->outputs[0] == value ? producer : NULL;
}

/* The integers that value is made of by a Dequantize, or VALUE_NONE. */
_unused_ static inline uint32_t pattern_integers(const struct pattern *pattern, uint32_t value) {
        const struct node *node = value == VALUE_NONE ? NULL : pattern_producer(pattern, value);

        return node_is(node, "Dequantize") ? node->inputs[0] : VALUE_NONE;
}

/* Is the input a constant of one float32 value? */
_unused_ static inline bool pattern_scalar(const struct graph *graph, const struct node *node, size_t input,
                                           float *ret_scalar) {
        const struct tensor *tensor = graph_input_constant(graph, node, input);

        if (!tensor || tensor->n_elements != 1 || tensor->dtype != DTYPE_F32)
                return false;
        *ret_scalar = (float)tensor_real(tensor, 0);
        return true;
}

/* Is the input a float32 constant with one value for each of k elements of a row? */
_unused_ static inline bool pattern_is_row(const struct graph *graph, const struct node *node, size_t input,
                                           size_t k) {
        const struct tensor *tensor = graph_input_constant(graph, node, input);

        return tensor && tensor->dtype == DTYPE_F32 && tensor->n_elements == k && tensor->shape.rank > 0 &&
               tensor->shape.dims[tensor->shape.rank - 1] == k;
}
