#include "engine/fuse_rows.h"

#include "engine/ops/families.h"
#include "engine/pattern.h"

/* Fewer rows of a matrix are left to Gemm: packed for a vector, the weights are read with less overhead. */
#define INNER_PRODUCT_MIN_ROWS 16u

static int inputs_set(struct graph *graph, struct node *node, const uint32_t *inputs, size_t n,
                      struct error *error) {
        node->inputs = pool_copy(graph->pool, inputs, n, sizeof(*inputs));
        if (!node->inputs)
                return error_no_memory(error);
        node->n_inputs = n;
        return 0;
}

static void become(struct node *node, const char *type) {
        node->type = type;
        node->op = operator_find_internal(type);
}

/* ---- LayerNorm ---- */

static int epsilon_set(struct graph *graph, struct node *node, float epsilon, struct error *error) {
        struct attribute *attribute = pool_allocate(graph->pool, 1, sizeof(*attribute));

        if (!attribute)
                return error_no_memory(error);
        *attribute = (struct attribute){.name = "epsilon", .type = ATTRIBUTE_FLOAT, .real = epsilon};
        node->attributes = attribute;
        node->n_attributes = 1;
        return 0;
}

/* Does node take the mean of each row, and keep the dimension? */
static bool is_row_mean(const struct graph *graph, const struct node *node) {
        const struct value *x = &graph->values[node->inputs[0]];
        int64_t axes[2 * TENSOR_MAX_RANK];
        size_t n, axis;

        return read_integers(graph, node, "axes", 1, axes, &n, NULL) >= 0 && n == 1 &&
               axis_normalise(&axis, axes[0], x->shape.rank, NULL) >= 0 && axis + 1 == x->shape.rank &&
               node_attribute_integer(node, "keepdims", 1) != 0;
}

/* (x - mean)^2, as a power or as a product; centred: the node x - mean. */
static bool is_square_of(const struct pattern *pattern, const struct node *node,
                         const struct node *centred) {
        float exponent;

        if (node->inputs[0] != centred->outputs[0])
                return false;
        if (node_is(node, "Pow"))
                return pattern_uses(pattern, centred->outputs[0]) == 2 &&
                       pattern_scalar(pattern->graph, node, 1, &exponent) && exponent == 2;
        return node_is(node, "Mul") && pattern_uses(pattern, centred->outputs[0]) == 3 &&
               node->inputs[1] == centred->outputs[0];
}

/* What a LayerNormalization of opset 16 and before was written out as: normalised is (x - mean) / sqrt(mean
 * of (x - mean)^2 + epsilon). */
static bool is_normalisation(const struct pattern *pattern, const struct node *normalised, uint32_t *ret_x,
                             float *ret_epsilon) {
        const struct graph *graph = pattern->graph;
        const struct node *centred = pattern_producer(pattern, node_input(normalised, 0));
        const struct node *root = pattern_input(pattern, normalised, 1, "Sqrt", 1), *sum, *variance = NULL;
        const struct node *square, *mean;

        sum = root ? pattern_input(pattern, root, 0, "Add", 1) : NULL;
        for (size_t i = 0; i < 2 && sum && !variance; i++)
                if (pattern_scalar(graph, sum, 1 - i, ret_epsilon))
                        variance = pattern_input(pattern, sum, i, "ReduceMean", 1);
        if (!variance || !node_is(centred, "Sub") || !is_row_mean(graph, variance))
                return false;
        if (pattern_uses(pattern, variance->inputs[0]) != 1)
                return false;
        square = pattern_producer(pattern, variance->inputs[0]);
        mean = pattern_input(pattern, centred, 1, "ReduceMean", 1);
        if (!square || !is_square_of(pattern, square, centred) || !mean || !is_row_mean(graph, mean) ||
            mean->inputs[0] != centred->inputs[0])
                return false;
        *ret_x = centred->inputs[0];
        return true;
}

/* node: normalised * gamma + beta, the last of the pattern. */
static int fuse_layer_norm(struct pattern *pattern, struct node *node, struct error *error) {
        struct graph *graph = pattern->graph;
        const struct shape *shape = &graph->values[node->outputs[0]].shape;
        size_t k = shape->rank > 0 ? shape->dims[shape->rank - 1] : 0;

        for (size_t i = 0; i < 2 && k > 0; i++) {
                const struct node *scaled = pattern_input(pattern, node, i, "Mul", 1);

                if (!scaled || !pattern_is_row(graph, node, 1 - i, k))
                        continue;
                for (size_t j = 0; j < 2; j++) {
                        const struct node *normalised = pattern_input(pattern, scaled, j, "Div", 1);
                        uint32_t inputs[3];
                        float epsilon;
                        int r;

                        if (!normalised || !pattern_is_row(graph, scaled, 1 - j, k) ||
                            !is_normalisation(pattern, normalised, &inputs[0], &epsilon) ||
                            !shape_equal(&graph->values[inputs[0]].shape, shape) ||
                            graph->values[inputs[0]].dtype != DTYPE_F32)
                                continue;
                        inputs[1] = scaled->inputs[1 - j];
                        inputs[2] = node->inputs[1 - i];
                        r = epsilon_set(graph, node, epsilon, error);
                        if (r >= 0)
                                r = inputs_set(graph, node, inputs, 3, error);
                        if (r < 0)
                                return r;
                        become(node, "LayerNorm");
                        return 0;
                }
        }
        return 0;
}

/* The operator of opset 17, where it has all parameters and works on rows. */
static void fuse_layer_normalization(struct pattern *pattern, struct node *node) {
        const struct graph *graph = pattern->graph;
        const struct shape *shape = &graph->values[node->inputs[0]].shape;
        size_t axis;

        if (axis_normalise(&axis, node_attribute_integer(node, "axis", -1), shape->rank, NULL) < 0 ||
            axis + 1 != shape->rank || graph->values[node->inputs[0]].dtype != DTYPE_F32 ||
            !pattern_is_row(graph, node, 1, shape->dims[axis]) ||
            !pattern_is_row(graph, node, 2, shape->dims[axis]))
                return;
        for (size_t i = 1; i < node->n_outputs; i++)
                if (node->outputs[i] != VALUE_NONE && pattern_uses(pattern, node->outputs[i]) > 0)
                        return;
        node->n_outputs = 1;
        become(node, "LayerNorm");
}

/* ---- GeluErf ---- */

static bool is_close(float x, double to) {
        return fabs((double)x - to) < 1e-6 * fabs(to);
}

/* 1 + erf(x / sqrt(2)); *ret_x: x. */
static bool is_erf_sum(const struct pattern *pattern, const struct node *sum, uint32_t *ret_x) {
        const struct node *erf = NULL, *inner;
        float one, factor;

        for (size_t i = 0; i < 2 && !erf; i++)
                if (pattern_scalar(pattern->graph, sum, 1 - i, &one) && one == 1)
                        erf = pattern_input(pattern, sum, i, "Erf", 1);
        if (!erf)
                return false;
        inner = pattern_input(pattern, erf, 0, "Div", 1);
        if (inner && pattern_scalar(pattern->graph, inner, 1, &factor) && is_close(factor, M_SQRT2)) {
                *ret_x = inner->inputs[0];
                return true;
        }
        inner = pattern_input(pattern, erf, 0, "Mul", 1);
        for (size_t i = 0; i < 2 && inner; i++)
                if (pattern_scalar(pattern->graph, inner, 1 - i, &factor) && is_close(factor, M_SQRT1_2)) {
                        *ret_x = inner->inputs[i];
                        return true;
                }
        return false;
}

/* The three factors of node, a product of a product, in any order; false where it is none. */
static bool three_factors(const struct pattern *pattern, const struct node *node, size_t inner_input,
                          uint32_t ret_factors[3], const struct node **ret_inner) {
        const struct node *inner = pattern_input(pattern, node, inner_input, "Mul", 1);

        if (!inner)
                return false;
        ret_factors[0] = inner->inputs[0];
        ret_factors[1] = inner->inputs[1];
        ret_factors[2] = node->inputs[1 - inner_input];
        *ret_inner = inner;
        return true;
}

/* x * 1/2 * (1 + erf(x / sqrt(2))), node being the last product. */
static int fuse_gelu(struct pattern *pattern, struct node *node, struct error *error) {
        const struct graph *graph = pattern->graph;

        for (size_t input = 0; input < 2; input++) {
                uint32_t factors[3], x = VALUE_NONE, of_erf = VALUE_NONE;
                const struct node *inner;
                bool half = false;

                if (!three_factors(pattern, node, input, factors, &inner))
                        continue;
                for (size_t i = 0; i < 3; i++) {
                        const struct tensor *constant = graph->values[factors[i]].constant;
                        const struct node *sum = pattern_producer(pattern, factors[i]);

                        if (constant && !half)
                                half = constant->n_elements == 1 && constant->dtype == DTYPE_F32 &&
                                       tensor_real(constant, 0) == 0.5;
                        else if (of_erf == VALUE_NONE && node_is(sum, "Add") &&
                                 pattern_uses(pattern, factors[i]) == 1 && is_erf_sum(pattern, sum, &of_erf))
                                continue;
                        else
                                x = factors[i];
                }
                if (!half || x == VALUE_NONE || x != of_erf || graph->values[x].dtype != DTYPE_F32 ||
                    !shape_equal(&graph->values[x].shape, &graph->values[node->outputs[0]].shape))
                        continue;
                become(node, "GeluErf");
                return inputs_set(pattern->graph, node, &x, 1, error);
        }
        return 0;
}

/* ---- InnerProduct ---- */

/* x [..., K] times a constant matrix. Inference has checked a Gemm's attributes and shapes. */
static void fuse_inner_product(struct pattern *pattern, struct node *node) {
        const struct graph *graph = pattern->graph;
        const struct value *x = &graph->values[node->inputs[0]];
        const struct value *matrix = &graph->values[node->inputs[1]];

        if (x->constant || !matrix->constant || matrix->shape.rank != 2 || matrix->dtype != DTYPE_F32 ||
            x->dtype != DTYPE_F32 || x->shape.rank < 2 || shape_elements(&x->shape) == 0 ||
            shape_elements(&matrix->shape) == 0 ||
            (x->shape.rank == 2 && x->shape.dims[0] < INNER_PRODUCT_MIN_ROWS))
                return;
        if (node_input(node, 2) != VALUE_NONE && graph->values[node->inputs[2]].shape.rank == 0)
                return;
        become(node, "InnerProduct");
}

static int fuse_bias(struct pattern *pattern, struct node *node, struct error *error) {
        struct graph *graph = pattern->graph;
        const struct shape *shape = &graph->values[node->outputs[0]].shape;

        for (size_t i = 0; i < 2 && shape->rank > 0; i++) {
                struct node *product = pattern_input(pattern, node, i, "InnerProduct", 1);
                uint32_t inputs[3];
                int r;

                if (!product || product->n_inputs != 2 ||
                    !shape_equal(&graph->values[product->outputs[0]].shape, shape) ||
                    !pattern_is_row(graph, node, 1 - i, shape->dims[shape->rank - 1]))
                        continue;
                inputs[0] = product->inputs[0];
                inputs[1] = product->inputs[1];
                inputs[2] = node->inputs[1 - i];
                r = inputs_set(graph, product, inputs, 3, error);
                if (r < 0)
                        return r;
                pattern->producers[node->outputs[0]] = (uint32_t)(product - graph->nodes);
                product->outputs[0] = node->outputs[0];
                node_kill(node);
                return 0;
        }
        return 0;
}

int graph_fuse_rows(struct graph *graph, struct error *error) {
        _cleanup_(pattern_release) struct pattern pattern = {0};
        int r;

        r = pattern_init(&pattern, graph, error);
        for (size_t i = 0; i < graph->n_nodes && r >= 0; i++) {
                struct node *node = &graph->nodes[i];

                if (node_is(node, "MatMul") || node_is(node, "Gemm"))
                        fuse_inner_product(&pattern, node);
                else if (node_is(node, "LayerNormalization"))
                        fuse_layer_normalization(&pattern, node);
                else if (node_is(node, "Mul"))
                        r = fuse_gelu(&pattern, node, error);
                if (r >= 0 && node_is(node, "Add"))
                        r = fuse_bias(&pattern, node, error);
                if (r >= 0 && node_is(node, "Add"))
                        r = fuse_layer_norm(&pattern, node, error);
        }
        return r < 0 ? r : graph_sweep(graph, error);
}
