#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/native/native.h"
#include "engine/ops/bf16.h"

#define WIDE_LANES         16u /* AVX-512 */
#define INPUT_MAX_CHANNELS 4u  /* a picture's, which come in either order */

int conv_read(struct conv *ret_conv, const struct graph *graph, const struct node *node,
              struct error *error) {
        enum dtype weights_dtype = node_is(node, "QConv") ? DTYPE_I8 : DTYPE_F32;
        struct conv conv = {0};
        const struct attribute *kernel_shape = node_attribute(node, "kernel_shape");
        int64_t groups = node_attribute_integer(node, "group", 1);
        const struct shape *x, *w;
        size_t output[2];
        int r;

        r = graph_need_input(graph, node, 0, &conv.x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &conv.w, error);
        if (r >= 0)
                r = weights_dtype == DTYPE_I8 ? need_quantised_map(conv.x, error)
                                              : need_feature_map(conv.x, error);
        if (r < 0)
                return r;
        x = &conv.x->shape;
        w = &conv.w->shape;
        if (w->rank != 4 || shape_elements(w) == 0 || conv.w->dtype != weights_dtype)
                return error_set(error, ERROR_INVALID, "weights '%s' must be %s [O, I, kh, kw]",
                                 conv.w->name, dtype_name(weights_dtype));
        if (groups < 1 || w->dims[0] % (uint64_t)groups != 0)
                return error_set(error, ERROR_INVALID,
                                 "group %" PRId64 " does not divide %zu output channels", groups,
                                 w->dims[0]);
        if (w->dims[1] * (uint64_t)groups != x->dims[1])
                return error_set(error, ERROR_INVALID,
                                 "weights for %zu input channels in %" PRId64 " groups, the input has %zu",
                                 w->dims[1], groups, x->dims[1]);
        if (kernel_shape &&
            (kernel_shape->type != ATTRIBUTE_INTS || kernel_shape->n != 2 ||
             kernel_shape->ints[0] != (int64_t)w->dims[2] || kernel_shape->ints[1] != (int64_t)w->dims[3]))
                return error_set(error, ERROR_INVALID, "kernel_shape contradicts the weights' %zux%zu",
                                 w->dims[2], w->dims[3]);
        if (node_input(node, 2) != VALUE_NONE) {
                conv.b = &graph->values[node->inputs[2]];
                if (!conv.b->constant)
                        return error_set(error, ERROR_UNSUPPORTED, "a bias that is computed");
                if (conv.b->dtype != DTYPE_F32 || conv.b->shape.rank != 1 ||
                    conv.b->shape.dims[0] != w->dims[0])
                        return error_set(error, ERROR_INVALID, "bias '%s' must be float32 [%zu]",
                                         conv.b->name, w->dims[0]);
        }

        r = window_read(&conv.spec.window, output, node, &w->dims[2], &x->dims[2], false, error);
        if (r < 0)
                return r;
        conv.spec.src = *x;
        r = shape_from_dims(&conv.spec.dst,
                            (int64_t[]){(int64_t)x->dims[0], (int64_t)w->dims[0], (int64_t)output[0],
                                        (int64_t)output[1]},
                            4, error);
        if (r < 0)
                return r;
        conv.spec.groups = (size_t)groups;
        conv.spec.bias = conv.b;
        *ret_conv = conv;
        return 0;
}

double conv_flop(const struct kernel_conv *spec) {
        return 2.0 * (double)shape_elements(&spec->dst) * (double)(spec->src.dims[1] / spec->groups) *
               (double)(spec->window.kernel[0] * spec->window.kernel[1]);
}

int conv_result(struct lowering *lowering, const struct node *node, const struct layout *layout,
                struct operand *ret_operand, struct error *error) {
        uint32_t sum = sum_operand_of(node);

        return sum != VALUE_NONE ? lowering_use_writable(lowering, node, sum, layout, ret_operand, error)
                                 : lowering_place(lowering, layout, ret_operand, error);
}

int conv_onednn_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                      struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct kernel_conv *spec = source->spec;
        size_t g = spec->groups, o = spec->dst.dims[1], i = spec->src.dims[1];
        const size_t *k = spec->window.kernel;
        struct shape weights_shape = {.rank = 4, .dims = {o, i, k[0], k[1]}};
        struct shape grouped_shape = {.rank = 5, .dims = {g, o / g, i / g, k[0], k[1]}};
        struct shape bias_shape = {.rank = 1, .dims = {o}};
        const struct layout *as = layout_plain(kernels, g > 1 ? &grouped_shape : &weights_shape);
        const struct layout *bias_as = layout_plain(kernels, &bias_shape);
        struct operand operands[4];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES];
        size_t last;
        int r;

        if (!as || !bias_as)
                return error_no_memory(error);
        r = kernel_conv_new(&kernel, kernels, spec, error);
        if (r < 0)
                return r;
        last = kernel_n_args(kernel) - 1;

        r = lowering_use(lowering, source->src, kernel_layout(kernel, 0), &operands[0], error);
        if (r >= 0)
                r = lowering_constant(lowering, source->weights, as, kernel_layout(kernel, 1), &operands[1],
                                      error);
        if (r >= 0 && spec->bias)
                r = lowering_constant(lowering, source->bias, bias_as, kernel_layout(kernel, 2),
                                      &operands[2], error);
        if (r >= 0)
                r = conv_result(lowering, node, kernel_layout(kernel, last), &operands[last], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, operands, conv_flop(spec),
                                  error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[last]);
        return 0;
}

/* ---- the choice ---- */

enum way { WAY_NATIVE, WAY_WINOGRAD_2, WAY_WINOGRAD_4, WAY_ONEDNN };

struct alternative {
        enum way way;
        const struct layout *src, *dst; /* WAY_ONEDNN: as in struct kernel_conv */
        const char *implementation;
        bool winograd;
        char label[96];
};

struct alternatives {
        struct alternative list[LOWERING_MAX_ALTERNATIVES];
        size_t n, usual;
};

static struct alternative *add(struct alternatives *alternatives, enum way way, const char *label) {
        struct alternative *alternative = &alternatives->list[alternatives->n++];

        *alternative = (struct alternative){.way = way};
        snprintf(alternative->label, sizeof(alternative->label), "%s", label);
        return alternative;
}

#define IMPLEMENTATIONS_MAX 3u /* for one layout: later ones are for older CPUs */

/* oneDNN's ways with given layouts; NULL: those that it likes best. A reference implementation is left out
 * unless it must be there. */
static void add_onednn(struct alternatives *alternatives, struct lowering *lowering,
                       const struct kernel_conv *spec, const struct layout *src, const struct layout *dst,
                       bool winograd, bool needed) {
        struct kernel_conv with_layouts = *spec;
        const char *names[IMPLEMENTATIONS_MAX];
        size_t n;

        with_layouts.src_layout = src;
        with_layouts.dst_layout = dst;
        with_layouts.winograd = winograd;
        n = kernel_conv_implementations(lowering_kernels(lowering), &with_layouts, names,
                                        IMPLEMENTATIONS_MAX);
        for (size_t i = 0; i < n; i++) {
                struct alternative *alternative;
                char label[96];

                if (strstr(names[i], "ref") && !(needed && i == 0))
                        continue;
                snprintf(label, sizeof(label), "onednn %s%s%s", winograd ? "winograd " : "",
                         dst ? "channels-last " : "", names[i]);
                alternative = add(alternatives, WAY_ONEDNN, label);
                alternative->src = src;
                alternative->dst = dst;
                alternative->implementation = names[i];
                alternative->winograd = winograd;
        }
}

/* All ways there are, and the one that is usually the fastest. */
static int conv_alternatives(struct alternatives *alternatives, struct lowering *lowering,
                             const struct node *node, const struct kernel_conv *spec, struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        unsigned winograd = lowering_takes_winograd(lowering) ? conv_winograd_usual(spec) : 0;
        const struct layout *src = spec->src.dims[1] > INPUT_MAX_CHANNELS || node->channels_last
                                           ? layout_channels_last(kernels, &spec->src)
                                           : NULL;
        const struct layout *dst = layout_channels_last(kernels, &spec->dst);
        bool usual = false, wide = native_best()->lanes >= WIDE_LANES;
        int r;

        if (!dst)
                return error_no_memory(error);
        r = native_conv_is_usual(lowering, node, spec, &usual, error);
        if (r < 0)
                return r;
        if (native_conv_can(spec))
                add(alternatives, WAY_NATIVE, "native");
        /* Its input is what a kernel of our own makes as it reads, or in an order of which only ours know.
         */
        if (node->prologue.kind != PROLOGUE_NONE || node_attribute(node, "order"))
                return 0;
        if (winograd) {
                add(alternatives, WAY_WINOGRAD_4, "winograd 4x4");
                add(alternatives, WAY_WINOGRAD_2, "winograd 2x2");
        }
        alternatives->usual = usual ? 0 : alternatives->n;
        if (winograd && !usual)
                alternatives->usual = winograd == 4 ? 0 : 1;
        /* AVX-512's kernels want channels last, as ours do; AVX2's are for blocks of channels, where nothing
         * beside them wants the channels last. */
        if (wide || node->channels_last)
                add_onednn(alternatives, lowering, spec, src, dst, false, false);
        if (!wide || alternatives->n == 0)
                add_onednn(alternatives, lowering, spec, NULL, NULL, false, alternatives->n == 0);
        if (winograd)
                add_onednn(alternatives, lowering, spec, NULL, NULL, true, false);
        if (alternatives->n == 0)
                return error_set(error, ERROR_UNSUPPORTED, "oneDNN has no convolution for these shapes");
        alternatives->usual = MIN(alternatives->usual, alternatives->n - 1);
        return 0;
}

void conv_question(char ret_text[TUNING_MAX_TEXT], const struct node *node, const struct kernel_conv *spec) {
        const struct kernel_window *w = &spec->window;
        char src[SHAPE_TEXT_BYTES], op[OP_TEXT_BYTES];

        snprintf(ret_text, TUNING_MAX_TEXT,
                 "%s %s to %zu, %zux%zu/%zux%zu, dilated %zux%zu, padded %jd:%jdx%jd:%jd, %zu groups",
                 op_text(node, op), shape_text(&spec->src, src), spec->dst.dims[1], w->kernel[0],
                 w->kernel[1], w->strides[0], w->strides[1], w->dilations[0], w->dilations[1],
                 (intmax_t)w->pads_begin[0], (intmax_t)w->pads_end[0], (intmax_t)w->pads_begin[1],
                 (intmax_t)w->pads_end[1], spec->groups);
}

static int conv_choose(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                       struct error *error) {
        struct alternatives alternatives = {0};
        const char *labels[LOWERING_MAX_ALTERNATIVES];
        const struct alternative *taken;
        char question[TUNING_MAX_TEXT];
        size_t index;
        int r;

        source->spec->post_ops = post_ops_of(node);
        r = conv_alternatives(&alternatives, lowering, node, source->spec, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < alternatives.n; i++)
                labels[i] = alternatives.list[i].label;
        conv_question(question, node, source->spec);
        r = lowering_choose(lowering, question, labels, alternatives.n, alternatives.usual, &index, error);
        if (r < 0)
                return r;

        taken = &alternatives.list[index];
        switch (taken->way) {
        case WAY_NATIVE:
                return native_conv_lower(lowering, node, source, error);
        case WAY_WINOGRAD_2:
        case WAY_WINOGRAD_4:
                return conv_winograd_lower(lowering, node, source, taken->way == WAY_WINOGRAD_4 ? 4 : 2,
                                           error);
        case WAY_ONEDNN:
                break;
        }
        source->spec->src_layout = taken->src;
        source->spec->dst_layout = taken->dst;
        source->spec->implementation = taken->implementation;
        source->spec->winograd = taken->winograd;
        return conv_onednn_lower(lowering, node, source, error);
}

OPERATOR_INFER(conv) {
        struct conv conv;
        int r;

        r = conv_read(&conv, graph, node, error);
        if (r < 0)
                return r;
        graph_set_output(graph, node, DTYPE_F32, &conv.spec.dst);
        return 0;
}

bool conv_takes_prologue(const struct graph *graph, const struct node *node) {
        struct conv conv;

        if (conv_read(&conv, graph, node, NULL) < 0)
                return false;
        conv.spec.post_ops = post_ops_of(node);
        return native_conv_takes_prologue(&conv.spec);
}

bool conv_takes_order(const struct graph *graph, const struct node *node, bool *ret_depthwise) {
        struct native_conv native;
        struct conv conv;

        if (conv_read(&conv, graph, node, NULL) < 0)
                return false;
        conv.spec.post_ops = post_ops_of(node);
        if (!native_conv_read(&native, &conv.spec) || native.family == NATIVE_GROUPED)
                return false;
        *ret_depthwise = native.family == NATIVE_DEPTHWISE;
        return true;
}

OPERATOR_LOWER(conv) {
        struct conv_source source = {.src = node->inputs[0]};
        struct conv conv;
        int r;

        r = conv_read(&conv, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        if (!conv.w->constant)
                return error_set(error, ERROR_UNSUPPORTED, "weights that are computed");
        source.spec = &conv.spec;
        source.weights = conv.w->constant;
        source.bias = conv.b ? conv.b->constant : NULL;
        if (lowering_takes_bf16(lowering) && bf16_conv_can(lowering_graph(lowering), node))
                return bf16_conv_lower(lowering, node, &source, error);
        return conv_choose(lowering, node, &source, error);
}

/* ---- ConvPair ---- */

/* The two convolutions of a pair, with their post-ops. */
static int conv_pair_read(struct conv ret_convs[2], const struct graph *graph, const struct node *first,
                          const struct node *second, struct error *error) {
        const struct node *nodes[] = {first, second};

        for (size_t i = 0; i < 2; i++) {
                int r = conv_read(&ret_convs[i], graph, nodes[i], error);

                if (r < 0)
                        return r;
                ret_convs[i].spec.post_ops = post_ops_of(nodes[i]);
        }
        return 0;
}

bool conv_pair_fits(const struct graph *graph, const struct node *first, const struct node *second) {
        struct conv convs[2];

        return conv_pair_read(convs, graph, first, second, NULL) >= 0 &&
               native_pair_fits(&convs[0].spec, &convs[1].spec);
}

OPERATOR_INFER(conv_pair) {
        (void)error;
        graph_set_output(graph, node, DTYPE_F32, &graph->values[node->outputs[0]].shape);
        return 0;
}

OPERATOR_LOWER(conv_pair) {
        struct conv_source sources[2];
        struct conv convs[2];
        int r;

        r = conv_pair_read(convs, lowering_graph(lowering), &node->parts[0], &node->parts[1], error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < 2; i++)
                sources[i] = (struct conv_source){.spec = &convs[i].spec,
                                                  .weights = convs[i].w->constant,
                                                  .bias = convs[i].b ? convs[i].b->constant : NULL};
        return native_pair_lower(lowering, node, &sources[0], &sources[1], error);
}

/* ---- BatchNormalization ---- */

/* Simplification has replaced those with constant parameters, which are all that inference needs. */
OPERATOR_INFER(batch_normalization) {
        (void)graph;
        (void)node;
        return error_set(error, ERROR_UNSUPPORTED,
                         "scale, bias, mean and variance must be constants of one "
                         "float32 value a channel, and training_mode 0");
}

OPERATOR_INFER(scale_shift) {
        const struct value *x, *scale;
        int r;

        r = graph_need_input(graph, node, 0, &x, error);
        if (r >= 0)
                r = graph_need_input(graph, node, 1, &scale, error);
        if (r >= 0)
                r = need_float(x, error);
        if (r < 0)
                return r;
        if (x->shape.rank < 2)
                return error_set(error, ERROR_INVALID, "rank %zu has no channels", x->shape.rank);
        if (shape_elements(&scale->shape) != x->shape.dims[1])
                return error_set(error, ERROR_INVALID, "parameters for %zu channels, the input has %zu",
                                 shape_elements(&scale->shape), x->shape.dims[1]);
        graph_set_output(graph, node, DTYPE_F32, &x->shape);
        return 0;
}

/* Where there is no height and width: a product and a sum in place, row-major. */
static int scale_shift_plain_lower(struct lowering *lowering, const struct node *node, struct error *error) {
        static const enum kernel_binary_kind kinds[] = {KERNEL_BINARY_MUL, KERNEL_BINARY_ADD};
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        const struct shape *shape = &graph->values[node->inputs[0]].shape;
        struct shape channels = {.rank = shape->rank};
        const struct layout *plain = layout_plain(kernels, shape), *channels_layout;
        struct operand operands[3];
        int r;

        for (size_t i = 0; i < shape->rank; i++)
                channels.dims[i] = i == 1 ? shape->dims[1] : 1;
        channels_layout = layout_plain(kernels, &channels);
        if (!plain || !channels_layout)
                return error_no_memory(error);
        r = lowering_use_writable(lowering, node, node->inputs[0], plain, &operands[0], error);
        operands[2] = operands[0];
        for (size_t i = 0; i < ARRAY_SIZE(kinds) && r >= 0; i++) {
                struct tensor *parameters = graph->values[node->inputs[1 + i]].constant;
                const struct kernel *kernel;

                r = kernel_binary_new(&kernel, kernels, kinds[i], plain, channels_layout, error);
                if (r >= 0)
                        r = lowering_constant(lowering, parameters, channels_layout, channels_layout,
                                              &operands[1], error);
                if (r >= 0)
                        r = lowering_emit(lowering, node, node->type, kernel, operands,
                                          (double)shape_elements(shape), error);
        }
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[2]);
        return 0;
}

/* A scale and a shift for each channel are a depthwise 1x1 convolution, which oneDNN runs in any layout and
 * which takes post-ops. */
OPERATOR_LOWER(scale_shift) {
        const struct graph *graph = lowering_graph(lowering);
        const struct value *x = &graph->values[node->inputs[0]];
        struct kernel_conv spec = {
                .src = x->shape,
                .dst = x->shape,
                .groups = x->shape.dims[1],
                .window = {.kernel = {1, 1}, .strides = {1, 1}, .dilations = {1, 1}},
                .bias = true,
        };

        if (x->shape.rank != 4)
                return scale_shift_plain_lower(lowering, node, error);
        if (lowering_takes_bf16(lowering) && bf16_can_write(graph, node))
                return bf16_scale_shift_lower(lowering, node, error);
        return conv_choose(lowering, node,
                           &(struct conv_source){.spec = &spec,
                                                 .src = node->inputs[0],
                                                 .weights = graph->values[node->inputs[1]].constant,
                                                 .bias = graph->values[node->inputs[2]].constant},
                           error);
}
