#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/metrics.h"
#include "server/metrics_store.h"
#include "server/process_stats.h"

static const char *const outcome_names[METRICS_OUTCOME_MAX] = {
        "ok", "unsupported_image", "broken_image", "image_limit", "deadline", "cancelled", "internal",
};

static const char *const shed_names[METRICS_SHED_MAX] = {
        "queue_full", "deadline", "memory", "loading", "connections",
};

struct printer {
        FILE *file;
        const struct metrics *metrics;
        bool openmetrics;
};

/* Room for a list of labels, with a model's name that is escaped throughout. */
#define LABELS_SIZE (2 * sizeof(((struct metrics_model *)0)->name) + 64)

/* Label values from outside (model names) with the format's three escapes. Returns the end. */
static char *put_label(char *to, const char *name, const char *value) {
        to = stpcpy(stpcpy(to, name), "=\"");
        for (; *value; value++)
                if (*value == '\n')
                        to = stpcpy(to, "\\n");
                else {
                        if (*value == '"' || *value == '\\')
                                *to++ = '\\';
                        *to++ = *value;
                }
        return stpcpy(to, "\"");
}

/* name="value",model="..." */
static void model_labels(char ret_labels[LABELS_SIZE], const char *name, const char *value,
                         const struct metrics_model *model) {
        char *end = ret_labels;

        if (name)
                end = stpcpy(put_label(end, name, value), ",");
        put_label(end, "model", model->name);
}

/* OpenMetrics names a counter's family without _total. */
static void print_family(const struct printer *p, const char *name, const char *type, const char *help) {
        int length = (int)strlen(name);

        if (p->openmetrics && strcmp(type, "counter") == 0)
                length -= (int)strlen("_total");
        fprintf(p->file, "# HELP %.*s %s\n# TYPE %.*s %s\n", length, name, help, length, name, type);
}

static void print_value(const struct printer *p, const char *name, const char *type, const char *help,
                        double value) {
        print_family(p, name, type, help);
        fprintf(p->file, "%s %.17g\n", name, value);
}

/* OpenMetrics 1.0, "Exemplars". What is in the labels needs no escapes, see request_id_is_valid(). */
static void print_exemplar(const struct printer *p, const struct exemplar *exemplar) {
        struct exemplar_view view;

        if (!exemplar_read(exemplar, &view))
                return;
        fprintf(p->file, " # {request_id=\"%s\"", view.request_id);
        if (*view.trace_id)
                fprintf(p->file, ",trace_id=\"%s\"", view.trace_id);
        fprintf(p->file, "} %.9f %" PRIu64 ".%03u", (double)view.value_ns / 1e9, view.time_ms / 1000,
                (unsigned)(view.time_ms % 1000));
}

struct histogram {
        const char *name, *labels; /* labels: a list without braces */
        size_t cell;
        const uint64_t *bounds;
        size_t n_bounds;
        double unit;                      /* what one unit of bounds and sum is worth */
        const struct exemplar *exemplars; /* one a bucket, or NULL */
};

static void print_histogram(const struct printer *p, const struct histogram *h) {
        const struct metrics *metrics = p->metrics;
        uint64_t count = 0;

        for (size_t i = 0; i <= h->n_bounds; i++) {
                char bound[32] = "+Inf";

                count += metrics_total(metrics, h->cell + i);
                if (i < h->n_bounds) {
                        snprintf(bound, sizeof(bound), "%g", (double)h->bounds[i] * h->unit);
                        /* OpenMetrics wants the canonical form of a float. */
                        if (p->openmetrics && !strchr(bound, '.') && !strchr(bound, 'e'))
                                strcat(bound, ".0");
                }
                fprintf(p->file, "%s_bucket{%s,le=\"%s\"} %" PRIu64, h->name, h->labels, bound, count);
                if (p->openmetrics && h->exemplars)
                        print_exemplar(p, &h->exemplars[i]);
                fputc('\n', p->file);
        }
        fprintf(p->file, "%s_sum{%s} %.9f\n", h->name, h->labels,
                (double)metrics_total(metrics, h->cell + h->n_bounds + 1) * h->unit);
        fprintf(p->file, "%s_count{%s} %" PRIu64 "\n", h->name, h->labels, count);
}

static void print_durations(const struct printer *p, const char *name, const char *labels, size_t cell,
                            const struct exemplar *exemplars) {
        print_histogram(p, &(struct histogram){.name = name,
                                               .labels = labels,
                                               .cell = cell,
                                               .bounds = metrics_duration_bounds_ns,
                                               .n_bounds = METRICS_N_DURATION_BOUNDS,
                                               .unit = 1e-9,
                                               .exemplars = exemplars});
}

static void print_build(const struct printer *p) {
        char labels[LABELS_SIZE];

        put_label(labels, "version", p->metrics->options.version);
        print_family(p, "saccade_build_info", "gauge", "The program that runs; always 1.");
        fprintf(p->file, "saccade_build_info{%s} 1\n", labels);
}

static void print_requests(const struct printer *p) {
        const struct metrics_options *options = &p->metrics->options;

        print_family(p, "saccade_requests_total", "counter", "HTTP requests answered.");
        for (size_t handler = 0; handler < options->n_handlers; handler++)
                for (size_t code = 0; code < METRICS_N_CODES; code++) {
                        uint64_t n = metrics_requests(p->metrics, handler, metrics_codes[code]);

                        /* A rate needs its zero before the first event; only 200 is sure to come. */
                        if (n > 0 || metrics_codes[code] == 200)
                                fprintf(p->file,
                                        "saccade_requests_total{handler=\"%s\",code=\"%u\"} %" PRIu64 "\n",
                                        options->handlers[handler], metrics_codes[code], n);
                }

        print_family(p, "saccade_request_duration_seconds", "histogram",
                     "From the headers of a request to the end of its answer.");
        for (size_t handler = 0; handler < options->n_handlers; handler++) {
                char labels[LABELS_SIZE];

                put_label(labels, "handler", options->handlers[handler]);
                print_durations(p, "saccade_request_duration_seconds", labels,
                                metrics_request_cell(p->metrics, handler),
                                metrics_request_exemplars(p->metrics, handler));
        }
        print_value(p, "saccade_slow_requests_total", "counter",
                    "Classifications that took longer than --slow-log; 0 without it.",
                    (double)metrics_total(p->metrics, p->metrics->slow_requests));
}

static void print_outcomes(const struct printer *p, size_t index) {
        const struct metrics *metrics = p->metrics;
        char labels[LABELS_SIZE], *end = labels;

        end = stpcpy(put_label(end, "model", metrics->models[index].name), ",");
        for (size_t outcome = 0; outcome < METRICS_OUTCOME_MAX; outcome++) {
                put_label(end, "outcome", outcome_names[outcome]);
                fprintf(p->file, "saccade_images_total{%s} %" PRIu64 "\n", labels,
                        metrics_total(metrics, metrics->images + index * METRICS_OUTCOME_MAX + outcome));
        }
}

static void print_stages(const struct printer *p, size_t index) {
        for (size_t stage = 0; stage < METRICS_STAGE_MAX; stage++) {
                char labels[LABELS_SIZE];

                model_labels(labels, "stage", metrics_stage_name((enum metrics_stage)stage),
                             &p->metrics->models[index]);
                print_durations(p, "saccade_stage_duration_seconds", labels,
                                metrics_stage_cell(p->metrics, index, stage),
                                metrics_stage_exemplars(p->metrics, index, stage));
        }
}

static void print_batches(const struct printer *p, size_t index) {
        char labels[LABELS_SIZE];

        model_labels(labels, NULL, NULL, &p->metrics->models[index]);
        print_histogram(p, &(struct histogram){.name = "saccade_batch_size",
                                               .labels = labels,
                                               .cell = p->metrics->batches + index * METRICS_BATCH_CELLS,
                                               .bounds = metrics_batch_bounds,
                                               .n_bounds = METRICS_N_BATCH_BOUNDS,
                                               .unit = 1});
}

static void print_model_info(const struct printer *p, size_t index) {
        const struct metrics_model *model = &p->metrics->models[index];
        char labels[LABELS_SIZE], *end = labels;

        if (!model->is_loaded)
                return;
        end = stpcpy(put_label(end, "model", model->name), ",");
        end = stpcpy(put_label(end, "version", model->version), ",");
        put_label(end, "precision", model->precision);
        fprintf(p->file, "saccade_model_info{%s} 1\n", labels);
}

static void print_loaded(const struct printer *p, size_t index) {
        char labels[LABELS_SIZE];

        model_labels(labels, NULL, NULL, &p->metrics->models[index]);
        fprintf(p->file, "saccade_model_loaded{%s} %d\n", labels, p->metrics->models[index].is_loaded);
}

static void print_last_load(const struct printer *p, size_t index) {
        char labels[LABELS_SIZE];

        model_labels(labels, NULL, NULL, &p->metrics->models[index]);
        fprintf(p->file, "saccade_model_last_reload_successful{%s} %d\n", labels,
                !p->metrics->models[index].last_load_failed);
}

static void print_loads(const struct printer *p, size_t index) {
        const struct metrics *metrics = p->metrics;
        char labels[LABELS_SIZE], *end = labels;

        end = stpcpy(put_label(end, "model", metrics->models[index].name), ",");
        for (size_t load = 0; load < METRICS_LOAD_MAX; load++) {
                put_label(end, "outcome", metrics_load_name((enum metrics_load)load));
                fprintf(p->file, "saccade_model_reloads_total{%s} %" PRIu64 "\n", labels,
                        metrics_total(metrics, metrics->loads + index * METRICS_LOAD_MAX + load));
        }
}

/* A family that has series for each model. */
static void print_by_model(const struct printer *p, const char *name, const char *type, const char *help,
                           void (*print)(const struct printer *p, size_t index)) {
        print_family(p, name, type, help);
        for (size_t i = 0; i < p->metrics->options.n_models; i++)
                if (p->metrics->models[i].known)
                        print(p, i);
}

static void print_models(const struct printer *p) {
        print_by_model(p, "saccade_model_info", "gauge", "A model that is loaded; always 1.",
                       print_model_info);
        print_by_model(p, "saccade_model_loaded", "gauge",
                       "1 while the model is served, 0 while it is unloaded.", print_loaded);
        print_by_model(p, "saccade_model_last_reload_successful", "gauge",
                       "0 where the last reload failed and the model before it is served on.",
                       print_last_load);
        print_by_model(p, "saccade_model_reloads_total", "counter", "Loads of a model beside serving.",
                       print_loads);
        print_by_model(p, "saccade_images_total", "counter", "Images by how they ended.", print_outcomes);
        print_by_model(
                p, "saccade_stage_duration_seconds", "histogram",
                "Time in each stage: decode, queue and infer for each image, the others for each request.",
                print_stages);
        print_by_model(p, "saccade_batch_size", "histogram", "Images that ran together.", print_batches);
}

static void print_load(const struct printer *p, const struct metrics_gauges *gauges) {
        print_value(p, "saccade_cpus", "gauge", "CPUs that inference may use.", gauges->cpus);
        print_value(p, "saccade_queue_images", "gauge", "Images admitted that no worker has taken yet.",
                    (double)gauges->queue_images);
        print_value(p, "saccade_inflight_requests", "gauge", "Requests begun and not yet answered.",
                    (double)gauges->inflight_requests);
        print_value(p, "saccade_queue_wait_estimate_seconds", "gauge",
                    "How long an image admitted now would wait for a worker.",
                    gauges->queue_wait_estimate_s);
        print_value(p, "saccade_saturation_ratio", "gauge", "0 idle, 1 all workers busy, above 1 a backlog.",
                    gauges->saturation_ratio);

        print_family(p, "saccade_shed_total", "counter", "Requests turned away, by reason.");
        for (size_t reason = 0; reason < METRICS_SHED_MAX; reason++)
                fprintf(p->file, "saccade_shed_total{reason=\"%s\"} %" PRIu64 "\n", shed_names[reason],
                        metrics_total(p->metrics, p->metrics->sheds + reason));
}

static void print_process(const struct printer *p) {
        struct process_stats stats = process_stats_read();

        print_value(p, "process_cpu_seconds_total", "counter", "User and system CPU time.",
                    stats.cpu_seconds);
        print_value(p, "process_resident_memory_bytes", "gauge", "Resident memory.",
                    (double)stats.resident_bytes);
        print_value(p, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
                    (double)stats.virtual_bytes);
        print_value(p, "process_open_fds", "gauge", "Open file descriptors.", (double)stats.open_fds);
        print_value(p, "process_max_fds", "gauge", "Limit of open file descriptors.", (double)stats.max_fds);
        print_value(p, "process_start_time_seconds", "gauge", "When the process started, since the epoch.",
                    stats.start_time_seconds);
}

int metrics_render(struct metrics *metrics, const struct metrics_gauges *gauges, bool openmetrics,
                   char **ret_text, size_t *ret_size, struct error *error) {
        struct printer printer = {.metrics = metrics, .openmetrics = openmetrics};
        char *text = NULL;
        size_t size = 0;

        printer.file = open_memstream(&text, &size);
        if (!printer.file)
                return error_no_memory(error);
        print_build(&printer);
        print_requests(&printer);
        pthread_mutex_lock(&metrics->models_lock);
        print_models(&printer);
        pthread_mutex_unlock(&metrics->models_lock);
        print_load(&printer, gauges);
        print_process(&printer);
        if (openmetrics)
                fputs("# EOF\n", printer.file);
        if (ferror(printer.file) | (fclose(printer.file) != 0)) {
                free(text);
                return error_no_memory(error);
        }

        *ret_text = text;
        *ret_size = size;
        return 0;
}
