#include "engine/plan.h"

#include <math.h>
#include <string.h>

#include "engine/arena.h"
#include "engine/fuse.h"
#include "engine/fuse_rows.h"
#include "engine/plan_internal.h"
#include "engine/rearrange.h"
#include "engine/specialise.h"

#define PLAN_MAX_BYTES                                                                                      \
        ((size_t)8 << 30) /* a batch of 64 in the largest network of torchvision takes 2 GiB */

static int shape_of_input(struct shape *ret_shape, const struct model *model, size_t batch,
                          struct error *error) {
        struct model_input input = model_input(model);
        int64_t fixed = model_graph(model)->input_dims[0];

        if (batch == 0 || batch > PLAN_MAX_BATCH)
                return error_set(error, ERROR_LIMIT, "a batch of %zu; 1 to %u are possible", batch,
                                 PLAN_MAX_BATCH);
        if (fixed > 0 && (size_t)fixed != batch)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "a batch of %zu; the model was exported for %jd only: export it with a "
                                 "dynamic batch "
                                 "axis",
                                 batch, (intmax_t)fixed);
        return shape_from_dims(ret_shape,
                               (int64_t[]){(int64_t)batch, (int64_t)input.channels, (int64_t)input.height,
                                           (int64_t)input.width},
                               4, error);
}

/* Gives the buffers of the arena their offsets. */
static int plan_arrange(struct plan *plan, struct error *error) {
        _cleanup_(freep) struct arena_item *items = calloc(MAX(plan->n_buffers, 1u), sizeof(*items));
        _cleanup_(freep) size_t *owners = calloc(MAX(plan->n_buffers, 1u), sizeof(*owners));
        size_t n = 0;
        int r;

        if (!items || !owners)
                return error_no_memory(error);
        for (size_t i = BUFFER_RUN_INPUT + 1; i < plan->n_buffers; i++) {
                const struct plan_buffer *buffer = &plan->buffers[i];

                if (buffer->constant || buffer->first == UINT32_MAX)
                        continue;
                owners[n] = i;
                items[n++] = (struct arena_item){
                        .bytes = buffer->bytes, .first = buffer->first, .last = buffer->last};
        }
        r = arena_assign(items, n, &plan->arena_bytes, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < plan->n_steps; i++)
                plan->scratchpad_bytes =
                        MAX(plan->scratchpad_bytes, kernel_scratch_bytes(plan->steps[i].kernel));
        if (plan->arena_bytes > PLAN_MAX_BYTES || plan->scratchpad_bytes > PLAN_MAX_BYTES)
                return error_set(
                        error, ERROR_LIMIT,
                        "activations of %zu bytes and a scratchpad of %zu, the limit of each is %zu",
                        plan->arena_bytes, plan->scratchpad_bytes, PLAN_MAX_BYTES);
        plan->arena_bound_bytes = arena_bound(items, n);
        for (size_t i = 0; i < n; i++)
                plan->buffers[owners[i]].offset = items[i].offset;
        return 0;
}

int plan_new(struct plan **ret_plan, struct model *model, const struct plan_options *options,
             struct error *error) {
        _cleanup_(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));
        struct shape input;
        int r;

        if (!plan)
                return error_no_memory(error);
        plan->model = model;
        plan->batch = options->batch;
        plan->threads = MAX(options->threads, 1u);
        plan->pool = pool_new();
        if (!plan->pool)
                return error_no_memory(error);

        r = shape_of_input(&input, model, plan->batch, error);
        if (r >= 0)
                r = kernels_new(&plan->kernels, plan->threads, error);
        if (r >= 0)
                r = graph_clone(&plan->graph, model_graph(model), error);
        if (r >= 0)
                r = graph_specialise(plan->graph, &input, error);
        if (r >= 0)
                r = graph_fuse_rows(plan->graph, error);
        if (r >= 0)
                r = graph_rearrange(plan->graph, error);
        if (r >= 0)
                r = graph_fuse(plan->graph, error);
        if (r >= 0)
                r = plan_lower(plan, model_weights(model), error);
        if (r >= 0)
                r = plan_arrange(plan, error);
        if (r < 0)
                return error_prefix(error, r, "model '%s'", model_name(model));
        if (plan->output_elements % plan->batch != 0)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "model '%s': an output of %zu values for %zu images", model_name(model),
                                 plan->output_elements, plan->batch);
        *ret_plan = steal_ptr(&plan);
        return 0;
}

void plan_free(struct plan *plan) {
        if (plan->kernels)
                kernels_free(plan->kernels);
        if (plan->graph)
                graph_free(plan->graph);
        if (plan->pool)
                pool_free(plan->pool);
        free(plan->steps);
        free(plan->buffers);
        free(plan);
}

size_t plan_batch(const struct plan *plan) {
        return plan->batch;
}

unsigned plan_threads(const struct plan *plan) {
        return plan->threads;
}

size_t plan_output_elements(const struct plan *plan) {
        return plan->output_elements;
}

size_t plan_arena_bytes(const struct plan *plan) {
        return plan->arena_bytes;
}

size_t plan_arena_bound_bytes(const struct plan *plan) {
        return plan->arena_bound_bytes;
}

size_t plan_scratchpad_bytes(const struct plan *plan) {
        return plan->scratchpad_bytes;
}

size_t plan_n_steps(const struct plan *plan) {
        return plan->n_steps;
}

struct plan_step plan_step(const struct plan *plan, size_t index) {
        const struct step *step = &plan->steps[index];

        return (struct plan_step){
                .node = step->node,
                .op = step->op,
                .kernel = kernel_name(step->kernel),
                .shape = step->shape,
                .flop = step->flop,
                .bytes = step->bytes,
        };
}

size_t plan_output_shape(const struct plan *plan, size_t ret_dims[8]) {
        memcpy(ret_dims, plan->output_shape.dims, plan->output_shape.rank * sizeof(*ret_dims));
        return plan->output_shape.rank;
}

void plan_probabilities(const struct plan *plan, const float *output, float *probabilities) {
        size_t n = plan->output_elements / plan->batch;
        float largest = -INFINITY;
        double sum = 0;

        if (model_gives_probabilities(plan->model)) {
                memcpy(probabilities, output, n * sizeof(*output));
                return;
        }
        for (size_t i = 0; i < n; i++)
                largest = output[i] > largest ? output[i] : largest;
        for (size_t i = 0; i < n; i++) {
                probabilities[i] = expf(output[i] - largest);
                sum += (double)probabilities[i];
        }
        for (size_t i = 0; i < n; i++)
                probabilities[i] = (float)((double)probabilities[i] / sum);
}
