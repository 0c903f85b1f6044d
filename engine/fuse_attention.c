/* fuse_attention: softmax(scale * Q K^T + addends) V, whatever Q, K and V are rearrangements of. */
#include <stdint.h>

#include "engine/native/attention.h"
#include "engine/ops/families.h"
#include "engine/rearrange_internal.h"

struct match {
        struct attention attention;
        uint32_t matrices[ATTENTION_OUT]; /* values: sources of Q, K and V */
        uint32_t addends[ATTENTION_MAX_ADDENDS];
        struct trace traces[ATTENTION_OUT];
};

/* The input of node, a product with (or quotient by) one constant, which goes into *scale; else VALUE_NONE.
 */
static uint32_t scaled_input(const struct graph *graph, const struct node *node, float *scale) {
        float factor;

        if (node_is(node, "Mul"))
                for (size_t i = 0; i < 2; i++)
                        if (pattern_scalar(graph, node, 1 - i, &factor)) {
                                *scale *= factor;
                                return node->inputs[i];
                        }
        if (node_is(node, "Div") && pattern_scalar(graph, node, 1, &factor) && factor != 0) {
                *scale /= factor;
                return node->inputs[0];
        }
        return VALUE_NONE;
}

/* value, or what it is a scaled copy of. */
static uint32_t without_scale(const struct rearrange *rearrange, uint32_t value, float *scale) {
        const struct pattern *pattern = &rearrange->pattern;
        uint32_t input = VALUE_NONE;

        if (pattern_uses(pattern, value) == 1)
                input = scaled_input(pattern->graph, pattern_producer(pattern, value), scale);
        return input == VALUE_NONE ? value : aliases_resolve(&rearrange->aliases, input);
}

/* ---- products ---- */

/* Is node an Einsum that multiplies matrices as MatMul does: "bij,bjk->bik", or with the second transposed:
 * "bij,bkj->bik"? */
static bool is_einsum(const struct node *node, bool transposed) {
        const char *equation = node_is(node, "Einsum") ? node_attribute_string(node, "equation", "") : "";
        char letters[3][TENSOR_MAX_RANK + 1] = {{0}};
        size_t term = 0, n = 0, rank, second;

        for (; *equation != '\0'; equation++) {
                if (*equation == ' ')
                        continue;
                if (*equation == ',' || *equation == '-') {
                        term++;
                        n = 0;
                        equation += *equation == '-' && equation[1] == '>';
                } else if (term > 2 || n == TENSOR_MAX_RANK || *equation == '.') {
                        return false;
                } else {
                        letters[term][n++] = *equation;
                }
        }
        rank = strlen(letters[0]);
        if (term != 2 || rank < 2 || strlen(letters[1]) != rank || strlen(letters[2]) != rank)
                return false;
        for (size_t i = 0; i + 2 < rank; i++)
                if (letters[1][i] != letters[0][i] || letters[2][i] != letters[0][i])
                        return false;
        for (size_t i = 0; i < rank; i++)
                if (strchr(letters[0] + i + 1, letters[0][i]))
                        return false;
        second = transposed ? rank - 1 : rank - 2; /* where the second has what is summed */
        return letters[1][second] == letters[0][rank - 1] && letters[2][rank - 2] == letters[0][rank - 2] &&
               letters[2][rank - 1] == letters[1][2 * rank - 3 - second] &&
               !strchr(letters[0], letters[2][rank - 1]);
}

/* ---- from the softmax back to the first product ---- */

/* A constant [..., queries, keys] that is added to a value of shape: which matrix of it each batch index
 * takes. Its dimensions of more than 1 must be neighbours. */
static bool addend_read(struct attention_addend *ret_addend, const struct shape *addend,
                        const struct shape *shape) {
        size_t lead = shape->rank - addend->rank, first = SIZE_MAX, last = 0;

        if (addend->rank > shape->rank || addend->rank < 2)
                return false;
        for (size_t d = lead; d < shape->rank; d++) {
                bool is_matrix = d + 2 >= shape->rank;

                if (addend->dims[d - lead] == shape->dims[d]) {
                        if (is_matrix || shape->dims[d] == 1)
                                continue;
                        first = MIN(first, d);
                        last = d;
                } else if (is_matrix || addend->dims[d - lead] != 1) {
                        return false;
                }
        }
        *ret_addend = (struct attention_addend){.divisor = 1, .n = 1};
        if (first == SIZE_MAX)
                return true;
        for (size_t d = first; d <= last; d++) {
                if (addend->dims[d - lead] != shape->dims[d])
                        return false;
                ret_addend->n *= shape->dims[d];
        }
        for (size_t d = last + 1; d + 2 < shape->rank; d++)
                ret_addend->divisor *= shape->dims[d];
        return true;
}

static bool same_matrices(const struct shape *a, const struct shape *b) {
        return a->rank >= 2 && b->rank >= 2 && a->dims[a->rank - 1] == b->dims[b->rank - 1] &&
               a->dims[a->rank - 2] == b->dims[b->rank - 2];
}

/* Adds node, an Add of a constant, to the match; false where it is another. *ret_value: what it is added to.
 */
static bool match_addend(struct match *match, const struct graph *graph, const struct node *node,
                         uint32_t *ret_value) {
        struct attention *attention = &match->attention;

        for (size_t i = 0; i < 2; i++) {
                const struct value *constant = &graph->values[node->inputs[1 - i]];

                if (!constant->constant || constant->dtype != DTYPE_F32 ||
                    attention->n_addends == ATTENTION_MAX_ADDENDS ||
                    !addend_read(&attention->addends[attention->n_addends], &constant->shape,
                                 &graph->values[node->inputs[i]].shape) ||
                    !shape_equal(&graph->values[node->inputs[i]].shape,
                                 &graph->values[node->outputs[0]].shape))
                        continue;
                match->addends[attention->n_addends++] = node->inputs[1 - i];
                *ret_value = node->inputs[i];
                return true;
        }
        return false;
}

#define STEPS_MAX 8u /* nodes between the two products; exporters write up to five */

/* The product Q K^T behind value, an input of the softmax: addends, and before them a factor. */
static const struct node *match_products(struct match *match, const struct rearrange *rearrange,
                                         uint32_t value) {
        const struct pattern *pattern = &rearrange->pattern;
        const struct graph *graph = rearrange->graph;
        bool scaled = false;

        for (size_t i = 0; i < STEPS_MAX; i++) {
                const struct node *node = pattern_producer(pattern, value);
                uint32_t input;

                if (!node || pattern_uses(pattern, value) != 1)
                        return NULL;
                if (node_is(node, "MatMul") || is_einsum(node, false) || is_einsum(node, true))
                        return node;
                if (node_is(node, "Reshape") || node_is(node, "Unsqueeze") || node_is(node, "Squeeze")) {
                        if (!same_matrices(&graph->values[node->inputs[0]].shape,
                                           &graph->values[value].shape))
                                return NULL;
                        value = node->inputs[0];
                } else if (node_is(node, "Add") && !scaled) {
                        if (!match_addend(match, graph, node, &value))
                                return NULL;
                } else {
                        input = scaled_input(graph, node, &match->attention.scale);
                        if (input == VALUE_NONE)
                                return NULL;
                        scaled = true;
                        value = input;
                }
        }
        return NULL;
}

/* ---- strides ---- */

/* The sizes of dims [first, last), and the strides of a matrix through them. false where there are too many,
 * or where sizes that another matrix has given differ. */
static bool match_strides(const struct trace *trace, size_t first, size_t last, size_t max, size_t *sizes,
                          size_t *n, size_t *strides) {
        size_t count = 0;

        for (size_t d = first; d < last; d++)
                for (size_t i = 0; i < trace->dims[d].n_atoms; i++) {
                        struct trace_atom atom = trace->dims[d].atoms[i];

                        if (count == max || (*n != SIZE_MAX && (count >= *n || sizes[count] != atom.size)))
                                return false;
                        sizes[count] = atom.size;
                        strides[count++] = atom.step;
                }
        if (*n != SIZE_MAX && *n != count)
                return false;
        *n = count;
        return true;
}

static bool is_dense_row(const struct trace_dim *dim) {
        return dim->n_atoms == 0 || (dim->n_atoms == 1 && dim->atoms[0].step == 1);
}

static bool match_matrices(struct match *match) {
        struct attention *a = &match->attention;
        const struct trace *q = &match->traces[ATTENTION_Q], *k = &match->traces[ATTENTION_K];
        const struct trace *v = &match->traces[ATTENTION_V];
        struct attention_strides *strides = a->strides;
        size_t rank = q->rank;

        if (rank < 2 || k->rank != rank || v->rank != rank || !is_dense_row(&q->dims[rank - 1]) ||
            !is_dense_row(&k->dims[rank - 2]) || !is_dense_row(&v->dims[rank - 1]) ||
            k->dims[rank - 2].size != q->dims[rank - 1].size ||
            v->dims[rank - 2].size != k->dims[rank - 1].size)
                return false;
        for (size_t d = 0; d + 2 < rank; d++)
                if (q->dims[d].size != k->dims[d].size || q->dims[d].size != v->dims[d].size)
                        return false;
        a->n_batch_dims = a->n_query_dims = a->n_key_dims = SIZE_MAX;
        a->depth = q->dims[rank - 1].size;
        a->out_depth = v->dims[rank - 1].size;
        for (size_t i = 0; i < ATTENTION_OUT; i++) {
                strides[i].offset = match->traces[i].offset;
                if (!match_strides(&match->traces[i], 0, rank - 2, ATTENTION_MAX_BATCH_DIMS, a->batch,
                                   &a->n_batch_dims, strides[i].batch))
                        return false;
        }
        return match_strides(q, rank - 2, rank - 1, ATTENTION_MAX_ROW_DIMS, a->queries, &a->n_query_dims,
                             strides[ATTENTION_Q].rows) &&
               match_strides(k, rank - 1, rank, ATTENTION_MAX_ROW_DIMS, a->keys, &a->n_key_dims,
                             strides[ATTENTION_K].rows) &&
               match_strides(v, rank - 2, rank - 1, ATTENTION_MAX_ROW_DIMS, a->keys, &a->n_key_dims,
                             strides[ATTENTION_V].rows);
}

/* ---- the result ---- */

/* The step of the result for an atom of Q: a row of it for a row of Q's source, and in it a part for each
 * head. */
static size_t out_step(struct trace_atom atom, size_t row, size_t heads_step, size_t out_row,
                       size_t out_depth) {
        return atom.step >= row ? atom.step / row * out_row : atom.step / heads_step * out_depth;
}

/*
 * The result lies as Q does: where heads are parts of a row of Q's source, the parts of one row. *ret_shape:
 * of a value that holds all results, *ret_trace: where those of the product lie in it. false where Q's order
 * does not say it.
 */
static bool place_result(struct match *match, const struct shape *source, struct shape *ret_shape,
                         struct trace *ret_trace) {
        struct attention *a = &match->attention;
        struct trace trace = match->traces[ATTENTION_Q];
        size_t row = source->rank > 0 ? source->dims[source->rank - 1] : 0, heads = 1, heads_step = a->depth;
        size_t out_row, n;

        if (row == 0)
                return false;
        for (size_t d = 0; d + 1 < trace.rank; d++)
                for (size_t i = 0; i < trace.dims[d].n_atoms; i++) {
                        struct trace_atom atom = trace.dims[d].atoms[i];

                        if (atom.step >= row) {
                                if (atom.step % row != 0)
                                        return false;
                        } else if (heads > 1 || atom.step < a->depth) {
                                return false;
                        } else {
                                heads = atom.size;
                                heads_step = atom.step;
                        }
                }
        out_row = heads * a->out_depth;
        for (size_t d = 0; d + 1 < trace.rank; d++)
                for (size_t i = 0; i < trace.dims[d].n_atoms; i++)
                        trace.dims[d].atoms[i].step =
                                out_step(trace.dims[d].atoms[i], row, heads_step, out_row, a->out_depth);
        n = a->out_depth;
        trace.dims[trace.rank - 1] =
                (struct trace_dim){.size = n, .n_atoms = n > 1, .atoms = {{.size = n, .step = 1}}};
        trace.offset = 0;
        *ret_shape = *source;
        ret_shape->dims[source->rank - 1] = out_row;
        *ret_trace = trace;
        if (!trace_covers(&trace, ret_shape))
                return false;

        if (!match_strides(&trace, 0, trace.rank - 2, ATTENTION_MAX_BATCH_DIMS, a->batch, &a->n_batch_dims,
                           a->strides[ATTENTION_OUT].batch))
                return false;
        return match_strides(&trace, trace.rank - 2, trace.rank - 1, ATTENTION_MAX_ROW_DIMS, a->queries,
                             &a->n_query_dims, a->strides[ATTENTION_OUT].rows);
}

static int push_attention(struct rearrange *rearrange, const struct node *node, const struct match *match,
                          const struct shape *shape, struct trace trace, struct error *error) {
        struct graph *graph = rearrange->graph;
        struct node attention = {
                .name = node->name, .type = "Attention", .domain = "", .opset = graph->opset};
        size_t n_addends = match->attention.n_addends;
        uint32_t *outputs;
        int r;

        r = rearrange_add_value(rearrange, &trace.source, node->name, shape, error);
        if (r < 0)
                return r;
        attention.op = operator_find_internal("Attention");
        attention.attention = pool_copy(graph->pool, &match->attention, 1, sizeof(match->attention));
        attention.inputs = pool_allocate(graph->pool, ATTENTION_OUT + n_addends, sizeof(uint32_t));
        attention.outputs = outputs = pool_copy(graph->pool, &trace.source, 1, sizeof(uint32_t));
        if (!attention.attention || !attention.inputs || !outputs)
                return error_no_memory(error);
        memcpy(attention.inputs, match->matrices, sizeof(match->matrices));
        memcpy(attention.inputs + ATTENTION_OUT, match->addends, n_addends * sizeof(uint32_t));
        attention.n_inputs = ATTENTION_OUT + n_addends;
        attention.n_outputs = 1;
        r = rearrange_push(rearrange, &attention, error);
        if (r >= 0)
                r = rearrange_set_trace(rearrange, node->outputs[0], &trace, error);
        return r < 0 ? r : rearrange_make(rearrange, node->outputs[0], node->name, error);
}

static bool is_softmax_of_rows(const struct graph *graph, const struct node *node) {
        size_t axis, rank = graph->values[node->inputs[0]].shape.rank;

        return axis_normalise(&axis, node_attribute_integer(node, "axis", node->opset < 13 ? 1 : -1), rank,
                              NULL) >= 0 &&
               axis + 1 == rank;
}

int rearrange_attention(struct rearrange *rearrange, const struct node *node, bool *ret_done,
                        struct error *error) {
        const struct pattern *pattern = &rearrange->pattern;
        const struct graph *graph = rearrange->graph;
        const struct node *softmax = pattern_input(pattern, node, 0, "Softmax", 1), *product;
        struct match match = {.attention = {.scale = 1}};
        uint32_t values[ATTENTION_OUT];
        struct shape shape;
        struct trace trace;

        *ret_done = false;
        if (!softmax || !is_softmax_of_rows(graph, softmax) ||
            !(node_is(node, "MatMul") || is_einsum(node, false)))
                return 0;
        product = match_products(&match, rearrange, softmax->inputs[0]);
        if (!product)
                return 0;
        values[ATTENTION_Q] = without_scale(rearrange, product->inputs[0], &match.attention.scale);
        values[ATTENTION_K] = without_scale(rearrange, product->inputs[1], &match.attention.scale);
        values[ATTENTION_V] = node->inputs[1];
        for (size_t i = 0; i < ATTENTION_OUT; i++) {
                match.traces[i] = rearrange_trace(rearrange, values[i]);
                match.matrices[i] = match.traces[i].source;
                if (graph->values[match.matrices[i]].dtype != DTYPE_F32)
                        return 0;
        }
        if (is_einsum(product, true)) {
                struct trace *k = &match.traces[ATTENTION_K];
                struct trace_dim keys = k->dims[k->rank - 2];

                k->dims[k->rank - 2] = k->dims[k->rank - 1];
                k->dims[k->rank - 1] = keys;
        }
        if (!match_matrices(&match) ||
            !place_result(&match, &graph->values[match.matrices[ATTENTION_Q]].shape, &shape, &trace))
                return 0;
        *ret_done = true;
        return push_attention(rearrange, node, &match, &shape, trace, error);
}
