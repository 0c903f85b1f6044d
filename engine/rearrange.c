#include "engine/rearrange.h"

#include <stdint.h>

#include "engine/ops/families.h"
#include "engine/rearrange_internal.h"
#include "engine/trace_node.h"

static void rearrange_release(struct rearrange *rearrange) {
        pattern_release(&rearrange->pattern);
        aliases_release(&rearrange->aliases);
        free(rearrange->traces);
        free(rearrange->nodes);
}

/* ---- traces, values, nodes ---- */

struct trace rearrange_trace(const struct rearrange *rearrange, uint32_t value) {
        if (value < rearrange->n_traces && rearrange->traces[value].rank != SIZE_MAX)
                return rearrange->traces[value];
        return trace_itself(value, &rearrange->graph->values[value].shape);
}

int rearrange_set_trace(struct rearrange *rearrange, uint32_t value, const struct trace *trace,
                        struct error *error) {
        if (value >= rearrange->n_traces) {
                size_t n = MAX(2 * (size_t)value, 64u);
                struct trace *traces = reallocarray(rearrange->traces, n, sizeof(*traces));

                if (!traces)
                        return error_no_memory(error);
                for (size_t i = rearrange->n_traces; i < n; i++)
                        traces[i].rank = SIZE_MAX;
                rearrange->traces = traces;
                rearrange->n_traces = n;
        }
        rearrange->traces[value] = *trace;
        return 0;
}

int rearrange_push(struct rearrange *rearrange, const struct node *node, struct error *error) {
        if (rearrange->n_nodes == rearrange->n_nodes_allocated) {
                size_t n = MAX(2 * rearrange->n_nodes_allocated, 64u);
                struct node *nodes = reallocarray(rearrange->nodes, n, sizeof(*nodes));

                if (!nodes)
                        return error_no_memory(error);
                rearrange->nodes = nodes;
                rearrange->n_nodes_allocated = n;
        }
        rearrange->nodes[rearrange->n_nodes++] = *node;
        return 0;
}

int rearrange_add_value(struct rearrange *rearrange, uint32_t *ret_value, const char *name,
                        const struct shape *shape, struct error *error) {
        struct graph *graph = rearrange->graph;
        int r;

        r = graph_add_value(graph, ret_value, name, error);
        if (r < 0)
                return r;
        graph->values[*ret_value].known = true;
        graph->values[*ret_value].dtype = DTYPE_F32;
        graph->values[*ret_value].shape = *shape;
        return 0;
}

static int set_values(struct rearrange *rearrange, struct node *node, const uint32_t *inputs, size_t n,
                      uint32_t output, struct error *error) {
        node->inputs = pool_copy(rearrange->graph->pool, inputs, n, sizeof(*inputs));
        node->outputs = pool_copy(rearrange->graph->pool, &output, 1, sizeof(output));
        if (!node->inputs || !node->outputs)
                return error_no_memory(error);
        node->n_inputs = n;
        node->n_outputs = 1;
        return 0;
}

static int push_view(struct rearrange *rearrange, const char *name, uint32_t from, uint32_t to,
                     struct error *error) {
        struct node node = {.name = name, .type = "View", .domain = "", .opset = rearrange->graph->opset};
        int r;

        node.op = operator_find_internal("View");
        r = set_values(rearrange, &node, &from, 1, to, error);
        return r < 0 ? r : rearrange_push(rearrange, &node, error);
}

static int push_transpose(struct rearrange *rearrange, const char *name, uint32_t from, uint32_t to,
                          const size_t *permutation, size_t rank, struct error *error) {
        struct graph *graph = rearrange->graph;
        struct node node = {.name = name, .type = "Transpose", .domain = "", .opset = graph->opset};
        struct attribute *attribute = pool_allocate(graph->pool, 1, sizeof(*attribute));
        int64_t *ints = pool_allocate(graph->pool, rank, sizeof(*ints));
        int r;

        if (!attribute || !ints)
                return error_no_memory(error);
        for (size_t i = 0; i < rank; i++)
                ints[i] = (int64_t)permutation[i];
        *attribute = (struct attribute){.name = "perm", .type = ATTRIBUTE_INTS, .ints = ints, .n = rank};
        node.attributes = attribute;
        node.n_attributes = 1;
        node.op = operator_find("", "Transpose", graph->opset);
        r = set_values(rearrange, &node, &from, 1, to, error);
        return r < 0 ? r : rearrange_push(rearrange, &node, error);
}

/* What a Transpose that is there already makes of value; VALUE_NONE where there is none. */
static uint32_t find_transpose(const struct rearrange *rearrange, uint32_t value, const size_t *permutation,
                               size_t rank) {
        for (size_t i = rearrange->n_nodes; i-- > 0;) {
                const struct node *node = &rearrange->nodes[i];
                const struct attribute *perm = node_attribute(node, "perm");
                size_t same = 0;

                if (!node_is(node, "Transpose") || node->inputs[0] != value || !perm || perm->n != rank)
                        continue;
                while (same < rank && perm->ints[same] == (int64_t)permutation[same])
                        same++;
                if (same == rank)
                        return node->outputs[0];
        }
        return VALUE_NONE;
}

/* Moves the last node to where its input is made, so that it comes before everything else that reads it. */
static void move_to_input(struct rearrange *rearrange) {
        const struct node last = rearrange->nodes[rearrange->n_nodes - 1];
        size_t at = rearrange->n_nodes - 1;

        for (; at > 0; at--) {
                const struct node *before = &rearrange->nodes[at - 1];
                bool makes = false;

                for (size_t i = 0; i < before->n_outputs; i++)
                        makes |= before->outputs[i] == last.inputs[0];
                if (makes)
                        break;
                rearrange->nodes[at] = *before;
        }
        rearrange->nodes[at] = last;
}

/* value with its dimensions in another order, as early as can be: what there is already, or a new node. */
static int transpose_of(struct rearrange *rearrange, const char *name, uint32_t value,
                        const size_t *permutation, size_t rank, uint32_t *ret_value, struct error *error) {
        const struct shape shape = rearrange->graph->values[value].shape;
        uint32_t found = find_transpose(rearrange, value, permutation, rank);
        struct shape transposed = {.rank = rank};
        int r;

        if (found != VALUE_NONE) {
                *ret_value = found;
                return 0;
        }
        for (size_t i = 0; i < rank; i++)
                transposed.dims[i] = shape.dims[permutation[i]];
        r = rearrange_add_value(rearrange, ret_value, name, &transposed, error);
        if (r >= 0)
                r = push_transpose(rearrange, name, value, *ret_value, permutation, rank, error);
        if (r < 0)
                return r;
        move_to_input(rearrange);
        return 0;
}

/* Brings the channels of a source [N, C, H, W] to its end, where they are the rows that trace has: a
 * convolution can give them in that order for nothing. */
static int bring_channels_last(struct rearrange *rearrange, const char *name, struct trace *trace,
                               struct error *error) {
        const struct shape shape = rearrange->graph->values[trace->source].shape;
        size_t c = shape.rank == 4 ? shape.dims[1] : 0, pixels = c > 0 ? shape.dims[2] * shape.dims[3] : 0;
        const struct trace_dim *last = trace->rank > 0 ? &trace->dims[trace->rank - 1] : NULL;
        struct trace moved = *trace;
        int r;

        if (c < 2 || pixels < 2 || !last || last->n_atoms != 1 || last->size != c ||
            last->atoms[0].step != pixels || !trace_covers(trace, &shape))
                return 0;
        for (size_t d = 0; d < moved.rank; d++)
                for (size_t i = 0; i < moved.dims[d].n_atoms; i++) {
                        struct trace_atom *atom = &moved.dims[d].atoms[i];

                        if (atom->step < pixels && atom->step * atom->size <= pixels)
                                atom->step *= c;
                        else if (atom->step == pixels && atom->size == c)
                                atom->step = 1;
                        else if (atom->step < c * pixels)
                                return 0;
                }
        r = transpose_of(rearrange, name, trace->source, (size_t[]){0, 2, 3, 1}, 4, &moved.source, error);
        if (r < 0)
                return r;
        *trace = moved;
        return 0;
}

/* Shapes of the source with a dimension for each atom, and of those in the value's order. */
static bool split_shapes(const struct trace *trace, struct shape *ret_split, struct shape *ret_ordered,
                         size_t permutation[TENSOR_MAX_RANK]) {
        struct trace_atom atoms[TENSOR_MAX_RANK];
        size_t n = trace_atoms(trace, 0, trace->rank, atoms, TENSOR_MAX_RANK);

        if (n == SIZE_MAX)
                return false;
        ret_split->rank = ret_ordered->rank = n;
        for (size_t i = 0; i < n; i++) {
                size_t place = 0;

                for (size_t k = 0; k < n; k++)
                        place += atoms[k].step > atoms[i].step;
                permutation[i] = place;
                ret_split->dims[place] = ret_ordered->dims[i] = atoms[i].size;
        }
        return true;
}

int rearrange_make(struct rearrange *rearrange, uint32_t value, const char *name, struct error *error) {
        struct trace trace = rearrange_trace(rearrange, value);
        struct shape source = rearrange->graph->values[trace.source].shape;
        size_t permutation[TENSOR_MAX_RANK];
        struct shape split, ordered;
        uint32_t values[2];
        int r;

        if (!trace_is_reshape(&trace, &source) && !trace_is_transpose(&trace, &source, permutation)) {
                r = bring_channels_last(rearrange, name, &trace, error);
                if (r < 0)
                        return r;
                source = rearrange->graph->values[trace.source].shape;
        }
        if (trace_is_reshape(&trace, &source))
                return push_view(rearrange, name, trace.source, value, error);
        if (trace_is_transpose(&trace, &source, permutation))
                return push_transpose(rearrange, name, trace.source, value, permutation, trace.rank, error);
        if (!split_shapes(&trace, &split, &ordered, permutation))
                return error_set(error, ERROR_LIMIT, "a rearrangement of more than %u dimensions",
                                 TENSOR_MAX_RANK);
        r = rearrange_add_value(rearrange, &values[0], name, &split, error);
        if (r >= 0)
                r = rearrange_add_value(rearrange, &values[1], name, &ordered, error);
        if (r >= 0)
                r = push_view(rearrange, name, trace.source, values[0], error);
        if (r >= 0)
                r = push_transpose(rearrange, name, values[0], values[1], permutation, split.rank, error);
        return r < 0 ? r : push_view(rearrange, name, values[1], value, error);
}

/* ---- what only rearranges ---- */

/* Would rearrange_make() need no more than one step for what trace says of a source of shape? */
static bool is_one_step(const struct trace *trace, const struct shape *shape) {
        const struct trace_dim *last = trace->rank > 0 ? &trace->dims[trace->rank - 1] : NULL;
        size_t permutation[TENSOR_MAX_RANK];

        return trace_is_reshape(trace, shape) || trace_is_transpose(trace, shape, permutation) ||
               (trace->rank == 3 && shape->rank == 4 && last->n_atoms == 1 && last->size == shape->dims[1] &&
                last->atoms[0].step == shape->dims[2] * shape->dims[3] && trace->dims[1].n_atoms == 1 &&
                trace->dims[1].atoms[0].step == 1 && trace_covers(trace, shape));
}

/* Traces what a rearranging node gives; it goes where that is its source, and is simplified where that is
 * one step away. */
static int visit_rearranging(struct rearrange *rearrange, struct node *node, bool *ret_done,
                             struct error *error) {
        struct graph *graph = rearrange->graph;
        struct trace trace = rearrange_trace(rearrange, node->inputs[0]);
        struct shape source = graph->values[trace.source].shape;
        size_t permutation[TENSOR_MAX_RANK];
        uint32_t out = node->outputs[0], same = VALUE_NONE;
        int r;

        *ret_done = false;
        if (!trace_node(graph, node, &trace))
                return 0;
        r = rearrange_set_trace(rearrange, out, &trace, error);
        if (r < 0)
                return r;
        if (trace_is_reshape(&trace, &source) && shape_equal(&source, &graph->values[out].shape) &&
            trace.source != graph->input)
                same = trace.source;
        else if (trace_is_transpose(&trace, &source, permutation))
                same = find_transpose(rearrange, trace.source, permutation, trace.rank);
        if (same != VALUE_NONE) {
                if (same < rearrange->pattern.n)
                        rearrange->pattern.uses[same] += pattern_uses(&rearrange->pattern, out);
                aliases_set(&rearrange->aliases, out, same);
                *ret_done = true;
        } else if (is_one_step(&trace, &source)) {
                *ret_done = true;
                return rearrange_make(rearrange, out, node->name, error);
        }
        return 0;
}

/* Split: each output is a slice. */
static int trace_split(struct rearrange *rearrange, const struct node *node, struct error *error) {
        const struct graph *graph = rearrange->graph;
        const struct trace whole = rearrange_trace(rearrange, node->inputs[0]);
        size_t axis, begin = 0;
        int r;

        if (axis_normalise(&axis, node_attribute_integer(node, "axis", 0), whole.rank, NULL) < 0)
                return 0;
        for (size_t i = 0; i < node->n_outputs; i++) {
                struct trace part = whole;
                size_t n;

                if (node->outputs[i] == VALUE_NONE)
                        return 0;
                n = graph->values[node->outputs[i]].shape.dims[axis];
                if (!trace_slice(&part, axis, begin, n))
                        return 0;
                r = rearrange_set_trace(rearrange, node->outputs[i], &part, error);
                if (r < 0)
                        return r;
                begin += n;
        }
        return 0;
}

/* ---- what moves before a rearrangement ---- */

/* node reads inputs instead of its first n_inputs and makes a value of shape, of which its output is trace.
 */
static int move(struct rearrange *rearrange, const struct node *node, const uint32_t *inputs,
                size_t n_inputs, const struct shape *shape, struct trace trace, struct error *error) {
        struct node moved = *node;
        uint32_t all[3], out;
        int r;

        for (size_t i = 0; i < node->n_inputs; i++)
                all[i] = i < n_inputs ? inputs[i] : node->inputs[i];
        r = rearrange_add_value(rearrange, &out, node->name, shape, error);
        if (r >= 0)
                r = set_values(rearrange, &moved, all, node->n_inputs, out, error);
        if (r >= 0)
                r = rearrange_push(rearrange, &moved, error);
        trace.source = out;
        if (r >= 0)
                r = rearrange_set_trace(rearrange, node->outputs[0], &trace, error);
        return r < 0 ? r : rearrange_make(rearrange, node->outputs[0], node->name, error);
}

/* Are the rows of the value rows of its source, all of them? */
static bool traces_rows(const struct trace *trace, const struct shape *source) {
        const struct trace_dim *last = trace->rank > 0 ? &trace->dims[trace->rank - 1] : NULL;

        return last && last->n_atoms == 1 && last->atoms[0].step == 1 && source->rank > 0 &&
               last->size == source->dims[source->rank - 1] && trace_covers(trace, source);
}

/* A node that makes rows out of rows. */
static int visit_rows(struct rearrange *rearrange, const struct node *node, bool *ret_done,
                      struct error *error) {
        const struct graph *graph = rearrange->graph;
        struct trace trace = rearrange_trace(rearrange, node->inputs[0]);
        const struct shape *out = &graph->values[node->outputs[0]].shape;
        size_t k, n = out->dims[out->rank - 1];
        struct shape source;
        int r;

        *ret_done = false;
        if (trace.source == node->inputs[0])
                return 0;
        r = bring_channels_last(rearrange, node->name, &trace, error);
        if (r < 0)
                return r;
        source = rearrange->graph->values[trace.source].shape;
        if (!traces_rows(&trace, &source))
                return 0;
        k = source.dims[source.rank - 1];
        source.dims[source.rank - 1] = n;
        for (size_t d = 0; d < trace.rank; d++)
                for (size_t i = 0; i < trace.dims[d].n_atoms; i++)
                        trace.dims[d].atoms[i].step = trace.dims[d].atoms[i].step / k * n;
        trace.dims[trace.rank - 1] =
                (struct trace_dim){.size = n, .n_atoms = n > 1, .atoms = {{.size = n, .step = 1}}};
        *ret_done = true;
        return move(rearrange, node, &trace.source, 1, &source, trace, error);
}

static int visit_unary(struct rearrange *rearrange, const struct node *node, bool *ret_done,
                       struct error *error) {
        struct trace trace = rearrange_trace(rearrange, node->inputs[0]);
        const struct shape source = rearrange->graph->values[trace.source].shape;

        *ret_done = trace.source != node->inputs[0] && trace_covers(&trace, &source);
        return *ret_done ? move(rearrange, node, &trace.source, 1, &source, trace, error) : 0;
}

static bool made_by_rows(const struct rearrange *rearrange, uint32_t value) {
        for (size_t i = rearrange->n_nodes; i-- > 0;)
                if (rearrange->nodes[i].outputs[0] == value)
                        return node_is(&rearrange->nodes[i], "InnerProduct");
        return false;
}

/* A sum of two values of one shape. */
static int visit_add(struct rearrange *rearrange, const struct node *node, bool *ret_done,
                     struct error *error) {
        const struct graph *graph = rearrange->graph;
        const char *name = node->name;
        struct trace traces[2];
        struct shape sources[2];
        int r;

        *ret_done = false;
        if (!shape_equal(&graph->values[node->inputs[0]].shape, &graph->values[node->inputs[1]].shape) ||
            graph->values[node->inputs[0]].constant || graph->values[node->inputs[1]].constant)
                return 0;
        for (size_t i = 0; i < 2; i++) {
                traces[i] = rearrange_trace(rearrange, node->inputs[i]);
                sources[i] = graph->values[traces[i].source].shape;
        }
        if (traces[0].source == node->inputs[0] && traces[1].source == node->inputs[1])
                return 0;
        for (size_t i = 0; i < 2; i++) {
                r = bring_channels_last(rearrange, name, &traces[i], error);
                if (r < 0)
                        return r;
                sources[i] = rearrange->graph->values[traces[i].source].shape;
        }
        if (trace_same_order(&traces[0], &traces[1]) && trace_covers(&traces[0], &sources[0]) &&
            shape_equal(&sources[0], &sources[1])) {
                *ret_done = true;
                return move(rearrange, node, (uint32_t[]){traces[0].source, traces[1].source}, 2,
                            &sources[0], traces[0], error);
        }

        /* Transpose(product) + other is Transpose(product + Transpose(other)): the sum becomes part of the
         * product. */
        for (size_t i = 0; i < 2; i++) {
                size_t permutation[TENSOR_MAX_RANK], reverse[TENSOR_MAX_RANK] = {0};
                uint32_t inputs[2] = {traces[i].source};

                if (!trace_is_transpose(&traces[i], &sources[i], permutation) ||
                    trace_is_reshape(&traces[i], &sources[i]) || !made_by_rows(rearrange, inputs[0]))
                        continue;
                for (size_t d = 0; d < traces[i].rank; d++)
                        reverse[permutation[d]] = d;
                r = transpose_of(rearrange, name, node->inputs[1 - i], reverse, traces[i].rank, &inputs[1],
                                 error);
                if (r < 0)
                        return r;
                *ret_done = true;
                return move(rearrange, node, inputs, 2, &sources[i], traces[i], error);
        }
        return 0;
}

/* ---- the story ---- */

static int visit(struct rearrange *rearrange, struct node *node, struct error *error) {
        const struct graph *graph = rearrange->graph;
        struct eltwise eltwise[2];
        bool done = false;
        int r = 0;

        if (node->n_inputs > 0 && node->inputs[0] != VALUE_NONE && node_output(node, 0) != VALUE_NONE &&
            graph->values[node->inputs[0]].dtype == DTYPE_F32 && node->n_post_ops == 0) {
                if (node_is(node, "InnerProduct") || node_is(node, "LayerNorm"))
                        r = visit_rows(rearrange, node, &done, error);
                else if (node_is(node, "Add"))
                        r = visit_add(rearrange, node, &done, error);
                else if (node_is(node, "MatMul") || node_is(node, "Einsum"))
                        r = rearrange_attention(rearrange, node, &done, error);
                else if (node_is(node, "Split"))
                        r = trace_split(rearrange, node, error);
                else if (node->n_inputs <= 3 && eltwise_read(eltwise, graph, node) > 0)
                        r = visit_unary(rearrange, node, &done, error);
                else
                        r = visit_rearranging(rearrange, node, &done, error);
        }
        if (r < 0 || done)
                return r;
        return rearrange_push(rearrange, node, error);
}

int graph_rearrange(struct graph *graph, struct error *error) {
        _cleanup_(rearrange_release) struct rearrange rearrange = {.graph = graph};
        int r;

        r = pattern_init(&rearrange.pattern, graph, error);
        if (r >= 0)
                r = aliases_init(&rearrange.aliases, graph, error);
        for (size_t i = 0; i < graph->n_nodes && r >= 0; i++) {
                aliases_apply(&rearrange.aliases, &graph->nodes[i]);
                r = visit(&rearrange, &graph->nodes[i], error);
        }
        if (r < 0)
                return r;
        graph->nodes = pool_copy(graph->pool, rearrange.nodes, rearrange.n_nodes, sizeof(*rearrange.nodes));
        if (!graph->nodes)
                return error_no_memory(error);
        graph->n_nodes = rearrange.n_nodes;
        aliases_apply_to_outputs(&rearrange.aliases, graph);
        return graph_sweep(graph, error);
}
