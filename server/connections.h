#pragma once
/*
 * connections: all client connections, what each one is doing, and who has gone away.
 *
 * libmicrohttpd does not look at a suspended connection, resets its timeout at every byte, and answers no
 * 408. So each connection is also in an epoll set of ours, which tells at once when its client leaves, and
 * one thread looks after deadlines:
 *   reading  a request is being received; beyond its deadline: 408, and the connection is closed
 *   busy     it is being worked on; a client that leaves sets the flag given to connection_busy()
 *   idle     between requests; beyond the idle timeout it is closed
 * A client that shuts down its sending side before it has its answer counts as gone (as with nginx): to the
 * server, that looks no different from closing.
 *
 * Thread safe. A struct connection lives from connections_add() to connections_remove(), both called by the
 * library's thread, with the socket open all that time.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

struct connection;
struct connections;

struct connections_options {
        uint64_t read_timeout_ns, idle_timeout_ns;
        /* Some clients have left whose requests were worked on: their flags are set. Called without a lock,
         * on the thread of the connections; may be NULL. */
        void (*left)(void *argument);
        void *argument;
};

/* Fails with ERROR_NO_MEMORY or ERROR_IO. */
int connections_new(struct connections **ret_connections, const struct connections_options *options,
                    struct error *error);
void connections_free(struct connections *connections);
DEFINE_CLEANUP(connections)

/* fd is borrowed. begun_ns: when the connection began. NULL for want of memory. */
struct connection *connections_add(struct connections *connections, int fd, uint64_t begun_ns);
void connections_remove(struct connections *connections, struct connection *connection);
size_t connections_count(struct connections *connections);

int connection_fd(const struct connection *connection);

/* The first line of a request has come. id is for the 408 and must live until the next state. */
void connection_reading(struct connection *connection, const char *request_id);

/* The request is complete. False where it was answered with 408 meanwhile: then it must be dropped. */
bool connection_busy(struct connection *connection, atomic_bool *gone);

/* The answer is made: a client that leaves from now on may have read it. */
void connection_answering(struct connection *connection);

/* The request has ended. False where it was answered with 408. */
bool connection_idle(struct connection *connection);

/* Closes connections that have been idle for at_least_ns and have nothing to read. */
void connections_close_idle(struct connections *connections, uint64_t at_least_ns);
