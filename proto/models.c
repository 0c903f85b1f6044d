#include "proto/models.h"

#include <time.h>

#include "base/macros.h"
#include "proto/json.h"

static bool add_input(cJSON *object, const struct models_entry *entry) {
        cJSON *input = json_add_object(object, "input");

        return input && json_add_size(input, "channels", entry->channels) &&
               json_add_size(input, "height", entry->height) && json_add_size(input, "width", entry->width);
}

static bool add_labels(cJSON *object, const struct models_entry *entry) {
        cJSON *labels = json_add_array(object, "labels");

        if (!labels)
                return false;
        for (size_t i = 0; i < entry->n_classes; i++)
                if (!json_append(labels, json_text(entry->labels[i])))
                        return false;
        return true;
}

static bool add_cost_table(cJSON *object, const struct models_entry *entry) {
        cJSON *table = json_add_array(object, "cost_table");

        if (!table)
                return false;
        for (size_t i = 0; i < entry->n_costs; i++) {
                cJSON *row = cJSON_CreateObject();

                if (!json_append(table, row) || !json_add_size(row, "batch", entry->costs[i].batch) ||
                    !json_add_size(row, "threads", entry->costs[i].threads) ||
                    !json_add_ms(row, "ms", entry->costs[i].ms))
                        return false;
        }
        return true;
}

static bool add_time(cJSON *object, const char *key, int64_t seconds) {
        time_t t = (time_t)seconds;
        struct tm tm;
        char text[32];

        if (!gmtime_r(&t, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return false;
        return json_add_text(object, key, text);
}

static bool add_state(cJSON *object, const struct models_entry *entry) {
        const struct models_load *load = &entry->last_load;
        cJSON *last;

        if (!json_add_text(object, "state",
                           entry->is_loaded    ? "ready"
                           : entry->is_loading ? "loading"
                                               : "unloaded") ||
            !json_add_size(object, "generation", entry->generation) ||
            (entry->is_loaded && !add_time(object, "loaded_at", entry->loaded_at)))
                return false;
        if (!load->outcome)
                return true;
        last = json_add_object(object, "last_load");
        return last && json_add_text(last, "outcome", load->outcome) && add_time(last, "at", load->at) &&
               (!*load->error || json_add_text(last, "error", load->error));
}

static cJSON *entry_json(const struct models_entry *entry, bool with_labels) {
        _cleanup_(json_deletep) cJSON *object = cJSON_CreateObject();

        if (!object || !json_add_text(object, "name", entry->name) || !add_state(object, entry))
                return NULL;
        if (!entry->is_loaded)
                return steal_ptr(&object);
        if (!json_add_text(object, "version", entry->version) ||
            !json_add_text(object, "precision", entry->precision) ||
            !json_add_text(object, "precision_why", entry->precision_why) || !add_input(object, entry) ||
            !json_add_size(object, "n_classes", entry->n_classes))
                return NULL;
        if (with_labels && entry->labels && !add_labels(object, entry))
                return NULL;
        if (!add_cost_table(object, entry))
                return NULL;
        return steal_ptr(&object);
}

int models_entry_to_json(char **ret_text, size_t *ret_size, const struct models_entry *entry,
                         struct error *error) {
        _cleanup_(json_deletep) cJSON *object = entry_json(entry, true);

        if (!object)
                return error_no_memory(error);
        return json_print(ret_text, ret_size, object, error);
}

int models_list_to_json(char **ret_text, size_t *ret_size, const struct models_entry *entries,
                        size_t n_entries, struct error *error) {
        _cleanup_(json_deletep) cJSON *object = cJSON_CreateObject();
        cJSON *models;

        models = object ? json_add_array(object, "models") : NULL;
        if (!models)
                return error_no_memory(error);
        for (size_t i = 0; i < n_entries; i++)
                if (!json_append(models, entry_json(&entries[i], false)))
                        return error_no_memory(error);
        return json_print(ret_text, ret_size, object, error);
}
