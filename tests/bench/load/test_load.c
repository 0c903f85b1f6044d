/* The parts of bench_load that decide what a measurement means: moments, percentiles, what is counted,
 * answers. */
#include <math.h>

#include "tests/bench/load/arrivals.h"
#include "tests/bench/load/requests.h"
#include "tests/bench/load/response.h"
#include "tests/bench/load/samples.h"
#include "tests/bench/load/tally.h"
#include "tests/server/suite.h"

#define MS 1000000u
#define S  1000000000u

/* ---- arrivals ---- */

START_TEST(constant_arrivals_keep_their_rate_without_drift) {
        const struct arrivals_options options = {.kind = ARRIVAL_CONSTANT, .rate = 3};
        struct arrivals arrivals;
        uint64_t at = 0;

        arrivals_init(&arrivals, &options);
        ck_assert_uint_eq(arrivals_next(&arrivals), 0);
        ck_assert_uint_eq(arrivals_next(&arrivals), 333333333);
        for (unsigned i = 2; i <= 3000000; i++)
                at = arrivals_next(&arrivals);
        ck_assert_uint_eq(at,
                          (uint64_t)1000000 * S); /* a third of a nanosecond a gap would be a millisecond */
}
END_TEST

/* Of an exponential distribution: mean 1 / rate, standard deviation the same, 1 / e of all above the mean.
 */
START_TEST(poisson_gaps_are_exponential) {
        const struct arrivals_options options = {.kind = ARRIVAL_POISSON, .rate = 100, .seed = 7};
        struct arrivals arrivals;
        double sum = 0, squares = 0, last = 0;
        unsigned n = 200000, above = 0;

        arrivals_init(&arrivals, &options);
        for (unsigned i = 0; i < n; i++) {
                double at = (double)arrivals_next(&arrivals) / 1e9, gap = at - last;

                ck_assert_double_ge(gap, 0);
                sum += gap;
                squares += gap * gap;
                above += gap > 0.01;
                last = at;
        }
        ck_assert_double_eq_tol(sum / n, 0.01, 0.0001);
        ck_assert_double_eq_tol(sqrt(squares / n - sum / n * sum / n), 0.01, 0.0001);
        ck_assert_double_eq_tol((double)above / n, exp(-1), 0.005);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_moments) {
        struct arrivals_options options = {.kind = ARRIVAL_POISSON, .rate = 100, .seed = 7};
        struct arrivals a, b, c;

        arrivals_init(&a, &options);
        arrivals_init(&b, &options);
        options.seed = 8;
        arrivals_init(&c, &options);
        for (unsigned i = 0; i < 100; i++)
                ck_assert_uint_eq(arrivals_next(&a), arrivals_next(&b));
        ck_assert_uint_ne(arrivals_next(&a), arrivals_next(&c));
}
END_TEST

START_TEST(bursts_fall_into_their_time_and_keep_the_mean_rate) {
        const struct arrivals_options options = {
                .kind = ARRIVAL_BURSTS, .rate = 1000, .on_ns = 100 * MS, .off_ns = 300 * MS, .seed = 3};
        struct arrivals arrivals;
        uint64_t at = 0;
        unsigned n = 0, in_first_half = 0;

        arrivals_init(&arrivals, &options);
        for (; (at = arrivals_next(&arrivals)) < (uint64_t)100 * S; n++) {
                uint64_t phase = at % (400 * MS);

                ck_assert_uint_lt(phase, 100 * MS);
                in_first_half += phase < 50 * MS;
        }
        ck_assert_double_eq_tol(n, 100000, 1500); /* five standard deviations */
        ck_assert_double_eq_tol((double)in_first_half / n, 0.5, 0.01);
}
END_TEST

/* ---- samples ---- */

START_TEST(percentiles_are_the_nearest_rank) {
        struct samples samples = {0};

        ck_assert_uint_eq(samples_percentile(&samples, 500), 0);
        /* 1 to 1000, out of order */
        for (unsigned i = 0; i < 1000; i++)
                ck_assert_int_eq(samples_add(&samples, i * 387 % 1000 + 1), 0);
        ck_assert_uint_eq(samples_percentile(&samples, 500), 500);
        ck_assert_uint_eq(samples_percentile(&samples, 990), 990);
        ck_assert_uint_eq(samples_percentile(&samples, 999), 999);
        ck_assert_uint_eq(samples_percentile(&samples, 1000), 1000);
        ck_assert_uint_eq(samples_percentile(&samples, 0), 1);
        ck_assert_double_eq_tol(samples_mean_ns(&samples), 500.5, 1e-9);
        ck_assert_int_eq(samples_add(&samples, 5000), 0); /* what comes later counts as well */
        ck_assert_uint_eq(samples_percentile(&samples, 1000), 5000);
        samples_release(&samples);
}
END_TEST

START_TEST(a_percentile_of_few_is_one_of_them) {
        struct samples samples = {0};

        samples_add(&samples, 30);
        ck_assert_uint_eq(samples_percentile(&samples, 999), 30);
        samples_add(&samples, 10);
        samples_add(&samples, 20);
        ck_assert_uint_eq(samples_percentile(&samples, 500), 20);
        ck_assert_uint_eq(samples_percentile(&samples, 990), 30);
        samples_release(&samples);
}
END_TEST

START_TEST(every_sample_is_in_one_bar) {
        static const uint64_t values[] = {0, 1000, 1001, 999999, MS, MS + 1, 5 * (uint64_t)S, UINT64_MAX};
        struct samples samples = {0};
        struct samples_bar bars[SAMPLES_MAX_BARS];
        size_t n_bars, n = 0, up_to_ms = 0;

        for (size_t i = 0; i < ARRAY_SIZE(values); i++)
                samples_add(&samples, values[i]);
        n_bars = samples_bars(&samples, bars);
        for (size_t i = 0; i < n_bars; i++) {
                ck_assert_uint_gt(bars[i].n, 0);
                ck_assert(i == 0 || bars[i].upper_ns > bars[i - 1].upper_ns);
                n += bars[i].n;
                up_to_ms += bars[i].upper_ns <= MS ? bars[i].n : 0;
        }
        ck_assert_uint_eq(n, ARRAY_SIZE(values));
        ck_assert_uint_eq(up_to_ms, 5);
        samples_release(&samples);
}
END_TEST

/* ---- requests ---- */

START_TEST(requests_come_out_when_they_are_due_and_in_order_where_equal) {
        struct requests requests = {0};
        uint64_t last_due = 0, last_body = 0;

        ck_assert_uint_eq(requests_due_ns(&requests), UINT64_MAX);
        for (size_t i = 0; i < 5000; i++)
                ck_assert_int_eq(
                        requests_put(&requests, &(struct request){.due_ns = i * 7919 % 100, .body = i}), 0);
        for (size_t i = 0; i < 5000; i++) {
                uint64_t due = requests_due_ns(&requests);
                struct request request = requests_take(&requests);

                ck_assert_uint_eq(request.due_ns, due);
                ck_assert_uint_ge(due, last_due);
                ck_assert(due > last_due || i == 0 || request.body > last_body);
                last_due = due;
                last_body = request.body;
        }
        ck_assert_uint_eq(requests.n, 0);
        requests_release(&requests);
}
END_TEST

/* ---- what is counted ---- */

START_TEST(an_open_loop_counts_from_the_scheduled_moment) {
        struct tally tally = {
                .options = {.open = true, .start_ns = 1 * S, .end_ns = 2 * S, .deadline_ns = 100 * MS}};
        const struct request early = {.first_ns = S - 1, .due_ns = S - 1, .n_attempts = 1};
        const struct request request = {.first_ns = S + 500 * MS, .due_ns = S + 500 * MS, .n_attempts = 1};

        tally_answer(&tally, &early, 200, S + 10 * MS); /* in time, answered within, but not of the window */
        tally_answer(&tally, &request, 200, S + 600 * MS); /* in time by a hair */
        tally_answer(&tally, &request, 200, S + 601 * MS); /* too late */
        tally_answer(&tally, &request, 200,
                     (uint64_t)4 * S); /* after the window: a latency, no throughput */
        ck_assert_uint_eq(tally.n_answered, 3);
        ck_assert_uint_eq(tally.n_in_time, 2);
        ck_assert_uint_eq(tally.statuses[200], 3);
        ck_assert_uint_eq(tally.accepted.n, 3);
        ck_assert_uint_eq(samples_percentile(&tally.accepted, 0), 100 * MS);
        ck_assert_uint_eq(samples_percentile(&tally.accepted, 1000), (uint64_t)2500 * MS);
        tally_unanswered(&tally, &early);
        tally_unanswered(&tally, &request);
        tally_broken(&tally, &request, (uint64_t)4 * S);
        ck_assert_uint_eq(tally.n_unanswered, 1);
        ck_assert_uint_eq(tally.n_broken, 1);
        tally_release(&tally);
}
END_TEST

START_TEST(a_closed_loop_counts_what_was_answered_within_the_window) {
        struct tally tally = {.options = {.start_ns = S, .end_ns = 2 * S, .deadline_ns = UINT64_MAX}};
        const struct request early = {.first_ns = S - 1, .due_ns = S - 1, .n_attempts = 1};
        const struct request late = {.first_ns = 2 * S - 1, .due_ns = 2 * S - 1, .n_attempts = 1};

        tally_answer(&tally, &early, 200, S + 10);
        tally_answer(&tally, &late, 200, 2 * S + 10);
        tally_unanswered(&tally, &late);
        ck_assert_uint_eq(tally.n_answered, 1);
        ck_assert_uint_eq(tally.accepted.n, 1);
        ck_assert_uint_eq(tally.statuses[200], 1);
        ck_assert_uint_eq(tally.n_unanswered, 0);
        tally_release(&tally);
}
END_TEST

START_TEST(a_refusal_counts_from_its_attempt_and_the_answer_from_the_first) {
        struct tally tally = {
                .options = {
                        .open = true, .start_ns = 0, .end_ns = 10 * (uint64_t)S, .deadline_ns = UINT64_MAX}};
        struct request request = {.first_ns = S, .due_ns = S, .n_attempts = 1};

        tally_answer(&tally, &request, 429, S + 2 * MS);
        request.due_ns = 2 * S + 2 * MS;
        request.n_attempts = 2;
        tally_answer(&tally, &request, 503, 2 * S + 5 * MS);
        request.due_ns = 3 * (uint64_t)S;
        request.n_attempts = 3;
        tally_answer(&tally, &request, 200, 3 * (uint64_t)S + 50 * MS);
        tally_answer(&tally, &(struct request){.first_ns = S, .due_ns = S, .n_attempts = 1}, 504, 2 * S);
        ck_assert_uint_eq(tally.refused.n, 2);
        ck_assert_uint_eq(samples_percentile(&tally.refused, 0), 2 * MS);
        ck_assert_uint_eq(samples_percentile(&tally.refused, 1000), 3 * MS);
        ck_assert_uint_eq(samples_percentile(&tally.accepted, 500), 2050 * (uint64_t)MS);
        ck_assert_uint_eq(tally.n_got_through, 1);
        ck_assert_uint_eq(tally.max_attempts, 3);
        ck_assert_uint_eq(tally.statuses[504], 1); /* neither accepted nor refused */
        tally_release(&tally);
}
END_TEST

/* ---- responses ---- */

static int feed(struct response *response, const char *text, size_t piece, bool *ret_complete) {
        size_t n = strlen(text);

        response_begin(response);
        *ret_complete = false;
        for (size_t at = 0; at < n; at += piece) {
                int r = response_feed(response, text + at, MIN(piece, n - at), ret_complete);

                if (r < 0)
                        return r;
        }
        return 0;
}

START_TEST(a_response_is_found_however_it_is_cut) {
        static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n"
                                   "HTTP/1.1 429 Too Many Requests\r\nRETRY-AFTER: 17\r\n"
                                   "content-length:  5\r\nConnection: close\r\n\r\nabc\r\n";
        struct response response;
        bool complete;

        for (size_t piece = 1; piece <= sizeof(text); piece++) {
                ck_assert_int_eq(feed(&response, text, piece, &complete), 0);
                ck_assert(complete);
                ck_assert_uint_eq(response.status, 429);
                ck_assert(response.has_retry_after);
                ck_assert_uint_eq(response.retry_after_s, 17);
                ck_assert(response.closes);
        }
        ck_assert_int_eq(feed(&response, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 100, &complete), 0);
        ck_assert(complete);
        ck_assert(!response.closes);
        ck_assert(!response.has_retry_after);
}
END_TEST

START_TEST(half_a_response_is_none) {
        struct response response;
        bool complete;

        ck_assert_int_eq(feed(&response, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", 100, &complete),
                         0);
        ck_assert(!complete);
        ck_assert(!response_end(&response));
        ck_assert_int_eq(feed(&response, "HTTP/1.1 200 OK\r\nServer: x\r\n", 100, &complete), 0);
        ck_assert(!complete);
        ck_assert(!response_end(&response));
        /* without a length it ends with the connection */
        ck_assert_int_eq(feed(&response, "HTTP/1.1 200 OK\r\n\r\nabc", 100, &complete), 0);
        ck_assert(!complete);
        ck_assert(response_end(&response));
        ck_assert(response.closes);
}
END_TEST

START_TEST(what_is_no_answer_is_an_error) {
        struct response response;
        bool complete;

        ck_assert_int_eq(feed(&response, "SSH-2.0-x\r\n\r\n", 100, &complete), ERROR_INVALID);
        ck_assert_int_eq(feed(&response, "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 100, &complete),
                         ERROR_INVALID);
        ck_assert_int_eq(
                feed(&response, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 100, &complete),
                ERROR_UNSUPPORTED);
        /* more than was announced */
        ck_assert_int_eq(feed(&response, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", 100, &complete),
                         ERROR_INVALID);
}
END_TEST

START_TEST(a_head_without_end_is_an_error) {
        struct response response;
        bool complete;
        char line[1000];
        int r = 0;

        memset(line, 'a', sizeof(line));
        response_begin(&response);
        for (unsigned i = 0; i < 20 && r == 0; i++)
                r = response_feed(&response, line, sizeof(line), &complete);
        ck_assert_int_eq(r, ERROR_INVALID);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("load");

        tcase_add_test(tests, constant_arrivals_keep_their_rate_without_drift);
        tcase_add_test(tests, poisson_gaps_are_exponential);
        tcase_add_test(tests, the_same_seed_gives_the_same_moments);
        tcase_add_test(tests, bursts_fall_into_their_time_and_keep_the_mean_rate);
        tcase_add_test(tests, percentiles_are_the_nearest_rank);
        tcase_add_test(tests, a_percentile_of_few_is_one_of_them);
        tcase_add_test(tests, every_sample_is_in_one_bar);
        tcase_add_test(tests, requests_come_out_when_they_are_due_and_in_order_where_equal);
        tcase_add_test(tests, an_open_loop_counts_from_the_scheduled_moment);
        tcase_add_test(tests, a_closed_loop_counts_what_was_answered_within_the_window);
        tcase_add_test(tests, a_refusal_counts_from_its_attempt_and_the_answer_from_the_first);
        tcase_add_test(tests, a_response_is_found_however_it_is_cut);
        tcase_add_test(tests, half_a_response_is_none);
        tcase_add_test(tests, what_is_no_answer_is_an_error);
        tcase_add_test(tests, a_head_without_end_is_an_error);
        return suite_run(tests);
}
