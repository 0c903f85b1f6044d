#include "server/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/lingering.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/reply.h"

#define BACKLOG         1024
#define TICK_MS         250
#define ACCEPT_AT_ONCE  64u
#define CLOSE_SILENT_NS 500000000u /* after listener_close(): a client that has sent nothing by then */

/* A connection without complete headers. */
struct pending {
        struct pending *previous, *next;
        int fd;
        bool begun; /* something has come */
        uint64_t since_ns;
        struct sockaddr_storage address;
        socklen_t address_size;
};

struct listener {
        struct listener_options options;
        int listen_fd, epoll_fd, wake_fd;
        uint16_t port;
        pthread_t thread;
        bool started;
        bool paused_accept;    /* out of file descriptors: look again at the next tick */
        struct pending *first; /* the thread's alone */
        size_t n_pending;
        char *peek; /* [LISTENER_MAX_HEADER_BYTES] */
        atomic_bool closing, stopped, done;
};

static void refuse(struct listener *listener, int fd, uint64_t since_ns, enum problem_type type,
                   const char *detail, unsigned retry_after_s) {
        struct problem problem = {0};
        struct reply reply = {0};

        problem_set(&problem, type, "%s", detail);
        reply_problem(&reply, &problem);
        if (retry_after_s > 0)
                reply_header(&reply, "Retry-After", "%u", retry_after_s);
        reply_send(&reply, fd, NULL);
        metrics_request(listener->options.metrics, listener->options.metrics_handler, reply.status,
                        clock_ns() - since_ns, NULL);
        log_event(listener->options.log, LOG_LEVEL_INFO, "connection refused",
                  LOG_COUNT("status", reply.status), LOG_TEXT("detail", detail));
        reply_release(&reply);
        shutdown(fd, SHUT_WR);
        lingering_add(listener->options.linger, fd);
}

static void pending_remove(struct listener *listener, struct pending *pending) {
        (void)!epoll_ctl(listener->epoll_fd, EPOLL_CTL_DEL, pending->fd, NULL);
        if (pending->previous)
                pending->previous->next = pending->next;
        else
                listener->first = pending->next;
        if (pending->next)
                pending->next->previous = pending->previous;
        listener->n_pending--;
        free(pending);
}

static void pending_close(struct listener *listener, struct pending *pending) {
        int fd = pending->fd;

        pending_remove(listener, pending);
        close(fd);
}

static void pending_refuse(struct listener *listener, struct pending *pending, enum problem_type type,
                           const char *detail) {
        uint64_t since_ns = pending->since_ns;
        int fd = pending->fd;

        pending_remove(listener, pending);
        refuse(listener, fd, since_ns, type, detail, 0);
}

static void pending_hand_on(struct listener *listener, struct pending *pending) {
        struct sockaddr_storage address = pending->address;
        socklen_t address_size = pending->address_size;
        int fd = pending->fd;

        pending_remove(listener, pending);
        listener->options.accepted(listener->options.argument, fd, (const struct sockaddr *)&address,
                                   address_size);
}

/* The blank line that ends the headers; bare line feeds as lenient servers take them (RFC 9112 section 2.2).
 */
static bool has_headers(const char *bytes, size_t size) {
        for (const char *p = bytes; (p = memchr(p, '\n', size - (size_t)(p - bytes))); p++) {
                size_t left = size - (size_t)(p - bytes);

                if ((left >= 2 && p[1] == '\n') || (left >= 3 && p[1] == '\r' && p[2] == '\n'))
                        return true;
        }
        return false;
}

/* Whether what has come can still become a request of HTTP/1: a method begins with a letter, empty lines
 * before it are allowed, and the line ends with the version (RFC 9112 section 3). */
static bool may_be_http(const char *bytes, size_t size) {
        const char *end, *version;

        while (size > 0 && (*bytes == '\r' || *bytes == '\n')) {
                bytes++;
                size--;
        }
        if (size == 0)
                return true;
        if (!((*bytes >= 'A' && *bytes <= 'Z') || (*bytes >= 'a' && *bytes <= 'z')))
                return false;
        end = memchr(bytes, '\n', size);
        if (!end)
                return true;
        version = memmem(bytes, (size_t)(end - bytes), " HTTP/1.", strlen(" HTTP/1."));
        return version && memchr(bytes, ' ', (size_t)(version - bytes));
}

static void pending_look(struct listener *listener, struct pending *pending) {
        ssize_t n = recv(pending->fd, listener->peek, LISTENER_MAX_HEADER_BYTES, MSG_PEEK | MSG_DONTWAIT);
        char detail[128];

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                pending_close(listener, pending);
                return;
        }
        if (!pending->begun)
                pending->since_ns = clock_ns();
        pending->begun = true;
        if (!may_be_http(listener->peek, (size_t)n))
                pending_refuse(
                        listener, pending, PROBLEM_MALFORMED,
                        "this is no HTTP/1 request; the server speaks plain HTTP/1.1, neither TLS nor "
                        "HTTP/2");
        else if (has_headers(listener->peek, (size_t)n))
                pending_hand_on(listener, pending);
        else if ((size_t)n == LISTENER_MAX_HEADER_BYTES) {
                snprintf(detail, sizeof(detail),
                         "the request line and headers exceed %u bytes together; send less in them",
                         LISTENER_MAX_HEADER_BYTES);
                pending_refuse(listener, pending, PROBLEM_HEADERS_TOO_LARGE, detail);
        }
}

static void check_deadlines(struct listener *listener) {
        uint64_t now_ns = clock_ns();
        bool closing = atomic_load(&listener->closing);

        for (struct pending *p = listener->first, *next; p; p = next) {
                uint64_t age_ns = now_ns > p->since_ns ? now_ns - p->since_ns : 0;

                next = p->next;
                if (p->begun && age_ns > listener->options.header_timeout_ns)
                        pending_refuse(listener, p, PROBLEM_REQUEST_TIMEOUT,
                                       "the headers took too long; send them faster");
                else if (!p->begun &&
                         age_ns > (closing ? CLOSE_SILENT_NS : listener->options.idle_timeout_ns))
                        pending_close(listener, p);
        }
}

static void pending_add(struct listener *listener, int fd, const struct sockaddr_storage *address,
                        socklen_t address_size) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
        struct pending *pending = calloc(1, sizeof(*pending));

        event.data.ptr = pending;
        if (!pending || epoll_ctl(listener->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
                free(pending);
                close(fd);
                return;
        }
        pending->fd = fd;
        pending->since_ns = clock_ns();
        pending->address = *address;
        pending->address_size = address_size;
        pending->next = listener->first;
        if (pending->next)
                pending->next->previous = pending;
        listener->first = pending;
        listener->n_pending++;
}

/* False where nothing waits to be accepted. */
static bool accept_one(struct listener *listener) {
        struct sockaddr_storage address;
        socklen_t address_size = sizeof(address);
        int fd, one = 1;

        fd = accept4(listener->listen_fd, (struct sockaddr *)&address, &address_size,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
                if (errno == ECONNABORTED || errno == EINTR)
                        return true;
                if (errno != EAGAIN) {
                        /* Out of file descriptors or memory: the socket stays readable, so look away. */
                        log_event(listener->options.log, LOG_LEVEL_WARN, "accept failed",
                                  LOG_TEXT("error", strerror(errno)));
                        (void)!epoll_ctl(listener->epoll_fd, EPOLL_CTL_DEL, listener->listen_fd, NULL);
                        listener->paused_accept = true;
                }
                return false;
        }
        (void)!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (listener->n_pending + listener->options.n_connections(listener->options.argument) >=
            listener->options.max_connections) {
                metrics_shed(listener->options.metrics, METRICS_SHED_CONNECTIONS);
                refuse(listener, fd, clock_ns(), PROBLEM_NOT_READY,
                       "too many connections; reuse them, or come back later", 1);
                return true;
        }
        pending_add(listener, fd, &address, address_size);
        return true;
}

static void watch_listening(struct listener *listener) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};

        (void)!epoll_ctl(listener->epoll_fd, EPOLL_CTL_ADD, listener->listen_fd, &event);
        listener->paused_accept = false;
}

/* Between the last accept and close() a client may still slip in and be reset; that window is microseconds.
 */
static void stop_listening(struct listener *listener) {
        while (accept_one(listener))
                continue;
        (void)!epoll_ctl(listener->epoll_fd, EPOLL_CTL_DEL, listener->listen_fd, NULL);
        close(listener->listen_fd);
        listener->listen_fd = -1;
}

static void handle_event(struct listener *listener, const struct epoll_event *event) {
        uint64_t count;

        if (event->data.ptr == listener) {
                for (unsigned i = 0; i < ACCEPT_AT_ONCE && accept_one(listener); i++)
                        continue;
        } else if (event->data.ptr == &listener->wake_fd)
                (void)!read(listener->wake_fd, &count, sizeof(count));
        else
                pending_look(listener, event->data.ptr);
}

static void *run(void *argument) {
        struct listener *listener = argument;

        while (!atomic_load(&listener->stopped)) {
                struct epoll_event events[64];
                int n;

                n = epoll_wait(listener->epoll_fd, events, ARRAY_SIZE(events),
                               listener->first || listener->paused_accept ? TICK_MS : -1);
                for (int i = 0; i < n; i++)
                        handle_event(listener, &events[i]);
                check_deadlines(listener);
                if (listener->paused_accept && listener->listen_fd >= 0)
                        watch_listening(listener);
                if (atomic_load(&listener->closing)) {
                        if (listener->listen_fd >= 0)
                                stop_listening(listener);
                        atomic_store(&listener->done, listener->n_pending == 0);
                }
        }
        return NULL;
}

static int open_socket(struct listener *listener, struct error *error) {
        const char *host = listener->options.host;
        struct addrinfo hints = {
                .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
        struct addrinfo *address;
        char port[8];
        int r, one = 1, zero = 0;

        snprintf(port, sizeof(port), "%u", listener->options.port);
        if (strcmp(host, "localhost") != 0)
                hints.ai_flags |= AI_NUMERICHOST;
        r = getaddrinfo(host, port, &hints, &address);
        if (r != 0)
                return error_set(error, ERROR_INVALID, "cannot listen at \"%s\": %s; give an IP address",
                                 host, gai_strerror(r));

        r = 0;
        listener->listen_fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener->listen_fd >= 0) {
                (void)!setsockopt(listener->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
                /* "::" means every address, IPv4 too, whatever the system's default. */
                if (address->ai_family == AF_INET6)
                        (void)!setsockopt(listener->listen_fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero,
                                          sizeof(zero));
        }
        if (listener->listen_fd < 0 ||
            bind(listener->listen_fd, address->ai_addr, address->ai_addrlen) < 0 ||
            listen(listener->listen_fd, BACKLOG) < 0)
                r = error_set(error, ERROR_IO, "cannot listen at %s port %u: %s", host,
                              listener->options.port, strerror(errno));
        freeaddrinfo(address);
        return r;
}

static int read_port(struct listener *listener, struct error *error) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);

        if (getsockname(listener->listen_fd, (struct sockaddr *)&address, &size) < 0)
                return error_set(error, ERROR_IO, "getsockname: %s", strerror(errno));
        listener->port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                             : ((struct sockaddr_in *)&address)->sin_port);
        return 0;
}

int listener_new(struct listener **ret_listener, const struct listener_options *options,
                 struct error *error) {
        _cleanup_(listener_freep) struct listener *listener = NULL;
        struct epoll_event event = {.events = EPOLLIN};
        int r;

        listener = calloc(1, sizeof(*listener));
        if (!listener)
                return error_no_memory(error);
        listener->options = *options;
        listener->listen_fd = -1;
        listener->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        listener->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        listener->peek = malloc(LISTENER_MAX_HEADER_BYTES);
        if (!listener->peek)
                return error_no_memory(error);
        event.data.ptr = &listener->wake_fd;
        if (listener->epoll_fd < 0 || listener->wake_fd < 0 ||
            epoll_ctl(listener->epoll_fd, EPOLL_CTL_ADD, listener->wake_fd, &event) < 0)
                return error_set(error, ERROR_IO, "epoll: %s", strerror(errno));
        r = open_socket(listener, error);
        if (r < 0)
                return r;
        r = read_port(listener, error);
        if (r < 0)
                return r;

        *ret_listener = steal_ptr(&listener);
        return 0;
}

static void wake(struct listener *listener) {
        uint64_t one = 1;

        (void)!write(listener->wake_fd, &one, sizeof(one));
}

void listener_free(struct listener *listener) {
        if (listener->started) {
                atomic_store(&listener->stopped, true);
                wake(listener);
                pthread_join(listener->thread, NULL);
        }
        while (listener->first)
                pending_close(listener, listener->first);
        if (listener->listen_fd >= 0)
                close(listener->listen_fd);
        if (listener->epoll_fd >= 0)
                close(listener->epoll_fd);
        if (listener->wake_fd >= 0)
                close(listener->wake_fd);
        free(listener->peek);
        free(listener);
}

uint16_t listener_port(const struct listener *listener) {
        return listener->port;
}

int listener_start(struct listener *listener, struct error *error) {
        int r;

        watch_listening(listener);
        r = pthread_create(&listener->thread, NULL, run, listener);
        if (r != 0)
                return error_set(error, ERROR_IO, "listener thread: %s", strerror(r));
        listener->started = true;
        pthread_setname_np(listener->thread, "listener");
        return 0;
}

void listener_close(struct listener *listener) {
        atomic_store(&listener->closing, true);
        wake(listener);
}

bool listener_is_done(struct listener *listener) {
        return atomic_load(&listener->done);
}
