#pragma once
/*
 * lifecycle: the main thread of a running server: waits for readiness and signals, and drains.
 *
 * The first SIGTERM or SIGINT makes /readyz answer 503, so that no balancer sends more. For drain_delay_ms
 * connections are still taken, since balancers learn late; then the socket closes, what was accepted is
 * answered, and idle connections are closed. A second signal, or drain_timeout_ms, ends the patience.
 * SIGHUP loads all models again while the server serves.
 */
#include "base/error.h"

struct context;
struct http;
struct lifecycle;
struct listener;
struct loader;

struct lifecycle_parts {
        struct context *context;
        struct http *http;
        struct listener *listener;
        struct loader *loader;
        int signal_fd; /* signalfd of SIGTERM, SIGINT and SIGHUP */
        int wake_fd;   /* eventfd that the loader writes to */
};

/* Returns 0 after a complete drain. Fails with the loader's error, or ERROR_LIMIT where the drain was cut
 * short. */
int lifecycle_run(const struct lifecycle_parts *parts, struct error *error);
