#pragma once
/*
 * repository: what clients say to load and unload models, and what they are told: the model repository
 * extension of the Open Inference Protocol, over HTTP.
 *
 *     POST /v2/repository/index                   {"ready": false} -> [{"name", "version", "state",
 * "reason"}] POST /v2/repository/models/{name}/load      {"parameters": {}} -> the model's entry in the
 * index POST /v2/repository/models/{name}/unload    {"parameters": {"unload_dependents": false}} -> the same
 *
 * Bodies may be empty. Thread safe; text out is the caller's to free().
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define REPOSITORY_MAX_BODY_BYTES ((size_t)64 << 10)

/* What a body may ask for is: nothing else. Fails with ERROR_INVALID (no JSON, a wrong type), ERROR_LIMIT
 * (REPOSITORY_MAX_BODY_BYTES), or ERROR_UNSUPPORTED: a parameter that would change what is loaded, as
 * "config" and "file:..." do, must not be ignored. */
int repository_index_parse(bool *ret_ready_only, const void *body, size_t size, struct error *error);
int repository_load_parse(const void *body, size_t size, struct error *error);
int repository_unload_parse(const void *body, size_t size, struct error *error);

enum repository_state { REPOSITORY_UNAVAILABLE, REPOSITORY_LOADING, REPOSITORY_READY };

/* Borrowed strings. */
struct repository_entry {
        const char *name;
        const char *version; /* NULL: nothing is loaded */
        enum repository_state state;
        const char *reason; /* "" or why it is in this state */
};

/* Fail with ERROR_NO_MEMORY. */
int repository_entry_to_json(char **ret_text, size_t *ret_size, const struct repository_entry *entry,
                             struct error *error);
int repository_index_to_json(char **ret_text, size_t *ret_size, const struct repository_entry *entries,
                             size_t n_entries, struct error *error);

/* Splits "{name}/load" or "{name}/unload", what follows /v2/repository/models/ in a decoded path: bytes of
 * the name, at least 1. False where it is neither. */
enum repository_verb { REPOSITORY_LOAD, REPOSITORY_UNLOAD };
bool repository_path_parse(const char *rest, size_t *ret_name_bytes, enum repository_verb *ret_verb);
