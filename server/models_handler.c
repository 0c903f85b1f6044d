#include "server/models_handler.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proto/models.h"
#include "server/backend.h"
#include "server/batcher.h"
#include "server/context.h"
#include "server/metrics.h"
#include "server/request.h"

/* costs: room for COST_TABLE_MAX_ROWS, must live as long as the entry. */
static struct models_entry describe(const struct context *context, size_t index, struct models_cost *costs) {
        const struct backend *backend = context->backends[index];
        const struct model *model = backend_model(backend);
        struct cost_table table = batcher_costs(context->batcher, index);
        struct model_input input = model_input(model);

        for (size_t i = 0; i < table.n_rows; i++)
                costs[i] =
                        (struct models_cost){table.rows[i].batch, table.rows[i].threads, table.rows[i].ms};
        return (struct models_entry){
                .name = model_name(model),
                .version = model_version(model),
                .precision = model_precision(model),
                .precision_why = model_precision_why(model),
                .channels = input.channels,
                .height = input.height,
                .width = input.width,
                .labels = backend_labels(backend),
                .n_classes = model_n_classes(model),
                .costs = costs,
                .n_costs = table.n_rows,
        };
}

static bool is_ready(struct request *request) {
        if (atomic_load_explicit(&request->context->ready, memory_order_acquire))
                return true;
        request_shed(request, METRICS_SHED_LOADING);
        return false;
}

static void reply_json(struct request *request, int r, char *text, size_t size) {
        if (r < 0)
                request_refuse(request, PROBLEM_INTERNAL, "the server is out of memory");
        else
                reply_own(&request->reply, 200, "application/json", text, size);
}

void models_list(struct request *request) {
        const struct context *context = request->context;
        size_t n = context->options.n_models;
        _cleanup_(freep) struct models_entry *entries = calloc(n, sizeof(*entries));
        _cleanup_(freep) struct models_cost *costs = calloc(n * COST_TABLE_MAX_ROWS, sizeof(*costs));
        char *text = NULL;
        size_t size = 0;
        int r;

        if (!is_ready(request))
                return;
        if (!entries || !costs) {
                reply_json(request, ERROR_NO_MEMORY, NULL, 0);
                return;
        }
        for (size_t i = 0; i < n; i++)
                entries[i] = describe(context, i, costs + i * COST_TABLE_MAX_ROWS);
        r = models_list_to_json(&text, &size, entries, n, NULL);
        reply_json(request, r, text, size);
}

void models_one(struct request *request) {
        const struct context *context = request->context;
        const char *name = request->path + strlen("/v1/models/");
        struct models_cost costs[COST_TABLE_MAX_ROWS];
        struct models_entry entry;
        char *text = NULL;
        size_t size = 0;
        int r;

        if (!is_ready(request))
                return;
        for (size_t i = 0; i < context->options.n_models; i++) {
                entry = describe(context, i, costs);
                if (strcmp(entry.name, name) != 0)
                        continue;
                r = models_entry_to_json(&text, &size, &entry, NULL);
                reply_json(request, r, text, size);
                return;
        }
        request_refuse(request, PROBLEM_NOT_FOUND,
                       "there is no model \"%s\" here; GET /v1/models lists those "
                       "there are",
                       name);
}
