#include "server/draft.h"

#include <string.h>

#include "server/backend.h"
#include "server/context.h"
#include "server/log.h"
#include "server/measurement.h"
#include "server/model_check.h"
#include "server/registry.h"

void draft_release(struct draft *draft) {
        if (draft->backend)
                backend_free(draft->backend);
        if (draft->tuning)
                tuning_free(draft->tuning);
}

static int open_model(struct draft *draft, const struct draft_options *options, struct error *error) {
        const struct context *context = options->context;
        struct server_model source = context->options.models[options->slot];
        const char *name = registry_name(context->registry, options->slot);
        int r;

        if (*name)
                source.name = name;
        r = backend_open(&draft->backend, &source,
                         &(struct backend_options){.n_workers = context->n_cpus,
                                                   .no_winograd = context->options.no_winograd,
                                                   .precision = context->options.precision},
                         error);
        if (r >= 0)
                r = model_identify(backend_model(draft->backend), error);
        return r;
}

/* What was measured before; without it, as without a directory for it, measuring begins once the model is
 * served. */
static void load_tuning(struct context *context, struct tuning *tuning, const struct model *model) {
        char identity[TUNING_MAX_TEXT];
        struct error error = ERROR_NONE;

        if (!context->options.tune_cache)
                return;
        tuner_identity(identity);
        if (tuning_load(tuning, context->options.tune_cache, model_version(model), identity, &error) < 0 &&
            error.code != ERROR_NOT_FOUND)
                log_event(context->log, LOG_LEVEL_WARN, "tuning results not used",
                          LOG_TEXT("model", model_name(model)), LOG_TEXT("error", error.text));
}

/* The same file again need not be tuned again. */
static int find_tuning(struct draft *draft, const struct draft_options *options, struct error *error) {
        const struct model *model = backend_model(draft->backend);
        int r;

        if (options->tuning && strcmp(options->tuning_version, model_version(model)) == 0)
                return 0;
        r = tuning_new(&draft->tuning, error);
        if (r >= 0)
                load_tuning(options->context, draft->tuning, model);
        return r;
}

static int warm_up(struct draft *draft, const struct draft_options *options, struct error *error) {
        struct measurement measurement = {.context = options->context,
                                          .slot = options->slot,
                                          .backend = draft->backend,
                                          .tuning = draft->tuning ? draft->tuning : options->tuning,
                                          .stop = options->stop};

        return measurement_basics(&measurement, options->beside_serving, &draft->costs, error);
}

int draft_make(struct draft *draft, const struct draft_options *options, enum metrics_load *ret_load,
               struct error *error) {
        const struct server_options *server = &options->context->options;
        const struct image_options image_options = {.max_pixels = server->max_pixels,
                                                    .exact = server->exact_decode};
        int r;

        *ret_load = METRICS_LOAD_FAILED;
        r = open_model(draft, options, error);
        if (r >= 0)
                r = find_tuning(draft, options, error);
        if (r >= 0)
                r = warm_up(draft, options, error);
        if (r < 0)
                return r;
        r = model_check(draft->backend, &image_options, &draft->n_golden_images, error);
        if (r < 0) {
                *ret_load = METRICS_LOAD_REJECTED;
                return error_prefix(error, r, "%s", model_name(backend_model(draft->backend)));
        }
        *ret_load = METRICS_LOAD_OK;
        return 0;
}
