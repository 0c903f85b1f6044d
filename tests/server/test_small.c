/* The modules that are values or counters: cost table, queue, admission, ids, replies, routes. */
#include <sys/socket.h>
#include <unistd.h>

#include <math.h>

#include "server/cost_table.h"
#include "server/image_job.h"
#include "server/job_queue.h"
#include "server/process_stats.h"
#include "server/reply.h"
#include "server/request_id.h"
#include "server/route.h"
#include "tests/server/suite.h"

START_TEST(a_batch_pays_where_each_image_is_faster) {
        struct cost_table costs = {0};

        ck_assert(cost_table_set(&costs, 1, 1, 10));
        ck_assert(!cost_table_pays(&costs, 2, 20)); /* the same for each image */
        ck_assert(!cost_table_pays(&costs, 2, 20 * (1 - COST_TABLE_GAIN / 2)));
        ck_assert(cost_table_pays(&costs, 2, 20 * (1 - COST_TABLE_GAIN * 1.1)));
        ck_assert(cost_table_set(&costs, 2, 1, 16));
        ck_assert(!cost_table_pays(&costs, 4, 31)); /* better than one by one, not than two by two */
        ck_assert(cost_table_pays(&costs, 4, 32 * (1 - COST_TABLE_GAIN * 1.1)));
}
END_TEST

START_TEST(the_largest_kept_batch_that_fits_is_taken) {
        struct cost_table costs = {0};

        ck_assert_uint_eq(cost_table_batch(&costs, 8, INFINITY), 1); /* nothing is measured yet */
        cost_table_set(&costs, 1, 1, 10);
        cost_table_set(&costs, 1, 2, 6);
        cost_table_set(&costs, 4, 1, 20);
        cost_table_set(&costs, 8, 1, 35);
        ck_assert_uint_eq(cost_table_batch(&costs, 0, INFINITY), 1);
        ck_assert_uint_eq(cost_table_batch(&costs, 3, INFINITY), 1);
        ck_assert_uint_eq(cost_table_batch(&costs, 7, INFINITY), 4);
        ck_assert_uint_eq(cost_table_batch(&costs, 100, INFINITY), 8);
        ck_assert_uint_eq(cost_table_batch(&costs, 100, 34), 4); /* in less time */
        ck_assert_uint_eq(cost_table_batch(&costs, 100, 1), 1);
        ck_assert_double_eq_tol(cost_table_image_ms(&costs), 35.0 / 8, 1e-9);
}
END_TEST

START_TEST(one_image_alone_uses_the_threads_that_were_fastest) {
        struct cost_table costs = {0};

        ck_assert_uint_eq(cost_table_threads(&costs, 4), 1);
        cost_table_set(&costs, 1, 1, 10);
        ck_assert_uint_eq(cost_table_threads(&costs, 4), 1);
        cost_table_set(&costs, 1, 4, 12);
        ck_assert_uint_eq(cost_table_threads(&costs, 4), 1);
        cost_table_set(&costs, 1, 4, 3);
        ck_assert_uint_eq(cost_table_threads(&costs, 4), 4);
        ck_assert_uint_eq(cost_table_threads(&costs, 2), 1); /* no more than there are cores */
        ck_assert_double_eq(cost_table_ms(&costs, 1, 4), 3);
        ck_assert_double_eq(cost_table_ms(&costs, 2, 1), 0);
}
END_TEST

START_TEST(costs_follow_real_runs) {
        struct cost_table costs = {0};

        cost_table_set(&costs, 1, 1, 10);
        ck_assert(cost_table_set_ratio(&costs, 4, 1, 3));
        ck_assert(cost_table_set_ratio(&costs, 1, 2, 0.6));
        ck_assert_double_eq_tol(cost_table_ms(&costs, 4, 1), 30, 1e-9);
        for (unsigned i = 0; i < 500; i++)
                cost_table_observe(&costs, 1, 1, 20); /* a neighbour has come */
        ck_assert_double_eq_tol(cost_table_ms(&costs, 1, 1), 20, 0.1);
        ck_assert_double_eq_tol(cost_table_ms(&costs, 4, 1), 60, 1); /* never run, the same slowdown */
        ck_assert_double_eq_tol(cost_table_ms(&costs, 1, 2), 6, 1e-9);
        cost_table_observe(&costs, 1, 1, 1e9); /* the process was stopped */
        ck_assert_double_le(cost_table_ms(&costs, 1, 1), 40);
        for (unsigned i = 0; i < 500; i++)
                cost_table_observe(&costs, 4, 1, 70); /* four are no longer worth it */
        ck_assert_uint_eq(cost_table_batch(&costs, 8, INFINITY), 4);
        for (unsigned i = 0; i < 20; i++)
                cost_table_observe(&costs, 1, 1, 10);
        ck_assert_uint_eq(cost_table_batch(&costs, 8, INFINITY), 1);
        for (unsigned i = 0; i < 500; i++)
                cost_table_observe(&costs, 1, 1, 10); /* the neighbour has gone: worth a try again */
        ck_assert_uint_eq(cost_table_batch(&costs, 8, INFINITY), 4);
        cost_table_observe(&costs, 16, 1, 1); /* not in the table */
        ck_assert_double_eq(cost_table_ms(&costs, 16, 1), 0);
        ck_assert(!cost_table_set_ratio(&(struct cost_table){0}, 4, 1, 3));
}
END_TEST

START_TEST(a_full_cost_table_takes_no_more) {
        struct cost_table costs = {0};

        for (size_t i = 0; i < COST_TABLE_MAX_ROWS; i++)
                ck_assert(cost_table_set(&costs, i + 1, 1, 1));
        ck_assert(!cost_table_set(&costs, 1000, 1, 1));
        ck_assert(cost_table_set(&costs, 1, 1, 2)); /* replacing is no adding */
}
END_TEST

START_TEST(jobs_come_in_order_then_by_arrival) {
        static const uint64_t deadlines[] = {5, 3, 9, 3, 1, 5, 3, 8, 2, 3};
        struct image_job jobs[ARRAY_SIZE(deadlines) * 100];
        struct job_queue queue = {0};
        struct image_job *before = NULL, *job;

        ck_assert_ptr_null(job_queue_take(&queue));
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
                jobs[i] = (struct image_job){.order_ns = deadlines[i % ARRAY_SIZE(deadlines)], .size = i};
                ck_assert_int_eq(job_queue_put(&queue, &jobs[i], NULL), 0);
        }
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++, before = job) {
                ck_assert_ptr_eq(job_queue_first(&queue), job = job_queue_take(&queue));
                if (before)
                        ck_assert(before->order_ns < job->order_ns ||
                                  (before->order_ns == job->order_ns && before->size < job->size));
        }
        ck_assert_ptr_null(job_queue_first(&queue));
        job_queue_release(&queue);
}
END_TEST

START_TEST(ids_are_taken_where_they_are_harmless) {
        char longest[REQUEST_ID_MAX + 2];

        memset(longest, 'x', sizeof(longest));
        longest[REQUEST_ID_MAX] = 0;
        ck_assert(request_id_is_valid(longest));
        ck_assert(request_id_is_valid("01JD-abc_9.x:y/z+=@"));
        longest[REQUEST_ID_MAX] = 'x';
        longest[REQUEST_ID_MAX + 1] = 0;
        ck_assert(!request_id_is_valid(longest));
        ck_assert(!request_id_is_valid(""));
        ck_assert(!request_id_is_valid("a b"));
        ck_assert(!request_id_is_valid("a\r\nSet-Cookie: x"));
        ck_assert(!request_id_is_valid("\xc3\xa9"));
}
END_TEST

START_TEST(made_ids_differ_and_sort_by_time) {
        char first[REQUEST_ID_MADE_SIZE + 1], second[REQUEST_ID_MADE_SIZE + 1];

        request_id_make(first);
        request_id_make(second);
        ck_assert_uint_eq(strspn(first, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"), REQUEST_ID_MADE_SIZE);
        ck_assert_str_ne(first, second);
        ck_assert_int_le(strncmp(first, second, 10), 0);
        ck_assert_int_ge(strncmp(first, "01J", 3), 0); /* not before 2024 */
}
END_TEST

START_TEST(traceparent_is_checked) {
        ck_assert(traceparent_is_valid("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        ck_assert(!traceparent_is_valid("00-00000000000000000000000000000000-b7ad6b7169203331-01"));
        ck_assert(!traceparent_is_valid("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"));
        ck_assert(!traceparent_is_valid("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"));
        ck_assert(!traceparent_is_valid("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"));
        ck_assert(!traceparent_is_valid("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        ck_assert(!traceparent_is_valid(""));
}
END_TEST

START_TEST(a_reply_past_the_library_is_whole_http) {
        struct problem problem = {0};
        struct reply reply = {0};
        char text[2048];
        int fds[2];
        ssize_t n;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        problem_set(&problem, PROBLEM_TOO_LARGE, "too much");
        reply_problem(&reply, &problem);
        reply_header(&reply, "Retry-After", "%d", 7);
        reply_send(&reply, fds[0], "the-id");
        close(fds[0]);
        n = read(fds[1], text, sizeof(text) - 1);
        ck_assert_int_gt(n, 0);
        text[n] = 0;
        close(fds[1]);
        ck_assert_int_eq(strncmp(text, "HTTP/1.1 413 Content Too Large\r\nDate: ", 38), 0);
        ck_assert_contains(text, "\r\nConnection: close\r\n");
        ck_assert_contains(text, "\r\nX-Request-ID: the-id\r\n");
        ck_assert_contains(text, "\r\nRetry-After: 7\r\n");
        ck_assert_contains(text, "\r\nContent-Type: application/problem+json\r\n");
        ck_assert_uint_eq(strlen(strstr(text, "\r\n\r\n") + 4), reply.size);
        reply_release(&reply);
        ck_assert_uint_eq(reply.status, 0);
}
END_TEST

START_TEST(paths_find_their_handler) {
        ck_assert_int_eq(route_find("/v1/classify")->handler, ROUTE_CLASSIFY);
        ck_assert_int_eq(route_find("/v1/models")->handler, ROUTE_MODELS);
        ck_assert_int_eq(route_find("/v1/models/a/b")->handler, ROUTE_MODELS);
        ck_assert_int_eq(route_find("/v1/models/")->handler, ROUTE_OTHER);
        ck_assert_int_eq(route_find("/v1/classify/")->handler, ROUTE_OTHER);
        ck_assert_int_eq(route_find("/")->handler, ROUTE_PAGE);
        ck_assert_int_eq(route_find("")->handler, ROUTE_OTHER);
}
END_TEST

START_TEST(the_process_is_seen) {
        struct process_stats stats = process_stats_read();

        ck_assert_uint_gt(stats.resident_bytes, 100000);
        ck_assert_uint_gt(stats.virtual_bytes, stats.resident_bytes);
        ck_assert_uint_ge(stats.open_fds, 3);
        ck_assert_uint_gt(stats.max_fds, stats.open_fds);
        ck_assert_double_gt(stats.start_time_seconds, 1.5e9);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("small");

        tcase_add_test(tests, a_batch_pays_where_each_image_is_faster);
        tcase_add_test(tests, the_largest_kept_batch_that_fits_is_taken);
        tcase_add_test(tests, one_image_alone_uses_the_threads_that_were_fastest);
        tcase_add_test(tests, costs_follow_real_runs);
        tcase_add_test(tests, a_full_cost_table_takes_no_more);
        tcase_add_test(tests, jobs_come_in_order_then_by_arrival);
        tcase_add_test(tests, ids_are_taken_where_they_are_harmless);
        tcase_add_test(tests, made_ids_differ_and_sort_by_time);
        tcase_add_test(tests, traceparent_is_checked);
        tcase_add_test(tests, a_reply_past_the_library_is_whole_http);
        tcase_add_test(tests, paths_find_their_handler);
        tcase_add_test(tests, the_process_is_seen);
        return suite_run(tests);
}
