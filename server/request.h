#pragma once
/*
 * request: one HTTP request from its first line to the end of its answer.
 *
 * Owned by the library's thread of its connection, except between request_suspend() and request_resume(),
 * when it belongs to whoever works on it. The library cannot end a suspended request, so no reference is
 * counted. A handler sees it twice: begin() at the headers, where it may refuse, and complete() when the
 * body is there.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "proto/problem.h"
#include "server/exemplar.h"
#include "server/reply.h"
#include "server/request_id.h"

struct MHD_Connection;
struct connection;
struct context;
struct route;

struct request {
        struct context *context;
        struct MHD_Connection *mhd;
        struct connection *connection;
        const struct route *route; /* NULL until the headers are seen */

        char id[REQUEST_ID_MAX + 1];
        char traceparent[TRACEPARENT_SIZE + 1]; /* "": none */
        char trace_id[TRACE_ID_SIZE + 1];       /* of it; "": none */
        char method[16];
        char *target;      /* path and query as sent */
        const char *query; /* within target, or "" */
        char *path;        /* without query, percent-decoded; "" where the target is no path */
        const char *content_type;

        uint64_t start_ns, received_ns; /* headers seen, body complete */

        unsigned char *body;
        size_t body_size, body_capacity;
        size_t body_received; /* kept or not */
        size_t body_limit;
        bool has_length;         /* Content-Length was given */
        uint64_t content_length; /* as claimed */
        bool expects_continue;
        bool unframed; /* where its body ends cannot be told */

        bool begun, suspended;
        bool aborted; /* answered past the library, which must close */
        struct reply reply;
        size_t n_images;

        atomic_bool gone; /* the client has left */

        void *state; /* the handler's */
        void (*state_free)(void *state);
};

/* target: as in the request line. NULL for want of memory. */
struct request *request_new(struct context *context, struct MHD_Connection *mhd,
                            struct connection *connection, const char *target);
void request_free(struct request *request);

/* Answers with a problem. The detail says what to change. */
void request_refuse(struct request *request, enum problem_type type, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* What histograms note of it; borrows from the request. */
struct exemplar_labels request_exemplar(const struct request *request);

/* 429 with Retry-After, counted as shed; reason is an enum metrics_shed. */
void request_shed(struct request *request, int reason);

/* True once the models are loaded; before that, refused with 503 and Retry-After. */
bool request_check_ready(struct request *request);

/* Answers 200 with JSON, which the reply then owns, or where making it failed (r < 0) with 500. */
void request_answer_json(struct request *request, int r, char *text, size_t size);

/* Appends to the body. False where it was refused: too large, or no memory. */
bool request_append(struct request *request, const void *bytes, size_t size);

/* Stops the library from looking at the connection, before anybody else may see the request. False, and
 * refused, where the server begins nothing more. */
bool request_suspend(struct request *request);

/* The reply is set: gives the request back. It may be gone when this returns. */
void request_resume(struct request *request);
