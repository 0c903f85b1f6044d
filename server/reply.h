#pragma once
/*
 * reply: an HTTP answer as a value: status, headers, body. Knows nothing of sockets.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "proto/problem.h"

#define REPLY_MAX_HEADERS 4u
#define REPLY_VALUE_MAX   256u

struct reply {
        unsigned status; /* 0: none yet */
        const char *content_type;
        const char *text; /* the body */
        size_t size;
        char *owned; /* what reply_release() frees, or NULL */
        struct {
                const char *name;
                char value[REPLY_VALUE_MAX];
        } headers[REPLY_MAX_HEADERS]; /* beyond Content-Type and Content-Length */
        size_t n_headers;
};

/* A header line; values are cut to REPLY_VALUE_MAX. */
void reply_header(struct reply *reply, const char *name, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Body by reference, or with its ownership. */
void reply_borrow(struct reply *reply, unsigned status, const char *content_type, const void *text,
                  size_t size);
void reply_own(struct reply *reply, unsigned status, const char *content_type, char *text, size_t size);

/* RFC 9457. Where there is no memory for it, a constant text takes its place. */
void reply_problem(struct reply *reply, const struct problem *problem);

void reply_release(struct reply *reply);

/*
 * Writes the whole answer to a socket at once, past libmicrohttpd, and says that the connection closes: for
 * answers at moments when the library can send none (in the middle of a body; before it has the connection).
 * The socket must have nothing else to send. Best effort: what the socket does not take at once is lost.
 */
void reply_send(const struct reply *reply, int fd, const char *request_id);
