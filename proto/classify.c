#include "proto/classify.h"

#include <math.h>
#include <string.h>

#include "base/macros.h"
#include "proto/json.h"
#include "proto/problem_json.h"
#include "proto/utf8.h"

#define SHOWN_BYTES 64u /* of what a client sent, in an error text */

/* How much of text to show, as the precision of %.*s. */
static int shown(const char *text) {
        return (int)utf8_prefix(text, strlen(text), SHOWN_BYTES);
}

/* Digits only: strtoul() would take blanks, signs and what follows the number. */
static bool parse_whole(size_t *ret_value, const char *text, size_t min, size_t max) {
        size_t value = 0;

        if (!*text)
                return false;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return false;
                value = value * 10 + (size_t)(*text - '0');
                if (value > max)
                        return false;
        }
        if (value < min)
                return false;
        *ret_value = value;
        return true;
}

static int parse_top_k(struct classify_params *params, const char *value, struct error *error) {
        if (!parse_whole(&params->top_k, value, 1, CLASSIFY_TOP_K_MAX))
                return error_set(error, ERROR_INVALID, "top_k is '%.*s'; give a whole number from 1 to %u",
                                 shown(value), value, CLASSIFY_TOP_K_MAX);
        return 0;
}

static int parse_timeout_ms(struct classify_params *params, const char *value, struct error *error) {
        size_t timeout_ms;

        if (!parse_whole(&timeout_ms, value, 1, CLASSIFY_TIMEOUT_MS_MAX))
                return error_set(
                        error, ERROR_INVALID,
                        "timeout_ms is '%.*s'; give a whole number of milliseconds from 1 to %u, or "
                        "leave it out for the server's default",
                        shown(value), value, CLASSIFY_TIMEOUT_MS_MAX);
        params->timeout_ms = (unsigned)timeout_ms;
        return 0;
}

static int parse_model(struct classify_params *params, const char *value, struct error *error) {
        size_t size = strlen(value);

        if (size == 0)
                return error_set(
                        error, ERROR_INVALID,
                        "model is empty; give a name that GET /v1/models lists, or leave it out for "
                        "the default model");
        if (size > CLASSIFY_MODEL_NAME_MAX)
                return error_set(error, ERROR_INVALID,
                                 "model is a name of %zu bytes, the limit is %u; give a name that GET "
                                 "/v1/models lists",
                                 size, CLASSIFY_MODEL_NAME_MAX);
        memcpy(params->model, value, size + 1);
        return 0;
}

static const struct option {
        const char *key;
        int (*parse)(struct classify_params *params, const char *value, struct error *error);
} options[] = {
        {"top_k", parse_top_k},
        {"model", parse_model},
        {"timeout_ms", parse_timeout_ms},
};

int classify_params_parse(struct classify_params *ret_params, const struct query *query,
                          struct error *error) {
        struct classify_params params = {.top_k = CLASSIFY_TOP_K_DEFAULT};
        bool seen[ARRAY_SIZE(options)] = {0};
        int r;

        for (size_t i = 0; i < query_n_pairs(query); i++) {
                const char *key = query_key(query, i);
                size_t o = 0;

                while (o < ARRAY_SIZE(options) && strcmp(key, options[o].key) != 0)
                        o++;
                if (o == ARRAY_SIZE(options))
                        return error_set(error, ERROR_INVALID,
                                         "unknown parameter '%.*s'; the known ones are top_k, model and "
                                         "timeout_ms",
                                         shown(key), key);
                if (seen[o])
                        return error_set(error, ERROR_INVALID, "%s is given more than once; give it once",
                                         options[o].key);
                seen[o] = true;
                r = options[o].parse(&params, query_value(query, i), error);
                if (r < 0)
                        return r;
        }

        *ret_params = params;
        return 0;
}

static cJSON *prediction_json(const struct classify_prediction *prediction) {
        _cleanup_(json_deletep) cJSON *object = cJSON_CreateObject();

        if (!object || !json_add_size(object, "class_id", prediction->class_id))
                return NULL;
        if (prediction->label && !json_add_text(object, "label", prediction->label))
                return NULL;
        if (!json_add_float(object, "probability", (float)prediction->probability))
                return NULL;
        return steal_ptr(&object);
}

static cJSON *result_json(const struct classify_result *result) {
        _cleanup_(json_deletep) cJSON *object = cJSON_CreateObject();
        cJSON *predictions;

        if (!object || !json_add_text(object, "id", result->id))
                return NULL;
        if (result->filename && !json_add_text(object, "filename", result->filename))
                return NULL;
        if (result->width > 0 && result->height > 0 &&
            (!json_add_size(object, "width", result->width) ||
             !json_add_size(object, "height", result->height)))
                return NULL;
        if (result->problem) {
                if (!json_add(object, "error", problem_json_new(result->problem)))
                        return NULL;
                return steal_ptr(&object);
        }
        predictions = json_add_array(object, "predictions");
        if (!predictions)
                return NULL;
        for (size_t i = 0; i < result->n_predictions; i++)
                if (!json_append(predictions, prediction_json(&result->predictions[i])))
                        return NULL;
        return steal_ptr(&object);
}

static bool add_results(cJSON *object, const struct classify_result *results, size_t n_results) {
        cJSON *array = json_add_array(object, "results");

        if (!array)
                return false;
        for (size_t i = 0; i < n_results; i++)
                if (!json_append(array, result_json(&results[i])))
                        return false;
        return true;
}

/* JSON has no NaN and no infinity, and 0 in their place would be an invented answer. */
static int check_finite(const struct classify_result *results, size_t n_results, struct error *error) {
        for (size_t i = 0; i < n_results; i++) {
                if (results[i].problem)
                        continue;
                for (size_t p = 0; p < results[i].n_predictions; p++) {
                        const struct classify_prediction *prediction = &results[i].predictions[p];

                        if (!isfinite((float)prediction->probability))
                                return error_set(error, ERROR_INTERNAL,
                                                 "image '%s': the model gives class %zu the probability %g, "
                                                 "which is no number; check its weights",
                                                 results[i].id, prediction->class_id,
                                                 prediction->probability);
                }
        }
        return 0;
}

static bool add_model(cJSON *object, const struct classify_answer *answer) {
        cJSON *model = json_add_object(object, "model");

        return model && json_add_text(model, "name", answer->model_name) &&
               json_add_text(model, "version", answer->model_version) &&
               json_add_text(model, "precision", answer->model_precision);
}

static bool add_latency(cJSON *object, const struct classify_latency *latency) {
        cJSON *stages = json_add_object(object, "latency_ms");

        return stages && json_add_ms(stages, "receive", latency->receive_ms) &&
               json_add_ms(stages, "decode", latency->decode_ms) &&
               json_add_ms(stages, "queue", latency->queue_ms) &&
               json_add_ms(stages, "infer", latency->infer_ms) &&
               json_add_ms(stages, "total", latency->total_ms);
}

int classify_answer_to_json(char **ret_text, size_t *ret_size, const struct classify_answer *answer,
                            struct error *error) {
        _cleanup_(json_deletep) cJSON *object = NULL;
        int r;

        r = check_finite(answer->results, answer->n_results, error);
        if (r < 0)
                return r;
        object = cJSON_CreateObject();
        if (!object || !json_add_text(object, "id", answer->id) || !add_model(object, answer) ||
            !add_results(object, answer->results, answer->n_results) ||
            !add_latency(object, &answer->latency) ||
            !json_add_size(object, "batch_size", answer->batch_size))
                return error_no_memory(error);
        return json_print(ret_text, ret_size, object, error);
}

int classify_results_to_json(char **ret_text, size_t *ret_size, const struct classify_result *results,
                             size_t n_results, struct error *error) {
        _cleanup_(json_deletep) cJSON *object = NULL;
        int r;

        r = check_finite(results, n_results, error);
        if (r < 0)
                return r;
        object = cJSON_CreateObject();
        if (!object || !add_results(object, results, n_results))
                return error_no_memory(error);
        return json_print(ret_text, ret_size, object, error);
}
