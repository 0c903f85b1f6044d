#include <ctype.h>
#include <string.h>

#include "engine/ops/native.h"

/* Einsum of one or two operands, as transposition and matrix multiplication: labels that both operands and
 * the result have are batches, those that only the operands have are summed over. */

#define LABELS 52u /* of the alphabet, in both cases */

struct term {
        size_t n;
        unsigned char labels[TENSOR_MAX_RANK];
};

struct einsum {
        struct term in[2], out;
        size_t n_in;
        size_t size[LABELS];
};

static size_t label_of(char c) {
        return c >= 'a' ? (size_t)(c - 'a') : (size_t)(c - 'A') + 26;
}

static bool has(const struct term *term, size_t label) {
        for (size_t i = 0; i < term->n; i++)
                if (term->labels[i] == label)
                        return true;
        return false;
}

/* The letters up to end, which must differ. */
static int term_read(struct term *ret_term, const char *text, const char *end, struct error *error) {
        struct term term = {0};

        for (; text < end; text++) {
                if (*text == ' ')
                        continue;
                if (!isascii(*text) || !isalpha(*text))
                        return error_set(error, ERROR_UNSUPPORTED, "'%c' in the equation", *text);
                if (term.n == TENSOR_MAX_RANK)
                        return error_set(error, ERROR_LIMIT, "a term of more than %u letters",
                                         TENSOR_MAX_RANK);
                if (has(&term, label_of(*text)))
                        return error_set(error, ERROR_UNSUPPORTED, "a diagonal ('%c' twice in a term)",
                                         *text);
                term.labels[term.n++] = (unsigned char)label_of(*text);
        }
        *ret_term = term;
        return 0;
}

/* Without an arrow: the letters that occur once, in alphabetical order, capitals first. */
static int output_implied(struct einsum *einsum, struct error *error) {
        for (size_t i = 0; i < LABELS; i++) {
                size_t label = (i + 26) % LABELS, n = 0;

                for (size_t k = 0; k < einsum->n_in; k++)
                        n += has(&einsum->in[k], label);
                if (n != 1)
                        continue;
                if (einsum->out.n == TENSOR_MAX_RANK)
                        return error_set(error, ERROR_LIMIT, "a result of more than %u dimensions",
                                         TENSOR_MAX_RANK);
                einsum->out.labels[einsum->out.n++] = (unsigned char)label;
        }
        return 0;
}

static int einsum_read(struct einsum *ret_einsum, const struct graph *graph, const struct node *node,
                       struct error *error) {
        const char *equation = node_attribute_string(node, "equation", ""), *arrow = strstr(equation, "->");
        const char *end = arrow ? arrow : equation + strlen(equation), *at = equation;
        struct einsum einsum = {.n_in = node->n_inputs};
        int r;

        if (node->n_inputs < 1 || node->n_inputs > 2)
                return error_set(error, ERROR_UNSUPPORTED, "%zu operands", node->n_inputs);
        for (size_t k = 0; k < node->n_inputs; k++) {
                const char *comma = memchr(at, ',', (size_t)(end - at));
                const struct value *x;

                if (!comma != (k + 1 == node->n_inputs))
                        return error_set(error, ERROR_INVALID, "equation '%s' for %zu operands", equation,
                                         node->n_inputs);
                r = graph_need_input(graph, node, k, &x, error);
                if (r >= 0)
                        r = need_float(x, error);
                if (r >= 0)
                        r = term_read(&einsum.in[k], at, comma ? comma : end, error);
                if (r < 0)
                        return r;
                if (einsum.in[k].n != x->shape.rank)
                        return error_set(error, ERROR_INVALID, "%zu letters for '%s' of rank %zu",
                                         einsum.in[k].n, x->name, x->shape.rank);
                for (size_t i = 0; i < einsum.in[k].n; i++) {
                        size_t *size = &einsum.size[einsum.in[k].labels[i]];

                        if (*size != 0 && *size != x->shape.dims[i])
                                return error_set(error, ERROR_INVALID, "one letter for %zu and %zu", *size,
                                                 x->shape.dims[i]);
                        *size = x->shape.dims[i];
                }
                at = comma ? comma + 1 : end;
        }
        r = arrow ? term_read(&einsum.out, arrow + 2, equation + strlen(equation), error)
                  : output_implied(&einsum, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < einsum.out.n; i++)
                if (einsum.size[einsum.out.labels[i]] == 0)
                        return error_set(error, ERROR_INVALID, "a letter of the result that no operand has");
        *ret_einsum = einsum;
        return 0;
}

OPERATOR_INFER(einsum) {
        int64_t dims[TENSOR_MAX_RANK];
        struct einsum einsum;
        struct shape shape;
        int r;

        r = einsum_read(&einsum, graph, node, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < einsum.out.n; i++)
                dims[i] = (int64_t)einsum.size[einsum.out.labels[i]];
        r = shape_from_dims(&shape, dims, einsum.out.n, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &shape);
        return 0;
}

/* ---- the matrices: [batch, rows, columns] ---- */

/* The labels of a term in the order that a matrix needs them in. */
struct order {
        size_t n[3], size[3]; /* labels, and the product of their sizes, of batch, rows and columns */
        struct term term;
};

static void order_add(struct order *order, size_t part, const struct einsum *einsum, size_t label) {
        order->n[part]++;
        order->size[part] *= einsum->size[label];
        order->term.labels[order->term.n++] = (unsigned char)label;
}

/* Batches and rows as the result has them; summed ones as the first operand has them. */
static int orders_of(struct order *ret_a, struct order *ret_b, struct order *ret_out,
                     const struct einsum *einsum, struct error *error) {
        const struct term *a = &einsum->in[0], *b = &einsum->in[1], *out = &einsum->out;
        struct order orders[3];

        for (size_t i = 0; i < 3; i++)
                orders[i] = (struct order){.size = {1, 1, 1}};
        for (size_t i = 0; i < out->n; i++)
                if (has(a, out->labels[i]) && has(b, out->labels[i]))
                        for (size_t k = 0; k < 3; k++)
                                order_add(&orders[k], 0, einsum, out->labels[i]);
        for (size_t i = 0; i < out->n; i++)
                if (!has(b, out->labels[i])) {
                        order_add(&orders[0], 1, einsum, out->labels[i]);
                        order_add(&orders[2], 1, einsum, out->labels[i]);
                }
        for (size_t i = 0; i < a->n; i++)
                if (!has(out, a->labels[i])) {
                        if (!has(b, a->labels[i]))
                                return error_set(error, ERROR_UNSUPPORTED, "a sum over one of two operands");
                        order_add(&orders[0], 2, einsum, a->labels[i]);
                        order_add(&orders[1], 1, einsum, a->labels[i]);
                }
        for (size_t i = 0; i < out->n; i++)
                if (!has(a, out->labels[i])) {
                        order_add(&orders[1], 2, einsum, out->labels[i]);
                        order_add(&orders[2], 2, einsum, out->labels[i]);
                }
        for (size_t i = 0; i < b->n; i++)
                if (!has(&orders[1].term, b->labels[i]))
                        return error_set(error, ERROR_UNSUPPORTED, "a sum over one of two operands");
        *ret_a = orders[0];
        *ret_b = orders[1];
        *ret_out = orders[2];
        return 0;
}

static struct shape shape_of(const struct term *term, const struct einsum *einsum) {
        struct shape shape = {.rank = term->n};

        for (size_t i = 0; i < term->n; i++)
                shape.dims[i] = einsum->size[term->labels[i]];
        return shape;
}

/* Dense data with the dimensions of from, seen in the order of to. */
static const struct layout *layout_of(struct kernels *kernels, const struct einsum *einsum,
                                      const struct term *from, const struct term *to) {
        struct shape dense_shape = shape_of(from, einsum), shape = shape_of(to, einsum);
        ptrdiff_t dense[TENSOR_MAX_RANK];
        size_t strides[TENSOR_MAX_RANK];

        if (to->n == 0)
                return layout_plain(kernels, &shape);
        strided_dense(dense, &dense_shape);
        for (size_t i = 0; i < to->n; i++)
                for (size_t k = 0; k < from->n; k++)
                        if (from->labels[k] == to->labels[i])
                                strides[i] = (size_t)dense[k];
        return layout_strided(kernels, &shape, strides);
}

static bool term_equal(const struct term *a, const struct term *b) {
        return a->n == b->n && memcmp(a->labels, b->labels, a->n) == 0;
}

/* operand, dense data in the order from, in the order to. */
static int permute(struct lowering *lowering, const struct node *node, const struct einsum *einsum,
                   const struct term *from, const struct term *to, struct operand operand,
                   struct operand *ret_operand, struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);

        if (!term_equal(from, to)) {
                operand.layout = layout_of(kernels, einsum, from, to);
                if (!operand.layout)
                        return error_no_memory(error);
                return lowering_reorder(lowering, node, operand, layout_of(kernels, einsum, to, to),
                                        ret_operand, error);
        }
        *ret_operand = operand;
        return 0;
}

/* An operand as the matrices of order, given as they lie or transposed where that needs no copy. */
static int matrix_use(struct lowering *lowering, const struct node *node, const struct einsum *einsum,
                      size_t input, const struct order *order, struct operand *ret_operand,
                      struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        struct shape matrix = {.rank = 3, .dims = {order->size[0], order->size[1], order->size[2]}};
        struct shape shape = shape_of(&einsum->in[input], einsum);
        size_t batch = order->n[0], rows = order->n[1], columns = order->n[2];
        struct term transposed = order->term;
        struct operand operand;
        int r;

        for (size_t i = 0; i < columns; i++)
                transposed.labels[batch + i] = order->term.labels[batch + rows + i];
        for (size_t i = 0; i < rows; i++)
                transposed.labels[batch + columns + i] = order->term.labels[batch + i];

        r = lowering_use(lowering, node->inputs[input], layout_plain(kernels, &shape), &operand, error);
        if (r < 0)
                return r;
        if (term_equal(&einsum->in[input], &transposed)) {
                operand.layout = layout_strided(
                        kernels, &matrix, (size_t[]){order->size[1] * order->size[2], 1, order->size[1]});
        } else {
                r = permute(lowering, node, einsum, &einsum->in[input], &order->term, operand, &operand,
                            error);
                if (r < 0)
                        return r;
                operand.layout = layout_plain(kernels, &matrix);
        }
        if (!operand.layout)
                return error_no_memory(error);
        *ret_operand = operand;
        return 0;
}

static int pair_lower(struct lowering *lowering, const struct node *node, const struct einsum *einsum,
                      struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        struct shape result_shape = shape_of(&einsum->out, einsum), matrix = {.rank = 3};
        struct operand operands[3], result;
        struct order a, b, out;
        const struct kernel *kernel;
        int r;

        r = orders_of(&a, &b, &out, einsum, error);
        if (r >= 0)
                r = matrix_use(lowering, node, einsum, 0, &a, &operands[0], error);
        if (r >= 0)
                r = matrix_use(lowering, node, einsum, 1, &b, &operands[1], error);
        if (r < 0)
                return r;
        memcpy(matrix.dims, out.size, sizeof(out.size));
        r = kernel_matmul_new(&kernel, kernels, operands[0].layout, operands[1].layout, &matrix, error);
        if (r >= 0)
                r = lowering_place(lowering, layout_plain(kernels, &matrix), &operands[2], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands,
                                  2.0 * (double)shape_elements(&matrix) * (double)a.size[2], error);
        if (r >= 0)
                r = permute(lowering, node, einsum, &out.term, &einsum->out, operands[2], &result, error);
        if (r < 0)
                return r;
        result.layout = layout_plain(kernels, &result_shape);
        if (!result.layout)
                return error_no_memory(error);
        lowering_define(lowering, node->outputs[0], result);
        return 0;
}

OPERATOR_LOWER(einsum) {
        struct kernels *kernels = lowering_kernels(lowering);
        struct operand operand;
        struct einsum einsum;
        struct shape shape;
        int r;

        r = einsum_read(&einsum, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        if (einsum.n_in == 2)
                return pair_lower(lowering, node, &einsum, error);
        if (einsum.in[0].n != einsum.out.n)
                return error_set(error, ERROR_UNSUPPORTED, "a sum over one operand");
        shape = shape_of(&einsum.in[0], &einsum);
        r = lowering_use(lowering, node->inputs[0], layout_plain(kernels, &shape), &operand, error);
        if (r >= 0)
                r = permute(lowering, node, &einsum, &einsum.in[0], &einsum.out, operand, &operand, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operand);
        return 0;
}
