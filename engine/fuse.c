#include "engine/fuse.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/operator.h"
#include "engine/ops/families.h"
#include "engine/ops/quantised.h"

struct fusion {
        struct graph *graph;
        uint32_t *uses, *producers;
};

static void fusion_release(struct fusion *fusion) {
        free(fusion->uses);
        free(fusion->producers);
}

/* The node that makes value, or NULL. */
static struct node *producer(const struct fusion *fusion, uint32_t value) {
        uint32_t index = value == VALUE_NONE ? VALUE_NONE : fusion->producers[value];

        return index == VALUE_NONE ? NULL : &fusion->graph->nodes[index];
}

/* The node that makes input of node and whose output nobody else uses, or NULL. */
static struct node *only_producer(const struct fusion *fusion, const struct node *node, size_t input) {
        uint32_t value = node_input(node, input);

        return value != VALUE_NONE && fusion->uses[value] == 1 ? producer(fusion, value) : NULL;
}

static bool is_quantised_product(const struct node *node) {
        return node_is(node, "QConv") || node_is(node, "QInnerProduct");
}

/* Steps on integers know fewer functions than those on float32. */
static bool takes_functions(const struct node *into, const struct eltwise *eltwise, size_t n) {
        struct kernel_post_ops post_ops = post_ops_of(into);

        for (size_t i = 0; i < n; i++)
                post_ops.ops[post_ops.n++].eltwise = eltwise[i];
        return !is_quantised_product(into) || q_takes_post_ops(&post_ops);
}

/* A convolution, or what becomes one. */
static bool is_conv(const struct fusion *fusion, const struct node *node) {
        return node_is(node, "Conv") || node_is(node, "InnerProduct") || is_quantised_product(node) ||
               (node_is(node, "ScaleShift") && fusion->graph->values[node->inputs[0]].shape.rank == 4);
}

static bool takes_post_ops(const struct fusion *fusion, const struct node *node) {
        return is_conv(fusion, node) || node_is(node, "Gemm");
}

/* node's work is done by into from now on, which makes node's output. */
static int merge(struct fusion *fusion, struct node *into, struct node *node, const char *what,
                 struct error *error) {
        const char *fused = pool_printf(fusion->graph->pool, "%s+%s", into->fused ? into->fused : "", what);

        if (!fused)
                return error_no_memory(error);
        fusion->uses[into->outputs[0]] = 0;
        fusion->producers[node->outputs[0]] = (uint32_t)(into - fusion->graph->nodes);
        into->outputs[0] = node->outputs[0];
        into->fused = fused;
        node_kill(node);
        return 0;
}

/* ---- activations ---- */

/* oneDNN 2.6 computes a second eltwise post-op of one algorithm with the parameters of the first. */
static bool has_kind_of(const struct node *into, const struct eltwise *eltwise, size_t n) {
        for (size_t i = 0; i < into->n_post_ops; i++)
                for (size_t k = 0; k < n && into->post_ops[i].kind == POST_OP_ELTWISE; k++)
                        if (into->post_ops[i].eltwise.kind == eltwise[k].kind)
                                return true;
        return false;
}

static int fuse_activation(struct fusion *fusion, struct node *node, struct error *error) {
        struct node *into = only_producer(fusion, node, 0);
        struct eltwise eltwise[2];
        size_t n = eltwise_read(eltwise, fusion->graph, node);

        if (n == 0 || !takes_post_ops(fusion, into) || into->n_post_ops + n > NODE_MAX_POST_OPS ||
            has_kind_of(into, eltwise, n) || !takes_functions(into, eltwise, n))
                return 0;
        for (size_t i = 0; i < n; i++)
                into->post_ops[into->n_post_ops++] = (struct post_op){
                        .kind = POST_OP_ELTWISE, .eltwise = eltwise[i], .operand = VALUE_NONE};
        return merge(fusion, into, node, node->type, error);
}

#define HARD_SWISH_SINCE 14

/* HardSwish as it is written where the operator set has none: by the HardSigmoid of 1/6 and 1/2. */
static bool is_part_of_hard_swish(const struct node *node) {
        return node_is(node, "HardSigmoid") &&
               fabsf(node_attribute_real(node, "alpha", 0.2f) - 1 / 6.f) <= FLT_EPSILON / 8 &&
               node_attribute_real(node, "beta", 0.5f) == 0.5f;
}

/* x * Sigmoid(x), x * HardSigmoid(x) */
static void fuse_swish(struct fusion *fusion, struct node *node) {
        for (size_t i = 0; i < 2; i++) {
                struct node *sigmoid = only_producer(fusion, node, i);
                bool hard = sigmoid && is_part_of_hard_swish(sigmoid);

                if ((!node_is(sigmoid, "Sigmoid") && !hard) || sigmoid->inputs[0] != node_input(node, 1 - i))
                        continue;
                node->inputs[0] = sigmoid->inputs[0];
                node->n_inputs = 1;
                node->type = hard ? "HardSwish" : "Silu";
                node->op = hard ? operator_find("", "HardSwish", HARD_SWISH_SINCE)
                                : operator_find_internal("Silu");
                fusion->uses[sigmoid->outputs[0]] = 0;
                fusion->uses[sigmoid->inputs[0]]--;
                node_kill(sigmoid);
                return;
        }
}

/* ---- residual Add ---- */

static int fuse_residual(struct fusion *fusion, struct node *node, struct error *error) {
        const struct graph *graph = fusion->graph;
        const struct shape *shape = &graph->values[node->outputs[0]].shape;
        struct node *into = NULL;
        uint32_t residual = VALUE_NONE;

        /* The later of two convolutions: the other summand is there when it runs. A sum comes before any
         * activation, as the fast kernels have it. */
        for (size_t i = 0; i < 2; i++) {
                struct node *conv = only_producer(fusion, node, i);
                uint32_t other = node_input(node, 1 - i);

                if (!is_conv(fusion, conv) || conv->n_post_ops > 0 || (into && conv < into) ||
                    other == node_input(node, i) || graph->values[other].constant ||
                    (producer(fusion, other) && producer(fusion, other) > conv) ||
                    !shape_equal(&graph->values[other].shape, shape) ||
                    !shape_equal(&graph->values[conv->outputs[0]].shape, shape))
                        continue;
                into = conv;
                residual = other;
        }
        if (!into)
                return 0;
        into->post_ops[into->n_post_ops++] = (struct post_op){.kind = POST_OP_SUM, .operand = residual};
        return merge(fusion, into, node, node->type, error);
}

/* ---- MatMul and Add ---- */

static int fuse_matmul_bias(struct fusion *fusion, struct node *node, struct error *error) {
        struct graph *graph = fusion->graph;

        for (size_t i = 0; i < 2; i++) {
                struct node *matmul = only_producer(fusion, node, i);
                const struct tensor *b = matmul ? graph_input_constant(graph, matmul, 1) : NULL;
                const struct tensor *bias = graph_input_constant(graph, node, 1 - i);
                uint32_t *inputs;

                if (!node_is(matmul, "MatMul") || !b || !bias ||
                    graph->values[matmul->inputs[0]].shape.rank != 2 || b->shape.rank != 2 ||
                    bias->n_elements != b->shape.dims[1] || bias->shape.rank == 0 ||
                    bias->shape.dims[bias->shape.rank - 1] != b->shape.dims[1] || bias->dtype != DTYPE_F32 ||
                    !shape_equal(&graph->values[node->outputs[0]].shape,
                                 &graph->values[matmul->outputs[0]].shape))
                        continue;
                inputs = pool_allocate(graph->pool, 3, sizeof(*inputs));
                if (!inputs)
                        return error_no_memory(error);
                inputs[0] = matmul->inputs[0];
                inputs[1] = matmul->inputs[1];
                inputs[2] = node->inputs[1 - i];
                matmul->inputs = inputs;
                matmul->n_inputs = 3;
                matmul->type = "Gemm";
                matmul->op = operator_find("", "Gemm", graph->opset);
                return merge(fusion, matmul, node, node->type, error);
        }
        return 0;
}

/* ---- Pad ---- */

/* Does the value hold nothing below zero, so that padding with zeros cannot change a maximum? */
static bool never_negative(const struct fusion *fusion, uint32_t value) {
        const struct node *node = producer(fusion, value);
        struct eltwise eltwise[2];
        size_t n;

        if (!node)
                return false;
        if (takes_post_ops(fusion, node)) {
                n = node->n_post_ops;
                if (n == 0 || node->post_ops[n - 1].kind != POST_OP_ELTWISE)
                        return false;
                eltwise[0] = node->post_ops[n - 1].eltwise;
        } else if (eltwise_read(eltwise, fusion->graph, node) != 1) {
                return false;
        }
        return (eltwise[0].kind == ELTWISE_RELU && eltwise[0].alpha == 0) ||
               (eltwise[0].kind == ELTWISE_CLIP && eltwise[0].alpha >= 0);
}

static bool has_own_pads(const struct node *node) {
        const struct attribute *pads = node_attribute(node, "pads");

        for (size_t i = 0; pads && i < pads->n && pads->type == ATTRIBUTE_INTS; i++)
                if (pads->ints[i] != 0)
                        return true;
        return false;
}

static void fuse_pad(struct fusion *fusion, struct node *node) {
        const struct attribute *kernel = node_attribute(node, "kernel_shape");
        const char *auto_pad = node_attribute_string(node, "auto_pad", "NOTSET");
        struct node *pad = only_producer(fusion, node, 0);
        int64_t begin[TENSOR_MAX_RANK], end[TENSOR_MAX_RANK];
        float value;

        if (!node_is(pad, "Pad") || (strcmp(auto_pad, "NOTSET") != 0 && strcmp(auto_pad, "VALID") != 0) ||
            pad_read(begin, end, &value, fusion->graph, pad, NULL) < 0 ||
            fusion->graph->values[pad->inputs[0]].shape.rank != 4 || begin[0] || begin[1] || end[0] ||
            end[1])
                return;
        /* ceil_mode drops a last window that begins in the padding, but not one that begins in what Pad
         * added. */
        if (node_attribute_integer(node, "ceil_mode", 0) != 0)
                return;
        if (node_is(node, "MaxPool")) {
                bool smaller = kernel && kernel->type == ATTRIBUTE_INTS && kernel->n == 2 &&
                               MAX(begin[2], end[2]) < kernel->ints[0] &&
                               MAX(begin[3], end[3]) < kernel->ints[1];

                if (!smaller || has_own_pads(node) ||
                    !(value == -INFINITY || (value == 0 && never_negative(fusion, pad->inputs[0]))))
                        return;
        } else if (value != 0) {
                return;
        }
        if (node_is(node, "AveragePool")) {
                /* Two kinds of padding in one window: only when the zeros of both count, or when there is
                 * one. */
                if (has_own_pads(node))
                        return;
                node->pads_count = true;
        }

        for (size_t i = 0; i < 2; i++) {
                node->fused_pads[i] = begin[i + 2];
                node->fused_pads[i + 2] = end[i + 2];
        }
        fusion->uses[node->inputs[0]] = 0;
        node->inputs[0] = pad->inputs[0];
        node_kill(pad);
}

/* ---- layout ---- */

static bool is_transpose(const struct node *node, const int64_t permutation[4]) {
        const struct attribute *perm = node_attribute(node, "perm");

        return perm && perm->type == ATTRIBUTE_INTS && perm->n == 4 &&
               memcmp(perm->ints, permutation, 4 * sizeof(*permutation)) == 0;
}

/* A convolution beside a Transpose from or to [N, H, W, C] works on that layout, in which the Transpose is
 * nothing. */
static void mark_channels_last(const struct fusion *fusion) {
        static const int64_t from[] = {0, 3, 1, 2}, to[] = {0, 2, 3, 1};

        for (size_t i = 0; i < fusion->graph->n_nodes; i++) {
                struct node *node = &fusion->graph->nodes[i], *before;

                if (!node_is(node, "Conv") && !node_is(node, "Transpose"))
                        continue;
                before = producer(fusion, node->inputs[0]);
                if (node_is(node, "Conv") && node_is(before, "Transpose") && is_transpose(before, from))
                        node->channels_last = true;
                if (node_is(node, "Transpose") && node_is(before, "Conv") && is_transpose(node, to))
                        before->channels_last = true;
        }
}

int graph_fuse(struct graph *graph, struct error *error) {
        _cleanup_(fusion_release) struct fusion fusion = {
                .graph = graph,
                .uses = graph_count_uses(graph),
                .producers = graph_find_producers(graph),
        };
        int r;

        if (!fusion.uses || !fusion.producers)
                return error_no_memory(error);
        mark_channels_last(&fusion);
        for (size_t i = 0; i < graph->n_nodes; i++) {
                struct node *node = &graph->nodes[i];

                if (node_is(node, "Mul"))
                        fuse_swish(&fusion, node);
                if (node_is(node, "Conv") || node_is(node, "MaxPool") || node_is(node, "AveragePool"))
                        fuse_pad(&fusion, node);
                r = fuse_activation(&fusion, node, error);
                if (r >= 0 && node_is(node, "Add"))
                        r = fuse_matmul_bias(&fusion, node, error);
                if (r >= 0 && node_is(node, "Add"))
                        r = fuse_residual(&fusion, node, error);
                if (r < 0)
                        return r;
        }
        return graph_sweep(graph, error);
}
