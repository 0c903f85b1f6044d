#include <inttypes.h>
#include <string.h>

#include "engine/ops/native.h"
#include "engine/ops/runs.h"

/* Operators that pick elements by constants: Gather, GatherElements, GatherND, Compress, ReverseSequence.
 * Each is a list of runs to copy, which is folded or is a step. */

static void runs_copy(const struct runs *runs, void *dst, const void *src, size_t element_bytes) {
        size_t bytes = runs->length * element_bytes;

        for (size_t i = 0; i < runs->n; i++)
                memcpy((char *)dst + i * bytes, (const char *)src + runs->from[i] * element_bytes, bytes);
}

static int gather_shape(struct shape *ret_shape, const struct graph *graph, const struct node *node,
                        struct error *error) {
        const struct value *x, *indices;
        int64_t dims[2 * TENSOR_MAX_RANK];
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
        return shape_from_dims(ret_shape, dims, n, error);
}

static int gather_runs(struct runs *ret_runs, const struct graph *graph, const struct node *node,
                       struct error *error) {
        const struct shape *x = &graph->values[node->inputs[0]].shape;
        _cleanup_(runs_release) struct runs runs = {0};
        const struct tensor *indices;
        size_t axis, outer = 1, inner = 1;
        int r;

        r = indices_read(&indices, graph, node, error);
        if (r >= 0)
                r = axis_normalise(&axis, node_attribute_integer(node, "axis", 0), x->rank, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x->rank; i++) {
                outer *= i < axis ? x->dims[i] : 1;
                inner *= i > axis ? x->dims[i] : 1;
        }
        r = runs_new(&runs, inner > 0 ? outer * indices->n_elements : 0, inner, error);
        if (r < 0)
                return r;
        for (size_t k = 0; k < indices->n_elements; k++) {
                size_t index;

                r = index_normalise(&index, tensor_integer(indices, k), x->dims[axis], error);
                if (r < 0)
                        return r;
                for (size_t o = 0; o < outer && runs.n > 0; o++)
                        runs.from[o * indices->n_elements + k] =
                                (uint32_t)((o * x->dims[axis] + index) * inner);
        }
        *ret_runs = runs;
        runs.from = NULL;
        return 0;
}

static int gather_elements_shape(struct shape *ret_shape, const struct graph *graph, const struct node *node,
                                 struct error *error) {
        const struct value *x, *indices;
        size_t axis;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &indices, error);
        if (r >= 0)
                r = axis_normalise(&axis, node_attribute_integer(node, "axis", 0), x->shape.rank, error);
        if (r < 0)
                return r;
        if (indices->shape.rank != x->shape.rank)
                return error_set(error, ERROR_INVALID, "indices of rank %zu for data of rank %zu",
                                 indices->shape.rank, x->shape.rank);
        for (size_t i = 0; i < x->shape.rank; i++)
                if (i != axis && indices->shape.dims[i] > x->shape.dims[i])
                        return error_set(error, ERROR_INVALID, "indices larger than the data");
        *ret_shape = indices->shape;
        return 0;
}

static int gather_elements_runs(struct runs *ret_runs, const struct graph *graph, const struct node *node,
                                struct error *error) {
        const struct shape *x = &graph->values[node->inputs[0]].shape;
        _cleanup_(runs_release) struct runs runs = {0};
        const struct tensor *indices;
        size_t axis;
        int r;

        r = indices_read(&indices, graph, node, error);
        if (r >= 0)
                r = axis_normalise(&axis, node_attribute_integer(node, "axis", 0), x->rank, error);
        if (r >= 0)
                r = runs_new(&runs, indices->n_elements, 1, error);
        if (r >= 0)
                r = elements_named(runs.from, x, indices, axis, error);
        if (r < 0)
                return r;
        *ret_runs = runs;
        runs.from = NULL;
        return 0;
}

static int gather_nd_shape(struct shape *ret_shape, const struct graph *graph, const struct node *node,
                           struct error *error) {
        int64_t batch = node_attribute_integer(node, "batch_dims", 0), dims[2 * TENSOR_MAX_RANK];
        const struct value *x, *indices;
        size_t depth, n = 0;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &indices, error);
        if (r < 0)
                return r;
        if (batch < 0 || batch > TENSOR_MAX_RANK)
                return error_set(error, ERROR_INVALID, "batch_dims %" PRId64, batch);
        r = indices_nd_read(&depth, &x->shape, &indices->shape, (size_t)batch, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i + 1 < indices->shape.rank; i++)
                dims[n++] = (int64_t)indices->shape.dims[i];
        for (size_t i = (size_t)batch + depth; i < x->shape.rank; i++)
                dims[n++] = (int64_t)x->shape.dims[i];
        return shape_from_dims(ret_shape, dims, n, error);
}

static int gather_nd_runs(struct runs *ret_runs, const struct graph *graph, const struct node *node,
                          struct error *error) {
        const struct shape *x = &graph->values[node->inputs[0]].shape;
        size_t batch = (size_t)node_attribute_integer(node, "batch_dims", 0), depth, length = 1, leads = 1;
        _cleanup_(runs_release) struct runs runs = {0};
        const struct tensor *indices;
        int r;

        r = indices_read(&indices, graph, node, error);
        if (r >= 0)
                r = indices_nd_read(&depth, x, &indices->shape, batch, error);
        if (r < 0)
                return r;
        for (size_t i = batch + depth; i < x->rank; i++)
                length *= x->dims[i];
        for (size_t i = 0; i < batch; i++)
                leads *= x->dims[i];
        r = runs_new(&runs, length > 0 ? indices->n_elements / depth : 0, length, error);
        for (size_t i = 0; i < runs.n && r >= 0; i++)
                r = run_named(&runs.from[i], x, indices, i, depth, batch, i / (runs.n / leads), length,
                              error);
        if (r < 0)
                return r;
        *ret_runs = runs;
        runs.from = NULL;
        return 0;
}

#define CONDITION_MAX 65536u

/* The runs along axis that a constant of booleans chooses; without an axis, of the flattened data. */
static int compress_read(size_t *ret_axis, struct shape *ret_x, size_t *ret_n, const struct graph *graph,
                         const struct node *node, struct error *error) {
        const struct tensor *condition = graph_input_constant(graph, node, 1);
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        *ret_x = x->shape;
        *ret_axis = 0;
        if (node_attribute(node, "axis"))
                r = axis_normalise(ret_axis, node_attribute_integer(node, "axis", 0), x->shape.rank, error);
        else
                *ret_x = (struct shape){.rank = 1, .dims = {shape_elements(&x->shape)}};
        if (r < 0)
                return r;
        if (!condition)
                return error_set(error, ERROR_UNSUPPORTED, "a condition that is computed");
        if (condition->dtype != DTYPE_BOOL || condition->shape.rank != 1 ||
            condition->n_elements > ret_x->dims[*ret_axis])
                return error_set(error, ERROR_INVALID, "a condition that does not fit the data");
        /* Counted whenever the shape is asked for. */
        if (condition->n_elements > CONDITION_MAX)
                return error_set(error, ERROR_LIMIT, "a condition of more than %u elements", CONDITION_MAX);
        *ret_n = 0;
        for (size_t i = 0; i < condition->n_elements; i++)
                *ret_n += tensor_integer(condition, i) != 0;
        return 0;
}

static int compress_shape(struct shape *ret_shape, const struct graph *graph, const struct node *node,
                          struct error *error) {
        struct shape shape;
        size_t axis, n;
        int r;

        r = compress_read(&axis, &shape, &n, graph, node, error);
        if (r < 0)
                return r;
        shape.dims[axis] = n;
        *ret_shape = shape;
        return 0;
}

static int compress_runs(struct runs *ret_runs, const struct graph *graph, const struct node *node,
                         struct error *error) {
        const struct tensor *condition = graph_input_constant(graph, node, 1);
        size_t axis, n, outer = 1, inner = 1, found = 0;
        struct shape x;
        int r;

        r = compress_read(&axis, &x, &n, graph, node, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x.rank; i++) {
                outer *= i < axis ? x.dims[i] : 1;
                inner *= i > axis ? x.dims[i] : 1;
        }
        r = runs_new(ret_runs, inner > 0 ? outer * n : 0, inner, error);
        if (r < 0)
                return r;
        for (size_t o = 0; o < outer && ret_runs->n > 0; o++)
                for (size_t i = 0; i < condition->n_elements; i++)
                        if (tensor_integer(condition, i) != 0)
                                ret_runs->from[found++] = (uint32_t)((o * x.dims[axis] + i) * inner);
        return 0;
}

/* The first elements of each sequence backwards; the lengths are constant. */
static int reverse_sequence_shape(struct shape *ret_shape, const struct graph *graph,
                                  const struct node *node, struct error *error) {
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                *ret_shape = x->shape;
        return r;
}

static int reverse_sequence_runs(struct runs *ret_runs, const struct graph *graph, const struct node *node,
                                 struct error *error) {
        int64_t batch = node_attribute_integer(node, "batch_axis", 1);
        int64_t time = node_attribute_integer(node, "time_axis", 0);
        const struct shape *x = &graph->values[node->inputs[0]].shape;
        _cleanup_(runs_release) struct runs runs = {0};
        const struct tensor *lengths;
        size_t length = 1;
        int r;

        r = indices_read(&lengths, graph, node, error);
        if (r < 0)
                return r;
        if (x->rank < 2 || batch < 0 || batch > 1 || time != 1 - batch ||
            lengths->n_elements != x->dims[batch])
                return error_set(error, ERROR_INVALID, "axes or lengths that do not fit the data");
        for (size_t i = 2; i < x->rank; i++)
                length *= x->dims[i];
        r = runs_new(&runs, length > 0 ? x->dims[0] * x->dims[1] : 0, length, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < runs.n; i++) {
                size_t at[2] = {i / x->dims[1], i % x->dims[1]};
                int64_t n = tensor_integer(lengths, at[batch]);

                if (n < 0 || n > (int64_t)x->dims[time])
                        return error_set(error, ERROR_INVALID, "a length of %" PRId64, n);
                if ((int64_t)at[time] < n)
                        at[time] = (size_t)n - 1 - at[time];
                runs.from[i] = (uint32_t)((at[0] * x->dims[1] + at[1]) * length);
        }
        *ret_runs = runs;
        runs.from = NULL;
        return 0;
}

static const struct gatherer {
        const char *type;
        int (*shape)(struct shape *ret_shape, const struct graph *graph, const struct node *node,
                     struct error *error);
        int (*runs)(struct runs *ret_runs, const struct graph *graph, const struct node *node,
                    struct error *error);
} gatherers[] = {
        {"Compress", compress_shape, compress_runs},
        {"Gather", gather_shape, gather_runs},
        {"GatherElements", gather_elements_shape, gather_elements_runs},
        {"GatherND", gather_nd_shape, gather_nd_runs},
        {"ReverseSequence", reverse_sequence_shape, reverse_sequence_runs},
};

static const struct gatherer *gatherer_of(const struct node *node) {
        for (size_t i = 0; i < ARRAY_SIZE(gatherers); i++)
                if (strcmp(gatherers[i].type, node->type) == 0)
                        return &gatherers[i];
        return NULL;
}

OPERATOR_INFER(gather) {
        struct shape shape;
        int r;

        r = gatherer_of(node)->shape(&shape, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, graph->values[node->inputs[0]].dtype, &shape);
        return 0;
}

OPERATOR_FOLD(gather) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        const struct shape *shape = &graph->values[node->outputs[0]].shape;
        _cleanup_(runs_release) struct runs runs = {0};
        int r;

        r = fold_check(shape, error);
        if (r >= 0)
                r = gatherer_of(node)->runs(&runs, graph, node, error);
        if (r >= 0)
                r = tensor_new(ret_tensor, x->dtype, shape, error);
        if (r < 0)
                return r;
        runs_copy(&runs, (*ret_tensor)->data, x->data, dtype_bytes(x->dtype));
        return 0;
}

static void gather_run(const void *params, void *const *addresses) {
        runs_copy(params, addresses[1], addresses[0], sizeof(float));
}

OPERATOR_LOWER(gather) {
        const struct graph *graph = lowering_graph(lowering);
        _cleanup_(runs_release) struct runs runs = {0};
        struct runs kept;
        int r;

        r = need_float(&graph->values[node->outputs[0]], error);
        if (r >= 0)
                r = gatherer_of(node)->runs(&runs, graph, node, error);
        if (r < 0)
                return r;
        kept = runs;
        kept.from = lowering_keep(lowering, runs.from, runs.n * sizeof(*runs.from));
        if (!kept.from)
                return error_no_memory(error);
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:gather",
                                    .function = gather_run,
                                    .params = &kept,
                                    .params_bytes = sizeof(kept),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                            },
                            error);
}
