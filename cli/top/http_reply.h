#pragma once
/*
 * http_reply: an answer of HTTP/1.0 or 1.1 (RFC 9112) as far as it has come. No allocation, no sockets.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define HTTP_REPLY_MORE       1 /* not complete yet */
#define HTTP_REPLY_MAX_HEADER ((size_t)64 << 10)

struct http_reply {
        unsigned status;
        char location[256]; /* "" where there is none, or it is longer */
        size_t body;        /* where it begins */
        size_t size;        /* bytes of the body as they came */
        bool chunked;
};

/* bytes: all that has come; ended: nothing follows. Returns 0 and sets *ret_reply where the answer is
 * complete, or HTTP_REPLY_MORE. Fails with ERROR_INVALID (no such answer, or it ended early) or ERROR_LIMIT
 * (the header, or a body of more than max_body bytes). */
int http_reply_read(struct http_reply *ret_reply, const char *bytes, size_t size, bool ended,
                    size_t max_body, struct error *error);

/* Joins the chunks of a complete body in place; returns its size. */
size_t http_reply_join(const struct http_reply *reply, char *bytes);
