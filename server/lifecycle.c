#include "server/lifecycle.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "server/connections.h"
#include "server/context.h"
#include "server/http.h"
#include "server/lingering.h"
#include "server/listener.h"
#include "server/loader.h"
#include "server/log.h"
#include "server/notify.h"

#define DRAIN_LOOK_MS 20
/* A client in a loop sends its next request at once; one that is silent for this long is idle. */
#define DRAIN_IDLE_NS  250000000u
#define LINGER_WAIT_NS 2000000000u

/* Waits for a signal, or until timeout_ms (-1: forever) or the loader's wake. Returns the signal's number,
 * or 0. */
static int wait_signal(const struct lifecycle_parts *parts, int timeout_ms) {
        struct pollfd fds[] = {{.fd = parts->signal_fd, .events = POLLIN},
                               {.fd = parts->wake_fd, .events = POLLIN}};
        struct signalfd_siginfo info;
        uint64_t count;

        if (poll(fds, ARRAY_SIZE(fds), timeout_ms) <= 0)
                return 0;
        if (fds[1].revents)
                (void)!read(parts->wake_fd, &count, sizeof(count));
        if (fds[0].revents && read(parts->signal_fd, &info, sizeof(info)) == sizeof(info))
                return (int)info.ssi_signo;
        return 0;
}

/* The service manager is told when it begins, and READY=1 when it is done, whatever became of it; where it
 * is not ready yet, that tells it all. */
static void reload(const struct lifecycle_parts *parts, bool is_ready) {
        char state[64];

        log_event(parts->context->log, LOG_LEVEL_INFO, "reloading", LOG_TEXT("signal", "HUP"));
        snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_ns() / 1000);
        if (is_ready)
                notify_manager(state);
        loader_reload_all(parts->loader);
}

/* Until the first signal that ends it. */
static int serve(const struct lifecycle_parts *parts, struct error *error) {
        struct context *context = parts->context;
        uint64_t start_ns = clock_ns();
        bool was_ready = false, reloading = false;

        for (;;) {
                int signal = wait_signal(parts, -1);

                if (signal == SIGHUP) {
                        reloading = was_ready;
                        reload(parts, was_ready);
                } else if (signal != 0) {
                        log_event(context->log, LOG_LEVEL_INFO, "draining",
                                  LOG_TEXT("signal", sigabbrev_np(signal)),
                                  LOG_COUNT("inflight_requests", atomic_load(&context->inflight_requests)));
                        return 0;
                }
                if (loader_failed(parts->loader, error))
                        return error->code;
                if (!was_ready && atomic_load(&context->ready)) {
                        was_ready = true;
                        log_event(context->log, LOG_LEVEL_INFO, "ready",
                                  LOG_COUNT("models", context->options.n_models),
                                  LOG_NUMBER("duration_ms", clock_ms_between(start_ns, clock_ns())));
                        notify_manager("READY=1");
                }
                if (reloading && !loader_is_reloading(parts->loader)) {
                        reloading = false;
                        notify_manager("READY=1");
                }
        }
}

static bool is_drained(const struct lifecycle_parts *parts, uint64_t *linger_since_ns) {
        if (!listener_is_done(parts->listener) || http_n_connections(parts->http) > 0)
                return false;
        /* All is answered; the last answers may still be on their way to clients that are sending. */
        if (*linger_since_ns == 0)
                *linger_since_ns = clock_ns();
        return lingering_count(parts->context->linger) == 0 ||
               clock_ns() - *linger_since_ns > LINGER_WAIT_NS;
}

/* Waits until done() or end_ns. */
static int drain(const struct lifecycle_parts *parts, struct error *error) {
        const struct server_options *options = &parts->context->options;
        uint64_t start_ns = clock_ns(), linger_since_ns = 0, now_ns;
        const uint64_t close_ns = start_ns + (uint64_t)options->drain_delay_ms * 1000000u;
        const uint64_t end_ns = close_ns + (uint64_t)options->drain_timeout_ms * 1000000u;
        bool closed = false;
        int signal;

        while ((now_ns = clock_ns()) < end_ns) {
                if (!closed && now_ns >= close_ns) {
                        closed = true;
                        listener_close(parts->listener);
                }
                if (closed) {
                        connections_close_idle(parts->context->connections, DRAIN_IDLE_NS);
                        if (is_drained(parts, &linger_since_ns))
                                return 0;
                }
                signal = wait_signal(parts, DRAIN_LOOK_MS);
                if (signal != 0 && signal != SIGHUP)
                        return error_set(error, ERROR_LIMIT,
                                         "a second signal ended the drain with %zu requests in flight",
                                         atomic_load(&parts->context->inflight_requests));
        }
        return error_set(error, ERROR_LIMIT,
                         "the drain was not done after %u ms: %zu connections and %zu requests were left",
                         options->drain_timeout_ms, http_n_connections(parts->http),
                         atomic_load(&parts->context->inflight_requests));
}

int lifecycle_run(const struct lifecycle_parts *parts, struct error *error) {
        struct context *context = parts->context;
        uint64_t start_ns;
        int r;

        r = serve(parts, error);
        if (r < 0)
                return r;

        start_ns = clock_ns();
        atomic_store(&context->draining, true);
        loader_stop(parts->loader);
        notify_manager("STOPPING=1");
        r = drain(parts, error);
        if (r >= 0)
                log_event(context->log, LOG_LEVEL_INFO, "drained",
                          LOG_NUMBER("duration_ms", clock_ms_between(start_ns, clock_ns())));
        return r;
}
