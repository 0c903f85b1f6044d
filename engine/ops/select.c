#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/ops/native.h"

/* Operators that look for the largest elements along an axis: ArgMax, ArgMin, TopK, whose indices are
 * integers and therefore only folded, and Hardmax. */

/* Lines along axis: element k of line i is at position(). */
struct lines {
        size_t n_lines, n, inner;
};

static struct lines lines_of(const struct shape *shape, size_t axis) {
        struct lines lines = {.n_lines = 1, .n = shape->dims[axis], .inner = 1};

        for (size_t i = 0; i < shape->rank; i++) {
                lines.n_lines *= i != axis ? shape->dims[i] : 1;
                lines.inner *= i > axis ? shape->dims[i] : 1;
        }
        return lines;
}

static size_t position(const struct lines *lines, size_t i, size_t k) {
        return (i / lines->inner * lines->n + k) * lines->inner + i % lines->inner;
}

static int need_comparable(const struct tensor *x, struct error *error) {
        if (x->dtype == DTYPE_BOOL || x->dtype == DTYPE_F16 || x->dtype == DTYPE_BF16)
                return error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(x->dtype));
        return 0;
}

/* Is element a before element b? Exact for integers of 64 bits too. */
static bool before(const struct tensor *x, size_t a, size_t b, bool largest) {
        if (x->dtype == DTYPE_F32 || x->dtype == DTYPE_F64)
                return largest ? tensor_real(x, a) > tensor_real(x, b)
                               : tensor_real(x, a) < tensor_real(x, b);
        return largest ? tensor_integer(x, a) > tensor_integer(x, b)
                       : tensor_integer(x, a) < tensor_integer(x, b);
}

/* ---- ArgMax, ArgMin ---- */

OPERATOR_INFER(arg) {
        bool keep = node_attribute_integer(node, "keepdims", 1) != 0;
        struct shape shape = {0};
        const struct value *x;
        size_t axis;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = axis_normalise(&axis, node_attribute_integer(node, "axis", 0), x->shape.rank, error);
        if (r < 0)
                return r;
        if (x->shape.dims[axis] == 0)
                return error_set(error, ERROR_INVALID, "of no elements");
        for (size_t i = 0; i < x->shape.rank; i++)
                if (i != axis || keep)
                        shape.dims[shape.rank++] = i == axis ? 1 : x->shape.dims[i];
        graph_set_output(graph, node, DTYPE_I64, &shape);
        return 0;
}

OPERATOR_FOLD(arg) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        bool last = node_attribute_integer(node, "select_last_index", 0) != 0;
        bool largest = strcmp(node->type, "ArgMax") == 0;
        struct lines lines;
        size_t axis;
        int r;

        r = need_comparable(x, error);
        if (r >= 0)
                r = axis_normalise(&axis, node_attribute_integer(node, "axis", 0), x->shape.rank, error);
        if (r >= 0)
                r = tensor_new(ret_tensor, DTYPE_I64, &graph->values[node->outputs[0]].shape, error);
        if (r < 0)
                return r;
        lines = lines_of(&x->shape, axis);
        for (size_t i = 0; i < lines.n_lines; i++) {
                size_t best = 0;

                for (size_t k = 1; k < lines.n; k++) {
                        size_t at = position(&lines, i, k), best_at = position(&lines, i, best);

                        if (last ? !before(x, best_at, at, largest) : before(x, at, best_at, largest))
                                best = k;
                }
                tensor_set(*ret_tensor, i, 0, (int64_t)best);
        }
        return 0;
}

/* ---- TopK ---- */

static int top_k_read(size_t *ret_k, size_t *ret_axis, const struct graph *graph, const struct node *node,
                      struct error *error) {
        const struct tensor *k = graph_input_constant(graph, node, 1);
        const struct value *x;
        int64_t n;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = axis_normalise(ret_axis, node_attribute_integer(node, "axis", -1), x->shape.rank, error);
        if (r < 0)
                return r;
        if (!k || k->n_elements != 1)
                return error_set(error, ERROR_UNSUPPORTED, "k that is no constant of one value");
        n = tensor_integer(k, 0);
        if (n < 0 || n > (int64_t)x->shape.dims[*ret_axis])
                return error_set(error, ERROR_INVALID, "the first %" PRId64 " of %zu elements", n,
                                 x->shape.dims[*ret_axis]);
        *ret_k = (size_t)n;
        return 0;
}

OPERATOR_INFER(top_k) {
        struct shape shape;
        size_t k, axis;
        int r;

        r = top_k_read(&k, &axis, graph, node, error);
        if (r < 0)
                return r;
        shape = graph->values[node->inputs[0]].shape;
        shape.dims[axis] = k;
        graph_set_output(graph, node, graph->values[node->inputs[0]].dtype, &shape);
        graph_set_output_at(graph, node, 1, DTYPE_I64, &shape);
        return 0;
}

struct ranked {
        const struct tensor *x;
        size_t at, k;
        bool largest;
};

static int by_rank(const void *a, const void *b) {
        const struct ranked *p = a, *q = b;

        if (before(p->x, p->at, q->at, p->largest))
                return -1;
        if (before(p->x, q->at, p->at, p->largest))
                return 1;
        return (p->k > q->k) - (p->k < q->k);
}

OPERATOR_FOLD(top_k) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        const struct shape *shape = &graph->values[node->outputs[0]].shape;
        bool largest = node_attribute_integer(node, "largest", 1) != 0;
        _cleanup_(tensor_unrefp) struct tensor *values = NULL, *indices = NULL;
        _cleanup_(freep) struct ranked *ranked = NULL;
        struct lines lines, results;
        size_t k, axis;
        int r;

        r = need_comparable(x, error);
        if (r >= 0)
                r = fold_check(&x->shape, error);
        if (r >= 0)
                r = top_k_read(&k, &axis, graph, node, error);
        if (r >= 0)
                r = tensor_new(&values, x->dtype, shape, error);
        if (r >= 0)
                r = tensor_new(&indices, DTYPE_I64, shape, error);
        if (r < 0)
                return r;
        lines = lines_of(&x->shape, axis);
        results = lines_of(shape, axis);
        ranked = calloc(MAX(lines.n, 1u), sizeof(*ranked));
        if (!ranked)
                return error_no_memory(error);
        for (size_t i = 0; i < results.n_lines; i++) {
                for (size_t j = 0; j < lines.n; j++)
                        ranked[j] = (struct ranked){
                                .x = x, .at = position(&lines, i, j), .k = j, .largest = largest};
                qsort(ranked, lines.n, sizeof(*ranked), by_rank);
                for (size_t j = 0; j < k; j++) {
                        size_t at = position(&results, i, j);

                        tensor_set(values, at, tensor_real(x, ranked[j].at),
                                   tensor_integer(x, ranked[j].at));
                        tensor_set(indices, at, 0, (int64_t)ranked[j].k);
                }
        }
        ret_tensor[0] = steal_ptr(&values);
        if (node->n_outputs > 1)
                ret_tensor[1] = steal_ptr(&indices);
        return 0;
}

/* ---- Hardmax: 1 for the first largest element of each line, 0 for all others ---- */

static int hardmax_read(struct lines *ret_lines, const struct graph *graph, const struct node *node,
                        struct error *error) {
        const struct value *x;
        size_t axis;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r >= 0)
                r = axis_normalise(&axis, node_attribute_integer(node, "axis", node->opset < 13 ? 1 : -1),
                                   x->shape.rank, error);
        if (r < 0)
                return r;
        *ret_lines = lines_of(&x->shape, axis);
        /* Before opset 13 the dimensions from axis on were one. */
        if (node->opset < 13) {
                ret_lines->n *= ret_lines->inner;
                ret_lines->n_lines /= ret_lines->inner;
                ret_lines->inner = 1;
        }
        return 0;
}

OPERATOR_INFER(hardmax) {
        struct lines lines;
        int r;

        r = hardmax_read(&lines, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &graph->values[node->inputs[0]].shape);
        return 0;
}

static void hardmax_run(const void *params, void *const *addresses) {
        const struct lines *lines = params;
        const float *src = addresses[0];
        float *dst = addresses[1];

        for (size_t i = 0; i < lines->n_lines; i++) {
                size_t best = 0;

                for (size_t k = 0; k < lines->n; k++) {
                        dst[position(lines, i, k)] = 0;
                        if (src[position(lines, i, k)] > src[position(lines, i, best)])
                                best = k;
                }
                dst[position(lines, i, best)] = 1;
        }
}

OPERATOR_LOWER(hardmax) {
        struct lines lines;
        int r;

        r = hardmax_read(&lines, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:hardmax",
                                    .function = hardmax_run,
                                    .params = &lines,
                                    .params_bytes = sizeof(lines),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                            },
                            error);
}
