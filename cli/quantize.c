#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/common.h"
#include "cli/folder.h"
#include "cli/progress.h"
#include "engine/cpu.h"
#include "engine/model_config.h"
#include "quantize/quantize.h"
#include "quantize/report.h"

#define FEW_IMAGES 8u /* fewer say little about the ranges */

struct quantize_values {
        const char *config, *model, *calibrate, *output, *labels;
        int estimator, equalise;
        double max_drop, percentile;
        unsigned threads;
        bool force;
};

static const struct option quantize_options[] = {
        {.name = "model",
         .argument = "PATH",
         .type = OPTION_STRING,
         .offset = offsetof(struct quantize_values, model),
         .help = "the float32 model: model.onnx, or a directory that has it beside config.json and "
                 "preprocessor_config.json"},
        {.name = "calibrate",
         .argument = "DIR",
         .type = OPTION_STRING,
         .offset = offsetof(struct quantize_values, calibrate),
         .help = "folder of photographs like those that the model will see, some 50 of them: the ranges of "
                 "its values are taken on them"},
        {.name = "output",
         .argument = "DIR",
         .type = OPTION_STRING,
         .offset = offsetof(struct quantize_values, output),
         .help = "model directory to write: model.onnx, the JSON files of the model, report.md, report.svg"},
        {.name = "force",
         .type = OPTION_BOOL,
         .offset = offsetof(struct quantize_values, force),
         .help = "replace the model that --output has already; never the one that is quantised"},
        {.name = "max-drop",
         .argument = "POINTS",
         .type = OPTION_REAL,
         .max = 100,
         .offset = offsetof(struct quantize_values, max_drop),
         .help = "percentage points that may be lost on these images: of accuracy with --labels, else of "
                 "agreement with float32's best class. Layers that cost most stay float32 until that is "
                 "met; where it cannot be, the model is written all the same and the exit status is 1"},
        {.name = "labels",
         .argument = "FILE",
         .type = OPTION_STRING,
         .offset = offsetof(struct quantize_values, labels),
         .help = "lines of a class, a tabulator and a file name in --calibrate: what is on the images"},
        {.name = "estimator",
         .argument = "E",
         .type = OPTION_ENUM,
         .choices = ESTIMATOR_NAMES,
         .offset = offsetof(struct quantize_values, estimator),
         .help = "how the ranges are taken; auto tries all and keeps the one nearest to float32"},
        {.name = "percentile",
         .argument = "P",
         .type = OPTION_REAL,
         .min = 90,
         .max = 100,
         .offset = offsetof(struct quantize_values, percentile),
         .help = "how many of the values the estimator percentile keeps, in percent"},
        {.name = "equalise",
         .argument = "HOW",
         .type = OPTION_ENUM,
         .choices = EQUALISE_NAMES,
         .offset = offsetof(struct quantize_values, equalise),
         .help = "bring channels between two convolutions to like ranges, which leaves float32's answers on "
                 "these images as they are; auto tries it where there are depthwise ones and keeps it where "
                 "it helps"},
        OPTION_ROW_THREADS(struct quantize_values),
        OPTION_ROW_CONFIG(struct quantize_values),
        {0},
};

static void quantize_init(void *values) {
        struct quantize_values *v = values;

        v->max_drop = QUANTIZE_DEFAULTS.max_drop;
        v->percentile = QUANTIZE_DEFAULTS.percentile;
}

/* ---- the model's JSON files ---- */

static void source_release(struct model_source *source) {
        blob_release(&source->config);
        blob_release(&source->preprocessor);
}

static int optional_read(struct blob *ret_blob, const char *directory, const char *file,
                         struct error *error) {
        _cleanup_(freep) char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", directory, file) < 0) {
                path = NULL;
                return error_no_memory(error);
        }
        r = blob_read(ret_blob, path, CONFIG_MAX_BYTES, error);
        return r == ERROR_NOT_FOUND ? 0 : r;
}

/* The directory that has the model. */
static int folder_of(char **ret_folder, const char *path, struct error *error) {
        char *folder = strdup(path), *slash;
        struct stat st;

        if (!folder)
                return error_no_memory(error);
        if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
                slash = strrchr(folder, '/');
                if (slash)
                        slash[slash == folder] = '\0';
                else
                        strcpy(folder, ".");
        }
        *ret_folder = folder;
        return 0;
}

static int source_read(struct model_source *ret_source, const char *path, struct error *error) {
        _cleanup_(freep) char *folder = NULL;
        int r;

        r = folder_of(&folder, path, error);
        if (r >= 0)
                r = optional_read(&ret_source->config, folder, "config.json", error);
        if (r >= 0)
                r = optional_read(&ret_source->preprocessor, folder, "preprocessor_config.json", error);
        return r;
}

/* ---- output ---- */

/* In memory first, so that the reason why it could not be written is known. */
static int write_report(struct folder *folder, const char *name,
                        void (*print)(FILE *, const struct report *), const struct report *report,
                        struct error *error) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        bool failed;

        if (!file)
                return error_no_memory(error);
        print(file, report);
        failed = ferror(file);
        if (fclose(file) != 0 || failed)
                return error_no_memory(error);
        return folder_write(folder, name, text, size, error);
}

/* The network last: who sees it finds the rest. */
static int output_write(const char *directory, const struct model_source *source,
                        const struct report *report, struct error *error) {
        _cleanup_(folder_release) struct folder folder = {0};
        const struct quantize_result *result = report->result;
        int r;

        r = folder_begin(&folder, directory, error);
        if (r >= 0 && source->config.size > 0)
                r = folder_write(&folder, "config.json", source->config.bytes, source->config.size, error);
        if (r >= 0 && source->preprocessor.size > 0)
                r = folder_write(&folder, "preprocessor_config.json", source->preprocessor.bytes,
                                 source->preprocessor.size, error);
        if (r >= 0)
                r = write_report(&folder, "report.md", report_markdown, report, error);
        if (r >= 0)
                r = write_report(&folder, "report.svg", report_svg, report, error);
        if (r >= 0)
                r = folder_write(&folder, "model.onnx", result->onnx, result->onnx_bytes, error);
        if (r >= 0)
                r = folder_commit(&folder, error);
        return r;
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is output the directory of the model, or network the model's file, by whatever name? */
static int is_source(bool *ret_is_source, const char *path, const char *output, const char *network,
                     struct error *error) {
        _cleanup_(freep) char *folder = NULL, *file = NULL;
        struct stat source, target;
        int r;

        *ret_is_source = false;
        r = folder_of(&folder, path, error);
        if (r < 0)
                return r;
        if (stat(folder, &source) == 0 && stat(output, &target) == 0)
                *ret_is_source = is_same_file(&source, &target);
        if (stat(path, &source) < 0 || stat(network, &target) < 0)
                return 0;
        if (S_ISDIR(source.st_mode)) {
                if (asprintf(&file, "%s/model.onnx", path) < 0) {
                        file = NULL;
                        return error_no_memory(error);
                }
                if (stat(file, &source) < 0)
                        return 0;
        }
        *ret_is_source = *ret_is_source || is_same_file(&source, &target);
        return 0;
}

/* Before the work of minutes, not after it. */
static int output_check(const struct quantize_values *v, struct error *error) {
        _cleanup_(freep) char *network = NULL;
        struct stat st;
        bool source;
        int r;

        r = folder_check(v->output, error);
        if (r < 0)
                return error_prefix(error, r, "--output");
        if (asprintf(&network, "%s/model.onnx", v->output) < 0) {
                network = NULL;
                return error_no_memory(error);
        }
        r = is_source(&source, v->model, v->output, network, error);
        if (r < 0)
                return r;
        if (source)
                return error_set(error, ERROR_INVALID,
                                 "--output: %s has the float32 model itself, which is never overwritten; "
                                 "give another directory",
                                 v->output);
        if (!v->force && lstat(network, &st) == 0)
                return error_set(error, ERROR_INVALID,
                                 "--output: %s is there already; give another directory, or --force to "
                                 "replace it",
                                 network);
        return 0;
}

/* ---- the work ---- */

static void show_progress(void *context, const char *stage, double fraction) {
        struct progress *progress = context;

        progress->label = stage;
        progress_update(progress, fraction);
}

static void warn(const char *text) {
        struct error error = ERROR_NONE;

        error_set(&error, ERROR_INVALID, "%s", text);
        common_fail("quantize", EXIT_DONE, &error);
}

static void warn_of_pictures(const struct pictures *pictures) {
        char text[ERROR_TEXT_MAX];

        if (pictures->n_unread > 0) {
                snprintf(text, sizeof(text),
                         "%zu of %zu images could not be decoded and %s left out, the first: %.600s",
                         pictures->n_unread, pictures->n + pictures->n_unread,
                         pictures->n_unread == 1 ? "is" : "are", pictures->unread_why);
                warn(text);
        }
        if (pictures->n < FEW_IMAGES) {
                snprintf(text, sizeof(text),
                         "%zu image%s little about the ranges of values; some 50 are a good number",
                         pictures->n, pictures->n == 1 ? " says" : "s say");
                warn(text);
        }
}

static void print_result(const struct quantize_values *v, const struct quantize_result *result) {
        const struct agreement *a = &result->agreement;

        printf("%s: %.1f MiB, %.1f with float32 weights\n", v->output,
               (double)result->onnx_bytes / 1048576.0, (double)result->float_bytes / 1048576.0);
        printf("one image on one thread (%s): %.2f ms, float32 %.2f: %.2f times as fast\n",
               result->speed.isa, result->speed.int8_ms, result->speed.float_ms,
               result->speed.float_ms / result->speed.int8_ms);
        printf("%zu image%s: %zu with float32's best class (%.1f %%)\n", a->n, a->n == 1 ? "" : "s",
               a->n_same, 100.0 * (double)a->n_same / (double)a->n);
        if (a->n_labelled > 0)
                printf("%zu labelled: %zu right, float32 %zu\n", a->n_labelled, a->n_right,
                       a->n_right_float);
        if (agreement_resolution(a) > v->max_drop)
                printf("--max-drop %g: one image is %.3g percentage points, so that none may %s; more "
                       "images "
                       "tell finer differences\n",
                       v->max_drop, agreement_resolution(a), a->n_labelled > 0 ? "be lost" : "differ");
        printf("ranges by %s; %zu of %zu layers stay float32; see report.md\n",
               ESTIMATOR_NAMES[result->estimator], result->n_kept, result->n_layers);
}

static int quantise(const struct quantize_values *v, struct error *error) {
        _cleanup_(source_release) struct model_source source = {0};
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(pictures_freep) struct pictures *pictures = NULL;
        _cleanup_(quantize_result_freep) struct quantize_result *result = NULL;
        struct quantize_options options = QUANTIZE_DEFAULTS;
        struct progress progress;
        const struct parallel_watcher watcher = {.update = show_progress, .context = &progress};
        const struct parallel parallel = {.threads = v->threads > 0 ? v->threads : cpu_count(),
                                          .watcher = &watcher,
                                          .stage = "decoding"};
        struct report report;
        int r;

        options.estimator = (enum estimator)v->estimator;
        options.percentile = v->percentile;
        options.equalising = (enum equalising)v->equalise;
        options.max_drop = v->max_drop;
        r = output_check(v, error);
        if (r >= 0)
                r = common_open_model(&model, v->model, PRECISION_F32, NULL, error);
        if (r >= 0)
                r = quantize_check(model, error);
        if (r >= 0)
                r = source_read(&source, v->model, error);
        if (r < 0)
                return r;
        progress_begin(&progress, "quantize");
        r = pictures_read(&pictures, v->calibrate, model, &parallel, error);
        if (r >= 0 && v->labels)
                r = pictures_label(pictures, v->labels, model_n_classes(model), error);
        progress_hide(&progress);
        if (r >= 0)
                warn_of_pictures(pictures);
        if (r >= 0)
                r = quantize(&result, model, &source, pictures, &options, &parallel, error);
        progress_end(&progress);
        if (r < 0)
                return r;
        report = (struct report){.result = result,
                                 .options = &options,
                                 .pictures = pictures,
                                 .model_name = model_name(model)};
        r = output_write(v->output, &source, &report, error);
        if (r < 0)
                return r;
        print_result(v, result);
        if (!result->met)
                return error_set(
                        error, ERROR_UNSUPPORTED,
                        "--max-drop %g is not met: %.2f percentage points are lost, and no layer is "
                        "left to keep in float32; %s is written nevertheless",
                        v->max_drop, agreement_drop(&result->agreement), v->output);
        if (result->n_kept == result->n_layers)
                return error_set(
                        error, ERROR_UNSUPPORTED,
                        "--max-drop %g is met only with all layers in float32: %s is written, and no "
                        "faster; allow more, or calibrate on more images",
                        v->max_drop, v->output);
        return 0;
}

static int quantize_run(const void *values, _unused_ const struct options *options) {
        const struct quantize_values *v = values;
        struct error error = ERROR_NONE;
        int r;

        if (!v->model) {
                error_set(
                        &error, ERROR_INVALID,
                        "--model is missing: the float32 model to quantise (the embedded one has eight bits "
                        "already)");
                return common_fail("quantize", EXIT_USAGE, &error);
        }
        if (!v->calibrate) {
                error_set(&error, ERROR_INVALID,
                          "--calibrate is missing: eight bits are spent on the range that each value takes, "
                          "and "
                          "that shows only on images; give a folder of some 50 photographs");
                return common_fail("quantize", EXIT_USAGE, &error);
        }
        if (!v->output) {
                error_set(&error, ERROR_INVALID, "--output is missing; see saccade quantize --help");
                return common_fail("quantize", EXIT_USAGE, &error);
        }
        r = quantise(v, &error);
        return r < 0 ? common_fail("quantize", EXIT_FAILED, &error) : EXIT_DONE;
}

const struct command COMMAND_QUANTIZE = {
        .name = "quantize",
        .summary = "make an int8 model of a float32 one, and say what it costs",
        .description =
                "Rounds weights and values of a network to eight bits, by what they are on a folder of "
                "photographs, and writes a model directory whose ONNX file other runtimes read too. "
                "report.md says what each layer costs and which ones stay float32.",
        .example = "saccade quantize --model resnet50 --calibrate photographs --output resnet50-int8\n"
                   "saccade serve --model resnet50-int8\n",
        .options = quantize_options,
        .values_bytes = sizeof(struct quantize_values),
        .values_init = quantize_init,
        .run = quantize_run,
        .runs_engine = true,
};
