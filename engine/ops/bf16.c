#include "engine/ops/bf16.h"

#include <math.h>
#include <string.h>

#include "engine/native/bfloat.h"
#include "engine/native/conv.h"
#include "engine/ops/pool.h"
#include "engine/team.h"

/* ---- what can be done ---- */

static bool is_computed_map(const struct graph *graph, uint32_t value) {
        return value != VALUE_NONE && !graph->values[value].constant &&
               graph->values[value].shape.rank == 4 && graph->values[value].dtype == DTYPE_F32;
}

/* The input that is the map of x * gate, the gate [N, C, 1, 1] being the other; 2: it is no such product. */
static size_t gated_input(const struct graph *graph, const struct node *node) {
        for (size_t i = 0; i < 2 && node_is(node, "Mul") && node->n_inputs == 2; i++) {
                uint32_t x = node->inputs[i], gate = node->inputs[1 - i];

                if (is_computed_map(graph, x) && is_computed_map(graph, gate)) {
                        const size_t *a = graph->values[x].shape.dims, *b = graph->values[gate].shape.dims;

                        if (b[0] == a[0] && b[1] == a[1] && b[2] == 1 && b[3] == 1 && a[2] * a[3] > 1)
                                return i;
                }
        }
        return 2;
}

/* Of two maps of one shape, by oneDNN. */
static bool is_binary(const struct graph *graph, const struct node *node) {
        if ((!node_is(node, "Add") && !node_is(node, "Mul")) || node->n_inputs != 2 ||
            node->inputs[0] == node->inputs[1])
                return false;
        return is_computed_map(graph, node->inputs[0]) && is_computed_map(graph, node->inputs[1]) &&
               shape_equal(&graph->values[node->inputs[0]].shape, &graph->values[node->inputs[1]].shape);
}

static bool is_pool(const struct graph *graph, const struct node *node) {
        struct pool_params params;
        int64_t counted_end[2];

        return (node_is(node, "MaxPool") || node_is(node, "AveragePool")) &&
               is_computed_map(graph, node->inputs[0]) &&
               pool_read(&params, counted_end, graph, node, NULL) >= 0 && !params.native;
}

static bool is_unary(const struct graph *graph, const struct node *node) {
        struct eltwise eltwise[2];

        return node->op && node->op->lower == unary_lower && is_computed_map(graph, node->inputs[0]) &&
               eltwise_read(eltwise, graph, node) > 0;
}

/* The clipping of a ScaleShift; false: it is followed by something else. */
static bool scale_shift_clip(const struct node *node, float *ret_low, float *ret_high) {
        struct kernel_post_ops post_ops = post_ops_of(node);
        bool sum;

        return conv_clip(&post_ops, &sum, ret_low, ret_high) && !sum;
}

bool bf16_can_write(const struct graph *graph, const struct node *node) {
        float low, high;

        if (node_is(node, "Conv"))
                return bf16_conv_can(graph, node);
        if (node_is(node, "ScaleShift"))
                return is_computed_map(graph, node->inputs[0]) && scale_shift_clip(node, &low, &high);
        return is_pool(graph, node) || node_is(node, "GlobalAveragePool") || is_binary(graph, node) ||
               gated_input(graph, node) < 2 || is_unary(graph, node) || node_is(node, "InnerProduct");
}

bool bf16_can_read(const struct graph *graph, const struct node *node, size_t input) {
        if (node_is(node, "InnerProduct"))
                return input == 0;
        if (gated_input(graph, node) < 2 || is_binary(graph, node))
                return true;
        return input == 0 && bf16_can_write(graph, node);
}

/* ---- steps ---- */

enum work { WORK_SCALE_SHIFT, WORK_GATE, WORK_MEAN };

struct step {
        struct bfloat_map map;
        enum work work;
        float low, high;
        bool to_reals;
        size_t threads, n; /* n: pixels or images to be shared out */
};

struct job {
        const struct step *step;
        void *const *addresses;
};

/* Addresses: src, then scale and shift or the gate, dst. */
static void part_run(void *argument, size_t thread, size_t n_threads) {
        const struct job *job = argument;
        const struct step *step = job->step;
        void *const *at = job->addresses;
        size_t begin, end;

        team_share(step->n, thread, n_threads, &begin, &end);
        switch (step->work) {
        case WORK_SCALE_SHIFT:
                bfloat_scale_shift(&step->map, at[0], at[1], at[2], step->low, step->high, at[3], begin,
                                   end);
                break;
        case WORK_GATE:
                bfloat_gate(&step->map, at[0], at[1], at[2], begin, end);
                break;
        case WORK_MEAN:
                bfloat_mean(&step->map, at[0], at[1], step->to_reals, begin, end);
                break;
        }
}

static void step_run(const void *params, void *const *addresses) {
        const struct step *step = params;
        struct job job = {step, addresses};

        if (step->threads == 1)
                part_run(&job, 0, 1);
        else
                team_run(step->threads, part_run, &job);
}

#define LEAST_ELEMENTS ((size_t)1 << 17) /* for a team: less takes a core some 10 us */

static struct step step_of(const struct lowering *lowering, struct kernels *kernels, uint32_t src,
                           enum work work) {
        const struct shape *shape = &lowering_graph(lowering)->values[src].shape;

        return (struct step){
                .map = {.images = shape->dims[0],
                        .pixels = shape->dims[2] * shape->dims[3],
                        .channels = shape->dims[1]},
                .work = work,
                .low = -INFINITY,
                .high = INFINITY,
                .threads = shape_elements(shape) < LEAST_ELEMENTS ? 1 : kernels_threads(kernels),
                .n = work == WORK_MEAN ? shape->dims[0] : shape->dims[0] * shape->dims[2] * shape->dims[3],
        };
}

static int src_operand(struct lowering *lowering, uint32_t src, struct step *step, struct operand *operand,
                       struct error *error) {
        const struct layout *layout;
        int r;

        r = bf16_pixels(lowering, src, &layout, error);
        if (r < 0)
                return r;
        step->map.src_pixel = layout_pixel(layout);
        return lowering_use(lowering, src, layout, operand, error);
}

static int step_emit(struct lowering *lowering, const struct node *node, const char *name,
                     const struct step *step, const struct operand *operands, size_t n,
                     struct error *error) {
        const struct layout *layouts[4];
        const struct kernel *kernel;
        char op[OP_TEXT_BYTES];
        int r;

        for (size_t i = 0; i < n; i++)
                layouts[i] = operands[i].layout;
        r = kernel_native_new(&kernel, lowering_kernels(lowering), name, step_run, step, sizeof(*step),
                              layouts, n, error);
        if (r >= 0)
                r = lowering_emit(lowering, node, op_text(node, op), kernel, operands,
                                  (double)(step->map.images * step->map.pixels * step->map.channels), error);
        if (r < 0)
                return r;
        lowering_define(lowering, node->outputs[0], operands[n - 1]);
        return 0;
}

int bf16_scale_shift_lower(struct lowering *lowering, const struct node *node, struct error *error) {
        const struct graph *graph = lowering_graph(lowering);
        struct kernels *kernels = lowering_kernels(lowering);
        struct step step = step_of(lowering, kernels, node->inputs[0], WORK_SCALE_SHIFT);
        const struct layout *vector =
                layout_plain(kernels, &(struct shape){.rank = 1, .dims = {step.map.channels}});
        struct operand operands[4];
        int r;

        if (!vector)
                return error_no_memory(error);
        if (!scale_shift_clip(node, &step.low, &step.high))
                return error_set(error, ERROR_INTERNAL, "what follows is no clipping");
        r = src_operand(lowering, node->inputs[0], &step, &operands[0], error);
        for (size_t i = 1; i < 3 && r >= 0; i++)
                r = lowering_constant(lowering, graph->values[node->inputs[i]].constant, vector, vector,
                                      &operands[i], error);
        if (r >= 0)
                r = lowering_place_pixels(lowering, node->outputs[0], &operands[3], error);
        if (r < 0)
                return r;
        step.map.dst_pixel = layout_pixel(operands[3].layout);
        return step_emit(lowering, node, "native:bf16_scale_shift", &step, operands, 4, error);
}

int bf16_gate_lower(struct lowering *lowering, const struct node *node, bool *ret_done,
                    struct error *error) {
        size_t x = gated_input(lowering_graph(lowering), node);
        struct operand operands[3];
        const struct layout *gate;
        struct step step;
        int r;

        if (x == 2)
                return 0;
        *ret_done = true;
        step = step_of(lowering, lowering_kernels(lowering), node->inputs[x], WORK_GATE);
        gate = layout_as(lowering_kernels(lowering),
                         layout_channels_last(lowering_kernels(lowering),
                                              &lowering_graph(lowering)->values[node->inputs[1 - x]].shape),
                         DTYPE_BF16);
        if (!gate)
                return error_no_memory(error);
        r = src_operand(lowering, node->inputs[x], &step, &operands[0], error);
        if (r >= 0)
                r = lowering_use(lowering, node->inputs[1 - x], gate, &operands[1], error);
        if (r >= 0)
                r = lowering_place_pixels(lowering, node->outputs[0], &operands[2], error);
        if (r < 0)
                return r;
        step.map.dst_pixel = layout_pixel(operands[2].layout);
        return step_emit(lowering, node, "native:bf16_gate", &step, operands, 3, error);
}

int bf16_mean_lower(struct lowering *lowering, const struct node *node, struct error *error) {
        struct kernels *kernels = lowering_kernels(lowering);
        enum dtype dtype = lowering_dtype(lowering, node->outputs[0]);
        struct step step = step_of(lowering, kernels, node->inputs[0], WORK_MEAN);
        struct operand operands[2];
        int r;

        step.to_reals = dtype == DTYPE_F32;
        r = src_operand(lowering, node->inputs[0], &step, &operands[0], error);
        if (r >= 0)
                r = lowering_place(
                        lowering,
                        layout_as(
                                kernels,
                                layout_channels_last(
                                        kernels, &lowering_graph(lowering)->values[node->outputs[0]].shape),
                                dtype),
                        &operands[1], error);
        if (r < 0)
                return r;
        return step_emit(lowering, node, "native:bf16_mean", &step, operands, 2, error);
}
