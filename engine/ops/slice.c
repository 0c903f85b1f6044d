#include <inttypes.h>
#include <string.h>

#include "engine/ops/native.h"

/* Operators that give parts of their input, or repeat it: Slice, Split, Expand, Tile. */

/* The first element of a walk through dense data of shape x, beginning at start, by step in each dimension.
 */
static void walk_of(struct strided *ret_strided, const struct shape *x, const struct shape *result,
                    const int64_t *start, const int64_t *step) {
        struct strided strided = {.rank = result->rank, .n_operands = 1};
        ptrdiff_t dense[TENSOR_MAX_RANK];

        strided_dense(dense, x);
        for (size_t i = 0; i < result->rank; i++) {
                strided.dims[i] = result->dims[i];
                strided.steps[0][i] = dense[i] * step[i];
                strided.starts[0] += dense[i] * start[i];
        }
        strided_merge(&strided);
        *ret_strided = strided;
}

/* ---- Slice ---- */

static int slice_read(struct strided *ret_strided, struct shape *ret_shape, const struct graph *graph,
                      const struct node *node, struct error *error) {
        int64_t starts[2 * TENSOR_MAX_RANK], ends[2 * TENSOR_MAX_RANK], axes[2 * TENSOR_MAX_RANK];
        int64_t steps[2 * TENSOR_MAX_RANK], from[TENSOR_MAX_RANK] = {0}, by[TENSOR_MAX_RANK];
        size_t n_starts, n_ends, n_axes, n_steps;
        bool seen[TENSOR_MAX_RANK] = {false};
        const struct value *x;
        struct shape shape;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
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

        shape = x->shape;
        for (size_t i = 0; i < shape.rank; i++)
                by[i] = 1;
        for (size_t i = 0; i < n_starts; i++) {
                int64_t step = n_steps > 0 ? steps[i] : 1, start = starts[i], end = ends[i], size;
                size_t axis;

                r = axis_normalise(&axis, n_axes > 0 ? axes[i] : (int64_t)i, shape.rank, error);
                if (r < 0)
                        return r;
                if (seen[axis])
                        return error_set(error, ERROR_INVALID, "axis %zu is named twice", axis);
                seen[axis] = true;
                size = (int64_t)x->shape.dims[axis];
                if (step == 0)
                        return error_set(error, ERROR_INVALID, "step 0");
                /* A step beyond the size takes one element, whatever it is. */
                step = MIN(MAX(step, -INT32_MAX), INT32_MAX);
                start = start < -size ? 0 : start < 0 ? start + size : start;
                end = end < -size ? -1 : end < 0 ? end + size : end;
                if (step > 0) {
                        start = MIN(start, size);
                        end = MIN(MAX(end, 0), size);
                        shape.dims[axis] = end > start ? (size_t)((end - start + step - 1) / step) : 0;
                } else {
                        start = MIN(start, size - 1);
                        end = MIN(end, size - 1);
                        shape.dims[axis] = start > end ? (size_t)((start - end - step - 1) / -step) : 0;
                }
                from[axis] = start;
                by[axis] = step;
        }
        walk_of(ret_strided, &x->shape, &shape, from, by);
        *ret_shape = shape;
        return 0;
}

OPERATOR_INFER(slice) {
        struct strided strided;
        struct shape shape;
        int r;

        r = slice_read(&strided, &shape, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, graph->values[node->inputs[0]].dtype, &shape);
        return 0;
}

OPERATOR_FOLD(slice) {
        struct strided strided;
        struct shape shape;
        int r;

        r = slice_read(&strided, &shape, graph, node, error);
        if (r < 0)
                return r;
        return strided_fold(ret_tensor, graph, node, 0, &strided, error);
}

OPERATOR_LOWER(slice) {
        const struct graph *graph = lowering_graph(lowering);
        struct strided strided;
        struct shape shape;
        int r;

        r = slice_read(&strided, &shape, graph, node, error);
        if (r < 0)
                return r;
        if (shape_equal(&shape, &graph->values[node->inputs[0]].shape) && strided.starts[0] == 0)
                return view_lower(lowering, node, error);
        return strided_lower(lowering, node, 0, &strided, error);
}

/* ---- Split ---- */

/* The size of each part and the axis. ret_sizes has node->n_outputs elements. */
static int split_read(int64_t *ret_sizes, size_t *ret_axis, const struct graph *graph,
                      const struct node *node, struct error *error) {
        const struct attribute *attribute = node_attribute(node, "split");
        const struct tensor *tensor = graph_input_constant(graph, node, 1);
        int64_t size, sum = 0, part;
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = axis_normalise(ret_axis, node_attribute_integer(node, "axis", 0), x->shape.rank, error);
        if (r < 0)
                return r;
        size = (int64_t)x->shape.dims[*ret_axis];
        if (attribute && attribute->type != ATTRIBUTE_INTS)
                return error_set(error, ERROR_INVALID, "split must be a list of integers");
        if (!attribute && !tensor && node_input(node, 1) != VALUE_NONE)
                return error_set(error, ERROR_UNSUPPORTED, "sizes that are computed");
        if ((attribute && attribute->n != node->n_outputs) ||
            (tensor && tensor->n_elements != node->n_outputs))
                return error_set(error, ERROR_INVALID, "as many sizes as the %zu outputs are needed",
                                 node->n_outputs);
        /* Since opset 18 the last part may be smaller. */
        part = (size + (int64_t)node->n_outputs - 1) / (int64_t)MAX(node->n_outputs, 1u);
        if (!attribute && !tensor && node->opset < 18 && part * (int64_t)node->n_outputs != size)
                return error_set(error, ERROR_INVALID, "%" PRId64 " elements in %zu equal parts", size,
                                 node->n_outputs);
        for (size_t i = 0; i < node->n_outputs; i++) {
                ret_sizes[i] = attribute ? attribute->ints[i]
                               : tensor  ? tensor_integer(tensor, i)
                                         : MIN(part, MAX(size - sum, 0));
                if (ret_sizes[i] < 0 || ret_sizes[i] > size - sum)
                        return error_set(error, ERROR_INVALID, "part %zu of %" PRId64 " elements", i,
                                         ret_sizes[i]);
                sum += ret_sizes[i];
        }
        if (sum != size)
                return error_set(error, ERROR_INVALID,
                                 "parts of %" PRId64 " elements together, not %" PRId64, sum, size);
        return 0;
}

/* For each part: function. */
static int split_each(const struct graph *graph, const struct node *node,
                      int (*function)(void *userdata, size_t output, const struct shape *shape,
                                      const struct strided *strided, struct error *error),
                      void *userdata, struct error *error) {
        _cleanup_(freep) int64_t *sizes = calloc(MAX(node->n_outputs, 1u), sizeof(*sizes));
        int64_t from[TENSOR_MAX_RANK] = {0}, by[TENSOR_MAX_RANK];
        const struct shape *x;
        size_t axis;
        int r;

        if (!sizes)
                return error_no_memory(error);
        r = split_read(sizes, &axis, graph, node, error);
        if (r < 0)
                return r;
        x = &graph->values[node->inputs[0]].shape;
        for (size_t i = 0; i < x->rank; i++)
                by[i] = 1;
        for (size_t i = 0; i < node->n_outputs; i++) {
                struct shape shape = *x;
                struct strided strided;

                shape.dims[axis] = (size_t)sizes[i];
                walk_of(&strided, x, &shape, from, by);
                from[axis] += sizes[i];
                if (node->outputs[i] == VALUE_NONE)
                        continue;
                r = function(userdata, i, &shape, &strided, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

struct split_pass {
        struct graph *graph;
        const struct graph *read;
        const struct node *node;
        struct tensor **tensors;
        struct lowering *lowering;
};

static int split_infer_part(void *userdata, size_t output, const struct shape *shape,
                            _unused_ const struct strided *strided, _unused_ struct error *error) {
        struct split_pass *pass = userdata;

        graph_set_output_at(pass->graph, pass->node, output,
                            pass->graph->values[pass->node->inputs[0]].dtype, shape);
        return 0;
}

static int split_fold_part(void *userdata, size_t output, _unused_ const struct shape *shape,
                           const struct strided *strided, struct error *error) {
        struct split_pass *pass = userdata;

        return strided_fold(&pass->tensors[output], pass->read, pass->node, output, strided, error);
}

static int split_lower_part(void *userdata, size_t output, _unused_ const struct shape *shape,
                            const struct strided *strided, struct error *error) {
        struct split_pass *pass = userdata;

        if (lowering_graph(pass->lowering)->values[pass->node->outputs[output]].constant)
                return 0; /* a part without elements */
        return strided_lower(pass->lowering, pass->node, output, strided, error);
}

OPERATOR_INFER(split) {
        struct split_pass pass = {.graph = graph, .node = node};

        return split_each(graph, node, split_infer_part, &pass, error);
}

OPERATOR_FOLD(split) {
        struct split_pass pass = {.read = graph, .node = node, .tensors = ret_tensor};

        return split_each(graph, node, split_fold_part, &pass, error);
}

OPERATOR_LOWER(split) {
        struct split_pass pass = {.lowering = lowering, .node = node};

        return split_each(lowering_graph(lowering), node, split_lower_part, &pass, error);
}

/* ---- Expand ---- */

OPERATOR_INFER(expand) {
        int64_t dims[2 * TENSOR_MAX_RANK];
        struct shape target, shape;
        const struct value *x;
        size_t n;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = read_integers(graph, node, NULL, 1, dims, &n, error);
        if (r >= 0)
                r = shape_from_dims(&target, dims, n, error);
        if (r >= 0)
                r = shape_broadcast(&shape, &x->shape, &target, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, x->dtype, &shape);
        return 0;
}

static void expand_walk(struct strided *ret_strided, const struct graph *graph, const struct node *node) {
        strided_broadcast(ret_strided, &graph->values[node->outputs[0]].shape,
                          (const struct shape *const[]){&graph->values[node->inputs[0]].shape}, 1);
}

OPERATOR_FOLD(expand) {
        struct strided strided;

        expand_walk(&strided, graph, node);
        return strided_fold(ret_tensor, graph, node, 0, &strided, error);
}

OPERATOR_LOWER(expand) {
        const struct graph *graph = lowering_graph(lowering);
        struct strided strided;

        if (shape_elements(&graph->values[node->inputs[0]].shape) ==
            shape_elements(&graph->values[node->outputs[0]].shape))
                return view_lower(lowering, node, error);
        expand_walk(&strided, graph, node);
        return strided_lower(lowering, node, 0, &strided, error);
}

/* ---- Tile ---- */

static int tile_read(struct strided *ret_strided, struct shape *ret_shape, const struct graph *graph,
                     const struct node *node, struct error *error) {
        int64_t repeats[2 * TENSOR_MAX_RANK], dims[TENSOR_MAX_RANK];
        ptrdiff_t dense[TENSOR_MAX_RANK];
        struct strided strided = {.n_operands = 1};
        const struct value *x;
        size_t n;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = read_integers(graph, node, NULL, 1, repeats, &n, error);
        if (r < 0)
                return r;
        if (n != x->shape.rank)
                return error_set(error, ERROR_INVALID, "%zu repeats for rank %zu", n, x->shape.rank);
        strided_dense(dense, &x->shape);
        strided.rank = 2 * n;
        for (size_t i = 0; i < n; i++) {
                if (repeats[i] < 0 ||
                    __builtin_mul_overflow(repeats[i], (int64_t)x->shape.dims[i], &dims[i]))
                        return error_set(error, ERROR_INVALID, "repeated %" PRId64 " times", repeats[i]);
                strided.dims[2 * i] = (size_t)repeats[i];
                strided.dims[2 * i + 1] = x->shape.dims[i];
                strided.steps[0][2 * i + 1] = dense[i];
        }
        r = shape_from_dims(ret_shape, dims, n, error);
        if (r < 0)
                return r;
        strided_merge(&strided);
        *ret_strided = strided;
        return 0;
}

OPERATOR_INFER(tile) {
        struct strided strided;
        struct shape shape;
        int r;

        r = tile_read(&strided, &shape, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, graph->values[node->inputs[0]].dtype, &shape);
        return 0;
}

OPERATOR_FOLD(tile) {
        struct strided strided;
        struct shape shape;
        int r;

        r = tile_read(&strided, &shape, graph, node, error);
        if (r < 0)
                return r;
        return strided_fold(ret_tensor, graph, node, 0, &strided, error);
}

OPERATOR_LOWER(tile) {
        struct strided strided;
        struct shape shape;
        int r;

        r = tile_read(&strided, &shape, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        return strided_lower(lowering, node, 0, &strided, error);
}
