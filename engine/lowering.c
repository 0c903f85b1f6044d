#include "engine/lowering.h"

#include <string.h>

#include "engine/input_step.h"
#include "engine/native/native.h"
#include "engine/operator.h"
#include "engine/ops/families.h"
#include "engine/plan_internal.h"
#include "engine/simplify.h"
#include "engine/slices.h"

#define PLACES_MAX 4u /* layouts in which one value is kept; a further one is made again each time */

/* Where a value is: as made, and as reordered for users that want it otherwise. */
struct places {
        struct operand operands[PLACES_MAX];
        size_t n;
};

struct lowering {
        struct plan *plan;
        struct weights *weights;
        struct places *places;     /* for each value */
        uint32_t *last_use;        /* for each value: the last node, by index, that uses it */
        uint32_t *buffer_last_use; /* for each buffer: of the values in it */
        size_t n_buffer_last_use;
        uint32_t current; /* node, by index */
        uint32_t choice;  /* of the current node, or PLAN_NO_CHOICE */
        struct slices *slices;
        bool at_output; /* all nodes are done, and what is used is the network's output */
};

static void lowering_release(struct lowering *lowering) {
        free(lowering->places);
        free(lowering->last_use);
        free(lowering->buffer_last_use);
        if (lowering->slices)
                slices_free(lowering->slices);
}

const struct graph *lowering_graph(const struct lowering *lowering) {
        return lowering->plan->graph;
}

struct kernels *lowering_kernels(struct lowering *lowering) {
        return lowering->plan->kernels;
}

/* ---- buffers ---- */

static int buffer_add(struct lowering *lowering, const void *constant, size_t bytes, uint32_t *ret_buffer,
                      struct error *error) {
        struct plan *plan = lowering->plan;

        if (plan->n_buffers == plan->n_buffers_allocated) {
                size_t n = MAX(2 * plan->n_buffers_allocated, 64u);
                struct plan_buffer *buffers = reallocarray(plan->buffers, n, sizeof(*buffers));
                uint32_t *last_use;

                if (!buffers)
                        return error_no_memory(error);
                plan->buffers = buffers;
                last_use = reallocarray(lowering->buffer_last_use, n, sizeof(*last_use));
                if (!last_use)
                        return error_no_memory(error);
                lowering->buffer_last_use = last_use;
                plan->n_buffers_allocated = n;
        }
        lowering->buffer_last_use[plan->n_buffers] = 0;
        plan->buffers[plan->n_buffers] =
                (struct plan_buffer){.bytes = bytes, .constant = constant, .first = UINT32_MAX, .last = 0};
        *ret_buffer = (uint32_t)plan->n_buffers++;
        return 0;
}

int lowering_place(struct lowering *lowering, const struct layout *layout, struct operand *ret_operand,
                   struct error *error) {
        struct operand operand = {.layout = layout};
        int r;

        if (!layout)
                return error_no_memory(error);
        if (layout_bytes(layout) > lowering->plan->allowance.run_bytes)
                return error_set(error, ERROR_LIMIT,
                                 "activations of %zu bytes; the limit for a model of its weights is %zu",
                                 layout_bytes(layout), lowering->plan->allowance.run_bytes);
        r = buffer_add(lowering, NULL, layout_bytes(layout), &operand.buffer, error);
        if (r < 0)
                return r;
        *ret_operand = operand;
        return 0;
}

static int charge_packed(struct plan *plan, size_t bytes, struct error *error) {
        if (bytes > plan->allowance.packed_bytes ||
            plan->packed_bytes > plan->allowance.packed_bytes - bytes)
                return error_set(error, ERROR_LIMIT,
                                 "weights of more than %zu bytes in the layouts of kernels",
                                 plan->allowance.packed_bytes);
        plan->packed_bytes += bytes;
        return 0;
}

/* The plan takes over the reference to packed, also on failure. */
static int packed_place(struct lowering *lowering, struct packed *packed, const struct layout *layout,
                        struct operand *ret_operand, struct error *error) {
        struct operand operand = {.layout = layout};
        int r;

        r = plan_keep_packed(lowering->plan, packed, error);
        if (r >= 0)
                r = buffer_add(lowering, packed_bytes(packed), layout_bytes(layout), &operand.buffer, error);
        if (r < 0)
                return r;
        *ret_operand = operand;
        return 0;
}

int lowering_constant(struct lowering *lowering, struct tensor *tensor, const struct layout *as,
                      const struct layout *want, struct operand *ret_operand, struct error *error) {
        struct packed *packed;
        int r;

        r = charge_packed(lowering->plan, layout_equal(as, want) ? 0 : layout_bytes(want), error);
        if (r >= 0)
                r = weights_pack(&packed, lowering->weights, tensor, as, want, error);
        if (r < 0)
                return r;
        return packed_place(lowering, packed, want, ret_operand, error);
}

int lowering_constant_form(struct lowering *lowering, struct tensor *tensor, const char *form,
                           const struct layout *layout, weights_packer *packer, const void *params,
                           struct operand *ret_operand, struct error *error) {
        struct packed *packed;
        int r;

        if (!layout)
                return error_no_memory(error);
        r = charge_packed(lowering->plan, layout_bytes(layout), error);
        if (r >= 0)
                r = weights_pack_form(&packed, lowering->weights, tensor, form, layout_bytes(layout), packer,
                                      params, error);
        if (r < 0)
                return r;
        return packed_place(lowering, packed, layout, ret_operand, error);
}

void *lowering_keep(struct lowering *lowering, const void *bytes, size_t n_bytes) {
        lowering->plan->kept_bytes += n_bytes;
        return pool_copy(lowering->plan->pool, bytes, MAX(n_bytes, 1u), 1);
}

/* ---- steps ---- */

int lowering_emit(struct lowering *lowering, const struct node *node, const char *op,
                  const struct kernel *kernel, const struct operand *operands, double flop,
                  struct error *error) {
        struct plan *plan = lowering->plan;
        size_t n = kernel_n_args(kernel);
        char text[LAYOUT_TEXT_BYTES];
        struct step step = {.kernel = kernel, .choice = lowering->choice, .flop = flop};
        uint32_t *buffers;
        size_t *offsets;

        if (plan->n_steps == plan->n_steps_allocated) {
                size_t n_allocated = MAX(2 * plan->n_steps_allocated, 64u);
                struct step *steps = reallocarray(plan->steps, n_allocated, sizeof(*steps));

                if (!steps)
                        return error_no_memory(error);
                plan->steps = steps;
                plan->n_steps_allocated = n_allocated;
        }
        buffers = pool_allocate(plan->pool, n, sizeof(*buffers));
        offsets = pool_allocate(plan->pool, n, sizeof(*offsets));
        step.buffers = buffers;
        step.offsets = offsets;
        step.node = node ? node->name : "input";
        step.op = pool_string(plan->pool, op);
        step.source = operands[0].buffer == BUFFER_RUN_INPUT
                              ? ""
                              : pool_string(plan->pool, layout_text(operands[0].layout, text));
        step.shape = pool_string(plan->pool, layout_text(operands[n - 1].layout, text));
        step.class = step_class_of(plan->graph, node, op);
        if (!buffers || !offsets || !step.op || !step.source || !step.shape)
                return error_no_memory(error);

        for (size_t i = 0; i < n; i++) {
                struct plan_buffer *buffer = &plan->buffers[operands[i].buffer];

                buffers[i] = operands[i].buffer;
                offsets[i] = operands[i].offset;
                buffer->first = MIN(buffer->first, (uint32_t)plan->n_steps);
                buffer->last = MAX(buffer->last, (uint32_t)plan->n_steps);
                if (operands[i].buffer != BUFFER_RUN_INPUT)
                        step.bytes += layout_bytes(operands[i].layout);
        }
        if (plan->kept_bytes > plan->allowance.run_bytes)
                return error_set(error, ERROR_LIMIT,
                                 "tables of %zu bytes; the limit for a model of its weights is %zu",
                                 plan->kept_bytes, plan->allowance.run_bytes);
        plan->work += step.flop + (double)step.bytes;
        if (plan->work > plan->allowance.work)
                return error_set(error, ERROR_LIMIT,
                                 "the network takes more than %.0f operations, the limit for a model of its "
                                 "weights",
                                 plan->allowance.work);
        plan->steps[plan->n_steps++] = step;
        return 0;
}

/* The step that made what is in buffer; NULL where it is constant. */
static const struct step *maker_of(const struct plan *plan, uint32_t buffer) {
        for (size_t i = plan->n_steps; i-- > 0;)
                if (plan->steps[i].buffers[kernel_n_args(plan->steps[i].kernel) - 1] == buffer)
                        return &plan->steps[i];
        return NULL;
}

/* "1x64x112x112 aBcd8b" -> "aBcd8b" */
static const char *order_of(const struct layout *layout, char buffer[LAYOUT_TEXT_BYTES]) {
        const char *text = layout_text(layout, buffer), *space = strrchr(text, ' ');

        return space ? space + 1 : text;
}

/* Says what the step just added is good for; why: from the plan's pool. */
static int explain(struct lowering *lowering, const char *why, struct error *error) {
        if (!why)
                return error_no_memory(error);
        lowering->plan->steps[lowering->plan->n_steps - 1].why = why;
        return 0;
}

/* Says what the step just added, which brings from into the layout to, is good for. */
static int explain_reorder(struct lowering *lowering, const struct node *node, struct operand from,
                           const struct layout *to, struct error *error) {
        struct plan *plan = lowering->plan;
        const struct step *maker = maker_of(plan, from.buffer);
        char from_text[LAYOUT_TEXT_BYTES], to_text[LAYOUT_TEXT_BYTES];
        const char *user = lowering->at_output ? "the output"
                                               : pool_printf(plan->pool, "%s '%s'", node->type, node->name);
        const char *why =
                pool_printf(plan->pool, "%s takes %s, %s gives %s", user ? user : "", order_of(to, to_text),
                            maker ? maker->op : "a constant", order_of(from.layout, from_text));

        return user ? explain(lowering, why, error) : error_no_memory(error);
}

int lowering_reorder(struct lowering *lowering, const struct node *node, struct operand operand,
                     const struct layout *want, struct operand *ret_operand, struct error *error) {
        const struct kernel *kernel;
        struct operand operands[2] = {operand};
        int r;

        if (!want)
                return error_no_memory(error);
        if (layout_equal(operand.layout, want)) {
                *ret_operand = operand;
                return 0;
        }
        r = kernel_reorder_new(&kernel, lowering->plan->kernels, operand.layout, want, error);
        if (r >= 0)
                r = lowering_place(lowering, want, &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, "Reorder", kernel, operands, 0, error);
        if (r >= 0)
                r = explain_reorder(lowering, node, operand, want, error);
        if (r < 0)
                return r;
        *ret_operand = operands[1];
        return 0;
}

int lowering_copy(struct lowering *lowering, const struct node *node, struct operand from, struct operand to,
                  struct error *error) {
        const struct kernel *kernel;
        int r;

        r = kernel_reorder_new(&kernel, lowering->plan->kernels, from.layout, to.layout, error);
        if (r >= 0)
                r = lowering_emit(lowering, node, "Copy", kernel, (struct operand[]){from, to}, 0, error);
        if (r < 0)
                return r;
        return explain(lowering,
                       pool_printf(lowering->plan->pool, "%s '%s' needs it in a slice of a concatenation",
                                   node->type, node->name),
                       error);
}

/* ---- choices ---- */

static size_t choice_settle(const struct lowering *lowering, const struct plan_choice *choice) {
        const struct plan_taste *taste = &lowering->plan->taste;
        char answer[TUNING_MAX_TEXT];

        if (taste->variant > 0 && taste->variant < choice->n)
                return taste->variant <= choice->usual ? taste->variant - 1 : taste->variant;
        if (taste->tuning && tuning_find(taste->tuning, choice->question, answer))
                for (size_t i = 0; i < choice->n; i++)
                        if (strcmp(choice->labels[i], answer) == 0)
                                return i;
        return choice->usual;
}

int lowering_choose(struct lowering *lowering, const char *question, const char *const *labels, size_t n,
                    size_t usual, size_t *ret_index, struct error *error) {
        struct plan *plan = lowering->plan;
        struct plan_choice choice = {.n = n, .usual = usual};
        const char **copies = pool_allocate(plan->pool, n, sizeof(*copies));

        choice.labels = copies;
        choice.question = pool_printf(plan->pool, "%.200s, %u threads, %s%s", question, plan->threads,
                                      native_best()->isa, plan->taste.no_winograd ? ", no winograd" : "");
        if (!copies || !choice.question)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++) {
                copies[i] = pool_string(plan->pool, labels[i]);
                if (!copies[i])
                        return error_no_memory(error);
        }
        choice.taken = choice_settle(lowering, &choice);
        if (plan->n_choices == plan->n_choices_allocated) {
                size_t n_allocated = MAX(2 * plan->n_choices_allocated, 64u);
                struct plan_choice *choices = reallocarray(plan->choices, n_allocated, sizeof(*choices));

                if (!choices)
                        return error_no_memory(error);
                plan->choices = choices;
                plan->n_choices_allocated = n_allocated;
        }
        lowering->choice = (uint32_t)plan->n_choices;
        plan->choices[plan->n_choices++] = choice;
        *ret_index = choice.taken;
        return 0;
}

bool lowering_takes_winograd(const struct lowering *lowering) {
        return !lowering->plan->taste.no_winograd;
}

/* ---- values ---- */

static void place_add(struct lowering *lowering, uint32_t value, struct operand operand) {
        struct places *places = &lowering->places[value];

        if (places->n < PLACES_MAX)
                places->operands[places->n++] = operand;
        lowering->buffer_last_use[operand.buffer] =
                MAX(lowering->buffer_last_use[operand.buffer], lowering->last_use[value]);
}

void lowering_define(struct lowering *lowering, uint32_t value, struct operand operand) {
        place_add(lowering, value, operand);
}

/* The network's input goes straight into the layout that its first user wants, where that is one of the two
 * simple ones. */
static int define_input(struct lowering *lowering, const struct layout *want, struct error *error) {
        struct plan *plan = lowering->plan;
        uint32_t input = plan->graph->input;
        struct model_input declared = model_input(plan->model);
        const struct shape *shape = &plan->graph->values[input].shape;
        const struct layout *plain = layout_plain(plan->kernels, shape);
        const struct layout *last = layout_channels_last(plan->kernels, shape);
        bool value_is_last = declared.channels_last && !plan->graph->input_is_transposed;
        bool to_last =
                !value_is_last && last && want && !layout_equal(want, plain) && layout_equal(want, last);
        struct input_form form = {
                .images = shape->dims[0],
                .channels = declared.channels,
                .pixels = shape_elements(shape) / shape->dims[0] / declared.channels,
                .tensor_interleaved = declared.channels_last,
                .target_interleaved = value_is_last || to_last,
        };
        struct operand operands[2] = {{.buffer = BUFFER_RUN_INPUT}};
        const struct kernel *kernel;
        int r;

        if (!plain || !last)
                return error_no_memory(error);
        operands[0].layout = to_last ? last : plain;
        r = input_kernel_new(&kernel, plan->kernels, model_preprocess(plan->model), operands[0].layout,
                             &form, error);
        if (r >= 0)
                r = lowering_place(lowering, operands[0].layout, &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, NULL, "Input", kernel, operands, 0, error);
        if (r < 0)
                return r;
        lowering_define(lowering, input, operands[1]);
        return 0;
}

/* Conditions and exponents may be of another type; operators check the types of all others. */
static int constant_to_float(struct lowering *lowering, uint32_t value, struct tensor **ret_tensor,
                             struct error *error) {
        struct graph *graph = lowering->plan->graph;
        struct tensor *constant = graph->values[value].constant, *floats;
        int r;

        if (constant->dtype == DTYPE_F32) {
                *ret_tensor = constant;
                return 0;
        }
        r = graph_charge(graph, DTYPE_F32, &constant->shape, error);
        if (r >= 0)
                r = tensor_cast(&floats, constant, DTYPE_F32, error);
        if (r < 0)
                return r;
        r = graph_keep_tensor(graph, floats, error);
        if (r < 0) {
                tensor_unref(floats);
                return r;
        }
        *ret_tensor = floats;
        return 0;
}

/* The number of the input that value is, n_network_inputs where it is none. */
static size_t input_of_network(const struct graph *graph, uint32_t value) {
        size_t i = 0;

        while (i < graph->n_network_inputs && graph->network_inputs[i] != value)
                i++;
        return i;
}

static int define_network_input(struct lowering *lowering, uint32_t value, struct error *error) {
        struct plan *plan = lowering->plan;
        const struct layout *plain = layout_plain(plan->kernels, &plan->graph->values[value].shape);
        struct operand operands[2] = {{.buffer = BUFFER_RUN_INPUT, .layout = plain}};
        const struct kernel *kernel;
        int r;

        if (plan->graph->values[value].dtype != DTYPE_F32)
                return error_set(error, ERROR_UNSUPPORTED, "input '%s' is %s; steps compute on float32",
                                 plan->graph->values[value].name,
                                 dtype_name(plan->graph->values[value].dtype));
        if (!plain)
                return error_no_memory(error);
        r = network_input_kernel_new(&kernel, plan->kernels, plain, input_of_network(plan->graph, value),
                                     error);
        if (r >= 0)
                r = lowering_place(lowering, plain, &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, NULL, "Input", kernel, operands, 0, error);
        if (r < 0)
                return r;
        lowering_define(lowering, value, operands[1]);
        return 0;
}

static int place_of(struct lowering *lowering, uint32_t value, const struct layout *want,
                    struct operand *ret_operand, struct error *error) {
        const struct graph *graph = lowering->plan->graph;
        const struct places *places = &lowering->places[value];
        struct operand operand;
        struct tensor *tensor;
        int r;

        if (places->n == 0 && graph->values[value].constant) {
                const struct layout *plain =
                        layout_plain(lowering->plan->kernels, &graph->values[value].shape);

                if (!plain)
                        return error_no_memory(error);
                r = constant_to_float(lowering, value, &tensor, error);
                if (r >= 0)
                        r = lowering_constant(lowering, tensor, plain, want ? want : plain, &operand, error);
                if (r < 0)
                        return r;
                place_add(lowering, value, operand);
        } else if (places->n == 0 && input_of_network(graph, value) < graph->n_network_inputs) {
                r = define_network_input(lowering, value, error);
                if (r < 0)
                        return r;
        } else if (places->n == 0 && value == graph->input) {
                r = define_input(lowering, want, error);
                if (r < 0)
                        return r;
        } else if (places->n == 0) {
                return error_set(error, ERROR_UNSUPPORTED, "'%s' is not the first output of its node",
                                 graph->values[value].name);
        }

        *ret_operand = places->operands[0];
        for (size_t i = 0; want && i < places->n; i++)
                if (layout_equal(places->operands[i].layout, want))
                        *ret_operand = places->operands[i];
        return 0;
}

int lowering_use(struct lowering *lowering, uint32_t value, const struct layout *want,
                 struct operand *ret_operand, struct error *error) {
        struct operand operand, reordered;
        int r;

        r = place_of(lowering, value, want, &operand, error);
        if (r < 0)
                return r;
        if (want && !layout_equal(operand.layout, want)) {
                r = lowering_reorder(lowering, &lowering->plan->graph->nodes[lowering->current], operand,
                                     want, &reordered, error);
                if (r < 0)
                        return r;
                place_add(lowering, value, reordered);
                operand = reordered;
        }
        *ret_operand = operand;
        return 0;
}

int lowering_layout(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                    struct error *error) {
        struct operand operand;
        int r;

        r = place_of(lowering, value, NULL, &operand, error);
        if (r < 0)
                return r;
        *ret_layout = operand.layout;
        return 0;
}

int lowering_dense_layout(struct lowering *lowering, uint32_t value, const struct layout **ret_layout,
                          struct error *error) {
        const struct shape *shape = &lowering->plan->graph->values[value].shape;
        const struct layout *layout;
        int r;

        r = lowering_layout(lowering, value, &layout, error);
        if (r < 0)
                return r;
        if (shape->rank == 4 && layout_pixel(layout) > shape->dims[1])
                layout = layout_channels_last(lowering->plan->kernels, shape);
        if (!layout)
                return error_no_memory(error);
        *ret_layout = layout;
        return 0;
}

/* How many of node's inputs and operands lie in buffer. */
static size_t count_in_buffer(const struct lowering *lowering, const struct node *node, uint32_t buffer) {
        size_t n = 0;

        for (size_t i = 0; i < node->n_inputs + node->n_post_ops; i++) {
                uint32_t value =
                        i < node->n_inputs ? node->inputs[i] : node->post_ops[i - node->n_inputs].operand;

                if (value == VALUE_NONE ||
                    (i >= node->n_inputs && node->post_ops[i - node->n_inputs].kind != POST_OP_SUM))
                        continue;
                for (size_t k = 0; k < lowering->places[value].n; k++)
                        n += lowering->places[value].operands[k].buffer == buffer;
        }
        return n;
}

int lowering_use_writable(struct lowering *lowering, const struct node *node, uint32_t value,
                          const struct layout *want, struct operand *ret_operand, struct error *error) {
        struct plan *plan = lowering->plan;
        struct operand operands[2];
        const struct kernel *kernel;
        int r;

        r = lowering_use(lowering, value, want, &operands[0], error);
        if (r < 0)
                return r;
        if (!plan->buffers[operands[0].buffer].constant &&
            lowering->buffer_last_use[operands[0].buffer] <= lowering->current &&
            count_in_buffer(lowering, node, operands[0].buffer) == 1) {
                *ret_operand = operands[0];
                return 0;
        }
        r = kernel_reorder_new(&kernel, plan->kernels, operands[0].layout, want, error);
        if (r >= 0)
                r = lowering_place(lowering, want, &operands[1], error);
        if (r >= 0)
                r = lowering_emit(lowering, node, "Copy", kernel, operands, 0, error);
        if (r < 0)
                return r;
        r = explain(lowering,
                    pool_printf(plan->pool, "%s '%s' overwrites it, and it is read elsewhere", node->type,
                                node->name),
                    error);
        if (r < 0)
                return r;
        *ret_operand = operands[1];
        return 0;
}

/* ---- slices ---- */

bool lowering_is_sliced(const struct lowering *lowering, uint32_t value) {
        return slices_find(lowering->slices, value) != NULL;
}

bool lowering_is_at(const struct lowering *lowering, uint32_t value, struct operand operand) {
        const struct places *places = &lowering->places[value];

        for (size_t i = 0; i < places->n; i++)
                if (places->operands[i].buffer == operand.buffer &&
                    places->operands[i].offset == operand.offset &&
                    layout_equal(places->operands[i].layout, operand.layout))
                        return true;
        return false;
}

int lowering_slice(struct lowering *lowering, uint32_t value, size_t first_channel, size_t n_channels,
                   struct operand *ret_operand, struct error *error) {
        struct slice *slice = slices_find(lowering->slices, value);
        struct slice *whole = slices_whole(lowering->slices, slice);
        struct shape shape = lowering->plan->graph->values[value].shape;
        struct operand operand;
        int r;

        if (!whole->placed) {
                const struct shape *all = &lowering->plan->graph->values[whole->value].shape;

                r = lowering_place(lowering, layout_channels_last(lowering->plan->kernels, all), &operand,
                                   error);
                if (r < 0)
                        return r;
                whole->buffer = operand.buffer;
                whole->channels = all->dims[1];
                whole->placed = true;
        }
        shape.dims[1] = n_channels;
        operand.buffer = whole->buffer;
        operand.offset = (slice->channel + first_channel) * sizeof(float);
        operand.layout = layout_pixels(lowering->plan->kernels, &shape, whole->channels);
        if (!operand.layout)
                return error_no_memory(error);
        *ret_operand = operand;
        return 0;
}

int lowering_place_pixels(struct lowering *lowering, uint32_t value, struct operand *ret_operand,
                          struct error *error) {
        const struct shape *shape = &lowering->plan->graph->values[value].shape;

        if (slices_find(lowering->slices, value))
                return lowering_slice(lowering, value, 0, shape->dims[1], ret_operand, error);
        return lowering_place(lowering, layout_channels_last(lowering->plan->kernels, shape), ret_operand,
                              error);
}

/* ---- the story ---- */

static int find_last_uses(struct lowering *lowering, struct error *error) {
        const struct graph *graph = lowering->plan->graph;

        lowering->places = calloc(MAX(graph->n_values, 1u), sizeof(*lowering->places));
        lowering->last_use = calloc(MAX(graph->n_values, 1u), sizeof(*lowering->last_use));
        if (!lowering->places || !lowering->last_use)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct node *node = &graph->nodes[i];

                for (size_t k = 0; k < node->n_inputs; k++)
                        if (node->inputs[k] != VALUE_NONE)
                                lowering->last_use[node->inputs[k]] = (uint32_t)i;
                for (size_t k = 0; k < node->n_post_ops; k++)
                        if (node->post_ops[k].kind == POST_OP_SUM)
                                lowering->last_use[node->post_ops[k].operand] = (uint32_t)i;
        }
        if (graph->output != VALUE_NONE)
                lowering->last_use[graph->output] = UINT32_MAX;
        for (size_t i = 0; i < graph->n_watched; i++)
                lowering->last_use[graph->watched[i]] = UINT32_MAX;
        for (size_t i = 0; i < graph->n_network_outputs; i++)
                lowering->last_use[graph->network_outputs[i]] = UINT32_MAX;
        return 0;
}

/* Where a value that is asked for will be found, row-major. Never integers: steps compute on float32. */
static int watch_value(struct lowering *lowering, uint32_t index, struct watched *watched,
                       struct error *error) {
        struct plan *plan = lowering->plan;
        const struct value *value = &plan->graph->values[index];
        _cleanup_(tensor_unrefp) struct tensor *cast = NULL;
        const struct layout *plain;
        struct operand operand;
        int r;

        watched->shape = value->shape;
        if (value->constant) {
                r = tensor_cast(&cast, value->constant, DTYPE_F32, error);
                return r < 0 ? r : tensor_hold(&watched->constant, cast, error);
        }
        plain = layout_plain(plan->kernels, &value->shape);
        if (!plain)
                return error_no_memory(error);
        r = lowering_use(lowering, index, plain, &operand, error);
        if (r < 0)
                return r;
        watched->place = (struct plan_place){operand.buffer, operand.offset};
        return 0;
}

static int watch_values(struct lowering *lowering, struct error *error) {
        struct plan *plan = lowering->plan;
        const struct graph *graph = plan->graph;
        int r;

        plan->watched = pool_allocate(plan->pool, graph->n_watched, sizeof(*plan->watched));
        if (!plan->watched)
                return error_no_memory(error);
        plan->n_watched = graph->n_watched;
        for (size_t i = 0; i < graph->n_watched; i++) {
                r = watch_value(lowering, graph->watched[i], &plan->watched[i], error);
                if (r < 0)
                        return error_prefix(error, r, "'%s' cannot be watched",
                                            graph->values[graph->watched[i]].name);
        }
        for (size_t i = 0; i < graph->n_watched; i++)
                plan->buffers[plan->watched[i].place.buffer].last = (uint32_t)plan->n_steps;
        return 0;
}

static int hold_constant(struct graph *graph, uint32_t value, struct error *error) {
        _cleanup_(tensor_unrefp) struct tensor *held = NULL;
        int r;

        r = tensor_hold(&held, graph->values[value].constant, error);
        if (r < 0)
                return r;
        graph_set_constant(graph, value, held);
        return 0;
}

/* Outputs that are constant need no step. */
static int network_outputs_lower(struct lowering *lowering, struct error *error) {
        struct plan *plan = lowering->plan;
        const struct graph *graph = plan->graph;

        plan->network_outputs =
                pool_allocate(plan->pool, graph->n_network_outputs, sizeof(*plan->network_outputs));
        if (!plan->network_outputs)
                return error_no_memory(error);
        for (size_t i = 0; i < graph->n_network_outputs; i++) {
                const struct value *value = &graph->values[graph->network_outputs[i]];
                struct operand output;
                int r;

                if (value->constant) {
                        r = hold_constant(plan->graph, graph->network_outputs[i], error);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = value->known ? need_float(value, error)
                                 : error_set(error, ERROR_UNSUPPORTED,
                                             "the shape of output '%s' is not known", value->name);
                if (r >= 0)
                        r = lowering_use(lowering, graph->network_outputs[i],
                                         layout_plain(plan->kernels, &value->shape), &output, error);
                if (r < 0)
                        return r;
                plan->buffers[output.buffer].last = (uint32_t)plan->n_steps;
                plan->network_outputs[i] = (struct plan_place){output.buffer, output.offset};
        }
        return 0;
}

int plan_lower(struct plan *plan, struct weights *weights, struct error *error) {
        _cleanup_(lowering_release) struct lowering lowering = {
                .plan = plan, .weights = weights, .choice = PLAN_NO_CHOICE};
        const struct graph *graph = plan->graph;
        const struct layout *plain;
        struct operand output;
        uint32_t input_buffer;
        int r;

        r = find_last_uses(&lowering, error);
        if (r >= 0)
                r = slices_new(&lowering.slices, graph, error);
        if (r >= 0)
                r = buffer_add(&lowering, NULL, 0, &input_buffer, error);
        if (r < 0)
                return r;

        for (size_t i = 0; i < graph->n_nodes; i++) {
                const struct node *node = &graph->nodes[i];

                lowering.current = (uint32_t)i;
                lowering.choice = PLAN_NO_CHOICE;
                if (!node->op->lower)
                        r = error_set(error, ERROR_UNSUPPORTED,
                                      "on data that is computed; only constants and shapes");
                else
                        r = node->op->lower(&lowering, node, error);
                if (r < 0)
                        return node_error(error, r, node);
        }

        lowering.current = graph->n_nodes > 0 ? (uint32_t)graph->n_nodes - 1 : 0;
        lowering.at_output = true;
        if (graph->output == VALUE_NONE)
                return network_outputs_lower(&lowering, error);
        plain = layout_plain(plan->kernels, &graph->values[graph->output].shape);
        if (!plain)
                return error_no_memory(error);
        if (graph->n_nodes == 0)
                return error_set(error, ERROR_UNSUPPORTED,
                                 "nothing is computed: the output is the input or constant");
        r = lowering_use(&lowering, graph->output, plain, &output, error);
        if (r >= 0)
                r = watch_values(&lowering, error);
        if (r < 0)
                return r;
        /* The run copies it out after the last step. */
        plan->buffers[output.buffer].last = (uint32_t)plan->n_steps;
        plan->output = (struct plan_place){output.buffer, output.offset};
        plan->output_shape = graph->values[graph->output].shape;
        plan->output_elements = shape_elements(&plan->output_shape);
        return 0;
}
