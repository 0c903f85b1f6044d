#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/native/native.h"
#include "engine/ops/conv.h"

/* Convolution by native/conv.h. Arguments of its kernels: src, weights, then those of bias, scale, shift and
 * scratch that there are, dst. */

#define NATIVE_CONV_MAX_ARGS 7u
#define PRODUCT_MAX_ROWS                                                                                    \
        14u /* those of one tile: the weights are read once, as fast as memory gives them                   \
             */

static const char *const families[] = {"pointwise", "depthwise", "grouped"};

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

static int conv_pack(const void *params, size_t first, size_t n, const void *source, void *target,
                     struct error *error) {
        const struct native_conv *conv = params;

        if (conv->order && conv->family == NATIVE_DEPTHWISE && n < conv->outputs)
                return error_set(error, ERROR_UNSUPPORTED, "outputs in another order, in parts");
        native_conv_pack(conv, first, n, source, target);
        return 0;
}

static int bias_pack(const void *params, _unused_ size_t first, size_t n, const void *source, void *target,
                     struct error *error) {
        const struct native_conv *conv = params;
        const float *from = source;
        float *bias = target;

        if (n < conv->outputs)
                return error_set(error, ERROR_UNSUPPORTED, "outputs in another order, in parts");

        for (size_t i = 0; i < conv->outputs; i++)
                bias[i] = from[conv->order[i]];
        return 0;
}

static uint64_t order_hash(const struct native_conv *conv) {
        size_t n = conv->family == NATIVE_POINTWISE ? conv->inputs : conv->outputs;

        return conv->order ? form_hash(FORM_HASH, conv->order, n * sizeof(*conv->order)) : 0;
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

/* Weights and bias, packed. */
static int constant_operands(struct lowering *lowering, const struct native_conv *conv,
                             struct tensor *weights, struct tensor *bias, struct operand *operands,
                             size_t *n, struct error *error) {
        const struct layout *layout = floats(lowering, conv->outputs);
        char form[128];
        int r;

        if (!layout)
                return error_no_memory(error);
        snprintf(form, sizeof(form), "conv %s %s %zu groups %zux%zu of %zu to %zu, order %" PRIx64,
                 families[conv->family], native_best()->isa, conv->groups, conv->window.kernel[0],
                 conv->window.kernel[1], conv->inputs, conv->outputs, order_hash(conv));
        r = lowering_constant_form(lowering, weights, form, floats(lowering, native_conv_weights(conv)),
                                   DTYPE_F32, conv_pack, conv, &operands[(*n)++], error);
        if (r < 0 || !conv->bias)
                return r;
        return conv->order && conv->family == NATIVE_DEPTHWISE
                       ? lowering_constant_form(lowering, bias, form, layout, DTYPE_F32, bias_pack, conv,
                                                &operands[(*n)++], error)
                       : lowering_constant(lowering, bias, layout, layout, &operands[(*n)++], error);
}

/* Adds the step of a kernel whose function gets params, and defines what node makes. */
static int emit(struct lowering *lowering, const struct node *node, const char *family,
                kernel_native *function, const void *params, size_t params_bytes,
                const struct operand *operands, size_t n, double flop, struct error *error) {
        const struct layout *layouts[NATIVE_CONV_MAX_ARGS];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES], name[64];
        int r;

        for (size_t i = 0; i < n; i++)
                layouts[i] = operands[i].layout;
        snprintf(name, sizeof(name), "native_%s:%s", family, native_best()->isa);
        r = kernel_native_new(&kernel, lowering_kernels(lowering), name, function, params, params_bytes,
                              layouts, n, error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, operands, flop, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[n - 1]);
        return 0;
}

static int conv_emit(struct lowering *lowering, const struct node *node, struct native_conv *conv,
                     struct tensor *weights, struct tensor *bias, double flop, struct error *error) {
        struct operand operands[NATIVE_CONV_MAX_ARGS];
        const struct layout *src;
        size_t n = 1;
        int r;

        r = conv_pixels(lowering, node->inputs[0], &src, error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0], src, &operands[0], error);
        if (r < 0)
                return r;
        conv->src_pixel = layout_pixel(src);
        native_conv_settle(conv, kernels_threads(lowering_kernels(lowering)));
        r = constant_operands(lowering, conv, weights, bias, operands, &n, error);
        if (r >= 0)
                r = prologue_operands(lowering, node, conv, operands, &n, error);
        if (r >= 0 && conv->scratch_floats > 0)
                r = lowering_place(lowering, floats(lowering, conv->scratch_floats * conv->threads),
                                   &operands[n++], error);
        if (r >= 0)
                r = conv_destination(lowering, node, &operands[n], error);
        if (r < 0)
                return r;
        conv->dst_pixel = layout_pixel(operands[n++].layout);
        return emit(lowering, node, families[conv->family], conv_run, conv, sizeof(*conv), operands, n, flop,
                    error);
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
        if (node_attribute(node, "order"))
                conv.order = node_attribute(node, "order")->ints;
        return conv_emit(lowering, node, &conv, source->weights, source->bias, conv_flop(source->spec),
                         error);
}

/* ---- fully connected layers ---- */

int native_product_lower(struct lowering *lowering, const struct node *node, size_t rows, size_t inputs,
                         size_t outputs, struct tensor *weights, struct tensor *bias, bool *ret_done,
                         struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        struct kernel_conv spec = {
                .src = {.rank = 4, .dims = {rows, inputs, 1, 1}},
                .dst = {.rank = 4, .dims = {rows, outputs, 1, 1}},
                .groups = 1,
                .window = {.kernel = {1, 1}, .strides = {1, 1}, .dilations = {1, 1}},
                .bias = bias,
                .post_ops = post_ops_of(node),
        };
        struct operand operands[NATIVE_CONV_MAX_ARGS];
        struct native_conv conv;
        size_t n = 1;
        int r;

        *ret_done = false;
        if (rows > PRODUCT_MAX_ROWS || sum_operand_of(node) != VALUE_NONE || !native_conv_read(&conv, &spec))
                return 0;
        native_conv_settle(&conv, kernels_threads(kernels));
        r = lowering_use(lowering, node->inputs[0],
                         layout_plain(kernels, &(struct shape){.rank = 2, .dims = {rows, inputs}}),
                         &operands[0], error);
        if (r >= 0)
                r = constant_operands(lowering, &conv, weights, bias, operands, &n, error);
        if (r >= 0 && conv.scratch_floats > 0)
                r = lowering_place(lowering, floats(lowering, conv.scratch_floats * conv.threads),
                                   &operands[n++], error);
        if (r >= 0)
                r = lowering_place(
                        lowering, layout_plain(kernels, &(struct shape){.rank = 2, .dims = {rows, outputs}}),
                        &operands[n++], error);
        if (r < 0)
                return r;
        *ret_done = true;
        return emit(lowering, node, "product", conv_run, &conv, sizeof(conv), operands, n, conv_flop(&spec),
                    error);
}

/* ---- pairs ---- */

/* Arguments: src, first's weights and bias, second's, scratch, dst. */
static void pair_run(const void *params, void *const *addresses) {
        const struct native_pair *pair = params;
        struct native_conv_data first = {.src = addresses[0]}, second = {0};
        size_t n = 1;

        first.weights = addresses[n++];
        if (pair->first.bias)
                first.bias = addresses[n++];
        second.weights = addresses[n++];
        if (pair->second.bias)
                second.bias = addresses[n++];
        second.scratch = addresses[n++];
        second.dst = addresses[n];
        native_pair_run(pair, &first, &second);
}

bool native_pair_fits(const struct kernel_conv *first, const struct kernel_conv *second) {
        struct native_pair pair;

        return native_conv_read(&pair.first, first) && native_conv_read(&pair.second, second) &&
               native_pair_pays(&pair.first, &pair.second);
}

int native_pair_lower(struct lowering *lowering, const struct node *node, const struct conv_source *first,
                      const struct conv_source *second, struct error *error) {
        struct operand operands[NATIVE_CONV_MAX_ARGS];
        const struct layout *src;
        struct native_pair pair = {0};
        size_t n = 1;
        int r;

        if (!native_conv_read(&pair.first, first->spec) || !native_conv_read(&pair.second, second->spec))
                return error_set(error, ERROR_INTERNAL, "a pair of convolutions that are none of ours");
        r = conv_pixels(lowering, node->inputs[0], &src, error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[0], src, &operands[0], error);
        if (r < 0)
                return r;
        pair.first.src_pixel = layout_pixel(src);
        native_pair_settle(&pair, kernels_threads(lowering_kernels(lowering)));
        r = constant_operands(lowering, &pair.first, first->weights, first->bias, operands, &n, error);
        if (r >= 0)
                r = constant_operands(lowering, &pair.second, second->weights, second->bias, operands, &n,
                                      error);
        if (r >= 0)
                r = lowering_place(lowering, floats(lowering, pair.scratch_floats * pair.threads),
                                   &operands[n++], error);
        if (r >= 0)
                r = lowering_place_pixels(lowering, node->outputs[0], &operands[n++], error);
        if (r < 0)
                return r;
        pair.second.dst_pixel = layout_pixel(operands[n - 1].layout);
        return emit(lowering, node, "pair", pair_run, &pair, sizeof(pair), operands, n,
                    conv_flop(first->spec) + conv_flop(second->spec), error);
}
