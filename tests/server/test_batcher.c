/* The batcher with workers that only note what they were given. */
#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "server/batcher.h"
#include "server/image_job.h"
#include "tests/server/suite.h"

#define MAX_JOBS 2000u

static struct batcher *batcher;
static struct image_job jobs[MAX_JOBS];
static atomic_uint n_dequeued, n_done;
static atomic_bool gone, left = true;

static void count_dequeued(struct image_job *job _unused_) {
        atomic_fetch_add(&n_dequeued, 1);
}

static void count_done(struct image_job *job _unused_) {
        atomic_fetch_add(&n_done, 1);
}

static const struct image_job_ops ops = {.dequeued = count_dequeued, .done = count_done};

/* What a worker holds. */
static struct image_job *room[3][8];
static struct work works[3];
static unsigned n_begun;

static void begin(unsigned n_workers, uint64_t delay_ns) {
        const struct batcher_options options = {
                .n_models = 2, .n_workers = n_workers, .max_batch = 8, .delay_ns = delay_ns};

        for (size_t i = 0; i < ARRAY_SIZE(works); i++)
                works[i] = (struct work){.jobs = room[i]};
        n_begun = n_workers;
        atomic_store(&n_dequeued, 0);
        atomic_store(&n_done, 0);
        atomic_store(&gone, false);
        ck_assert_int_eq(batcher_new(&batcher, &options, NULL), 0);
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
                                     .deadline_ns = deadline_ns ? deadline_ns : now_ns + 60000000000u + i};
        jobs[i].order_ns = jobs[i].deadline_ns;
        batcher_submit(batcher, &jobs[i]);
        return &jobs[i];
}

/* Ends what the worker had, and takes what comes next. */
static struct work *next(unsigned worker) {
        ck_assert(batcher_next(batcher, worker, &works[worker]));
        return &works[worker];
}

/* The same until it is something to run. */
static struct work *next_run(unsigned worker) {
        while (next(worker)->kind == WORK_DECODE)
                works[worker].jobs[0]->decode_end_ns = clock_ns();
        ck_assert_int_eq(works[worker].kind, WORK_RUN);
        return &works[worker];
}

static void *work(void *argument) {
        unsigned worker = *(unsigned *)argument;
        struct work *work = &works[worker];

        while (batcher_next(batcher, worker, work)) {
                if (work->kind == WORK_CALL)
                        work->call(work->argument);
                for (size_t i = 0; work->kind == WORK_RUN && i < work->n_jobs; i++) {
                        work->jobs[i]->outcome = METRICS_OUTCOME_OK;
                        image_job_finish(work->jobs[i]);
                }
        }
        return NULL;
}

/* Ends the test: the workers finish what they hold and what is left. */
static void end(void) {
        pthread_t threads[ARRAY_SIZE(works)];
        unsigned numbers[] = {0, 1, 2};

        batcher_stop(batcher);
        for (size_t i = 0; i < n_begun; i++)
                pthread_create(&threads[i], NULL, work, &numbers[i]);
        for (size_t i = 0; i < n_begun; i++)
                pthread_join(threads[i], NULL);
        batcher_free(batcher);
}

START_TEST(an_image_alone_gets_all_cores_on_worker_0) {
        struct work *work;

        begin(2, 0);
        set_costs(0, 1, 2);
        put(0, 0, 0);
        work = next(0);
        ck_assert_int_eq(work->kind, WORK_DECODE);
        ck_assert_uint_eq(work->threads, 1);
        work = next(0);
        ck_assert_int_eq(work->kind, WORK_RUN);
        ck_assert_uint_eq(work->threads, 2);
        ck_assert_uint_eq(batcher_load(batcher).busy_cores, 2);
        end();
}
END_TEST

START_TEST(another_worker_runs_an_image_on_its_own_core) {
        begin(2, 0);
        set_costs(0, 1, 2);
        put(0, 0, 0);
        ck_assert_uint_eq(next_run(1)->threads, 1);
        end();
}
END_TEST

START_TEST(an_image_with_company_gets_one_core) {
        begin(2, 0);
        set_costs(0, 1, 2);
        put(0, 0, 0);
        put(1, 0, 0);
        ck_assert_uint_eq(next_run(0)->threads, 1); /* another one is to be decoded */
        ck_assert_int_eq(next(1)->kind, WORK_DECODE);
        put(2, 0, 0);
        ck_assert_int_eq(next(0)->kind, WORK_DECODE);
        ck_assert_uint_eq(next(0)->threads, 1); /* worker 1 still decodes */
        ck_assert_uint_eq(batcher_load(batcher).busy_cores, 2);
        end();
}
END_TEST

START_TEST(what_is_decoded_runs_before_more_is_decoded) {
        begin(1, 0);
        set_costs(0, 1, 1);
        for (size_t i = 0; i < 3; i++)
                put(i, 0, 0);
        for (size_t i = 0; i < 3; i++) {
                ck_assert_int_eq(next(0)->kind, WORK_DECODE);
                ck_assert_int_eq(next(0)->kind, WORK_RUN);
                ck_assert_ptr_eq(works[0].jobs[0], &jobs[i]);
        }
        end();
}
END_TEST

START_TEST(a_batch_that_pays_is_decoded_first) {
        begin(1, 0);
        set_costs(0, 4, 1);
        for (size_t i = 0; i < 6; i++)
                put(i, 0, 0);
        for (size_t i = 0; i < 4; i++)
                ck_assert_int_eq(next(0)->kind, WORK_DECODE);
        ck_assert_int_eq(next(0)->kind, WORK_RUN);
        ck_assert_uint_eq(works[0].n_jobs, 4);
        for (size_t i = 0; i < 4; i++)
                ck_assert_ptr_eq(works[0].jobs[i], &jobs[i]);
        /* No other comes: the rest runs as it is, in sizes that were measured. */
        ck_assert_int_eq(next(0)->kind, WORK_DECODE);
        ck_assert_int_eq(next(0)->kind, WORK_DECODE);
        ck_assert_int_eq(next(0)->kind, WORK_RUN);
        ck_assert_uint_eq(works[0].n_jobs, 1);
        ck_assert_uint_eq(next(0)->n_jobs, 1);
        end();
}
END_TEST

START_TEST(a_batch_takes_no_longer_than_its_first_image_has) {
        begin(1, 0);
        set_costs(0, 8, 1); /* 40 ms, one image 10 */
        put(0, 0, clock_ns() + 30000000);
        for (size_t i = 1; i < 8; i++)
                put(i, 0, 0);
        ck_assert_int_eq(next(0)->kind, WORK_DECODE);
        ck_assert_int_eq(next(0)->kind, WORK_RUN); /* seven more could be decoded, in vain */
        ck_assert_uint_eq(works[0].n_jobs, 1);
        end();
}
END_TEST

START_TEST(the_only_core_takes_all_that_waits) {
        begin(2, 0);
        set_costs(0, 4, 1);
        batcher_set_cores(batcher, 1); /* so that one worker decodes it all */
        for (size_t i = 0; i < 4; i++)
                put(i, 0, 0);
        for (size_t i = 0; i < 4; i++)
                ck_assert_int_eq(next(0)->kind, WORK_DECODE);
        ck_assert_uint_eq(next(0)->n_jobs, 4); /* the only core */
        end();
}
END_TEST

static void *next_in_thread(void *argument _unused_) {
        next(1);
        return NULL;
}

START_TEST(no_more_work_is_given_out_than_there_are_cores) {
        pthread_t thread;
        struct batcher_load load;

        begin(2, 0);
        set_costs(0, 1, 1);
        batcher_set_cores(batcher, 1);
        ck_assert_uint_eq(batcher_load(batcher).cores, 1);
        put(0, 0, 0);
        put(1, 0, 0);
        next(0);
        pthread_create(&thread, NULL, next_in_thread, NULL); /* worker 1, which must wait */
        for (unsigned i = 0; i < 20; i++)
                sched_yield();
        load = batcher_load(batcher);
        ck_assert_uint_eq(load.busy_cores, 1);
        batcher_set_cores(batcher, 2);
        pthread_join(thread, NULL);
        ck_assert_int_eq(works[1].kind, WORK_DECODE);
        ck_assert_uint_eq(batcher_load(batcher).busy_cores, 2);
        batcher_set_cores(batcher, 0); /* at least one */
        ck_assert_uint_eq(batcher_load(batcher).cores, 1);
        end();
}
END_TEST

START_TEST(a_model_that_is_flooded_waits_for_itself) {
        size_t n_other = 0;

        begin(1, 0);
        set_costs(0, 1, 1);
        set_costs(1, 1, 1);
        for (size_t i = 0; i < 100; i++)
                put(i, 0, 0);
        for (size_t i = 100; i < 110; i++)
                put(i, 1, 0); /* all later than those */
        for (unsigned i = 0; i < 24; i++)
                n_other += next_run(0)->model == 1;
        ck_assert_uint_eq(n_other, 10);
        end();
}
END_TEST

START_TEST(nobody_saves_up_time) {
        size_t n_late = 0;

        begin(1, 0);
        set_costs(0, 1, 1);
        set_costs(1, 1, 1);
        for (size_t i = 0; i < 100; i++)
                put(i, 0, 0);
        for (unsigned i = 0; i < 50; i++)
                next_run(0); /* model 1 had nothing to do */
        for (size_t i = 100; i < 200; i++)
                put(i, 1, 0);
        for (unsigned i = 0; i < 20; i++)
                n_late += next_run(0)->model == 1;
        ck_assert_uint_le(n_late, 13);
        ck_assert_uint_ge(n_late, 7);
        end();
}
END_TEST

START_TEST(the_earliest_goes_first_where_models_have_had_the_same) {
        uint64_t later_ns = clock_ns() + 60000000000u;

        begin(1, 0);
        set_costs(0, 1, 1);
        set_costs(1, 1, 1);
        put(0, 0, later_ns + 3);
        put(1, 1, later_ns + 1);
        put(2, 0, later_ns + 2);
        ck_assert_ptr_eq(next_run(0)->jobs[0], &jobs[1]);
        ck_assert_ptr_eq(next_run(0)->jobs[0], &jobs[2]);
        ck_assert_ptr_eq(next_run(0)->jobs[0], &jobs[0]);
        end();
}
END_TEST

START_TEST(what_is_late_is_dropped_before_it_costs_anything) {
        begin(1, 0);
        set_costs(0, 4, 1);
        put(0, 0, 1); /* long past */
        put(1, 0, 1);
        for (size_t i = 2; i < 5; i++)
                put(i, 0, 0);
        ck_assert_ptr_eq(next(0)->jobs[0], &jobs[2]);
        ck_assert_uint_eq(atomic_load(&n_done), 2);
        ck_assert_uint_eq(atomic_load(&n_dequeued), 2);
        ck_assert_int_eq(jobs[0].outcome, METRICS_OUTCOME_DEADLINE);
        ck_assert_int_eq(jobs[0].problem.type, PROBLEM_DEADLINE);
        end();
}
END_TEST

START_TEST(what_is_dropped_late_leaves_a_batch_that_has_a_plan) {
        begin(1, 0);
        set_costs(0, 4, 1);
        for (size_t i = 0; i < 4; i++)
                put(i, 0, 0);
        for (size_t i = 0; i < 4; i++)
                ck_assert_int_eq(next(0)->kind, WORK_DECODE);
        jobs[1].deadline_ns = 1;               /* while it was decoded */
        ck_assert_uint_eq(next(0)->n_jobs, 1); /* three are left, and there is no plan for three */
        ck_assert_ptr_eq(works[0].jobs[0], &jobs[0]);
        ck_assert_uint_eq(batcher_load(batcher).waiting_images, 2);
        ck_assert_int_eq(jobs[1].outcome, METRICS_OUTCOME_DEADLINE);
        end();
}
END_TEST

START_TEST(what_nobody_waits_for_is_dropped) {
        begin(1, 0);
        put(0, 0, 0);
        put(1, 0, 0);
        atomic_store(&gone, true);
        batcher_stop(batcher);
        ck_assert(!batcher_next(batcher, 0, &works[0]));
        ck_assert_uint_eq(atomic_load(&n_done), 2);
        ck_assert_int_eq(jobs[1].outcome, METRICS_OUTCOME_CANCELLED);
        batcher_free(batcher);
}
END_TEST

START_TEST(a_sweep_finishes_those_whose_clients_left_at_once) {
        begin(1, 0);
        set_costs(0, 4, 1);
        for (size_t i = 0; i < 5; i++)
                put(i, 0, 0);
        ck_assert_int_eq(next(0)->kind, WORK_DECODE);
        ck_assert_int_eq(next(0)->kind, WORK_DECODE); /* one is ready, one held, three to come */
        jobs[0].gone = jobs[3].gone = &left;
        batcher_sweep(batcher);
        ck_assert_uint_eq(atomic_load(&n_done), 2);
        ck_assert_int_eq(jobs[0].outcome, METRICS_OUTCOME_CANCELLED);
        ck_assert_int_eq(jobs[3].outcome, METRICS_OUTCOME_CANCELLED);
        ck_assert_uint_eq(batcher_load(batcher).waiting_images, 0);
        ck_assert_uint_eq(batcher_load(batcher).expected_images, 3);
        end();
        ck_assert_uint_eq(atomic_load(&n_done), 5);
}
END_TEST

START_TEST(what_cannot_be_decoded_is_not_run) {
        begin(1, 0);
        set_costs(0, 1, 1);
        put(0, 0, 0);
        put(1, 0, 0);
        next(0);
        image_job_finish(works[0].jobs[0]);
        works[0].n_jobs = 0;
        ck_assert_ptr_eq(next_run(0)->jobs[0], &jobs[1]);
        ck_assert_uint_eq(atomic_load(&n_done), 1);
        end();
}
END_TEST

START_TEST(a_delay_ends_with_a_full_batch_or_with_time) {
        uint64_t start_ns = clock_ns();

        begin(1, 30000000);
        set_costs(0, 2, 1);
        put(0, 0, 0);
        put(1, 0, 0);
        ck_assert_uint_eq(next_run(0)->n_jobs, 2);
        ck_assert_uint_lt(clock_ns() - start_ns, 30000000);
        start_ns = clock_ns();
        put(2, 0, 0);
        ck_assert_uint_eq(next_run(0)->n_jobs, 1);
        ck_assert_uint_ge(clock_ns() - start_ns, 29000000);
        end();
}
END_TEST

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
                put(i, i % 2, i % 100 == 99 ? 1 : 0);
                if (i % 64 == 0)
                        batcher_set_cores(batcher, (unsigned)(i / 64 % 3) + 1);
        }
        ck_assert(batcher_call(batcher, note_thread, &caller));
        ck_assert(pthread_equal(caller, threads[0]));
        batcher_stop(batcher);
        for (size_t i = 0; i < 3; i++)
                pthread_join(threads[i], NULL);
        ck_assert_uint_eq(atomic_load(&n_done), MAX_JOBS);
        ck_assert_uint_eq(atomic_load(&n_dequeued), MAX_JOBS);
        ck_assert_uint_eq(batcher_load(batcher).busy_cores, 0);
        ck_assert_int_eq(jobs[99].outcome, METRICS_OUTCOME_DEADLINE);
        ck_assert(!batcher_call(batcher, note_thread, &caller));
        batcher_free(batcher);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("batcher");

        tcase_add_test(tests, an_image_alone_gets_all_cores_on_worker_0);
        tcase_add_test(tests, another_worker_runs_an_image_on_its_own_core);
        tcase_add_test(tests, an_image_with_company_gets_one_core);
        tcase_add_test(tests, what_is_decoded_runs_before_more_is_decoded);
        tcase_add_test(tests, a_batch_that_pays_is_decoded_first);
        tcase_add_test(tests, a_batch_takes_no_longer_than_its_first_image_has);
        tcase_add_test(tests, the_only_core_takes_all_that_waits);
        tcase_add_test(tests, no_more_work_is_given_out_than_there_are_cores);
        tcase_add_test(tests, a_model_that_is_flooded_waits_for_itself);
        tcase_add_test(tests, nobody_saves_up_time);
        tcase_add_test(tests, the_earliest_goes_first_where_models_have_had_the_same);
        tcase_add_test(tests, what_is_late_is_dropped_before_it_costs_anything);
        tcase_add_test(tests, what_is_dropped_late_leaves_a_batch_that_has_a_plan);
        tcase_add_test(tests, what_nobody_waits_for_is_dropped);
        tcase_add_test(tests, a_sweep_finishes_those_whose_clients_left_at_once);
        tcase_add_test(tests, what_cannot_be_decoded_is_not_run);
        tcase_add_test(tests, a_delay_ends_with_a_full_batch_or_with_time);
        tcase_add_test(tests, many_threads_finish_every_image_once);
        return suite_run(tests);
}
