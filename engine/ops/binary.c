#include "engine/ops/elementwise.h"

#include <string.h>

#include "engine/ops/bf16.h"
#include "engine/ops/native.h"

/* Functions of two elements with numpy's broadcasting, and of more, from left to right: Max, Min, Sum, Mean.
 */

static const struct binary_function *function_of(const struct node *node) {
        bool truncated = strcmp(node->type, "Mod") == 0 && node_attribute_integer(node, "fmod", 0) != 0;

        return binary_function_find(truncated ? "ModTruncated" : node->type);
}

static bool is_mean(const struct node *node) {
        return strcmp(node->type, "Mean") == 0;
}

static bool is_real(enum dtype dtype) {
        return dtype == DTYPE_F32 || dtype == DTYPE_F64;
}

static int types_check(const struct node *node, const struct value *a, const struct value *b,
                       struct error *error) {
        bool any = strcmp(node->type, "Pow") == 0 && node->opset >= 12;

        if (a->dtype != b->dtype && !any)
                return error_set(error, ERROR_INVALID, "types %s and %s", dtype_name(a->dtype),
                                 dtype_name(b->dtype));
        if (function_of(node)->takes_bool_only && a->dtype != DTYPE_BOOL)
                return error_set(error, ERROR_INVALID, "type %s, bool is needed", dtype_name(a->dtype));
        return 0;
}

OPERATOR_INFER(binary) {
        const struct value *first, *x;
        struct shape shape;
        int r;

        r = graph_need_input(graph, node, 0, &first, error);
        if (r < 0)
                return r;
        shape = first->shape;
        for (size_t i = 1; i < MAX(node->n_inputs, node->op->inputs_max == 2 ? 2u : 1u); i++) {
                r = graph_need_input(graph, node, i, &x, error);
                if (r >= 0)
                        r = types_check(node, first, x, error);
                if (r >= 0)
                        r = shape_broadcast(&shape, &shape, &x->shape, error);
                if (r < 0)
                        return r;
        }
        if (strcmp(node->type, "PRelu") == 0 && !shape_equal(&shape, &first->shape))
                return error_set(error, ERROR_INVALID, "a slope larger than the input");
        graph_set_output(graph, node, function_of(node)->gives_bool ? DTYPE_BOOL : first->dtype, &shape);
        return 0;
}

/* ---- constants ---- */

static int fold_element(const struct binary_function *function, bool real, struct tensor *out, size_t at,
                        const struct tensor *a, size_t a_at, const struct tensor *b, size_t b_at,
                        struct error *error) {
        int64_t integer = 0;
        int r;

        if (real) {
                double result = function->real(tensor_real(a, a_at), tensor_real(b, b_at));

                /* Outside of int64 the conversion is undefined in C; ONNX leaves it open. */
                tensor_set(out, at, result,
                           result > -9.2e18 && result < 9.2e18 ? (int64_t)result : INT64_MIN);
                return 0;
        }
        r = function->integer(&integer, tensor_integer(a, a_at), tensor_integer(b, b_at), error);
        if (r >= 0)
                tensor_set(out, at, (double)integer, integer);
        return r;
}

static int fold_pair(const struct node *node, struct tensor *out, const struct tensor *a,
                     const struct tensor *b, struct error *error) {
        const struct binary_function *function = function_of(node);
        bool real = is_real(a->dtype) || is_real(b->dtype);
        struct strided strided;
        struct strided_row row;

        if (real ? !function->real : !function->integer)
                return error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(a->dtype));
        strided_broadcast(&strided, &out->shape, (const struct shape *const[]){&a->shape, &b->shape}, 2);
        for (bool more = strided_first(&strided, &row); more; more = strided_next(&strided, &row))
                for (size_t i = 0; i < row.n; i++) {
                        int r = fold_element(function, real, out, row.at + i, a,
                                             (size_t)(row.operands[0] + (ptrdiff_t)i * row.steps[0]), b,
                                             (size_t)(row.operands[1] + (ptrdiff_t)i * row.steps[1]), error);

                        if (r < 0)
                                return r;
                }
        return 0;
}

OPERATOR_FOLD(binary) {
        const struct value *out = &graph->values[node->outputs[0]];
        _cleanup_(tensor_unrefp) struct tensor *tensor = NULL;
        int r;

        r = fold_check(&out->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < node->n_inputs; i++) {
                enum dtype dtype = graph_input_constant(graph, node, i)->dtype;

                if (dtype == DTYPE_F16 || dtype == DTYPE_BF16)
                        return error_set(error, ERROR_UNSUPPORTED, "arithmetic of %s constants",
                                         dtype_name(dtype));
        }
        if (node->n_inputs == 1)
                return tensor_cast(ret_tensor, graph->values[node->inputs[0]].constant, out->dtype, error);
        r = tensor_new(&tensor, out->dtype, &out->shape, error);
        for (size_t i = 1; i < node->n_inputs && r >= 0; i++)
                r = fold_pair(node, tensor, i == 1 ? graph_input_constant(graph, node, 0) : tensor,
                              graph_input_constant(graph, node, i), error);
        if (r < 0)
                return r;
        for (size_t i = 0; is_mean(node) && i < tensor->n_elements; i++)
                tensor_set(tensor, i, tensor_real(tensor, i) / (double)node->n_inputs, 0);
        *ret_tensor = steal_ptr(&tensor);
        return 0;
}

/* ---- steps ---- */

/* Own code for any function and broadcasting: the result so far with one operand after the other. */
struct general {
        const struct binary_function *function;
        size_t n_inputs;
        float divisor;
        size_t n_elements;
        struct strided walks[NATIVE_MAX_INPUTS - 1];
};

static void general_run(const void *params, void *const *addresses) {
        const struct general *p = params;
        float *dst = addresses[p->n_inputs];
        struct strided_row row;

        for (size_t k = 0; k + 1 < p->n_inputs; k++) {
                const float *a = k == 0 ? addresses[0] : dst, *b = addresses[k + 1];

                for (bool more = strided_first(&p->walks[k], &row); more;
                     more = strided_next(&p->walks[k], &row))
                        p->function->row(dst + row.at, a + row.operands[0], row.steps[0],
                                         b + row.operands[1], row.steps[1], row.n);
        }
        if (p->divisor != 1)
                for (size_t i = 0; i < p->n_elements; i++)
                        dst[i] /= p->divisor;
}

static int general_lower(struct lowering *lowering, const struct node *node, struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        const struct shape *out = &graph->values[node->outputs[0]].shape;
        struct general general = {.function = function_of(node),
                                  .n_inputs = node->n_inputs,
                                  .divisor = is_mean(node) ? (float)node->n_inputs : 1,
                                  .n_elements = shape_elements(out)};
        struct native native = {.name = "native:elementwise",
                                .function = general_run,
                                .params = &general,
                                .params_bytes = sizeof(general),
                                .n_inputs = node->n_inputs,
                                .n_outputs = 1,
                                .flop = (double)general.n_elements};

        if (node->n_inputs == 1)
                return view_lower(lowering, node, error);
        if (!general.function->row)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "on data that is computed; only constants and shapes");
        if (node->n_inputs > NATIVE_MAX_INPUTS)
                return error_set(error, ERROR_LIMIT, "%zu inputs, the limit is %u", node->n_inputs,
                                 NATIVE_MAX_INPUTS);
        for (size_t i = 0; i < node->n_inputs; i++)
                native.inputs[i] = i;
        for (size_t i = 0; i + 1 < node->n_inputs; i++)
                strided_broadcast(
                        &general.walks[i], out,
                        (const struct shape *const[]){i == 0 ? &graph->values[node->inputs[0]].shape : out,
                                                      &graph->values[node->inputs[i + 1]].shape},
                        2);
        return native_lower(lowering, node, &native, error);
}

/* What oneDNN has a kernel for. */
static bool kind_of(enum kernel_binary_kind *ret_kind, const struct node *node) {
        static const char *const types[] = {
                [KERNEL_BINARY_ADD] = "Add",
                [KERNEL_BINARY_SUB] = "Sub",
                [KERNEL_BINARY_MUL] = "Mul",
                [KERNEL_BINARY_DIV] = "Div",
        };

        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (strcmp(node->type, types[i]) == 0) {
                        *ret_kind = (enum kernel_binary_kind)i;
                        return true;
                }
        return false;
}

/* Beyond this oneDNN falls back to code that computes each address anew. */
#define ONEDNN_BINARY_MAX_RANK 5u

OPERATOR_LOWER(binary) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        uint32_t a = node->inputs[0], b = node->inputs[1];
        const struct shape *out = &graph->values[node->outputs[0]].shape, *b_shape;
        const struct layout *layout, *b_layout;
        struct operand operands[3];
        const struct kernel *kernel;
        enum kernel_binary_kind kind;
        struct shape padded;
        int r;

        r = need_float(&graph->values[node->outputs[0]], error);
        if (r < 0)
                return r;
        if (lowering_takes_bf16(lowering)) {
                bool done = false;

                r = bf16_gate_lower(lowering, node, &done, error);
                if (r < 0 || done)
                        return r;
        }
        if (!kind_of(&kind, node) || out->rank > ONEDNN_BINARY_MAX_RANK)
                return general_lower(lowering, node, error);

        /* The operand that has the result's shape comes first where the order does not matter. */
        if (!shape_equal(&graph->values[a].shape, out) && shape_equal(&graph->values[b].shape, out) &&
            (kind == KERNEL_BINARY_ADD || kind == KERNEL_BINARY_MUL)) {
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

        r = lowering_dense_layout_for(lowering, a, node->outputs[0], &layout, error);
        if (r < 0)
                return r;
        b_layout = shape_equal(b_shape, out) ? layout : layout_plain(kernels, &padded);
        if (!b_layout)
                return error_no_memory(error);
        r = kernel_binary_new(&kernel, kernels, kind, layout, b_layout, error);
        /* oneDNN's reference does one element after another by their coordinates: 100 ms for a map of Swin-T
         * in which one value a row is subtracted, where 0.1 ms are needed. */
        if (r == ERROR_UNSUPPORTED || (r == 0 && strncmp(kernel_name(kernel), "ref", 3) == 0))
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
