#include <string.h>

#include "base/clock.h"
#include "engine/arena.h"
#include "engine/plan_internal.h"

struct run {
        const struct plan *plan;
        struct run_input input;
        unsigned char *arena, *scratchpad;
        struct call **calls; /* one a step */
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

int run_new(struct run **ret_run, const struct plan *plan, struct error *error) {
        _cleanup_(run_freep) struct run *run = calloc(1, sizeof(*run));
        int r;

        if (!run)
                return error_no_memory(error);
        run->plan = plan;
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
        for (size_t i = 0; run->calls && i < run->plan->n_steps; i++)
                if (run->calls[i])
                        call_free(run->calls[i]);
        free(run->calls);
        free(run->arena);
        free(run->scratchpad);
        free(run);
}

static int execute(struct run *run, struct run_input input, float *output, uint64_t *step_ns,
                   struct error *error) {
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
        memcpy(output, (unsigned char *)buffer_address(run, plan->output_buffer) + plan->output_offset,
               plan->output_elements * sizeof(*output));
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
        return execute(run, (struct run_input){.pixels = pixels}, output, step_ns, error);
}

const float *run_watched(const struct run *run, size_t index) {
        const struct watched *watched = &run->plan->watched[index];
        const struct plan_buffer *buffer = &run->plan->buffers[watched->buffer];

        if (watched->constant)
                return watched->constant->data;
        return buffer->constant ? buffer->constant : (const void *)(run->arena + buffer->offset);
}

int run_execute_tensor(struct run *run, const float *input, float *output, struct error *error) {
        return execute(run, (struct run_input){.tensor = input}, output, NULL, error);
}
