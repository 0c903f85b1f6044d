#include "server/connections.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/problem.h"
#include "server/reply.h"

#define TICK_MS    250
#define WAKE_EVENT UINT64_MAX

enum connection_state {
        CONNECTION_IDLE,
        CONNECTION_READING,
        CONNECTION_BUSY,
        CONNECTION_EXPIRED, /* answered with 408; the library will notice and close */
};

struct connection {
        struct connections *all;
        struct connection *previous, *next;
        int fd;
        uint64_t number; /* never used twice: an event may be older than its connection's end */
        enum connection_state state;
        uint64_t since_ns;      /* when the state began */
        const char *request_id; /* reading */
        atomic_bool *gone;      /* busy */
        bool hung_up;           /* the client did */
        bool shut;              /* we did: its receiving side */
};

struct connections {
        struct connections_options options;
        int epoll_fd, wake_fd;
        pthread_t thread;
        bool started;
        pthread_mutex_t lock; /* of what follows, and of the fields of all connections */
        struct connection *first;
        size_t n_connections;
        uint64_t next_number;
        bool stopped;
};

/* Shutting down the receiving side makes the library read an end of file, on its own thread. */
static void shut_receiving(struct connection *connection) {
        if (!connection->shut)
                shutdown(connection->fd, SHUT_RD);
        connection->shut = true;
}

static void answer_timeout(struct connection *connection) {
        struct problem problem = {0};
        struct reply reply = {0};

        problem_set(&problem, PROBLEM_REQUEST_TIMEOUT,
                    "the request was not complete after %u s; send it faster, or send less",
                    (unsigned)(connection->all->options.read_timeout_ns / 1000000000u));
        problem.instance = connection->request_id;
        reply_problem(&reply, &problem);
        reply_send(&reply, connection->fd, connection->request_id);
        reply_release(&reply);
}

static void check_deadlines(struct connections *connections) {
        uint64_t now_ns = clock_ns();

        for (struct connection *c = connections->first; c; c = c->next) {
                uint64_t age_ns = now_ns > c->since_ns ? now_ns - c->since_ns : 0;

                if (c->state == CONNECTION_READING && age_ns > connections->options.read_timeout_ns) {
                        answer_timeout(c);
                        c->state = CONNECTION_EXPIRED;
                        shut_receiving(c);
                } else if (c->state == CONNECTION_IDLE && age_ns > connections->options.idle_timeout_ns)
                        shut_receiving(c);
        }
}

/* Whether somebody works on its request, in vain now. */
static bool note_hang_up(struct connections *connections, uint64_t number) {
        struct connection *c = connections->first;

        while (c && c->number != number)
                c = c->next;
        if (!c)
                return false;
        c->hung_up = true;
        if (c->state != CONNECTION_BUSY || !c->gone)
                return false;
        atomic_store_explicit(c->gone, true, memory_order_relaxed);
        return true;
}

static void *run(void *argument) {
        struct connections *connections = argument;
        int timeout_ms = -1;

        for (;;) {
                struct epoll_event events[64];
                bool stopped, left = false;
                int n;

                n = epoll_wait(connections->epoll_fd, events, ARRAY_SIZE(events), timeout_ms);
                pthread_mutex_lock(&connections->lock);
                for (int i = 0; i < n; i++) {
                        uint64_t count;

                        if (events[i].data.u64 == WAKE_EVENT)
                                (void)!read(connections->wake_fd, &count, sizeof(count));
                        else
                                left |= note_hang_up(connections, events[i].data.u64);
                }
                check_deadlines(connections);
                timeout_ms = connections->first ? TICK_MS : -1;
                stopped = connections->stopped;
                pthread_mutex_unlock(&connections->lock);
                if (stopped)
                        return NULL;
                if (left && connections->options.left)
                        connections->options.left(connections->options.argument);
        }
}

static void wake(struct connections *connections) {
        uint64_t one = 1;

        (void)!write(connections->wake_fd, &one, sizeof(one));
}

int connections_new(struct connections **ret_connections, const struct connections_options *options,
                    struct error *error) {
        _cleanup_(connections_freep) struct connections *connections = NULL;
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE_EVENT};
        int r;

        connections = calloc(1, sizeof(*connections));
        if (!connections)
                return error_no_memory(error);
        connections->options = *options;
        pthread_mutex_init(&connections->lock, NULL);
        connections->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        connections->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (connections->epoll_fd < 0 || connections->wake_fd < 0 ||
            epoll_ctl(connections->epoll_fd, EPOLL_CTL_ADD, connections->wake_fd, &event) < 0)
                return error_set(error, ERROR_IO, "epoll: %s", strerror(errno));
        r = pthread_create(&connections->thread, NULL, run, connections);
        if (r != 0)
                return error_set(error, ERROR_IO, "connections thread: %s", strerror(r));
        connections->started = true;
        pthread_setname_np(connections->thread, "connections");

        *ret_connections = steal_ptr(&connections);
        return 0;
}

void connections_free(struct connections *connections) {
        if (connections->started) {
                pthread_mutex_lock(&connections->lock);
                connections->stopped = true;
                pthread_mutex_unlock(&connections->lock);
                wake(connections);
                pthread_join(connections->thread, NULL);
        }
        while (connections->first) {
                struct connection *next = connections->first->next;

                free(connections->first);
                connections->first = next;
        }
        if (connections->epoll_fd >= 0)
                close(connections->epoll_fd);
        if (connections->wake_fd >= 0)
                close(connections->wake_fd);
        pthread_mutex_destroy(&connections->lock);
        free(connections);
}

struct connection *connections_add(struct connections *connections, int fd, uint64_t begun_ns) {
        /* Edge-triggered: a client that has gone is reported once, not until it is cleaned up. */
        struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET};
        struct connection *connection;
        bool first;

        connection = calloc(1, sizeof(*connection));
        if (!connection)
                return NULL;
        connection->all = connections;
        connection->fd = fd;
        connection->since_ns = begun_ns;

        pthread_mutex_lock(&connections->lock);
        connection->number = connections->next_number++;
        first = !connections->first;
        connection->next = connections->first;
        if (connection->next)
                connection->next->previous = connection;
        connections->first = connection;
        connections->n_connections++;
        event.data.u64 = connection->number;
        /* Where that fails, a client that leaves is noticed late: no reason to refuse it. */
        (void)!epoll_ctl(connections->epoll_fd, EPOLL_CTL_ADD, fd, &event);
        pthread_mutex_unlock(&connections->lock);
        if (first)
                wake(connections);
        return connection;
}

void connections_remove(struct connections *connections, struct connection *connection) {
        pthread_mutex_lock(&connections->lock);
        /* Explicitly: a lingering duplicate would keep it in the set. */
        (void)!epoll_ctl(connections->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
        if (connection->previous)
                connection->previous->next = connection->next;
        else
                connections->first = connection->next;
        if (connection->next)
                connection->next->previous = connection->previous;
        connections->n_connections--;
        pthread_mutex_unlock(&connections->lock);
        free(connection);
}

size_t connections_count(struct connections *connections) {
        size_t n;

        pthread_mutex_lock(&connections->lock);
        n = connections->n_connections;
        pthread_mutex_unlock(&connections->lock);
        return n;
}

int connection_fd(const struct connection *connection) {
        return connection->fd;
}

void connection_reading(struct connection *connection, const char *request_id) {
        pthread_mutex_lock(&connection->all->lock);
        if (connection->state == CONNECTION_IDLE) {
                connection->state = CONNECTION_READING;
                connection->since_ns = clock_ns();
        }
        connection->request_id = request_id;
        pthread_mutex_unlock(&connection->all->lock);
}

bool connection_busy(struct connection *connection, atomic_bool *gone) {
        bool alive;

        pthread_mutex_lock(&connection->all->lock);
        alive = connection->state != CONNECTION_EXPIRED;
        if (alive) {
                connection->state = CONNECTION_BUSY;
                connection->since_ns = clock_ns();
                connection->gone = gone;
                if (connection->hung_up && gone)
                        atomic_store_explicit(gone, true, memory_order_relaxed);
        }
        connection->request_id = NULL;
        pthread_mutex_unlock(&connection->all->lock);
        return alive;
}

void connection_answering(struct connection *connection) {
        pthread_mutex_lock(&connection->all->lock);
        connection->gone = NULL;
        pthread_mutex_unlock(&connection->all->lock);
}

bool connection_idle(struct connection *connection) {
        bool alive;

        pthread_mutex_lock(&connection->all->lock);
        alive = connection->state != CONNECTION_EXPIRED;
        if (alive) {
                connection->state = CONNECTION_IDLE;
                connection->since_ns = clock_ns();
        }
        connection->gone = NULL;
        connection->request_id = NULL;
        pthread_mutex_unlock(&connection->all->lock);
        return alive;
}

void connections_close_idle(struct connections *connections, uint64_t at_least_ns) {
        uint64_t now_ns = clock_ns();

        pthread_mutex_lock(&connections->lock);
        for (struct connection *c = connections->first; c; c = c->next) {
                int unread = 0;

                if (c->state != CONNECTION_IDLE || now_ns < c->since_ns + at_least_ns)
                        continue;
                if (ioctl(c->fd, FIONREAD, &unread) == 0 && unread == 0)
                        shut_receiving(c);
        }
        pthread_mutex_unlock(&connections->lock);
}
