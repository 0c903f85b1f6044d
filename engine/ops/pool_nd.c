#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/ops/native.h"

/*
 * MaxPool and AveragePool over any number of dimensions, by own code: what pool.c, which has feature maps
 * and oneDNN's kernels, does not take. On constants of small integers too, and with the indices of the
 * maxima, which are integers and therefore only folded.
 */

#define SPATIAL_MAX (TENSOR_MAX_RANK - 2u)

struct pool_nd {
        size_t planes, n; /* of all images and channels; of spatial dimensions */
        double operations;
        int64_t in[SPATIAL_MAX], out[SPATIAL_MAX];
        int64_t kernel[SPATIAL_MAX], stride[SPATIAL_MAX], dilation[SPATIAL_MAX], begin[SPATIAL_MAX];
        int64_t counted_end[SPATIAL_MAX]; /* of the padding that counts, from the first real element on */
        bool max, count_pad, column_major;
};

static int dimension_settle(struct pool_nd *p, size_t i, const int64_t *pads, const char *auto_pad,
                            bool ceil_mode, struct error *error) {
        int64_t extent = (p->kernel[i] - 1) * p->dilation[i] + 1, begin = pads[i], end = pads[i + p->n],
                room;

        if (strncmp(auto_pad, "SAME", 4) == 0) {
                int64_t n = (p->in[i] + p->stride[i] - 1) / p->stride[i];
                int64_t total = MAX((n - 1) * p->stride[i] + extent - p->in[i], 0);

                begin = strcmp(auto_pad, "SAME_LOWER") == 0 ? total - total / 2 : total / 2;
                end = total - begin;
        } else if (strcmp(auto_pad, "VALID") == 0) {
                begin = end = 0;
        }
        room = p->in[i] + begin + end - extent;
        if (room < 0)
                return error_set(error, ERROR_INVALID, "a kernel larger than its padded input");
        p->begin[i] = begin;
        p->out[i] = room / p->stride[i] + 1;
        if (ceil_mode && room % p->stride[i] != 0 && p->out[i] * p->stride[i] < p->in[i] + begin)
                p->out[i]++;
        p->counted_end[i] = p->in[i] + end;
        if (begin >= extent || end >= extent)
                return error_set(error, ERROR_UNSUPPORTED, "padding as large as the kernel");
        return 0;
}

static int pool_nd_read(struct pool_nd *ret_pool, struct shape *ret_shape, const struct graph *graph,
                        const struct node *node, struct error *error) {
        const char *auto_pad = node_attribute_string(node, "auto_pad", "NOTSET");
        bool ceil_mode = node_attribute_integer(node, "ceil_mode", 0) != 0;
        struct pool_nd pool = {.max = strcmp(node->type, "MaxPool") == 0,
                               .count_pad = node_attribute_integer(node, "count_include_pad", 0) != 0,
                               .column_major = node_attribute_integer(node, "storage_order", 0) != 0};
        int64_t pads[2 * SPATIAL_MAX], dims[TENSOR_MAX_RANK];
        const struct value *x;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r < 0)
                return r;
        if (x->shape.rank < 3 || !node_attribute(node, "kernel_shape"))
                return error_set(error, ERROR_INVALID, "[N, C, ...] and a kernel_shape are needed");
        if (shape_elements(&x->shape) == 0)
                return error_set(error, ERROR_UNSUPPORTED, "'%s' has no elements", x->name);
        pool.n = x->shape.rank - 2;
        pool.planes = x->shape.dims[0] * x->shape.dims[1];
        r = window_list_read(pool.kernel, pool.n, node, "kernel_shape", 1, 1, error);
        if (r >= 0)
                r = window_list_read(pool.stride, pool.n, node, "strides", 1, 1, error);
        if (r >= 0)
                r = window_list_read(pool.dilation, pool.n, node, "dilations", 1, 1, error);
        if (r >= 0)
                r = window_list_read(pads, 2 * pool.n, node, "pads", 0, 0, error);
        for (size_t i = 0; i < pool.n && r >= 0; i++) {
                pool.in[i] = (int64_t)x->shape.dims[i + 2];
                r = dimension_settle(&pool, i, pads, auto_pad, ceil_mode, error);
                dims[i + 2] = pool.out[i];
        }
        if (r < 0)
                return r;
        dims[0] = (int64_t)x->shape.dims[0];
        dims[1] = (int64_t)x->shape.dims[1];
        r = shape_from_dims(ret_shape, dims, x->shape.rank, error);
        if (r < 0)
                return r;
        pool.operations = (double)shape_elements(ret_shape);
        for (size_t i = 0; i < pool.n; i++)
                pool.operations *= (double)pool.kernel[i];
        *ret_pool = pool;
        return 0;
}

/* ---- one window ---- */

struct window_sum {
        float largest;
        int64_t largest_at;
        double sum;
        int64_t n_real, n_counted; /* elements of the input; those and padding that counts */
};

static struct window_sum window_look(const struct pool_nd *p, const float *plane, const int64_t *position) {
        struct window_sum w = {.largest = -INFINITY, .largest_at = 0};
        int64_t k[SPATIAL_MAX] = {0};

        do {
                int64_t at = 0;
                bool real = true, counted = true;

                for (size_t i = 0; i < p->n; i++) {
                        int64_t c = position[i] * p->stride[i] - p->begin[i] + k[i] * p->dilation[i];

                        real &= c >= 0 && c < p->in[i];
                        counted &= c < p->counted_end[i];
                        at = at * p->in[i] + c;
                }
                w.n_real += real;
                w.n_counted += counted;
                if (!real)
                        continue;
                w.sum += (double)plane[at];
                if (plane[at] > w.largest || isnan(plane[at]) || w.n_real == 1) {
                        w.largest = plane[at];
                        w.largest_at = at;
                }
        } while (box_advance(k, p->kernel, p->n));
        return w;
}

/* at, row-major in a plane, with the first dimension running fastest. */
static int64_t column_major(const struct pool_nd *p, int64_t at) {
        int64_t result = 0;

        for (size_t i = p->n; i-- > 0;) {
                int64_t step = 1;

                for (size_t k = 0; k < i; k++)
                        step *= p->in[k];
                result += at % p->in[i] * step;
                at /= p->in[i];
        }
        return result;
}

static void pool_nd_compute(const struct pool_nd *p, const float *src, float *dst, int64_t *indices) {
        int64_t plane_elements = 1;

        for (size_t i = 0; i < p->n; i++)
                plane_elements *= p->in[i];
        for (size_t plane = 0; plane < p->planes; plane++, src += plane_elements) {
                int64_t position[SPATIAL_MAX] = {0};

                do {
                        struct window_sum w = window_look(p, src, position);

                        *dst++ = p->max ? w.largest
                                        : (float)(w.sum / (double)(p->count_pad ? w.n_counted : w.n_real));
                        if (indices)
                                *indices++ =
                                        (int64_t)plane * plane_elements +
                                        (p->column_major ? column_major(p, w.largest_at) : w.largest_at);
                } while (box_advance(position, p->out, p->n));
        }
}

/* ---- the operator ---- */

/* Is it what pool.c takes? */
static bool is_simple(const struct graph *graph, const struct node *node) {
        uint32_t x = node_input(node, 0);

        return x != VALUE_NONE && graph->values[x].shape.rank == 4 && !graph->values[x].constant &&
               node_output(node, 1) == VALUE_NONE;
}

OPERATOR_INFER(pool_any) {
        struct pool_nd pool;
        struct shape shape;
        int r;

        if (is_simple(graph, node))
                return pool_infer(graph, node, error);
        r = pool_nd_read(&pool, &shape, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, graph->values[node->inputs[0]].dtype, &shape);
        graph_set_output_at(graph, node, 1, DTYPE_I64, &shape);
        return 0;
}

OPERATOR_FOLD(pool_any) {
        struct tensor *x = graph->values[node->inputs[0]].constant;
        _cleanup_(tensor_unrefp) struct tensor *floats = NULL, *result = NULL, *indices = NULL;
        struct pool_nd pool;
        struct shape shape;
        int r;

        if (x->dtype != DTYPE_F32 && x->dtype != DTYPE_U8 && x->dtype != DTYPE_I8)
                return error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(x->dtype));
        r = pool_nd_read(&pool, &shape, graph, node, error);
        if (r >= 0 && pool.operations > FOLD_MAX_OPERATIONS)
                r = error_set(error, ERROR_LIMIT, "%g operations on constants", pool.operations);
        if (r >= 0)
                r = tensor_cast(&floats, x, DTYPE_F32, error);
        if (r >= 0)
                r = tensor_new(&result, DTYPE_F32, &shape, error);
        if (r >= 0 && node_output(node, 1) != VALUE_NONE)
                r = tensor_new(&indices, DTYPE_I64, &shape, error);
        if (r < 0)
                return r;
        pool_nd_compute(&pool, floats->data, result->data, indices ? indices->data : NULL);
        r = tensor_cast(&ret_tensor[0], result, x->dtype, error);
        if (r >= 0 && indices)
                ret_tensor[1] = steal_ptr(&indices);
        return r;
}

static void pool_nd_run(const void *params, void *const *addresses) {
        pool_nd_compute(params, addresses[0], addresses[1], NULL);
}

OPERATOR_LOWER(pool_any) {
        const struct graph *graph = lowering_graph(lowering);
        struct pool_nd pool;
        struct shape shape;
        int r;

        if (is_simple(graph, node))
                return pool_lower(lowering, node, error);
        r = pool_nd_read(&pool, &shape, graph, node, error);
        if (r < 0)
                return r;
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:pool",
                                    .function = pool_nd_run,
                                    .params = &pool,
                                    .params_bytes = sizeof(pool),
                                    .n_inputs = 1,
                                    .n_outputs = 1,
                                    .flop = pool.operations,
                            },
                            error);
}
