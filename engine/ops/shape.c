#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/ops/native.h"

/* Operators of shape arithmetic and constants. They are folded for a given input shape and never become
 * steps. */

static void element_copy(struct tensor *to, size_t to_index, const struct tensor *from, size_t from_index) {
        size_t bytes = dtype_bytes(to->dtype);

        memcpy((char *)to->data + to_index * bytes, (const char *)from->data + from_index * bytes, bytes);
}

/* ---- Shape ---- */

static void shape_range(size_t *ret_start, size_t *ret_end, const struct node *node, size_t rank) {
        int64_t start = node_attribute_integer(node, "start", 0);
        int64_t end = node_attribute_integer(node, "end", (int64_t)rank);

        start = MIN(MAX(start < 0 ? start + (int64_t)rank : start, 0), (int64_t)rank);
        end = MIN(MAX(end < 0 ? end + (int64_t)rank : end, 0), (int64_t)rank);
        *ret_start = (size_t)start;
        *ret_end = (size_t)MAX(start, end);
}

OPERATOR_INFER(shape) {
        const struct value *x;
        size_t start, end;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        shape_range(&start, &end, node, x->shape.rank);
        graph_set_output(graph, node, DTYPE_I64, &(struct shape){.rank = 1, .dims = {end - start}});
        return 0;
}

/* Needs the shape of its input only, see graph_specialise(). */
OPERATOR_FOLD(shape) {
        const struct shape *x = &graph->values[node->inputs[0]].shape;
        size_t start, end;
        int r;

        shape_range(&start, &end, node, x->rank);
        r = tensor_new(ret_tensor, DTYPE_I64, &graph->values[node->outputs[0]].shape, error);
        if (r < 0)
                return r;
        for (size_t i = start; i < end; i++)
                tensor_set(*ret_tensor, i - start, 0, (int64_t)x->dims[i]);
        return 0;
}

/* ---- Cast ---- */

int dtype_of_attribute(enum dtype *ret_dtype, const struct node *node, const char *name,
                       struct error *error) {
        /* Numbers of onnx.proto, TensorProto.DataType. */
        static const struct {
                int64_t number;
                enum dtype dtype;
        } targets[] = {{1, DTYPE_F32}, {2, DTYPE_U8},   {3, DTYPE_I8},   {6, DTYPE_I32},
                       {7, DTYPE_I64}, {9, DTYPE_BOOL}, {10, DTYPE_F16}, {11, DTYPE_F64}};
        int64_t number = node_attribute_integer(node, name, 0);

        for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
                if (targets[i].number == number) {
                        *ret_dtype = targets[i].dtype;
                        return 0;
                }
        return error_set(error, ERROR_UNSUPPORTED, "to element type %" PRId64, number);
}

/* Of CastLike the type of another input. */
static int cast_target(enum dtype *ret_dtype, const struct graph *graph, const struct node *node,
                       struct error *error) {
        const struct value *like;
        int r;

        if (strcmp(node->type, "CastLike") != 0)
                return dtype_of_attribute(ret_dtype, node, "to", error);
        r = graph_need_input(graph, node, 1, &like, error);
        if (r < 0)
                return r;
        *ret_dtype = like->dtype;
        return 0;
}

OPERATOR_INFER(cast) {
        const struct value *x;
        enum dtype dtype;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = cast_target(&dtype, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, dtype, &x->shape);
        return 0;
}

OPERATOR_FOLD(cast) {
        enum dtype dtype;
        int r;

        r = cast_target(&dtype, graph, node, error);
        if (r < 0)
                return r;
        return tensor_cast(ret_tensor, graph->values[node->inputs[0]].constant, dtype, error);
}

/* Data is float32 throughout: what casts it to itself does nothing. */
OPERATOR_LOWER(cast) {
        int r;

        r = need_float(&lowering_graph(lowering)->values[node->outputs[0]], error);
        if (r >= 0)
                r = need_float(&lowering_graph(lowering)->values[node->inputs[0]], error);
        if (r < 0)
                return r;
        return view_lower(lowering, node, error);
}

/* ---- Constant, ConstantOfShape ---- */

OPERATOR_INFER(constant) {
        const struct attribute *value = node_attribute(node, "value");

        if (value && value->type == ATTRIBUTE_TENSOR)
                graph_set_output(graph, node, value->tensor->dtype, &value->tensor->shape);
        else if (node_attribute(node, "value_float"))
                graph_set_output(graph, node, DTYPE_F32, &(struct shape){0});
        else if (node_attribute(node, "value_int"))
                graph_set_output(graph, node, DTYPE_I64, &(struct shape){0});
        else if ((value = node_attribute(node, "value_ints")))
                graph_set_output(graph, node, DTYPE_I64, &(struct shape){.rank = 1, .dims = {value->n}});
        else if ((value = node_attribute(node, "value_floats")))
                graph_set_output(graph, node, DTYPE_F32, &(struct shape){.rank = 1, .dims = {value->n}});
        else
                return error_set(error, ERROR_UNSUPPORTED, "its kind of value");
        return 0;
}

OPERATOR_FOLD(constant) {
        const struct value *out = &graph->values[node->outputs[0]];
        const struct attribute *value = node_attribute(node, "value"), *a;
        struct tensor *tensor;
        int r;

        if (value && value->type == ATTRIBUTE_TENSOR) {
                *ret_tensor = tensor_ref(value->tensor);
                return 0;
        }
        r = tensor_new(&tensor, out->dtype, &out->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < tensor->n_elements; i++) {
                if ((a = node_attribute(node, "value_float")))
                        tensor_set(tensor, i, (double)a->real, 0);
                else if ((a = node_attribute(node, "value_int")))
                        tensor_set(tensor, i, 0, a->integer);
                else if ((a = node_attribute(node, "value_ints")) && a->type == ATTRIBUTE_INTS)
                        tensor_set(tensor, i, 0, a->ints[i]);
                else if ((a = node_attribute(node, "value_floats")) && a->type == ATTRIBUTE_FLOATS)
                        tensor_set(tensor, i, (double)a->floats[i], 0);
        }
        *ret_tensor = tensor;
        return 0;
}

OPERATOR_INFER(constant_of_shape) {
        const struct attribute *value = node_attribute(node, "value");
        int64_t dims[2 * TENSOR_MAX_RANK];
        struct shape shape;
        size_t n;
        int r;

        r = read_integers(graph, node, NULL, 0, dims, &n, error);
        if (r >= 0)
                r = shape_from_dims(&shape, dims, n, error);
        if (r >= 0)
                r = fold_check(&shape, error);
        if (r < 0)
                return r;
        if (value && (value->type != ATTRIBUTE_TENSOR || value->tensor->n_elements != 1))
                return error_set(error, ERROR_INVALID, "value must be a tensor of one element");
        graph_set_output(graph, node, value ? value->tensor->dtype : DTYPE_F32, &shape);
        return 0;
}

OPERATOR_FOLD(constant_of_shape) {
        const struct value *out = &graph->values[node->outputs[0]];
        const struct attribute *value = node_attribute(node, "value");
        int r;

        r = tensor_new(ret_tensor, out->dtype, &out->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; value && i < (*ret_tensor)->n_elements; i++)
                element_copy(*ret_tensor, i, value->tensor, 0);
        return 0;
}

/* ---- Size ---- */

OPERATOR_INFER(size) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_I64, &(struct shape){0});
        return 0;
}

/* Needs the shape of its input only, see graph_specialise(). */
OPERATOR_FOLD(size) {
        int r;

        r = tensor_new(ret_tensor, DTYPE_I64, &(struct shape){0}, error);
        if (r < 0)
                return r;
        tensor_set(*ret_tensor, 0, 0, (int64_t)shape_elements(&graph->values[node->inputs[0]].shape));
        return 0;
}

/* ---- Range ---- */

OPERATOR_INFER(range) {
        const struct value *inputs[3];
        struct shape shape = {.rank = 1};
        double n;
        int r;

        for (size_t i = 0; i < 3; i++) {
                r = graph_need_input(graph, node, i, &inputs[i], error);
                if (r < 0)
                        return r;
                if (!inputs[i]->constant || inputs[i]->constant->n_elements != 1)
                        return error_set(error, ERROR_UNSUPPORTED,
                                         "bounds that are no constants of one value");
                if (inputs[i]->dtype != inputs[0]->dtype)
                        return error_set(error, ERROR_INVALID, "bounds of different types");
        }
        if (tensor_real(inputs[2]->constant, 0) == 0)
                return error_set(error, ERROR_INVALID, "a step of 0");
        n = ceil((tensor_real(inputs[1]->constant, 0) - tensor_real(inputs[0]->constant, 0)) /
                 tensor_real(inputs[2]->constant, 0));
        if (!(n <= (double)FOLD_MAX_ELEMENTS))
                return error_set(error, ERROR_LIMIT, "more than %zu elements", FOLD_MAX_ELEMENTS);
        shape.dims[0] = (size_t)fmax(n, 0);
        graph_set_output(graph, node, inputs[0]->dtype, &shape);
        return 0;
}

OPERATOR_FOLD(range) {
        const struct tensor *start = graph_input_constant(graph, node, 0),
                            *step = graph_input_constant(graph, node, 2);
        const struct value *out = &graph->values[node->outputs[0]];
        int r;

        if (out->dtype == DTYPE_F16 || out->dtype == DTYPE_BF16)
                return error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(out->dtype));
        r = tensor_new(ret_tensor, out->dtype, &out->shape, error);
        if (r < 0)
                return r;
        /* Between start and limit nothing overflows. */
        for (size_t i = 0; i < (*ret_tensor)->n_elements; i++)
                tensor_set(*ret_tensor, i, tensor_real(start, 0) + (double)i * tensor_real(step, 0),
                           (int64_t)((uint64_t)tensor_integer(start, 0) +
                                     (uint64_t)i * (uint64_t)tensor_integer(step, 0)));
        return 0;
}

/* ---- NonZero: where the elements are that are not 0 ---- */

OPERATOR_INFER(non_zero) {
        const struct value *x;
        struct shape shape = {.rank = 2};
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        if (!x->constant)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "on data that is computed; only constants and shapes");
        shape.dims[0] = MAX(x->shape.rank, 1u);
        for (size_t i = 0; i < x->constant->n_elements; i++)
                shape.dims[1] += tensor_real(x->constant, i) != 0;
        r = fold_check(&shape, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_I64, &shape);
        return 0;
}

OPERATOR_FOLD(non_zero) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        const struct shape *shape = &graph->values[node->outputs[0]].shape;
        size_t index[TENSOR_MAX_RANK] = {0}, found = 0;
        int r;

        r = tensor_new(ret_tensor, DTYPE_I64, shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x->n_elements; i++) {
                for (size_t d = 0; d < x->shape.rank && tensor_real(x, i) != 0; d++)
                        tensor_set(*ret_tensor, d * shape->dims[1] + found, 0, (int64_t)index[d]);
                found += tensor_real(x, i) != 0;
                for (size_t d = x->shape.rank; d-- > 0;) {
                        if (++index[d] < x->shape.dims[d])
                                break;
                        index[d] = 0;
                }
        }
        return 0;
}
