#include <math.h>
#include <string.h>

#include "engine/fuse_quantised.h"
#include "engine/operator.h"
#include "engine/ops/pool.h"
#include "engine/ops/quantised.h"
#include "engine/pattern.h"
#include "engine/simplify.h"

static const struct value *value_of(const struct pattern *p, uint32_t value) {
        return &p->graph->values[value];
}

static bool same_meaning(const struct pattern *p, uint32_t a, uint32_t b) {
        return quantisation_equal(value_of(p, a)->quantisation, value_of(p, b)->quantisation);
}

/* node works on integers from now on: on what its first n inputs are made of, and makes what quantize made.
 * *ret_done stays false where an input is no such thing. */
static int take(struct pattern *p, struct node *node, size_t n, struct node *quantize, const char *type,
                bool *ret_done, struct error *error) {
        uint32_t *inputs = pool_allocate(p->graph->pool, MAX(n, 1u), sizeof(*inputs));

        if (!inputs)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++) {
                inputs[i] = pattern_integers(p, node_input(node, i));
                if (inputs[i] == VALUE_NONE)
                        return 0;
        }
        node->inputs = inputs;
        node->n_inputs = n;
        node->outputs[0] = quantize->outputs[0];
        node->type = type;
        node->op = operator_find_internal(type);
        p->producers[node->outputs[0]] = (uint32_t)(node - p->graph->nodes);
        node_kill(quantize);
        *ret_done = true;
        return 0;
}

/* ---- Add, Mul ---- */

static bool is_gate(const struct shape *gate, const struct shape *map) {
        return map->rank == 4 && gate->rank == 4 && gate->dims[0] == map->dims[0] &&
               gate->dims[1] == map->dims[1] && gate->dims[2] == 1 && gate->dims[3] == 1;
}

static int take_binary(struct pattern *p, struct node *node, struct node *quantize,
                       const struct eltwise *clamp, bool *ret_done, struct error *error) {
        const struct shape *a = &value_of(p, node->inputs[0])->shape;
        const struct shape *b = &value_of(p, node->inputs[1])->shape;
        bool multiply = node_is(node, "Mul");
        int r;

        if (!shape_equal(a, b) && !(multiply && (is_gate(a, b) || is_gate(b, a))))
                return 0;
        r = take(p, node, 2, quantize, multiply ? "QMul" : "QAdd", ret_done, error);
        if (r < 0 || !*ret_done || !clamp)
                return r;
        node->post_ops[0] =
                (struct post_op){.kind = POST_OP_ELTWISE, .eltwise = *clamp, .operand = VALUE_NONE};
        node->n_post_ops = 1;
        node->fused = clamp->kind == ELTWISE_RELU ? "+Relu" : "+Clip";
        return 0;
}

/* The Add or Mul behind what is quantised, and the clamp between them where there is one. */
static struct node *binary_behind(const struct pattern *p, struct node *node, const struct eltwise *eltwise,
                                  size_t n, bool *ret_clamped) {
        *ret_clamped = n == 1 && ((eltwise[0].kind == ELTWISE_RELU && eltwise[0].alpha == 0) ||
                                  eltwise[0].kind == ELTWISE_CLIP);
        if (*ret_clamped && pattern_uses(p, node->inputs[0]) == 1)
                node = pattern_producer(p, node->inputs[0]);
        return (node_is(node, "Add") || node_is(node, "Mul")) && node->n_inputs == 2 ? node : NULL;
}

/* ---- pools ---- */

static int take_pool(struct pattern *p, struct node *node, struct node *quantize, bool *ret_done,
                     struct error *error) {
        const struct node saved = *node, saved_quantize = *quantize;
        bool max = node_is(node, "MaxPool");
        uint32_t output = node->outputs[0];
        struct pool_params params;
        int64_t counted_end[2];
        int r;

        if (max && (pattern_integers(p, node->inputs[0]) == VALUE_NONE ||
                    !same_meaning(p, pattern_integers(p, node->inputs[0]), quantize->outputs[0])))
                return 0;
        r = take(p, node, 1, quantize, max ? "QMaxPool" : "QAveragePool", ret_done, error);
        if (r < 0 || !*ret_done)
                return r;
        if (pool_read(&params, counted_end, p->graph, node, NULL) >= 0 && !params.native)
                return 0;
        *node = saved;
        node->outputs[0] = output;
        *quantize = saved_quantize;
        *ret_done = false;
        return 0;
}

/* The mean over height and width. */
static bool is_mean_of_map(const struct pattern *p, const struct node *node) {
        const struct shape *from, *to;

        if (node_is(node, "GlobalAveragePool"))
                return value_of(p, node->inputs[0])->shape.rank == 4;
        if (!node_is(node, "ReduceMean"))
                return false;
        from = &value_of(p, node->inputs[0])->shape;
        to = &value_of(p, node->outputs[0])->shape;
        if (from->rank != 4 || to->dims[0] != from->dims[0] || to->dims[1] != from->dims[1])
                return false;
        return shape_elements(to) == from->dims[0] * from->dims[1] &&
               (to->rank == 2 || (to->rank == 4 && to->dims[2] == 1 && to->dims[3] == 1)) &&
               from->dims[1] > 1 && from->dims[2] * from->dims[3] > 1;
}

/* ---- views, concatenation ---- */

bool fuse_quantised_is_view(const struct node *node) {
        static const char *const types[] = {"Flatten", "Identity",  "Reshape",
                                            "Squeeze", "Unsqueeze", "View"};

        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (node_is(node, types[i]))
                        return true;
        return false;
}

static bool is_concat_of_channels(const struct pattern *p, const struct node *node) {
        int64_t axis = node_attribute_integer(node, "axis", 1);

        return node_is(node, "Concat") && value_of(p, node->outputs[0])->shape.rank == 4 &&
               (axis == 1 || axis == -3);
}

/* ---- chains of functions of one element ---- */

#define CHAIN_MAX 8u

/* A function of one computed input, element by element, that can be folded. */
static bool is_unary(const struct pattern *p, const struct node *node) {
        static const char *const types[] = {
                "Abs",         "Add",       "Clip",      "Div",      "Elu",  "Erf", "Exp",
                "HardSigmoid", "HardSwish", "LeakyRelu", "Mish",     "Mul",  "Neg", "Relu",
                "Selu",        "Sigmoid",   "Softplus",  "Softsign", "Sqrt", "Sub", "Tanh"};
        bool listed = false;

        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                listed |= node_is(node, types[i]);
        if (!listed || !node->op->fold || node->n_inputs == 0 || node->inputs[0] == VALUE_NONE)
                return false;
        for (size_t i = 1; i < node->n_inputs; i++)
                if (node->inputs[i] != VALUE_NONE &&
                    (!value_of(p, node->inputs[i])->constant ||
                     value_of(p, node->inputs[i])->constant->n_elements != 1))
                        return false;
        return shape_equal(&value_of(p, node->inputs[0])->shape, &value_of(p, node->outputs[0])->shape);
}

/* *value, [256] reals, through node. */
static int apply(struct graph *graph, const struct node *node, uint32_t *value, struct error *error) {
        struct node copy = *node;
        uint32_t output;
        bool folded;
        int r;

        r = graph_add_value(graph, &output, "table", error);
        if (r < 0)
                return r;
        copy.inputs = pool_copy(graph->pool, node->inputs, node->n_inputs, sizeof(*node->inputs));
        copy.outputs = pool_copy(graph->pool, &output, 1, sizeof(output));
        if (!copy.inputs || !copy.outputs)
                return error_no_memory(error);
        copy.inputs[0] = *value;
        copy.n_outputs = 1;
        r = graph_fold_node(graph, &copy, &folded, error);
        if (r >= 0 && !folded)
                r = error_set(error, ERROR_INTERNAL, "a table that cannot be folded");
        if (r < 0)
                return r;
        *value = output;
        return 0;
}

/* chain: from what reads the integers to what is quantised. */
static int make_table(struct graph *graph, const struct node *const *chain, size_t n,
                      const struct quantisation *from, const struct quantisation *to, uint32_t *ret_table,
                      struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *reals = NULL, *table = NULL;
        const struct shape shape = {.rank = 1, .dims = {256}};
        uint32_t value;
        int r;

        r = tensor_new(&reals, DTYPE_F32, &shape, error);
        if (r >= 0)
                r = tensor_new(&table, DTYPE_U8, &shape, error);
        if (r >= 0)
                r = graph_add_value(graph, &value, "reals", error);
        if (r < 0)
                return r;
        for (int i = 0; i < 256; i++)
                ((float *)reals->data)[i] = from->scale * (float)(i - from->zero_point);
        graph_set_constant(graph, value, reals);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = apply(graph, chain[i], &value, error);
        if (r >= 0)
                r = graph_add_value(graph, ret_table, "table", error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < 256; i++)
                ((uint8_t *)table->data)[i] =
                        quantisation_apply(to, (float)tensor_real(graph->values[value].constant, i));
        graph_set_constant(graph, *ret_table, table);
        return 0;
}

/* node: the last of the chain. */
static int take_chain(struct pattern *p, struct node *node, struct node *quantize, bool *ret_done,
                      struct error *error) {
        const struct node *chain[CHAIN_MAX], *first = node;
        size_t n = 0;
        uint32_t from, inputs[2];
        int r;

        while (is_unary(p, first) && n < CHAIN_MAX) {
                chain[CHAIN_MAX - ++n] = first;
                from = pattern_integers(p, first->inputs[0]);
                if (from != VALUE_NONE)
                        break;
                if (pattern_uses(p, first->inputs[0]) != 1)
                        return 0;
                first = pattern_producer(p, first->inputs[0]);
        }
        if (n == 0 || pattern_integers(p, chain[CHAIN_MAX - n]->inputs[0]) == VALUE_NONE)
                return 0;
        inputs[0] = pattern_integers(p, chain[CHAIN_MAX - n]->inputs[0]);
        r = make_table(p->graph, chain + CHAIN_MAX - n, n, value_of(p, inputs[0])->quantisation,
                       value_of(p, quantize->outputs[0])->quantisation, &inputs[1], error);
        if (r < 0)
                return r;
        node->inputs = pool_copy(p->graph->pool, inputs, 2, sizeof(*inputs));
        if (!node->inputs)
                return error_no_memory(error);
        node->n_inputs = 2;
        node->fused = pool_printf(p->graph->pool, " of %s", node->type);
        node->type = "QLookup";
        node->op = operator_find_internal("QLookup");
        node->outputs[0] = quantize->outputs[0];
        p->producers[node->outputs[0]] = (uint32_t)(node - p->graph->nodes);
        node_kill(quantize);
        *ret_done = true;
        return 0;
}

/* What is quantised behind a view is quantised before it: the value between them, which nobody else reads,
 * becomes the integers that the view is of. */
static void quantise_before(struct pattern *p, struct node *view, struct node *quantize) {
        struct graph *graph = p->graph;
        struct shape shape = value_of(p, view->inputs[0])->shape;

        graph_set_output(graph, view, DTYPE_U8, &shape);
        graph->values[view->outputs[0]].quantisation = value_of(p, quantize->outputs[0])->quantisation;
        view->type = quantize->type;
        view->op = quantize->op;
        view->name = quantize->name;
        view->n_inputs = 1;
        view->attributes = quantize->attributes;
        view->n_attributes = quantize->n_attributes;
        quantize->type = "QView";
        quantize->op = operator_find_internal("QView");
}

/* Integers that mean the same by other numbers, or by the same. */
static int requantise(struct pattern *p, const struct node *dequantize, struct node *quantize,
                      struct error *error) {
        struct graph *graph = p->graph;
        uint32_t inputs[2] = {dequantize->inputs[0]};
        bool same = same_meaning(p, inputs[0], quantize->outputs[0]);
        int r;

        if (!same) {
                r = make_table(graph, NULL, 0, value_of(p, inputs[0])->quantisation,
                               value_of(p, quantize->outputs[0])->quantisation, &inputs[1], error);
                if (r < 0)
                        return r;
        }
        quantize->inputs = pool_copy(graph->pool, inputs, 2, sizeof(*inputs));
        if (!quantize->inputs)
                return error_no_memory(error);
        quantize->n_inputs = same ? 1 : 2;
        quantize->type = same ? "QView" : "QLookup";
        quantize->op = operator_find_internal(quantize->type);
        return 0;
}

/* ---- the story ---- */

/* What quantize quantises is made in integers by the node before it, where that can be. */
static int absorb(struct pattern *p, struct node *quantize, struct error *error) {
        uint32_t x = quantize->inputs[0], integers;
        struct node *node = pattern_producer(p, x), *binary;
        struct eltwise eltwise[2];
        bool done = false, clamped;
        size_t n;
        int r = 0;

        if (node_is(node, "Dequantize"))
                return requantise(p, node, quantize, error);
        if (!node || pattern_uses(p, x) != 1 || node->n_outputs != 1 || node->outputs[0] != x)
                return 0;
        if (node_is(node, "QConv") || node_is(node, "QInnerProduct")) {
                node->outputs[0] = quantize->outputs[0];
                p->producers[node->outputs[0]] = (uint32_t)(node - p->graph->nodes);
                node_kill(quantize);
                return 0;
        }
        n = eltwise_read(eltwise, p->graph, node);
        binary = binary_behind(p, node, eltwise, n, &clamped);
        if (binary)
                r = take_binary(p, binary, quantize, clamped ? eltwise : NULL, &done, error);
        if (r < 0 || done)
                return r;
        integers = node->n_inputs > 0 ? pattern_integers(p, node_input(node, 0)) : VALUE_NONE;
        if (node_is(node, "MaxPool") || node_is(node, "AveragePool"))
                return take_pool(p, node, quantize, &done, error);
        if (is_mean_of_map(p, node))
                return take(p, node, 1, quantize, "QGlobalAveragePool", &done, error);
        if (fuse_quantised_is_view(node) && integers != VALUE_NONE &&
            same_meaning(p, integers, quantize->outputs[0]))
                return take(p, node, 1, quantize, "QView", &done, error);
        if (fuse_quantised_is_view(node) && integers == VALUE_NONE &&
            !value_of(p, node->inputs[0])->constant && value_of(p, node->inputs[0])->dtype == DTYPE_F32) {
                quantise_before(p, node, quantize);
                return absorb(p, node, error);
        }
        if (is_concat_of_channels(p, node))
                return take(p, node, node->n_inputs, quantize, "QConcat", &done, error);
        return take_chain(p, node, quantize, &done, error);
}

int graph_quantise_rest(struct graph *graph, struct error *error) {
        _cleanup_(pattern_release) struct pattern p = {0};
        int r;

        r = pattern_init(&p, graph, error);
        for (size_t i = 0; i < graph->n_nodes && r >= 0; i++)
                if (node_is(&graph->nodes[i], "Quantize"))
                        r = absorb(&p, &graph->nodes[i], error);
        /* What is added to a product is read as integers. */
        for (size_t i = 0; i < graph->n_nodes && r >= 0; i++) {
                struct node *node = &graph->nodes[i];

                for (size_t k = 0; k < node->n_post_ops; k++)
                        if ((node_is(node, "QConv") || node_is(node, "QInnerProduct")) &&
                            node->post_ops[k].kind == POST_OP_SUM &&
                            pattern_integers(&p, node->post_ops[k].operand) != VALUE_NONE)
                                node->post_ops[k].operand = pattern_integers(&p, node->post_ops[k].operand);
        }
        return r < 0 ? r : graph_sweep(graph, error);
}
