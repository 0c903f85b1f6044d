#include "tests/fuzz/exercise.h"

#include <stdlib.h>
#include <string.h>

#include "engine/model.h"
#include "engine/plan.h"

#define RUN_MAX_BYTES ((size_t)4 << 20) /* larger networks are planned, but not run: time */
#define RUN_MAX_FLOP  20e6

/* What the steps take, or 0 where that is too much to run them here. */
static size_t bytes_of(const struct plan *plan) {
        size_t bytes = plan_arena_bytes(plan) + plan_scratchpad_bytes(plan), texts = 0;
        double flop = 0;

        for (size_t i = 0; i < plan_n_steps(plan); i++) {
                struct plan_step step = plan_step(plan, i);

                texts += strlen(step.node) + strlen(step.op) + strlen(step.kernel) + strlen(step.shape);
                flop += step.flop;
                bytes += step.bytes;
        }
        return texts > 0 && bytes <= 16 * RUN_MAX_BYTES && flop <= RUN_MAX_FLOP &&
                               plan_arena_bytes(plan) <= RUN_MAX_BYTES
                       ? bytes
                       : 0;
}

static void plan_and_run(struct model *model, size_t batch) {
        struct model_input input = model_input(model);
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(run_freep) struct run *run = NULL;
        _cleanup_(freep) float *tensor = NULL, *output = NULL, *probabilities = NULL;
        struct plan_options options = {.batch = batch, .threads = (unsigned)batch};
        size_t dims[8];
        struct error error;

        if (plan_new(&plan, model, &options, &error) < 0 || bytes_of(plan) == 0)
                return;
        plan_output_shape(plan, dims);
        tensor = calloc(batch * input.channels * input.height * input.width, sizeof(*tensor));
        output = calloc(plan_output_elements(plan) + 1, sizeof(*output));
        probabilities = calloc(plan_output_elements(plan) + 1, sizeof(*probabilities));
        if (!tensor || !output || !probabilities || run_new(&run, plan, &error) < 0)
                return;
        if (run_execute_tensor(run, tensor, output, &error) == 0)
                plan_probabilities(plan, output, probabilities);
}

void exercise_model(const uint8_t *bytes, size_t size) {
        struct model_source source = {.name = "fuzz", .onnx = blob_borrow(bytes, size)};
        _cleanup_(model_freep) struct model *model = NULL;
        struct error error;

        if (model_open_source(&model, &source, NULL, &error) < 0)
                return;
        plan_and_run(model, 1);
        plan_and_run(model, 2);
}
