#include "engine/fuse_channels.h"

#include <string.h>

#include "engine/native/native.h"
#include "engine/operator.h"
#include "engine/ops/families.h"

#define TABLE_MAX_CHANNELS                                                                                  \
        ((size_t)1 << 22) /* of all values that are followed: beyond any network, 32 MiB */

/* Where one channel of a value was computed. */
struct origin {
        uint32_t value, channel;
};

struct tracing {
        struct graph *graph;
        struct origin **origins; /* for each value: one a channel; NULL: it is its own */
        bool *moved;             /* for each value: not merely concatenated */
        uint32_t *producers;
        uint32_t *ordered, *exact; /* for each value: the one that "Channels" makes of it, or VALUE_NONE */
        int64_t **orders;          /* of the channels of ordered */
        size_t n_values, n_channels;
        struct node *nodes; /* those of the graph, and the new ones in between */
        size_t n_nodes, n_nodes_allocated;
};

static void tracing_release(struct tracing *tracing) {
        for (size_t i = 0; i < tracing->n_values && tracing->origins; i++)
                free(tracing->origins[i]);
        free(tracing->origins);
        free(tracing->moved);
        free(tracing->producers);
        free(tracing->ordered);
        free(tracing->exact);
        free(tracing->orders);
        free(tracing->nodes);
}

static int node_append(struct tracing *t, const struct node *node, struct error *error) {
        if (t->n_nodes == t->n_nodes_allocated) {
                size_t n = MAX(2 * t->n_nodes_allocated, 64u);
                struct node *nodes = reallocarray(t->nodes, n, sizeof(*nodes));

                if (!nodes)
                        return error_no_memory(error);
                t->nodes = nodes;
                t->n_nodes_allocated = n;
        }
        t->nodes[t->n_nodes++] = *node;
        return 0;
}

/* graph_rearrange() makes views of reshapes. */
static bool is_view(const struct node *node) {
        return node_is(node, "Reshape") || node_is(node, "View");
}

static bool is_map(const struct graph *graph, uint32_t value) {
        const struct value *v = &graph->values[value];

        return v->known && !v->constant && v->dtype == DTYPE_F32 && v->shape.rank == 4 &&
               shape_elements(&v->shape) > 0;
}

static struct origin origin_of(const struct tracing *t, uint32_t value, size_t channel) {
        if (value < t->n_values && t->origins[value])
                return t->origins[value][channel];
        return (struct origin){.value = value, .channel = (uint32_t)channel};
}

/* The table of value, to be filled; NULL with *ret 0 where there are too many. */
static int table_new(struct tracing *t, uint32_t value, struct origin **ret_table, struct error *error) {
        size_t n = t->graph->values[value].shape.dims[1];

        *ret_table = NULL;
        if (n > TABLE_MAX_CHANNELS - t->n_channels)
                return 0;
        t->n_channels += n;
        free(t->origins[value]);
        t->origins[value] = calloc(n, sizeof(**t->origins));
        if (!t->origins[value])
                return error_no_memory(error);
        *ret_table = t->origins[value];
        return 0;
}

/* ---- what moves channels ---- */

static bool same_but_channels(const struct graph *graph, uint32_t a, uint32_t b) {
        const struct shape *x = &graph->values[a].shape, *y = &graph->values[b].shape;

        return x->dims[0] == y->dims[0] && x->dims[2] == y->dims[2] && x->dims[3] == y->dims[3];
}

/* Rows of transformers, [N, H, W, C] or cut into windows: their axis 1 is no axis of channels. */
static bool is_of_rows(const struct tracing *t, uint32_t value) {
        static const char *const types[] = {"Attention", "Gather",  "InnerProduct", "LayerNorm",
                                            "MatMul",    "Reshape", "Transpose",    "View"};
        uint32_t producer = value < t->n_values ? t->producers[value] : VALUE_NONE;

        for (size_t i = 0; i < ARRAY_SIZE(types) && producer != VALUE_NONE; i++)
                if (node_is(&t->graph->nodes[producer], types[i]))
                        return true;
        return false;
}

/* out is n_channels of in, from first on. */
static int trace_part(struct tracing *t, uint32_t in, uint32_t out, size_t first, struct error *error) {
        size_t n = t->graph->values[out].shape.dims[1];
        struct origin *table;
        int r;

        if (!is_map(t->graph, in) || !is_map(t->graph, out) || !same_but_channels(t->graph, in, out) ||
            first + n > t->graph->values[in].shape.dims[1] || is_of_rows(t, origin_of(t, in, first).value))
                return 0;
        r = table_new(t, out, &table, error);
        if (r < 0 || !table)
                return r;
        for (size_t i = 0; i < n; i++)
                table[i] = origin_of(t, in, first + i);
        t->moved[out] = true;
        return 0;
}

static int trace_slice(struct tracing *t, const struct node *node, struct error *error) {
        int64_t starts[2 * TENSOR_MAX_RANK], axes[2 * TENSOR_MAX_RANK], steps[2 * TENSOR_MAX_RANK];
        size_t n_starts, n_axes, n_steps, channels;

        if (!is_map(t->graph, node->inputs[0]) ||
            read_integers(t->graph, node, "starts", 1, starts, &n_starts, NULL) < 0 ||
            read_integers(t->graph, node, "axes", 3, axes, &n_axes, NULL) < 0 ||
            read_integers(t->graph, node, NULL, 4, steps, &n_steps, NULL) < 0 || n_starts != 1 ||
            n_axes != 1 || (axes[0] != 1 && axes[0] != -3) || (n_steps == 1 && steps[0] != 1))
                return 0;
        channels = t->graph->values[node->inputs[0]].shape.dims[1];
        if (starts[0] < 0)
                starts[0] = starts[0] < -(int64_t)channels ? 0 : starts[0] + (int64_t)channels;
        if (starts[0] >= (int64_t)channels)
                return 0;
        return trace_part(t, node->inputs[0], node->outputs[0], (size_t)starts[0], error);
}

static int trace_split(struct tracing *t, const struct node *node, struct error *error) {
        int64_t axis = node_attribute_integer(node, "axis", 0);
        size_t first = 0;
        int r;

        if (axis != 1 && axis != -3)
                return 0;
        for (size_t i = 0; i < node->n_outputs; i++) {
                if (node->outputs[i] == VALUE_NONE || !is_map(t->graph, node->outputs[i]))
                        return 0; /* without its size the next one's place is not known */
                r = trace_part(t, node->inputs[0], node->outputs[i], first, error);
                if (r < 0)
                        return r;
                first += t->graph->values[node->outputs[i]].shape.dims[1];
        }
        return 0;
}

static const struct node *producer(const struct tracing *t, uint32_t value) {
        uint32_t index = value < t->n_values ? t->producers[value] : VALUE_NONE;

        return index == VALUE_NONE ? NULL : &t->graph->nodes[index];
}

/* [N, groups * k, H, W] seen as [N, groups, k, H, W], transposed to [N, k, groups, H, W], seen as the first
 * again. */
static int trace_shuffle(struct tracing *t, const struct node *node, struct error *error) {
        const struct node *transpose = producer(t, node->inputs[0]), *reshape;
        const struct attribute *perm =
                node_is(transpose, "Transpose") ? node_attribute(transpose, "perm") : NULL;
        static const int64_t swapped[] = {0, 2, 1, 3, 4};
        const struct shape *seen, *x;
        struct origin *table;
        size_t groups, k;
        uint32_t in;
        int r;

        if (!perm || perm->type != ATTRIBUTE_INTS || perm->n != ARRAY_SIZE(swapped) ||
            memcmp(perm->ints, swapped, sizeof(swapped)) != 0)
                return 0;
        reshape = producer(t, transpose->inputs[0]);
        if (!is_view(reshape) || !is_map(t->graph, reshape->inputs[0]) ||
            !is_map(t->graph, node->outputs[0]))
                return 0;
        in = reshape->inputs[0];
        x = &t->graph->values[in].shape;
        seen = &t->graph->values[transpose->inputs[0]].shape;
        groups = seen->dims[1];
        k = seen->dims[2];
        if (seen->rank != 5 || seen->dims[0] != x->dims[0] || groups * k != x->dims[1] ||
            seen->dims[3] != x->dims[2] || seen->dims[4] != x->dims[3] ||
            !shape_equal(x, &t->graph->values[node->outputs[0]].shape))
                return 0;
        r = table_new(t, node->outputs[0], &table, error);
        if (r < 0 || !table)
                return r;
        for (size_t i = 0; i < groups * k; i++)
                table[i] = origin_of(t, in, i % groups * k + i / groups);
        t->moved[node->outputs[0]] = true;
        return 0;
}

static int trace_concat(struct tracing *t, const struct node *node, struct error *error) {
        int64_t axis = node_attribute_integer(node, "axis", 1);
        uint32_t out = node->outputs[0];
        struct origin *table;
        size_t channel = 0;
        int r;

        if ((axis != 1 && axis != -3) || !is_map(t->graph, out))
                return 0;
        for (size_t i = 0; i < node->n_inputs; i++)
                if (node->inputs[i] == VALUE_NONE || !is_map(t->graph, node->inputs[i]))
                        return 0;
        r = table_new(t, out, &table, error);
        if (r < 0 || !table)
                return r;
        for (size_t i = 0; i < node->n_inputs; i++) {
                size_t n = t->graph->values[node->inputs[i]].shape.dims[1];

                for (size_t c = 0; c < n; c++)
                        table[channel++] = origin_of(t, node->inputs[i], c);
                t->moved[out] |= t->moved[node->inputs[i]];
        }
        return 0;
}

/* ---- what computes with them ---- */

static int by_place(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

/* Adds a node "Channels", which makes a value of the channels of value, in order (NULL: as they are). */
static int channels_new(struct tracing *t, uint32_t value, const int64_t *order, uint32_t *ret_value,
                        struct error *error) {
        struct graph *graph = t->graph;
        const struct origin *table = t->origins[value];
        size_t n = graph->values[value].shape.dims[1], n_runs = 0, n_sources = 0;
        int64_t *runs = pool_allocate(graph->pool, 3 * n, sizeof(*runs));
        uint32_t *sources = pool_allocate(graph->pool, n, sizeof(*sources)),
                 *outputs = pool_allocate(graph->pool, 1, sizeof(*outputs));
        struct attribute *attribute = pool_allocate(graph->pool, 1, sizeof(*attribute));
        const char *name =
                pool_printf(graph->pool, "%s:channels%zu", graph->values[value].name, graph->n_values);
        struct node node;
        int r;

        if (!runs || !sources || !outputs || !attribute || !name)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++) {
                struct origin from = table[order ? (size_t)order[i] : i];
                int64_t *run = n_runs > 0 ? runs + 3 * (n_runs - 1) : NULL;
                size_t source = 0;

                while (source < n_sources && sources[source] != from.value)
                        source++;
                if (source == n_sources)
                        sources[n_sources++] = from.value;
                if (run && run[0] == (int64_t)source && run[1] + run[2] == (int64_t)from.channel) {
                        run[2]++;
                        continue;
                }
                run = runs + 3 * n_runs++;
                run[0] = (int64_t)source;
                run[1] = (int64_t)from.channel;
                run[2] = 1;
        }
        if (n_sources + 1 > KERNEL_CONCAT_MAX) {
                *ret_value = VALUE_NONE;
                return 0;
        }
        r = graph_add_value(graph, outputs, name, error);
        if (r < 0)
                return r;
        *attribute =
                (struct attribute){.name = "runs", .type = ATTRIBUTE_INTS, .ints = runs, .n = 3 * n_runs};
        node = (struct node){.name = name,
                             .type = "Channels",
                             .domain = "",
                             .opset = graph->opset,
                             .op = operator_find_internal("Channels"),
                             .attributes = attribute,
                             .n_attributes = 1,
                             .inputs = sources,
                             .n_inputs = n_sources,
                             .outputs = outputs,
                             .n_outputs = 1};
        graph_set_output(graph, &node, DTYPE_F32, &graph->values[value].shape);
        r = node_append(t, &node, error);
        if (r < 0)
                return r;
        *ret_value = outputs[0];
        return 0;
}

/* The channels of value by the places where they were computed: runs are as long as they can be. */
static int order_new(struct tracing *t, uint32_t value, int64_t **ret_order, struct error *error) {
        size_t n = t->graph->values[value].shape.dims[1];
        int64_t *order = pool_allocate(t->graph->pool, n, sizeof(*order));
        _cleanup_(freep) uint64_t *places = calloc(n, 2 * sizeof(*places));

        if (!order || !places)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++) {
                places[2 * i] = ((uint64_t)t->origins[value][i].value << 32) | t->origins[value][i].channel;
                places[2 * i + 1] = i;
        }
        qsort(places, n, 2 * sizeof(*places), by_place);
        for (size_t i = 0; i < n; i++)
                order[i] = (int64_t)places[2 * i + 1];
        *ret_order = order;
        return 0;
}

static int use_exact(struct tracing *t, uint32_t *input, struct error *error) {
        uint32_t value = *input;
        int r;

        if (value >= t->n_values || !t->moved[value] || !t->origins[value])
                return 0;
        if (t->exact[value] == VALUE_NONE) {
                r = channels_new(t, value, NULL, &t->exact[value], error);
                if (r < 0 || t->exact[value] == VALUE_NONE)
                        return r;
        }
        *input = t->exact[value];
        return 0;
}

/* A convolution of our own takes its input in the order that suits us; a depthwise one passes it on. */
static int use_ordered(struct tracing *t, struct node *node, bool depthwise, struct error *error) {
        struct graph *graph = t->graph;
        uint32_t value = node->inputs[0], out = node->outputs[0], *outputs, *inputs;
        struct attribute *attributes;
        struct origin *table;
        const char *name;
        int r;

        if (t->ordered[value] == VALUE_NONE) {
                r = order_new(t, value, &t->orders[value], error);
                if (r >= 0)
                        r = channels_new(t, value, t->orders[value], &t->ordered[value], error);
                if (r < 0 || t->ordered[value] == VALUE_NONE)
                        return r;
        }
        attributes = pool_allocate(graph->pool, node->n_attributes + 1, sizeof(*attributes));
        inputs = pool_copy(graph->pool, node->inputs, node->n_inputs, sizeof(*inputs));
        if (!attributes || !inputs)
                return error_no_memory(error);
        if (node->n_attributes > 0)
                memcpy(attributes, node->attributes, node->n_attributes * sizeof(*attributes));
        attributes[node->n_attributes] = (struct attribute){.name = "order",
                                                            .type = ATTRIBUTE_INTS,
                                                            .ints = t->orders[value],
                                                            .n = graph->values[value].shape.dims[1]};
        inputs[0] = t->ordered[value];
        node->attributes = attributes;
        node->n_attributes++;
        node->inputs = inputs;
        if (!depthwise)
                return 0;

        r = table_new(t, out, &table, error);
        if (r < 0)
                return r;
        if (!table)
                return error_set(error, ERROR_LIMIT, "more than %zu channels that are moved",
                                 TABLE_MAX_CHANNELS);
        outputs = pool_allocate(graph->pool, 1, sizeof(*outputs));
        name = pool_printf(graph->pool, "%s:ordered", graph->values[out].name);
        if (!outputs || !name)
                return error_no_memory(error);
        r = graph_add_value(graph, outputs, name, error);
        if (r < 0)
                return r;
        node->outputs = outputs;
        graph_set_output(graph, node, DTYPE_F32, &graph->values[out].shape);
        for (size_t i = 0; i < graph->values[out].shape.dims[1]; i++)
                table[t->orders[value][i]] = (struct origin){.value = outputs[0], .channel = (uint32_t)i};
        t->moved[out] = true;
        return 0;
}

static int trace_moves(struct tracing *t, const struct node *node, struct error *error) {
        if (node_is(node, "Slice"))
                return trace_slice(t, node, error);
        if (node_is(node, "Split"))
                return trace_split(t, node, error);
        if (is_view(node))
                return trace_shuffle(t, node, error);
        if (node_is(node, "Concat"))
                return trace_concat(t, node, error);
        return 0;
}

/* Adds node, reading what it needs of values that were only moved. */
static int trace_node(struct tracing *t, struct node node, struct error *error) {
        uint32_t x = node_input(&node, 0);
        bool depthwise;
        int r;

        if (x != VALUE_NONE && node_output(&node, 0) != VALUE_NONE) {
                r = trace_moves(t, &node, error);
                if (r < 0)
                        return r;
                /* Whoever computes with its result reads past this node. */
                if (t->origins[node.outputs[0]])
                        return node_append(t, &node, error);
                if (node_is(&node, "Conv") && t->moved[x] && conv_takes_order(t->graph, &node, &depthwise)) {
                        r = use_ordered(t, &node, depthwise, error);
                        if (r < 0)
                                return r;
                }
        }
        /* The node as it was is what others are traced through. */
        node.inputs = pool_copy(t->graph->pool, node.inputs, node.n_inputs, sizeof(*node.inputs));
        if (!node.inputs)
                return error_no_memory(error);
        r = 0;
        for (size_t i = 0; i < node.n_inputs && r >= 0; i++)
                if (node.inputs[i] != VALUE_NONE)
                        r = use_exact(t, &node.inputs[i], error);
        for (size_t i = 0; i < node.n_post_ops && r >= 0; i++)
                if (node.post_ops[i].kind == POST_OP_SUM)
                        r = use_exact(t, &node.post_ops[i].operand, error);
        return r < 0 ? r : node_append(t, &node, error);
}

/* Most networks have nothing of the kind; and where nothing is a convolution, axis 1 may be any. */
static bool has_moves(const struct graph *graph) {
        bool moves = false, convolutions = false;

        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct node *node = &graph->nodes[i];

                moves |= node_is(node, "Slice") || node_is(node, "Split") || node_is(node, "Transpose");
                convolutions |= node_is(node, "Conv");
        }
        return moves && convolutions;
}

int graph_fuse_channels(struct graph *graph, struct error *error) {
        size_t n = MAX(graph->n_values, 1u);
        _cleanup_(tracing_release) struct tracing t = {.graph = graph, .n_values = graph->n_values};
        int r;

        /* The kernels that take other orders, and that copy channels fast, are our own. Values that are
         * watched must exist as they are. */
        if (!native_best()->conv[0] || graph->n_watched > 0 || !has_moves(graph))
                return 0;
        t.origins = calloc(n, sizeof(*t.origins));
        t.moved = calloc(n, sizeof(*t.moved));
        t.producers = graph_find_producers(graph);
        t.ordered = malloc(n * sizeof(*t.ordered));
        t.exact = malloc(n * sizeof(*t.exact));
        t.orders = calloc(n, sizeof(*t.orders));
        if (!t.origins || !t.moved || !t.producers || !t.ordered || !t.exact || !t.orders)
                return error_no_memory(error);
        memset(t.ordered, 0xff, n * sizeof(*t.ordered));
        memset(t.exact, 0xff, n * sizeof(*t.exact));
        for (size_t i = 0; i < graph->n_nodes; i++) {
                r = node_is_dead(&graph->nodes[i]) ? 0 : trace_node(&t, graph->nodes[i], error);
                if (r < 0)
                        return r;
        }
        /* The result itself may be one that was only moved. */
        r = use_exact(&t, &graph->output, error);
        if (r < 0)
                return r;
        graph->nodes = pool_copy(graph->pool, t.nodes, t.n_nodes, sizeof(*t.nodes));
        graph->n_nodes = t.n_nodes;
        if (!graph->nodes) {
                graph->n_nodes = 0;
                return error_no_memory(error);
        }
        return graph_sweep(graph, error);
}
