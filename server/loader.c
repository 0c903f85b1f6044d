#include "server/loader.h"

#include <malloc.h>
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
#include "server/draft.h"
#include "server/log.h"
#include "server/measurement.h"
#include "server/metrics.h"
#include "server/registry.h"

/* What the loader keeps for a slot. */
struct seat {
        struct tuning *tuning; /* for the version that is served; NULL: none yet */
        char version[16];
        struct generation *generation; /* being measured, a reference; NULL: nothing is */
        struct measurement measurement;
        bool to_reload; /* under the lock */
};

struct loader {
        struct context *context;
        struct seat *seats; /* [n_slots] */
        size_t n_slots;
        int wake_fd;
        pthread_t thread;
        bool started;
        atomic_bool stopping, failed;
        atomic_bool interrupted; /* a measurement gives way: there is something to do, or to stop */
        struct error error;      /* once failed */

        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct loader_command *commands;
        size_t n_commands;
        bool awake;     /* somebody called loader_wake() */
        bool reloading; /* a seat's to_reload was taken and is being worked on */
};

/* ---- replacing what is served ---- */

/* Nothing of the generation that is served is measured any more. */
static void abandon_measurement(struct loader *loader, size_t slot) {
        struct seat *seat = &loader->seats[slot];

        if (!seat->generation)
                return;
        backend_discard(generation_backend(seat->generation));
        registry_release(loader->context->registry, steal_ptr(&seat->generation));
}

static void begin_measurement(struct loader *loader, size_t slot) {
        struct seat *seat = &loader->seats[slot];

        seat->generation = registry_acquire(loader->context->registry, slot);
        seat->measurement = (struct measurement){.context = loader->context,
                                                 .slot = slot,
                                                 .backend = generation_backend(seat->generation),
                                                 .tuning = seat->tuning,
                                                 .stop = &loader->interrupted};
        measurement_begin(&seat->measurement);
}

/* Serves the draft from here on. */
static int publish(struct loader *loader, size_t slot, struct draft *draft, struct error *error) {
        struct context *context = loader->context;
        struct seat *seat = &loader->seats[slot];
        const struct model *model = backend_model(draft->backend);
        int r;

        abandon_measurement(loader, slot);
        r = registry_publish(context->registry, slot, steal_ptr(&draft->backend), error);
        if (r < 0)
                return r;
        metrics_set_model(context->metrics, slot, model_name(model), model_version(model),
                          model_precision(model));
        /* A batch that is made by the old costs meanwhile runs in parts where the model has no such plan. */
        batcher_set_costs(context->batcher, slot, &draft->costs);
        admission_set_infer(context->admission, slot, (uint64_t)(cost_table_ms(&draft->costs, 1, 1) * 1e6));
        if (draft->tuning) {
                if (seat->tuning)
                        tuning_free(seat->tuning);
                seat->tuning = steal_ptr(&draft->tuning);
                snprintf(seat->version, sizeof(seat->version), "%s", model_version(model));
        }
        begin_measurement(loader, slot);
        return 0;
}

static int make_draft(struct loader *loader, size_t slot, bool beside_serving, struct draft *draft,
                      enum metrics_load *ret_load, struct error *error) {
        const struct seat *seat = &loader->seats[slot];

        return draft_make(draft,
                          &(struct draft_options){.context = loader->context,
                                                  .slot = slot,
                                                  .beside_serving = beside_serving,
                                                  .tuning = seat->tuning,
                                                  .tuning_version = seat->version,
                                                  .stop = &loader->stopping},
                          ret_load, error);
}

static void log_loaded(struct loader *loader, const char *event, const struct model *model,
                       const struct draft *draft, uint64_t start_ns) {
        log_event(loader->context->log, LOG_LEVEL_INFO, event, LOG_TEXT("model", model_name(model)),
                  LOG_TEXT("version", model_version(model)), LOG_TEXT("precision", model_precision(model)),
                  LOG_TEXT("precision_why", model_precision_why(model)), LOG_TEXT("isa", cpu_isa()),
                  LOG_COUNT("weight_bytes", model_weight_bytes(model)),
                  LOG_NUMBER("one_thread_ms", cost_table_ms(&draft->costs, 1, 1)),
                  LOG_COUNT("golden_images", draft->n_golden_images),
                  LOG_NUMBER("duration_ms", clock_ms_between(start_ns, clock_ns())));
}

/* At the start. */
static int load_first(struct loader *loader, size_t slot, struct error *error) {
        struct registry *registry = loader->context->registry;
        _cleanup_(draft_release) struct draft draft = {0};
        uint64_t start_ns = clock_ns();
        enum metrics_load load;
        const struct model *model;
        int r;

        registry_loading(registry, slot);
        r = make_draft(loader, slot, false, &draft, &load, error);
        if (r < 0)
                return r;
        model = backend_model(draft.backend);
        r = registry_set_name(registry, slot, model_name(model), error);
        if (r >= 0)
                r = publish(loader, slot, &draft, error);
        if (r < 0)
                return r;
        registry_loaded(registry, slot, METRICS_LOAD_OK, NULL);
        log_loaded(loader, "model loaded", model, &draft, start_ns);
        return 0;
}

/* Beside serving. */
static int load_again(struct loader *loader, size_t slot, struct error *error) {
        struct context *context = loader->context;
        const char *name = registry_name(context->registry, slot);
        _cleanup_(draft_release) struct draft draft = {0};
        uint64_t start_ns = clock_ns();
        const struct model *model;
        enum metrics_load load;
        int r;

        registry_loading(context->registry, slot);
        log_event(context->log, LOG_LEVEL_INFO, "loading model", LOG_TEXT("model", name),
                  LOG_TEXT("path", context->options.models[slot].path));
        r = make_draft(loader, slot, true, &draft, &load, error);
        if (r >= 0) {
                model = backend_model(draft.backend);
                r = publish(loader, slot, &draft, error);
                if (r < 0)
                        load = METRICS_LOAD_FAILED;
        }
        metrics_model_load(context->metrics, slot, load);
        registry_loaded(context->registry, slot, load, error);
        if (r < 0)
                log_event(context->log, LOG_LEVEL_ERROR, "model not loaded", LOG_TEXT("model", name),
                          LOG_TEXT("outcome", metrics_load_name(load)), LOG_TEXT("error", error->text),
                          LOG_NUMBER("duration_ms", clock_ms_between(start_ns, clock_ns())));
        else
                log_loaded(loader, "model reloaded", model, &draft, start_ns);
        return r;
}

static void unload(struct loader *loader, size_t slot) {
        struct context *context = loader->context;

        abandon_measurement(loader, slot);
        if (!registry_withdraw(context->registry, slot))
                return;
        metrics_unset_model(context->metrics, slot);
        log_event(context->log, LOG_LEVEL_INFO, "model unloaded",
                  LOG_TEXT("model", registry_name(context->registry, slot)));
}

/* ---- what it is asked to do ---- */

static void wake_locked(struct loader *loader) {
        atomic_store(&loader->interrupted, true);
        pthread_cond_signal(&loader->wake);
}

bool loader_submit(struct loader *loader, struct loader_command *command) {
        struct loader_command **end = &loader->commands;
        bool taken;

        command->next = NULL;
        pthread_mutex_lock(&loader->lock);
        taken = !atomic_load(&loader->stopping) && loader->n_commands < LOADER_MAX_COMMANDS;
        if (taken) {
                while (*end)
                        end = &(*end)->next;
                *end = command;
                loader->n_commands++;
                wake_locked(loader);
        }
        pthread_mutex_unlock(&loader->lock);
        return taken;
}

void loader_reload_all(struct loader *loader) {
        pthread_mutex_lock(&loader->lock);
        for (size_t i = 0; i < loader->n_slots; i++)
                loader->seats[i].to_reload = true;
        wake_locked(loader);
        pthread_mutex_unlock(&loader->lock);
}

bool loader_is_reloading(struct loader *loader) {
        bool reloading;

        pthread_mutex_lock(&loader->lock);
        reloading = loader->reloading;
        for (size_t i = 0; i < loader->n_slots; i++)
                reloading |= loader->seats[i].to_reload;
        pthread_mutex_unlock(&loader->lock);
        return reloading;
}

void loader_wake(struct loader *loader) {
        pthread_mutex_lock(&loader->lock);
        loader->awake = true;
        pthread_cond_signal(&loader->wake);
        pthread_mutex_unlock(&loader->lock);
}

static void notify(struct loader *loader) {
        uint64_t one = 1;

        (void)!write(loader->wake_fd, &one, sizeof(one));
}

/* Also at the end, when all that is left fails. */
static struct loader_command *take_command(struct loader *loader) {
        struct loader_command *command;

        pthread_mutex_lock(&loader->lock);
        command = loader->commands;
        if (command) {
                loader->commands = command->next;
                loader->n_commands--;
        }
        pthread_mutex_unlock(&loader->lock);
        return command;
}

static bool run_command(struct loader *loader) {
        struct loader_command *command = take_command(loader);
        struct error error = ERROR_NONE;
        int r = 0;

        if (!command)
                return false;
        if (command->action == LOADER_LOAD)
                r = load_again(loader, command->slot, &error);
        else
                unload(loader, command->slot);
        command->done(command, r, &error);
        return true;
}

/* What was unloaded stays so: somebody wanted that. */
static bool run_reload(struct loader *loader) {
        struct registry *registry = loader->context->registry;
        struct error error = ERROR_NONE;
        struct generation *generation;
        size_t slot = 0;

        pthread_mutex_lock(&loader->lock);
        while (slot < loader->n_slots && !loader->seats[slot].to_reload)
                slot++;
        if (slot < loader->n_slots) {
                loader->seats[slot].to_reload = false;
                loader->reloading = true;
        }
        pthread_mutex_unlock(&loader->lock);
        if (slot == loader->n_slots)
                return false;

        generation = registry_acquire(registry, slot);
        if (generation) {
                registry_release(registry, generation);
                (void)load_again(loader, slot, &error); /* it has told everybody */
        }
        pthread_mutex_lock(&loader->lock);
        loader->reloading = false;
        pthread_mutex_unlock(&loader->lock);
        notify(loader);
        return true;
}

/* ---- the thread ---- */

/* Memory goes back to the system: the rest of a model lies in many small pieces. */
static void reap(struct loader *loader) {
        size_t n = registry_reap(loader->context->registry);

        if (n == 0)
                return;
#ifdef __GLIBC__
        malloc_trim(0);
#endif
        log_event(loader->context->log, LOG_LEVEL_DEBUG, "old models freed", LOG_COUNT("models", n));
}

static bool is_measuring(const struct loader *loader) {
        for (size_t i = 0; i < loader->n_slots; i++)
                if (loader->seats[i].generation)
                        return true;
        return false;
}

/* First the basics of all models, then what takes long. False where nothing is left to do. */
static bool measure(struct loader *loader) {
        struct seat *next = NULL;

        for (size_t i = 0; i < loader->n_slots; i++) {
                struct seat *seat = &loader->seats[i];

                if (!seat->generation)
                        continue;
                if (seat->measurement.to_look) {
                        measurement_look(&seat->measurement);
                        return true;
                }
                if (!next)
                        next = seat;
        }
        if (!next)
                return false;
        measurement_step(&next->measurement);
        if (!measurement_is_pending(&next->measurement)) {
                abandon_measurement(loader, (size_t)(next - loader->seats));
                if (!is_measuring(loader)) {
                        ceiling_log(loader->context);
                        log_event(loader->context->log, LOG_LEVEL_INFO, "measured",
                                  LOG_TEXT("outcome", "complete"));
                }
        }
        return true;
}

/* Until there is something to do. */
static void wait_for_work(struct loader *loader) {
        pthread_mutex_lock(&loader->lock);
        while (!atomic_load(&loader->interrupted) && !loader->awake)
                pthread_cond_wait(&loader->wake, &loader->lock);
        loader->awake = false;
        pthread_mutex_unlock(&loader->lock);
}

static bool load_all(struct loader *loader) {
        struct context *context = loader->context;

        for (size_t i = 0; i < loader->n_slots; i++) {
                if (atomic_load(&loader->stopping))
                        return false;
                if (load_first(loader, i, &loader->error) < 0 && !atomic_load(&loader->stopping)) {
                        atomic_store(&loader->failed, true);
                        notify(loader);
                        return false;
                }
        }
        if (atomic_load(&loader->stopping))
                return false;
        ceiling_log(context);
        atomic_store_explicit(&context->ready, true, memory_order_release);
        notify(loader);
        return true;
}

/* Whether there is more urgent work than measuring. */
static bool is_wanted_locked(const struct loader *loader) {
        for (size_t i = 0; i < loader->n_slots; i++)
                if (loader->seats[i].to_reload)
                        return true;
        return loader->commands || atomic_load(&loader->stopping);
}

static void serve(struct loader *loader) {
        while (!atomic_load(&loader->stopping)) {
                reap(loader);
                if (run_command(loader) || run_reload(loader))
                        continue;
                pthread_mutex_lock(&loader->lock);
                atomic_store(&loader->interrupted, is_wanted_locked(loader));
                pthread_mutex_unlock(&loader->lock);
                if (!measure(loader))
                        wait_for_work(loader);
        }
        if (is_measuring(loader))
                log_event(loader->context->log, LOG_LEVEL_INFO, "measured", LOG_TEXT("outcome", "stopped"));
}

static void *run(void *argument) {
        struct loader *loader = argument;
        struct loader_command *command;
        struct error error = ERROR_NONE;

        if (load_all(loader))
                serve(loader);
        error_set(&error, ERROR_LIMIT, "the server is stopping");
        while ((command = take_command(loader)))
                command->done(command, error.code, &error);
        return NULL;
}

int loader_new(struct context *context, int wake_fd, struct error *error) {
        struct loader *loader;
        int r;

        loader = calloc(1, sizeof(*loader));
        if (!loader)
                return error_no_memory(error);
        loader->context = context;
        loader->wake_fd = wake_fd;
        pthread_mutex_init(&loader->lock, NULL);
        pthread_cond_init(&loader->wake, NULL);
        loader->n_slots = registry_n_slots(context->registry);
        loader->seats = calloc(loader->n_slots, sizeof(*loader->seats));
        context->loader = loader; /* before its thread makes the server ready */
        if (!loader->seats)
                return error_no_memory(error);
        r = pthread_create(&loader->thread, NULL, run, loader);
        if (r != 0)
                return error_set(error, ERROR_IO, "loader thread: %s", strerror(r));
        loader->started = true;
        pthread_setname_np(loader->thread, "loader");
        return 0;
}

void loader_stop(struct loader *loader) {
        pthread_mutex_lock(&loader->lock);
        atomic_store(&loader->stopping, true);
        wake_locked(loader);
        pthread_mutex_unlock(&loader->lock);
}

void loader_free(struct loader *loader) {
        if (loader->started) {
                loader_stop(loader);
                pthread_join(loader->thread, NULL);
        }
        for (size_t i = 0; loader->seats && i < loader->n_slots; i++) {
                abandon_measurement(loader, i);
                if (loader->seats[i].tuning)
                        tuning_free(loader->seats[i].tuning);
        }
        free(loader->seats);
        pthread_cond_destroy(&loader->wake);
        pthread_mutex_destroy(&loader->lock);
        free(loader);
}

bool loader_failed(struct loader *loader, struct error *error) {
        if (!atomic_load(&loader->failed))
                return false;
        *error = loader->error;
        return true;
}
