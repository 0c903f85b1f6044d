#include "server/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/process_stats.h"

#define N_SHARDS 16u /* threads beyond that share one */

/* Seconds. Dense where a classification is spent, 1 to 50 ms, sparse where only trouble is. */
static const double duration_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075,
                                         0.01,   0.015,   0.02,   0.03,  0.05,  0.075, 0.1,   0.15,
                                         0.25,   0.5,     1,      2.5,   5,     10,    30};
static const double batch_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

/* The statuses that the server gives; anything else counts under its last row. 499: the client had gone. */
static const unsigned codes[] = {200, 204, 304, 400, 401, 404, 405, 408, 411, 413,
                                 414, 415, 422, 429, 431, 499, 503, 504, 505, 500};

static const char *const stage_names[METRICS_STAGE_MAX] = {"receive", "decode", "queue",
                                                           "infer",   "encode", "total"};

static const char *const outcome_names[METRICS_OUTCOME_MAX] = {
        "ok", "unsupported_image", "broken_image", "image_limit", "deadline", "cancelled", "internal",
};

static const char *const shed_names[METRICS_SHED_MAX] = {
        "queue_full", "deadline", "memory", "loading", "connections",
};

static const char *const load_names[METRICS_LOAD_MAX] = {"ok", "failed", "rejected"};

/* A histogram is n_bounds + 1 counts and a sum, in nanoseconds or in units. */
#define DURATION_CELLS (ARRAY_SIZE(duration_bounds) + 2)
#define BATCH_CELLS    (ARRAY_SIZE(batch_bounds) + 2)

typedef _Atomic uint64_t cell_t;

/* Under the lock, since a model may be replaced; nothing that is counted takes it. */
struct model_info {
        char *name; /* NULL: never loaded */
        char version[16], precision[8];
        bool is_loaded, last_load_failed;
};

struct metrics {
        struct metrics_options options;
        _Atomic unsigned next_shard;
        size_t n_cells; /* of one shard, a multiple of a cache line */
        cell_t *cells;  /* [N_SHARDS, n_cells] */
        /* Where each family begins in a shard. */
        size_t requests, request_durations, images, loads, stages, batches, sheds;
        pthread_mutex_t lock;
        struct model_info *models;
};

const char *metrics_stage_name(enum metrics_stage stage) {
        return stage_names[stage];
}

const char *metrics_load_name(enum metrics_load load) {
        return load_names[load];
}

int metrics_new(struct metrics **ret_metrics, const struct metrics_options *options, struct error *error) {
        _cleanup_(metrics_freep) struct metrics *metrics = NULL;
        const size_t line = 64 / sizeof(cell_t);
        size_t n = 0;

        metrics = calloc(1, sizeof(*metrics));
        if (!metrics)
                return error_no_memory(error);
        metrics->options = *options;
        pthread_mutex_init(&metrics->lock, NULL);

        metrics->requests = n;
        n += options->n_handlers * ARRAY_SIZE(codes);
        metrics->request_durations = n;
        n += options->n_handlers * DURATION_CELLS;
        metrics->images = n;
        n += options->n_models * METRICS_OUTCOME_MAX;
        metrics->loads = n;
        n += options->n_models * METRICS_LOAD_MAX;
        metrics->stages = n;
        n += METRICS_STAGE_MAX * DURATION_CELLS;
        metrics->batches = n;
        n += BATCH_CELLS;
        metrics->sheds = n;
        n += METRICS_SHED_MAX;
        metrics->n_cells = (n + line - 1) / line * line;

        metrics->cells = aligned_alloc(64, N_SHARDS * metrics->n_cells * sizeof(cell_t));
        metrics->models = calloc(MAX(options->n_models, (size_t)1), sizeof(*metrics->models));
        if (!metrics->cells || !metrics->models)
                return error_no_memory(error);
        memset(metrics->cells, 0, N_SHARDS * metrics->n_cells * sizeof(cell_t));

        *ret_metrics = steal_ptr(&metrics);
        return 0;
}

void metrics_free(struct metrics *metrics) {
        free(metrics->cells);
        for (size_t i = 0; metrics->models && i < metrics->options.n_models; i++)
                free(metrics->models[i].name);
        free(metrics->models);
        pthread_mutex_destroy(&metrics->lock);
        free(metrics);
}

int metrics_set_model(struct metrics *metrics, size_t model, const char *name, const char *version,
                      const char *precision, struct error *error) {
        struct model_info *info = &metrics->models[model];

        pthread_mutex_lock(&metrics->lock);
        if (!info->name)
                info->name = strdup(name);
        if (info->name) {
                snprintf(info->version, sizeof(info->version), "%s", version);
                snprintf(info->precision, sizeof(info->precision), "%s", precision);
                info->is_loaded = true;
        }
        pthread_mutex_unlock(&metrics->lock);
        return info->name ? 0 : error_no_memory(error);
}

void metrics_unset_model(struct metrics *metrics, size_t model) {
        pthread_mutex_lock(&metrics->lock);
        metrics->models[model].is_loaded = false;
        pthread_mutex_unlock(&metrics->lock);
}

static void add(struct metrics *metrics, size_t cell, uint64_t value) {
        /* Which shard a thread uses is of no consequence, so one number serves all instances. */
        static _Thread_local unsigned shard;

        if (shard == 0)
                shard = 1 +
                        atomic_fetch_add_explicit(&metrics->next_shard, 1, memory_order_relaxed) % N_SHARDS;
        atomic_fetch_add_explicit(&metrics->cells[(shard - 1) * metrics->n_cells + cell], value,
                                  memory_order_relaxed);
}

static uint64_t total(const struct metrics *metrics, size_t cell) {
        uint64_t sum = 0;

        for (size_t shard = 0; shard < N_SHARDS; shard++)
                sum += atomic_load_explicit(&metrics->cells[shard * metrics->n_cells + cell],
                                            memory_order_relaxed);
        return sum;
}

static void observe(struct metrics *metrics, size_t histogram, const double *bounds, size_t n_bounds,
                    double value, uint64_t sum_units) {
        size_t i = 0;

        while (i < n_bounds && value > bounds[i])
                i++;
        add(metrics, histogram + i, 1);
        add(metrics, histogram + n_bounds + 1, sum_units);
}

static void observe_duration(struct metrics *metrics, size_t histogram, uint64_t duration_ns) {
        observe(metrics, histogram, duration_bounds, ARRAY_SIZE(duration_bounds), (double)duration_ns / 1e9,
                duration_ns);
}

static size_t code_index(unsigned code) {
        size_t i = 0;

        while (i < ARRAY_SIZE(codes) - 1 && codes[i] != code)
                i++;
        return i;
}

void metrics_request(struct metrics *metrics, size_t handler, unsigned code, uint64_t duration_ns) {
        add(metrics, metrics->requests + handler * ARRAY_SIZE(codes) + code_index(code), 1);
        observe_duration(metrics, metrics->request_durations + handler * DURATION_CELLS, duration_ns);
}

void metrics_image(struct metrics *metrics, size_t model, enum metrics_outcome outcome) {
        add(metrics, metrics->images + model * METRICS_OUTCOME_MAX + outcome, 1);
}

void metrics_model_load(struct metrics *metrics, size_t model, enum metrics_load load) {
        add(metrics, metrics->loads + model * METRICS_LOAD_MAX + load, 1);
        pthread_mutex_lock(&metrics->lock);
        metrics->models[model].last_load_failed = load != METRICS_LOAD_OK;
        pthread_mutex_unlock(&metrics->lock);
}

void metrics_stage_duration(struct metrics *metrics, enum metrics_stage stage, uint64_t duration_ns) {
        observe_duration(metrics, metrics->stages + stage * DURATION_CELLS, duration_ns);
}

void metrics_batch(struct metrics *metrics, size_t images) {
        observe(metrics, metrics->batches, batch_bounds, ARRAY_SIZE(batch_bounds), (double)images, images);
}

void metrics_shed(struct metrics *metrics, enum metrics_shed reason) {
        add(metrics, metrics->sheds + reason, 1);
}

uint64_t metrics_requests(const struct metrics *metrics, size_t handler, unsigned code) {
        return total(metrics, metrics->requests + handler * ARRAY_SIZE(codes) + code_index(code));
}

/* Label values from outside (model names) with the format's three escapes. */
static void print_label(FILE *f, const char *name, const char *value) {
        fprintf(f, "%s=\"", name);
        for (; *value; value++)
                if (*value == '\n')
                        fputs("\\n", f);
                else if (*value == '"' || *value == '\\')
                        fprintf(f, "\\%c", *value);
                else
                        fputc(*value, f);
        fputc('"', f);
}

/* OpenMetrics names a counter's family without _total. */
static void print_family(FILE *f, const char *name, const char *type, const char *help, bool openmetrics) {
        int length = (int)strlen(name);

        if (openmetrics && strcmp(type, "counter") == 0)
                length -= (int)strlen("_total");
        fprintf(f, "# HELP %.*s %s\n# TYPE %.*s %s\n", length, name, help, length, name, type);
}

static void print_value(FILE *f, const char *name, const char *type, const char *help, bool openmetrics,
                        double value) {
        print_family(f, name, type, help, openmetrics);
        fprintf(f, "%s %.17g\n", name, value);
}

/* labels: "" or a list without braces. unit: what one unit of the sum is worth. */
static void print_histogram(FILE *f, const struct metrics *metrics, const char *name, const char *labels,
                            size_t histogram, const double *bounds, size_t n_bounds, double unit,
                            bool openmetrics) {
        const char *comma = *labels ? "," : "", *open = *labels ? "{" : "", *close = *labels ? "}" : "";
        uint64_t count = 0;

        for (size_t i = 0; i < n_bounds; i++) {
                char bound[32];

                count += total(metrics, histogram + i);
                snprintf(bound, sizeof(bound), "%g", bounds[i]);
                /* OpenMetrics wants the canonical form of a float. */
                if (openmetrics && !strchr(bound, '.') && !strchr(bound, 'e'))
                        strcat(bound, ".0");
                fprintf(f, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels, comma, bound, count);
        }
        count += total(metrics, histogram + n_bounds);
        fprintf(f, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count);
        fprintf(f, "%s_sum%s%s%s %.9f\n", name, open, labels, close,
                (double)total(metrics, histogram + n_bounds + 1) * unit);
        fprintf(f, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, count);
}

static void print_durations(FILE *f, const struct metrics *metrics, const char *name, const char *labels,
                            size_t histogram, bool openmetrics) {
        print_histogram(f, metrics, name, labels, histogram, duration_bounds, ARRAY_SIZE(duration_bounds),
                        1e-9, openmetrics);
}

/* name{model="..."} value */
static void print_model_value(FILE *f, const char *name, const struct model_info *model, bool value) {
        fprintf(f, "%s{", name);
        print_label(f, "model", model->name);
        fprintf(f, "} %d\n", value);
}

static void print_loads(FILE *f, const struct metrics *metrics, bool openmetrics) {
        print_family(f, "saccade_model_loaded", "gauge",
                     "1 while the model is served, 0 while it is unloaded.", openmetrics);
        for (size_t i = 0; i < metrics->options.n_models; i++)
                if (metrics->models[i].name)
                        print_model_value(f, "saccade_model_loaded", &metrics->models[i],
                                          metrics->models[i].is_loaded);

        print_family(f, "saccade_model_last_reload_successful", "gauge",
                     "0 where the last reload failed and the model before it is served on.", openmetrics);
        for (size_t i = 0; i < metrics->options.n_models; i++)
                if (metrics->models[i].name)
                        print_model_value(f, "saccade_model_last_reload_successful", &metrics->models[i],
                                          !metrics->models[i].last_load_failed);

        print_family(f, "saccade_model_reloads_total", "counter", "Loads of a model beside serving.",
                     openmetrics);
        for (size_t i = 0; i < metrics->options.n_models; i++)
                for (size_t load = 0; metrics->models[i].name && load < METRICS_LOAD_MAX; load++) {
                        fputs("saccade_model_reloads_total{", f);
                        print_label(f, "model", metrics->models[i].name);
                        fprintf(f, ",outcome=\"%s\"} %" PRIu64 "\n", load_names[load],
                                total(metrics, metrics->loads + i * METRICS_LOAD_MAX + load));
                }
}

static void print_info(FILE *f, const struct metrics *metrics, bool openmetrics) {
        print_family(f, "saccade_build_info", "gauge", "The program that runs; always 1.", openmetrics);
        fputs("saccade_build_info{", f);
        print_label(f, "version", metrics->options.version);
        fputs("} 1\n", f);

        print_family(f, "saccade_model_info", "gauge", "A model that is loaded; always 1.", openmetrics);
        for (size_t i = 0; i < metrics->options.n_models; i++) {
                const struct model_info *model = &metrics->models[i];

                if (!model->is_loaded)
                        continue;
                fputs("saccade_model_info{", f);
                print_label(f, "model", model->name);
                fputc(',', f);
                print_label(f, "version", model->version);
                fputc(',', f);
                print_label(f, "precision", model->precision);
                fputs("} 1\n", f);
        }
}

static void print_requests(FILE *f, const struct metrics *metrics, bool openmetrics) {
        print_family(f, "saccade_requests_total", "counter", "HTTP requests answered.", openmetrics);
        for (size_t handler = 0; handler < metrics->options.n_handlers; handler++)
                for (size_t code = 0; code < ARRAY_SIZE(codes); code++) {
                        uint64_t n = metrics_requests(metrics, handler, codes[code]);

                        /* A rate needs its zero before the first event; only 200 is sure to come. */
                        if (n > 0 || codes[code] == 200)
                                fprintf(f,
                                        "saccade_requests_total{handler=\"%s\",code=\"%u\"} %" PRIu64 "\n",
                                        metrics->options.handlers[handler], codes[code], n);
                }

        print_family(f, "saccade_request_duration_seconds", "histogram",
                     "From the headers of a request to the end of its answer.", openmetrics);
        for (size_t handler = 0; handler < metrics->options.n_handlers; handler++) {
                char labels[64];

                snprintf(labels, sizeof(labels), "handler=\"%s\"", metrics->options.handlers[handler]);
                print_durations(f, metrics, "saccade_request_duration_seconds", labels,
                                metrics->request_durations + handler * DURATION_CELLS, openmetrics);
        }
}

static void print_images(FILE *f, const struct metrics *metrics, bool openmetrics) {
        print_family(f, "saccade_images_total", "counter", "Images by how they ended.", openmetrics);
        for (size_t i = 0; i < metrics->options.n_models; i++) {
                if (!metrics->models[i].name)
                        continue;
                for (size_t outcome = 0; outcome < METRICS_OUTCOME_MAX; outcome++) {
                        fputs("saccade_images_total{", f);
                        print_label(f, "model", metrics->models[i].name);
                        fprintf(f, ",outcome=\"%s\"} %" PRIu64 "\n", outcome_names[outcome],
                                total(metrics, metrics->images + i * METRICS_OUTCOME_MAX + outcome));
                }
        }

        print_family(
                f, "saccade_stage_duration_seconds", "histogram",
                "Time in each stage: decode, queue and infer for each image, the others for each request.",
                openmetrics);
        for (size_t stage = 0; stage < METRICS_STAGE_MAX; stage++) {
                char labels[32];

                snprintf(labels, sizeof(labels), "stage=\"%s\"", stage_names[stage]);
                print_durations(f, metrics, "saccade_stage_duration_seconds", labels,
                                metrics->stages + stage * DURATION_CELLS, openmetrics);
        }

        print_family(f, "saccade_batch_size", "histogram", "Images that ran together.", openmetrics);
        print_histogram(f, metrics, "saccade_batch_size", "", metrics->batches, batch_bounds,
                        ARRAY_SIZE(batch_bounds), 1, openmetrics);
}

static void print_load(FILE *f, const struct metrics *metrics, const struct metrics_gauges *gauges,
                       bool openmetrics) {
        print_value(f, "saccade_queue_images", "gauge", "Images admitted that no worker has taken yet.",
                    openmetrics, (double)gauges->queue_images);
        print_value(f, "saccade_inflight_requests", "gauge", "Requests begun and not yet answered.",
                    openmetrics, (double)gauges->inflight_requests);
        print_value(f, "saccade_queue_wait_estimate_seconds", "gauge",
                    "How long an image admitted now would wait for a worker.", openmetrics,
                    gauges->queue_wait_estimate_s);
        print_value(f, "saccade_saturation_ratio", "gauge", "0 idle, 1 all workers busy, above 1 a backlog.",
                    openmetrics, gauges->saturation_ratio);

        print_family(f, "saccade_shed_total", "counter", "Requests turned away, by reason.", openmetrics);
        for (size_t reason = 0; reason < METRICS_SHED_MAX; reason++)
                fprintf(f, "saccade_shed_total{reason=\"%s\"} %" PRIu64 "\n", shed_names[reason],
                        total(metrics, metrics->sheds + reason));
}

static void print_process(FILE *f, bool openmetrics) {
        struct process_stats stats = process_stats_read();

        print_value(f, "process_cpu_seconds_total", "counter", "User and system CPU time.", openmetrics,
                    stats.cpu_seconds);
        print_value(f, "process_resident_memory_bytes", "gauge", "Resident memory.", openmetrics,
                    (double)stats.resident_bytes);
        print_value(f, "process_virtual_memory_bytes", "gauge", "Virtual memory.", openmetrics,
                    (double)stats.virtual_bytes);
        print_value(f, "process_open_fds", "gauge", "Open file descriptors.", openmetrics,
                    (double)stats.open_fds);
        print_value(f, "process_max_fds", "gauge", "Limit of open file descriptors.", openmetrics,
                    (double)stats.max_fds);
        print_value(f, "process_start_time_seconds", "gauge", "When the process started, since the epoch.",
                    openmetrics, stats.start_time_seconds);
}

int metrics_render(struct metrics *metrics, const struct metrics_gauges *gauges, bool openmetrics,
                   char **ret_text, size_t *ret_size, struct error *error) {
        char *text = NULL;
        size_t size = 0;
        FILE *f;

        f = open_memstream(&text, &size);
        if (!f)
                return error_no_memory(error);
        pthread_mutex_lock(&metrics->lock);
        print_info(f, metrics, openmetrics);
        print_loads(f, metrics, openmetrics);
        print_requests(f, metrics, openmetrics);
        print_images(f, metrics, openmetrics);
        pthread_mutex_unlock(&metrics->lock);
        print_load(f, metrics, gauges, openmetrics);
        print_process(f, openmetrics);
        if (openmetrics)
                fputs("# EOF\n", f);
        if (ferror(f) | (fclose(f) != 0)) {
                free(text);
                return error_no_memory(error);
        }

        *ret_text = text;
        *ret_size = size;
        return 0;
}
