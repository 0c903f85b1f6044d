#include <string.h>

#include "engine/ops/families.h"

#define FOLD_MAX_ELEMENTS                                                                                   \
        ((size_t)1 << 24) /* shape arithmetic is tiny; this also folds constants of weights' size */

static enum kernel_binary_kind kind_of(const struct node *node) {
        static const char *const types[] = {
                [KERNEL_BINARY_ADD] = "Add",
                [KERNEL_BINARY_SUB] = "Sub",
                [KERNEL_BINARY_MUL] = "Mul",
                [KERNEL_BINARY_DIV] = "Div",
        };

        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (strcmp(node->type, types[i]) == 0)
                        return (enum kernel_binary_kind)i;
        return KERNEL_BINARY_ADD;
}

/* numpy's broadcasting: aligned at the last dimension. */
static int broadcast(struct shape *ret_shape, const struct shape *a, const struct shape *b,
                     struct error *error) {
        size_t rank = MAX(a->rank, b->rank);
        int64_t dims[TENSOR_MAX_RANK];

        for (size_t i = 0; i < rank; i++) {
                size_t da = i + a->rank >= rank ? a->dims[i + a->rank - rank] : 1;
                size_t db = i + b->rank >= rank ? b->dims[i + b->rank - rank] : 1;
                char text_a[SHAPE_TEXT_BYTES], text_b[SHAPE_TEXT_BYTES];

                if (da != db && da != 1 && db != 1)
                        return error_set(error, ERROR_INVALID, "shapes %s and %s do not broadcast",
                                         shape_text(a, text_a), shape_text(b, text_b));
                dims[i] = (int64_t)(da == 1 ? db : da);
        }
        return shape_from_dims(ret_shape, dims, rank, error);
}

/* Steps, in elements, through an operand for each dimension of the result; 0 where it is broadcast. */
static void broadcast_strides(size_t strides[TENSOR_MAX_RANK], const struct shape *operand,
                              const struct shape *result) {
        size_t stride = 1, lead = result->rank - operand->rank;

        for (size_t i = result->rank; i-- > 0;) {
                size_t dim = i >= lead ? operand->dims[i - lead] : 1;

                strides[i] = dim == 1 ? 0 : stride;
                stride *= dim;
        }
}

OPERATOR_INFER(binary) {
        const struct value *a, *b;
        struct shape shape;
        int r;

        r = graph_need_input(graph, node, 0, &a, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &b, error);
        if (r < 0)
                return r;
        if (a->dtype != b->dtype)
                return error_set(error, ERROR_INVALID, "types %s and %s", dtype_name(a->dtype),
                                 dtype_name(b->dtype));
        r = broadcast(&shape, &a->shape, &b->shape, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, a->dtype, &shape);
        return 0;
}

static int integer_apply(int64_t *ret_result, enum kernel_binary_kind kind, int64_t a, int64_t b,
                         struct error *error) {
        bool overflow = false;

        switch (kind) {
        case KERNEL_BINARY_ADD:
                overflow = __builtin_add_overflow(a, b, ret_result);
                break;
        case KERNEL_BINARY_SUB:
                overflow = __builtin_sub_overflow(a, b, ret_result);
                break;
        case KERNEL_BINARY_MUL:
                overflow = __builtin_mul_overflow(a, b, ret_result);
                break;
        case KERNEL_BINARY_DIV:
                if (b == 0)
                        return error_set(error, ERROR_INVALID, "division of constants by zero");
                overflow = a == INT64_MIN && b == -1;
                if (!overflow)
                        *ret_result = a / b;
                break;
        }
        if (overflow)
                return error_set(error, ERROR_INVALID, "constants overflow int64");
        return 0;
}

static double real_apply(enum kernel_binary_kind kind, double a, double b) {
        switch (kind) {
        case KERNEL_BINARY_ADD:
                return a + b;
        case KERNEL_BINARY_SUB:
                return a - b;
        case KERNEL_BINARY_MUL:
                return a * b;
        case KERNEL_BINARY_DIV:
                return a / b;
        }
        return 0;
}

/* Moves index, a position in shape, to the next one in row-major order, and the offsets of two operands with
 * it. */
static void advance(size_t index[TENSOR_MAX_RANK], const struct shape *shape, const size_t *strides_a,
                    const size_t *strides_b, size_t *a, size_t *b) {
        for (size_t i = shape->rank; i-- > 0;) {
                *a += strides_a[i];
                *b += strides_b[i];
                if (++index[i] < shape->dims[i])
                        return;
                *a -= strides_a[i] * shape->dims[i];
                *b -= strides_b[i] * shape->dims[i];
                index[i] = 0;
        }
}

OPERATOR_FOLD(binary) {
        const struct tensor *ta = graph_input_constant(graph, node, 0),
                            *tb = graph_input_constant(graph, node, 1);
        const struct value *out = &graph->values[node->outputs[0]];
        size_t strides_a[TENSOR_MAX_RANK], strides_b[TENSOR_MAX_RANK], index[TENSOR_MAX_RANK] = {0}, a = 0,
                                                                       b = 0;
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        bool real = ta->dtype == DTYPE_F32 || ta->dtype == DTYPE_F64;
        int r;

        if (shape_elements(&out->shape) > FOLD_MAX_ELEMENTS)
                return error_set(error, ERROR_LIMIT, "a constant of more than %zu elements",
                                 FOLD_MAX_ELEMENTS);
        if (ta->dtype == DTYPE_F16 || ta->dtype == DTYPE_BF16)
                return error_set(error, ERROR_UNSUPPORTED, "arithmetic of %s constants",
                                 dtype_name(ta->dtype));
        r = tensor_new(&tensor, out->dtype, &out->shape, error);
        if (r < 0)
                return r;
        broadcast_strides(strides_a, &ta->shape, &out->shape);
        broadcast_strides(strides_b, &tb->shape, &out->shape);
        for (size_t i = 0; i < tensor->n_elements; i++) {
                int64_t integer = 0;

                if (real) {
                        tensor_set(tensor, i,
                                   real_apply(kind_of(node), tensor_real(ta, a), tensor_real(tb, b)), 0);
                } else {
                        r = integer_apply(&integer, kind_of(node), tensor_integer(ta, a),
                                          tensor_integer(tb, b), error);
                        if (r < 0)
                                return r;
                        tensor_set(tensor, i, (double)integer, integer);
                }
                advance(index, &out->shape, strides_a, strides_b, &a, &b);
        }
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}

/* Any broadcasting, row-major: for what oneDNN's binary does not take, a broadcast first operand. */
struct general {
        enum kernel_binary_kind kind;
        struct shape shape;
        size_t strides_a[TENSOR_MAX_RANK], strides_b[TENSOR_MAX_RANK];
};

static void general_run(const void *params, void *const *addresses) {
        const struct general *p = params;
        const float *src_a = addresses[0], *src_b = addresses[1];
        size_t index[TENSOR_MAX_RANK] = {0}, a = 0, b = 0, n = shape_elements(&p->shape);
        float *dst = addresses[2];

        for (size_t i = 0; i < n; i++) {
                dst[i] = (float)real_apply(p->kind, (double)src_a[a], (double)src_b[b]);
                advance(index, &p->shape, p->strides_a, p->strides_b, &a, &b);
        }
}

static int general_lower(struct lowering *lowering, const struct node *node, struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct shape *a = &graph->values[node->inputs[0]].shape,
                           *b = &graph->values[node->inputs[1]].shape;
        const struct shape *out = &graph->values[node->outputs[0]].shape;
        const struct layout *layouts[] = {layout_plain(kernels, a), layout_plain(kernels, b),
                                          layout_plain(kernels, out)};
        struct general general = {.kind = kind_of(node), .shape = *out};
        struct operand operands[3];
        const struct kernel *kernel;
        int r;

        if (!layouts[0] || !layouts[1] || !layouts[2])
                return error_no_memory(error);
        broadcast_strides(general.strides_a, a, out);
        broadcast_strides(general.strides_b, b, out);
        r = kernel_native_new(&kernel, kernels, "native:broadcast", general_run, &general, sizeof(general),
                              layouts, 3, error);
        for (size_t i = 0; i < 2 && r >= 0; i++)
                r = lowering_use(lowering, node->inputs[i], layouts[i], &operands[i], error);
        if (r >= 0)
                r = lowering_place(lowering, layouts[2], &operands[2], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands, (double)shape_elements(out),
                                  error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[2]);
        return 0;
}

OPERATOR_LOWER(binary) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        uint32_t a = node->inputs[0], b = node->inputs[1];
        const struct shape *out = &graph->values[node->outputs[0]].shape, *b_shape;
        const struct layout *layout, *b_layout;
        struct operand operands[3];
        const struct kernel *kernel;
        struct shape padded;
        int r;

        if (graph->values[a].dtype != DTYPE_F32)
                return error_set(error, ERROR_UNSUPPORTED, "computation on %s",
                                 dtype_name(graph->values[a].dtype));

        /* The operand that has the result's shape comes first where the order does not matter. */
        if (!shape_equal(&graph->values[a].shape, out) && shape_equal(&graph->values[b].shape, out) &&
            (kind_of(node) == KERNEL_BINARY_ADD || kind_of(node) == KERNEL_BINARY_MUL)) {
                a = node->inputs[1];
                b = node->inputs[0];
        }
        if (!shape_equal(&graph->values[a].shape, out) || graph->values[a].constant || out->rank == 0 ||
            a == b)
                return general_lower(lowering, node, error);

        b_shape = &graph->values[b].shape;
        padded = (struct shape){.rank = out->rank};
        for (size_t i = 0; i < out->rank; i++)
                padded.dims[i] =
                        i + b_shape->rank >= out->rank ? b_shape->dims[i + b_shape->rank - out->rank] : 1;

        r = lowering_layout(lowering, a, &layout, error);
        if (r < 0)
                return r;
        b_layout = shape_equal(b_shape, out) ? layout : layout_plain(kernels, &padded);
        if (!b_layout)
                return error_no_memory(error);
        r = kernel_binary_new(&kernel, kernels, kind_of(node), layout, b_layout, error);
        if (r == ERROR_UNSUPPORTED)
                return general_lower(lowering, node, error);
        if (r < 0)
                return r;

        /* The second operand first: bringing it here must not come after the first one's place was given
         * away. */
        r = lowering_use(lowering, b, shape_equal(b_shape, out) ? layout : layout_plain(kernels, b_shape),
                         &operands[1], error);
        if (r >= 0)
                r = lowering_use_writable(lowering, node, a, layout, &operands[0], error);
        if (r < 0)
                return r;
        operands[1].layout = b_layout;
        operands[2] = operands[0];
        r = lowering_emit(lowering, node, node->type, kernel, operands, (double)shape_elements(out), error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[2]);
        return 0;
}
