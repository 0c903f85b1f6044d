#include "server/models_handler.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proto/models.h"
#include "server/backend.h"
#include "server/batcher.h"
#include "server/context.h"
#include "server/metrics.h"
#include "server/registry.h"
#include "server/request.h"

/* What an entry borrows: its generation must live as long. */
struct description {
        struct generation *generation; /* NULL: nothing is loaded */
        struct registry_status status;
        struct models_cost costs[COST_TABLE_MAX_ROWS];
};

static void description_release(struct description *description, struct registry *registry) {
        if (description->generation)
                registry_release(registry, description->generation);
}

static void describe_backend(struct models_entry *entry, const struct backend *backend) {
        const struct model *model = backend_model(backend);
        struct model_input input = model_input(model);

        entry->version = model_version(model);
        entry->precision = model_precision(model);
        entry->precision_why = model_precision_why(model);
        entry->channels = input.channels;
        entry->height = input.height;
        entry->width = input.width;
        entry->labels = backend_labels(backend);
        entry->n_classes = model_n_classes(model);
}

/* The description must be given back, and stay where it is. */
static struct models_entry describe(const struct context *context, size_t slot,
                                    struct description *description) {
        struct registry_status *status = &description->status;
        struct cost_table table = batcher_costs(context->batcher, slot);
        struct models_entry entry;

        description->generation = registry_acquire(context->registry, slot);
        registry_status(context->registry, slot, status);
        entry = (struct models_entry){
                .name = registry_name(context->registry, slot),
                .is_loaded = description->generation != NULL,
                .is_loading = status->loading,
                .generation = (size_t)status->generation,
                .loaded_at = status->loaded_at,
                .last_load = {.outcome = status->attempted ? metrics_load_name(status->outcome) : NULL,
                              .at = status->attempted_at,
                              .error = status->error},
        };
        if (!description->generation)
                return entry;
        describe_backend(&entry, generation_backend(description->generation));
        for (size_t i = 0; i < table.n_rows; i++)
                description->costs[i] =
                        (struct models_cost){table.rows[i].batch, table.rows[i].threads, table.rows[i].ms};
        entry.costs = description->costs;
        entry.n_costs = table.n_rows;
        return entry;
}

void models_list(struct request *request) {
        const struct context *context = request->context;
        size_t n = registry_n_slots(context->registry);
        _cleanup_(freep) struct models_entry *entries = calloc(n, sizeof(*entries));
        _cleanup_(freep) struct description *descriptions = calloc(n, sizeof(*descriptions));
        char *text = NULL;
        size_t size = 0;
        int r;

        if (!request_check_ready(request))
                return;
        if (!entries || !descriptions) {
                request_answer_json(request, ERROR_NO_MEMORY, NULL, 0);
                return;
        }
        for (size_t i = 0; i < n; i++)
                entries[i] = describe(context, i, &descriptions[i]);
        r = models_list_to_json(&text, &size, entries, n, NULL);
        for (size_t i = 0; i < n; i++)
                description_release(&descriptions[i], context->registry);
        request_answer_json(request, r, text, size);
}

void models_one(struct request *request) {
        const struct context *context = request->context;
        const char *name = request->path + strlen("/v1/models/");
        struct description description = {0};
        struct models_entry entry;
        char *text = NULL;
        size_t size = 0, slot;
        int r;

        if (!request_check_ready(request))
                return;
        if (!registry_find(context->registry, name, &slot)) {
                request_refuse(request, PROBLEM_NOT_FOUND,
                               "there is no model \"%s\" here; GET /v1/models lists those "
                               "there are",
                               name);
                return;
        }
        entry = describe(context, slot, &description);
        r = models_entry_to_json(&text, &size, &entry, NULL);
        description_release(&description, context->registry);
        request_answer_json(request, r, text, size);
}
