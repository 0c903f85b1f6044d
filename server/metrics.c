#include "server/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/metrics_store.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

/* Where a classification is spent, 1 to 100 ms, a bound is at most 1.5 times the one before, so that a
 * quantile computed from the buckets is that exact; sparse where only trouble is. */
const uint64_t metrics_duration_bounds_ns[METRICS_N_DURATION_BOUNDS] = {
        100 * US, 250 * US, 500 * US,  750 * US,  1 * MS,   1500 * US, 2 * MS,   3 * MS,
        4 * MS,   5 * MS,   7500 * US, 10 * MS,   15 * MS,  20 * MS,   30 * MS,  40 * MS,
        50 * MS,  75 * MS,  100 * MS,  150 * MS,  200 * MS, 300 * MS,  400 * MS, 500 * MS,
        750 * MS, 1 * S,    1500 * MS, 2500 * MS, 5 * S,    10 * S,    30 * S,
};

const uint64_t metrics_batch_bounds[METRICS_N_BATCH_BOUNDS] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

/* The statuses that the server gives; anything else counts under its last row. 499: the client had gone. */
const unsigned metrics_codes[METRICS_N_CODES] = {200, 204, 304, 400, 401, 404, 405, 408, 411, 413,
                                                 414, 415, 422, 429, 431, 499, 503, 504, 505, 500};

static const char *const stage_names[METRICS_STAGE_MAX] = {"receive", "decode", "queue",
                                                           "infer",   "encode", "total"};

static const char *const load_names[METRICS_LOAD_MAX] = {"ok", "failed", "rejected"};

const char *metrics_load_name(enum metrics_load load) {
        return load_names[load];
}

const char *metrics_stage_name(enum metrics_stage stage) {
        return stage_names[stage];
}

/* n cells; returns where they begin. */
static size_t lay_out(struct metrics *metrics, size_t n) {
        size_t begin = metrics->n_cells;

        metrics->n_cells += n;
        return begin;
}

int metrics_new(struct metrics **ret_metrics, const struct metrics_options *options, struct error *error) {
        _cleanup_(metrics_freep) struct metrics *metrics = NULL;
        const size_t line = 64 / sizeof(*metrics->cells);
        const size_t n_histograms = options->n_handlers + options->n_models * METRICS_STAGE_MAX;
        size_t bytes;

        metrics = calloc(1, sizeof(*metrics));
        if (!metrics)
                return error_no_memory(error);
        pthread_mutex_init(&metrics->models_lock, NULL);
        metrics->options = *options;

        metrics->requests = lay_out(metrics, options->n_handlers * METRICS_N_CODES);
        metrics->request_durations = lay_out(metrics, options->n_handlers * METRICS_DURATION_CELLS);
        metrics->images = lay_out(metrics, options->n_models * METRICS_OUTCOME_MAX);
        metrics->loads = lay_out(metrics, options->n_models * METRICS_LOAD_MAX);
        metrics->stages = lay_out(metrics, options->n_models * METRICS_STAGE_MAX * METRICS_DURATION_CELLS);
        metrics->batches = lay_out(metrics, options->n_models * METRICS_BATCH_CELLS);
        metrics->sheds = lay_out(metrics, METRICS_SHED_MAX);
        metrics->slow_requests = lay_out(metrics, 1);
        metrics->n_cells = (metrics->n_cells + line - 1) / line * line;

        bytes = METRICS_N_SHARDS * metrics->n_cells * sizeof(*metrics->cells);
        metrics->cells = aligned_alloc(64, bytes);
        metrics->exemplars = calloc(n_histograms * METRICS_DURATION_BUCKETS, sizeof(struct exemplar));
        metrics->models = calloc(MAX(options->n_models, (size_t)1), sizeof(*metrics->models));
        if (!metrics->cells || !metrics->exemplars || !metrics->models)
                return error_no_memory(error);
        memset(metrics->cells, 0, bytes);

        *ret_metrics = steal_ptr(&metrics);
        return 0;
}

void metrics_free(struct metrics *metrics) {
        pthread_mutex_destroy(&metrics->models_lock);
        free(metrics->cells);
        free(metrics->exemplars);
        free(metrics->models);
        free(metrics);
}

static void copy_text(char *to, size_t size, const char *text) {
        size_t n = strnlen(text, size - 1);

        memcpy(to, text, n);
        to[n] = 0;
}

void metrics_set_model(struct metrics *metrics, size_t model, const char *name, const char *version,
                       const char *precision) {
        struct metrics_model *m = &metrics->models[model];
        size_t size = utf8_prefix(name, strlen(name), METRICS_MODEL_NAME_MAX);

        pthread_mutex_lock(&metrics->models_lock);
        m->name[utf8_repair(m->name, name, size)] = 0;
        copy_text(m->version, sizeof(m->version), version);
        copy_text(m->precision, sizeof(m->precision), precision);
        m->known = m->is_loaded = true;
        pthread_mutex_unlock(&metrics->models_lock);
}

void metrics_unset_model(struct metrics *metrics, size_t model) {
        pthread_mutex_lock(&metrics->models_lock);
        metrics->models[model].is_loaded = false;
        pthread_mutex_unlock(&metrics->models_lock);
}

static void add(struct metrics *metrics, size_t cell, uint64_t value) {
        /* Which shard a thread uses is of no consequence, so one number serves all instances. */
        static _Thread_local unsigned shard;

        if (shard == 0)
                shard = 1 + atomic_fetch_add_explicit(&metrics->next_shard, 1, memory_order_relaxed) %
                                    METRICS_N_SHARDS;
        atomic_fetch_add_explicit(&metrics->cells[(shard - 1) * metrics->n_cells + cell], value,
                                  memory_order_relaxed);
}

/* Returns the bucket. */
static size_t observe(struct metrics *metrics, size_t histogram, const uint64_t *bounds, size_t n_bounds,
                      uint64_t value) {
        size_t i = 0;

        while (i < n_bounds && value > bounds[i])
                i++;
        add(metrics, histogram + i, 1);
        add(metrics, histogram + n_bounds + 1, value);
        return i;
}

static void observe_duration(struct metrics *metrics, size_t histogram, struct exemplar *exemplars,
                             uint64_t duration_ns, const struct exemplar_labels *labels) {
        size_t bucket = observe(metrics, histogram, metrics_duration_bounds_ns, METRICS_N_DURATION_BOUNDS,
                                duration_ns);
        struct timespec now;

        if (!labels)
                return;
        /* A few milliseconds of precision are enough, and this is the cheapest clock. */
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
        exemplar_offer(&exemplars[bucket], labels, duration_ns,
                       (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

static size_t code_index(unsigned code) {
        size_t i = 0;

        while (i < METRICS_N_CODES - 1 && metrics_codes[i] != code)
                i++;
        return i;
}

void metrics_request(struct metrics *metrics, size_t handler, unsigned code, uint64_t duration_ns,
                     const struct exemplar_labels *exemplar) {
        add(metrics, metrics->requests + handler * METRICS_N_CODES + code_index(code), 1);
        observe_duration(metrics, metrics_request_cell(metrics, handler),
                         metrics_request_exemplars(metrics, handler), duration_ns, exemplar);
}

void metrics_image(struct metrics *metrics, size_t model, enum metrics_outcome outcome) {
        add(metrics, metrics->images + model * METRICS_OUTCOME_MAX + outcome, 1);
}

void metrics_model_load(struct metrics *metrics, size_t model, enum metrics_load load) {
        add(metrics, metrics->loads + model * METRICS_LOAD_MAX + load, 1);
        pthread_mutex_lock(&metrics->models_lock);
        metrics->models[model].last_load_failed = load != METRICS_LOAD_OK;
        pthread_mutex_unlock(&metrics->models_lock);
}

void metrics_stage_duration(struct metrics *metrics, size_t model, enum metrics_stage stage,
                            uint64_t duration_ns, const struct exemplar_labels *exemplar) {
        observe_duration(metrics, metrics_stage_cell(metrics, model, stage),
                         metrics_stage_exemplars(metrics, model, stage), duration_ns, exemplar);
}

void metrics_batch(struct metrics *metrics, size_t model, size_t images) {
        observe(metrics, metrics->batches + model * METRICS_BATCH_CELLS, metrics_batch_bounds,
                METRICS_N_BATCH_BOUNDS, images);
}

void metrics_shed(struct metrics *metrics, enum metrics_shed reason) {
        add(metrics, metrics->sheds + reason, 1);
}

void metrics_slow_request(struct metrics *metrics) {
        add(metrics, metrics->slow_requests, 1);
}

uint64_t metrics_requests(const struct metrics *metrics, size_t handler, unsigned code) {
        return metrics_total(metrics, metrics->requests + handler * METRICS_N_CODES + code_index(code));
}
