#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/ops/families.h"

int need_float(const struct value *value, struct error *error) {
        if (value->dtype != DTYPE_F32)
                return error_set(error, ERROR_UNSUPPORTED, "'%s' is %s; steps compute on float32",
                                 value->name, dtype_name(value->dtype));
        if (shape_elements(&value->shape) == 0)
                return error_set(error, ERROR_UNSUPPORTED, "'%s' has no elements", value->name);
        return 0;
}

int need_feature_map(const struct value *value, struct error *error) {
        if (value->shape.rank != 4)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "'%s' has rank %zu; only [N, C, H, W] is supported", value->name,
                                 value->shape.rank);
        return need_float(value, error);
}

int need_quantised(const struct value *value, struct error *error) {
        if (value->dtype != DTYPE_U8 || !value->quantisation)
                return error_set(error, ERROR_INTERNAL, "'%s' is not quantised", value->name);
        if (shape_elements(&value->shape) == 0)
                return error_set(error, ERROR_UNSUPPORTED, "'%s' has no elements", value->name);
        return 0;
}

int need_quantised_map(const struct value *value, struct error *error) {
        if (value->shape.rank != 4)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "'%s' has rank %zu; only [N, C, H, W] is supported", value->name,
                                 value->shape.rank);
        return need_quantised(value, error);
}

int axis_normalise(size_t *ret_axis, int64_t axis, size_t rank, struct error *error) {
        if (axis < -(int64_t)rank || axis >= (int64_t)rank)
                return error_set(error, ERROR_INVALID, "axis %" PRId64 " of a tensor of rank %zu", axis,
                                 rank);
        *ret_axis = (size_t)(axis < 0 ? axis + (int64_t)rank : axis);
        return 0;
}

int read_integers(const struct graph *graph, const struct node *node, const char *name, size_t input,
                  int64_t *values, size_t *ret_n, struct error *error) {
        const struct attribute *attribute = name ? node_attribute(node, name) : NULL;
        const struct tensor *tensor = graph_input_constant(graph, node, input);
        size_t n = 0;

        if (attribute && attribute->type == ATTRIBUTE_INTS)
                n = attribute->n;
        else if (tensor)
                n = tensor->n_elements;
        else if (node_input(node, input) != VALUE_NONE)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "input %zu ('%s') must be constant for a given input shape", input,
                                 graph->values[node->inputs[input]].name);
        if (n > 2 * TENSOR_MAX_RANK)
                return error_set(error, ERROR_INVALID, "%zu values where at most %u make sense", n,
                                 2 * TENSOR_MAX_RANK);
        for (size_t i = 0; i < n; i++)
                values[i] = attribute && attribute->type == ATTRIBUTE_INTS ? attribute->ints[i]
                                                                           : tensor_integer(tensor, i);
        *ret_n = n;
        return 0;
}

struct kernel_post_ops post_ops_of(const struct node *node) {
        struct kernel_post_ops post_ops = {.n = node->n_post_ops};

        for (size_t i = 0; i < node->n_post_ops; i++)
                post_ops.ops[i] = (struct kernel_post_op){.sum = node->post_ops[i].kind == POST_OP_SUM,
                                                          .eltwise = node->post_ops[i].eltwise};
        return post_ops;
}

uint32_t sum_operand_of(const struct node *node) {
        for (size_t i = 0; i < node->n_post_ops; i++)
                if (node->post_ops[i].kind == POST_OP_SUM)
                        return node->post_ops[i].operand;
        return VALUE_NONE;
}

const char *op_text(const struct node *node, char buffer[OP_TEXT_BYTES]) {
        snprintf(buffer, OP_TEXT_BYTES, "%s%s", node->type, node->fused ? node->fused : "");
        return buffer;
}

uint64_t form_hash(uint64_t hash, const void *bytes, size_t n) {
        const unsigned char *from = bytes;

        for (size_t i = 0; i < n; i++)
                hash = (hash ^ from[i]) * 0x100000001b3u;
        return hash;
}
