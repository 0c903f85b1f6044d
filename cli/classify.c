#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/common.h"
#include "cli/lane.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/tune.h"
#include "engine/cpu.h"
#include "engine/top_k.h"
#include "proto/classify.h"

#define CLASSIFY_BAR_WIDTH    24u
#define CLASSIFY_MAX_OPERANDS 1000000u

struct classify_values {
        const char *config, *model;
        int precision;
        unsigned threads, top_k;
        bool json, exact;
        struct tune_values tune;
};

static const struct option classify_options[] = {
        OPTION_ROW_MODEL(struct classify_values),
        {.name = "top-k",
         .argument = "K",
         .type = OPTION_UNSIGNED,
         .min = 1,
         .max = CLASSIFY_TOP_K_MAX,
         .offset = offsetof(struct classify_values, top_k),
         .help = "labels for each image"},
        {.name = "json",
         .type = OPTION_BOOL,
         .offset = offsetof(struct classify_values, json),
         .help = "print one object with the \"results\" of POST /v1/classify"},
        {.name = "exact",
         .type = OPTION_BOOL,
         .offset = offsetof(struct classify_values, exact),
         .help = "decode large JPEGs at full size instead of by 1/2, 1/4 or 1/8: slower, and equal to "
                 "Pillow"},
        OPTION_ROW_PRECISION(struct classify_values),
        OPTION_ROW_THREADS(struct classify_values),
        OPTION_ROWS_TUNE(struct classify_values),
        OPTION_ROW_CONFIG(struct classify_values),
        {0},
};

static void classify_init(void *values) {
        struct classify_values *v = values;

        v->top_k = CLASSIFY_TOP_K_DEFAULT;
}

struct item {
        const char *path;
        size_t width, height;
        struct classify_prediction *predictions; /* top_k */
        size_t n_predictions;
        struct problem *problem; /* or NULL */
        bool done;
};

struct job {
        const struct model *model;
        const struct plan *plan;
        size_t top_k;
        bool json;
        struct item *items;
        size_t n_items;

        pthread_mutex_t lock; /* next, n_done, items[].done; the rest of an item is its lane's until done */
        pthread_cond_t changed;
        size_t next, n_done;
        size_t n_failed;
};

static enum problem_type problem_of(int code) {
        switch (code) {
        case ERROR_INVALID:
                return PROBLEM_BROKEN_IMAGE;
        case ERROR_UNSUPPORTED:
                return PROBLEM_UNSUPPORTED_IMAGE;
        case ERROR_LIMIT:
                return PROBLEM_IMAGE_LIMIT;
        case ERROR_NOT_FOUND:
                return PROBLEM_NOT_FOUND;
        default:
                return PROBLEM_INTERNAL;
        }
}

static int classify_item(struct job *job, struct lane *lane, struct item *item, struct error *error) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        _cleanup_(freep) float *probabilities = calloc(lane->n_classes, sizeof(*probabilities));
        _cleanup_(freep) size_t *indices = calloc(job->top_k, sizeof(*indices));
        struct image_info info = {0};
        int r;

        item->predictions = calloc(job->top_k, sizeof(*item->predictions));
        if (!probabilities || !indices || !item->predictions)
                return error_no_memory(error);
        r = common_read_input(&blob, item->path, COMMON_MAX_INPUT_BYTES, error);
        if (r < 0)
                return r;
        r = lane_decode(lane, 0, blob.bytes, blob.size, &info, error);
        if (r < 0)
                return r;
        item->width = info.width;
        item->height = info.height;
        r = lane_execute(lane, error);
        if (r < 0)
                return r;

        plan_probabilities(job->plan, lane->output, probabilities);
        item->n_predictions = top_k(indices, job->top_k, probabilities, lane->n_classes);
        for (size_t i = 0; i < item->n_predictions; i++)
                item->predictions[i] = (struct classify_prediction){
                        .class_id = indices[i],
                        .label = model_label(job->model, indices[i]),
                        .probability = (double)probabilities[indices[i]],
                };
        return 0;
}

static void classify_work(void *context, struct lane *lane) {
        struct job *job = context;

        for (;;) {
                struct error error = ERROR_NONE;
                struct item *item;
                int r;

                pthread_mutex_lock(&job->lock);
                item = job->next < job->n_items ? &job->items[job->next++] : NULL;
                pthread_mutex_unlock(&job->lock);
                if (!item)
                        return;

                r = classify_item(job, lane, item, &error);
                if (r < 0) {
                        item->n_predictions = 0;
                        item->problem = calloc(1, sizeof(*item->problem));
                        if (item->problem)
                                problem_set(item->problem, problem_of(r), "%s", error.text);
                }

                pthread_mutex_lock(&job->lock);
                job->n_failed += r < 0;
                job->n_done++;
                item->done = true;
                pthread_cond_signal(&job->changed);
                pthread_mutex_unlock(&job->lock);
        }
}

static void prediction_label(char *ret_text, size_t size, const struct classify_prediction *prediction) {
        if (prediction->label)
                snprintf(ret_text, size, "%s", prediction->label);
        else
                snprintf(ret_text, size, "class %zu", prediction->class_id);
}

/* Label, probability, bar. The label column is as wide as it must be, and as narrow as the terminal asks. */
static void print_item(const struct item *item) {
        size_t width = terminal_width(stdout), label_width = 0, room;
        char label[256];

        printf("%s", terminal_style(stdout, TERMINAL_BOLD));
        terminal_print_text(stdout, strcmp(item->path, "-") == 0 ? "stdin" : item->path, SIZE_MAX);
        printf("%s", terminal_style(stdout, TERMINAL_PLAIN));
        if (item->n_predictions == 0) {
                printf("  %sfailed%s\n", terminal_style(stdout, TERMINAL_RED),
                       terminal_style(stdout, TERMINAL_PLAIN));
                return;
        }
        printf("  %s%zu x %zu%s\n", terminal_style(stdout, TERMINAL_DIM), item->width, item->height,
               terminal_style(stdout, TERMINAL_PLAIN));

        for (size_t i = 0; i < item->n_predictions; i++) {
                prediction_label(label, sizeof(label), &item->predictions[i]);
                label_width = MAX(label_width, terminal_text_width(label));
        }
        room = width - 2 - strlen("  100.0 %  ") - CLASSIFY_BAR_WIDTH / 2;
        label_width = MIN(label_width, room);
        for (size_t i = 0; i < item->n_predictions; i++) {
                double probability = item->predictions[i].probability;
                size_t bar_width =
                        MIN(width - 2 - label_width - strlen("  100.0 %  "), (size_t)CLASSIFY_BAR_WIDTH);
                size_t printed;

                prediction_label(label, sizeof(label), &item->predictions[i]);
                printf("  ");
                printed = terminal_print_text(stdout, label, label_width);
                printf("%*s  %5.1f %%  %s", (int)(label_width - printed), "", probability * 100,
                       terminal_style(stdout, TERMINAL_GREEN));
                terminal_print_bar(stdout, probability, bar_width);
                printf("%s\n", terminal_style(stdout, TERMINAL_PLAIN));
        }
}

static void report_item(const struct job *job, const struct item *item) {
        struct error error = ERROR_NONE;

        if (!job->json) {
                if (item != job->items)
                        putchar('\n');
                print_item(item);
                fflush(stdout);
        }
        if (item->n_predictions > 0)
                return;
        if (!item->problem)
                error_no_memory(&error);
        else if (strstr(item->problem->detail, item->path))
                error_set(&error, ERROR_IO, "%s", item->problem->detail);
        else
                error_set(&error, ERROR_IO, "%s: %s", strcmp(item->path, "-") == 0 ? "stdin" : item->path,
                          item->problem->detail);
        common_fail("classify", EXIT_FAILED, &error);
}

/* Prints in the order of the command line, as far as that order is complete. */
static void classify_watch(void *context) {
        struct job *job = context;
        struct progress progress;
        size_t n_done, printed = 0;

        progress_begin(&progress, "classify");
        while (printed < job->n_items) {
                pthread_mutex_lock(&job->lock);
                while (!job->items[printed].done)
                        pthread_cond_wait(&job->changed, &job->lock);
                n_done = job->n_done;
                pthread_mutex_unlock(&job->lock);

                if (!job->json || job->items[printed].n_predictions == 0)
                        progress_hide(&progress);
                report_item(job, &job->items[printed]);
                printed++;
                progress_update(&progress, (double)n_done / (double)job->n_items);
        }
        progress_end(&progress);
}

static int print_json(const struct job *job, struct error *error) {
        _cleanup_(freep) struct classify_result *results = calloc(job->n_items, sizeof(*results));
        _cleanup_(freep) char *ids = calloc(job->n_items, 24), *text = NULL;
        struct problem no_memory;
        size_t size;
        int r;

        if (!results || !ids)
                return error_no_memory(error);
        problem_set(&no_memory, PROBLEM_INTERNAL, "out of memory");
        for (size_t i = 0; i < job->n_items; i++) {
                const struct item *item = &job->items[i];

                snprintf(ids + i * 24, 24, "%zu", i);
                results[i] = (struct classify_result){
                        .id = ids + i * 24,
                        .filename = item->path,
                        .width = item->width,
                        .height = item->height,
                        .predictions = item->predictions,
                        .n_predictions = item->n_predictions,
                        .problem = item->n_predictions > 0 ? NULL
                                   : item->problem         ? item->problem
                                                           : &no_memory,
                };
        }
        r = classify_results_to_json(&text, &size, results, job->n_items, error);
        if (r < 0)
                return r;
        fwrite(text, 1, size, stdout);
        putchar('\n');
        return 0;
}

static void job_release(struct job *job) {
        for (size_t i = 0; job->items && i < job->n_items; i++) {
                free(job->items[i].predictions);
                free(job->items[i].problem);
        }
        free(job->items);
        pthread_mutex_destroy(&job->lock);
        pthread_cond_destroy(&job->changed);
}

static int job_run(struct job *job, const struct classify_values *v, struct error *error) {
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(tuning_freep) struct tuning *tuning = NULL;
        unsigned threads = v->threads > 0 ? v->threads : cpu_count();
        size_t n_lanes = MIN((size_t)threads, job->n_items);
        /* One image has all CPUs, many have one each: decoding does not split, and neither idles then. */
        struct plan_options options = {.batch = 1, .threads = n_lanes > 1 ? 1 : threads};
        int r;

        r = common_open_model(&model, v->model, v->precision, NULL, error);
        if (r < 0)
                return r;
        r = tune_plan(&tuning, model, &options, &v->tune, error);
        if (r >= 0)
                r = plan_new(&plan, model, &options, error);
        if (r < 0)
                return r;
        job->model = model;
        job->plan = plan;
        job->top_k = MIN((size_t)v->top_k, plan_output_elements(plan));
        r = lanes_run(n_lanes, model, plan, v->exact, classify_work, classify_watch, job, error);
        if (r < 0)
                return r;
        return job->json ? print_json(job, error) : 0;
}

static int classify_run(const void *values, const struct options *options) {
        _cleanup_(job_release) struct job job = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                                 .changed = PTHREAD_COND_INITIALIZER};
        const struct classify_values *v = values;
        struct error error = ERROR_NONE;
        bool stdin_taken = false;
        int r;

        job.json = v->json;
        job.n_items = options_n_operands(options);
        job.items = calloc(job.n_items, sizeof(*job.items));
        if (!job.items) {
                error_no_memory(&error);
                return common_fail("classify", EXIT_FAILED, &error);
        }
        for (size_t i = 0; i < job.n_items; i++) {
                job.items[i].path = options_operand(options, i);
                if (strcmp(job.items[i].path, "-") == 0 && stdin_taken) {
                        error_set(&error, ERROR_INVALID,
                                  "'-' is given twice, but stdin can be read only once");
                        return common_fail("classify", EXIT_USAGE, &error);
                }
                stdin_taken = stdin_taken || strcmp(job.items[i].path, "-") == 0;
        }
        r = job_run(&job, v, &error);
        if (r < 0)
                return common_fail("classify", EXIT_FAILED, &error);
        return job.n_failed > 0 ? EXIT_FAILED : EXIT_DONE;
}

const struct command COMMAND_CLASSIFY = {
        .name = "classify",
        .summary = "label image files on this machine, without a server",
        .description = "Labels each IMAGE and prints labels with their probabilities; '-' reads stdin. An "
                       "image that "
                       "fails does not stop the others, but makes the exit status 1.",
        .operands = "IMAGE...",
        .example = "saccade classify --top-k 3 cat.jpg\n"
                   "saccade classify --json photographs/*.jpg | jq -r '.results[].predictions[0].label'\n",
        .options = classify_options,
        .min_operands = 1,
        .max_operands = CLASSIFY_MAX_OPERANDS,
        .values_bytes = sizeof(struct classify_values),
        .values_init = classify_init,
        .run = classify_run,
        .runs_engine = true,
};
