#pragma once
/*
 * problem: an error as a client sees it, RFC 9457 (application/problem+json).
 *
 * The "type" is PROBLEM_TYPE_PREFIX and the slug: a name to compare with, stable between versions. It is a
 * URN and no URL, so that it never pretends to be a page that somebody keeps alive; what to do is in
 * "detail".
 *
 * Plain values without ownership: the strings are borrowed, detail is inside. Thread safe.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum problem_type {
        PROBLEM_MALFORMED,         /* 400 */
        PROBLEM_MODEL_NOT_LOADED,  /* 400, as the model repository protocol wants it */
        PROBLEM_UNAUTHORIZED,      /* 401 */
        PROBLEM_NOT_FOUND,         /* 404 */
        PROBLEM_METHOD,            /* 405 */
        PROBLEM_REQUEST_TIMEOUT,   /* 408 */
        PROBLEM_TOO_LARGE,         /* 413 */
        PROBLEM_UNSUPPORTED_IMAGE, /* 415 */
        PROBLEM_BROKEN_IMAGE,      /* 422 */
        PROBLEM_IMAGE_LIMIT,       /* 422 */
        PROBLEM_QUEUE_FULL,        /* 429 */
        PROBLEM_HEADERS_TOO_LARGE, /* 431 */
        PROBLEM_INTERNAL,          /* 500 */
        PROBLEM_NOT_READY,         /* 503 */
        PROBLEM_DEADLINE,          /* 504 */
        PROBLEM_TYPE_MAX,
};

#define PROBLEM_CONTENT_TYPE "application/problem+json"
#define PROBLEM_TYPE_PREFIX  "urn:saccade:problem:"

struct problem {
        enum problem_type type;
        char detail[512];     /* what is wrong and what to change; UTF-8 */
        const char *instance; /* the request id, or NULL */
        /* Gives the detail as "error" too, where clients of the Open Inference Protocol look for it. */
        bool has_protocol_error;
};

/* What is no type at all is told as PROBLEM_INTERNAL. */
int problem_status(enum problem_type type);        /* 404 */
const char *problem_title(enum problem_type type); /* "Not found" */
const char *problem_slug(enum problem_type type);  /* "not-found"; a metric label too */

/* Sets type and detail, and the rest to nothing. A longer text is cut between characters, and ends in "...".
 */
void problem_set(struct problem *problem, enum problem_type type, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* JSON text, *ret_text to be freed with free(). Bytes that are not UTF-8 are replaced. Fails with
 * ERROR_NO_MEMORY. */
int problem_to_json(char **ret_text, size_t *ret_size, const struct problem *problem, struct error *error);
