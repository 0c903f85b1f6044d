#include "server/measurement.h"

#include "base/clock.h"
#include "base/macros.h"
#include "server/backend.h"
#include "server/batcher.h"
#include "server/context.h"
#include "server/log.h"
#include "server/metrics.h"

/* The least of a few runs: what disturbs a run only ever makes it longer. Readiness waits for one that is
 * warm. */
#define REPEAT_AT_START 1u
#define REPEAT_LATER    5u
/* What one image takes on all CPUs beside one, before that was measured. */
#define EXPECTED_RATIO 0.9
#define HARMFUL_RATIO  1.5

static bool is_stopped(const struct measurement *measurement) {
        return atomic_load(measurement->stop);
}

static const char *name_of(const struct measurement *measurement) {
        return model_name(backend_model(measurement->backend));
}

/* ---- one image ---- */

/* Arguments of a comparison on worker 0. */
struct comparison {
        struct backend *backend;
        unsigned threads, n_pairs;
        const atomic_bool *stop;
        double ratio;
        int r;
        struct error error;
};

static void compare(void *argument) {
        struct comparison *c = argument;

        c->r = backend_compare(c->backend, 1, c->threads, c->n_pairs, c->stop, &c->ratio, &c->error);
}

/* Runs one image on all CPUs and on one by turns. */
static int compare_all_threads(struct measurement *measurement, unsigned n_pairs, double *ret_ratio,
                               struct error *error) {
        struct context *context = measurement->context;
        struct comparison c = {.backend = measurement->backend,
                               .threads = context->n_cpus,
                               .n_pairs = n_pairs,
                               .stop = measurement->stop};

        if (!batcher_call(context->batcher, compare, &c))
                return error_set(error, ERROR_INTERNAL, "the server was stopped");
        if (c.r < 0) {
                *error = c.error;
                return c.r;
        }
        *ret_ratio = c.ratio;
        return 0;
}

/* One image on all CPUs, where there are several. The plan is kept even where it looks useless: memory for
 * one run is all that it costs, and a neighbour who makes it look so while the model loads may be gone at
 * the next look. */
static int add_all_threads(struct measurement *measurement, bool beside_serving, struct cost_table *costs,
                           struct error *error) {
        struct context *context = measurement->context;
        double ratio;
        int r;

        if (context->n_cpus == 1 || !context->options.elastic)
                return 0;
        r = backend_plan(measurement->backend, 1, context->n_cpus, measurement->tuning, error);
        if (r >= 0)
                r = backend_keep(measurement->backend, error);
        /* To have run it; how long it takes is told by a longer look. */
        if (r >= 0 && beside_serving)
                r = compare_all_threads(measurement, REPEAT_AT_START, &ratio, error);
        if (r < 0)
                return r;
        cost_table_set_ratio(costs, 1, context->n_cpus, EXPECTED_RATIO);
        return 0;
}

int measurement_basics(struct measurement *measurement, bool beside_serving, struct cost_table *ret_costs,
                       struct error *error) {
        struct cost_table costs = {0};
        double ms;
        int r;

        r = backend_plan(measurement->backend, 1, 1, measurement->tuning, error);
        if (r >= 0)
                r = backend_measure(measurement->backend, 1, 1,
                                    beside_serving ? REPEAT_LATER : REPEAT_AT_START, &ms, error);
        if (r >= 0)
                r = backend_keep(measurement->backend, error);
        if (r < 0)
                return r;
        cost_table_set(&costs, 1, 1, ms);
        r = add_all_threads(measurement, beside_serving, &costs, error);
        if (r < 0)
                return r;
        *ret_costs = costs;
        return 0;
}

void measurement_begin(struct measurement *measurement) {
        measurement->to_look = true;
        measurement->to_tune = measurement->context->options.tune != TUNE_OFF;
        measurement->next_batch = 2;
        measurement->n_failures = 0;
}

bool measurement_is_pending(const struct measurement *measurement) {
        return measurement->to_look || measurement->to_tune || measurement->next_batch > 0;
}

void measurement_look(struct measurement *measurement) {
        struct context *context = measurement->context;
        struct cost_table costs = batcher_costs(context->batcher, measurement->slot);
        struct error error = ERROR_NONE;
        double ratio;

        if (cost_table_ms(&costs, 1, context->n_cpus) > 0 && context->n_cpus > 1 &&
            compare_all_threads(measurement, REPEAT_LATER, &ratio, &error) == 0) {
                /* Whoever computes beside us now, as another server that starts, may be gone in a second,
                 * while this decides for as long as we run: only a team that does real harm is ruled out. */
                if (ratio < HARMFUL_RATIO)
                        ratio = MIN(ratio, EXPECTED_RATIO);
                cost_table_set_ratio(&costs, 1, context->n_cpus, ratio);
                batcher_set_ratio(context->batcher, measurement->slot, 1, context->n_cpus, ratio);
                log_event(context->log, LOG_LEVEL_INFO, "measured again",
                          LOG_TEXT("model", name_of(measurement)),
                          LOG_NUMBER("one_thread_ms", cost_table_ms(&costs, 1, 1)),
                          LOG_NUMBER("all_threads_ms", cost_table_ms(&costs, 1, context->n_cpus)));
        }
        measurement->to_look = is_stopped(measurement);
}

/* ---- tuning ---- */

static void save_tuning(struct measurement *measurement) {
        struct context *context = measurement->context;
        char identity[TUNING_MAX_TEXT];
        struct error error = ERROR_NONE;

        if (!context->options.tune_cache)
                return;
        tuner_identity(identity);
        if (tuning_save(measurement->tuning, context->options.tune_cache,
                        model_version(backend_model(measurement->backend)), identity, &error) < 0)
                log_event(context->log, LOG_LEVEL_INFO, "tuning results not kept",
                          LOG_TEXT("model", name_of(measurement)), LOG_TEXT("error", error.text));
}

/* Measures what a plan for a batch on one thread needs to know. The team of all threads belongs to worker 0,
 * which must not be kept from its work for so long: it takes the usual ways, or what `saccade bench` found.
 */
static int tune_batch(struct measurement *measurement, size_t batch, bool *ret_measured,
                      struct error *error) {
        const struct server_options *server = &measurement->context->options;
        const struct plan_options options = {.batch = batch,
                                             .threads = 1,
                                             .tuning = measurement->tuning,
                                             .no_winograd = server->no_winograd};
        const struct tuner_options tuner = {.effort = server->tune, .stop = measurement->stop};

        return tuner_run(backend_model_to_tune(measurement->backend), &options, &tuner, ret_measured, error);
}

/* The plan for one image, made again with what was measured. */
static int tune_first(struct measurement *measurement, struct error *error) {
        struct context *context = measurement->context;
        struct backend *backend = measurement->backend;
        const struct model *model = backend_model(backend);
        struct cost_table costs = batcher_costs(context->batcher, measurement->slot);
        double before = cost_table_ms(&costs, 1, 1), ms;
        bool measured = false;
        int r;

        r = tune_batch(measurement, 1, &measured, error);
        if (r < 0 || !measured)
                return r;
        r = backend_plan(backend, 1, 1, measurement->tuning, error);
        if (r >= 0)
                r = backend_keep(backend, error);
        if (r >= 0)
                r = backend_measure(backend, 1, 1, REPEAT_LATER, &ms, error);
        if (r < 0)
                return r;
        /* The other row is what that plan was beside this one; this one has become faster. */
        cost_table_set(&costs, 1, 1, MIN(ms, before));
        batcher_set_costs(context->batcher, measurement->slot, &costs);
        /* The precision is among what may have been measured. */
        metrics_set_model(context->metrics, measurement->slot, model_name(model), model_version(model),
                          model_precision(model));
        save_tuning(measurement);
        log_event(context->log, LOG_LEVEL_INFO, "tuned", LOG_TEXT("model", model_name(model)),
                  LOG_COUNT("batch", 1), LOG_TEXT("precision", model_precision(model)),
                  LOG_NUMBER("one_thread_ms", ms), LOG_NUMBER("before_ms", before));
        return 0;
}

static void tune(struct measurement *measurement) {
        struct error error = ERROR_NONE;

        if (tune_first(measurement, &error) < 0) {
                backend_discard(measurement->backend);
                if (is_stopped(measurement))
                        return;
                log_event(measurement->context->log, LOG_LEVEL_WARN, "not tuned",
                          LOG_TEXT("model", name_of(measurement)), LOG_TEXT("error", error.text));
        }
        measurement->to_tune = false;
}

/* ---- batches ---- */

/* Keeps the plan of a batch where that is worth it. */
static int try_batch(struct measurement *measurement, size_t batch, bool *ret_pays, struct error *error) {
        struct context *context = measurement->context;
        struct backend *backend = measurement->backend;
        struct cost_table costs = batcher_costs(context->batcher, measurement->slot);
        bool measured = false;
        double ratio, ms;
        int r;

        r = tune_batch(measurement, batch, &measured, error);
        if (r >= 0)
                r = backend_plan(backend, batch, 1, measurement->tuning, error);
        if (r >= 0)
                r = backend_compare(backend, batch, 1, REPEAT_LATER, measurement->stop, &ratio, error);
        if (r < 0)
                return r;
        if (measured)
                save_tuning(measurement);
        ms = ratio * cost_table_ms(&costs, 1, 1);
        *ret_pays = cost_table_pays(&costs, batch, ms);
        log_event(context->log, LOG_LEVEL_INFO, "batch measured", LOG_TEXT("model", name_of(measurement)),
                  LOG_COUNT("batch", batch), LOG_NUMBER("ms", ms),
                  LOG_TEXT("kept", *ret_pays ? "yes" : "no"));
        if (!*ret_pays) {
                backend_discard(backend);
                return 0;
        }
        r = backend_keep(backend, error);
        if (r < 0)
                return r;
        batcher_set_ratio(context->batcher, measurement->slot, batch, 1, ratio);
        return 0;
}

/* Two in a row that do not pay: the next will not either, and each costs twice as much to find out. */
static void try_next_batch(struct measurement *measurement) {
        struct context *context = measurement->context;
        size_t batch = measurement->next_batch;
        struct error error = ERROR_NONE;
        bool pays = false;

        if (model_input(backend_model(measurement->backend)).batch > 0) {
                log_event(context->log, LOG_LEVEL_INFO, "batches not possible",
                          LOG_TEXT("model", name_of(measurement)),
                          LOG_TEXT("reason", "the file fixes its batch axis: images run one by one"));
                measurement->next_batch = 0;
                return;
        }
        if (batch > context->options.max_batch || measurement->n_failures >= 2) {
                measurement->next_batch = 0;
                return;
        }
        if (try_batch(measurement, batch, &pays, &error) < 0) {
                backend_discard(measurement->backend);
                if (is_stopped(measurement))
                        return;
                log_event(context->log, LOG_LEVEL_WARN, "batch not available", LOG_COUNT("batch", batch),
                          LOG_TEXT("error", error.text));
                measurement->next_batch = 0;
                return;
        }
        measurement->next_batch = 2 * batch;
        measurement->n_failures = pays ? 0 : measurement->n_failures + 1;
}

void measurement_step(struct measurement *measurement) {
        if (measurement->to_tune)
                tune(measurement);
        else if (measurement->next_batch > 0)
                try_next_batch(measurement);
}
