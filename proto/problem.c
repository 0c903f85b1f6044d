#include "proto/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "proto/json.h"
#include "proto/problem_json.h"
#include "proto/utf8.h"

struct problem_kind {
        int status;
        const char *slug, *title;
};

static const struct problem_kind kinds[PROBLEM_TYPE_MAX] = {
        [PROBLEM_MALFORMED] = {400, "malformed-request", "Malformed request"},
        [PROBLEM_MODEL_NOT_LOADED] = {400, "model-not-loaded", "Model not loaded"},
        [PROBLEM_UNAUTHORIZED] = {401, "unauthorized", "Unauthorized"},
        [PROBLEM_NOT_FOUND] = {404, "not-found", "Not found"},
        [PROBLEM_METHOD] = {405, "method-not-allowed", "Method not allowed"},
        [PROBLEM_REQUEST_TIMEOUT] = {408, "request-timeout", "Request timeout"},
        [PROBLEM_TOO_LARGE] = {413, "too-large", "Content too large"},
        [PROBLEM_UNSUPPORTED_IMAGE] = {415, "unsupported-media-type", "Unsupported media type"},
        [PROBLEM_BROKEN_IMAGE] = {422, "broken-image", "Broken image"},
        [PROBLEM_IMAGE_LIMIT] = {422, "image-limit", "Image beyond the limit"},
        [PROBLEM_QUEUE_FULL] = {429, "queue-full", "Queue full"},
        [PROBLEM_HEADERS_TOO_LARGE] = {431, "headers-too-large", "Request headers too large"},
        [PROBLEM_INTERNAL] = {500, "internal", "Internal error"},
        [PROBLEM_NOT_READY] = {503, "not-ready", "Not ready"},
        [PROBLEM_DEADLINE] = {504, "deadline-passed", "Deadline passed"},
};

static const struct problem_kind *kind_of(enum problem_type type) {
        return (unsigned)type < PROBLEM_TYPE_MAX ? &kinds[type] : &kinds[PROBLEM_INTERNAL];
}

int problem_status(enum problem_type type) {
        return kind_of(type)->status;
}

const char *problem_title(enum problem_type type) {
        return kind_of(type)->title;
}

const char *problem_slug(enum problem_type type) {
        return kind_of(type)->slug;
}

void problem_set(struct problem *problem, enum problem_type type, const char *format, ...) {
        static const char ellipsis[] = "...";
        va_list args;
        int n;

        problem->type = type;
        problem->instance = NULL;
        problem->has_protocol_error = false;
        va_start(args, format);
        n = vsnprintf(problem->detail, sizeof(problem->detail), format, args);
        va_end(args);
        if (n < 0)
                problem->detail[0] = 0;
        else if ((size_t)n >= sizeof(problem->detail)) {
                size_t end = utf8_prefix(problem->detail, sizeof(problem->detail) - 1,
                                         sizeof(problem->detail) - sizeof(ellipsis));

                memcpy(problem->detail + end, ellipsis, sizeof(ellipsis));
        }
}

cJSON *problem_json_new(const struct problem *problem) {
        _cleanup_(json_deletep) cJSON *object = cJSON_CreateObject();
        const struct problem_kind *kind = kind_of(problem->type);
        char type[64];

        snprintf(type, sizeof(type), PROBLEM_TYPE_PREFIX "%s", kind->slug);
        if (!object || !json_add_text(object, "type", type) ||
            !json_add_text(object, "title", kind->title) ||
            !json_add_size(object, "status", (size_t)kind->status) ||
            !json_add_text(object, "detail", problem->detail))
                return NULL;
        if (problem->instance && !json_add_text(object, "instance", problem->instance))
                return NULL;
        if (problem->has_protocol_error && !json_add_text(object, "error", problem->detail))
                return NULL;
        return steal_ptr(&object);
}

int problem_to_json(char **ret_text, size_t *ret_size, const struct problem *problem, struct error *error) {
        _cleanup_(json_deletep) cJSON *object = problem_json_new(problem);

        if (!object)
                return error_no_memory(error);
        return json_print(ret_text, ret_size, object, error);
}
