#include <stdio.h>
#include <string.h>

#include "engine/ops/bf16_dot.h"
#include "engine/tuning.h"

#define ALTERNATIVES_MAX 2u /* of oneDNN's: later ones are for older CPUs */

int bf16_pixels(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct shape *shape = &lowering_graph(lowering)->values[value].shape;
        const struct layout *layout = layout_channels_last(kernels, shape);
        int r = 0;

        if (value != lowering_graph(lowering)->input)
                r = lowering_layout_any(lowering, value, &layout, error);
        if (r >= 0 && layout_pixel(layout) == 0)
                layout = layout_channels_last(kernels, shape);
        if (r < 0)
                return r;
        *ret_layout = layout_as(kernels, layout, DTYPE_BF16);
        return *ret_layout ? 0 : error_no_memory(error);
}

/* ---- the choice ---- */

struct alternatives {
        const char *labels[1 + ALTERNATIVES_MAX];
        const char *names[1 + ALTERNATIVES_MAX]; /* of oneDNN's implementations; NULL: our own */
        char texts[ALTERNATIVES_MAX][96];
        size_t n;
};

static void add_onednn(struct alternatives *alternatives, struct lowering *lowering,
                       const struct kernel_conv *spec) {
        const char *names[ALTERNATIVES_MAX];
        size_t n = kernel_conv_implementations(lowering_kernels(lowering), spec, names, ALTERNATIVES_MAX);

        for (size_t i = 0; i < n; i++) {
                if (strstr(names[i], "ref") && alternatives->n > 0)
                        continue;
                snprintf(alternatives->texts[i], sizeof(alternatives->texts[i]), "onednn %s", names[i]);
                alternatives->names[alternatives->n] = names[i];
                alternatives->labels[alternatives->n++] = alternatives->texts[i];
        }
}

int bf16_conv_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                    struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        struct kernel_conv *spec = source->spec;
        struct alternatives alternatives = {0};
        char question[TUNING_MAX_TEXT], about[TUNING_MAX_TEXT];
        size_t taken;
        int r;

        spec->post_ops = post_ops_of(node);
        if (bf16_dot_can(spec))
                alternatives.labels[alternatives.n++] = "native";
        spec->src_layout = layout_as(kernels, layout_channels_last(kernels, &spec->src), DTYPE_BF16);
        spec->dst_layout = layout_as(kernels, layout_channels_last(kernels, &spec->dst),
                                     lowering_dtype(lowering, node->outputs[0]));
        if (!spec->src_layout || !spec->dst_layout)
                return error_no_memory(error);
        add_onednn(&alternatives, lowering, spec);
        if (alternatives.n == 0)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "oneDNN has no convolution in bfloat16 for these shapes");
        conv_question(about, node, spec);
        snprintf(question, sizeof(question), "bf16%s %.180s",
                 layout_dtype(spec->dst_layout) == DTYPE_F32 ? " to f32" : "", about);
        r = lowering_choose(lowering, question, alternatives.labels, alternatives.n, 0, &taken, error);
        if (r < 0)
                return r;
        if (!alternatives.names[taken])
                return bf16_dot_conv_lower(lowering, node, source, error);
        spec->implementation = alternatives.names[taken];
        return conv_onednn_lower(lowering, node, source, error);
}

bool bf16_conv_can(const struct graph *graph, const struct node *node) {
        struct conv conv;

        if (conv_read(&conv, graph, node, NULL) < 0)
                return false;
        if (conv.spec.groups == 1 ||
            (conv.spec.groups == conv.spec.src.dims[1] && conv.spec.groups == conv.spec.dst.dims[1]))
                return true;
        conv.spec.post_ops = post_ops_of(node);
        return bf16_dot_can(&conv.spec);
}
