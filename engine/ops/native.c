#include "engine/ops/native.h"

static int need_data(const struct value *value, struct error *error) {
        if (value->constant && shape_elements(&value->shape) > 0)
                return 0;
        return need_float(value, error);
}

int native_lower(struct lowering *lowering, const struct node *node, const struct native *native,
                 struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct layout *layouts[NATIVE_MAX_INPUTS + NATIVE_MAX_OUTPUTS];
        struct operand operands[NATIVE_MAX_INPUTS + NATIVE_MAX_OUTPUTS];
        const struct kernel *kernel;
        size_t n = native->n_inputs;
        int r;

        for (size_t i = 0; i < native->n_inputs; i++) {
                const struct value *value = &graph->values[node->inputs[native->inputs[i]]];

                r = need_data(value, error);
                if (r < 0)
                        return r;
                layouts[i] = layout_plain(kernels, &value->shape);
                if (!layouts[i])
                        return error_no_memory(error);
                r = lowering_use(lowering, node->inputs[native->inputs[i]], layouts[i], &operands[i], error);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < native->n_outputs; i++) {
                const struct value *value = &graph->values[node->outputs[native->outputs[i]]];

                r = need_float(value, error);
                if (r < 0)
                        return r;
                layouts[n + i] = layout_plain(kernels, &value->shape);
                r = lowering_place(lowering, layouts[n + i], &operands[n + i], error);
                if (r < 0)
                        return r;
        }
        r = kernel_native_new(&kernel, kernels, native->name, native->function, native->params,
                              native->params_bytes, layouts, n + native->n_outputs, error);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands, native->flop, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < native->n_outputs; i++)
                lowering_define(lowering, node->outputs[native->outputs[i]], operands[n + i]);
        return 0;
}

int fold_check(const struct shape *shape, struct error *error) {
        if (shape_elements(shape) > FOLD_MAX_ELEMENTS)
                return error_set(error, ERROR_LIMIT, "a constant of more than %zu elements",
                                 FOLD_MAX_ELEMENTS);
        return 0;
}

int strided_fold(struct tensor **ret_tensor, const struct graph *graph, const struct node *node,
                 size_t output, const struct strided *strided, struct error *error) {
        const struct tensor *x = graph_input_constant(graph, node, 0);
        const struct shape *shape = &graph->values[node->outputs[output]].shape;
        int r;

        r = fold_check(shape, error);
        if (r >= 0)
                r = tensor_new(ret_tensor, x->dtype, shape, error);
        if (r < 0)
                return r;
        strided_copy(strided, (*ret_tensor)->data, x->data, dtype_bytes(x->dtype));
        return 0;
}

static void strided_run(const void *params, void *const *addresses) {
        strided_copy(params, addresses[1], addresses[0], sizeof(float));
}

int strided_lower(struct lowering *lowering, const struct node *node, size_t output,
                  const struct strided *strided, struct error *error) {
        return native_lower(lowering, node,
                            &(struct native){
                                    .name = "native:copy",
                                    .function = strided_run,
                                    .params = strided,
                                    .params_bytes = sizeof(*strided),
                                    .n_inputs = 1,
                                    .outputs = {output},
                                    .n_outputs = 1,
                            },
                            error);
}
