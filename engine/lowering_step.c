#include <string.h>

#include "engine/lowering_internal.h"
#include "engine/native/native.h"

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

/* "1x64x112x112 aBcd8b" -> "aBcd8b", "1x64x112x112 u8 acdb" -> "u8 acdb" */
static const char *order_of(const struct layout *layout, char buffer[LAYOUT_TEXT_BYTES]) {
        const char *text = layout_text(layout, buffer), *space = strchr(text, ' ');

        return space ? space + 1 : text;
}

/* Says what the step just added is good for; why: from the plan's pool. */
int lowering_explain(struct lowering *lowering, const char *why, struct error *error) {
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

        return user ? lowering_explain(lowering, why, error) : error_no_memory(error);
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
        return lowering_explain(lowering,
                                pool_printf(lowering->plan->pool,
                                            "%s '%s' needs it in a slice of a concatenation", node->type,
                                            node->name),
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
