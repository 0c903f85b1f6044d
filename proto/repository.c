#include "proto/repository.h"

#include <string.h>

#include "base/macros.h"
#include "proto/json.h"

static const char *const state_names[] = {[REPOSITORY_UNAVAILABLE] = "UNAVAILABLE",
                                          [REPOSITORY_LOADING] = "LOADING",
                                          [REPOSITORY_READY] = "READY"};

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* *ret_body: the object, or NULL for an empty body. */
static int body_parse(cJSON **ret_body, const char *text, size_t size, struct error *error) {
        _cleanup_(json_deletep) cJSON *body = NULL;
        const char *end = NULL;

        if (size > REPOSITORY_MAX_BODY_BYTES)
                return error_set(error, ERROR_LIMIT, "the body has %zu bytes, the limit is %zu", size,
                                 REPOSITORY_MAX_BODY_BYTES);
        if (size == 0) {
                *ret_body = NULL;
                return 0;
        }
        body = cJSON_ParseWithLengthOpts(text, size, &end, false);
        while (body && end < text + size && is_blank(*end))
                end++;
        if (!cJSON_IsObject(body) || end < text + size)
                return error_set(error, ERROR_INVALID,
                                 "the body must be empty or a JSON object, such as {}");
        *ret_body = steal_ptr(&body);
        return 0;
}

int repository_index_parse(bool *ret_ready_only, const void *body, size_t size, struct error *error) {
        _cleanup_(json_deletep) cJSON *object = NULL;
        const cJSON *ready;
        int r;

        r = body_parse(&object, body, size, error);
        if (r < 0)
                return r;
        ready = object ? cJSON_GetObjectItemCaseSensitive(object, "ready") : NULL;
        if (ready && !cJSON_IsBool(ready))
                return error_set(error, ERROR_INVALID, "\"ready\" must be true or false");
        *ret_ready_only = ready && cJSON_IsTrue(ready);
        return 0;
}

/* known: the one parameter that is taken, a boolean, or NULL. */
static int parameters_parse(const void *body, size_t size, const char *known, struct error *error) {
        _cleanup_(json_deletep) cJSON *object = NULL;
        const cJSON *parameters, *parameter;
        int r;

        r = body_parse(&object, body, size, error);
        if (r < 0)
                return r;
        parameters = object ? cJSON_GetObjectItemCaseSensitive(object, "parameters") : NULL;
        if (parameters && !cJSON_IsObject(parameters))
                return error_set(error, ERROR_INVALID, "\"parameters\" must be an object");
        cJSON_ArrayForEach(parameter, parameters) {
                if (!known || strcmp(parameter->string, known) != 0)
                        return error_set(error, ERROR_UNSUPPORTED,
                                         "the parameter \"%.64s\" is not supported: what is loaded is what "
                                         "lies at the model's path; leave it out",
                                         parameter->string);
                if (!cJSON_IsBool(parameter))
                        return error_set(error, ERROR_INVALID, "\"%s\" must be true or false", known);
        }
        return 0;
}

int repository_load_parse(const void *body, size_t size, struct error *error) {
        return parameters_parse(body, size, NULL, error);
}

int repository_unload_parse(const void *body, size_t size, struct error *error) {
        return parameters_parse(body, size, "unload_dependents", error); /* no model depends on another */
}

static cJSON *entry_json(const struct repository_entry *entry) {
        _cleanup_(json_deletep) cJSON *object = cJSON_CreateObject();

        if (!object || !json_add_text(object, "name", entry->name) ||
            (entry->version && !json_add_text(object, "version", entry->version)) ||
            !json_add_text(object, "state", state_names[entry->state]) ||
            !json_add_text(object, "reason", entry->reason))
                return NULL;
        return steal_ptr(&object);
}

int repository_entry_to_json(char **ret_text, size_t *ret_size, const struct repository_entry *entry,
                             struct error *error) {
        _cleanup_(json_deletep) cJSON *object = entry_json(entry);

        if (!object)
                return error_no_memory(error);
        return json_print(ret_text, ret_size, object, error);
}

int repository_index_to_json(char **ret_text, size_t *ret_size, const struct repository_entry *entries,
                             size_t n_entries, struct error *error) {
        _cleanup_(json_deletep) cJSON *array = cJSON_CreateArray();

        if (!array)
                return error_no_memory(error);
        for (size_t i = 0; i < n_entries; i++)
                if (!json_append(array, entry_json(&entries[i])))
                        return error_no_memory(error);
        return json_print(ret_text, ret_size, array, error);
}

bool repository_path_parse(const char *rest, size_t *ret_name_bytes, enum repository_verb *ret_verb) {
        const char *slash = strrchr(rest, '/');

        if (!slash || slash == rest)
                return false;
        if (strcmp(slash, "/load") == 0)
                *ret_verb = REPOSITORY_LOAD;
        else if (strcmp(slash, "/unload") == 0)
                *ret_verb = REPOSITORY_UNLOAD;
        else
                return false;
        *ret_name_bytes = (size_t)(slash - rest);
        return true;
}
