/* A query string -> parameters, and every error it causes -> a problem. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proto/classify.h"
#include "proto/problem.h"
#include "proto/query.h"
#include "proto/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool condition) {
        if (!condition)
                abort();
}

static void check_problem(const struct error *error) {
        _cleanup_(freep) char *text = NULL;
        struct problem problem;
        size_t size;

        require(error->code < 0 && error->text[0]);
        problem_set(&problem, PROBLEM_MALFORMED, "%s", error->text);
        problem.instance = error->text;
        require(problem_to_json(&text, &size, &problem, NULL) == 0);
        require(strlen(text) == size && utf8_is_valid(text, size));
}

static void check_pairs(const struct query *query) {
        require(query_n_pairs(query) <= QUERY_MAX_PAIRS);
        for (size_t i = 0; i < query_n_pairs(query); i++) {
                const char *key = query_key(query, i), *value = query_value(query, i);

                require(utf8_is_valid(key, strlen(key)));
                require(utf8_is_valid(value, strlen(value)));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(query_freep) struct query *query = NULL;
        struct classify_params params;
        struct error error = ERROR_NONE;

        if (query_parse(&query, (const char *)bytes, size, &error) < 0) {
                require(!query);
                check_problem(&error);
                return 0;
        }
        check_pairs(query);
        if (classify_params_parse(&params, query, &error) < 0) {
                check_problem(&error);
                return 0;
        }
        require(params.top_k >= 1 && params.top_k <= CLASSIFY_TOP_K_MAX);
        require(params.timeout_ms <= CLASSIFY_TIMEOUT_MS_MAX);
        require(strlen(params.model) <= CLASSIFY_MODEL_NAME_MAX);
        return 0;
}
