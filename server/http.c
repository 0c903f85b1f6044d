#include "server/http.h"

#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/connections.h"
#include "server/context.h"
#include "server/lingering.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/reply.h"
#include "server/request.h"
#include "server/route.h"

/* A refused body up to this size is read and thrown away, which keeps the connection for the next request;
 * beyond, the answer comes at once and the connection ends. */
#define SWALLOW_BYTES ((size_t)1 << 20)
#define POOL_BYTES    ((size_t)32 << 10) /* of a connection; larger ones would come from mmap() each time */

_Static_assert(HTTP_CONNECTION_BYTES >= 2 * POOL_BYTES, "a connection's pool, and its request and answer");

struct http {
        struct context *context;
        struct MHD_Daemon **daemons;
        unsigned n_daemons;
        atomic_uint next_daemon;
        atomic_size_t n_connections;
};

/* The library has begun to look at a connection, or is about to close it. */
static void connection_changed(void *argument, struct MHD_Connection *mhd, void **socket_context,
                               enum MHD_ConnectionNotificationCode code) {
        struct http *http = argument;
        struct context *context = http->context;
        char byte;
        int fd;

        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

                *socket_context = connections_add(context->connections, info->connect_fd, clock_ns());
                return;
        }
        if (*socket_context) {
                fd = connection_fd(*socket_context);
                connections_remove(context->connections, *socket_context);
                /* Nothing to keep open for a client that has closed. */
                if (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0) {
                        fd = dup(fd);
                        if (fd >= 0)
                                lingering_add(context->linger, fd);
                }
        }
        atomic_fetch_sub(&http->n_connections, 1);
}

static struct connection *connection_of(struct MHD_Connection *mhd) {
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

        return info ? info->socket_context : NULL;
}

/* The request line has come. What it returns is the request's context in the callbacks below. */
static void *request_begun(void *argument, const char *target, struct MHD_Connection *mhd) {
        struct http *http = argument;
        struct connection *connection = connection_of(mhd);
        struct request *request;
        const char *id;

        if (!connection)
                return NULL;
        request = request_new(http->context, mhd, connection, target);
        if (!request)
                return NULL;
        atomic_fetch_add(&http->context->inflight_requests, 1);
        request->start_ns = clock_ns();
        request_id_make(request->id);
        id = request->id;
        connection_reading(connection, id);
        return request;
}

static void log_request(const struct request *request, unsigned status, uint64_t duration_ns) {
        char address[NI_MAXHOST] = "";
        const union MHD_ConnectionInfo *info =
                MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

        if (info && info->client_addr)
                getnameinfo(info->client_addr,
                            info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                     : sizeof(struct sockaddr_in),
                            address, sizeof(address), NULL, 0, NI_NUMERICHOST);
        log_event(request->context->log, status >= 500 ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "request",
                  LOG_TEXT("id", request->id), LOG_TEXT("method", request->method),
                  LOG_TEXT("target", request->target), LOG_COUNT("status", status),
                  LOG_COUNT("received_bytes", request->body_received),
                  LOG_COUNT("images", request->n_images),
                  LOG_NUMBER("duration_ms", (double)duration_ns / 1e6), LOG_TEXT("client", address),
                  LOG_TEXT("traceparent", *request->traceparent ? request->traceparent : NULL));
}

#define STATUS_CLIENT_GONE 499u /* nginx's number for it; never sent */

static void request_ended(void *argument, struct MHD_Connection *mhd _unused_, void **request_context,
                          enum MHD_RequestTerminationCode code) {
        struct http *http = argument;
        struct request *request = *request_context;
        unsigned status;
        uint64_t duration_ns;

        if (!request)
                return;
        *request_context = NULL;
        status = request->reply.status;
        if (!connection_idle(request->connection))
                status = 408;
        else if (atomic_load(&request->gone) ||
                 (code != MHD_REQUEST_TERMINATED_COMPLETED_OK && !request->aborted))
                status = STATUS_CLIENT_GONE;
        duration_ns = clock_ns() - request->start_ns;
        /* What broke off in its headers was no request, unless it was answered. */
        if (request->route || status == 408) {
                struct exemplar_labels exemplar = request_exemplar(request);

                metrics_request(http->context->metrics,
                                request->route ? request->route->handler : ROUTE_OTHER, status, duration_ns,
                                &exemplar);
                log_request(request, status, duration_ns);
        }
        atomic_fetch_sub(&http->context->inflight_requests, 1);
        request_free(request);
}

static const char *header(const struct request *request, const char *name) {
        return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}

struct header_count {
        const char *name;
        unsigned n;
};

static enum MHD_Result count_header(void *argument, enum MHD_ValueKind kind _unused_, const char *key,
                                    const char *value _unused_) {
        struct header_count *count = argument;

        count->n += strcasecmp(key, count->name) == 0;
        return MHD_YES;
}

/* Framing that two parsers may read differently is refused, or else a proxy and we could disagree about
 * where a request ends (RFC 9112 section 11.2). */
static bool framing_is_sound(struct request *request) {
        struct header_count lengths = {.name = "Content-Length"}, encodings = {.name = "Transfer-Encoding"};
        const char *encoding = header(request, "Transfer-Encoding"),
                   *length = header(request, "Content-Length");

        MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, count_header, &lengths);
        MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, count_header, &encodings);
        if (lengths.n + encodings.n > 1) {
                request_refuse(request, PROBLEM_MALFORMED,
                               "give Content-Length or Transfer-Encoding, once and not both");
                return false;
        }
        if (encoding && strcasecmp(encoding, "chunked") != 0) {
                request_refuse(request, PROBLEM_MALFORMED,
                               "this Transfer-Encoding is not supported; use chunked, or Content-Length");
                return false;
        }
        if (length) {
                request->has_length = true;
                request->content_length =
                        strtoull(length, NULL, 10); /* the library has checked the digits */
        }
        return true;
}

/* The headers are there: everything that can be decided without a body is decided here. */
static void admit(struct request *request, const char *method) {
        const char *id = header(request, "X-Request-ID"), *trace = header(request, "traceparent");
        const char *expect = header(request, "Expect");

        request->begun = true;
        request->start_ns = clock_ns();
        request->route = route_find(request->path);
        snprintf(request->method, sizeof(request->method), "%s", method);
        request->content_type = header(request, "Content-Type");
        request->expects_continue = expect && strcasecmp(expect, "100-continue") == 0;
        request->body_limit = request->context->options.max_body_bytes;
        if (trace && traceparent_is_valid(trace)) {
                snprintf(request->traceparent, sizeof(request->traceparent), "%s", trace);
                traceparent_trace_id(request->trace_id, trace);
        }
        if (id && request_id_is_valid(id)) {
                connection_reading(request->connection, NULL); /* the guard may be reading the old one */
                snprintf(request->id, sizeof(request->id), "%s", id);
                connection_reading(request->connection, request->id);
        }

        request->unframed = !framing_is_sound(request);
        if (request->unframed || !route_check_method(request->route, request))
                return;
        if (request->route->takes_body && request->has_length &&
            request->content_length > request->body_limit) {
                request_refuse(request, PROBLEM_TOO_LARGE,
                               "the body has %ju bytes, the limit is %zu; send a smaller image, or fewer",
                               (uintmax_t)request->content_length, request->body_limit);
                return;
        }
        if (request->route->begin)
                request->route->begin(request);
}

/* Past the library: it could not send an answer now, or would not before the whole body has come. */
static enum MHD_Result abort_request(struct request *request) {
        request->aborted = true;
        reply_send(&request->reply, connection_fd(request->connection), request->id);
        return MHD_NO;
}

static enum MHD_Result queue_reply(struct request *request) {
        struct reply *reply = &request->reply;
        struct MHD_Response *response;
        enum MHD_Result result;

        connection_answering(request->connection);
        if (reply->owned) {
                response = MHD_create_response_from_buffer(reply->size, reply->owned, MHD_RESPMEM_MUST_FREE);
                if (response)
                        reply->owned = NULL;
        } else
                response = MHD_create_response_from_buffer(reply->size, (void *)(uintptr_t)reply->text,
                                                           MHD_RESPMEM_PERSISTENT);
        if (!response)
                return MHD_NO;
        if (reply->content_type)
                MHD_add_response_header(response, "Content-Type", reply->content_type);
        MHD_add_response_header(response, "X-Request-ID", request->id);
        MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
        for (size_t i = 0; i < reply->n_headers; i++)
                MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
        if (atomic_load_explicit(&request->context->draining, memory_order_relaxed))
                MHD_add_response_header(response, "Connection", "close");
        result = MHD_queue_response(request->mhd, reply->status, response);
        MHD_destroy_response(response);
        return result;
}

static enum MHD_Result take_headers(struct request *request, const char *method) {
        admit(request, method);
        if (request->reply.status == 0)
                return MHD_YES;
        /* A client that waits for "100 Continue" has sent no body, and now never will. */
        if (request->unframed || request->expects_continue ||
            (request->has_length && request->content_length > SWALLOW_BYTES)) {
                request->received_ns = clock_ns();
                return connection_busy(request->connection, NULL) ? queue_reply(request) : MHD_NO;
        }
        return MHD_YES;
}

static enum MHD_Result take_body(struct request *request, const char *bytes, size_t *size) {
        size_t n = *size;

        *size = 0;
        request->body_received += n;
        if (clock_ns() - request->start_ns >
            (uint64_t)request->context->options.read_timeout_s * 1000000000u) {
                request_refuse(request, PROBLEM_REQUEST_TIMEOUT,
                               "the request was not complete after %u s; send it faster, or send less",
                               request->context->options.read_timeout_s);
                return abort_request(request);
        }
        if (request->reply.status == 0 && request->route->takes_body)
                request_append(request, bytes, n);
        if (request->reply.status == 0 && !request->route->takes_body &&
            request->body_received > request->body_limit)
                request_refuse(request, PROBLEM_TOO_LARGE, "this path takes no body");
        if (request->reply.status != 0 && request->body_received > SWALLOW_BYTES)
                return abort_request(request);
        return MHD_YES;
}

static enum MHD_Result take_end(struct request *request) {
        if (!connection_busy(request->connection, &request->gone)) {
                request->aborted = true; /* answered with 408 by the one who watches the clock */
                request->reply.status = 408;
                return MHD_NO;
        }
        request->received_ns = clock_ns();
        if (request->reply.status == 0)
                request->route->complete(request);
        return MHD_YES;
}

/* Called once for the headers, for each piece of the body, at its end, and after each resume. */
static enum MHD_Result handle(void *argument _unused_, struct MHD_Connection *mhd _unused_,
                              const char *url _unused_, const char *method, const char *version _unused_,
                              const char *upload_data, size_t *upload_data_size, void **request_context) {
        struct request *request = *request_context;

        if (!request)
                return MHD_NO; /* no memory for it */
        if (!request->begun)
                return take_headers(request, method);
        if (*upload_data_size > 0)
                return take_body(request, upload_data, upload_data_size);
        if (!request->suspended) {
                if (take_end(request) == MHD_NO)
                        return MHD_NO;
                if (request->suspended)
                        return MHD_YES; /* it may belong to another thread already */
        }
        return queue_reply(request);
}

__attribute__((format(printf, 2, 0))) static void log_library(void *argument, const char *format,
                                                              va_list args) {
        struct http *http = argument;
        char text[256];

        vsnprintf(text, sizeof(text), format, args);
        text[strcspn(text, "\n")] = 0;
        log_event(http->context->log, LOG_LEVEL_DEBUG, "libmicrohttpd", LOG_TEXT("text", text));
}

/* As it is: request->path is decoded by us, and the library's own decoding would change the target. */
static size_t keep_escapes(void *argument _unused_, struct MHD_Connection *mhd _unused_, char *text) {
        return strlen(text);
}

int http_new(struct http **ret_http, struct context *context, unsigned n_threads, struct error *error) {
        _cleanup_(http_freep) struct http *http = NULL;
        const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                               MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG;
        size_t limit;
        unsigned timeout_s;

        /* Only a last resort, against clients that do not read their answers: the deadlines are kept by
         * struct connections, which can answer 408. */
        timeout_s = MAX(context->options.idle_timeout_s, context->options.read_timeout_s) + 5;
        /* The listener holds the limit; this one only must not be hit first, with a silent close. */
        limit = MIN(context->options.max_connections, (size_t)1 << 20) + 64;
        http = calloc(1, sizeof(*http));
        if (!http)
                return error_no_memory(error);
        http->context = context;
        http->daemons = calloc(n_threads, sizeof(struct MHD_Daemon *));
        if (!http->daemons)
                return error_no_memory(error);
        for (; http->n_daemons < n_threads; http->n_daemons++) {
                /* The logger comes first, so that it hears what the other options have to say. */
                http->daemons[http->n_daemons] = MHD_start_daemon(
                        flags, 0, NULL, NULL, handle, http, MHD_OPTION_EXTERNAL_LOGGER, log_library, http,
                        MHD_OPTION_URI_LOG_CALLBACK, request_begun, http, MHD_OPTION_NOTIFY_COMPLETED,
                        request_ended, http, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, http,
                        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_CONNECTION_LIMIT,
                        (unsigned)limit, MHD_OPTION_CONNECTION_MEMORY_LIMIT, POOL_BYTES,
                        MHD_OPTION_CONNECTION_TIMEOUT, timeout_s, MHD_OPTION_END);
                if (!http->daemons[http->n_daemons])
                        return error_set(error, ERROR_IO, "libmicrohttpd did not start");
        }

        *ret_http = steal_ptr(&http);
        return 0;
}

void http_free(struct http *http) {
        for (unsigned i = 0; i < http->n_daemons; i++)
                MHD_stop_daemon(http->daemons[i]);
        free(http->daemons);
        free(http);
}

void http_add(struct http *http, int fd, const struct sockaddr *address, socklen_t address_size) {
        unsigned i =
                atomic_fetch_add_explicit(&http->next_daemon, 1, memory_order_relaxed) % http->n_daemons;

        atomic_fetch_add(&http->n_connections, 1);
        if (MHD_add_connection(http->daemons[i], fd, address, address_size) != MHD_YES)
                atomic_fetch_sub(&http->n_connections, 1); /* it has closed the socket */
}

size_t http_n_connections(struct http *http) {
        return atomic_load(&http->n_connections);
}
