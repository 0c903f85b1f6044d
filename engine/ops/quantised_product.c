#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/native/dot.h"
#include "engine/ops/conv.h"
#include "engine/ops/quantised.h"

/* QConv and QInnerProduct: by native/dot.h, or depthwise by native/bytes.h. */

bool q_takes_post_ops(const struct kernel_post_ops *post_ops) {
        struct native_epilogue epilogue;

        return native_epilogue_read(&epilogue, post_ops);
}

/* What both kinds of product are made of. */
struct product {
        const struct node *node;
        const struct value *x, *w, *y;
        struct tensor *weights, *bias; /* bias may be NULL */
        struct kernel_conv spec;
        bool transposed; /* weights are [I, O] */
};

static int conv_product(struct product *ret_product, const struct graph *graph, const struct node *node,
                        struct error *error) {
        struct conv conv;
        int r;

        r = conv_read(&conv, graph, node, error);
        if (r < 0)
                return r;
        *ret_product = (struct product){
                .node = node,
                .x = conv.x,
                .w = conv.w,
                .y = &graph->values[node->outputs[0]],
                .weights = conv.w->constant,
                .bias = conv.b ? conv.b->constant : NULL,
                .spec = conv.spec,
        };
        ret_product->spec.post_ops = post_ops_of(node);
        return 0;
}

/* Rows are images of one pixel. */
static struct product inner_product(const struct graph *graph, const struct node *node) {
        const struct value *x = &graph->values[node->inputs[0]], *w = &graph->values[node->inputs[1]];
        bool transposed = node_attribute_integer(node, "transB", 1) == 0;
        size_t k = w->shape.dims[transposed ? 0 : 1], n = w->shape.dims[transposed ? 1 : 0];
        size_t rows = shape_elements(&x->shape) / k;
        struct product product = {
                .node = node,
                .x = x,
                .w = w,
                .y = &graph->values[node->outputs[0]],
                .weights = w->constant,
                .bias = node_input(node, 2) == VALUE_NONE ? NULL : graph->values[node->inputs[2]].constant,
                .spec = {.src = {.rank = 4, .dims = {rows, k, 1, 1}},
                         .dst = {.rank = 4, .dims = {rows, n, 1, 1}},
                         .groups = 1,
                         .window = {.kernel = {1, 1}, .strides = {1, 1}, .dilations = {1, 1}}},
                .transposed = transposed,
        };

        product.spec.bias = product.bias;
        product.spec.post_ops = post_ops_of(node);
        return product;
}

/* ---- kernels ---- */

/* Where the numbers of kernels are that belong to output channels: live as long as the plan. */
struct channel_reals {
        float *scale, *bias; /* bias may be NULL */
};

static int channel_reals(struct lowering *lowering, const struct product *product,
                         struct channel_reals *ret_reals, struct error *error) {
        const struct quantisation *w = product->w->quantisation;
        size_t n = product->spec.dst.dims[1];
        _cleanup_(freep) float *values = calloc(2 * n, sizeof(*values));
        float *kept;
        int r;

        if (!values)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++)
                values[i] = product->x->quantisation->scale * (w->scales ? w->scales[i] : w->scale);
        if (product->bias) {
                r = tensor_fetch(product->bias, 0, n, values + n, error);
                if (r < 0)
                        return r;
        }
        kept = lowering_keep(lowering, values, (product->bias ? 2 : 1) * n * sizeof(*values));
        if (!kept)
                return error_no_memory(error);
        *ret_reals = (struct channel_reals){kept, product->bias ? kept + n : NULL};
        return 0;
}

static bool is_of_rows(const struct product *product) {
        return node_is(product->node, "QInnerProduct");
}

static bool is_depthwise(const struct product *product) {
        return product->spec.groups > 1 && product->spec.groups == product->spec.src.dims[1] &&
               product->spec.groups == product->spec.dst.dims[1];
}

#define GROUP_INPUTS_LEAST 4u /* that the kernels take */
#define GROUP_OUTPUTS                                                                                       \
        16u /* that they compute at a time: where a group has fewer, more of them cost nothing */

/* So many groups, each of several of those that there are. */
static size_t merged_groups(const struct kernel_conv *spec) {
        size_t groups = spec->groups, inputs = spec->src.dims[1] / groups,
               outputs = spec->dst.dims[1] / groups;

        for (size_t together = 1; groups > 1 && together <= groups; together++)
                if (groups % together == 0 && inputs * together >= GROUP_INPUTS_LEAST &&
                    (outputs * together >= GROUP_OUTPUTS || together == groups))
                        return groups / together;
        return groups;
}

/* False: no kernel does it. Leaves out pixels and what is added. */
static bool dot_read(struct dot_conv *ret_dot, const struct product *product) {
        const struct kernel_conv *spec = &product->spec;
        const struct quantisation *y = product->y->quantisation;
        struct dot_conv dot = {
                .type = DOT_U8S8,
                .result = y ? DOT_TO_U8 : DOT_TO_F32,
                .images = spec->src.dims[0],
                .inputs = spec->src.dims[1],
                .outputs = spec->dst.dims[1],
                .groups = merged_groups(spec),
                .height = spec->src.dims[2],
                .width = spec->src.dims[3],
                .out_height = spec->dst.dims[2],
                .out_width = spec->dst.dims[3],
                .window = spec->window,
                .src_zero = (uint8_t)product->x->quantisation->zero_point,
                .dst_scale = y ? y->scale : 1,
                .dst_zero = y ? y->zero_point : 0,
        };

        if (!native_epilogue_read(&dot.epilogue, &spec->post_ops) || !dot_conv_can(&dot))
                return false;
        *ret_dot = dot;
        return true;
}

static bool depthwise_read(struct bytes_depthwise *ret_depthwise, const struct product *product) {
        const struct kernel_conv *spec = &product->spec;
        struct bytes_depthwise depthwise = {
                .result = q_type_of(product->y),
                .images = spec->src.dims[0],
                .channels = spec->src.dims[1],
                .height = spec->src.dims[2],
                .width = spec->src.dims[3],
                .out_height = spec->dst.dims[2],
                .out_width = spec->dst.dims[3],
                .window = spec->window,
                .src_zero = (uint8_t)product->x->quantisation->zero_point,
                .dst = q_real_of(product->y),
        };

        if (!bytes_supported() || !native_epilogue_read(&depthwise.epilogue, &spec->post_ops) ||
            !bytes_depthwise_fits(&depthwise))
                return false;
        *ret_depthwise = depthwise;
        return true;
}

static bool can(const struct product *product) {
        struct bytes_depthwise depthwise;
        struct dot_conv dot;

        return is_depthwise(product) ? depthwise_read(&depthwise, product) : dot_read(&dot, product);
}

bool q_conv_can(const struct graph *graph, const struct node *node) {
        struct product product;

        return conv_product(&product, graph, node, NULL) >= 0 && can(&product);
}

bool q_inner_product_can(const struct graph *graph, const struct node *node) {
        struct product product = inner_product(graph, node);

        return can(&product);
}

/* ---- dot ---- */

struct dot_step {
        struct dot_conv dot;
        struct channel_reals reals;
};

/* Addresses: src, weights, the sum where there is one, dst, scratch. */
static void dot_run(const void *params, void *const *addresses) {
        const struct dot_step *step = params;
        struct dot_data data = {.src = addresses[0],
                                .weights = addresses[1],
                                .scale = step->reals.scale,
                                .bias = step->reals.bias};
        size_t n = 2;

        if (step->dot.epilogue.sum)
                data.sum = addresses[n++];
        data.dst = addresses[n++];
        data.scratch = step->dot.scratch_bytes > 0 ? addresses[n] : NULL;
        dot_conv_run(&step->dot, &data);
}

struct dot_packer {
        struct dot_conv dot;
        size_t groups; /* of the weights, which dot has merged */
        bool transposed;
};

/* Weights [O, I / groups, taps] as those of fewer groups, each of several that do not see each other. */
static int8_t *merge_groups(const struct dot_packer *packer, const int8_t *weights) {
        const struct dot_conv *dot = &packer->dot;
        size_t taps = dot->window.kernel[0] * dot->window.kernel[1];
        size_t inputs = dot->inputs / packer->groups, outputs = dot->outputs / packer->groups;
        size_t together = packer->groups / dot->groups;
        int8_t *merged = calloc(dot->outputs * together, inputs * taps);

        for (size_t o = 0; merged && o < dot->outputs; o++)
                memcpy(merged + (o * together + o / outputs % together) * inputs * taps,
                       weights + o * inputs * taps, inputs * taps);
        return merged;
}

/* [I, O] to [O, I]. */
static int8_t *turn(const int8_t *weights, size_t inputs, size_t outputs) {
        int8_t *turned = malloc(inputs * outputs);

        for (size_t i = 0; turned && i < inputs; i++)
                for (size_t o = 0; o < outputs; o++)
                        turned[o * inputs + i] = weights[i * outputs + o];
        return turned;
}

/* A copy of weights in the order that native/dot.h takes; NULL: they are in it. */
static int as_dot_reads(const struct dot_packer *packer, const int8_t *weights, int8_t **ret_copy,
                        struct error *error) {
        if (packer->transposed)
                *ret_copy = turn(weights, packer->dot.inputs, packer->dot.outputs);
        else if (packer->groups != packer->dot.groups)
                *ret_copy = merge_groups(packer, weights);
        else
                return 0;
        return *ret_copy ? 0 : error_no_memory(error);
}

static int dot_pack(const void *params, _unused_ size_t first, size_t n, const void *source, void *target,
                    struct error *error) {
        const struct dot_packer *packer = params;
        _cleanup_(freep) int8_t *other = NULL;
        int r;

        if (n < (packer->transposed ? packer->dot.inputs : packer->dot.outputs))
                return error_set(error, ERROR_UNSUPPORTED, "weights in parts");
        r = as_dot_reads(packer, source, &other, error);
        if (r < 0)
                return r;
        dot_conv_pack(&packer->dot, other ? other : source, target);
        return 0;
}

/* The bytes of packed weights, which may depend on what they are. */
static int packed_bytes_of(const struct product *product, const struct dot_packer *packer, size_t *ret_bytes,
                           struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *held = NULL;
        _cleanup_(freep) int8_t *other = NULL;
        int r;

        r = tensor_hold(&held, product->weights, error);
        if (r >= 0)
                r = as_dot_reads(packer, held->data, &other, error);
        if (r < 0)
                return r;
        *ret_bytes = dot_conv_packed_bytes(&packer->dot, other ? other : held->data);
        return 0;
}

static const struct layout *bytes_layout(struct lowering *lowering, size_t n) {
        struct kernels *kernels = lowering_kernels(lowering);

        return layout_as(kernels, layout_plain(kernels, &(struct shape){.rank = 1, .dims = {n}}), DTYPE_U8);
}

static int dot_weights(struct lowering *lowering, const struct product *product, const struct dot_conv *dot,
                       struct operand *ret_operand, struct error *error) {
        struct dot_packer packer = {
                .dot = *dot, .groups = product->spec.groups, .transposed = product->transposed};
        size_t bytes;
        char form[160];
        int r = 0;

        snprintf(form, sizeof(form),
                 "dot %s %zu of %zu groups %zux%zu dilated %zux%zu of %zu to %zu around %u%s",
                 dot_conv_form(dot), dot->groups, packer.groups, dot->window.kernel[0],
                 dot->window.kernel[1], dot->window.dilations[0], dot->window.dilations[1], dot->inputs,
                 dot->outputs, dot->src_zero, packer.transposed ? " transposed" : "");
        bytes = lowering_form_bytes(lowering, product->weights, form);
        if (bytes == 0)
                r = packed_bytes_of(product, &packer, &bytes, error);
        if (r < 0)
                return r;
        return lowering_constant_form(lowering, product->weights, form, bytes_layout(lowering, bytes),
                                      DTYPE_I8, dot_pack, &packer, ret_operand, error);
}

/* What is added, as one more operand; the result goes over it where nobody else reads it. */
static int sum_and_result(struct lowering *lowering, const struct product *product, uint32_t *ret_sum,
                          size_t *ret_sum_pixel, struct operand *operands, size_t *n, size_t *ret_dst_pixel,
                          struct error *error) {
        const struct node *node = product->node;
        bool rows = is_of_rows(product);
        int r;

        *ret_sum = sum_operand_of(node);
        if (*ret_sum != VALUE_NONE) {
                r = rows ? q_source_rows(lowering, *ret_sum, &operands[*n], error)
                         : q_source(lowering, *ret_sum, &operands[*n], ret_sum_pixel, error);
                if (r < 0)
                        return r;
                (*n)++;
                if (lowering_dtype(lowering, *ret_sum) == lowering_dtype(lowering, node->outputs[0]) &&
                    !lowering_is_sliced(lowering, node->outputs[0]) &&
                    lowering_may_overwrite(lowering, node, operands[*n - 1])) {
                        operands[*n] = operands[*n - 1];
                        (*n)++;
                        *ret_dst_pixel = *ret_sum_pixel;
                        return 0;
                }
        }
        (*n)++;
        return rows ? q_destination_rows(lowering, node, &operands[*n - 1], error)
                    : q_destination(lowering, node, &operands[*n - 1], ret_dst_pixel, error);
}

static int dot_lower(struct lowering *lowering, const struct product *product, struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        struct dot_step step;
        struct operand operands[4];
        size_t n = 2;
        uint32_t sum;
        int r;

        if (!dot_read(&step.dot, product))
                return error_set(error, ERROR_UNSUPPORTED, "no kernel for this product of integers");
        r = channel_reals(lowering, product, &step.reals, error);
        if (r >= 0)
                r = is_of_rows(product)
                            ? q_source_rows(lowering, product->node->inputs[0], &operands[0], error)
                            : q_source(lowering, product->node->inputs[0], &operands[0], &step.dot.src_pixel,
                                       error);
        if (r >= 0)
                r = dot_weights(lowering, product, &step.dot, &operands[1], error);
        if (r >= 0)
                r = sum_and_result(lowering, product, &sum, &step.dot.sum_pixel, operands, &n,
                                   &step.dot.dst_pixel, error);
        if (r < 0)
                return r;
        if (is_of_rows(product)) {
                step.dot.src_pixel = step.dot.inputs;
                step.dot.dst_pixel = step.dot.sum_pixel = step.dot.outputs;
        }
        if (sum != VALUE_NONE) {
                struct bytes_real real = q_real_of(&graph->values[sum]);

                step.dot.sum_type = graph->values[sum].quantisation ? DOT_TO_U8 : DOT_TO_F32;
                step.dot.sum_scale = real.scale;
                step.dot.sum_zero = real.zero;
        }
        dot_conv_settle(&step.dot, kernels_threads(lowering_kernels(lowering)));
        return q_emit(lowering, product->node,
                      &(struct q_step){.family = "dot",
                                       .isa = dot_conv_form(&step.dot),
                                       .function = dot_run,
                                       .params = &step,
                                       .params_bytes = sizeof(step),
                                       .operands = operands,
                                       .n_operands = n,
                                       .scratch_bytes = step.dot.scratch_bytes,
                                       .flop = conv_flop(&product->spec)},
                      error);
}

/* ---- depthwise ---- */

/* Addresses: src, weights, the sum where there is one, dst. */
static void depthwise_run(const void *params, void *const *addresses) {
        const struct bytes_depthwise *depthwise = params;
        struct bytes_depthwise_data data = {.src = addresses[0], .weights = addresses[1]};
        size_t n = 2;

        if (depthwise->epilogue.sum)
                data.sum = addresses[n++];
        data.dst = addresses[n];
        bytes_depthwise_run(depthwise, &data);
}

struct depthwise_packer {
        struct bytes_depthwise depthwise;
        struct channel_reals reals;
};

static int depthwise_pack(const void *params, size_t first, size_t n, const void *source, void *target,
                          _unused_ struct error *error) {
        const struct depthwise_packer *packer = params;

        bytes_depthwise_pack(&packer->depthwise, first, n, source, packer->reals.scale + first,
                             packer->reals.bias ? packer->reals.bias + first : NULL, target);
        return 0;
}

/* What is packed with the weights. */
static uint64_t reals_hash(const struct channel_reals *reals, size_t n, float dst_scale) {
        uint64_t hash = form_hash(FORM_HASH, &dst_scale, sizeof(dst_scale));

        hash = form_hash(hash, reals->scale, n * sizeof(*reals->scale));
        return reals->bias ? form_hash(hash, reals->bias, n * sizeof(*reals->bias)) : hash;
}

static int depthwise_lower(struct lowering *lowering, const struct product *product, struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        struct depthwise_packer packer;
        struct bytes_depthwise *depthwise = &packer.depthwise;
        struct operand operands[4];
        char form[160];
        size_t n = 2;
        uint32_t sum;
        int r;

        if (!depthwise_read(depthwise, product))
                return error_set(error, ERROR_UNSUPPORTED, "no kernel for this convolution of integers");
        r = channel_reals(lowering, product, &packer.reals, error);
        if (r >= 0)
                r = q_source(lowering, product->node->inputs[0], &operands[0], &depthwise->src_pixel, error);
        if (r < 0)
                return r;
        snprintf(form, sizeof(form), "bytes depthwise %s %zux%zu/%zu dilated %zu of %zu around %u %" PRIx64,
                 bytes_isa(), depthwise->window.kernel[0], depthwise->window.kernel[1],
                 depthwise->window.strides[1], depthwise->window.dilations[1], depthwise->channels,
                 depthwise->src_zero, reals_hash(&packer.reals, depthwise->channels, depthwise->dst.scale));
        r = lowering_constant_form(lowering, product->weights, form,
                                   bytes_layout(lowering, bytes_depthwise_weights_bytes(depthwise)),
                                   DTYPE_I8, depthwise_pack, &packer, &operands[1], error);
        if (r >= 0)
                r = sum_and_result(lowering, product, &sum, &depthwise->sum_pixel, operands, &n,
                                   &depthwise->dst_pixel, error);
        if (r < 0)
                return r;
        if (sum != VALUE_NONE) {
                depthwise->sum_type = q_type_of(&graph->values[sum]);
                depthwise->sum = q_real_of(&graph->values[sum]);
        }
        depthwise->threads = kernels_threads(lowering_kernels(lowering));
        return q_emit(lowering, product->node,
                      &(struct q_step){.family = "bytes_depthwise",
                                       .isa = bytes_isa(),
                                       .function = depthwise_run,
                                       .params = depthwise,
                                       .params_bytes = sizeof(*depthwise),
                                       .operands = operands,
                                       .n_operands = n,
                                       .flop = conv_flop(&product->spec)},
                      error);
}

OPERATOR_LOWER(q_conv) {
        struct product product;
        int r;

        r = conv_product(&product, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        return is_depthwise(&product) ? depthwise_lower(lowering, &product, error)
                                      : dot_lower(lowering, &product, error);
}

OPERATOR_LOWER(q_inner_product) {
        struct product product = inner_product(lowering_graph(lowering), node);

        return dot_lower(lowering, &product, error);
}
