#include "server/repository_handler.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proto/repository.h"
#include "server/backend.h"
#include "server/context.h"
#include "server/loader.h"
#include "server/metrics.h"
#include "server/registry.h"
#include "server/request.h"
#include "server/route.h"

/* What is said of a slot; holds the strings of its entry. */
struct slot_report {
        char version[16], reason[ERROR_TEXT_MAX + 64];
        struct repository_entry entry;
};

static void report(struct slot_report *report, struct context *context, size_t slot) {
        struct generation *generation = registry_acquire(context->registry, slot);
        struct registry_status status;

        registry_status(context->registry, slot, &status);
        *report = (struct slot_report){.entry = {.name = registry_name(context->registry, slot),
                                                 .reason = report->reason,
                                                 .state = generation       ? REPOSITORY_READY
                                                          : status.loading ? REPOSITORY_LOADING
                                                                           : REPOSITORY_UNAVAILABLE}};
        if (generation) {
                snprintf(report->version, sizeof(report->version), "%s",
                         model_version(backend_model(generation_backend(generation))));
                report->entry.version = report->version;
                registry_release(context->registry, generation);
        }
        if (status.attempted && status.outcome != METRICS_LOAD_OK)
                snprintf(report->reason, sizeof(report->reason), "%s%s",
                         generation ? "served on, for the last load failed: " : "", status.error);
        else if (!generation && !status.loading)
                snprintf(report->reason, sizeof(report->reason), "unloaded");
}

static bool is_open(struct request *request) {
        struct context *context = request->context;

        if (!context->options.model_control) {
                request_refuse(request, PROBLEM_NOT_FOUND,
                               "models are not loaded and unloaded over HTTP here; start the server with "
                               "--model-control for that");
                return false;
        }
        if (!request_check_ready(request))
                return false;
        request->body_limit = MIN(request->body_limit, REPOSITORY_MAX_BODY_BYTES);
        return true;
}

/* Refuses a body that was not understood. */
static void refuse_body(struct request *request, int r, const struct error *error) {
        request_refuse(request, r == ERROR_LIMIT ? PROBLEM_TOO_LARGE : PROBLEM_MALFORMED, "%s", error->text);
}

/* ---- index ---- */

void repository_index_begin(struct request *request) {
        is_open(request);
}

void repository_index_complete(struct request *request) {
        struct context *context = request->context;
        size_t n_slots = registry_n_slots(context->registry), n = 0;
        _cleanup_(freep) struct slot_report *reports = calloc(n_slots, sizeof(*reports));
        _cleanup_(freep) struct repository_entry *entries = calloc(n_slots, sizeof(*entries));
        struct error error = ERROR_NONE;
        bool ready_only = false;
        char *text = NULL;
        size_t size = 0;
        int r;

        r = repository_index_parse(&ready_only, request->body, request->body_size, &error);
        if (r < 0) {
                refuse_body(request, r, &error);
                return;
        }
        if (!reports || !entries) {
                request_answer_json(request, ERROR_NO_MEMORY, NULL, 0);
                return;
        }
        for (size_t i = 0; i < n_slots; i++) {
                report(&reports[i], context, i);
                if (!ready_only || reports[i].entry.state == REPOSITORY_READY)
                        entries[n++] = reports[i].entry;
        }
        r = repository_index_to_json(&text, &size, entries, n, NULL);
        request_answer_json(request, r, text, size);
}

/* ---- load and unload ---- */

struct control {
        struct request *request;
        struct loader_command command;
        enum repository_verb verb;
};

void repository_model_begin(struct request *request) {
        const char *rest = request->path + strlen(request->route->path);
        enum repository_verb verb;
        struct control *control;
        char name[256];
        size_t n, slot;

        if (!is_open(request))
                return;
        if (!repository_path_parse(rest, &n, &verb) || n >= sizeof(name)) {
                request_refuse(request, PROBLEM_NOT_FOUND,
                               "there is nothing at this path; a model is loaded by POST "
                               "/v2/repository/models/NAME/load, and unloaded by .../unload");
                return;
        }
        memcpy(name, rest, n);
        name[n] = 0;
        if (!registry_find(request->context->registry, name, &slot)) {
                request_refuse(request, PROBLEM_NOT_FOUND,
                               "there is no model \"%s\" here; POST /v2/repository/index lists those there "
                               "are, and --model adds one at the start",
                               name);
                return;
        }
        control = calloc(1, sizeof(*control));
        if (!control) {
                request_refuse(request, PROBLEM_INTERNAL, "the server is out of memory");
                return;
        }
        control->request = request;
        control->verb = verb;
        control->command.action = verb == REPOSITORY_LOAD ? LOADER_LOAD : LOADER_UNLOAD;
        control->command.slot = slot;
        request->state = control;
        request->state_free = free;
}

/* On the loader's thread. */
static void control_done(struct loader_command *command, int r, const struct error *error) {
        struct control *control = command->argument;
        struct request *request = control->request;
        struct slot_report slot;
        char *text = NULL;
        size_t size = 0;

        if (r >= 0) {
                report(&slot, request->context, command->slot);
                r = repository_entry_to_json(&text, &size, &slot.entry, NULL);
                request_answer_json(request, r, text, size);
        } else if (atomic_load(&request->context->draining))
                request_refuse(request, PROBLEM_NOT_READY, "%s", error->text);
        else
                request_refuse(request, PROBLEM_MODEL_NOT_LOADED, "%s", error->text);
        request_resume(request);
}

void repository_model_complete(struct request *request) {
        struct control *control = request->state;
        struct error error = ERROR_NONE;
        int r;

        r = control->verb == REPOSITORY_LOAD
                    ? repository_load_parse(request->body, request->body_size, &error)
                    : repository_unload_parse(request->body, request->body_size, &error);
        if (r < 0) {
                refuse_body(request, r, &error);
                return;
        }
        control->command.done = control_done;
        control->command.argument = control;
        if (!request_suspend(request))
                return;
        /* The request may be answered and gone once this is submitted. */
        if (!loader_submit(request->context->loader, &control->command)) {
                request_refuse(request, PROBLEM_QUEUE_FULL,
                               "%u loads are waiting, or the server is stopping; send this again later",
                               LOADER_MAX_COMMANDS);
                reply_header(&request->reply, "Retry-After", "1");
                request_resume(request);
        }
}
