#pragma once
/* models: the answers of GET /v1/models and /v1/models/{name}. Borrowed strings; text out is the caller's to
 * free(). */
#include <stddef.h>

#include "base/error.h"

/* Measured time of one run. */
struct models_cost {
        size_t batch;     /* images */
        unsigned threads; /* CPUs used */
        double ms;
};

struct models_entry {
        const char *name, *version, *precision, *precision_why;
        size_t channels, height, width;
        const char *const *labels; /* n_classes strings, single ones may be NULL; or NULL */
        size_t n_classes;
        const struct models_cost *costs;
        size_t n_costs;
};

/* One model, labels included: {"name", "version", "precision", "precision_why", "input": {"channels",
 * "height", "width"}, "n_classes", "labels": ["tench", null, ...], "cost_table": [{"batch", "threads",
 * "ms"}]}; no "labels" where there are none. Fails with ERROR_NO_MEMORY. */
int models_entry_to_json(char **ret_text, size_t *ret_size, const struct models_entry *entry,
                         struct error *error);

/* {"models": [...]}, without labels (each entry gives "n_classes"). */
int models_list_to_json(char **ret_text, size_t *ret_size, const struct models_entry *entries,
                        size_t n_entries, struct error *error);
