#include <inttypes.h>
#include <string.h>

#include "engine/ops/native.h"

/*
 * Pad in all its modes, also with negative pads, by own code: what movement.c, which adds constants around
 * data, does not take. For each dimension a table tells which element of the source one of the result is.
 */

#define PADDED UINT32_MAX /* none: the fill value */

struct pad_any {
        size_t rank;
        struct shape dst;
        size_t steps[TENSOR_MAX_RANK];
        const uint32_t *tables[TENSOR_MAX_RANK]; /* dst.dims[i] of each */
        float value;
};

struct pads {
        int64_t begin[TENSOR_MAX_RANK], end[TENSOR_MAX_RANK];
        struct shape dst;
};

static int pads_read(struct pads *ret_pads, const struct graph *graph, const struct node *node,
                     struct error *error) {
        int64_t values[2 * TENSOR_MAX_RANK], axes[2 * TENSOR_MAX_RANK], dims[TENSOR_MAX_RANK];
        struct pads pads = {0};
        const struct value *x;
        size_t n, n_axes;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = read_integers(graph, node, "pads", 1, values, &n, error);
        if (r >= 0)
                r = read_integers(graph, node, NULL, 3, axes, &n_axes, error);
        if (r < 0)
                return r;
        if (node_input(node, 3) == VALUE_NONE)
                for (n_axes = 0; n_axes < x->shape.rank; n_axes++)
                        axes[n_axes] = (int64_t)n_axes;
        if (n != 2 * n_axes)
                return error_set(error, ERROR_INVALID, "%zu pads for %zu axes", n, n_axes);
        for (size_t i = 0; i < n_axes; i++) {
                size_t axis;

                r = axis_normalise(&axis, axes[i], x->shape.rank, error);
                if (r < 0)
                        return r;
                pads.begin[axis] = values[i];
                pads.end[axis] = values[i + n_axes];
                if (MAX(values[i], values[i + n_axes]) > INT32_MAX ||
                    MIN(values[i], values[i + n_axes]) < -INT32_MAX)
                        return error_set(error, ERROR_INVALID, "pads %" PRId64 " and %" PRId64, values[i],
                                         values[i + n_axes]);
        }
        for (size_t i = 0; i < x->shape.rank; i++)
                dims[i] = (int64_t)x->shape.dims[i] + pads.begin[i] + pads.end[i];
        r = shape_from_dims(&pads.dst, dims, x->shape.rank, error);
        if (r < 0)
                return r;
        *ret_pads = pads;
        return 0;
}

/* The element at position, which may lie outside of size. */
static int source_of(uint32_t *ret_index, const char *mode, int64_t position, int64_t size,
                     struct error *error) {
        int64_t index = position, period = 2 * (size - 1);

        if (strcmp(mode, "edge") == 0) {
                index = MIN(MAX(index, 0), size - 1);
        } else if (strcmp(mode, "reflect") == 0 && size > 1) {
                index = (index % period + period) % period;
                index = index < size ? index : period - index;
        } else if (strcmp(mode, "wrap") == 0 && size > 0) {
                index = (index % size + size) % size;
        } else if (strcmp(mode, "reflect") == 0 && size == 1) {
                index = 0;
        } else if (strcmp(mode, "constant") != 0) {
                return error_set(error, ERROR_UNSUPPORTED, "mode '%s'", mode);
        }
        *ret_index = index >= 0 && index < size ? (uint32_t)index : PADDED;
        return 0;
}

/* All tables together, to be freed. */
static int tables_make(uint32_t **ret_tables, size_t *ret_n, const struct graph *graph,
                       const struct node *node, const struct pads *pads, struct error *error) {
        const char *mode = node_attribute_string(node, "mode", "constant");
        const struct shape *x = &graph->values[node->inputs[0]].shape;
        _cleanup_(freep) uint32_t *tables = NULL;
        size_t n = 0, at = 0;
        int r;

        for (size_t i = 0; i < x->rank; i++)
                n += pads->dst.dims[i];
        if (n > FOLD_MAX_ELEMENTS)
                return error_set(error, ERROR_LIMIT, "more than %zu elements in all dimensions",
                                 FOLD_MAX_ELEMENTS);
        tables = calloc(MAX(n, 1u), sizeof(*tables));
        if (!tables)
                return error_no_memory(error);
        for (size_t i = 0; i < x->rank; i++)
                for (size_t k = 0; k < pads->dst.dims[i]; k++) {
                        r = source_of(&tables[at++], mode, (int64_t)k - pads->begin[i], (int64_t)x->dims[i],
                                      error);
                        if (r < 0)
                                return r;
                }
        *ret_tables = steal_ptr(&tables);
        *ret_n = n;
        return 0;
}

static struct pad_any pad_of(const struct shape *x, const struct pads *pads, const uint32_t *tables) {
        struct pad_any pad = {.rank = x->rank, .dst = pads->dst};
        size_t step = 1;

        for (size_t i = 0; i < x->rank; i++) {
                pad.tables[i] = tables;
                tables += pads->dst.dims[i];
        }
        for (size_t i = x->rank; i-- > 0;) {
                pad.steps[i] = step;
                step *= x->dims[i];
        }
        return pad;
}

/* What element of the source each of the result is, in order: SIZE_MAX for the fill value. */
static size_t element_at(const struct pad_any *p, const size_t *index) {
        size_t at = 0;

        for (size_t i = 0; i < p->rank; i++) {
                if (p->tables[i][index[i]] == PADDED)
                        return SIZE_MAX;
                at += p->tables[i][index[i]] * p->steps[i];
        }
        return at;
}

static void element_next(const struct pad_any *p, size_t *index) {
        for (size_t i = p->rank; i-- > 0;) {
                if (++index[i] < p->dst.dims[i])
                        return;
                index[i] = 0;
        }
}

/* ---- the operator ---- */

/* Is it what movement.c takes? */
static bool is_simple(const struct graph *graph, const struct node *node) {
        int64_t begin[TENSOR_MAX_RANK], end[TENSOR_MAX_RANK];
        float value;

        return node_input(node, 0) != VALUE_NONE && !graph->values[node->inputs[0]].constant &&
               graph->values[node->inputs[0]].shape.rank > 0 &&
               pad_read(begin, end, &value, graph, node, NULL) >= 0;
}

static int value_check(const struct graph *graph, const struct node *node, struct error *error) {
        const struct tensor *value = graph_input_constant(graph, node, 2);

        if (node_input(node, 2) == VALUE_NONE || (value && value->n_elements == 1))
                return 0;
        return error_set(error, ERROR_UNSUPPORTED, "a fill value that is computed");
}

OPERATOR_INFER(pad_any) {
        struct pads pads;
        int r;

        if (is_simple(graph, node))
                return pad_infer(graph, node, error);
        r = value_check(graph, node, error);
        if (r >= 0)
                r = pads_read(&pads, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, graph->values[node->inputs[0]].dtype, &pads.dst);
        return 0;
}

OPERATOR_FOLD(pad_any) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        const struct tensor *value = graph_input_constant(graph, node, 2);
        size_t bytes = dtype_bytes(x->dtype), index[TENSOR_MAX_RANK] = {0}, n;
        _cleanup_(freep) uint32_t *tables = NULL;
        struct pad_any pad;
        struct pads pads;
        int r;

        if (value && value->dtype != x->dtype)
                return error_set(error, ERROR_INVALID, "a fill value of another type than the input");
        r = pads_read(&pads, graph, node, error);
        if (r >= 0)
                r = fold_check(&pads.dst, error);
        if (r >= 0)
                r = tables_make(&tables, &n, graph, node, &pads, error);
        if (r >= 0)
                r = tensor_new(ret_tensor, x->dtype, &pads.dst, error);
        if (r < 0)
                return r;
        pad = pad_of(&x->shape, &pads, tables);
        for (size_t i = 0; i < (*ret_tensor)->n_elements; i++, element_next(&pad, index)) {
                size_t at = element_at(&pad, index);

                if (at != SIZE_MAX)
                        memcpy((char *)(*ret_tensor)->data + i * bytes, (const char *)x->data + at * bytes,
                               bytes);
                else if (value)
                        memcpy((char *)(*ret_tensor)->data + i * bytes, value->data, bytes);
                else if (x->dtype == DTYPE_F32)
                        tensor_set(*ret_tensor, i, (double)node_attribute_real(node, "value", 0), 0);
        }
        return 0;
}

static void pad_any_run(const void *params, void *const *addresses) {
        const struct pad_any *p = params;
        const float *src = addresses[0];
        float *dst = addresses[1];
        size_t index[TENSOR_MAX_RANK] = {0}, n = shape_elements(&p->dst);

        for (size_t i = 0; i < n; i++, element_next(p, index)) {
                size_t at = element_at(p, index);

                dst[i] = at != SIZE_MAX ? src[at] : p->value;
        }
}

OPERATOR_LOWER(pad_any) {
        const struct graph *graph = lowering_graph(lowering);
        const struct tensor *value = graph_input_constant(graph, node, 2);
        _cleanup_(freep) uint32_t *tables = NULL;
        const uint32_t *kept;
        struct pad_any pad;
        struct pads pads;
        size_t n;
        int r;

        if (is_simple(graph, node))
                return pad_lower(lowering, node, error);
        r = pads_read(&pads, graph, node, error);
        if (r >= 0)
                r = tables_make(&tables, &n, graph, node, &pads, error);
        if (r < 0)
                return r;
        kept = lowering_keep(lowering, tables, n * sizeof(*tables));
        if (!kept)
                return error_no_memory(error);
        pad = pad_of(&graph->values[node->inputs[0]].shape, &pads, kept);
        pad.value = value ? (float)tensor_real(value, 0) : node_attribute_real(node, "value", 0);
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:pad",
                                    .function = pad_any_run,
                                    .params = &pad,
                                    .params_bytes = sizeof(pad),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                            },
                            error);
}
