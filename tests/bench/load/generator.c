#include "tests/bench/load/generator.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/macros.h"
#include "tests/bench/load/response.h"

#define MAX_EVENTS       256
#define READ_BYTES       65536u
#define MAX_HEADER_BYTES 1024u
/* A server that is gone is not asked again in a circle that burns the CPU. */
#define PAUSE_AFTER_BROKEN_NS 10000000u
#define REAL_TIME_PRIORITY    1

enum state { STATE_CLOSED, STATE_IDLE, STATE_BUSY };

struct connection {
        int fd;
        enum state state;
        bool answered; /* while BUSY: the answer came before all of the body was sent */
        struct request request;
        size_t header_bytes, sent_bytes, total_bytes;
        char header[MAX_HEADER_BYTES];
        struct response response;
};

struct generator {
        const struct generator_options *options;
        struct generator_result *result;
        struct tally interval;
        uint64_t interval_end_ns;
        uint64_t start_ns, end_ns; /* end: nothing is scheduled any more */
        int epoll_fd;
        struct connection *connections;
        size_t *idle, *closed; /* indices: stacks, so that few connections stay warm */
        size_t n_idle, n_closed;
        struct arrivals arrivals;
        uint64_t next_arrival_ns;
        struct requests requests;
        size_t next_body;
        bool blocked; /* requests that are due wait for a connection */
        unsigned char *zeros;
        unsigned char *buffer;
        int failure; /* ERROR_NO_MEMORY, from wherever */
};

static void keep_failure(struct generator *g, int r) {
        if (r < 0)
                g->failure = r;
}

static void schedule(struct generator *g, uint64_t due_ns) {
        const struct request request = {.first_ns = due_ns, .due_ns = due_ns, .body = g->next_body};
        const struct tally_options *window = &g->result->tally.options;

        g->next_body = (g->next_body + 1) % g->options->bodies->n;
        g->result->n_scheduled += due_ns >= window->start_ns && due_ns < window->end_ns;
        keep_failure(g, requests_put(&g->requests, &request));
}

static void close_connection(struct generator *g, struct connection *c) {
        if (c->state == STATE_IDLE)
                for (size_t i = 0; i < g->n_idle; i++)
                        if (&g->connections[g->idle[i]] == c) {
                                g->idle[i] = g->idle[--g->n_idle];
                                break;
                        }
        close(c->fd);
        c->fd = -1;
        c->state = STATE_CLOSED;
        g->closed[g->n_closed++] = (size_t)(c - g->connections);
}

/* What follows the end of a request: in a closed loop the next one, after a refusal that is obeyed the same
 * one. retry_ns: 0, or when. */
static void follow(struct generator *g, const struct request *request, uint64_t retry_ns, uint64_t now_ns,
                   uint64_t pause_ns) {
        struct request again = *request;

        if (retry_ns > 0) {
                again.due_ns = retry_ns;
                keep_failure(g, requests_put(&g->requests, &again));
        } else if (!g->options->open)
                schedule(g, now_ns + pause_ns);
}

static void broken(struct generator *g, struct connection *c) {
        uint64_t now_ns = clock_ns();

        if (c->state == STATE_BUSY && !c->answered) {
                tally_broken(&g->result->tally, &c->request, now_ns);
                tally_broken(&g->interval, &c->request, now_ns);
                follow(g, &c->request, 0, now_ns, PAUSE_AFTER_BROKEN_NS);
        }
        close_connection(g, c);
}

static void answered(struct generator *g, struct connection *c) {
        const struct response *response = &c->response;
        uint64_t now_ns = clock_ns(), retry_ns = 0;

        c->answered = true;
        g->result->n_answers++;
        keep_failure(g, tally_answer(&g->result->tally, &c->request, response->status, now_ns));
        keep_failure(g, tally_answer(&g->interval, &c->request, response->status, now_ns));
        if (g->options->obey_retry_after && tally_is_refusal(response->status) && response->has_retry_after)
                retry_ns = now_ns + (uint64_t)response->retry_after_s * 1000000000u;
        follow(g, &c->request, retry_ns, now_ns, 0);
}

/* The connection is free again, or not worth keeping. */
static void finish(struct generator *g, struct connection *c) {
        if (c->response.closes) {
                close_connection(g, c);
                return;
        }
        if (c->sent_bytes < c->total_bytes)
                return; /* the rest of the body must go out first */
        c->state = STATE_IDLE;
        g->idle[g->n_idle++] = (size_t)(c - g->connections);
}

/* False where the connection broke. */
static bool send_more(struct generator *g, struct connection *c) {
        const struct blob *blob = &g->options->bodies->bodies[c->request.body].blob;
        const struct iovec parts[] = {
                {c->header, c->header_bytes},
                {(void *)blob->bytes, blob->size},
                {g->zeros, c->total_bytes - c->header_bytes - blob->size},
        };

        while (c->sent_bytes < c->total_bytes) {
                struct iovec rest[ARRAY_SIZE(parts)];
                struct msghdr message = {.msg_iov = rest};
                size_t skip = c->sent_bytes;
                ssize_t n;

                for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
                        size_t skipped = MIN(skip, parts[i].iov_len);

                        skip -= skipped;
                        if (parts[i].iov_len > skipped)
                                rest[message.msg_iovlen++] = (struct iovec){
                                        (char *)parts[i].iov_base + skipped, parts[i].iov_len - skipped};
                }
                n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return true;
                if (n < 0)
                        return false;
                c->sent_bytes += (size_t)n;
        }
        return true;
}

/* False where the connection is at its end or broke. */
static bool receive_more(struct generator *g, struct connection *c) {
        for (;;) {
                ssize_t n = recv(c->fd, g->buffer, READ_BYTES, 0);
                bool complete = false;

                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return true;
                if (n <= 0) {
                        if (n == 0 && c->state == STATE_BUSY && !c->answered && response_end(&c->response))
                                answered(g, c);
                        return false;
                }
                if (c->state != STATE_BUSY || c->answered)
                        return false; /* an answer to no question */
                if (response_feed(&c->response, (const char *)g->buffer, (size_t)n, &complete) < 0)
                        return false;
                if (complete) {
                        answered(g, c);
                        if (c->response.closes)
                                return false;
                }
        }
}

static void advance(struct generator *g, struct connection *c) {
        bool sound = true;

        if (c->state == STATE_BUSY)
                sound = send_more(g, c);
        /* Clients that look for an answer while they send find one even where sending has become impossible.
         */
        if (!g->options->read_late || (sound && c->sent_bytes == c->total_bytes))
                sound = receive_more(g, c) && sound;
        if (!sound)
                broken(g, c);
        else if (c->state == STATE_BUSY && c->answered)
                finish(g, c);
}

static void start(struct generator *g, struct connection *c, const struct request *request) {
        const struct body *body = &g->options->bodies->bodies[request->body];
        size_t size = MAX(body->blob.size, g->options->body_bytes);
        int n = snprintf(
                c->header, sizeof(c->header),
                "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                g->options->target, body->type, size);

        c->request = *request;
        c->request.n_attempts++;
        c->header_bytes = (size_t)n;
        c->sent_bytes = 0;
        c->total_bytes = c->header_bytes + size;
        c->answered = false;
        c->state = STATE_BUSY;
        response_begin(&c->response);
        advance(g, c);
}

static int open_connection(struct generator *g, struct connection *c, struct error *error) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
        int on = 1;

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c->fd < 0)
                return error_set(error, ERROR_IO, "socket: %s", strerror(errno));
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (g->options->n_sources > 0) {
                struct sockaddr_in source = {.sin_family = AF_INET};
                unsigned index = (unsigned)((size_t)(c - g->connections) % g->options->n_sources);

                source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index);
                setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
                if (bind(c->fd, (struct sockaddr *)&source, sizeof(source)) < 0)
                        return error_set(error, ERROR_IO, "bind: %s", strerror(errno));
        }
        /* Any other failure shows when something is sent. */
        (void)!connect(c->fd, (const struct sockaddr *)&g->options->address, sizeof(g->options->address));
        if (epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
                return error_set(error, ERROR_IO, "epoll: %s", strerror(errno));
        g->result->n_connected++;
        return 0;
}

/* Sends what is due, as far as connections allow. */
static int dispatch(struct generator *g, uint64_t now_ns, struct error *error) {
        while (requests_due_ns(&g->requests) <= now_ns) {
                struct connection *c;
                struct request request;
                int r;

                if (g->n_idle == 0 && g->n_closed == 0) {
                        g->blocked = true;
                        return 0;
                }
                request = requests_take(&g->requests);
                if (g->blocked)
                        g->result->n_waited_for_connection++;
                else
                        keep_failure(g, samples_add(&g->result->late, clock_ns() - request.due_ns));
                if (g->n_idle > 0) {
                        c = &g->connections[g->idle[--g->n_idle]];
                } else {
                        c = &g->connections[g->closed[--g->n_closed]];
                        r = open_connection(g, c, error);
                        if (r < 0)
                                return r;
                }
                start(g, c, &request);
        }
        g->blocked = false;
        return 0;
}

static void arrive(struct generator *g, uint64_t now_ns) {
        while (g->options->open && g->next_arrival_ns <= now_ns && g->next_arrival_ns < g->end_ns) {
                schedule(g, g->next_arrival_ns);
                g->next_arrival_ns = g->start_ns + arrivals_next(&g->arrivals);
        }
}

static void report_interval(struct generator *g, uint64_t now_ns) {
        const struct generator_options *options = g->options;
        struct tally *tally = &g->interval;

        if (options->interval_ns == 0 || now_ns < g->interval_end_ns)
                return;
        options->interval(options->context, (double)(g->interval_end_ns - g->start_ns) / 1e9, tally);
        tally_release(tally);
        *tally = (struct tally){.options = {.start_ns = g->interval_end_ns,
                                            .end_ns = UINT64_MAX,
                                            .deadline_ns = options->deadline_ns}};
        g->interval_end_ns += options->interval_ns;
}

/* Whether nothing is left that could still be counted. */
static bool done(const struct generator *g, uint64_t now_ns) {
        size_t n_busy = g->options->n_connections - g->n_idle - g->n_closed;

        if (now_ns < g->end_ns)
                return false;
        if (now_ns >= g->end_ns + g->options->grace_ns)
                return true;
        return n_busy == 0 && (!g->options->open || g->requests.n == 0);
}

static uint64_t next_event_ns(const struct generator *g, uint64_t now_ns) {
        uint64_t next = now_ns < g->end_ns ? g->end_ns : g->end_ns + g->options->grace_ns;

        if (g->options->open && g->next_arrival_ns < g->end_ns)
                next = MIN(next, g->next_arrival_ns);
        if (!g->blocked && (g->options->open || now_ns < g->end_ns))
                next = MIN(next, requests_due_ns(&g->requests));
        if (g->options->interval_ns > 0)
                next = MIN(next, g->interval_end_ns);
        return MAX(next, now_ns);
}

static int wait_for_events(struct generator *g, uint64_t now_ns, struct error *error) {
        uint64_t wait_ns = next_event_ns(g, now_ns) - now_ns;
        const struct timespec wait = {(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
        struct epoll_event events[MAX_EVENTS];
        int n = epoll_pwait2(g->epoll_fd, events, MAX_EVENTS, &wait, NULL);

        if (n < 0 && errno != EINTR)
                return error_set(error, ERROR_IO, "epoll: %s", strerror(errno));
        for (int i = 0; i < n; i++)
                advance(g, events[i].data.ptr);
        return 0;
}

static int loop(struct generator *g, struct error *error) {
        uint64_t now_ns;
        int r = 0;

        for (size_t i = 0; !g->options->open && i < g->options->n_connections; i++)
                schedule(g, g->start_ns);
        while (now_ns = clock_ns(), !done(g, now_ns)) {
                report_interval(g, now_ns);
                arrive(g, now_ns);
                if (g->options->open || now_ns < g->end_ns)
                        r = dispatch(g, now_ns, error);
                if (r >= 0)
                        r = wait_for_events(g, now_ns, error);
                if (r < 0)
                        return r;
                if (g->failure < 0)
                        return error_no_memory(error);
        }
        return 0;
}

static void count_rest(struct generator *g) {
        struct tally *tally = &g->result->tally;

        for (size_t i = 0; i < g->options->n_connections; i++)
                if (g->connections[i].state == STATE_BUSY && !g->connections[i].answered)
                        tally_unanswered(tally, &g->connections[i].request);
        while (g->requests.n > 0) {
                struct request request = requests_take(&g->requests);

                if (request.n_attempts > 0)
                        g->result->n_retries_left++;
                else
                        tally_unanswered(tally, &request);
        }
}

static double cpu_s(void) {
        struct rusage usage;

        getrusage(RUSAGE_SELF, &usage);
        return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void generator_release(struct generator *g) {
        for (size_t i = 0; g->connections && i < g->options->n_connections; i++)
                if (g->connections[i].fd >= 0)
                        close(g->connections[i].fd);
        if (g->epoll_fd >= 0)
                close(g->epoll_fd);
        tally_release(&g->interval);
        requests_release(&g->requests);
        free(g->connections);
        free(g->idle);
        free(g->closed);
        free(g->zeros);
        free(g->buffer);
}

static int allocate(struct generator *g, struct error *error) {
        size_t n = g->options->n_connections;

        g->connections = calloc(n, sizeof(*g->connections));
        g->idle = calloc(n, sizeof(*g->idle));
        g->closed = calloc(n, sizeof(*g->closed));
        g->zeros = calloc(1, MAX(g->options->body_bytes, (size_t)1));
        g->buffer = malloc(READ_BYTES);
        if (!g->connections || !g->idle || !g->closed || !g->zeros || !g->buffer)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++) {
                g->connections[i].fd = -1;
                g->closed[g->n_closed++] = n - 1 - i;
        }
        g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        return g->epoll_fd < 0 ? error_set(error, ERROR_IO, "epoll: %s", strerror(errno)) : 0;
}

/* Moments are kept to the microsecond, not to 50; and on CPUs that a server fills, a client that must wait
 * for its turn would measure that: it goes first where it may, for the little time that it takes. */
static void become_punctual(struct generator_result *result) {
        const struct sched_param parameters = {.sched_priority = REAL_TIME_PRIORITY};

        prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
        result->real_time = sched_setscheduler(0, SCHED_RR, &parameters) == 0;
}

int generator_run(struct generator_result *result, const struct generator_options *options,
                  struct error *error) {
        _cleanup_(generator_release) struct generator g = {
                .options = options, .result = result, .epoll_fd = -1};
        double cpu_before_s = cpu_s();
        int r;

        r = allocate(&g, error);
        if (r < 0)
                return r;
        become_punctual(result);
        g.start_ns = clock_ns();
        g.end_ns = g.start_ns + options->warm_up_ns + options->window_ns;
        result->tally.options = (struct tally_options){.open = options->open,
                                                       .start_ns = g.start_ns + options->warm_up_ns,
                                                       .end_ns = g.end_ns,
                                                       .deadline_ns = options->deadline_ns};
        g.interval.options = (struct tally_options){
                .start_ns = g.start_ns, .end_ns = UINT64_MAX, .deadline_ns = options->deadline_ns};
        g.interval_end_ns = g.start_ns + options->interval_ns;
        arrivals_init(&g.arrivals, &options->arrivals);
        g.next_arrival_ns = options->open ? g.start_ns + arrivals_next(&g.arrivals) : UINT64_MAX;
        r = loop(&g, error);
        if (r < 0)
                return r;
        count_rest(&g);
        result->cpu_s = cpu_s() - cpu_before_s;
        return 0;
}

void generator_result_release(struct generator_result *result) {
        tally_release(&result->tally);
        samples_release(&result->late);
}
