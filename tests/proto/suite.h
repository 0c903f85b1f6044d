#pragma once
/* suite: what every suite of tests/proto/ needs. */
#include <check.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "base/error.h"
#include "base/macros.h"
#include "proto/utf8.h"
#include "tests/suite.h"

/* Runs the tests of one case; the exit status of the program. */
static inline int suite_run(TCase *tests) {
        return suite_run_as("proto", tests);
}

/* The error has this code, and its text has this in it. */
#define ck_assert_error(r, wanted_code, error, wanted_text)                                                 \
        do {                                                                                                \
                ck_assert_int_eq(r, wanted_code);                                                           \
                ck_assert_int_eq((error).code, wanted_code);                                                \
                ck_assert_msg(strstr((error).text, wanted_text), "'%s' lacks '%s'", (error).text,           \
                              (const char *)(wanted_text));                                                 \
        } while (0)

static inline void json_treep(cJSON **tree) {
        cJSON_Delete(*tree);
}

/* JSON of a vector file beside the suites. */
static inline cJSON *vectors_read(const char *name) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        struct error error;
        char path[4096];
        cJSON *tree;

        snprintf(path, sizeof(path), "%s/%s", VECTORS, name);
        ck_assert_msg(blob_read(&blob, path, (size_t)16 << 20, &error) == 0, "%s", error.text);
        tree = cJSON_ParseWithLength((const char *)blob.bytes, blob.size);
        ck_assert_msg(tree != NULL, "%s is not JSON", path);
        return tree;
}

static inline const char *vectors_text(const cJSON *vector, const char *key) {
        const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(vector, key));

        ck_assert_msg(text != NULL, "a vector lacks '%s'", key);
        return text;
}

/* Hexadecimal text -> bytes and a zero, to be freed. */
static inline char *vectors_bytes(const char *hex, size_t *ret_size) {
        size_t size = strlen(hex) / 2;
        char *bytes = malloc(size + 1);

        ck_assert_ptr_nonnull(bytes);
        for (size_t i = 0; i < size; i++) {
                char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};

                bytes[i] = (char)strtoul(digits, NULL, 16);
        }
        bytes[size] = 0;
        *ret_size = size;
        return bytes;
}

/* Text that must be JSON in UTF-8, as long as it says. */
static inline cJSON *json_check(const char *text, size_t size) {
        cJSON *tree;

        ck_assert_uint_eq(strlen(text), size);
        ck_assert(utf8_is_valid(text, size));
        tree = cJSON_ParseWithOpts(text, NULL, true);
        ck_assert_msg(tree != NULL, "no JSON: %s", text);
        return tree;
}
