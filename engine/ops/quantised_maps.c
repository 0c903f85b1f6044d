#include <math.h>
#include <string.h>

#include "engine/ops/conv.h"
#include "engine/ops/pool.h"
#include "engine/ops/quantised.h"

/* Steps on integers that are no products, by native/bytes.h. */

static const struct value *value_of(struct lowering *lowering, uint32_t value) {
        return &lowering_graph(lowering)->values[value];
}

/* The step of a kernel of native/bytes.h. operands: the destination last. */
static int emit(struct lowering *lowering, const struct node *node, const char *family,
                kernel_native *function, const void *params, size_t params_bytes,
                const struct operand *operands, size_t n, struct error *error) {
        return q_emit(lowering, node,
                      &(struct q_step){.family = family,
                                       .isa = bytes_isa(),
                                       .function = function,
                                       .params = params,
                                       .params_bytes = params_bytes,
                                       .operands = operands,
                                       .n_operands = n},
                      error);
}

static unsigned threads_of(struct lowering *lowering) {
        return kernels_threads(lowering_kernels(lowering));
}

/* ---- pools ---- */

static void pool_run(const void *params, void *const *addresses) {
        bytes_pool_run(params, addresses[0], addresses[1]);
}

OPERATOR_LOWER(q_pool) {
        static const enum bytes_pool_kind kinds[] = {
                [KERNEL_POOL_MAX] = BYTES_POOL_MAX,
                [KERNEL_POOL_AVERAGE] = BYTES_POOL_AVERAGE,
                [KERNEL_POOL_AVERAGE_WITH_PADDING] = BYTES_POOL_AVERAGE_WITH_PADDING,
        };
        const struct value *x = value_of(lowering, node->inputs[0]);
        const struct value *y = value_of(lowering, node->outputs[0]);
        struct pool_params params;
        struct bytes_pool pool;
        struct operand operands[2];
        int64_t counted_end[2];
        int r;

        r = pool_read(&params, counted_end, lowering_graph(lowering), node, error);
        if (r < 0)
                return r;
        pool = (struct bytes_pool){
                .kind = kinds[params.spec.kind],
                .images = x->shape.dims[0],
                .channels = x->shape.dims[1],
                .height = x->shape.dims[2],
                .width = x->shape.dims[3],
                .out_height = y->shape.dims[2],
                .out_width = y->shape.dims[3],
                .window = params.spec.window,
                .src = q_real_of(x),
                .dst = q_real_of(y),
                .threads = threads_of(lowering),
        };
        r = q_source(lowering, node->inputs[0], &operands[0], &pool.src_pixel, error);
        if (r >= 0)
                r = q_destination(lowering, node, &operands[1], &pool.dst_pixel, error);
        return r < 0 ? r
                     : emit(lowering, node, "bytes_pool", pool_run, &pool, sizeof(pool), operands, 2, error);
}

static void global_pool_run(const void *params, void *const *addresses) {
        bytes_global_pool_run(params, addresses[0], addresses[1]);
}

OPERATOR_LOWER(q_global_pool) {
        const struct value *x = value_of(lowering, node->inputs[0]);
        const struct value *y = value_of(lowering, node->outputs[0]);
        struct bytes_global_pool pool = {
                .result = q_type_of(y),
                .images = x->shape.dims[0],
                .channels = x->shape.dims[1],
                .pixels = x->shape.dims[2] * x->shape.dims[3],
                .src = q_real_of(x),
                .dst = q_real_of(y),
                .threads = threads_of(lowering),
        };
        struct operand operands[2];
        int r;

        r = q_source(lowering, node->inputs[0], &operands[0], &pool.src_pixel, error);
        if (r >= 0)
                r = q_destination(lowering, node, &operands[1], &pool.dst_image, error);
        if (r < 0)
                return r;
        if (y->shape.rank != 4)
                pool.dst_image = pool.channels;
        return emit(lowering, node, "bytes_global_pool", global_pool_run, &pool, sizeof(pool), operands, 2,
                    error);
}

/* ---- Add, Mul ---- */

static void binary_run(const void *params, void *const *addresses) {
        bytes_binary_run(params, addresses[0], addresses[1], addresses[2]);
}

OPERATOR_LOWER(q_binary) {
        size_t n_first = shape_elements(&value_of(lowering, node->inputs[0])->shape);
        size_t n_second = shape_elements(&value_of(lowering, node->inputs[1])->shape);
        size_t map = n_second > n_first ? 1 : 0;
        const struct value *a = value_of(lowering, node->inputs[map]);
        const struct value *b = value_of(lowering, node->inputs[1 - map]);
        struct q_form form = q_form_of(&a->shape);
        struct kernel_post_ops post_ops = post_ops_of(node);
        struct bytes_binary binary = {
                .multiply = node_is(node, "QMul"),
                .pixels = form.pixels,
                .channels = form.channels,
                .b_repeat = n_first == n_second ? 1 : a->shape.dims[2] * a->shape.dims[3],
                .a = q_real_of(a),
                .b = q_real_of(b),
                .dst = q_real_of(value_of(lowering, node->outputs[0])),
                .threads = threads_of(lowering),
        };
        struct operand operands[3];
        bool sum;
        int r;

        if (!conv_clip(&post_ops, &sum, &binary.low, &binary.high) || sum)
                return error_set(error, ERROR_INTERNAL, "a sum of integers followed by a function");
        r = q_source(lowering, node->inputs[map], &operands[0], &binary.a_pixel, error);
        if (r >= 0)
                r = q_source(lowering, node->inputs[1 - map], &operands[1], &binary.b_pixel, error);
        if (r >= 0)
                r = q_destination(lowering, node, &operands[2], &binary.dst_pixel, error);
        return r < 0 ? r
                     : emit(lowering, node, "bytes_binary", binary_run, &binary, sizeof(binary), operands, 3,
                            error);
}

/* ---- tables, concatenation ---- */

struct lookup_step {
        struct bytes_lookup lookup;
        bool copy;
        uint8_t table[256];
};

static void lookup_run(const void *params, void *const *addresses) {
        const struct lookup_step *step = params;

        bytes_lookup_run(&step->lookup, step->copy ? NULL : step->table, addresses[0], addresses[1]);
}

OPERATOR_LOWER(q_lookup) {
        const struct tensor *table = graph_input_constant(lowering_graph(lowering), node, 1);
        struct q_form form = q_form_of(&value_of(lowering, node->inputs[0])->shape);
        struct lookup_step step = {.lookup = {.pixels = form.pixels,
                                              .channels = form.channels,
                                              .threads = threads_of(lowering)}};
        struct operand operands[2];
        int r;

        memcpy(step.table, table->data, sizeof(step.table));
        r = q_source(lowering, node->inputs[0], &operands[0], &step.lookup.src_pixel, error);
        if (r >= 0)
                r = q_destination(lowering, node, &operands[1], &step.lookup.dst_pixel, error);
        return r < 0 ? r
                     : emit(lowering, node, "bytes_lookup", lookup_run, &step, sizeof(step), operands, 2,
                            error);
}

static bool is_identity(const uint8_t table[256]) {
        for (size_t i = 0; i < 256; i++)
                if (table[i] != i)
                        return false;
        return true;
}

OPERATOR_LOWER(q_concat) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct value *y = value_of(lowering, node->outputs[0]);
        struct operand whole;
        size_t first = 0, pixel;
        int r;

        r = q_destination(lowering, node, &whole, &pixel, error);
        for (size_t i = 0; i < node->n_inputs && r >= 0; i++) {
                const struct value *x = value_of(lowering, node->inputs[i]);
                struct q_form form = q_form_of(&x->shape);
                struct lookup_step step = {
                        .lookup = {.pixels = form.pixels,
                                   .channels = form.channels,
                                   .dst_pixel = pixel,
                                   .threads = threads_of(lowering)},
                };
                struct operand operands[2];

                operands[1] = (struct operand){
                        .buffer = whole.buffer,
                        .offset = whole.offset + first,
                        .layout = layout_as(kernels, layout_pixels(kernels, &x->shape, pixel), DTYPE_U8),
                };
                if (!operands[1].layout)
                        return error_no_memory(error);
                first += form.channels;
                bytes_requantise_table(step.table, q_real_of(x), q_real_of(y));
                step.copy = is_identity(step.table);
                if (step.copy && lowering_is_at(lowering, node->inputs[i], operands[1]))
                        continue;
                r = q_source(lowering, node->inputs[i], &operands[0], &step.lookup.src_pixel, error);
                if (r >= 0)
                        r = q_emit(lowering, node,
                                   &(struct q_step){.family = "bytes_concat",
                                                    .isa = bytes_isa(),
                                                    .function = lookup_run,
                                                    .params = &step,
                                                    .params_bytes = sizeof(step),
                                                    .operands = operands,
                                                    .n_operands = 2,
                                                    .part = true},
                                   error);
        }
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], whole);
        return 0;
}

/* The same bytes under another shape. */
OPERATOR_LOWER(q_view) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct shape *from = &value_of(lowering, node->inputs[0])->shape;
        const struct shape *to = &value_of(lowering, node->outputs[0])->shape;
        bool same = shape_equal(from, to);
        const struct layout *layout = layout_as(kernels, layout_plain(kernels, from), DTYPE_U8);
        struct operand operand;
        int r;

        if (!layout)
                return error_no_memory(error);
        r = lowering_use(lowering, node->inputs[0], same ? NULL : layout, &operand, error);
        if (r < 0)
                return r;
        if (!same)
                operand.layout = layout_as(kernels, layout_plain(kernels, to), DTYPE_U8);
        if (!operand.layout)
                return error_no_memory(error);
        lowering_define(lowering, node->outputs[0], operand);
        return 0;
}

/* ---- between float32 and integers ---- */

static void quantise_run(const void *params, void *const *addresses) {
        bytes_quantise_run(params, addresses[0], addresses[1]);
}

static void dequantise_run(const void *params, void *const *addresses) {
        bytes_dequantise_run(params, addresses[0], addresses[1]);
}

/* shape: of both sides; source: of the float32 side, channels-last or row-major. */
static struct bytes_quantise quantise_of(struct lowering *lowering, const struct shape *shape) {
        struct bytes_quantise quantise = {.images = 1, .channels = shape_elements(shape), .pixels = 1};

        if (shape->rank == 4)
                quantise = (struct bytes_quantise){.images = shape->dims[0],
                                                   .channels = shape->dims[1],
                                                   .pixels = shape->dims[2] * shape->dims[3]};
        quantise.threads = threads_of(lowering);
        return quantise;
}

OPERATOR_LOWER(quantize) {
        struct kernels *kernels = lowering_kernels(lowering);
        const struct value *x = value_of(lowering, node->inputs[0]);
        struct bytes_quantise quantise = quantise_of(lowering, &x->shape);
        const struct layout *layout;
        struct operand operands[2];
        bool done = false;
        int r;

        r = lowering_define_quantised_input(lowering, node->inputs[0], node->outputs[0], &done, error);
        if (r < 0 || done)
                return r;
        quantise.real = q_real_of(value_of(lowering, node->outputs[0]));
        r = lowering_layout(lowering, node->inputs[0], &layout, error);
        if (r < 0)
                return r;
        if (x->shape.rank != 4 || layout_pixel(layout) == 0) {
                layout = layout_plain(kernels, &x->shape);
                quantise.planes = x->shape.rank == 4;
        }
        r = lowering_use(lowering, node->inputs[0], layout, &operands[0], error);
        if (r >= 0)
                r = q_destination(lowering, node, &operands[1], &quantise.dst_pixel, error);
        if (r < 0)
                return r;
        quantise.src_pixel = x->shape.rank == 4 ? layout_pixel(layout) : quantise.channels;
        r = emit(lowering, node, "bytes_quantise", quantise_run, &quantise, sizeof(quantise), operands, 2,
                 error);
        return r < 0 ? r : lowering_explain_quantise(lowering, node->inputs[0], node->outputs[0], error);
}

OPERATOR_LOWER(dequantize) {
        const struct value *x = value_of(lowering, node->inputs[0]);
        struct bytes_quantise quantise = quantise_of(lowering, &x->shape);
        struct operand operands[2];
        int r;

        quantise.real = q_real_of(x);
        r = q_source(lowering, node->inputs[0], &operands[0], &quantise.src_pixel, error);
        if (r >= 0)
                r = q_destination(lowering, node, &operands[1], &quantise.dst_pixel, error);
        if (r >= 0)
                r = emit(lowering, node, "bytes_dequantise", dequantise_run, &quantise, sizeof(quantise),
                         operands, 2, error);
        return r < 0 ? r : lowering_explain_quantise(lowering, node->inputs[0], node->outputs[0], error);
}
