#include <stdlib.h>

#include "cli/commands.h"
#include "cli/common.h"
#include "cli/dump.h"
#include "cli/tune.h"
#include "engine/cpu.h"
#include "engine/npy.h"
#include "engine/plan.h"

struct infer_values {
        const char *config, *model, *input, *output;
        struct option_strings dump;
        int precision;
        unsigned threads;
        struct tune_values tune;
};

static const struct option infer_options[] = {
        OPTION_ROW_MODEL(struct infer_values),
        {.name = "input",
         .argument = "X.npy",
         .type = OPTION_STRING,
         .offset = offsetof(struct infer_values, input),
         .help = "tensor as the file declares it ([N, C, H, W], or [N, H, W, C] from TensorFlow), already "
                 "normalised; "
                 "'-' reads stdin"},
        {.name = "output",
         .argument = "Y.npy",
         .type = OPTION_STRING,
         .offset = offsetof(struct infer_values, output),
         .help = "where the network's output goes, as float32; needed unless there is a --dump"},
        {.name = "dump",
         .argument = "NODE[=FILE.npy]",
         .type = OPTION_STRINGS,
         .offset = offsetof(struct infer_values, dump),
         .help = "write what a node of the file gives, or any other value of it, as float32 too; may be "
                 "repeated. Without FILE, into a file that is called after the node"},
        OPTION_ROW_PRECISION(struct infer_values),
        OPTION_ROW_THREADS(struct infer_values),
        OPTION_ROWS_TUNE(struct infer_values),
        OPTION_ROW_CONFIG(struct infer_values),
        {0},
};

static void infer_init(void *values) {
        (void)values;
}

/* Takes batch and size from the array. */
static int take_shape(struct plan_options *options, const struct npy *npy, const struct model *model,
                      struct error *error) {
        struct model_input input = model_input(model);
        const size_t *dims = npy->dims;
        char text[MODEL_INPUT_TEXT_BYTES];

        if (npy->rank != 4)
                return error_set(error, ERROR_INVALID,
                                 "%zu dimensions; %s takes 4: %s (add the batch: array[None])", npy->rank,
                                 model_name(model), model_input_text(model, text));
        options->height = dims[input.channels_last ? 1 : 2];
        options->width = dims[input.channels_last ? 2 : 3];
        if (dims[input.channels_last ? 3 : 1] != input.channels || options->height == 0 ||
            options->width == 0 || (!input.height_is_open && options->height != input.height) ||
            (!input.width_is_open && options->width != input.width))
                return error_set(error, ERROR_INVALID, "shape [%zu, %zu, %zu, %zu]; %s takes %s%s", dims[0],
                                 dims[1], dims[2], dims[3], model_name(model), model_input_text(model, text),
                                 input.height_is_open || input.width_is_open ? ", or another size" : "");
        if (npy->dims[0] < 1 || npy->dims[0] > PLAN_MAX_BATCH)
                return error_set(error, ERROR_LIMIT, "a batch of %zu; it must be 1 to %u", npy->dims[0],
                                 PLAN_MAX_BATCH);
        options->batch = dims[0];
        return 0;
}

static int infer(const struct infer_values *v, const struct dumps *dumps, struct error *error) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        _cleanup_(npy_release) struct npy npy = {0};
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(tuning_freep) struct tuning *tuning = NULL;
        _cleanup_(run_freep) struct run *run = NULL;
        _cleanup_(freep) float *output = NULL;
        struct plan_options options = {.threads = v->threads > 0 ? v->threads : cpu_count()};
        const struct model_watch watch = {.names = (const char *const *)dumps->nodes, .n = dumps->n};
        size_t dims[8], rank;
        int r;

        r = common_open_model(&model, v->model, v->precision, &watch, error);
        if (r < 0)
                return r;
        r = common_read_input(&blob, v->input, COMMON_MAX_TENSOR_BYTES, error);
        if (r < 0)
                return r;
        r = npy_parse(&npy, blob.bytes, blob.size, error);
        if (r < 0)
                return error_prefix(error, r, "%s", v->input);
        blob_release(&blob);
        r = take_shape(&options, &npy, model, error);
        if (r < 0)
                return error_prefix(error, r, "%s", v->input);

        r = tune_plan(&tuning, model, &options, &v->tune, error);
        if (r >= 0)
                r = plan_new(&plan, model, &options, error);
        if (r < 0)
                return r;
        r = run_new(&run, plan, error);
        if (r < 0)
                return r;
        output = calloc(plan_output_elements(plan), sizeof(*output));
        if (!output)
                return error_no_memory(error);
        r = run_execute_tensor(run, npy.values, output, error);
        if (r < 0)
                return r;
        r = dumps_write(dumps, plan, run, error);
        if (r < 0 || !v->output)
                return r;
        rank = plan_output_shape(plan, dims);
        return npy_write(v->output, output, dims, rank, error);
}

static int infer_run(const void *values, _unused_ const struct options *options) {
        const struct infer_values *v = values;
        _cleanup_(dumps_release) struct dumps dumps = {0};
        struct error error = ERROR_NONE;
        int r = 0;

        if (!v->input || (!v->output && v->dump.n == 0))
                r = error_set(&error, ERROR_INVALID, "--%s is missing; see saccade infer --help",
                              v->input ? "output" : "input");
        if (r == 0)
                r = dumps_parse(&dumps, &v->dump, v->output, &error);
        if (r < 0)
                return common_fail("infer", EXIT_USAGE, &error);
        r = infer(v, &dumps, &error);
        if (r < 0)
                return common_fail("infer", EXIT_FAILED, &error);
        return EXIT_DONE;
}

const struct command COMMAND_INFER = {
        .name = "infer",
        .summary = "run a raw tensor, to compare with any framework",
        .description =
                "Reads a NumPy array, runs the network on it as it is, and writes what the network gives. "
                "The "
                "batch is the first dimension of the array. No image is decoded and nothing is normalised.",
        .example =
                "python3 -c 'import numpy; numpy.save(\"x.npy\", numpy.zeros((1, 3, 224, 224), \"f4\"))'\n"
                "saccade infer --model resnet50.onnx --input x.npy --output y.npy\n"
                "saccade infer --model resnet50.onnx --input x.npy --dump "
                "/layer1/layer1.0/conv1/Conv=conv1.npy\n",
        .options = infer_options,
        .values_bytes = sizeof(struct infer_values),
        .values_init = infer_init,
        .run = infer_run,
        .runs_engine = true,
};
