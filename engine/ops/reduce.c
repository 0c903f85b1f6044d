#include <math.h>
#include <string.h>

#include "engine/ops/native.h"

/* ---- reductions over any axes ---- */

/* Dimensions that are neighbours and have one fate are one: at most every second one is reduced. */
struct reduce {
        size_t kind; /* of kinds[] */
        size_t n;    /* elements that become one */
        struct strided kept, reduced;
};

/* The result of elements x[0], x[step], ...: accumulate() over all runs, then finish(). */
struct kind {
        const char *type;
        double start;
        double (*accumulate)(double so_far, const float *x, ptrdiff_t step, size_t n);
        double (*one)(double so_far, double x); /* the same of one element */
        double (*finish)(double so_far, size_t n);
};

#define ACCUMULATE(name, expression)                                                                        \
        static double one_##name(double so_far, double x) {                                                 \
                return (expression);                                                                        \
        }                                                                                                   \
                                                                                                            \
        static double accumulate_##name(double so_far, const float *data, ptrdiff_t step, size_t n) {       \
                for (size_t i = 0; i < n; i++) {                                                            \
                        double x = (double)data[(ptrdiff_t)i * step];                                       \
                                                                                                            \
                        so_far = (expression);                                                              \
                }                                                                                           \
                return so_far;                                                                              \
        }

ACCUMULATE(sum, so_far + x)
ACCUMULATE(absolute, so_far + fabs(x))
ACCUMULATE(square, so_far + x * x)
ACCUMULATE(product, so_far *x)
ACCUMULATE(max, x > so_far || isnan(x) ? x : so_far)
ACCUMULATE(min, x < so_far || isnan(x) ? x : so_far)

static double finish_none(double so_far, _unused_ size_t n) {
        return so_far;
}

static double finish_mean(double so_far, size_t n) {
        return so_far / (double)n;
}

static double finish_log(double so_far, _unused_ size_t n) {
        return log(so_far);
}

static double finish_root(double so_far, _unused_ size_t n) {
        return sqrt(so_far);
}

static const struct kind kinds[] = {
        {"ReduceL1", 0, accumulate_absolute, one_absolute, finish_none},
        {"ReduceL2", 0, accumulate_square, one_square, finish_root},
        {"ReduceLogSum", 0, accumulate_sum, one_sum, finish_log},
        {"ReduceLogSumExp", 0, NULL, NULL, NULL}, /* see log_sum_exp() */
        {"ReduceMax", -INFINITY, accumulate_max, one_max, finish_none},
        {"ReduceMean", 0, accumulate_sum, one_sum, finish_mean},
        {"ReduceMin", INFINITY, accumulate_min, one_min, finish_none},
        {"ReduceProd", 1, accumulate_product, one_product, finish_none},
        {"ReduceSum", 0, accumulate_sum, one_sum, finish_none},
        {"ReduceSumSquare", 0, accumulate_square, one_square, finish_none},
};

static size_t kind_of(const struct node *node) {
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (strcmp(kinds[i].type, node->type) == 0)
                        return i;
        return 0;
}

static int reduce_read(bool ret_reduced[TENSOR_MAX_RANK], struct shape *ret_shape, const struct graph *graph,
                       const struct node *node, const struct value **ret_x, struct error *error) {
        bool keep = node_attribute_integer(node, "keepdims", 1) != 0;
        int64_t axes[2 * TENSOR_MAX_RANK];
        struct shape shape = {0};
        const struct value *x;
        size_t n;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = read_integers(graph, node, "axes", 1, axes, &n, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < x->shape.rank; i++)
                ret_reduced[i] = n == 0 && node_attribute_integer(node, "noop_with_empty_axes", 0) == 0;
        for (size_t i = 0; i < n; i++) {
                size_t axis;

                r = axis_normalise(&axis, axes[i], x->shape.rank, error);
                if (r < 0)
                        return r;
                ret_reduced[axis] = true;
        }
        for (size_t i = 0; i < x->shape.rank; i++) {
                if (!ret_reduced[i])
                        shape.dims[shape.rank++] = x->shape.dims[i];
                else if (keep)
                        shape.dims[shape.rank++] = 1;
        }
        *ret_shape = shape;
        *ret_x = x;
        return 0;
}

/* The walk over the dimensions that are reduced, or those that are kept. */
static void reduce_walk(struct strided *ret_strided, const struct shape *x, const bool *reduced,
                        bool which) {
        struct strided strided = {.n_operands = 1};
        ptrdiff_t dense[TENSOR_MAX_RANK];

        strided_dense(dense, x);
        for (size_t i = 0; i < x->rank; i++)
                if (reduced[i] == which) {
                        strided.steps[0][strided.rank] = dense[i];
                        strided.dims[strided.rank++] = x->dims[i];
                }
        strided_merge(&strided);
        *ret_strided = strided;
}

static double accumulate(const struct kind *kind, double start, const float *x,
                         const struct strided *reduced) {
        struct strided_row row;

        for (bool more = strided_first(reduced, &row); more; more = strided_next(reduced, &row))
                start = kind->accumulate(start, x + row.operands[0], row.steps[0], row.n);
        return start;
}

static double accumulate_row_exp(double largest, const float *x, const struct strided *reduced) {
        struct strided_row row;
        double sum = 0;

        for (bool more = strided_first(reduced, &row); more; more = strided_next(reduced, &row))
                for (ptrdiff_t i = 0; i < (ptrdiff_t)row.n; i++)
                        sum += exp((double)x[row.operands[0] + i * row.steps[0]] - largest);
        return sum;
}

/* log(sum(exp(x))) = m + log(sum(exp(x - m))), which cannot overflow where m is the largest. */
static double log_sum_exp(const float *x, const struct strided *reduced) {
        const struct kind max = {.accumulate = accumulate_max};
        double largest = accumulate(&max, -INFINITY, x, reduced);

        return isinf(largest) ? largest : largest + log(accumulate_row_exp(largest, x, reduced));
}

static void reduce_run(const void *params, void *const *addresses) {
        const struct reduce *p = params;
        const struct kind *kind = &kinds[p->kind];
        const float *src = addresses[0];
        float *dst = addresses[1];
        struct strided_row row;

        for (bool more = strided_first(&p->kept, &row); more; more = strided_next(&p->kept, &row))
                for (size_t i = 0; i < row.n; i++) {
                        const float *x = src + row.operands[0] + (ptrdiff_t)i * row.steps[0];

                        dst[row.at + i] =
                                (float)(kind->accumulate
                                                ? kind->finish(accumulate(kind, kind->start, x, &p->reduced),
                                                               p->n)
                                                : log_sum_exp(x, &p->reduced));
                }
}

static struct reduce reduce_of(const struct node *node, const struct shape *x, const bool *reduced) {
        struct reduce reduce = {.kind = kind_of(node), .n = 1};

        for (size_t i = 0; i < x->rank; i++)
                reduce.n *= reduced[i] ? x->dims[i] : 1;
        reduce_walk(&reduce.kept, x, reduced, false);
        reduce_walk(&reduce.reduced, x, reduced, true);
        return reduce;
}

OPERATOR_INFER(reduce) {
        bool reduced[TENSOR_MAX_RANK];
        const struct value *x;
        struct shape shape;
        int r;

        r = reduce_read(reduced, &shape, graph, node, &x, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, x->dtype, &shape);
        return 0;
}

/* Element at of the constant x, and those along with it, become one. */
static double fold_reals_at(const struct tensor *x, ptrdiff_t at, const struct reduce *reduce) {
        const struct kind *kind = &kinds[reduce->kind];
        double so_far = kind->start, largest = -INFINITY;
        struct strided_row row;

        for (int pass = kind->one ? 1 : 0; pass < 2; pass++)
                for (bool more = strided_first(&reduce->reduced, &row); more;
                     more = strided_next(&reduce->reduced, &row))
                        for (ptrdiff_t k = 0; k < (ptrdiff_t)row.n; k++) {
                                double real =
                                        tensor_real(x, (size_t)(at + row.operands[0] + k * row.steps[0]));

                                if (pass == 0)
                                        largest = one_max(largest, real);
                                else if (kind->one)
                                        so_far = kind->one(so_far, real);
                                else
                                        so_far += exp(real - largest);
                        }
        if (kind->one)
                return kind->finish(so_far, reduce->n);
        return isinf(largest) ? largest : largest + log(so_far); /* see log_sum_exp() */
}

static void fold_reals(struct tensor *out, const struct tensor *x, const struct reduce *reduce) {
        struct strided_row row;

        for (bool more = strided_first(&reduce->kept, &row); more; more = strided_next(&reduce->kept, &row))
                for (size_t i = 0; i < row.n; i++)
                        tensor_set(out, row.at + i,
                                   fold_reals_at(x, row.operands[0] + (ptrdiff_t)i * row.steps[0], reduce),
                                   0);
}

/* Products and sums of dimensions, for shape arithmetic. */
static int fold_integers(struct tensor *out, const struct tensor *x, const struct reduce *reduce,
                         struct error *error) {
        const char *type = kinds[reduce->kind].type;
        bool product = strcmp(type, "ReduceProd") == 0, sum = strcmp(type, "ReduceSum") == 0;
        bool max = strcmp(type, "ReduceMax") == 0, min = strcmp(type, "ReduceMin") == 0;
        struct strided_row kept, row;

        if ((!product && !sum && !max && !min) || x->dtype == DTYPE_BOOL)
                return error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(x->dtype));
        if (reduce->n == 0 && (max || min))
                return error_set(error, ERROR_INVALID, "of no elements");
        for (bool more = strided_first(&reduce->kept, &kept); more;
             more = strided_next(&reduce->kept, &kept))
                for (size_t i = 0; i < kept.n; i++) {
                        int64_t so_far = product ? 1 : sum ? 0 : max ? INT64_MIN : INT64_MAX;
                        bool overflow = false;

                        for (bool goes = strided_first(&reduce->reduced, &row); goes;
                             goes = strided_next(&reduce->reduced, &row))
                                for (size_t k = 0; k < row.n; k++) {
                                        ptrdiff_t at = kept.operands[0] + (ptrdiff_t)i * kept.steps[0] +
                                                       row.operands[0] + (ptrdiff_t)k * row.steps[0];
                                        int64_t value = tensor_integer(x, (size_t)at);

                                        if (product)
                                                overflow |= __builtin_mul_overflow(so_far, value, &so_far);
                                        else if (sum)
                                                overflow |= __builtin_add_overflow(so_far, value, &so_far);
                                        else
                                                so_far = max ? MAX(so_far, value) : MIN(so_far, value);
                                }
                        if (overflow)
                                return error_set(error, ERROR_INVALID, "constants overflow int64");
                        tensor_set(out, kept.at + i, (double)so_far, so_far);
                }
        return 0;
}

OPERATOR_FOLD(reduce) {
        const struct value *out = &graph->values[node->outputs[0]];
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        bool reduced[TENSOR_MAX_RANK];
        struct reduce reduce;
        const struct value *x;
        struct shape shape;
        int r;

        r = reduce_read(reduced, &shape, graph, node, &x, error);
        if (r >= 0)
                r = tensor_new(&tensor, out->dtype, &out->shape, error);
        if (r < 0)
                return r;
        reduce = reduce_of(node, &x->shape, reduced);
        if (x->dtype == DTYPE_F32 || x->dtype == DTYPE_F64)
                fold_reals(tensor, x->constant, &reduce);
        else if (x->dtype == DTYPE_I64 || x->dtype == DTYPE_I32 || x->dtype == DTYPE_I8 ||
                 x->dtype == DTYPE_U8)
                r = fold_integers(tensor, x->constant, &reduce, error);
        else
                r = error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(x->dtype));
        if (r < 0)
                return r;
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}

/* A mean by oneDNN: over height and width it is a pool, which has fast kernels for every layout. */
static int mean_lower(struct lowering *lowering, const struct node *node, const bool *reduced,
                      struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        const struct value *x = &graph->values[node->inputs[0]];
        struct kernels *kernels = lowering_kernels(lowering);
        struct operand operands[2];
        const struct kernel *kernel;
        struct shape kept = x->shape;
        int r;

        r = lowering_use(lowering, node->inputs[0], NULL, &operands[0], error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < kept.rank; i++)
                kept.dims[i] = reduced[i] ? 1 : kept.dims[i];
        if (kept.rank == 4 && !reduced[0] && !reduced[1] && reduced[2] && reduced[3]) {
                struct kernel_pool spec = {
                        .kind = KERNEL_POOL_AVERAGE,
                        .dst = kept,
                        .window = {.kernel = {x->shape.dims[2], x->shape.dims[3]},
                                   .strides = {1, 1},
                                   .dilations = {1, 1}},
                        .src_layout = operands[0].layout,
                };

                r = kernel_pool_new(&kernel, kernels, &spec, error);
        } else {
                r = kernel_mean_new(&kernel, kernels, operands[0].layout, &kept, error);
        }
        if (r >= 0)
                r = lowering_place(lowering, kernel_layout(kernel, 1), &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands,
                                  (double)shape_elements(&x->shape), error);
        if (r < 0)
                return r;
        return view_define(lowering, node, operands[1], error);
}

OPERATOR_LOWER(reduce) {
        const struct graph *graph = lowering_graph(lowering);
        bool reduced[TENSOR_MAX_RANK];
        struct reduce reduce;
        const struct value *x;
        struct shape shape;
        int r;

        r = reduce_read(reduced, &shape, graph, node, &x, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r < 0)
                return r;
        reduce = reduce_of(node, &x->shape, reduced);
        if (strcmp(node->type, "ReduceMean") == 0)
                return reduce.n == 1 ? view_lower(lowering, node, error)
                                     : mean_lower(lowering, node, reduced, error);
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:reduce",
                                    .function = reduce_run,
                                    .params = &reduce,
                                    .params_bytes = sizeof(reduce),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                                    .flop = (double)shape_elements(&x->shape),
                            },
                            error);
}
