#include <stdio.h>

#include "engine/native/winograd.h"
#include "engine/ops/conv.h"

static void step_run(const void *params, void *const *addresses) {
        const struct winograd *w = params;

        winograd_run(w, addresses[0], addresses[1], w->bias ? addresses[2] : NULL, addresses[2 + w->bias],
                     addresses[3 + w->bias]);
}

static int pack(const void *params, size_t first, size_t n, const void *source, void *target,
                struct error *error) {
        const struct winograd *w = params;

        (void)error;
        winograd_pack(w->native, w->m, w->channels, first, n, source, target);
        return 0;
}

static bool describe(struct winograd *ret_winograd, const struct kernel_conv *spec, unsigned m,
                     size_t threads) {
        const struct kernel_window *window = &spec->window;
        struct winograd winograd = {
                .native = native_best(),
                .m = m,
                .threads = threads,
                .images = spec->src.dims[0],
                .channels = spec->src.dims[1],
                .outputs = spec->dst.dims[1],
                .height = spec->src.dims[2],
                .width = spec->src.dims[3],
                .out_height = spec->dst.dims[2],
                .out_width = spec->dst.dims[3],
                .pad_top = (size_t)window->pads_begin[0],
                .pad_left = (size_t)window->pads_begin[1],
                .bias = spec->bias,
        };

        for (size_t i = 0; i < 2; i++)
                if (window->kernel[i] != 3 || window->strides[i] != 1 || window->dilations[i] != 1)
                        return false;
        if (spec->groups != 1 || !conv_clip(&spec->post_ops, &winograd.sum, &winograd.low, &winograd.high))
                return false;
        *ret_winograd = winograd;
        return true;
}

bool conv_winograd_can(const struct kernel_conv *spec) {
        struct winograd winograd;

        return describe(&winograd, spec, 2, 1);
}

/* The transforms cost as much as some 16 channels' products. And where there are few tiles, all that counts
 * is how many weights are read: 16 for each pair of channels, not 36; with six rows at a time, AVX2's code
 * is slowed down by that sooner. */
#define MIN_CHANNELS   16u
#define MIN_TILES_OF_4 8u
#define WIDE_LANES     16u

unsigned conv_winograd_usual(const struct kernel_conv *spec) {
        size_t tiles = spec->dst.dims[0] * ((spec->dst.dims[2] + 3) / 4) * ((spec->dst.dims[3] + 3) / 4);

        if (!conv_winograd_can(spec) || spec->src.dims[1] < MIN_CHANNELS || spec->dst.dims[1] < MIN_CHANNELS)
                return 0;
        return tiles < MIN_TILES_OF_4 && native_best()->lanes < WIDE_LANES ? 2 : 4;
}

int conv_winograd_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                        unsigned m, struct error *error) {
        struct conv_native native = {.function = step_run, .params_bytes = sizeof(struct winograd)};
        struct winograd w;
        char form[64], name[64];
        size_t columns;
        int r;

        if (!describe(&w, source->spec, m, kernels_threads(lowering_kernels(lowering))))
                return error_set(error, ERROR_INTERNAL, "no convolution for Winograd's filtering");
        r = conv_maps(lowering, node, source, w.native->lanes, &native.src, &native.dst, error);
        if (r < 0)
                return r;
        if (!layout_map_strides(native.src.layout, w.native->lanes, &w.src) ||
            !layout_map_strides(native.dst.layout, w.native->lanes, &w.dst))
                return error_set(error, ERROR_INTERNAL, "a layout without neighbouring channels");
        winograd_settle(&w);

        columns = w.native->gemm_columns;
        snprintf(name, sizeof(name), "winograd%u:%s", m, w.native->isa);
        snprintf(form, sizeof(form), "winograd %u %zu", m, columns);
        native.name = name;
        native.params = native.packer_params = &w;
        native.scratch_bytes = winograd_scratch_bytes(&w);
        native.weights_form = form;
        native.weights_bytes = winograd_weights_bytes(w.native, m, w.channels, w.outputs);
        native.packer = pack;
        native.bias_elements = (w.outputs + columns - 1) / columns * columns;
        return conv_native_lower(lowering, node, source, &native, error);
}
