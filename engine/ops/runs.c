#include "engine/ops/runs.h"

#include <inttypes.h>
#include <string.h>

#include "engine/ops/native.h"

int index_normalise(size_t *ret_index, int64_t index, size_t size, struct error *error) {
        if (index < -(int64_t)size || index >= (int64_t)size)
                return error_set(error, ERROR_INVALID, "index %" PRId64 " of %zu elements", index, size);
        *ret_index = (size_t)(index < 0 ? index + (int64_t)size : index);
        return 0;
}

int indices_read(const struct tensor **ret_indices, const struct graph *graph, const struct node *node,
                 struct error *error) {
        const struct tensor *indices = graph_input_constant(graph, node, 1);

        if (!indices)
                return error_set(error, ERROR_UNSUPPORTED, "indices that are computed");
        if (indices->dtype != DTYPE_I64 && indices->dtype != DTYPE_I32)
                return error_set(error, ERROR_INVALID, "indices of type %s", dtype_name(indices->dtype));
        *ret_indices = indices;
        return 0;
}

void runs_release(struct runs *runs) {
        free(runs->from);
}

int runs_new(struct runs *ret_runs, size_t n, size_t length, struct error *error) {
        struct runs runs = {.n = n, .length = length};

        if (n > FOLD_MAX_ELEMENTS)
                return error_set(error, ERROR_LIMIT, "more than %zu runs to copy", FOLD_MAX_ELEMENTS);
        runs.from = calloc(MAX(n, 1u), sizeof(*runs.from));
        if (!runs.from)
                return error_no_memory(error);
        *ret_runs = runs;
        return 0;
}

int elements_named(uint32_t *ret_elements, const struct shape *x, const struct tensor *indices, size_t axis,
                   struct error *error) {
        size_t index[TENSOR_MAX_RANK] = {0}, named;

        for (size_t i = 0; i < indices->n_elements; i++) {
                size_t at = 0;
                int r;

                r = index_normalise(&named, tensor_integer(indices, i), x->dims[axis], error);
                if (r < 0)
                        return r;
                for (size_t d = 0; d < x->rank; d++)
                        at = at * x->dims[d] + (d == axis ? named : index[d]);
                ret_elements[i] = (uint32_t)at;
                for (size_t d = x->rank; d-- > 0;) {
                        if (++index[d] < indices->shape.dims[d])
                                break;
                        index[d] = 0;
                }
        }
        return 0;
}

int indices_nd_read(size_t *ret_depth, const struct shape *x, const struct shape *indices, size_t batch,
                    struct error *error) {
        size_t depth = indices->rank > 0 ? indices->dims[indices->rank - 1] : 0;

        if (batch >= indices->rank || depth == 0 || batch + depth > x->rank)
                return error_set(error, ERROR_INVALID, "indices of depth %zu for data of rank %zu", depth,
                                 x->rank);
        for (size_t i = 0; i < batch; i++)
                if (x->dims[i] != indices->dims[i])
                        return error_set(error, ERROR_INVALID, "batch dimension %zu differs", i);
        *ret_depth = depth;
        return 0;
}

int run_named(uint32_t *ret_from, const struct shape *x, const struct tensor *indices, size_t i,
              size_t depth, size_t batch, size_t lead, size_t length, struct error *error) {
        size_t at = lead;

        for (size_t d = 0; d < depth; d++) {
                size_t index;
                int r;

                r = index_normalise(&index, tensor_integer(indices, i * depth + d), x->dims[batch + d],
                                    error);
                if (r < 0)
                        return r;
                at = at * x->dims[batch + d] + index;
        }
        *ret_from = (uint32_t)(at * length);
        return 0;
}
