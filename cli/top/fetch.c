#include "cli/top/fetch.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "cli/top/http_reply.h"

#define READ_BYTES   ((size_t)64 << 10)
#define MAX_WAKE_FDS 4u

struct transfer {
        const struct url *url;
        const struct fetch_options *options;
        uint64_t deadline_ns;
        int fd;
        char *bytes;
        size_t size, capacity;
};

static int too_late(const struct transfer *transfer, const char *what, struct error *error) {
        return error_set(error, ERROR_IO, "%s: %s within %u ms", transfer->url->authority, what,
                         transfer->options->timeout_ms);
}

/* Until the socket is ready: 0, FETCH_INTERRUPTED, or ERROR_IO after the deadline. */
static int wait_for(const struct transfer *transfer, short events, const char *what, struct error *error) {
        size_t n_wake = MIN(transfer->options->n_wake_fds, (size_t)MAX_WAKE_FDS);
        struct pollfd fds[1 + MAX_WAKE_FDS] = {{.fd = transfer->fd, .events = events}};
        uint64_t now_ns;
        int n;

        for (size_t i = 0; i < n_wake; i++)
                fds[1 + i] = (struct pollfd){.fd = transfer->options->wake_fds[i], .events = POLLIN};
        for (;;) {
                now_ns = clock_ns();
                if (now_ns >= transfer->deadline_ns)
                        return too_late(transfer, what, error);
                n = poll(fds, 1 + n_wake, (int)((transfer->deadline_ns - now_ns) / 1000000 + 1));
                if (n < 0 && errno != EINTR)
                        return error_set(error, ERROR_IO, "poll: %s", strerror(errno));
                for (size_t i = 0; n > 0 && i < n_wake; i++)
                        if (fds[1 + i].revents)
                                return FETCH_INTERRUPTED;
                if (n > 0 && fds[0].revents)
                        return 0;
        }
}

static int no_connection(const struct transfer *transfer, int number, struct error *error) {
        return error_set(error, ERROR_IO, "%s: %s", transfer->url->authority, strerror(number));
}

static int connect_to(struct transfer *transfer, const struct addrinfo *address, struct error *error) {
        socklen_t size = sizeof(int);
        int number = 0, r;

        transfer->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (transfer->fd < 0)
                return no_connection(transfer, errno, error);
        if (connect(transfer->fd, address->ai_addr, address->ai_addrlen) < 0) {
                if (errno != EINPROGRESS)
                        return no_connection(transfer, errno, error);
                r = wait_for(transfer, POLLOUT, "no connection", error);
                if (r != 0)
                        return r;
                if (getsockopt(transfer->fd, SOL_SOCKET, SO_ERROR, &number, &size) < 0)
                        number = errno;
                if (number != 0)
                        return no_connection(transfer, number, error);
        }
        return 0;
}

static int connect_any(struct transfer *transfer, struct error *error) {
        const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        struct addrinfo *addresses;
        int r;

        r = getaddrinfo(transfer->url->host, transfer->url->port, &hints, &addresses);
        if (r != 0)
                return error_set(error, ERROR_IO, "%s: %s", transfer->url->host,
                                 r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
        r = ERROR_IO;
        for (const struct addrinfo *address = addresses; address && r < 0; address = address->ai_next) {
                closep(&transfer->fd);
                transfer->fd = -1;
                r = connect_to(transfer, address, error);
        }
        freeaddrinfo(addresses);
        return r;
}

static int send_request(struct transfer *transfer, struct error *error) {
        char request[URL_PATH_MAX + URL_HOST_MAX + 256];
        size_t size, sent = 0;
        int r;

        size = (size_t)snprintf(request, sizeof(request),
                                "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: saccade-top\r\n"
                                "Accept: text/plain;version=0.0.4\r\nConnection: close\r\n\r\n",
                                transfer->url->path, transfer->url->authority);
        while (sent < size) {
                ssize_t n = send(transfer->fd, request + sent, size - sent, MSG_NOSIGNAL);

                if (n >= 0) {
                        sent += (size_t)n;
                        continue;
                }
                if (errno != EAGAIN && errno != EINTR)
                        return no_connection(transfer, errno, error);
                r = wait_for(transfer, POLLOUT, "the request was not taken", error);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int make_room(struct transfer *transfer, struct error *error) {
        /* Chunks have some bytes of their own. */
        const size_t limit = HTTP_REPLY_MAX_HEADER + 2 * transfer->options->max_bytes + READ_BYTES;
        size_t capacity = MIN(MAX(transfer->capacity * 2, READ_BYTES), limit);
        char *bytes;

        if (transfer->size < transfer->capacity)
                return 0;
        if (transfer->capacity == limit)
                return error_set(error, ERROR_LIMIT, "%s: the answer has more than %zu bytes",
                                 transfer->url->authority, limit);
        bytes = realloc(transfer->bytes, capacity);
        if (!bytes)
                return error_no_memory(error);
        transfer->bytes = bytes;
        transfer->capacity = capacity;
        return 0;
}

static int receive(struct transfer *transfer, struct http_reply *ret_reply, struct error *error) {
        for (;;) {
                ssize_t n;
                int r;

                r = make_room(transfer, error);
                if (r == 0)
                        r = wait_for(transfer, POLLIN, "no complete answer", error);
                if (r != 0)
                        return r;
                n = recv(transfer->fd, transfer->bytes + transfer->size, transfer->capacity - transfer->size,
                         0);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        continue;
                if (n < 0)
                        return no_connection(transfer, errno, error);
                transfer->size += (size_t)n;
                r = http_reply_read(ret_reply, transfer->bytes, transfer->size, n == 0,
                                    transfer->options->max_bytes, error);
                if (r < 0)
                        return error_prefix(error, r, "%s", transfer->url->authority);
                if (r == 0)
                        return 0;
        }
}

static int check_status(const struct transfer *transfer, const struct http_reply *reply,
                        struct error *error) {
        if (reply->status == 200)
                return 0;
        if (reply->status >= 300 && reply->status < 400 && *reply->location)
                return error_set(error, ERROR_IO, "%s%s: answered %u; the metrics are at %s",
                                 transfer->url->authority, transfer->url->path, reply->status,
                                 reply->location);
        return error_set(error, ERROR_IO, "%s%s: answered %u%s", transfer->url->authority,
                         transfer->url->path, reply->status,
                         reply->status == 404 ? "; the path of saccade's metrics is /metrics" : "");
}

int fetch(char **ret_text, size_t *ret_size, const struct url *url, const struct fetch_options *options,
          struct error *error) {
        struct transfer transfer = {.url = url,
                                    .options = options,
                                    .deadline_ns = clock_ns() + (uint64_t)options->timeout_ms * 1000000u,
                                    .fd = -1};
        struct http_reply reply;
        int r;

        r = connect_any(&transfer, error);
        if (r == 0)
                r = send_request(&transfer, error);
        if (r == 0)
                r = receive(&transfer, &reply, error);
        if (r == 0)
                r = check_status(&transfer, &reply, error);
        closep(&transfer.fd);
        if (r != 0) {
                free(transfer.bytes);
                return r;
        }
        *ret_size = http_reply_join(&reply, transfer.bytes);
        memmove(transfer.bytes, transfer.bytes + reply.body, *ret_size);
        *ret_text = transfer.bytes;
        return 0;
}
