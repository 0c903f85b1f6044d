#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "cli/statistics.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "engine/cpu.h"
#include "engine/plan.h"

#define INSPECT_WARM_UP_RUNS 3u
#define INSPECT_MIN_RUNS     5u
#define INSPECT_MAX_RUNS     50u
#define INSPECT_PROFILE_NS   1000000000u

struct inspect_values {
        const char *config;
        int precision;
        unsigned threads;
        size_t batch;
        bool profile, json;
};

static const struct option inspect_options[] = {
        {.name = "profile",
         .type = OPTION_BOOL,
         .offset = offsetof(struct inspect_values, profile),
         .help = "run the network and give the median time of each step"},
        {.name = "batch",
         .argument = "N",
         .type = OPTION_COUNT,
         .min = 1,
         .max = PLAN_MAX_BATCH,
         .offset = offsetof(struct inspect_values, batch),
         .help = "images that run together"},
        OPTION_ROW_PRECISION(struct inspect_values),
        OPTION_ROW_THREADS(struct inspect_values),
        {.name = "json",
         .type = OPTION_BOOL,
         .offset = offsetof(struct inspect_values, json),
         .help = "print one object instead of the tables"},
        OPTION_ROW_CONFIG(struct inspect_values),
        {0},
};

static void inspect_init(void *values) {
        struct inspect_values *v = values;

        v->batch = 1;
}

struct view {
        struct model *model;
        struct plan *plan;
        double *step_ms; /* NULL without --profile */
        double total_ms; /* of the steps */
};

static void view_release(struct view *view) {
        if (view->plan)
                plan_free(view->plan);
        if (view->model)
                model_free(view->model);
        free(view->step_ms);
}

/* The median of each step over several runs; samples: [steps][runs]. */
static void take_medians(struct view *view, uint64_t *samples_ns, size_t n_runs) {
        for (size_t s = 0; s < plan_n_steps(view->plan); s++) {
                view->step_ms[s] = statistics_of(samples_ns + s * INSPECT_MAX_RUNS, n_runs).median_ms;
                view->total_ms += view->step_ms[s];
        }
}

static int profile(struct view *view, struct error *error) {
        _cleanup_(run_freep) struct run *run = NULL;
        _cleanup_(freep) unsigned char *pixels = NULL;
        _cleanup_(freep) float *output = NULL;
        _cleanup_(freep) uint64_t *step_ns = NULL, *samples_ns = NULL;
        struct model_input input = model_input(view->model);
        size_t n_steps = plan_n_steps(view->plan), n_runs = 0, size;
        struct progress progress;
        uint64_t started;
        int r;

        if (!size_multiply(&size, input.height, input.width) ||
            !size_multiply(&size, size, input.channels) ||
            !size_multiply(&size, size, plan_batch(view->plan)))
                return error_no_memory(error);
        pixels = malloc(size);
        output = calloc(plan_output_elements(view->plan), sizeof(*output));
        step_ns = calloc(n_steps, sizeof(*step_ns));
        samples_ns = calloc(n_steps, INSPECT_MAX_RUNS * sizeof(*samples_ns));
        view->step_ms = calloc(n_steps, sizeof(*view->step_ms));
        if (!pixels || !output || !step_ns || !samples_ns || !view->step_ms)
                return error_no_memory(error);
        common_fill_noise(pixels, size);
        r = run_new(&run, view->plan, error);
        if (r < 0)
                return r;

        for (unsigned i = 0; i < INSPECT_WARM_UP_RUNS; i++) {
                r = run_profile(run, pixels, output, step_ns, error);
                if (r < 0)
                        return r;
        }
        progress_begin(&progress, "profile");
        started = clock_ns();
        while (n_runs < INSPECT_MIN_RUNS ||
               (n_runs < INSPECT_MAX_RUNS && clock_ns() - started < INSPECT_PROFILE_NS)) {
                r = run_profile(run, pixels, output, step_ns, error);
                if (r < 0)
                        break;
                for (size_t s = 0; s < n_steps; s++)
                        samples_ns[s * INSPECT_MAX_RUNS + n_runs] = step_ns[s];
                n_runs++;
                progress_update(&progress, (double)n_runs / INSPECT_MAX_RUNS);
        }
        progress_end(&progress);
        if (r < 0)
                return r;
        take_medians(view, samples_ns, n_runs);
        return 0;
}

static double step_gflops(const struct view *view, const struct plan_step *step, size_t index) {
        return view->step_ms[index] > 0 ? step->flop / view->step_ms[index] / 1e6 : 0;
}

static double step_share(const struct view *view, size_t index) {
        return view->total_ms > 0 ? view->step_ms[index] / view->total_ms : 0;
}

static double total_flop(const struct view *view) {
        double flop = 0;

        for (size_t i = 0; i < plan_n_steps(view->plan); i++)
                flop += plan_step(view->plan, i).flop;
        return flop;
}

static int print_json(const struct view *view, struct error *error) {
        const struct model *model = view->model;
        const struct plan *plan = view->plan;
        struct model_input input = model_input(model);
        cJSON *object = cJSON_CreateObject(), *child, *steps;

        cJSON_AddStringToObject(object, "model", model_name(model));
        cJSON_AddStringToObject(object, "version", model_version(model));
        cJSON_AddNumberToObject(object, "opset", model_opset(model));
        cJSON_AddNumberToObject(object, "nodes", (double)model_n_nodes(model));
        cJSON_AddNumberToObject(object, "parameters", (double)model_n_parameters(model));
        child = cJSON_AddObjectToObject(object, "input");
        cJSON_AddStringToObject(child, "name", input.name);
        cJSON_AddNumberToObject(child, "channels", (double)input.channels);
        cJSON_AddNumberToObject(child, "height", (double)input.height);
        cJSON_AddNumberToObject(child, "width", (double)input.width);
        cJSON_AddStringToObject(child, "layout", input.channels_last ? "NHWC" : "NCHW");
        if (input.batch > 0)
                cJSON_AddNumberToObject(child, "batch", (double)input.batch);
        child = cJSON_AddObjectToObject(object, "output");
        cJSON_AddStringToObject(child, "name", model_output_name(model));
        cJSON_AddStringToObject(child, "scores",
                                model_gives_probabilities(model) ? "probabilities" : "logits");
        cJSON_AddNumberToObject(object, "classes", (double)model_n_classes(model));
        cJSON_AddStringToObject(object, "precision", model_precision(model));
        cJSON_AddStringToObject(object, "precision_why", model_precision_why(model));
        cJSON_AddStringToObject(object, "isa", cpu_isa());
        cJSON_AddNumberToObject(object, "threads", plan_threads(plan));
        cJSON_AddNumberToObject(object, "batch", (double)plan_batch(plan));
        common_json_number(object, "flop", total_flop(view));
        cJSON_AddNumberToObject(object, "arena_bytes", (double)plan_arena_bytes(plan));
        cJSON_AddNumberToObject(object, "arena_bound_bytes", (double)plan_arena_bound_bytes(plan));
        cJSON_AddNumberToObject(object, "scratchpad_bytes", (double)plan_scratchpad_bytes(plan));
        cJSON_AddNumberToObject(object, "weight_bytes", (double)model_weight_bytes(model));
        if (view->step_ms)
                common_json_number(object, "total_ms", view->total_ms);

        steps = cJSON_AddArrayToObject(object, "steps");
        for (size_t i = 0; i < plan_n_steps(plan); i++) {
                struct plan_step step = plan_step(plan, i);

                child = cJSON_CreateObject();
                cJSON_AddItemToArray(steps, child);
                cJSON_AddStringToObject(child, "op", step.op);
                cJSON_AddStringToObject(child, "node", step.node);
                cJSON_AddStringToObject(child, "shape", step.shape);
                cJSON_AddStringToObject(child, "kernel", step.kernel);
                common_json_number(child, "flop", step.flop);
                cJSON_AddNumberToObject(child, "bytes", (double)step.bytes);
                if (view->step_ms) {
                        common_json_number(child, "ms", view->step_ms[i]);
                        common_json_number(child, "gflop_per_s", step_gflops(view, &step, i));
                        common_json_number(child, "share", step_share(view, i));
                }
        }
        return common_print_json(object, error);
}

static void print_name(const char *name) {
        printf("%s%-13s%s", terminal_style(stdout, TERMINAL_DIM), name,
               terminal_style(stdout, TERMINAL_PLAIN));
}

static void print_header(const struct view *view) {
        const struct model *model = view->model;
        struct model_input input = model_input(model);
        char input_text[MODEL_INPUT_TEXT_BYTES];

        printf("%s", terminal_style(stdout, TERMINAL_BOLD));
        terminal_print_text(stdout, model_name(model), SIZE_MAX);
        printf("%s  version %s, opset %d\n", terminal_style(stdout, TERMINAL_PLAIN), model_version(model),
               model_opset(model));
        print_name("graph");
        printf("%zu nodes, %.2f million parameters\n", model_n_nodes(model),
               (double)model_n_parameters(model) / 1e6);
        print_name("input");
        terminal_print_text(stdout, input.name, 64);
        printf(" %s\n", model_input_text(model, input_text));
        print_name("output");
        terminal_print_text(stdout, model_output_name(model), 64);
        printf(": %s", model_gives_probabilities(model) ? "probabilities" : "logits");
        if (model_n_outputs(model) > 1)
                printf("; the file has %zu outputs", model_n_outputs(model));
        putchar('\n');
        print_name("classes");
        printf("%zu\n", model_n_classes(model));
        print_name("precision");
        printf("%s: %s\n", model_precision(model), model_precision_why(model));
        print_name("plan");
        printf("batch %zu, %u thread%s, %s\n\n", plan_batch(view->plan), plan_threads(view->plan),
               plan_threads(view->plan) == 1 ? "" : "s", cpu_isa());
}

static int add_step(struct table *table, const struct view *view, size_t index, struct error *error) {
        struct plan_step step = plan_step(view->plan, index);
        int r;

        if ((r = table_add(table, error, "%zu", index)) < 0 ||
            (r = table_add(table, error, "%s", step.op)) < 0 ||
            (r = table_add(table, error, "%s", step.node)) < 0 ||
            (r = table_add(table, error, "%s", step.shape)) < 0 ||
            (r = table_add(table, error, "%s", step.kernel)) < 0 ||
            (r = table_add(table, error, "%.2f", step.flop / 1e6)) < 0)
                return r;
        if (!view->step_ms)
                return 0;
        if ((r = table_add(table, error, "%.3f", view->step_ms[index])) < 0 ||
            (r = table_add(table, error, "%.1f", step_gflops(view, &step, index))) < 0)
                return r;
        return table_add(table, error, "%.1f", step_share(view, index) * 100);
}

static int print_steps(const struct view *view, struct error *error) {
        static const struct table_column columns[] = {
                {.title = "#", .right = true},       {.title = "op", .shrink = true},
                {.title = "node", .shrink = true},   {.title = "output", .shrink = true},
                {.title = "kernel", .shrink = true}, {.title = "MFLOP", .right = true},
                {.title = "ms", .right = true},      {.title = "GFLOP/s", .right = true},
                {.title = "share %", .right = true},
        };
        _cleanup_(table_freep) struct table *table = NULL;
        int r;

        r = table_new(&table, columns, view->step_ms ? ARRAY_SIZE(columns) : ARRAY_SIZE(columns) - 3, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < plan_n_steps(view->plan); i++) {
                r = add_step(table, view, i, error);
                if (r < 0)
                        return r;
        }
        table_print(table, stdout);
        return 0;
}

static void print_footer(const struct view *view) {
        const struct plan *plan = view->plan;
        double mib = 1 << 20;

        putchar('\n');
        print_name("work");
        printf("%zu steps, %.1f MFLOP", plan_n_steps(plan), total_flop(view) / 1e6);
        if (view->step_ms && view->total_ms > 0)
                printf(", %.3f ms, %.1f GFLOP/s", view->total_ms, total_flop(view) / view->total_ms / 1e6);
        putchar('\n');
        print_name("arena");
        printf("%.2f MiB, at least %.2f MiB by any layout\n", (double)plan_arena_bytes(plan) / mib,
               (double)plan_arena_bound_bytes(plan) / mib);
        print_name("scratchpad");
        printf("%.2f MiB\n", (double)plan_scratchpad_bytes(plan) / mib);
        print_name("weights");
        printf("%.2f MiB, shared by all plans\n", (double)model_weight_bytes(view->model) / mib);
}

static int inspect(const struct inspect_values *v, const char *path, struct error *error) {
        _cleanup_(view_release) struct view view = {0};
        struct plan_options options = {.batch = v->batch,
                                       .threads = v->threads > 0 ? v->threads : cpu_count()};
        int r;

        r = common_open_model(&view.model, path, error);
        if (r < 0)
                return r;
        r = plan_new(&view.plan, view.model, &options, error);
        if (r < 0)
                return r;
        if (v->profile) {
                r = profile(&view, error);
                if (r < 0)
                        return r;
        }
        if (v->json)
                return print_json(&view, error);
        print_header(&view);
        r = print_steps(&view, error);
        if (r < 0)
                return r;
        print_footer(&view);
        return 0;
}

static int inspect_run(const void *values, const struct options *options) {
        const struct inspect_values *v = values;
        struct error error = ERROR_NONE;
        int r;

        r = common_check_precision((enum precision)v->precision, &error);
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
                   "saccade inspect --json | jq '.steps[].kernel'\n",
        .options = inspect_options,
        .max_operands = 1,
        .values_bytes = sizeof(struct inspect_values),
        .values_init = inspect_init,
        .run = inspect_run,
        .runs_engine = true,
};
