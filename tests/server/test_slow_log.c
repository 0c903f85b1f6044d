#include <pthread.h>
#include <unistd.h>

#include "server/log.h"
#include "server/metrics.h"
#include "server/slow_log.h"
#include "tests/server/suite.h"

#define NS_PER_S UINT64_C(1000000000)

static const char *const handlers[] = {"classify"};
static struct metrics *metrics;
static struct log *log_;
static struct slow_log *slow_log;
static int pipe_fds[2];

static void set_up(void) {
        const struct metrics_options options = {
                .version = "1.2.3", .handlers = handlers, .n_handlers = 1, .n_models = 1};

        ck_assert_int_eq(pipe(pipe_fds), 0);
        ck_assert_int_eq(metrics_new(&metrics, &options, NULL), 0);
        ck_assert_int_eq(log_new(&log_, pipe_fds[1], LOG_FORMAT_TEXT, LOG_LEVEL_WARN, NULL), 0);
        ck_assert_int_eq(
                slow_log_new(&slow_log,
                             &(struct slow_log_options){.log = log_, .metrics = metrics, .threshold_ms = 50},
                             NULL),
                0);
}

static void tear_down(void) {
        slow_log_freep(&slow_log);
        log_free(log_);
        metrics_free(metrics);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
}

/* All that was logged so far. */
static const char *logged(void) {
        static char text[65536];
        ssize_t n;

        ck_assert_int_eq(write(pipe_fds[1], "\n", 1), 1); /* so that there is something to read */
        n = read(pipe_fds[0], text, sizeof(text) - 1);
        ck_assert_int_gt(n, 0);
        text[n] = 0;
        return text;
}

static size_t count_lines(const char *text, const char *part) {
        size_t n = 0;

        for (const char *p = strstr(text, part); p; p = strstr(p + 1, part))
                n++;
        return n;
}

static struct slow_request request_of(double total_ms) {
        return (struct slow_request){
                .id = "the-id",
                .model = "resnet50",
                .traceparent = "",
                .status = 200,
                .latency = {.receive_ms = 1,
                            .decode_ms = 2,
                            .queue_ms = 30,
                            .infer_ms = 17,
                            .total_ms = total_ms},
                .encode_ms = 0.5,
                .n_images = 1,
                .batch_size = 4,
                .width = 451,
                .height = 300,
                .body_bytes = 12345,
        };
}

START_TEST(a_slow_request_is_logged_with_its_stages) {
        struct slow_request request = request_of(50.5);
        _cleanup_(freep) char *text = NULL;
        size_t size;

        slow_log_consider(slow_log, &request);
        ck_assert_contains(logged(),
                           "warn  slow request id=the-id model=resnet50 status=200 total_ms=50.500 "
                           "receive_ms=1.000 decode_ms=2.000 queue_ms=30.000 infer_ms=17.000 "
                           "encode_ms=0.500 images=1 batch_size=4 image_size=451x300 body_bytes=12345 "
                           "left_out=0\n");
        ck_assert_int_eq(metrics_render(metrics, &(struct metrics_gauges){0}, false, &text, &size, NULL), 0);
        ck_assert_contains(text, "\nsaccade_slow_requests_total 1\n");
}
END_TEST

START_TEST(a_fast_request_is_not) {
        struct slow_request request = request_of(50);

        slow_log_consider(slow_log, &request);
        ck_assert_str_eq(logged(), "\n");
}
END_TEST

START_TEST(without_a_threshold_nothing_is_slow) {
        struct slow_request request = request_of(1e9);

        slow_log_free(steal_ptr(&slow_log));
        ck_assert_int_eq(
                slow_log_new(&slow_log, &(struct slow_log_options){.log = log_, .metrics = metrics}, NULL),
                0);
        slow_log_consider(slow_log, &request);
        ck_assert_str_eq(logged(), "\n");
}
END_TEST

START_TEST(what_comes_before_the_image_is_decoded_has_no_size) {
        struct slow_request request = request_of(60);

        request.width = request.height = 0;
        request.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        slow_log_consider(slow_log, &request);
        ck_assert_contains(
                logged(),
                "batch_size=4 body_bytes=12345 "
                "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 left_out=0\n");
}
END_TEST

START_TEST(a_second_has_so_many_lines_and_the_next_one_counts_the_rest) {
        uint64_t now_ns = 1000 * NS_PER_S + 1, left_out = 77;

        for (unsigned i = 0; i < SLOW_LOG_PER_SECOND; i++) {
                ck_assert(slow_log_may_write(slow_log, now_ns, &left_out));
                ck_assert_uint_eq(left_out, 0);
        }
        for (unsigned i = 0; i < 5; i++)
                ck_assert(!slow_log_may_write(slow_log, 1001 * NS_PER_S - 1, &left_out));
        /* A thread that looked at the clock before the others begins no second anew. */
        ck_assert(slow_log_may_write(slow_log, 1001 * NS_PER_S, &left_out));
        ck_assert_uint_eq(left_out, 5);
        ck_assert(slow_log_may_write(slow_log, now_ns, &left_out));
        ck_assert_uint_eq(left_out, 0);
        for (unsigned i = 2; i < SLOW_LOG_PER_SECOND; i++)
                ck_assert(slow_log_may_write(slow_log, now_ns, &left_out));
        ck_assert(!slow_log_may_write(slow_log, now_ns, &left_out));
}
END_TEST

START_TEST(the_end_tells_what_no_line_told) {
        uint64_t left_out;

        for (unsigned i = 0; i < SLOW_LOG_PER_SECOND + 3; i++)
                slow_log_may_write(slow_log, NS_PER_S, &left_out);
        slow_log_free(steal_ptr(&slow_log));
        ck_assert_contains(logged(), "slow requests were left out left_out=3\n");
}
END_TEST

#define N_THREADS  4
#define N_REQUESTS 2000

static void *consider_many(void *argument _unused_) {
        struct slow_request request = request_of(60);

        for (unsigned i = 0; i < N_REQUESTS; i++)
                slow_log_consider(slow_log, &request);
        return NULL;
}

START_TEST(threads_together_keep_to_the_bound_and_lose_no_count) {
        pthread_t threads[N_THREADS];
        unsigned long long left_out = 0;
        const char *text;
        size_t lines;

        for (size_t i = 0; i < N_THREADS; i++)
                pthread_create(&threads[i], NULL, consider_many, NULL);
        for (size_t i = 0; i < N_THREADS; i++)
                pthread_join(threads[i], NULL);
        slow_log_free(steal_ptr(&slow_log));
        text = logged();
        lines = count_lines(text, " slow request id=");
        for (const char *p = text; (p = strstr(p, "left_out=")); p++)
                left_out += strtoull(p + strlen("left_out="), NULL, 10);
        ck_assert_uint_ge(lines, SLOW_LOG_PER_SECOND);
        ck_assert_uint_eq(lines + left_out, N_THREADS * N_REQUESTS);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("slow log");

        tcase_add_checked_fixture(tests, set_up, tear_down);
        tcase_add_test(tests, a_slow_request_is_logged_with_its_stages);
        tcase_add_test(tests, a_fast_request_is_not);
        tcase_add_test(tests, without_a_threshold_nothing_is_slow);
        tcase_add_test(tests, what_comes_before_the_image_is_decoded_has_no_size);
        tcase_add_test(tests, a_second_has_so_many_lines_and_the_next_one_counts_the_rest);
        tcase_add_test(tests, the_end_tells_what_no_line_told);
        tcase_add_test(tests, threads_together_keep_to_the_bound_and_lose_no_count);
        return suite_run(tests);
}
