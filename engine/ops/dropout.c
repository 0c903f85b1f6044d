#include <string.h>

#include "engine/ops/families.h"

/* Dropout, as it is when a network is used and not trained: nothing is dropped. */

static bool is_scalar(const struct tensor *tensor, double value) {
        return tensor && tensor->n_elements == 1 && tensor_real(tensor, 0) == value;
}

/* Since opset 12 an input can ask for what training does, which is random unless nothing is dropped:
 * exporters write that for a ratio of 0. */
int dropout_check(const struct graph *graph, const struct node *node, struct error *error) {
        if (node_input(node, 2) == VALUE_NONE || is_scalar(graph_input_constant(graph, node, 2), 0) ||
            is_scalar(graph_input_constant(graph, node, 1), 0))
                return 0;
        return error_set(error, ERROR_UNSUPPORTED, "training_mode that is not constant and false");
}

/* Which elements are kept: all. */
static int mask_make(struct tensor **ret_tensor, const struct shape *shape, struct error *error) {
        int r;

        r = tensor_new(ret_tensor, DTYPE_BOOL, shape, error);
        if (r >= 0)
                memset((*ret_tensor)->data, 1, (*ret_tensor)->n_elements);
        return r;
}

/* Before opset 10 the mask had the type of the data. */
static bool has_mask(const struct node *node) {
        return node_output(node, 1) != VALUE_NONE && node->opset >= 10;
}

OPERATOR_INFER(dropout) {
        _cleanup_(tensor_unrefp) struct tensor *mask = NULL;
        const struct value *x;
        struct shape shape;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = dropout_check(graph, node, error);
        if (r < 0)
                return r;
        shape = x->shape;
        graph_set_output(graph, node, x->dtype, &shape);
        if (!has_mask(node))
                return 0;
        r = graph_charge(graph, DTYPE_BOOL, &shape, error);
        if (r >= 0)
                r = mask_make(&mask, &shape, error);
        if (r < 0)
                return r;
        graph_set_constant(graph, node->outputs[1], mask);
        return 0;
}

OPERATOR_FOLD(dropout) {
        return tensor_reshape(ret_tensor, graph_input_constant(graph, node, 0),
                              &graph->values[node->outputs[0]].shape, error);
}
