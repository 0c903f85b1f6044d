#pragma once
/*
 * listener: the listening socket, and connections until their first request has its headers.
 *
 * A new connection is watched, its bytes left in the kernel, until the end of its headers can be seen; then
 * it is handed on. So what never becomes a request costs no buffer, and headers that are too large, too slow
 * or no HTTP at all get an answer of ours. (libmicrohttpd answers such with HTML, or with nothing.) Requests
 * that follow on the same connection are the library's alone.
 * One thread. All functions are thread safe.
 */
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/macros.h"

struct lingering;
struct listener;
struct log;
struct metrics;

#define LISTENER_MAX_HEADER_BYTES                                                                           \
        16384u /* of the request line and headers of a connection's first request */

struct listener_options {
        const char *host; /* numeric IPv4 or IPv6, or "localhost" */
        uint16_t port;
        uint64_t header_timeout_ns; /* from the first byte to the last */
        uint64_t idle_timeout_ns;   /* until the first byte */
        size_t max_connections;     /* beyond it: 503 */
        struct lingering *linger;
        struct metrics *metrics;
        size_t metrics_handler; /* under which refusals are counted */
        struct log *log;
        /* Takes over a connection; called on the listener's thread. */
        void (*accepted)(void *argument, int fd, const struct sockaddr *address, socklen_t address_size);
        /* How many connections there are besides the listener's own. */
        size_t (*n_connections)(void *argument);
        void *argument;
};

/* Listens at once. Fails with ERROR_INVALID (the address), ERROR_IO (in use, ...), ERROR_NO_MEMORY. */
int listener_new(struct listener **ret_listener, const struct listener_options *options,
                 struct error *error);
void listener_free(struct listener *listener);
DEFINE_CLEANUP(listener)

uint16_t listener_port(const struct listener *listener);

/* Begins to accept. Fails with ERROR_IO. */
int listener_start(struct listener *listener, struct error *error);

/* Stops listening: takes what the kernel has accepted so far, then closes the socket. Connections that were
 * accepted are still handed on when their headers come; those that stay silent are closed soon. Returns at
 * once. */
void listener_close(struct listener *listener);

/* Whether the socket is closed and nothing is left to hand on. */
bool listener_is_done(struct listener *listener);
