#pragma once
/* models: the answers of GET /v1/models and /v1/models/{name}. Borrowed strings; text out is the caller's to
 * free(). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Measured time of one run. */
struct models_cost {
        size_t batch;     /* images */
        unsigned threads; /* CPUs used */
        double ms;
};

/* How the last load ended. */
struct models_load {
        const char *outcome; /* "ok", "failed", "rejected"; NULL: there was none */
        int64_t at;          /* seconds since the epoch */
        const char *error;   /* "" or what was wrong */
};

/* Of a model that is not loaded: name, is_loading, generation and last_load. */
struct models_entry {
        const char *name;
        bool is_loaded, is_loading;
        size_t generation; /* 1 for the first model of this name, 2 for the one that replaced it, ... */
        int64_t loaded_at; /* seconds since the epoch */
        struct models_load last_load;
        const char *version, *precision, *precision_why;
        size_t channels, height, width;
        const char *const *labels; /* n_classes strings, single ones may be NULL; or NULL */
        size_t n_classes;
        const struct models_cost *costs;
        size_t n_costs;
};

/* One model, labels included: {"name", "state": "ready", "generation", "loaded_at", "last_load": {"outcome",
 * "at", "error"}, "version", "precision", "precision_why", "input": {"channels", "height", "width"},
 * "n_classes", "labels": ["tench", null, ...], "cost_table": [{"batch", "threads", "ms"}]}; no "labels"
 * where there are none. Without a model only what is known then, and "state" is "unloaded" or "loading".
 * Times are RFC 3339 in UTC. Fails with ERROR_NO_MEMORY. */
int models_entry_to_json(char **ret_text, size_t *ret_size, const struct models_entry *entry,
                         struct error *error);

/* {"models": [...]}, without labels (each entry gives "n_classes"). */
int models_list_to_json(char **ret_text, size_t *ret_size, const struct models_entry *entries,
                        size_t n_entries, struct error *error);
