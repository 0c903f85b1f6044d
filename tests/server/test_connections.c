/* Connections and lingering, with real TCP sockets: both live from what the kernel says of them. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/connections.h"
#include "server/lingering.h"
#include "tests/server/suite.h"

#define BOUND_MS 10000

/* A connected pair of TCP sockets: [0] is the server's end. */
static void connect_pair(int ret_fds[2]) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(address);
        int listen_fd = socket(AF_INET, SOCK_STREAM, 0);

        ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&address, size), 0);
        ck_assert_int_eq(listen(listen_fd, 1), 0);
        ck_assert_int_eq(getsockname(listen_fd, (struct sockaddr *)&address, &size), 0);
        ret_fds[1] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(ret_fds[1], (struct sockaddr *)&address, size), 0);
        ret_fds[0] = accept(listen_fd, NULL, NULL);
        ck_assert_int_ge(ret_fds[0], 0);
        close(listen_fd);
}

/* Whether fd has something to read, an end included, within BOUND_MS. */
static bool becomes_readable(int fd) {
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};

        return poll(&pollfd, 1, BOUND_MS) == 1;
}

#define wait_for(condition)                                                                                 \
        do {                                                                                                \
                uint64_t _end_ns = clock_ns() + (uint64_t)BOUND_MS * 1000000;                               \
                while (!(condition) && clock_ns() < _end_ns)                                                \
                        poll(NULL, 0, 1);                                                                   \
                ck_assert(condition);                                                                       \
        } while (0)

static atomic_uint n_left;

static void count_left(void *argument) {
        atomic_fetch_add((atomic_uint *)argument, 1);
}

static struct connections *make(uint64_t read_timeout_ns, uint64_t idle_timeout_ns) {
        const struct connections_options options = {.read_timeout_ns = read_timeout_ns,
                                                    .idle_timeout_ns = idle_timeout_ns,
                                                    .left = count_left,
                                                    .argument = &n_left};
        struct connections *connections;

        ck_assert_int_eq(connections_new(&connections, &options, NULL), 0);
        return connections;
}

#define LONG_NS  3600000000000u
#define SHORT_NS 1000000u

START_TEST(a_client_that_leaves_while_its_request_is_worked_on_is_noticed) {
        _cleanup_(connections_freep) struct connections *connections = make(LONG_NS, LONG_NS);
        struct connection *connection;
        atomic_bool gone = false;
        int fds[2];

        connect_pair(fds);
        connection = connections_add(connections, fds[0], clock_ns());
        ck_assert_uint_eq(connections_count(connections), 1);
        connection_reading(connection, "id");
        ck_assert(connection_busy(connection, &gone));
        ck_assert(!atomic_load(&gone));
        ck_assert_uint_eq(atomic_load(&n_left), 0);
        close(fds[1]);
        wait_for(atomic_load(&gone));
        wait_for(atomic_load(&n_left) == 1); /* whoever works on it is told, too */
        connection_answering(connection);
        ck_assert(connection_idle(connection));
        connections_remove(connections, connection);
        ck_assert_uint_eq(connections_count(connections), 0);
        close(fds[0]);
}
END_TEST

START_TEST(a_client_that_leaves_after_the_answer_was_made_is_not_gone) {
        _cleanup_(connections_freep) struct connections *connections = make(LONG_NS, LONG_NS);
        atomic_bool gone = false, other_gone = false;
        struct connection *connection, *other;
        int fds[2], other_fds[2];

        connect_pair(fds);
        connect_pair(other_fds);
        connection = connections_add(connections, fds[0], clock_ns());
        other = connections_add(connections, other_fds[0], clock_ns());
        ck_assert(connection_busy(connection, &gone));
        ck_assert(connection_busy(other, &other_gone));
        connection_answering(connection);
        close(fds[1]);
        close(other_fds[1]);
        wait_for(atomic_load(&other_gone)); /* the later event has been seen, so the earlier one too */
        ck_assert(!atomic_load(&gone));
        connections_remove(connections, connection);
        connections_remove(connections, other);
        close(fds[0]);
        close(other_fds[0]);
}
END_TEST

START_TEST(a_request_that_does_not_end_is_answered_408_and_dropped) {
        _cleanup_(connections_freep) struct connections *connections = make(SHORT_NS, LONG_NS);
        struct connection *connection;
        char text[1024] = "";
        int fds[2];

        connect_pair(fds);
        connection = connections_add(connections, fds[0], clock_ns());
        connection_reading(connection, "the-id");
        ck_assert(becomes_readable(fds[1]));
        ck_assert_int_gt(recv(fds[1], text, sizeof(text) - 1, 0), 0);
        ck_assert_int_eq(strncmp(text, "HTTP/1.1 408 ", 13), 0);
        ck_assert_contains(text, "\"instance\":\"the-id\"");
        ck_assert(becomes_readable(fds[0])); /* the library reads an end, and closes */
        ck_assert_int_eq(recv(fds[0], text, sizeof(text), 0), 0);
        ck_assert(!connection_busy(connection, NULL));
        ck_assert(!connection_idle(connection));
        connections_remove(connections, connection);
        close(fds[0]);
        close(fds[1]);
}
END_TEST

START_TEST(work_takes_as_long_as_it_takes) {
        _cleanup_(connections_freep) struct connections *connections = make(SHORT_NS, SHORT_NS);
        struct connection *busy, *idle;
        atomic_bool gone = false;
        int fds[2], idle_fds[2];
        char byte;

        connect_pair(fds);
        connect_pair(idle_fds);
        busy = connections_add(connections, fds[0], clock_ns());
        ck_assert(connection_busy(busy, &gone));
        idle = connections_add(connections, idle_fds[0], clock_ns());
        ck_assert(
                becomes_readable(idle_fds[0])); /* closed for idleness: the deadlines have been looked at */
        ck_assert_int_eq(recv(idle_fds[0], &byte, 1, 0), 0);
        ck_assert_int_eq(recv(fds[0], &byte, 1, MSG_DONTWAIT), -1);
        ck_assert_int_eq(errno, EAGAIN);
        connections_remove(connections, busy);
        connections_remove(connections, idle);
        for (size_t i = 0; i < 2; i++) {
                close(fds[i]);
                close(idle_fds[i]);
        }
}
END_TEST

START_TEST(only_idle_connections_without_a_request_are_closed_for_a_drain) {
        _cleanup_(connections_freep) struct connections *connections = make(LONG_NS, LONG_NS);
        struct connection *all[3];
        int fds[3][2];
        char byte;

        for (size_t i = 0; i < 3; i++) {
                connect_pair(fds[i]);
                all[i] = connections_add(connections, fds[i][0], clock_ns());
        }
        connection_reading(all[1], "id");
        ck_assert_int_eq(send(fds[2][1], "G", 1, 0),
                         1); /* the beginning of a request that nobody has read yet */
        ck_assert(becomes_readable(fds[2][0]));
        connections_close_idle(connections, LONG_NS);
        ck_assert_int_eq(recv(fds[0][0], &byte, 1, MSG_DONTWAIT), -1); /* not idle for long enough */
        connections_close_idle(connections, 0);
        ck_assert_int_eq(recv(fds[0][0], &byte, 1, MSG_DONTWAIT), 0);
        ck_assert_int_eq(recv(fds[1][0], &byte, 1, MSG_DONTWAIT), -1);
        ck_assert_int_eq(recv(fds[2][0], &byte, 1, MSG_DONTWAIT), 1);
        ck_assert_int_eq(recv(fds[2][0], &byte, 1, MSG_DONTWAIT), -1);
        for (size_t i = 0; i < 3; i++) {
                connections_remove(connections, all[i]);
                close(fds[i][0]);
                close(fds[i][1]);
        }
}
END_TEST

START_TEST(a_lingering_socket_is_read_until_its_client_closes) {
        _cleanup_(lingering_freep) struct lingering *lingering = NULL;
        char bytes[65536] = "", answer[8];
        int fds[2];

        ck_assert_int_eq(lingering_new(&lingering, NULL), 0);
        connect_pair(fds);
        ck_assert_int_eq(send(fds[0], "answer", 6, 0), 6);
        shutdown(fds[0], SHUT_WR);
        lingering_add(lingering, fds[0]);
        ck_assert_uint_eq(lingering_count(lingering), 1);
        for (size_t i = 0; i < 400; i++) /* 25 MiB: far more than the sockets hold */
                ck_assert_int_eq(send(fds[1], bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
        ck_assert_int_eq(recv(fds[1], answer, sizeof(answer), 0), 6);
        ck_assert_int_eq(recv(fds[1], answer, sizeof(answer), 0), 0);
        close(fds[1]);
        wait_for(lingering_count(lingering) == 0);
}
END_TEST

START_TEST(a_lingering_socket_that_stays_silent_is_closed) {
        _cleanup_(lingering_freep) struct lingering *lingering = NULL;
        int fds[2];

        ck_assert_int_eq(lingering_new(&lingering, NULL), 0);
        connect_pair(fds);
        lingering_add(lingering, fds[0]);
        wait_for(lingering_count(lingering) == 0);
        close(fds[1]);
}
END_TEST

START_TEST(lingering_is_bounded) {
        _cleanup_(lingering_freep) struct lingering *lingering = NULL;
        int clients[LINGERING_MAX_SOCKETS + 1], fds[2];
        char byte;

        ck_assert_int_eq(lingering_new(&lingering, NULL), 0);
        for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
                ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
                lingering_add(lingering, fds[0]);
                clients[i] = fds[1];
        }
        /* The one too many was closed at once. */
        ck_assert_int_eq(recv(clients[LINGERING_MAX_SOCKETS], &byte, 1, MSG_DONTWAIT), 0);
        for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
                close(clients[i]);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("connections");

        tcase_set_timeout(tests, 60);
        tcase_add_test(tests, a_client_that_leaves_while_its_request_is_worked_on_is_noticed);
        tcase_add_test(tests, a_client_that_leaves_after_the_answer_was_made_is_not_gone);
        tcase_add_test(tests, a_request_that_does_not_end_is_answered_408_and_dropped);
        tcase_add_test(tests, work_takes_as_long_as_it_takes);
        tcase_add_test(tests, only_idle_connections_without_a_request_are_closed_for_a_drain);
        tcase_add_test(tests, a_lingering_socket_is_read_until_its_client_closes);
        tcase_add_test(tests, a_lingering_socket_that_stays_silent_is_closed);
        tcase_add_test(tests, lingering_is_bounded);
        return suite_run(tests);
}
