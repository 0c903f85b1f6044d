#include "engine/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/arena.h"
#include "engine/fuse.h"
#include "engine/fuse_channels.h"
#include "engine/fuse_input.h"
#include "engine/fuse_quantised.h"
#include "engine/fuse_rows.h"
#include "engine/independence.h"
#include "engine/keep_bf16.h"
#include "engine/plan_internal.h"
#include "engine/precision_choice.h"
#include "engine/rearrange.h"
#include "engine/specialise.h"

static int shape_of_input(struct shape *ret_shape, const struct model *model,
                          const struct plan_options *options, struct error *error) {
        if (options->height > PREPROCESS_MAX_SIDE || options->width > PREPROCESS_MAX_SIDE)
                return error_set(error, ERROR_LIMIT, "%zux%zu pixels; %u a side are possible",
                                 options->height, options->width, PREPROCESS_MAX_SIDE);
        return model_input_shape(ret_shape, model, options->batch, options->height, options->width, error);
}

int plan_keep_packed(struct plan *plan, struct packed *packed, struct error *error) {
        if (plan->n_packed == plan->n_packed_allocated) {
                size_t n = MAX(2 * plan->n_packed_allocated, 64u);
                struct packed **grown = reallocarray(plan->packed, n, sizeof(*grown));

                if (!grown) {
                        packed_unref(packed);
                        return error_no_memory(error);
                }
                plan->packed = grown;
                plan->n_packed_allocated = n;
        }
        plan->packed[plan->n_packed++] = packed;
        return 0;
}

/* Before any kernel is made: oneDNN must not see what cannot be run. */
static int check_values(const struct plan *plan, struct error *error) {
        for (size_t i = 0; i < plan->graph->n_values; i++) {
                const struct value *value = &plan->graph->values[i];
                char text[SHAPE_TEXT_BYTES];

                if (value->known && !value->constant &&
                    shape_elements(&value->shape) > plan->allowance.run_bytes / sizeof(float))
                        return error_set(error, ERROR_LIMIT,
                                         "'%s' is %s; activations of more than %zu MiB are not for a model "
                                         "with so few weights",
                                         value->name, shape_text(&value->shape, text),
                                         plan->allowance.run_bytes >> 20);
        }
        return 0;
}

/* Gives the buffers of the arena their offsets. */
static int plan_arrange(struct plan *plan, struct error *error) {
        _cleanup_(freep) struct arena_item *items = calloc(MAX(plan->n_buffers, 1u), sizeof(*items));
        _cleanup_(freep) size_t *owners = calloc(MAX(plan->n_buffers, 1u), sizeof(*owners));
        size_t n = 0, bytes;
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
        if (!size_add(&bytes, plan->arena_bytes, plan->scratchpad_bytes) ||
            !size_add(&bytes, bytes, plan->kept_bytes) || bytes > plan->allowance.run_bytes)
                return error_set(
                        error, ERROR_LIMIT,
                        "activations of %zu bytes, a scratchpad of %zu and tables of %zu; the limit "
                        "for a model of its weights is %zu",
                        plan->arena_bytes, plan->scratchpad_bytes, plan->kept_bytes,
                        plan->allowance.run_bytes);
        r = arena_bound(items, n, &plan->arena_bound_bytes, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                plan->buffers[owners[i]].offset = items[i].offset;
        return 0;
}

int plan_new_whole(struct plan **ret_plan, struct model *model, const struct plan_options *options,
                   const struct plan_taste *taste, struct error *error) {
        _cleanup_(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));
        struct shape input;
        int r;

        if (!plan)
                return error_no_memory(error);
        plan->model = model;
        plan->batch = options->batch;
        plan->threads = options->threads;
        plan->taste = *taste;
        plan->allowance = allowance_of(model_graph(model)->constant_bytes,
                                       model_graph(model)->input_dims[0] > 0 ? 1 : plan->batch);
        plan->pool = pool_new();
        if (!plan->pool)
                return error_no_memory(error);

        r = shape_of_input(&input, model, options, error);
        if (r >= 0)
                r = kernels_new(&plan->kernels, plan->threads, error);
        if (r >= 0)
                r = model_clone_graph(&plan->graph, model, taste->fall_back, error);
        if (r >= 0)
                r = graph_specialise(plan->graph, &input, error);
        if (r >= 0)
                r = check_values(plan, error);
        if (r >= 0)
                r = graph_quantise_products(plan->graph, error);
        if (r >= 0)
                r = graph_fuse_rows(plan->graph, error);
        if (r >= 0)
                r = graph_rearrange(plan->graph, error);
        if (r >= 0)
                r = graph_fuse(plan->graph, error);
        if (r >= 0)
                r = graph_quantise_rest(plan->graph, error);
        /* What these two make only kernels on float32 know. */
        if (r >= 0 && !taste->bf16)
                r = graph_fuse_channels(plan->graph, error);
        if (r >= 0 && !taste->bf16)
                r = graph_fuse_inputs(plan->graph, error);
        if (r >= 0 && taste->bf16)
                r = graph_keep_bf16(plan->graph, error);
        if (r >= 0)
                r = plan_lower(plan, model_weights(model), error);
        weights_settle(model_weights(model));
        if (r >= 0)
                r = plan_arrange(plan, error);
        if (r < 0)
                return error_prefix(error, r, "model '%s'", model_name(model));
        plan->image_elements = shape_elements(&input) / plan->batch;
        if (plan->output_elements % plan->batch != 0)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "model '%s': an output of %zu values for %zu images", model_name(model),
                                 plan->output_elements, plan->batch);
        *ret_plan = steal_ptr(&plan);
        return 0;
}

/* Whether each image of the batch has the answer that it has alone. */
static int are_independent(bool *ret_independent, const struct model *model,
                           const struct plan_options *options, struct error *error) {
        _cleanup_(graph_freep) struct graph *graph = NULL;
        struct shape input;
        int r;

        r = shape_of_input(&input, model, options, error);
        if (r >= 0)
                r = graph_clone(&graph, model_graph(model), error);
        if (r >= 0)
                r = graph_specialise(graph, &input, error);
        if (r < 0)
                return r;
        return graph_is_independent(ret_independent, graph, options->batch, error);
}

int plan_new_divided(struct plan **ret_plan, struct model *model, const struct plan_options *options,
                     size_t part_batch, const struct plan_taste *taste, struct error *error) {
        _cleanup_(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));
        struct plan_options part = *options;
        bool independent;
        int r;

        if (!plan)
                return error_no_memory(error);
        r = are_independent(&independent, model, options, error);
        if (r < 0)
                return r;
        if (!independent)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "model '%s': the images of a batch may depend on each other",
                                 model_name(model));
        part.batch = part_batch;
        part.threads = 1;
        r = plan_new_whole(&plan->part, model, &part, taste, error);
        if (r < 0)
                return r;
        plan->model = model;
        plan->batch = options->batch;
        plan->threads = options->threads;
        plan->image_elements = plan->part->image_elements;
        plan->output_elements = plan->part->output_elements / part_batch * plan->batch;
        plan->output_shape = plan->part->output_shape;
        plan->output_shape.dims[0] = plan->batch;
        *ret_plan = steal_ptr(&plan);
        return 0;
}

void plan_division_question(char ret_text[TUNING_MAX_TEXT], const struct plan_taste *taste, size_t batch,
                            unsigned threads) {
        snprintf(ret_text, TUNING_MAX_TEXT, "a batch of %zu on %u threads%s", batch, threads,
                 taste->bf16 ? ", bf16" : "");
}

void plan_division_label(char ret_text[TUNING_MAX_TEXT], size_t part_batch) {
        if (part_batch == 0)
                snprintf(ret_text, TUNING_MAX_TEXT, "together");
        else
                snprintf(ret_text, TUNING_MAX_TEXT, "%zu at a time on each", part_batch);
}

/* Images that each thread takes at a time; 0: all work on the whole batch. As measured; else each takes its
 * share, since threads that do not wait for each other lose nothing. */
static size_t divide(const struct plan_options *options, const struct plan_taste *taste) {
        size_t batch = options->batch, share = batch / options->threads;
        char question[TUNING_MAX_TEXT], label[TUNING_MAX_TEXT], answer[TUNING_MAX_TEXT];

        if (batch == 1 || batch % options->threads != 0)
                return 0;
        plan_division_question(question, taste, batch, options->threads);
        if (options->tuning && tuning_find(options->tuning, question, answer))
                for (size_t part = 0; part <= share; part++) {
                        plan_division_label(label, part);
                        if ((part == 0 || share % part == 0) && strcmp(label, answer) == 0)
                                return part;
                }
        return options->threads > 1 ? share : 0;
}

struct plan_taste plan_taste_of(struct model *model, const struct plan_options *options) {
        char answer[TUNING_MAX_TEXT];

        if (model_may_fall_back(model) && options->tuning &&
            tuning_find(options->tuning, PLAN_PRECISION_QUESTION, answer) &&
            strcmp(answer, precision_name(PRECISION_F32)) == 0)
                model_fall_back(model);
        return (struct plan_taste){.tuning = options->tuning,
                                   .no_winograd = options->no_winograd,
                                   .bf16 = model_precision_of(model) == PRECISION_BF16,
                                   .fall_back = model_may_fall_back(model) &&
                                                model_precision_of(model) == PRECISION_F32};
}

int plan_new(struct plan **ret_plan, struct model *model, const struct plan_options *options,
             struct error *error) {
        struct plan_options settled = *options;
        struct plan_taste taste = plan_taste_of(model, options);
        int64_t fixed = model_graph(model)->input_dims[0];
        size_t part;

        settled.threads = MAX(settled.threads, 1u);
        if (settled.batch == 0 || settled.batch > PLAN_MAX_BATCH)
                return error_set(error, ERROR_LIMIT, "a batch of %zu; 1 to %u are possible", settled.batch,
                                 PLAN_MAX_BATCH);
        part = fixed > 0 || model_graph(model)->n_watched > 0 ? 0 : divide(&settled, &taste);
        if (part > 0 && plan_new_divided(ret_plan, model, &settled, part, &taste, NULL) == 0)
                return 0;
        return plan_new_whole(ret_plan, model, &settled, &taste, error);
}

int plan_new_network(struct plan **ret_plan, const struct graph *graph, struct weights *weights,
                     struct error *error) {
        _cleanup_(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));
        int r;

        if (!plan)
                return error_no_memory(error);
        plan->batch = plan->threads = 1;
        plan->allowance = allowance_of(graph->constant_bytes, 1);
        plan->pool = pool_new();
        if (!plan->pool)
                return error_no_memory(error);
        r = kernels_new(&plan->kernels, plan->threads, error);
        if (r >= 0)
                r = graph_clone(&plan->graph, graph, error);
        if (r >= 0)
                r = graph_infer(plan->graph, error);
        if (r >= 0)
                r = check_values(plan, error);
        if (r >= 0)
                r = graph_fuse(plan->graph, error);
        if (r >= 0)
                r = plan_lower(plan, weights, error);
        if (r >= 0)
                r = plan_arrange(plan, error);
        if (r < 0)
                return r;
        *ret_plan = steal_ptr(&plan);
        return 0;
}

void plan_free(struct plan *plan) {
        if (plan->part)
                plan_free(plan->part);
        for (size_t i = 0; i < plan->n_packed; i++)
                packed_unref(plan->packed[i]);
        free(plan->packed);
        for (size_t i = 0; i < plan->n_watched; i++)
                if (plan->watched[i].constant)
                        tensor_unref(plan->watched[i].constant);
        if (plan->kernels)
                kernels_free(plan->kernels);
        if (plan->graph)
                graph_free(plan->graph);
        if (plan->pool)
                pool_free(plan->pool);
        free(plan->choices);
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

size_t plan_part_batch(const struct plan *plan) {
        return plan->part ? plan->part->batch : 0;
}

size_t plan_output_elements(const struct plan *plan) {
        return plan->output_elements;
}

size_t plan_arena_bytes(const struct plan *plan) {
        return plan->part ? plan->threads * plan->part->arena_bytes : plan->arena_bytes;
}

size_t plan_arena_bound_bytes(const struct plan *plan) {
        return plan->part ? plan->threads * plan->part->arena_bound_bytes : plan->arena_bound_bytes;
}

size_t plan_scratchpad_bytes(const struct plan *plan) {
        return plan->part ? plan->threads * plan->part->scratchpad_bytes : plan->scratchpad_bytes;
}

const struct plan *plan_with_steps(const struct plan *plan) {
        return plan->part ? plan->part : plan;
}

size_t plan_n_steps(const struct plan *plan) {
        return plan_with_steps(plan)->n_steps;
}

struct plan_step plan_step(const struct plan *plan, size_t index) {
        const struct step *step = &plan_with_steps(plan)->steps[index];

        return (struct plan_step){
                .node = step->node,
                .op = step->op,
                .kernel = kernel_name(step->kernel),
                .source = step->source,
                .shape = step->shape,
                .why = step->why,
                .is_reference = kernel_is_reference(step->kernel),
                .class = step->class,
                .flop = step->flop,
                .bytes = step->bytes,
        };
}

static bool read_before(const struct plan *plan, size_t index) {
        for (size_t i = 0; i < index; i++)
                if (plan->buffers[i].constant == plan->buffers[index].constant)
                        return true;
        return false;
}

size_t plan_weight_bytes(const struct plan *divided) {
        const struct plan *plan = plan_with_steps(divided);
        size_t bytes = 0;

        for (size_t i = 0; i < plan->n_buffers; i++)
                if (plan->buffers[i].constant && !read_before(plan, i))
                        bytes += plan->buffers[i].bytes;
        return bytes;
}

size_t plan_output_shape(const struct plan *plan, size_t ret_dims[8]) {
        memcpy(ret_dims, plan->output_shape.dims, plan->output_shape.rank * sizeof(*ret_dims));
        return plan->output_shape.rank;
}

size_t plan_n_watched(const struct plan *plan) {
        return plan->n_watched;
}

size_t plan_watched_shape(const struct plan *plan, size_t index, size_t ret_dims[8]) {
        const struct shape *shape = &plan->watched[index].shape;

        memcpy(ret_dims, shape->dims, shape->rank * sizeof(*ret_dims));
        return shape->rank;
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
