#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/ops/native.h"

/* Operators whose integers or booleans are only folded: OneHot, IsInf, IsNaN. */

static int one_hot_read(int64_t *ret_depth, size_t *ret_axis, const struct graph *graph,
                        const struct node *node, struct error *error) {
        const struct tensor *depth = graph_input_constant(graph, node, 1);
        const struct value *indices, *values;
        int r;

        r = graph_need_input(graph, node, 0, &indices, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 2, &values, error);
        if (r >= 0)
                r = axis_normalise(ret_axis, node_attribute_integer(node, "axis", -1),
                                   indices->shape.rank + 1, error);
        if (r < 0)
                return r;
        if (!depth || depth->n_elements != 1)
                return error_set(error, ERROR_UNSUPPORTED, "a depth that is no constant of one value");
        *ret_depth = tensor_integer(depth, 0);
        if (*ret_depth < 1)
                return error_set(error, ERROR_INVALID, "depth %" PRId64, *ret_depth);
        if (values->shape.rank != 1 || values->shape.dims[0] != 2)
                return error_set(error, ERROR_INVALID, "'%s' must be the two values off and on",
                                 values->name);
        return 0;
}

OPERATOR_INFER(one_hot) {
        int64_t depth, dims[TENSOR_MAX_RANK + 1];
        const struct value *indices;
        size_t axis, n = 0;
        struct shape shape;
        int r;

        r = one_hot_read(&depth, &axis, graph, node, error);
        if (r < 0)
                return r;
        indices = &graph->values[node->inputs[0]];
        for (size_t i = 0; i <= indices->shape.rank; i++)
                dims[i] = i == axis ? depth : (int64_t)indices->shape.dims[n++];
        r = shape_from_dims(&shape, dims, indices->shape.rank + 1, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, graph->values[node->inputs[2]].dtype, &shape);
        return 0;
}

OPERATOR_FOLD(one_hot) {
        const struct tensor *indices = graph_input_constant(graph, node, 0);
        const struct tensor *values = graph_input_constant(graph, node, 2);
        const struct value *out = &graph->values[node->outputs[0]];
        size_t bytes = dtype_bytes(out->dtype), axis, inner = 1;
        int64_t depth;
        int r;

        r = fold_check(&out->shape, error);
        if (r >= 0)
                r = one_hot_read(&depth, &axis, graph, node, error);
        if (r >= 0)
                r = tensor_new(ret_tensor, out->dtype, &out->shape, error);
        if (r < 0)
                return r;
        for (size_t i = axis + 1; i < out->shape.rank; i++)
                inner *= out->shape.dims[i];
        for (size_t i = 0; i < (*ret_tensor)->n_elements; i++) {
                int64_t along = (int64_t)(i / inner) % depth;
                int64_t index = tensor_integer(indices, i / inner / (size_t)depth * inner + i % inner);
                bool on = index == along || (index < 0 && index + depth == along);

                memcpy((char *)(*ret_tensor)->data + i * bytes,
                       (const char *)values->data + (on ? bytes : 0), bytes);
        }
        return 0;
}

/* ---- IsInf, IsNaN ---- */

OPERATOR_INFER(is_special) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_BOOL, &x->shape);
        return 0;
}

OPERATOR_FOLD(is_special) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        bool negative = node_attribute_integer(node, "detect_negative", 1) != 0;
        bool positive = node_attribute_integer(node, "detect_positive", 1) != 0;
        bool infinite = strcmp(node->type, "IsInf") == 0;
        int r;

        r = tensor_new(ret_tensor, DTYPE_BOOL, &x->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x->n_elements; i++) {
                double real = tensor_real(x, i);

                tensor_set(*ret_tensor, i,
                           infinite ? isinf(real) && (real < 0 ? negative : positive) : isnan(real), 0);
        }
        return 0;
}
