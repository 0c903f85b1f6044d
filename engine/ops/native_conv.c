#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/native/native.h"
#include "engine/ops/conv.h"

/* Convolution by native/conv.h. Arguments of its kernels: src, weights, then those of bias, scale, shift and
 * scratch that there are, dst. */

#define NATIVE_CONV_MAX_ARGS 7u

static void conv_run(const void *params, void *const *addresses) {
        const struct native_conv *conv = params;
        struct native_conv_data data = {.src = addresses[0], .weights = addresses[1]};
        size_t n = 2;

        if (conv->bias)
                data.bias = addresses[n++];
        if (conv->prologue != NATIVE_AS_IS)
                data.scale = addresses[n++];
        if (conv->prologue == NATIVE_SCALE_SHIFT)
                data.shift = addresses[n++];
        if (conv->scratch_floats > 0)
                data.scratch = addresses[n++];
        data.dst = addresses[n];
        native_conv_run(conv, &data);
}

static int conv_pack(const void *params, const float *source, void *target, struct error *error) {
        (void)error;
        native_conv_pack(params, source, target);
        return 0;
}

bool native_conv_takes_prologue(const struct kernel_conv *spec) {
        struct native_conv conv;

        return native_conv_read(&conv, spec) && conv.family == NATIVE_POINTWISE;
}

/* Where oneDNN's kernels would take blocked layouts, as on AVX2, its products are as fast as ours: those
 * follow what is there. All else wins by more than a reorder costs. */
static bool is_worthwhile(const struct native_conv *conv, const struct layout *src) {
        return native_best()->lanes >= 16 || conv->family != NATIVE_POINTWISE || layout_pixel(src) > 0 ||
               conv->prologue != NATIVE_AS_IS;
}

/* The layout of value, or channels last where it is no such one. */
int conv_pixels(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                struct error *error) {
        const struct shape *shape = &lowering_graph(lowering)->values[value].shape;
        int r;

        if (value == lowering_graph(lowering)->input) {
                *ret_layout = layout_channels_last(lowering_kernels(lowering), shape);
                return *ret_layout ? 0 : error_no_memory(error);
        }
        r = lowering_layout(lowering, value, ret_layout, error);
        if (r >= 0 && layout_pixel(*ret_layout) == 0)
                *ret_layout = layout_channels_last(lowering_kernels(lowering), shape);
        if (r >= 0 && !*ret_layout)
                return error_no_memory(error);
        return r;
}

/* Where the result goes: over what is added to it where that may be overwritten. */
int conv_destination(struct lowering *lowering, const struct node *node, struct operand *ret_operand,
                     struct error *error) {
        uint32_t sum = sum_operand_of(node);
        const struct layout *layout;
        struct operand operand;
        int r;

        if (sum == VALUE_NONE)
                return lowering_place_pixels(lowering, node->outputs[0], ret_operand, error);
        r = conv_pixels(lowering, sum, &layout, error);
        if (r < 0)
                return r;
        if (!lowering_is_sliced(lowering, node->outputs[0]))
                return lowering_use_writable(lowering, node, sum, layout, ret_operand, error);
        r = lowering_use(lowering, sum, layout, &operand, error);
        if (r >= 0)
                r = lowering_place_pixels(lowering, node->outputs[0], ret_operand, error);
        if (r >= 0)
                r = lowering_copy(lowering, node, operand, *ret_operand, error);
        return r;
}

/* A vector of floats as a kernel's argument. */
static const struct layout *floats(struct lowering *lowering, size_t n) {
        return layout_plain(lowering_kernels(lowering), &(struct shape){.rank = 1, .dims = {n}});
}

static int prologue_operands(struct lowering *lowering, const struct node *node,
                             const struct native_conv *conv, struct operand *operands, size_t *n,
                             struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        int r = 0;

        if (conv->prologue == NATIVE_GATE)
                return lowering_use(
                        lowering, node->inputs[3],
                        layout_plain(lowering_kernels(lowering), &graph->values[node->inputs[3]].shape),
                        &operands[(*n)++], error);
        for (size_t i = 3; i < 5 && r >= 0 && conv->prologue == NATIVE_SCALE_SHIFT; i++) {
                const struct layout *layout = floats(lowering, conv->inputs);

                if (!layout)
                        return error_no_memory(error);
                r = lowering_constant(lowering, graph->values[node->inputs[i]].constant, layout, layout,
                                      &operands[(*n)++], error);
        }
        return r;
}

static int conv_emit(struct lowering *lowering, const struct node *node, struct native_conv *conv,
                     struct tensor *weights, struct tensor *bias, double flop, struct error *error) {
        static const char *const families[] = {"pointwise", "depthwise", "grouped"};
        const struct native *native = native_best();
        struct kernels *kernels = lowering_kernels(lowering);
        struct operand operands[NATIVE_CONV_MAX_ARGS];
        const struct layout *layouts[NATIVE_CONV_MAX_ARGS], *src, *layout;
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES], form[128], name[64];
        size_t n = 2;
        int r;

        r = conv_pixels(lowering, node->inputs[0], &src, error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0], src, &operands[0], error);
        if (r < 0)
                return r;
        conv->src_pixel = layout_pixel(src);
        native_conv_settle(conv, kernels_threads(kernels));

        snprintf(form, sizeof(form), "conv %s %s %zu groups %zux%zu of %zu to %zu", families[conv->family],
                 native->isa, conv->groups, conv->window.kernel[0], conv->window.kernel[1], conv->inputs,
                 conv->outputs);
        r = lowering_constant_form(lowering, weights, form, floats(lowering, native_conv_weights(conv)),
                                   conv_pack, conv, &operands[1], error);
        if (r >= 0 && conv->bias) {
                layout = floats(lowering, conv->outputs);
                r = layout ? lowering_constant(lowering, bias, layout, layout, &operands[n++], error)
                           : error_no_memory(error);
        }
        if (r >= 0)
                r = prologue_operands(lowering, node, conv, operands, &n, error);
        if (r >= 0 && conv->scratch_floats > 0)
                r = lowering_place(lowering, floats(lowering, conv->scratch_floats * conv->threads),
                                   &operands[n++], error);
        if (r >= 0)
                r = conv_destination(lowering, node, &operands[n], error);
        if (r < 0)
                return r;
        conv->dst_pixel = layout_pixel(operands[n].layout);
        n++;
        for (size_t i = 0; i < n; i++)
                layouts[i] = operands[i].layout;

        snprintf(name, sizeof(name), "native_%s:%s", families[conv->family], native->isa);
        r = kernel_native_new(&kernel, kernels, name, conv_run, conv, sizeof(*conv), layouts, n, error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, operands, flop, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[n - 1]);
        return 0;
}

bool native_conv_can(const struct kernel_conv *spec) {
        struct native_conv conv;

        return native_conv_read(&conv, spec);
}

int native_conv_is_usual(struct lowering *lowering, const struct node *node, const struct kernel_conv *spec,
                         bool *ret_usual, struct error *error) {
        const struct layout *src;
        struct native_conv conv;
        int r;

        if (!native_conv_read(&conv, spec)) {
                *ret_usual = false;
                return 0;
        }
        conv.prologue = node->prologue.kind == PROLOGUE_NONE ? NATIVE_AS_IS : NATIVE_GATE;
        r = conv_pixels(lowering, node->inputs[0], &src, error);
        if (r >= 0 && node->inputs[0] != lowering_graph(lowering)->input)
                r = lowering_layout(lowering, node->inputs[0], &src, error);
        if (r < 0)
                return r;
        *ret_usual = is_worthwhile(&conv, src);
        return 0;
}

int native_conv_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                      struct error *error) {
        struct native_conv conv;

        if (!native_conv_read(&conv, source->spec))
                return error_set(error, ERROR_INTERNAL, "no convolution for code of our own");
        conv.prologue = node->prologue.kind == PROLOGUE_GATE          ? NATIVE_GATE
                        : node->prologue.kind == PROLOGUE_SCALE_SHIFT ? NATIVE_SCALE_SHIFT
                                                                      : NATIVE_AS_IS;
        conv.prologue_low = node->prologue.low;
        conv.prologue_high = node->prologue.high;
        return conv_emit(lowering, node, &conv, source->weights, source->bias, conv_flop(source->spec),
                         error);
}
