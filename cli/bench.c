#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/bench_images.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "cli/statistics.h"
#include "cli/terminal.h"
#include "cli/tune.h"
#include "engine/cpu.h"
#include "engine/plan.h"

#define BENCH_WARM_UP_RUNS 3u
#define BENCH_WARM_UP_NS   200000000u /* clocks rise and pages are touched in this time */
#define BENCH_MIN_RUNS     3u         /* however long one takes */

struct bench_values {
        const char *config, *model, *images;
        double seconds;
        size_t batch;
        int precision;
        unsigned threads, streams;
        bool json, exact;
        struct tune_values tune;
};

static const struct option bench_options[] = {
        OPTION_ROW_MODEL(struct bench_values),
        OPTION_ROW_PRECISION(struct bench_values),
        OPTION_ROW_THREADS(struct bench_values),
        {.name = "batch",
         .argument = "N",
         .type = OPTION_COUNT,
         .min = 1,
         .max = PLAN_MAX_BATCH,
         .offset = offsetof(struct bench_values, batch),
         .help = "images that run together"},
        {.name = "seconds",
         .argument = "S",
         .type = OPTION_REAL,
         .min = 0.01,
         .max = 86400,
         .offset = offsetof(struct bench_values, seconds),
         .help = "how long to measure, after a warm-up"},
        {.name = "images",
         .argument = "DIR",
         .type = OPTION_STRING,
         .offset = offsetof(struct bench_values, images),
         .help = "measure decoding and inference together: each stream decodes a batch of the JPEGs of this "
                 "directory and then runs it"},
        {.name = "streams",
         .argument = "N",
         .type = OPTION_UNSIGNED,
         .max = COMMON_MAX_THREADS,
         .offset = offsetof(struct bench_values, streams),
         .help = "with --images: batches under way at the same time, which share --threads; 1: one after "
                 "another, as a server has them that is asked by one client; 0: one for each thread"},
        {.name = "exact",
         .type = OPTION_BOOL,
         .offset = offsetof(struct bench_values, exact),
         .help = "with --images: decode large JPEGs at full size"},
        {.name = "json",
         .type = OPTION_BOOL,
         .offset = offsetof(struct bench_values, json),
         .help = "end with one line of JSON"},
        OPTION_ROWS_TUNE(struct bench_values),
        OPTION_ROW_CONFIG(struct bench_values),
        {0},
};

static void bench_init(void *values) {
        struct bench_values *v = values;

        v->seconds = 3;
        v->batch = 1;
        v->tune.effort = TUNE_FAST;
}

/* Runs for as long as asked, at least BENCH_MIN_RUNS times; one thread's work, timed run by run. */
static int measure(struct bench_result *result, const struct bench_values *v, struct run *run,
                   const unsigned char *pixels, float *output, struct error *error) {
        _cleanup_(durations_release) struct durations durations = {0};
        uint64_t duration_ns = (uint64_t)(v->seconds * 1e9), started, now;
        struct progress progress;
        int r;

        started = clock_ns();
        for (unsigned i = 0; i < BENCH_WARM_UP_RUNS || clock_ns() - started < BENCH_WARM_UP_NS; i++) {
                r = run_execute(run, pixels, output, error);
                if (r < 0)
                        return r;
        }

        progress_begin(&progress, "bench");
        started = now = clock_ns();
        while (durations.n < BENCH_MIN_RUNS || now - started < duration_ns) {
                uint64_t before = clock_ns();

                r = run_execute(run, pixels, output, error);
                now = clock_ns();
                if (r == 0 && durations_add(&durations, now - before) < 0)
                        r = error_no_memory(error);
                if (r < 0)
                        break;
                progress_update(&progress, (double)(now - started) / (double)duration_ns);
        }
        progress_end(&progress);
        if (r < 0)
                return r;

        result->runs = durations.n;
        result->statistics = statistics_of(durations.values_ns, durations.n);
        /* By the time in runs: the bar drawn between them is not the network's. */
        result->images_per_s = (double)v->batch * 1e3 / result->statistics.mean_ms;
        return 0;
}

static int bench_noise(struct bench_result *result, const struct bench_values *v, const struct model *model,
                       const struct plan *plan, struct error *error) {
        _cleanup_(run_freep) struct run *run = NULL;
        _cleanup_(freep) unsigned char *pixels = NULL;
        _cleanup_(freep) float *output = NULL;
        struct model_input input = model_input(model);
        size_t size;
        int r;

        if (!size_multiply(&size, input.height, input.width) ||
            !size_multiply(&size, size, input.channels) || !size_multiply(&size, size, v->batch))
                return error_no_memory(error);
        pixels = malloc(size);
        output = calloc(plan_output_elements(plan), sizeof(*output));
        if (!pixels || !output)
                return error_no_memory(error);
        common_fill_noise(pixels, size);
        r = run_new(&run, plan, error);
        if (r < 0)
                return r;
        return measure(result, v, run, pixels, output, error);
}

static void print_row(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void print_row(const char *name, const char *format, ...) {
        va_list args;

        printf("%s%-14s%s", terminal_style(stdout, TERMINAL_DIM), name,
               terminal_style(stdout, TERMINAL_PLAIN));
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        putchar('\n');
}

static void print_result(const struct bench_result *result, const struct bench_values *v,
                         const struct model *model, unsigned threads) {
        const struct statistics *s = &result->statistics;

        printf("%s", terminal_style(stdout, TERMINAL_BOLD));
        terminal_print_text(stdout, model_name(model), SIZE_MAX);
        printf("%s\n", terminal_style(stdout, TERMINAL_PLAIN));
        print_row("precision", "%s on %s", model_precision(model), cpu_isa());
        print_row("threads", "%u", threads);
        print_row("batch", "%zu", v->batch);
        if (v->images)
                print_row("files", "%zu, decoded and run in turn", result->n_files);
        print_row("median", "%.3f ms", s->median_ms);
        print_row("min", "%.3f ms", s->min_ms);
        print_row("mean", "%.3f ms", s->mean_ms);
        print_row("p99", "%.3f ms", s->p99_ms);
        if (v->images)
                print_row("decode", "%.3f ms for each image, mean", result->decode_ms);
        print_row("throughput", "%.1f images/s in %zu runs", result->images_per_s, result->runs);
}

static int print_result_json(const struct bench_result *result, const struct bench_values *v,
                             const struct model *model, unsigned threads, struct error *error) {
        cJSON *object = cJSON_CreateObject();

        cJSON_AddStringToObject(object, "model", model_name(model));
        cJSON_AddStringToObject(object, "precision", model_precision(model));
        cJSON_AddStringToObject(object, "isa", cpu_isa());
        cJSON_AddNumberToObject(object, "threads", threads);
        cJSON_AddNumberToObject(object, "batch", (double)v->batch);
        if (v->images) {
                cJSON_AddNumberToObject(object, "files", (double)result->n_files);
                common_json_number(object, "decode_ms", result->decode_ms);
        }
        common_json_number(object, "median_ms", result->statistics.median_ms);
        common_json_number(object, "min_ms", result->statistics.min_ms);
        common_json_number(object, "mean_ms", result->statistics.mean_ms);
        common_json_number(object, "p99_ms", result->statistics.p99_ms);
        common_json_number(object, "images_per_s", result->images_per_s);
        cJSON_AddNumberToObject(object, "runs", (double)result->runs);
        return common_print_json(object, error);
}

static int bench(const struct bench_values *v, struct error *error) {
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(tuning_freep) struct tuning *tuning = NULL;
        unsigned threads = v->threads > 0 ? v->threads : cpu_count();
        unsigned streams = v->streams > 0 ? MIN(v->streams, threads) : threads;
        struct plan_options options = {.batch = v->batch,
                                       .threads = v->images ? threads / streams : threads};
        struct bench_result result = {0};
        int r;

        r = common_open_model(&model, v->model, v->precision, NULL, error);
        if (r < 0)
                return r;
        r = tune_plan(&tuning, model, &options, &v->tune, error);
        if (r >= 0)
                r = plan_new(&plan, model, &options, error);
        if (r < 0)
                return r;
        if (v->images)
                r = bench_images(&result, v->images, v->seconds, v->exact, streams, model, plan, error);
        else
                r = bench_noise(&result, v, model, plan, error);
        if (r < 0)
                return r;
        print_result(&result, v, model, threads);
        return v->json ? print_result_json(&result, v, model, threads, error) : 0;
}

static int bench_run(const void *values, _unused_ const struct options *options) {
        const struct bench_values *v = values;
        struct error error = ERROR_NONE;
        int r;

        r = bench(v, &error);
        if (r < 0)
                return common_fail("bench", EXIT_FAILED, &error);
        return EXIT_DONE;
}

const struct command COMMAND_BENCH = {
        .name = "bench",
        .summary = "measure how fast a model runs on this machine",
        .description = "Runs the network on noise, or with --images on photographs that are decoded first, "
                       "and prints "
                       "the time of one run and the throughput.",
        .example = "saccade bench --threads 1 --seconds 5\n"
                   "saccade bench --images photographs --json | tail -1\n",
        .options = bench_options,
        .values_bytes = sizeof(struct bench_values),
        .values_init = bench_init,
        .run = bench_run,
        .runs_engine = true,
};
