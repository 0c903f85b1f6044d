#include <string.h>

#include "engine/simplify_internal.h"

static struct node *producer_of(const struct graph *graph, const uint32_t *producers, uint32_t value,
                                const char *type) {
        uint32_t index = value == VALUE_NONE ? VALUE_NONE : producers[value];
        struct node *node = index == VALUE_NONE ? NULL : &graph->nodes[index];

        return node && !node_is_dead(node) && strcmp(node->type, type) == 0 ? node : NULL;
}

static struct tensor *float_constant(const struct graph *graph, uint32_t value) {
        struct tensor *tensor = value == VALUE_NONE ? NULL : graph->values[value].constant;

        return tensor && tensor->dtype == DTYPE_F32 ? tensor : NULL;
}

/* Does scale, broadcast to what transpose gives, have one factor for each element of the rows that go in?
 * transpose NULL: nothing stands between. */
static bool scales_rows(const struct tensor *scale, const struct node *transpose) {
        const struct attribute *perm = transpose ? node_attribute(transpose, "perm") : NULL;
        const struct shape *shape = &scale->shape;

        if (!transpose)
                return shape->rank == 1;
        if (!perm || perm->type != ATTRIBUTE_INTS || shape->rank > perm->n)
                return false;
        for (size_t i = 0; i < shape->rank; i++) {
                bool is_row = perm->ints[perm->n - shape->rank + i] + 1 == (int64_t)perm->n;

                if (shape->dims[i] != (is_row ? scale->n_elements : 1))
                        return false;
        }
        return true;
}

/* The tensor [..., channels] times scale. */
static int scaled(struct graph *graph, uint32_t *ret_value, const struct node *node, const char *what,
                  struct tensor *tensor, struct tensor *scale, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *product = NULL, *held = NULL, *factors = NULL;
        size_t channels = scale->n_elements;
        int r;

        r = tensor_hold(&held, tensor, error);
        if (r >= 0)
                r = tensor_hold(&factors, scale, error);
        if (r >= 0)
                r = tensor_new(&product, DTYPE_F32, &tensor->shape, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < tensor->n_elements; i += channels)
                for (size_t c = 0; c < channels; c++)
                        ((float *)product->data)[i + c] =
                                ((const float *)held->data)[i + c] * ((const float *)factors->data)[c];
        return simplify_add_constant(graph, ret_value, node->name, what, product, error);
}

static int replace_input(struct graph *graph, struct node *node, size_t input, uint32_t value,
                         struct error *error) {
        uint32_t *inputs = pool_copy(graph->pool, node->inputs, node->n_inputs, sizeof(*inputs));

        if (!inputs)
                return error_no_memory(error);
        inputs[input] = value;
        node->inputs = inputs;
        return 0;
}

int simplify_layer_scale(struct graph *graph, struct node *node, uint32_t *uses, const uint32_t *producers,
                         struct aliases *aliases, struct error *error) {
        for (size_t i = 0; i < 2 && node->n_inputs == 2; i++) {
                struct tensor *scale = float_constant(graph, node->inputs[1 - i]), *weights, *bias = NULL;
                uint32_t value = node->inputs[i], result = value, scaled_weights, scaled_bias;
                struct node *transpose = producer_of(graph, producers, value, "Transpose"), *add,
                            *product = NULL;
                size_t input = 0;
                int r;

                if (!scale || scale->n_elements < 2 || uses[value] != 1 || !scales_rows(scale, transpose))
                        continue;
                value = transpose ? node_input(transpose, 0) : value;
                add = producer_of(graph, producers, value, "Add");
                if (!add || add->n_inputs != 2 || uses[value] != 1)
                        continue;
                for (size_t k = 0; k < 2 && !product; k++) {
                        bias = float_constant(graph, add->inputs[1 - k]);
                        if (!bias || uses[add->inputs[k]] != 1)
                                continue;
                        product = producer_of(graph, producers, add->inputs[k], "MatMul");
                        input = 1 - k;
                }
                weights = product ? float_constant(graph, node_input(product, 1)) : NULL;
                if (!weights || weights->shape.rank != 2 || weights->n_elements == 0 ||
                    weights->shape.dims[1] != scale->n_elements || bias->shape.rank != 1 ||
                    bias->n_elements != scale->n_elements)
                        continue;

                r = scaled(graph, &scaled_weights, product, "scaled", weights, scale, error);
                if (r >= 0)
                        r = scaled(graph, &scaled_bias, add, "scaled", bias, scale, error);
                if (r >= 0)
                        r = replace_input(graph, product, 1, scaled_weights, error);
                if (r >= 0)
                        r = replace_input(graph, add, input, scaled_bias, error);
                if (r < 0)
                        return r;
                uses[result] = uses[node->outputs[0]];
                aliases_set(aliases, node->outputs[0], result);
                node_kill(node);
                return 0;
        }
        return 0;
}
