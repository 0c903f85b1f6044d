#include "engine/rewrite.h"

#include <stdlib.h>

#include "engine/onnx_reader.h"
#include "engine/operator.h"

#define OPSET_OF_QUANTIZATION                                                                               \
        13 /* the first that knows an axis: what is made for files of older sets too                        \
            */

void rewrite_release(struct rewrite *rewrite) {
        free(rewrite->nodes);
}

int rewrite_keep(struct rewrite *rewrite, const struct node *node, struct error *error) {
        if (rewrite->n == rewrite->n_allocated) {
                size_t n = MAX(2 * rewrite->n_allocated, 64u);
                struct node *nodes = reallocarray(rewrite->nodes, n, sizeof(*nodes));

                if (!nodes)
                        return error_no_memory(error);
                rewrite->nodes = nodes;
                rewrite->n_allocated = n;
        }
        rewrite->nodes[rewrite->n++] = *node;
        return 0;
}

int rewrite_value(struct rewrite *rewrite, const char *base, const char *what, uint32_t *ret_value,
                  struct error *error) {
        const char *name = pool_printf(rewrite->graph->pool, "%s:%s", base, what);

        return name ? graph_add_value(rewrite->graph, ret_value, name, error) : error_no_memory(error);
}

int rewrite_add(struct rewrite *rewrite, const struct rewrite_node *add, uint32_t *ret_output,
                struct error *error) {
        struct pool *pool = rewrite->graph->pool;
        struct node node = {.name = add->name,
                            .type = add->type,
                            .domain = "",
                            .opset = rewrite->graph->opset,
                            .op = operator_find_internal(add->type),
                            .attributes = add->attributes,
                            .n_attributes = add->n_attributes,
                            .n_inputs = add->n_inputs,
                            .n_outputs = 1};
        uint32_t output = add->output;
        int r;

        if (!node.op) {
                node.op = operator_find("", add->type, node.opset);
                if (!node.op)
                        node.opset = OPSET_OF_QUANTIZATION;
                node.op = operator_find("", add->type, node.opset);
        }
        if (!node.op)
                return error_set(error, ERROR_INTERNAL, "no operator %s", add->type);
        if (output == VALUE_NONE) {
                r = rewrite_value(rewrite, add->name, add->type, &output, error);
                if (r < 0)
                        return r;
        }
        node.inputs = pool_copy(pool, add->inputs, add->n_inputs, sizeof(*add->inputs));
        node.outputs = pool_copy(pool, &output, 1, sizeof(output));
        if (!node.inputs || !node.outputs)
                return error_no_memory(error);
        if (ret_output)
                *ret_output = output;
        return rewrite_keep(rewrite, &node, error);
}

int rewrite_finish(struct rewrite *rewrite, struct error *error) {
        struct node *nodes;

        if (rewrite->n > ONNX_MAX_NODES)
                return error_set(error, ERROR_LIMIT,
                                 "%zu nodes after quantised ones are taken apart, the limit is %u",
                                 rewrite->n, ONNX_MAX_NODES);
        nodes = pool_copy(rewrite->graph->pool, rewrite->nodes, rewrite->n, sizeof(*nodes));
        if (!nodes)
                return error_no_memory(error);
        rewrite->graph->nodes = nodes;
        rewrite->graph->n_nodes = rewrite->n;
        return 0;
}
