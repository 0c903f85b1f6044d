/* The batcher with workers that only note what they were given. */
#include <pthread.h>

#include "base/clock.h"
#include "server/batcher.h"
#include "server/image_job.h"
#include "tests/server/suite.h"

#define MAX_JOBS 2000u

static struct batcher *batcher;
static struct image_job jobs[MAX_JOBS];
static atomic_uint n_dequeued, n_done;
static atomic_bool gone;

static void count_dequeued(struct image_job *job _unused_) {
        atomic_fetch_add(&n_dequeued, 1);
}

static void count_done(struct image_job *job _unused_) {
        atomic_fetch_add(&n_done, 1);
}

static const struct image_job_ops ops = {.dequeued = count_dequeued, .done = count_done};

static void begin(unsigned n_workers, uint64_t delay_ns) {
        const struct batcher_options options = {
                .n_models = 2, .n_workers = n_workers, .max_batch = 8, .delay_ns = delay_ns};

        atomic_store(&n_dequeued, 0);
        atomic_store(&n_done, 0);
        atomic_store(&gone, false);
        ck_assert_int_eq(batcher_new(&batcher, &options, NULL), 0);
}

static void end(void) {
        batcher_stop(batcher);
        batcher_free(batcher);
}

static void set_costs(size_t model, size_t batch, unsigned threads) {
        struct cost_table costs = batcher_costs(batcher, model);

        cost_table_set(&costs, 1, 1, 10);
        if (batch > 1)
                cost_table_set(&costs, batch, 1, 5 * (double)batch);
        if (threads > 1)
                cost_table_set(&costs, 1, threads, 6);
        batcher_set_costs(batcher, model, &costs);
}

/* Deadlines are far away unless a test says otherwise. */
static struct image_job *put(size_t i, size_t model, uint64_t deadline_ns) {
        uint64_t now_ns = clock_ns();

        jobs[i] = (struct image_job){.ops = &ops,
                                     .gone = &gone,
                                     .model = model,
                                     .deadline_ns = deadline_ns ? deadline_ns : now_ns + 60000000000u + i,
                                     .decode_end_ns = now_ns};
        batcher_expect(batcher);
        batcher_put(batcher, &jobs[i]);
        return &jobs[i];
}

static struct batch take(unsigned worker) {
        static struct image_job *room[8];
        struct batch batch = {.jobs = room};

        ck_assert(batcher_take(batcher, worker, &batch));
        return batch;
}

START_TEST(an_image_alone_gets_all_threads_on_worker_0_only) {
        begin(2, 0);
        set_costs(0, 1, 2);
        put(0, 0, 0);
        ck_assert_uint_eq(take(0).threads, 2);
        ck_assert_uint_eq(batcher_load(batcher).busy_threads, 2);
        batcher_release(batcher, 0);
        put(0, 0, 0);
        ck_assert_uint_eq(take(1).threads, 1);
        batcher_release(batcher, 1);
        end();
}
END_TEST

START_TEST(an_image_with_company_gets_one_thread) {
        begin(2, 0);
        set_costs(0, 1, 2);
        put(0, 0, 0);
        put(1, 0, 0);
        ck_assert_uint_eq(take(0).threads, 1); /* another one waits */
        ck_assert_uint_eq(take(1).threads, 1);
        batcher_release(batcher, 0);
        put(2, 0, 0);
        ck_assert_uint_eq(take(0).threads, 1); /* worker 1 is at work */
        batcher_release(batcher, 0);
        batcher_release(batcher, 1);
        batcher_expect(batcher);
        put(3, 0, 0);
        ck_assert_uint_eq(take(0).threads, 1); /* one is being decoded */
        batcher_unexpect(batcher);
        batcher_release(batcher, 0);
        end();
}
END_TEST

START_TEST(batches_are_of_sizes_that_pay_and_of_one_model) {
        struct batch batch;

        begin(1, 0);
        set_costs(0, 4, 1);
        set_costs(1, 1, 1);
        for (size_t i = 0; i < 7; i++)
                put(i, 0, 0);
        put(7, 1, 0);
        batch = take(0);
        ck_assert_uint_eq(batch.n_jobs, 4); /* 8 was not measured, 5 to 7 do not exist */
        for (size_t i = 0; i < 4; i++)
                ck_assert_ptr_eq(batch.jobs[i], &jobs[i]);
        for (size_t i = 4; i < 7; i++) {
                batch = take(0);
                ck_assert_uint_eq(batch.n_jobs, 1);
                ck_assert_ptr_eq(batch.jobs[0], &jobs[i]);
        }
        batch = take(0);
        ck_assert_uint_eq(batch.model, 1);
        end();
}
END_TEST

START_TEST(the_earliest_deadline_goes_first_over_all_models) {
        uint64_t later_ns = clock_ns() + 60000000000u;

        begin(1, 0);
        put(0, 0, later_ns + 3);
        put(1, 1, later_ns + 1);
        put(2, 0, later_ns + 2);
        ck_assert_ptr_eq(take(0).jobs[0], &jobs[1]);
        ck_assert_ptr_eq(take(0).jobs[0], &jobs[2]);
        ck_assert_ptr_eq(take(0).jobs[0], &jobs[0]);
        end();
}
END_TEST

START_TEST(what_is_late_is_dropped_and_the_rest_still_fits_a_plan) {
        struct batch batch;

        begin(1, 0);
        set_costs(0, 4, 1);
        put(0, 0, 1); /* long past */
        put(1, 0, 1);
        for (size_t i = 2; i < 5; i++)
                put(i, 0, 0);
        batch = take(0);
        ck_assert_uint_eq(batch.n_jobs, 1); /* five waited, three are left, and there is no plan for three */
        ck_assert_ptr_eq(batch.jobs[0], &jobs[2]);
        ck_assert_uint_eq(atomic_load(&n_done), 2);
        ck_assert_uint_eq(atomic_load(&n_dequeued), 2);
        ck_assert_int_eq(jobs[0].outcome, METRICS_OUTCOME_DEADLINE);
        ck_assert_int_eq(jobs[0].problem.type, PROBLEM_DEADLINE);
        ck_assert_uint_eq(batcher_load(batcher).waiting_images, 2);
        end();
}
END_TEST

START_TEST(what_nobody_waits_for_is_dropped) {
        begin(1, 0);
        put(0, 0, 0);
        put(1, 0, 0);
        atomic_store(&gone, true);
        batcher_stop(batcher);
        struct image_job *room[8];
        struct batch batch = {.jobs = room};
        ck_assert(!batcher_take(batcher, 0, &batch));
        ck_assert_uint_eq(atomic_load(&n_done), 2);
        ck_assert_int_eq(jobs[1].outcome, METRICS_OUTCOME_CANCELLED);
        end();
}
END_TEST

START_TEST(a_delay_ends_with_a_full_batch_or_with_time) {
        uint64_t start_ns = clock_ns();

        begin(1, 30000000);
        set_costs(0, 2, 1);
        put(0, 0, 0);
        put(1, 0, 0);
        ck_assert_uint_eq(take(0).n_jobs, 2);
        ck_assert_uint_lt(clock_ns() - start_ns, 30000000);
        start_ns = clock_ns();
        put(2, 0, 0);
        ck_assert_uint_eq(take(0).n_jobs, 1);
        ck_assert_uint_ge(clock_ns() - start_ns, 29000000);
        end();
}
END_TEST

static void *work(void *argument) {
        unsigned worker = *(unsigned *)argument;
        struct image_job *room[8];
        struct batch batch = {.jobs = room};

        while (batcher_take(batcher, worker, &batch)) {
                if (batch.call)
                        batch.call(batch.argument);
                for (size_t i = 0; i < batch.n_jobs; i++) {
                        batch.jobs[i]->outcome = METRICS_OUTCOME_OK;
                        image_job_finish(batch.jobs[i]);
                }
                batcher_release(batcher, worker);
        }
        return NULL;
}

static void note_thread(void *argument) {
        *(pthread_t *)argument = pthread_self();
}

START_TEST(many_threads_finish_every_image_once) {
        unsigned numbers[] = {0, 1, 2};
        pthread_t threads[3], caller = 0;

        begin(3, 0);
        set_costs(0, 4, 3);
        set_costs(1, 2, 3);
        for (size_t i = 0; i < 3; i++)
                pthread_create(&threads[i], NULL, work, &numbers[i]);
        for (size_t i = 0; i < MAX_JOBS; i++) {
                ck_assert(batcher_wait_room(batcher));
                put(i, i % 2, i % 100 == 99 ? 1 : 0);
        }
        ck_assert(batcher_call(batcher, note_thread, &caller));
        ck_assert(pthread_equal(caller, threads[0]));
        batcher_stop(batcher);
        for (size_t i = 0; i < 3; i++)
                pthread_join(threads[i], NULL);
        ck_assert_uint_eq(atomic_load(&n_done), MAX_JOBS);
        ck_assert_uint_eq(atomic_load(&n_dequeued), MAX_JOBS);
        ck_assert_uint_eq(batcher_load(batcher).busy_threads, 0);
        ck_assert_int_eq(jobs[99].outcome, METRICS_OUTCOME_DEADLINE);
        ck_assert(!batcher_call(batcher, note_thread, &caller));
        ck_assert(!batcher_wait_room(batcher));
        end();
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("batcher");

        tcase_add_test(tests, an_image_alone_gets_all_threads_on_worker_0_only);
        tcase_add_test(tests, an_image_with_company_gets_one_thread);
        tcase_add_test(tests, batches_are_of_sizes_that_pay_and_of_one_model);
        tcase_add_test(tests, the_earliest_deadline_goes_first_over_all_models);
        tcase_add_test(tests, what_is_late_is_dropped_and_the_rest_still_fits_a_plan);
        tcase_add_test(tests, what_nobody_waits_for_is_dropped);
        tcase_add_test(tests, a_delay_ends_with_a_full_batch_or_with_time);
        tcase_add_test(tests, many_threads_finish_every_image_once);
        return suite_run(tests);
}
