#pragma once
/*
 * http: libmicrohttpd between the sockets and the handlers.
 *
 * Reads requests, applies what holds for all of them (limits, ids, refusals that must reach the client, the
 * log line, the metrics), and calls the handler of their route. One daemon of the library a thread.
 */
#include <stddef.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/macros.h"

struct context;
struct http;

/* The most that a connection takes besides its request's body: the library's pool, our own structures, the
 * request's target and headers, an answer of usual size. */
#define HTTP_CONNECTION_BYTES ((size_t)80 << 10)

/* Fails with ERROR_IO or ERROR_NO_MEMORY. */
int http_new(struct http **ret_http, struct context *context, unsigned n_threads, struct error *error);

/* Ends all connections. No request may be suspended. */
void http_free(struct http *http);
DEFINE_CLEANUP(http)

/* Takes over a connection. Any thread. */
void http_add(struct http *http, int fd, const struct sockaddr *address, socklen_t address_size);

/* Connections taken over and not yet ended. */
size_t http_n_connections(struct http *http);
