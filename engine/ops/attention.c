#include "engine/native/attention.h"
#include "engine/ops/families.h"

/* Made by fuse_attention.c: inputs are the sources of Q, K and V, and the addends. */

struct params {
        struct attention attention;
};

/* Addresses: Q, K, V, the addends, scratch, the result. */
static void attention_step(const void *params, void *const *addresses) {
        const struct params *p = params;
        size_t n = p->attention.n_addends;
        const float *matrices[ATTENTION_OUT], *addends[ATTENTION_MAX_ADDENDS];

        for (size_t i = 0; i < ATTENTION_OUT; i++)
                matrices[i] = addresses[i];
        for (size_t i = 0; i < n; i++)
                addends[i] = addresses[ATTENTION_OUT + i];
        attention_run(&p->attention, matrices, addends, addresses[ATTENTION_OUT + n],
                      addresses[ATTENTION_OUT + n + 1]);
}

/* The addend with its matrices [queries, keys] transposed. */
static int addend_operand(struct lowering *lowering, const struct attention *attention, uint32_t value,
                          size_t n, struct operand *ret_operand, struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        size_t queries = attention_n_queries(attention), keys = attention_n_keys(attention);
        struct shape shape = {.rank = 3, .dims = {n, queries, keys}};
        const struct layout *as = layout_plain(kernels, &shape);
        const struct layout *want = layout_strided(kernels, &shape, (size_t[]){queries * keys, 1, queries});

        if (!as || !want)
                return error_no_memory(error);
        return lowering_constant(lowering, lowering_graph(lowering)->values[value].constant, as, want,
                                 ret_operand, error);
}

OPERATOR_LOWER(attention) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        struct params params = {.attention = *node->attention};
        struct attention *a = &params.attention;
        const struct layout *layouts[ATTENTION_OUT + ATTENTION_MAX_ADDENDS + 2];
        struct operand operands[ARRAY_SIZE(layouts)];
        struct shape scratch = {.rank = 1};
        const struct kernel *kernel;
        size_t n = 0;
        double products;
        int r = 0;

        a->native = native_best();
        a->threads = kernels_threads(kernels);
        for (; n < ATTENTION_OUT && r >= 0; n++)
                r = lowering_use(lowering, node->inputs[n],
                                 layout_plain(kernels, &graph->values[node->inputs[n]].shape), &operands[n],
                                 error);
        for (size_t i = 0; i < a->n_addends && r >= 0; i++, n++)
                r = addend_operand(lowering, a, node->inputs[n], a->addends[i].n, &operands[n], error);
        scratch.dims[0] = attention_scratch_bytes(a) / sizeof(float);
        if (r >= 0)
                r = lowering_place(lowering, layout_plain(kernels, &scratch), &operands[n++], error);
        if (r >= 0)
                r = lowering_place(lowering, layout_plain(kernels, &graph->values[node->outputs[0]].shape),
                                   &operands[n++], error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                layouts[i] = operands[i].layout;
        r = kernel_native_new(&kernel, kernels, "native:attention", attention_step, &params, sizeof(params),
                              layouts, n, error);
        products =
                (double)attention_n_batch(a) * (double)attention_n_queries(a) * (double)attention_n_keys(a);
        if (r >= 0)
                r = lowering_emit(lowering, node, node->type, kernel, operands,
                                  2 * products * (double)(a->depth + a->out_depth), error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[n - 1]);
        return 0;
}
