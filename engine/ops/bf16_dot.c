#include "engine/ops/bf16_dot.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/native/dot.h"

struct step {
        struct dot_conv dot;
        bool bias;
};

/* What the packed weights depend on. */
struct packer {
        struct dot_conv dot;
        bool transposed; /* weights [I, O], else [O, I / G, kh, kw] */
};

static enum dot_result dot_result_of(enum dtype dtype) {
        return dtype == DTYPE_BF16 ? DOT_TO_BF16 : DOT_TO_F32;
}

/* False: no kernel of our own does it. Leaves out pixels and types of source, sum and result. */
static bool dot_read(struct dot_conv *ret_dot, const struct kernel_conv *spec) {
        struct dot_conv dot = {
                .type = DOT_BF16,
                .images = spec->src.dims[0],
                .inputs = spec->src.dims[1],
                .outputs = spec->dst.dims[1],
                .groups = spec->groups,
                .height = spec->src.dims[2],
                .width = spec->src.dims[3],
                .out_height = spec->dst.dims[2],
                .out_width = spec->dst.dims[3],
                .window = spec->window,
        };

        if (!native_epilogue_read(&dot.epilogue, &spec->post_ops) || !dot_conv_can(&dot))
                return false;
        *ret_dot = dot;
        return true;
}

/* Addresses: src, weights, the bias where there is one, the sum where there is one, dst, scratch. */
static void dot_run(const void *params, void *const *addresses) {
        const struct step *step = params;
        struct dot_data data = {.src = addresses[0], .weights = addresses[1]};
        size_t n = 2;

        if (step->bias)
                data.bias = addresses[n++];
        if (step->dot.epilogue.sum)
                data.sum = addresses[n++];
        data.dst = addresses[n++];
        data.scratch = step->dot.scratch_bytes > 0 ? addresses[n] : NULL;
        dot_conv_run(&step->dot, &data);
}

static int dot_pack(const void *params, _unused_ size_t first, size_t n, const void *source, void *target,
                    struct error *error) {
        const struct packer *packer = params;
        size_t inputs = packer->dot.inputs, outputs = packer->dot.outputs;
        _cleanup_(freep) float *turned = NULL;
        const float *from = source;

        if (n < (packer->transposed ? inputs : outputs))
                return error_set(error, ERROR_UNSUPPORTED, "weights in parts");
        if (packer->transposed) {
                turned = calloc(inputs * outputs, sizeof(*turned));
                if (!turned)
                        return error_no_memory(error);
                for (size_t i = 0; i < inputs; i++)
                        for (size_t o = 0; o < outputs; o++)
                                turned[o * inputs + i] = from[i * outputs + o];
        }
        dot_conv_pack(&packer->dot, turned ? turned : from, target);
        return 0;
}

static const struct layout *floats(struct kernels *kernels, size_t n) {
        return layout_plain(kernels, &(struct shape){.rank = 1, .dims = {n}});
}

/* Weights and bias as operands 1 and 2; bias may be NULL. */
static int dot_constants(struct lowering *lowering, const struct packer *packer, struct tensor *weights,
                         struct tensor *bias, struct operand *operands, struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct dot_conv *dot = &packer->dot;
        const struct layout *vector = floats(kernels, dot->outputs);
        char form[160];
        int r;

        snprintf(form, sizeof(form), "dot %s %zu groups %zux%zu dilated %zux%zu of %zu to %zu%s",
                 dot_isa(DOT_BF16), dot->groups, dot->window.kernel[0], dot->window.kernel[1],
                 dot->window.dilations[0], dot->window.dilations[1], dot->inputs, dot->outputs,
                 packer->transposed ? " transposed" : "");
        r = lowering_constant_form(lowering, weights, form,
                                   floats(kernels, dot_conv_packed_bytes(dot, NULL) / sizeof(float)),
                                   DTYPE_F32, dot_pack, packer, &operands[1], error);
        if (r < 0 || !bias)
                return r;
        return vector ? lowering_constant(lowering, bias, vector, vector, &operands[2], error)
                      : error_no_memory(error);
}

/* Emits the step and defines what node makes. operands: src, weights, the bias where there is one, the sum
 * where there is one, dst: n of them. */
static int dot_emit(struct lowering *lowering, const struct node *node, const struct step *step,
                    const struct operand *operands, size_t n, double flop, struct error *error) {
        const struct layout *layouts[5];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES], name[64];
        int r;

        for (size_t i = 0; i < n; i++)
                layouts[i] = operands[i].layout;
        snprintf(name, sizeof(name), "native_dot:%s", dot_isa(DOT_BF16));
        r = kernel_native_scratch_new(&kernel, lowering_kernels(lowering), name, dot_run, step,
                                      sizeof(*step), layouts, n, step->dot.scratch_bytes, error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, operands, flop, error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[n - 1]);
        return 0;
}

/* Where the sum is, and where the result goes: over it, where nobody else reads it. */
static int dot_ends(struct lowering *lowering, const struct node *node, struct dot_conv *dot,
                    struct operand *operands, size_t *n, struct error *error) {
        enum dtype dtype = lowering_dtype(lowering, node->outputs[0]);
        uint32_t sum = sum_operand_of(node);
        const struct layout *layout;
        int r;

        dot->result = dot_result_of(dtype);
        if (sum != VALUE_NONE) {
                r = lowering_layout_any(lowering, sum, &layout, error);
                if (r >= 0 && layout_pixel(layout) == 0)
                        r = bf16_pixels(lowering, sum, &layout, error);
                if (r >= 0)
                        r = lowering_use(lowering, sum, layout, &operands[*n], error);
                if (r < 0)
                        return r;
                dot->sum_type = dot_result_of(layout_dtype(layout));
                dot->sum_pixel = layout_pixel(layout);
                if (layout_dtype(layout) == dtype && !lowering_is_sliced(lowering, node->outputs[0]) &&
                    lowering_may_overwrite(lowering, node, operands[*n])) {
                        operands[*n + 1] = operands[*n];
                        dot->dst_pixel = dot->sum_pixel;
                        *n += 2;
                        return 0;
                }
                *n += 1;
        }
        r = lowering_place_pixels(lowering, node->outputs[0], &operands[*n], error);
        if (r < 0)
                return r;
        dot->dst_pixel = layout_pixel(operands[(*n)++].layout);
        return 0;
}

bool bf16_dot_can(const struct kernel_conv *spec) {
        struct dot_conv dot;

        return dot_read(&dot, spec);
}

int bf16_dot_conv_lower(struct lowering *lowering, const struct node *node, const struct conv_source *source,
                        struct error *error) {
        struct step step = {.bias = source->spec->bias};
        struct packer packer = {0};
        struct operand operands[5];
        const struct layout *src;
        size_t n = 2 + step.bias;
        int r;

        if (!dot_read(&step.dot, source->spec))
                return error_set(error, ERROR_INTERNAL, "no convolution for code of our own");
        r = bf16_pixels(lowering, source->src, &src, error);
        if (r >= 0)
                r = lowering_use(lowering, source->src, src, &operands[0], error);
        if (r < 0)
                return r;
        step.dot.src_pixel = layout_pixel(src);
        packer.dot = step.dot;
        r = dot_constants(lowering, &packer, source->weights, source->bias, operands, error);
        if (r >= 0)
                r = dot_ends(lowering, node, &step.dot, operands, &n, error);
        if (r < 0)
                return r;
        dot_conv_settle(&step.dot, kernels_threads(lowering_kernels(lowering)));
        return dot_emit(lowering, node, &step, operands, n, conv_flop(source->spec), error);
}

int bf16_dot_product_lower(struct lowering *lowering, const struct node *node,
                           const struct row_product *product, const struct kernel_conv *spec,
                           struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct graph *graph = lowering_graph(lowering);
        enum dtype dtype = lowering_dtype(lowering, node->outputs[0]);
        uint32_t sum = sum_operand_of(node);
        struct step step = {.bias = product->bias};
        struct packer packer = {.transposed = !product->transposed};
        struct operand operands[5];
        const struct layout *layout;
        size_t n = 2 + step.bias;
        int r;

        if (!dot_read(&step.dot, spec))
                return error_set(error, ERROR_INTERNAL, "no product for code of our own");
        step.dot.src_pixel = product->k;
        step.dot.dst_pixel = step.dot.sum_pixel = product->n;
        step.dot.result = dot_result_of(dtype);
        packer.dot = step.dot;
        r = lowering_use(
                lowering, node->inputs[0],
                layout_as(kernels, layout_plain(kernels, &graph->values[node->inputs[0]].shape), DTYPE_BF16),
                &operands[0], error);
        if (r >= 0)
                r = dot_constants(lowering, &packer, product->weights, product->bias, operands, error);
        if (r < 0)
                return r;
        layout = layout_plain(kernels, &graph->values[node->outputs[0]].shape);
        if (sum != VALUE_NONE) {
                step.dot.sum_type = DOT_TO_F32;
                r = lowering_use(lowering, sum, layout, &operands[n], error);
                if (r < 0)
                        return r;
                if (dtype == DTYPE_F32 && lowering_may_overwrite(lowering, node, operands[n])) {
                        operands[n + 1] = operands[n];
                        n += 2;
                } else {
                        n++;
                }
        }
        if (n < 4u + step.bias) {
                r = lowering_place(lowering, layout_as(kernels, layout, dtype), &operands[n++], error);
                if (r < 0)
                        return r;
        }
        dot_conv_settle(&step.dot, kernels_threads(kernels));
        return dot_emit(lowering, node, &step, operands, n,
                        2.0 * (double)product->rows * (double)product->k * (double)product->n, error);
}
