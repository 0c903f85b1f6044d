/* Bytes -> model -> plan -> run: whatever a file says, reading, simplifying, planning and running it must
 * not go wrong. */
#include <stdint.h>
#include <stdlib.h>

#include "engine/model.h"
#include "engine/plan.h"

#define RUN_MAX_ARENA_BYTES ((size_t)4 << 20) /* larger networks are planned, but not run: time */
#define RUN_MAX_FLOP        20e6

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static double flop_of(const struct plan *plan) {
        double flop = 0;

        for (size_t i = 0; i < plan_n_steps(plan); i++)
                flop += plan_step(plan, i).flop;
        return flop;
}

static void plan_and_run(struct model *model) {
        struct model_input input = model_input(model);
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(run_freep) struct run *run = NULL;
        _cleanup_(freep) float *tensor = NULL, *output = NULL, *probabilities = NULL;
        struct error error;

        if (plan_new(&plan, model, &(struct plan_options){.batch = 1, .threads = 1}, &error) < 0)
                return;
        if (plan_arena_bytes(plan) > RUN_MAX_ARENA_BYTES || flop_of(plan) > RUN_MAX_FLOP)
                return;
        tensor = calloc(input.channels * input.height * input.width, sizeof(*tensor));
        output = calloc(plan_output_elements(plan), sizeof(*output));
        probabilities = calloc(plan_output_elements(plan), sizeof(*probabilities));
        if (!tensor || !output || !probabilities || run_new(&run, plan, &error) < 0)
                return;
        if (run_execute_tensor(run, tensor, output, &error) == 0)
                plan_probabilities(plan, output, probabilities);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        struct model_source source = {.name = "fuzz", .onnx = blob_borrow(bytes, size)};
        struct model *model = NULL;
        struct error error;

        if (model_open_source(&model, &source, NULL, &error) == 0) {
                plan_and_run(model);
                model_free(model);
        }
        return 0;
}
