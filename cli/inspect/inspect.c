#include "cli/commands.h"
#include "cli/common.h"
#include "cli/inspect/picture.h"
#include "cli/inspect/view.h"
#include "cli/tune.h"
#include "engine/cpu.h"

struct inspect_values {
        const char *config, *graph;
        int precision;
        unsigned threads;
        size_t batch;
        bool profile, json;
        struct tune_values tune;
};

static const struct option inspect_options[] = {
        {.name = "profile",
         .type = OPTION_BOOL,
         .offset = offsetof(struct inspect_values, profile),
         .help = "run the network and give the median time of each step, and its share of what the cores "
                 "can do"},
        {.name = "batch",
         .argument = "N",
         .type = OPTION_COUNT,
         .min = 1,
         .max = PLAN_MAX_BATCH,
         .offset = offsetof(struct inspect_values, batch),
         .help = "images that run together",
         .default_text = "1, or as many as the file fixes"},
        {.name = "graph",
         .argument = "FILE",
         .type = OPTION_STRING,
         .offset = offsetof(struct inspect_values, graph),
         .help = "draw the steps, coloured by class, with their times where there is a profile; FILE ends "
                 "in "
                 ".svg, or in .dot for Graphviz"},
        OPTION_ROW_PRECISION(struct inspect_values),
        OPTION_ROW_THREADS(struct inspect_values),
        {.name = "json",
         .type = OPTION_BOOL,
         .offset = offsetof(struct inspect_values, json),
         .help = "print one object instead of the tables"},
        OPTION_ROWS_TUNE(struct inspect_values),
        OPTION_ROW_CONFIG(struct inspect_values),
        {0},
};

/* A batch of 0 is the file's own; everything else that is zero is the default. */
static void inspect_init(_unused_ void *values) {
}

static int inspect(const struct inspect_values *v, const char *path, struct error *error) {
        _cleanup_(view_release) struct view view = {0};
        _cleanup_(tuning_freep) struct tuning *tuning = NULL;
        struct plan_options options = {.threads = v->threads > 0 ? v->threads : cpu_count()};
        int r;

        r = common_open_model(&view.model, path, v->precision, NULL, error);
        if (r < 0)
                return r;
        options.batch = v->batch > 0 ? v->batch : MAX(model_input(view.model).batch, 1u);
        r = tune_plan(&tuning, view.model, &options, &v->tune, error);
        if (r >= 0)
                r = plan_new(&view.plan, view.model, &options, error);
        if (r < 0)
                return r;
        if (v->profile) {
                r = view_profile(&view, error);
                if (r < 0)
                        return r;
        }
        if (v->graph) {
                r = picture_write(&view, v->graph, error);
                if (r < 0)
                        return r;
        }
        return v->json ? view_print_json(&view, error) : view_print_text(&view, error);
}

static int inspect_run(const void *values, const struct options *options) {
        const struct inspect_values *v = values;
        struct error error = ERROR_NONE;
        int r = 0;

        if (v->graph && !picture_knows(v->graph))
                r = error_set(&error, ERROR_INVALID,
                              "--graph '%s': the name of the file must end in .svg or .dot", v->graph);
        if (r < 0)
                return common_fail("inspect", EXIT_USAGE, &error);
        r = inspect(v, options_n_operands(options) > 0 ? options_operand(options, 0) : NULL, &error);
        if (r < 0)
                return common_fail("inspect", EXIT_FAILED, &error);
        return EXIT_DONE;
}

const struct command COMMAND_INSPECT = {
        .name = "inspect",
        .summary = "show what a model is made of, and what each step costs",
        .description = "Prints the model, the steps of its plan with their kernels and layouts, and the "
                       "memory it takes. "
                       "Without MODEL, the embedded EfficientNet-Lite0.",
        .operands = "[MODEL]",
        .example = "saccade inspect resnet50.onnx --profile --threads 1\n"
                   "saccade inspect resnet50.onnx --profile --graph resnet50.svg\n"
                   "saccade inspect --json | jq '.steps[].kernel'\n",
        .options = inspect_options,
        .max_operands = 1,
        .values_bytes = sizeof(struct inspect_values),
        .values_init = inspect_init,
        .run = inspect_run,
        .runs_engine = true,
};
