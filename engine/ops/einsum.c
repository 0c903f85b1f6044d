#include <ctype.h>
#include <string.h>

#include "engine/ops/native.h"

/*
 * Einsum of one or two operands. What attention needs is transposition and matrix multiplication: labels
 * that both operands and the result have are batches, those that only the operands have are summed over.
 * Anything else, diagonals and sums over one operand, is a loop over all labels.
 */

#define LETTERS 52u /* of the alphabet, in both cases */
#define LABELS                                                                                              \
        (LETTERS + TENSOR_MAX_RANK) /* and those of the dots: the last dimension of them is the last label  \
                                     */

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

static bool has_twice(const struct term *term) {
        for (size_t i = 0; i < term->n; i++)
                for (size_t k = 0; k < i; k++)
                        if (term->labels[i] == term->labels[k])
                                return true;
        return false;
}

static int label_add(struct term *term, size_t label, struct error *error) {
        if (term->n == TENSOR_MAX_RANK)
                return error_set(error, ERROR_LIMIT, "a term of more than %u dimensions", TENSOR_MAX_RANK);
        term->labels[term->n++] = (unsigned char)label;
        return 0;
}

/* The letters up to end; three dots are n_dots dimensions. */
static int term_read(struct term *ret_term, const char *text, const char *end, size_t n_dots,
                     struct error *error) {
        struct term term = {0};
        int r = 0;

        for (; text < end && r >= 0; text++) {
                if (*text == ' ')
                        continue;
                if (end - text >= 3 && strncmp(text, "...", 3) == 0) {
                        for (size_t i = 0; i < n_dots && r >= 0; i++)
                                r = label_add(&term, LABELS - n_dots + i, error);
                        text += 2;
                } else if (isascii(*text) && isalpha(*text)) {
                        r = label_add(&term, label_of(*text), error);
                } else {
                        r = error_set(error, ERROR_UNSUPPORTED, "'%c' in the equation", *text);
                }
        }
        if (r >= 0)
                *ret_term = term;
        return r;
}

/* How many dimensions the dots of a term stand for, in an operand of rank. */
static size_t count_dots(const char *text, const char *end, size_t rank) {
        size_t n = 0;

        for (const char *at = text; at < end; at++)
                n += isascii(*at) && isalpha(*at);
        return memchr(text, '.', (size_t)(end - text)) && rank > n ? rank - n : 0;
}

/* Without an arrow: the dots, then the letters that occur once, in alphabetical order, capitals first. */
static int output_implied(struct einsum *einsum, size_t n_dots, struct error *error) {
        int r = 0;

        for (size_t i = 0; i < n_dots && r >= 0; i++)
                r = label_add(&einsum->out, LABELS - n_dots + i, error);
        for (size_t i = 0; i < LETTERS && r >= 0; i++) {
                size_t label = (i + 26) % LETTERS, n = 0;

                for (size_t k = 0; k < einsum->n_in; k++)
                        for (size_t d = 0; d < einsum->in[k].n; d++)
                                n += einsum->in[k].labels[d] == label;
                if (n == 1)
                        r = label_add(&einsum->out, label, error);
        }
        return r;
}

static int operand_read(struct einsum *einsum, size_t k, const struct value *x, const char *text,
                        const char *end, struct error *error) {
        struct term *term = &einsum->in[k];
        int r;

        r = term_read(term, text, end, count_dots(text, end, x->shape.rank), error);
        if (r < 0)
                return r;
        if (term->n != x->shape.rank)
                return error_set(error, ERROR_INVALID, "%zu letters for '%s' of rank %zu", term->n, x->name,
                                 x->shape.rank);
        for (size_t i = 0; i < term->n; i++) {
                size_t *size = &einsum->size[term->labels[i]];

                if (*size != 0 && *size != x->shape.dims[i])
                        return error_set(error,
                                         *size == 1 || x->shape.dims[i] == 1 ? ERROR_UNSUPPORTED
                                                                             : ERROR_INVALID,
                                         "one label for %zu and %zu", *size, x->shape.dims[i]);
                *size = x->shape.dims[i];
        }
        return 0;
}

static int einsum_read(struct einsum *ret_einsum, const struct graph *graph, const struct node *node,
                       struct error *error) {
        const char *equation = node_attribute_string(node, "equation", ""), *arrow = strstr(equation, "->");
        const char *end = arrow ? arrow : equation + strlen(equation), *at = equation;
        struct einsum einsum = {.n_in = node->n_inputs};
        size_t n_dots = 0;
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
                if (r >= 0 && shape_elements(&x->shape) == 0)
                        r = error_set(error, ERROR_UNSUPPORTED, "'%s' has no elements", x->name);
                if (r >= 0)
                        r = operand_read(&einsum, k, x, at, comma ? comma : end, error);
                if (r < 0)
                        return r;
                n_dots = MAX(n_dots, count_dots(at, comma ? comma : end, x->shape.rank));
                at = comma ? comma + 1 : end;
        }
        r = arrow ? term_read(&einsum.out, arrow + 2, equation + strlen(equation), n_dots, error)
                  : output_implied(&einsum, n_dots, error);
        if (r < 0)
                return r;
        if (has_twice(&einsum.out))
                return error_set(error, ERROR_INVALID, "a label twice in the result");
        for (size_t i = 0; i < einsum.out.n; i++)
                if (einsum.size[einsum.out.labels[i]] == 0)
                        return error_set(error, ERROR_INVALID, "a label of the result that no operand has");
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
        graph_set_output(graph, node, graph->values[node->inputs[0]].dtype, &shape);
        return 0;
}

/* ---- the loop over all labels ---- */

/* The labels of the result come first; an operand's step is that of all its dimensions with the label. */
struct general {
        size_t n_in, n_out, n;
        int64_t dims[2 * TENSOR_MAX_RANK];
        ptrdiff_t steps[2][2 * TENSOR_MAX_RANK];
        double operations;
};

static void general_add(struct general *general, const struct einsum *einsum, size_t label) {
        for (size_t k = 0; k < einsum->n_in; k++) {
                ptrdiff_t step = 1, sum = 0;

                for (size_t i = einsum->in[k].n; i-- > 0;) {
                        sum += einsum->in[k].labels[i] == label ? step : 0;
                        step *= (ptrdiff_t)einsum->size[einsum->in[k].labels[i]];
                }
                general->steps[k][general->n] = sum;
        }
        general->operations *= (double)einsum->size[label];
        general->dims[general->n++] = (int64_t)einsum->size[label];
}

static struct general general_of(const struct einsum *einsum) {
        struct general general = {.n_in = einsum->n_in, .n_out = einsum->out.n, .operations = 1};

        for (size_t i = 0; i < einsum->out.n; i++)
                general_add(&general, einsum, einsum->out.labels[i]);
        /* Each operand has 8 dimensions at most, so that there are no more than 16 different labels. */
        for (size_t label = 0; label < LABELS; label++)
                if (einsum->size[label] > 0 && !has(&einsum->out, label))
                        general_add(&general, einsum, label);
        return general;
}

static ptrdiff_t general_offset(const struct general *p, size_t operand, const int64_t *index) {
        ptrdiff_t offset = 0;

        for (size_t i = 0; i < p->n; i++)
                offset += p->steps[operand][i] * (ptrdiff_t)index[i];
        return offset;
}

#define GENERAL(type)                                                                                       \
        static void general_##type(const struct general *p, const type *a, const type *b, type *dst) {      \
                int64_t index[2 * TENSOR_MAX_RANK] = {0};                                                   \
                                                                                                            \
                do {                                                                                        \
                        double sum = 0;                                                                     \
                                                                                                            \
                        do                                                                                  \
                                sum += (double)a[general_offset(p, 0, index)] *                             \
                                       (b ? (double)b[general_offset(p, 1, index)] : 1);                    \
                        while (box_advance(index + p->n_out, p->dims + p->n_out, p->n - p->n_out));         \
                        *dst++ = (type)sum;                                                                 \
                } while (box_advance(index, p->dims, p->n_out));                                            \
        }

GENERAL(float)
GENERAL(double)

static void general_run(const void *params, void *const *addresses) {
        const struct general *p = params;

        general_float(p, addresses[0], p->n_in > 1 ? addresses[1] : NULL, addresses[p->n_in]);
}

static int general_lower(struct lowering *lowering, const struct node *node, const struct einsum *einsum,
                         struct error *error) {
        struct general general = general_of(einsum);

        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:einsum",
                                    .function = general_run,
                                    .params = &general,
                                    .params_bytes = sizeof(general),
                                    .inputs = {0, 1},
                                    .n_inputs = general.n_in,
                                    .n_outputs = 1,
                                    .flop = 2.0 * general.operations,
                            },
                            error);
}

OPERATOR_FOLD(einsum) {
        const struct tensor *a = graph_input_constant(graph, node, 0),
                            *b = graph_input_constant(graph, node, 1);
        struct general general;
        struct einsum einsum;
        int r;

        r = einsum_read(&einsum, graph, node, error);
        if (r < 0)
                return r;
        general = general_of(&einsum);
        if ((a->dtype != DTYPE_F32 && a->dtype != DTYPE_F64) || (b && b->dtype != a->dtype))
                return error_set(error, ERROR_UNSUPPORTED, "of %s constants", dtype_name(a->dtype));
        if (general.operations > FOLD_MAX_OPERATIONS)
                return error_set(error, ERROR_LIMIT, "%g operations on constants", general.operations);
        r = tensor_new(ret_tensor, a->dtype, &graph->values[node->outputs[0]].shape, error);
        if (r < 0)
                return r;
        if (a->dtype == DTYPE_F32)
                general_float(&general, a->data, b ? b->data : NULL, (*ret_tensor)->data);
        else
                general_double(&general, a->data, b ? b->data : NULL, (*ret_tensor)->data);
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

/* Batches and rows as the result has them; summed ones as the first operand has them. false where it is no
 * product of matrices. */
static bool orders_of(struct order *ret_a, struct order *ret_b, struct order *ret_out,
                      const struct einsum *einsum) {
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
                                return false;
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
                        return false;
        *ret_a = orders[0];
        *ret_b = orders[1];
        *ret_out = orders[2];
        return true;
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

        if (has_twice(&einsum->in[0]) || has_twice(&einsum->in[1]) || !orders_of(&a, &b, &out, einsum))
                return general_lower(lowering, node, einsum, error);
        r = need_float(&lowering_graph(lowering)->values[node->inputs[0]], error);
        if (r >= 0)
                r = need_float(&lowering_graph(lowering)->values[node->inputs[1]], error);
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
        r = need_float(&lowering_graph(lowering)->values[node->inputs[0]], error);
        if (r < 0)
                return r;
        if (einsum.in[0].n != einsum.out.n || has_twice(&einsum.in[0]))
                return general_lower(lowering, node, &einsum, error);
        shape = shape_of(&einsum.in[0], &einsum);
        r = lowering_use(lowering, node->inputs[0], layout_plain(kernels, &shape), &operand, error);
        if (r >= 0)
                r = permute(lowering, node, &einsum, &einsum.in[0], &einsum.out, operand, &operand, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operand);
        return 0;
}
