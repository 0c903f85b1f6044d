#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/cpu.h"
#include "server/admission.h"
#include "server/batcher.h"
#include "server/connections.h"
#include "server/context.h"
#include "server/cores.h"
#include "server/http.h"
#include "server/lifecycle.h"
#include "server/lingering.h"
#include "server/listener.h"
#include "server/loader.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/registry.h"
#include "server/route.h"
#include "server/slow_log.h"
#include "server/worker.h"

#define MALLOC_MMAP_BYTES (256 << 10)
#define OTHER_FDS         128u /* what is open besides connections */
#define NS_PER_S          1000000000u

const struct server_options SERVER_OPTIONS_DEFAULT = {
        .host = "0.0.0.0",
        .port = 8080,
        .elastic = true,
        .tune = TUNE_FAST,
        .max_batch = 16,
        .queue_images = 256,
        .max_connections = 4096,
        .max_body_bytes = (size_t)16 << 20,
        .max_inflight_bytes = (size_t)256 << 20,
        .max_pixels = (size_t)64 << 20,
        .max_images = 64,
        .timeout_ms = 10000,
        .idle_timeout_s = 75,
        .read_timeout_s = 30,
        .drain_delay_ms = 0,
        .drain_timeout_ms = 25000,
        .log_format = LOG_FORMAT_TEXT,
        .log_level = LOG_LEVEL_INFO,
};

struct server {
        struct context context;
        struct worker_pool *workers;
        struct http *http;
        struct listener *listener;
        struct cores *cores; /* NULL where their number was given */
        int signal_fd, wake_fd;
        sigset_t old_signals;
};

static void on_accepted(void *argument, int fd, const struct sockaddr *address, socklen_t address_size) {
        struct server *server = argument;

        http_add(server->http, fd, address, address_size);
}

/* There is a batcher before anybody can connect. */
static void on_left(void *argument) {
        struct context *context = argument;

        batcher_sweep(context->batcher);
}

static size_t count_connections(void *argument) {
        const struct server *server = argument;

        return http_n_connections(server->http);
}

/* glibc raises its threshold for mmap() with every large block that is freed, up to 32 MiB, and then keeps
 * what bodies needed in the heaps of many threads. Fixed, their memory goes back to the system when they are
 * done. */
static void fix_malloc(void) {
#ifdef __GLIBC__
        mallopt(M_MMAP_THRESHOLD, MALLOC_MMAP_BYTES);
        mallopt(M_TRIM_THRESHOLD, 4 * MALLOC_MMAP_BYTES);
#endif
}

/* The soft limit of open files is low for the sake of select(), which nobody uses here. */
static void raise_fd_limit(struct context *context) {
        size_t wanted = context->options.max_connections + LINGERING_MAX_SOCKETS + OTHER_FDS;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
                return;
        limit.rlim_cur = MIN((rlim_t)wanted, limit.rlim_max);
        (void)!setrlimit(RLIMIT_NOFILE, &limit);
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted)
                log_event(context->log, LOG_LEVEL_WARN, "too few open files are allowed for all connections",
                          LOG_COUNT("allowed", limit.rlim_cur), LOG_COUNT("wanted", wanted));
}

static int open_signals(struct server *server, struct error *error) {
        sigset_t signals;

        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigaddset(&signals, SIGHUP);
        /* Before any thread is made: they inherit it, and the signals come to the signalfd alone. */
        pthread_sigmask(SIG_BLOCK, &signals, &server->old_signals);
        server->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (server->signal_fd < 0 || server->wake_fd < 0)
                return error_set(error, ERROR_IO, "signalfd: %s", strerror(errno));
        return 0;
}

/* Who reads the file finds the whole number in it, or no file. */
static int write_port_file(const char *path, uint16_t port, struct error *error) {
        char temporary[4096];
        FILE *file;
        bool written;

        if ((size_t)snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid()) >=
            sizeof(temporary))
                return error_set(error, ERROR_INVALID, "the path of the port file is too long");
        file = fopen(temporary, "we");
        if (!file)
                return error_set(error, ERROR_IO, "%s: %s", temporary, strerror(errno));
        written = fprintf(file, "%u\n", port) > 0;
        written = fclose(file) == 0 && written;
        if (!written || rename(temporary, path) < 0) {
                int saved = errno;

                unlink(temporary);
                return error_set(error, ERROR_IO, "%s: %s", path, strerror(saved));
        }
        return 0;
}

static void on_dead_model(void *argument) {
        struct context *context = argument;

        if (context->loader)
                loader_wake(context->loader);
}

static int build_engine_side(struct server *server, struct error *error) {
        struct context *context = &server->context;
        const struct server_options *options = &context->options;
        int r;

        r = admission_new(&context->admission,
                          &(struct admission_options){.queue_images = options->queue_images,
                                                      .body_bytes = options->max_inflight_bytes,
                                                      .cores = context->n_cpus,
                                                      .n_models = options->n_models},
                          error);
        if (r < 0)
                return r;
        r = batcher_new(&context->batcher,
                        &(struct batcher_options){.n_models = options->n_models,
                                                  .n_workers = context->n_cpus,
                                                  .max_batch = options->max_batch,
                                                  .delay_ns = (uint64_t)options->batch_delay_ms * 1000000u},
                        error);
        if (r < 0)
                return r;
        r = registry_new(&context->registry, options->n_models, on_dead_model, context, error);
        if (r < 0)
                return r;
        return worker_pool_new(&server->workers,
                               &(struct worker_options){.n_workers = context->n_cpus,
                                                        .max_batch = options->max_batch,
                                                        .max_pixels = options->max_pixels,
                                                        .exact = options->exact_decode,
                                                        .batcher = context->batcher,
                                                        .admission = context->admission,
                                                        .metrics = context->metrics},
                               error);
}

static int build_http_side(struct server *server, struct error *error) {
        struct context *context = &server->context;
        const struct server_options *options = &context->options;
        int r;

        r = lingering_new(&context->linger, error);
        if (r < 0)
                return r;
        r = connections_new(&context->connections,
                            &(struct connections_options){
                                    .read_timeout_ns = (uint64_t)options->read_timeout_s * NS_PER_S,
                                    .idle_timeout_ns = (uint64_t)options->idle_timeout_s * NS_PER_S,
                                    .left = on_left,
                                    .argument = context},
                            error);
        if (r < 0)
                return r;
        /* One thread parses far more requests than the CPUs it leaves can classify. */
        r = http_new(&server->http, context,
                     options->http_threads ? options->http_threads : MAX(1u, MIN(context->n_cpus / 4, 8u)),
                     error);
        if (r < 0)
                return r;
        return listener_new(
                &server->listener,
                &(struct listener_options){.host = options->host,
                                           .port = options->port,
                                           .header_timeout_ns = (uint64_t)options->read_timeout_s * NS_PER_S,
                                           .idle_timeout_ns = (uint64_t)options->idle_timeout_s * NS_PER_S,
                                           .max_connections = options->max_connections,
                                           .linger = context->linger,
                                           .metrics = context->metrics,
                                           .metrics_handler = ROUTE_OTHER,
                                           .log = context->log,
                                           .accepted = on_accepted,
                                           .n_connections = count_connections,
                                           .argument = server},
                error);
}

static int build(struct server *server, struct error *error) {
        struct context *context = &server->context;
        int r;

        r = open_signals(server, error);
        if (r < 0)
                return r;
        r = log_new(&context->log, STDERR_FILENO, context->options.log_format, context->options.log_level,
                    error);
        if (r < 0)
                return r;
        fix_malloc();
        raise_fd_limit(context);
        r = metrics_new(&context->metrics,
                        &(struct metrics_options){.version = SACCADE_VERSION,
                                                  .handlers = route_handler_names,
                                                  .n_handlers = ROUTE_MAX,
                                                  .n_models = context->options.n_models},
                        error);
        if (r < 0)
                return r;
        r = slow_log_new(&context->slow_log,
                         &(struct slow_log_options){.log = context->log,
                                                    .metrics = context->metrics,
                                                    .threshold_ms = context->options.slow_log_ms},
                         error);
        if (r < 0)
                return r;
        /* The address first: it fails most often, and fastest. */
        r = build_http_side(server, error);
        if (r < 0)
                return r;
        r = build_engine_side(server, error);
        if (r < 0)
                return r;
        r = listener_start(server->listener, error);
        if (r < 0)
                return r;
        if (context->options.port_file) {
                r = write_port_file(context->options.port_file, listener_port(server->listener), error);
                if (r < 0)
                        return r;
        }
        log_event(context->log, LOG_LEVEL_INFO, "listening", LOG_TEXT("version", SACCADE_VERSION),
                  LOG_TEXT("host", context->options.host),
                  LOG_COUNT("port", listener_port(server->listener)), LOG_COUNT("threads", context->n_cpus));
        if (context->options.threads == 0) {
                r = cores_new(&server->cores, context, error);
                if (r < 0)
                        return r;
        }
        return loader_new(context, server->wake_fd, error);
}

/* No request may be suspended when the library is stopped. Bounded by the batches that run. */
static void cancel_requests(struct context *context) {
        atomic_store(&context->cancelled, true);
        while (context->batcher && atomic_load(&context->suspended_requests) > 0)
                poll(NULL, 0, 2);
}

static void tear_down(struct server *server) {
        struct context *context = &server->context;

        if (server->listener)
                listener_free(server->listener);
        cancel_requests(context);
        if (server->http)
                http_free(server->http);
        if (context->connections)
                connections_free(context->connections); /* it sweeps the batcher */
        if (server->cores)
                cores_free(server->cores);
        if (context->loader)
                loader_free(context->loader);
        context->loader = NULL; /* it is woken until its thread has ended */
        if (context->batcher)
                batcher_stop(context->batcher);
        if (server->workers)
                worker_pool_free(server->workers);
        if (context->registry)
                registry_free(context->registry);
        if (context->batcher)
                batcher_free(context->batcher);
        if (context->admission)
                admission_free(context->admission);
        if (context->linger)
                lingering_free(context->linger);
        if (context->slow_log)
                slow_log_free(context->slow_log);
        if (context->metrics)
                metrics_free(context->metrics);
        if (context->log)
                log_free(context->log);
        if (server->wake_fd >= 0)
                close(server->wake_fd);
        if (server->signal_fd >= 0)
                close(server->signal_fd);
        pthread_sigmask(SIG_SETMASK, &server->old_signals, NULL);
}

int server_run(const struct server_options *options, struct error *error) {
        struct server server = {.signal_fd = -1, .wake_fd = -1};
        int r;

        if (options->n_models == 0 || options->max_batch == 0)
                return error_set(error, ERROR_INVALID,
                                 "a server needs a model, and batches of at least 1 image");
        server.context.options = *options;
        server.context.options.max_inflight_bytes =
                MAX(options->max_inflight_bytes, options->max_body_bytes);
        server.context.n_cpus = options->threads ? options->threads : cpu_count();

        r = build(&server, error);
        if (r >= 0)
                r = lifecycle_run(
                        &(struct lifecycle_parts){
                                .context = &server.context,
                                .http = server.http,
                                .listener = server.listener,
                                .loader = server.context.loader,
                                .signal_fd = server.signal_fd,
                                .wake_fd = server.wake_fd,
                        },
                        error);
        tear_down(&server);
        return r;
}
