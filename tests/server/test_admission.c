/* Admission by plain arithmetic: two cores, images of 10 ms to decode and 90 ms to run. */
#include "server/admission.h"
#include "tests/server/suite.h"

#define MS 1000000u

static struct admission *admission;

static void begin(size_t queue_images) {
        const struct admission_options options = {
                .queue_images = queue_images, .body_bytes = 100, .cores = 2, .n_models = 2};

        ck_assert_int_eq(admission_new(&admission, &options, NULL), 0);
        admission_observe_decode(admission, 1000, 10 * MS);
        admission_set_infer(admission, 0, 90 * MS);
        admission_set_infer(admission, 1, 40 * MS);
}

static struct admission_ask ask(size_t n, uint64_t now_ms, uint64_t left_ms) {
        return (struct admission_ask){.n_images = n,
                                      .cost = {n * 10 * MS, n * 90 * MS},
                                      .now_ns = now_ms * MS,
                                      .deadline_ns = (now_ms + left_ms) * MS};
}

static enum admission_verdict announce(size_t n, uint64_t now_ms, uint64_t left_ms,
                                       struct admission_ticket *ticket) {
        struct admission_ask a = ask(n, now_ms, left_ms);

        return admission_announce(admission, &a, ticket);
}

static enum admission_verdict enter(size_t n, uint64_t now_ms, uint64_t left_ms,
                                    struct admission_ticket *ticket) {
        struct admission_ticket none = {0};
        struct admission_ask a = ask(n, now_ms, left_ms);

        return admission_enter(admission, &a, ticket ? ticket : &none);
}

START_TEST(places_are_bounded_and_come_back) {
        begin(4);
        ck_assert_int_eq(enter(3, 0, 10000, NULL), ADMISSION_YES);
        ck_assert_int_eq(enter(2, 0, 10000, NULL), ADMISSION_FULL); /* all or none */
        ck_assert_int_eq(enter(SIZE_MAX, 0, 10000, NULL), ADMISSION_FULL);
        ck_assert_int_eq(enter(1, 0, 10000, NULL), ADMISSION_YES);
        ck_assert_uint_eq(admission_images(admission), 4);
        for (unsigned i = 0; i < 4; i++)
                admission_begin(admission, (struct admission_cost){10 * MS, 90 * MS});
        ck_assert_uint_eq(admission_images(admission), 0);
        ck_assert_int_eq(enter(4, 0, 10000, NULL), ADMISSION_YES);
        admission_free(admission);
}
END_TEST

START_TEST(bodies_hold_no_more_memory_than_there_is) {
        begin(4);
        ck_assert(admission_hold(admission, 100));
        ck_assert(!admission_hold(admission, 1));
        ck_assert(!admission_hold(admission, SIZE_MAX));
        admission_release(admission, 50);
        ck_assert(admission_hold(admission, 50));
        admission_free(admission);
}
END_TEST

START_TEST(the_wait_is_the_work_that_is_queued_over_the_cores) {
        begin(1000);
        ck_assert_uint_eq(admission_retry_after_s(admission), 1); /* never 0 */
        ck_assert_double_eq(admission_wait_s(admission), 0);
        enter(100, 0, 60000, NULL);
        ck_assert_double_eq_tol(admission_wait_s(admission), 5, 1e-6); /* 100 * (90 + 10) ms / 2 */
        enter(1, 0, 60000, NULL);
        ck_assert_uint_eq(admission_retry_after_s(admission), 6); /* 5.05 s, rounded up */
        admission_set_cores(admission, 1);
        ck_assert_double_eq_tol(admission_wait_s(admission), 10.1, 1e-6);
        admission_free(admission);
}
END_TEST

START_TEST(those_that_run_are_waited_for_where_no_core_is_free) {
        const struct admission_cost cost = {10 * MS, 90 * MS};

        begin(1000);
        enter(2, 0, 60000, NULL);
        admission_begin(admission, cost);
        ck_assert_double_eq_tol(admission_wait_s(admission), 0.05, 1e-6); /* the one that waits */
        admission_begin(admission, cost);
        ck_assert_double_eq_tol(admission_wait_s(admission), 0.045, 1e-6); /* half of 2 * 90 ms, over 2 */
        admission_end(admission, cost);
        ck_assert_double_eq(admission_wait_s(admission), 0);
        admission_end(admission, cost);
        admission_free(admission);
}
END_TEST

START_TEST(what_cannot_be_answered_in_time_is_refused) {
        struct admission_ticket ticket = {0};

        begin(1000);
        ck_assert_int_eq(announce(1, 0, 100, &ticket), ADMISSION_LATE); /* 100 ms of its own, and a margin */
        ck_assert_int_eq(announce(1, 0, 120, &ticket), ADMISSION_YES);
        admission_forget(admission, &ticket);
        ck_assert_int_eq(announce(4, 0, 210, &ticket), ADMISSION_LATE); /* 400 ms on two cores */
        ck_assert_int_eq(announce(4, 0, 230, &ticket), ADMISSION_YES);
        admission_forget(admission, &ticket);
        enter(10, 0, 60000, NULL); /* 500 ms */
        ck_assert_int_eq(announce(1, 0, 620, &ticket), ADMISSION_LATE);
        ck_assert_int_eq(announce(1, 0, 700, &ticket), ADMISSION_YES);
        ck_assert_int_eq(announce(1, 1000, 0, &ticket), ADMISSION_LATE); /* it is past */
        admission_free(admission);
}
END_TEST

START_TEST(what_is_announced_counts_until_it_lapses) {
        struct admission_ticket first = {0}, second = {0};

        begin(1000);
        ck_assert_int_eq(announce(1, 5000, 10000, &first), ADMISSION_YES);
        ck_assert_double_eq_tol(admission_wait_s(admission), 0.05, 1e-6);
        ck_assert_int_eq(announce(1, 5500, 10000, &second), ADMISSION_YES);
        ck_assert_double_eq_tol(admission_wait_s(admission), 0.1, 1e-6);
        admission_forget(admission, &second);
        ck_assert_double_eq_tol(admission_wait_s(admission), 0.05, 1e-6);
        admission_forget(admission, &second); /* once */
        ck_assert_double_eq_tol(admission_wait_s(admission), 0.05, 1e-6);
        ck_assert_int_eq(announce(1, 5000 + ADMISSION_RESERVE_MS + 100, 10000, &second), ADMISSION_YES);
        ck_assert_double_eq_tol(admission_wait_s(admission), 0.05, 1e-6); /* the first one has lapsed */
        admission_forget(admission, &first);
        ck_assert_double_eq_tol(admission_wait_s(admission), 0.05, 1e-6);
        ck_assert_int_eq(enter(1, 6200, 10000, &second), ADMISSION_YES);
        ck_assert_double_eq_tol(admission_wait_s(admission), 0.05, 1e-6); /* not twice */
        announce(1, 1000000000, 10000, &first);
        admission_free(admission);
}
END_TEST

START_TEST(costs_are_by_model_and_by_size) {
        struct admission_cost cost;

        begin(1000);
        cost = admission_cost(admission, 1, 5000);
        ck_assert_uint_eq(cost.infer_ns, 40 * MS);
        ck_assert_uint_eq(cost.decode_ns, 50 * MS); /* five times as large as the average */
        ck_assert_uint_eq(admission_cost(admission, 0, 0).decode_ns, 10 * MS); /* not known */
        for (unsigned i = 0; i < 400; i++)
                admission_observe_decode(admission, 2000, 40 * MS);
        ck_assert_double_eq_tol((double)admission_cost(admission, 0, 1000).decode_ns, 20.0 * MS, 0.1 * MS);
        admission_free(admission);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("admission");

        tcase_add_test(tests, places_are_bounded_and_come_back);
        tcase_add_test(tests, bodies_hold_no_more_memory_than_there_is);
        tcase_add_test(tests, the_wait_is_the_work_that_is_queued_over_the_cores);
        tcase_add_test(tests, those_that_run_are_waited_for_where_no_core_is_free);
        tcase_add_test(tests, what_cannot_be_answered_in_time_is_refused);
        tcase_add_test(tests, what_is_announced_counts_until_it_lapses);
        tcase_add_test(tests, costs_are_by_model_and_by_size);
        return suite_run(tests);
}
