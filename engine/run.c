#include <string.h>

#include "base/clock.h"
#include "engine/arena.h"
#include "engine/plan_internal.h"
#include "engine/team.h"

struct part_result {
        int r;
        struct error error;
};

struct run {
        const struct plan *plan;
        struct run_input input;
        unsigned char *arena, *scratchpad;
        struct call **calls; /* one a step */

        /* Of a divided plan, one a thread, and nothing of the above. */
        struct run **parts;
        struct part_result *results;
};

static unsigned char *allocate_aligned(size_t bytes) {
        return aligned_alloc(ARENA_ALIGNMENT,
                             (bytes + 2 * ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT);
}

static void *buffer_address(struct run *run, uint32_t index) {
        const struct plan_buffer *buffer = &run->plan->buffers[index];

        if (index == BUFFER_RUN_INPUT)
                return &run->input;
        /* Kernels only read what is constant; their interface does not say so. */
        return buffer->constant ? (void *)(uintptr_t)buffer->constant : run->arena + buffer->offset;
}

const float *run_place(const struct run *run, struct plan_place place) {
        const struct plan_buffer *buffer = &run->plan->buffers[place.buffer];
        const unsigned char *start = buffer->constant ? buffer->constant : run->arena + buffer->offset;

        return (const float *)(const void *)(start + place.offset);
}

static int parts_new(struct run *run, struct error *error) {
        int r;

        run->parts = calloc(run->plan->threads, sizeof(*run->parts));
        run->results = calloc(run->plan->threads, sizeof(*run->results));
        if (!run->parts || !run->results)
                return error_no_memory(error);
        for (unsigned i = 0; i < run->plan->threads; i++) {
                r = run_new(&run->parts[i], run->plan->part, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int run_new(struct run **ret_run, const struct plan *plan, struct error *error) {
        _cleanup_(run_freep) struct run *run = calloc(1, sizeof(*run));
        int r;

        if (!run)
                return error_no_memory(error);
        run->plan = plan;
        if (plan->part) {
                r = parts_new(run, error);
                if (r < 0)
                        return r;
                *ret_run = steal_ptr(&run);
                return 0;
        }
        run->calls = calloc(MAX(plan->n_steps, 1u), sizeof(*run->calls));
        run->arena = allocate_aligned(plan->arena_bytes);
        run->scratchpad = allocate_aligned(plan->scratchpad_bytes);
        if (!run->calls || !run->arena || !run->scratchpad)
                return error_no_memory(error);

        for (size_t i = 0; i < plan->n_steps; i++) {
                const struct step *step = &plan->steps[i];
                void *addresses[KERNEL_CONCAT_MAX + 1];

                for (size_t k = 0; k < kernel_n_args(step->kernel); k++)
                        addresses[k] =
                                (unsigned char *)buffer_address(run, step->buffers[k]) + step->offsets[k];
                r = call_new(&run->calls[i], step->kernel, addresses, run->scratchpad, error);
                if (r < 0)
                        return r;
        }
        *ret_run = steal_ptr(&run);
        return 0;
}

void run_free(struct run *run) {
        for (unsigned i = 0; run->parts && i < run->plan->threads; i++)
                if (run->parts[i])
                        run_free(run->parts[i]);
        free(run->parts);
        free(run->results);
        for (size_t i = 0; run->calls && i < run->plan->n_steps; i++)
                if (run->calls[i])
                        call_free(run->calls[i]);
        free(run->calls);
        free(run->arena);
        free(run->scratchpad);
        free(run);
}

/* Of a plan that is not divided. */
static int execute_steps(struct run *run, struct run_input input, uint64_t *step_ns, struct error *error) {
        const struct plan *plan = run->plan;
        int r;

        run->input = input;
        kernels_enter(plan->kernels);
        for (size_t i = 0; i < plan->n_steps; i++) {
                uint64_t start = step_ns ? clock_ns() : 0;

                r = call_execute(run->calls[i], error);
                if (r < 0)
                        return error_prefix(error, r, "node '%s'", plan->steps[i].node);
                if (step_ns)
                        step_ns[i] = clock_ns() - start;
        }
        return 0;
}

/* A batch that threads share, each taking some of its images at a time. */
struct division {
        struct run *run;
        struct run_input input;
        float *output;
        uint64_t *step_ns; /* of thread 0's last part */
};

static void execute_part(void *argument, size_t thread, size_t n_threads) {
        struct division *division = argument;
        const struct plan *plan = division->run->plan;
        size_t image = plan->image_elements, part = plan->part->batch;
        size_t classes = plan->output_elements / plan->batch, n_parts = plan->batch / part;
        struct part_result *result = &division->run->results[thread];

        /* Where fewer threads came than there are, the last does what is left. */
        for (size_t i = n_parts * thread / n_threads;
             i < n_parts * (thread + 1) / n_threads && result->r >= 0; i++) {
                struct run_input input = {0};

                if (division->input.pixels)
                        input.pixels = division->input.pixels + i * part * image;
                else
                        input.tensor = division->input.tensor + i * part * image;
                result->r = run_profile_input(division->run->parts[thread], input,
                                              division->output + i * part * classes,
                                              thread == 0 ? division->step_ns : NULL, &result->error);
        }
}

static int execute_divided(struct run *run, struct run_input input, float *output, uint64_t *step_ns,
                           struct error *error) {
        struct division division = {run, input, output, step_ns};

        for (unsigned i = 0; i < run->plan->threads; i++)
                run->results[i].r = 0;
        team_run(run->plan->threads, execute_part, &division);
        for (unsigned i = 0; i < run->plan->threads; i++)
                if (run->results[i].r < 0) {
                        if (error)
                                *error = run->results[i].error;
                        return run->results[i].r;
                }
        return 0;
}

int run_profile_input(struct run *run, struct run_input input, float *output, uint64_t *step_ns,
                      struct error *error) {
        int r;

        if (run->parts)
                return execute_divided(run, input, output, step_ns, error);
        r = execute_steps(run, input, step_ns, error);
        if (r < 0)
                return r;
        memcpy(output, run_place(run, run->plan->output), run->plan->output_elements * sizeof(*output));
        return 0;
}

static int need_pixels(const struct run *run, struct error *error) {
        if (model_input(run->plan->model).channels != 3)
                return error_set(error, ERROR_UNSUPPORTED, "the model takes %zu channels, a picture has 3",
                                 model_input(run->plan->model).channels);
        return 0;
}

int run_execute(struct run *run, const unsigned char *pixels, float *output, struct error *error) {
        return run_profile(run, pixels, output, NULL, error);
}

int run_profile(struct run *run, const unsigned char *pixels, float *output, uint64_t *step_ns,
                struct error *error) {
        int r;

        r = need_pixels(run, error);
        if (r < 0)
                return r;
        return run_profile_input(run, (struct run_input){.pixels = pixels}, output, step_ns, error);
}

const float *run_watched(const struct run *run, size_t index) {
        const struct watched *watched = &run->plan->watched[index];

        return watched->constant ? watched->constant->data : run_place(run, watched->place);
}

int run_execute_network(struct run *run, const float *const *inputs, struct error *error) {
        return execute_steps(run, (struct run_input){.network = inputs}, NULL, error);
}

int run_execute_tensor(struct run *run, const float *input, float *output, struct error *error) {
        return run_profile_input(run, (struct run_input){.tensor = input}, output, NULL, error);
}
