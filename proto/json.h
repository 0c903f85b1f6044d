#pragma once
/*
 * json: what cJSON lacks for writing answers: text that may not be UTF-8, numbers without noise, and adding
 * to objects without leaking. Inside of proto/ only.
 *
 * Keys are string constants. The json_add functions return false or NULL where memory ran out; the tree
 * stays sound, and whoever owns its root deletes it.
 */
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

static inline void json_deletep(cJSON **item) {
        cJSON_Delete(*item);
}

/* A string; bytes that are not UTF-8 become U+FFFD. NULL: JSON's null. */
cJSON *json_text(const char *text);

/* Adds item, which may be NULL: false then. Consumes item in any case. */
bool json_add(cJSON *object, const char *key, cJSON *item);
bool json_append(cJSON *array, cJSON *item);

bool json_add_text(cJSON *object, const char *key, const char *text);
bool json_add_size(cJSON *object, const char *key, size_t value);

/* The fewest digits that read back as the same float. value must be finite, and the process in the C locale,
 * where every program starts that does not call setlocale(). */
bool json_add_float(cJSON *object, const char *key, float value);

/* At most three decimals. What is no duration (negative, not finite) becomes 0. */
bool json_add_ms(cJSON *object, const char *key, double value_ms);

/* New and empty, owned by object; or NULL. */
cJSON *json_add_object(cJSON *object, const char *key);
cJSON *json_add_array(cJSON *object, const char *key);

/* Text without blanks, to be freed with free(). Fails with ERROR_NO_MEMORY. */
int json_print(char **ret_text, size_t *ret_size, const cJSON *root, struct error *error);
