#pragma once
/*
 * classify: the request parameters and the answer of POST /v1/classify.
 *
 * The structs borrow all strings and arrays; text that comes out is the caller's to free(). Thread safe.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "proto/problem.h"
#include "proto/query.h"

#define CLASSIFY_TOP_K_DEFAULT  5u
#define CLASSIFY_TOP_K_MAX      1000u
#define CLASSIFY_TIMEOUT_MS_MAX 600000u /* longer than anybody waits for one picture */
#define CLASSIFY_MODEL_NAME_MAX 128u    /* bytes */

struct classify_params {
        size_t top_k;
        unsigned timeout_ms;                     /* 0: the server's default */
        char model[CLASSIFY_MODEL_NAME_MAX + 1]; /* "" : the default model */
};

/* Every key must be known and given once: a misspelt option is an error that lists the known ones, not a
 * silent default. Fails with ERROR_INVALID; the text says what to change. */
int classify_params_parse(struct classify_params *ret_params, const struct query *query,
                          struct error *error);

struct classify_prediction {
        size_t class_id;
        const char *label;  /* NULL: no "label" in the JSON */
        double probability; /* written with the fewest digits that read back as the same float */
};

struct classify_result {
        const char *id;       /* "0", "1", ... in the order of the parts */
        const char *filename; /* NULL: none; bytes that are not UTF-8 become U+FFFD */
        size_t width, height; /* pixels as shown; 0 where unknown: not in the JSON then */
        const struct classify_prediction *predictions;
        size_t n_predictions;
        const struct problem *problem; /* not NULL: this image failed, "error" instead of "predictions" */
};

/* Milliseconds. One vocabulary everywhere: receive, decode, queue, infer, encode, total. */
struct classify_latency {
        double receive_ms, decode_ms, queue_ms, infer_ms, total_ms;
};

struct classify_answer {
        const char *id; /* request id */
        const char *model_name, *model_version, *model_precision;
        const struct classify_result *results;
        size_t n_results;
        struct classify_latency latency;
        size_t batch_size; /* images that ran together with this one, itself included */
};

/* The JSON of ARCHITECTURE.md. Fails with ERROR_NO_MEMORY, or ERROR_INTERNAL where a probability is not
 * finite (JSON cannot say it). */
int classify_answer_to_json(char **ret_text, size_t *ret_size, const struct classify_answer *answer,
                            struct error *error);

/* Only {"results": [...]}, for `saccade classify --json`. Fails as classify_answer_to_json(). */
int classify_results_to_json(char **ret_text, size_t *ret_size, const struct classify_result *results,
                             size_t n_results, struct error *error);
