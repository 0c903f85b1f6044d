#include <inttypes.h>
#include <string.h>

#include "engine/ops/families.h"

/* Operators of shape arithmetic and constants. They are folded for a given input shape and never become
 * steps. */

#define SHAPE_FOLD_MAX_ELEMENTS ((size_t)1 << 24)

static int small_enough(const struct shape *shape, struct error *error) {
        if (shape_elements(shape) > SHAPE_FOLD_MAX_ELEMENTS)
                return error_set(error, ERROR_LIMIT, "a constant of more than %zu elements",
                                 SHAPE_FOLD_MAX_ELEMENTS);
        return 0;
}

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

/* ---- Gather ---- */

OPERATOR_INFER(gather) {
        const struct value *x, *indices;
        int64_t dims[2 * TENSOR_MAX_RANK];
        struct shape shape;
        size_t axis, n = 0;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &indices, error);
        if (r >= 0)
                r = axis_normalise(&axis, node_attribute_integer(node, "axis", 0), x->shape.rank, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < axis; i++)
                dims[n++] = (int64_t)x->shape.dims[i];
        for (size_t i = 0; i < indices->shape.rank; i++)
                dims[n++] = (int64_t)indices->shape.dims[i];
        for (size_t i = axis + 1; i < x->shape.rank; i++)
                dims[n++] = (int64_t)x->shape.dims[i];
        r = shape_from_dims(&shape, dims, n, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, x->dtype, &shape);
        return 0;
}

OPERATOR_FOLD(gather) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        const struct tensor *indices = graph_input_constant(graph, node, 1);
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        size_t axis, outer = 1, inner = 1;
        int r;

        r = axis_normalise(&axis, node_attribute_integer(node, "axis", 0), x->shape.rank, error);
        if (r >= 0)
                r = small_enough(&graph->values[node->outputs[0]].shape, error);
        if (r >= 0)
                r = tensor_new(&tensor, x->dtype, &graph->values[node->outputs[0]].shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x->shape.rank; i++) {
                outer *= i < axis ? x->shape.dims[i] : 1;
                inner *= i > axis ? x->shape.dims[i] : 1;
        }
        for (size_t o = 0; o < outer; o++)
                for (size_t k = 0; k < indices->n_elements; k++) {
                        int64_t index = tensor_integer(indices, k), size = (int64_t)x->shape.dims[axis];

                        if (index < -size || index >= size)
                                return error_set(error, ERROR_INVALID,
                                                 "index %" PRId64 " of %" PRId64 " elements", index, size);
                        index += index < 0 ? size : 0;
                        for (size_t i = 0; i < inner; i++)
                                element_copy(tensor, (o * indices->n_elements + k) * inner + i, x,
                                             (o * (size_t)size + (size_t)index) * inner + i);
                }
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}

/* ---- Slice ---- */

struct slice {
        int64_t start[TENSOR_MAX_RANK], step[TENSOR_MAX_RANK];
        struct shape shape; /* of the result */
};

static int slice_read(struct slice *ret_slice, const struct graph *graph, const struct node *node,
                      const struct value *x, struct error *error) {
        int64_t starts[2 * TENSOR_MAX_RANK], ends[2 * TENSOR_MAX_RANK], axes[2 * TENSOR_MAX_RANK];
        int64_t steps[2 * TENSOR_MAX_RANK];
        size_t n_starts, n_ends, n_axes, n_steps;
        struct slice slice = {.shape = x->shape};
        int r;

        r = read_integers(graph, node, "starts", 1, starts, &n_starts, error);
        if (r >= 0)
                r = read_integers(graph, node, "ends", 2, ends, &n_ends, error);
        if (r >= 0)
                r = read_integers(graph, node, "axes", 3, axes, &n_axes, error);
        if (r >= 0)
                r = read_integers(graph, node, NULL, 4, steps, &n_steps, error);
        if (r < 0)
                return r;
        if (n_ends != n_starts || (n_axes != 0 && n_axes != n_starts) ||
            (n_steps != 0 && n_steps != n_starts))
                return error_set(error, ERROR_INVALID, "starts, ends, axes and steps differ in number");

        for (size_t i = 0; i < x->shape.rank; i++)
                slice.step[i] = 1;
        for (size_t i = 0; i < n_starts; i++) {
                int64_t step = n_steps > 0 ? steps[i] : 1, start = starts[i], end = ends[i], size;
                size_t axis;

                r = axis_normalise(&axis, n_axes > 0 ? axes[i] : (int64_t)i, x->shape.rank, error);
                if (r < 0)
                        return r;
                size = (int64_t)x->shape.dims[axis];
                if (step == 0 || step < -INT32_MAX || step > INT32_MAX)
                        return error_set(error, ERROR_INVALID, "step %" PRId64, step);
                start = start < -size ? 0 : start < 0 ? start + size : start;
                end = end < -size ? -1 : end < 0 ? end + size : end;
                if (step > 0) {
                        start = MIN(start, size);
                        end = MIN(MAX(end, 0), size);
                        slice.shape.dims[axis] = end > start ? (size_t)((end - start + step - 1) / step) : 0;
                } else {
                        start = MIN(start, size - 1);
                        end = MIN(end, size - 1);
                        slice.shape.dims[axis] =
                                start > end ? (size_t)((start - end - step - 1) / -step) : 0;
                }
                slice.start[axis] = start;
                slice.step[axis] = step;
        }
        *ret_slice = slice;
        return 0;
}

OPERATOR_INFER(slice) {
        const struct value *x;
        struct slice slice;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = slice_read(&slice, graph, node, x, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, x->dtype, &slice.shape);
        return 0;
}

OPERATOR_FOLD(slice) {
        const struct value *x = &graph->values[node->inputs[0]];
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        size_t index[TENSOR_MAX_RANK] = {0};
        struct slice slice;
        int r;

        r = slice_read(&slice, graph, node, x, error);
        if (r >= 0)
                r = small_enough(&slice.shape, error);
        if (r >= 0)
                r = tensor_new(&tensor, x->dtype, &slice.shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < tensor->n_elements; i++) {
                int64_t from = 0;

                for (size_t d = 0; d < x->shape.rank; d++)
                        from = from * (int64_t)x->shape.dims[d] + slice.start[d] +
                               (int64_t)index[d] * slice.step[d];
                element_copy(tensor, i, x->constant, (size_t)from);
                for (size_t d = x->shape.rank; d-- > 0;) {
                        if (++index[d] < slice.shape.dims[d])
                                break;
                        index[d] = 0;
                }
        }
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}

/* ---- Cast ---- */

static int cast_target(enum dtype *ret_dtype, const struct node *node, struct error *error) {
        /* Numbers of onnx.proto, TensorProto.DataType. */
        static const struct {
                int64_t number;
                enum dtype dtype;
        } targets[] = {{1, DTYPE_F32}, {2, DTYPE_U8},   {3, DTYPE_I8},  {6, DTYPE_I32},
                       {7, DTYPE_I64}, {9, DTYPE_BOOL}, {11, DTYPE_F64}};
        int64_t to = node_attribute_integer(node, "to", 0);

        for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
                if (targets[i].number == to) {
                        *ret_dtype = targets[i].dtype;
                        return 0;
                }
        return error_set(error, ERROR_UNSUPPORTED, "to element type %" PRId64, to);
}

OPERATOR_INFER(cast) {
        const struct value *x;
        enum dtype dtype;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = cast_target(&dtype, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, dtype, &x->shape);
        return 0;
}

OPERATOR_FOLD(cast) {
        enum dtype dtype;
        int r;

        r = cast_target(&dtype, node, error);
        if (r < 0)
                return r;
        return tensor_cast(ret_tensor, graph->values[node->inputs[0]].constant, dtype, error);
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
                r = small_enough(&shape, error);
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
