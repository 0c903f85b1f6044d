#include "server/loader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/cpu.h"
#include "server/admission.h"
#include "server/backend.h"
#include "server/batcher.h"
#include "server/ceiling.h"
#include "server/context.h"
#include "server/log.h"
#include "server/metrics.h"

/* The least of a few runs: what disturbs a run only ever makes it longer. Readiness waits for one that is
 * warm. */
#define REPEAT_AT_START 1u
/* What one image takes on all CPUs beside one, before that was measured. */
#define EXPECTED_RATIO 0.9
#define HARMFUL_RATIO  1.5

#define REPEAT_LATER   5u

struct loader {
        struct context *context;
        struct tuning **tunings; /* of each model */
        int wake_fd;
        pthread_t thread;
        bool started;
        atomic_bool stopping, failed;
        struct error error; /* once failed */
};

/* Arguments of a measurement on worker 0. */
struct measurement {
        struct backend *backend;
        unsigned threads, n_pairs;
        const atomic_bool *stop;
        double ratio;
        int r;
        struct error error;
};

static void measure(void *argument) {
        struct measurement *m = argument;

        m->r = backend_compare(m->backend, 1, m->threads, m->n_pairs, m->stop, &m->ratio, &m->error);
}

/* What one image takes on all CPUs. */
static int measure_all_threads(struct loader *loader, struct backend *backend, unsigned n_pairs,
                               struct cost_table *costs, struct error *error) {
        struct context *context = loader->context;
        struct measurement m = {.backend = backend,
                                .threads = context->n_cpus,
                                .n_pairs = n_pairs,
                                .stop = &loader->stopping};

        if (!batcher_call(context->batcher, measure, &m))
                return error_set(error, ERROR_INTERNAL, "the server was stopped");
        if (m.r < 0) {
                *error = m.error;
                return m.r;
        }
        /* Whoever computes beside us now, as another server that starts, may be gone in a second, while this
         * decides for as long as we run: only a team that does real harm is ruled out. */
        if (m.ratio < HARMFUL_RATIO)
                m.ratio = MIN(m.ratio, EXPECTED_RATIO);
        cost_table_set_ratio(costs, 1, context->n_cpus, m.ratio);
        return 0;
}

/* One image on all CPUs, where there are several. The plan is kept even where it looks useless: memory for
 * one run is all that it costs, and a neighbour who makes it look so while the model loads may be gone at
 * the next look. */
static int add_all_threads(struct loader *loader, struct backend *backend, struct cost_table *costs,
                           struct error *error) {
        struct context *context = loader->context;
        int r;

        if (context->n_cpus == 1 || !context->options.elastic)
                return 0;
        r = backend_plan(backend, 1, context->n_cpus, error);
        if (r >= 0)
                r = backend_keep(backend, error);
        if (r < 0)
                return r;
        cost_table_set_ratio(costs, 1, context->n_cpus, EXPECTED_RATIO);
        return 0;
}

/* Looks again, with more patience than there was before the server was ready. */
static void look_again(struct loader *loader, size_t index) {
        struct context *context = loader->context;
        struct cost_table costs = batcher_costs(context->batcher, index);
        struct error error = ERROR_NONE;

        if (cost_table_ms(&costs, 1, context->n_cpus) > 0 && context->n_cpus > 1 &&
            measure_all_threads(loader, context->backends[index], REPEAT_LATER, &costs, &error) == 0) {
                batcher_set_ratio(context->batcher, index, 1, context->n_cpus,
                                  cost_table_ms(&costs, 1, context->n_cpus) / cost_table_ms(&costs, 1, 1));
                log_event(context->log, LOG_LEVEL_INFO, "measured again",
                          LOG_TEXT("model", model_name(backend_model(context->backends[index]))),
                          LOG_NUMBER("one_thread_ms", cost_table_ms(&costs, 1, 1)),
                          LOG_NUMBER("all_threads_ms", cost_table_ms(&costs, 1, context->n_cpus)));
        }
}

/* One image, on one thread and on all. */
static int measure_basics(struct loader *loader, struct backend *backend, struct cost_table *costs,
                          struct error *error) {
        double ms;
        int r;

        r = backend_plan(backend, 1, 1, error);
        if (r >= 0)
                r = backend_measure(backend, 1, 1, REPEAT_AT_START, &ms, error);
        if (r >= 0)
                r = backend_keep(backend, error);
        if (r < 0)
                return r;
        cost_table_set(costs, 1, 1, ms);
        return add_all_threads(loader, backend, costs, error);
}

/* ---- tuning ---- */

/* What was measured before; without it, as without a directory for it, measuring begins once the server is
 * ready. */
static void load_tuning(struct loader *loader, size_t index) {
        struct context *context = loader->context;
        const struct model *model = backend_model(context->backends[index]);
        char identity[TUNING_MAX_TEXT];
        struct error error = ERROR_NONE;

        if (!context->options.tune_cache)
                return;
        tuner_identity(identity);
        if (tuning_load(loader->tunings[index], context->options.tune_cache, model_version(model), identity,
                        &error) < 0 &&
            error.code != ERROR_NOT_FOUND)
                log_event(context->log, LOG_LEVEL_WARN, "tuning results not used",
                          LOG_TEXT("model", model_name(model)), LOG_TEXT("error", error.text));
}

static void save_tuning(struct loader *loader, size_t index) {
        struct context *context = loader->context;
        const struct model *model = backend_model(context->backends[index]);
        char identity[TUNING_MAX_TEXT];
        struct error error = ERROR_NONE;

        if (!context->options.tune_cache)
                return;
        tuner_identity(identity);
        if (tuning_save(loader->tunings[index], context->options.tune_cache, model_version(model), identity,
                        &error) < 0)
                log_event(context->log, LOG_LEVEL_INFO, "tuning results not kept",
                          LOG_TEXT("model", model_name(model)), LOG_TEXT("error", error.text));
}

/* Measures what a plan for a batch on one thread needs to know. The team of all threads belongs to worker 0,
 * which must not be kept from its work for so long: it takes the usual ways, or what `saccade bench` found.
 */
static int tune_batch(struct loader *loader, size_t index, size_t batch, bool *ret_measured,
                      struct error *error) {
        struct context *context = loader->context;
        struct backend *backend = context->backends[index];
        const struct plan_options options = {.batch = batch,
                                             .threads = 1,
                                             .tuning = loader->tunings[index],
                                             .no_winograd = context->options.no_winograd};
        const struct tuner_options tuner = {.effort = context->options.tune, .stop = &loader->stopping};

        return tuner_run(backend_model_to_tune(backend), &options, &tuner, ret_measured, error);
}

/* The plan for one image, made again with what was measured. */
static int tune_first(struct loader *loader, size_t index, struct error *error) {
        struct context *context = loader->context;
        struct backend *backend = context->backends[index];
        struct cost_table costs = batcher_costs(context->batcher, index);
        double before = cost_table_ms(&costs, 1, 1), ms;
        bool measured = false;
        int r;

        r = tune_batch(loader, index, 1, &measured, error);
        if (r < 0 || !measured)
                return r;
        r = backend_plan(backend, 1, 1, error);
        if (r >= 0)
                r = backend_keep(backend, error);
        if (r >= 0)
                r = backend_measure(backend, 1, 1, REPEAT_LATER, &ms, error);
        if (r < 0)
                return r;
        /* The other row is what that plan was beside this one; this one has become faster. */
        cost_table_set(&costs, 1, 1, MIN(ms, before));
        batcher_set_costs(context->batcher, index, &costs);
        save_tuning(loader, index);
        log_event(context->log, LOG_LEVEL_INFO, "tuned",
                  LOG_TEXT("model", model_name(backend_model(backend))), LOG_COUNT("batch", 1),
                  LOG_TEXT("precision", model_precision(backend_model(backend))),
                  LOG_NUMBER("one_thread_ms", ms), LOG_NUMBER("before_ms", before));
        return 0;
}

static void tune(struct loader *loader, size_t index) {
        struct context *context = loader->context;
        struct error error = ERROR_NONE;

        if (context->options.tune == TUNE_OFF || atomic_load(&loader->stopping))
                return;
        if (tune_first(loader, index, &error) < 0 && !atomic_load(&loader->stopping)) {
                backend_discard(context->backends[index]);
                log_event(context->log, LOG_LEVEL_WARN, "not tuned",
                          LOG_TEXT("model", model_name(backend_model(context->backends[index]))),
                          LOG_TEXT("error", error.text));
        }
}

/* ---- loading ---- */

static int load_model(struct loader *loader, size_t index, struct error *error) {
        struct context *context = loader->context;
        struct cost_table costs = {0};
        uint64_t start_ns = clock_ns();
        struct backend *backend;
        const struct model *model;
        int r;

        r = tuning_new(&loader->tunings[index], error);
        if (r >= 0)
                r = backend_open(&backend, &context->options.models[index],
                                 &(struct backend_options){.n_workers = context->n_cpus,
                                                           .tuning = loader->tunings[index],
                                                           .no_winograd = context->options.no_winograd,
                                                           .precision = context->options.precision},
                                 error);
        if (r < 0)
                return r;
        context->backends[index] = backend;
        model = backend_model(backend);
        load_tuning(loader, index);
        for (size_t i = 0; i < index; i++)
                if (strcmp(model_name(backend_model(context->backends[i])), model_name(model)) == 0)
                        return error_set(
                                error, ERROR_INVALID,
                                "two models are called \"%s\"; name them apart with --model NAME=PATH",
                                model_name(model));
        r = measure_basics(loader, backend, &costs, error);
        if (r >= 0)
                r = model_identify(model, error);
        if (r < 0)
                return r;

        batcher_set_costs(context->batcher, index, &costs);
        metrics_set_model(context->metrics, index, model_name(model), model_version(model),
                          model_precision(model));
        admission_set_infer(context->admission, index, (uint64_t)(cost_table_ms(&costs, 1, 1) * 1e6));
        log_event(context->log, LOG_LEVEL_INFO, "model loaded", LOG_TEXT("model", model_name(model)),
                  LOG_TEXT("version", model_version(model)), LOG_TEXT("precision", model_precision(model)),
                  LOG_TEXT("precision_why", model_precision_why(model)), LOG_TEXT("isa", cpu_isa()),
                  LOG_COUNT("weight_bytes", model_weight_bytes(model)),
                  LOG_NUMBER("one_thread_ms", cost_table_ms(&costs, 1, 1)),
                  LOG_NUMBER("duration_ms", clock_ms_between(start_ns, clock_ns())));
        return 0;
}

/* Keeps the plan of a batch where that is worth it. */
static int try_batch(struct loader *loader, size_t index, size_t batch, bool *ret_pays,
                     struct error *error) {
        struct context *context = loader->context;
        struct backend *backend = context->backends[index];
        struct cost_table costs = batcher_costs(context->batcher, index);
        bool measured = false;
        double ratio, ms;
        int r;

        r = tune_batch(loader, index, batch, &measured, error);
        if (r >= 0)
                r = backend_plan(backend, batch, 1, error);
        if (r >= 0)
                r = backend_compare(backend, batch, 1, REPEAT_LATER, &loader->stopping, &ratio, error);
        if (r < 0)
                return r;
        if (measured)
                save_tuning(loader, index);
        ms = ratio * cost_table_ms(&costs, 1, 1);
        *ret_pays = cost_table_pays(&costs, batch, ms);
        log_event(context->log, LOG_LEVEL_INFO, "batch measured",
                  LOG_TEXT("model", model_name(backend_model(backend))), LOG_COUNT("batch", batch),
                  LOG_NUMBER("ms", ms), LOG_TEXT("kept", *ret_pays ? "yes" : "no"));
        if (!*ret_pays) {
                backend_discard(backend);
                return 0;
        }
        r = backend_keep(backend, error);
        if (r < 0)
                return r;
        batcher_set_ratio(context->batcher, index, batch, 1, ratio);
        return 0;
}

/* Two in a row that do not pay: the next will not either, and each costs twice as much to find out. */
static void try_batches(struct loader *loader, size_t index) {
        struct context *context = loader->context;
        const struct model *model = backend_model(context->backends[index]);
        unsigned n_failures = 0;

        if (model_input(model).batch > 0) {
                log_event(context->log, LOG_LEVEL_INFO, "batches not possible",
                          LOG_TEXT("model", model_name(model)),
                          LOG_TEXT("reason", "the file fixes its batch axis: images run one by one"));
                return;
        }
        for (size_t batch = 2; batch <= context->options.max_batch && n_failures < 2; batch *= 2) {
                struct error error = ERROR_NONE;
                bool pays = false;

                if (atomic_load(&loader->stopping))
                        return;
                if (try_batch(loader, index, batch, &pays, &error) < 0) {
                        backend_discard(context->backends[index]);
                        if (atomic_load(&loader->stopping))
                                return;
                        log_event(context->log, LOG_LEVEL_WARN, "batch not available",
                                  LOG_COUNT("batch", batch), LOG_TEXT("error", error.text));
                        return;
                }
                n_failures = pays ? 0 : n_failures + 1;
        }
}

static void notify(struct loader *loader) {
        uint64_t one = 1;

        (void)!write(loader->wake_fd, &one, sizeof(one));
}

static void *run(void *argument) {
        struct loader *loader = argument;
        struct context *context = loader->context;

        for (size_t i = 0; i < context->options.n_models; i++) {
                if (atomic_load(&loader->stopping))
                        return NULL;
                if (load_model(loader, i, &loader->error) < 0 && !atomic_load(&loader->stopping)) {
                        atomic_store(&loader->failed, true);
                        notify(loader);
                        return NULL;
                }
        }
        if (atomic_load(&loader->stopping))
                return NULL;
        ceiling_log(context);
        atomic_store_explicit(&context->ready, true, memory_order_release);
        notify(loader);
        for (size_t i = 0; i < context->options.n_models; i++)
                look_again(loader, i);
        for (size_t i = 0; i < context->options.n_models; i++) {
                tune(loader, i);
                try_batches(loader, i);
        }
        ceiling_log(context);
        log_event(context->log, LOG_LEVEL_INFO, "measured",
                  LOG_TEXT("outcome", atomic_load(&loader->stopping) ? "stopped" : "complete"));
        return NULL;
}

int loader_new(struct loader **ret_loader, struct context *context, int wake_fd, struct error *error) {
        _cleanup_(loader_freep) struct loader *loader = NULL;
        int r;

        loader = calloc(1, sizeof(*loader));
        if (!loader)
                return error_no_memory(error);
        loader->context = context;
        loader->tunings = calloc(MAX(context->options.n_models, 1u), sizeof(*loader->tunings));
        if (!loader->tunings)
                return error_no_memory(error);
        loader->wake_fd = wake_fd;
        r = pthread_create(&loader->thread, NULL, run, loader);
        if (r != 0)
                return error_set(error, ERROR_IO, "loader thread: %s", strerror(r));
        loader->started = true;
        pthread_setname_np(loader->thread, "loader");
        *ret_loader = steal_ptr(&loader);
        return 0;
}

void loader_stop(struct loader *loader) {
        atomic_store(&loader->stopping, true);
}

void loader_free(struct loader *loader) {
        if (loader->started) {
                loader_stop(loader);
                pthread_join(loader->thread, NULL);
        }
        for (size_t i = 0; loader->tunings && i < loader->context->options.n_models; i++)
                if (loader->tunings[i])
                        tuning_free(loader->tunings[i]);
        free(loader->tunings);
        free(loader);
}

bool loader_failed(struct loader *loader, struct error *error) {
        if (!atomic_load(&loader->failed))
                return false;
        *error = loader->error;
        return true;
}
