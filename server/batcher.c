#include "server/batcher.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "server/image_job.h"
#include "server/lanes.h"

struct waiter {
        pthread_cond_t wake;
        bool waiting; /* in batcher_next() */
        bool claimed; /* and has been woken: a core is meant for it */
        unsigned threads;
};

struct batcher {
        struct batcher_options options;
        pthread_mutex_t lock;
        pthread_cond_t called;
        struct lanes lanes;
        struct waiter *workers;
        unsigned cores, busy_cores;
        bool stopped;
        void (*call)(void *argument);
        void *argument;
        bool calling; /* between batcher_call() and the end of the call */
};

int batcher_new(struct batcher **ret_batcher, const struct batcher_options *options, struct error *error) {
        _cleanup_(batcher_freep) struct batcher *batcher = NULL;
        pthread_condattr_t attr;
        int r;

        batcher = calloc(1, sizeof(*batcher));
        if (!batcher)
                return error_no_memory(error);
        pthread_mutex_init(&batcher->lock, NULL);
        pthread_cond_init(&batcher->called, NULL);
        r = lanes_init(&batcher->lanes, options->n_models, options->max_batch, error);
        if (r < 0)
                return r;
        batcher->workers = calloc(options->n_workers, sizeof(*batcher->workers));
        if (!batcher->workers)
                return error_no_memory(error);
        batcher->options = *options;
        batcher->cores = options->n_workers;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        for (unsigned i = 0; i < options->n_workers; i++)
                pthread_cond_init(&batcher->workers[i].wake, &attr);
        pthread_condattr_destroy(&attr);

        *ret_batcher = steal_ptr(&batcher);
        return 0;
}

void batcher_free(struct batcher *batcher) {
        lanes_release(&batcher->lanes);
        for (unsigned i = 0; i < batcher->options.n_workers; i++)
                pthread_cond_destroy(&batcher->workers[i].wake);
        pthread_mutex_destroy(&batcher->lock);
        pthread_cond_destroy(&batcher->called);
        free(batcher->workers);
        free(batcher);
}

/* ---- who gets the cores ---- */

static bool is_over(const struct batcher *batcher) {
        struct lanes_count count = lanes_count(&batcher->lanes);

        return batcher->stopped && count.coming + count.decoding + count.ready == 0;
}

/* The lowest one, so that worker 0 gets the image that is alone. */
static bool wake_worker(struct batcher *batcher) {
        for (unsigned i = 0; i < batcher->options.n_workers; i++) {
                struct waiter *worker = &batcher->workers[i];

                if (worker->waiting && !worker->claimed) {
                        worker->claimed = true;
                        pthread_cond_signal(&worker->wake);
                        return true;
                }
        }
        return false;
}

static unsigned count_claimed(const struct batcher *batcher) {
        unsigned n = 0;

        for (unsigned i = 0; i < batcher->options.n_workers; i++)
                n += batcher->workers[i].claimed;
        return n;
}

/* Wakes a worker for each free core that may find something to do; to be called after every change. */
static void dispatch(struct batcher *batcher) {
        struct lanes_count count = lanes_count(&batcher->lanes);
        size_t n_woken = count_claimed(batcher), n_tasks = count.coming + count.ready;

        if (is_over(batcher)) {
                while (wake_worker(batcher))
                        continue;
                return;
        }
        while (n_woken < n_tasks && batcher->busy_cores + n_woken < batcher->cores && wake_worker(batcher))
                n_woken++;
}

/* With the lock; opens it. */
static void finish_dropped(struct batcher *batcher, struct image_job **dropped) {
        struct image_job *job = *dropped;

        if (!job)
                return;
        *dropped = NULL;
        pthread_mutex_unlock(&batcher->lock);
        while (job) {
                struct image_job *next = job->next;

                image_job_finish(job);
                job = next;
        }
        pthread_mutex_lock(&batcher->lock);
}

void batcher_set_cores(struct batcher *batcher, unsigned cores) {
        pthread_mutex_lock(&batcher->lock);
        batcher->cores = MAX(MIN(cores, batcher->options.n_workers), 1u);
        dispatch(batcher);
        pthread_mutex_unlock(&batcher->lock);
}

/* ---- costs ---- */

void batcher_set_costs(struct batcher *batcher, size_t model, const struct cost_table *costs) {
        pthread_mutex_lock(&batcher->lock);
        batcher->lanes.lanes[model].costs = *costs;
        dispatch(batcher);
        pthread_mutex_unlock(&batcher->lock);
}

struct cost_table batcher_costs(struct batcher *batcher, size_t model) {
        struct cost_table costs;

        pthread_mutex_lock(&batcher->lock);
        costs = batcher->lanes.lanes[model].costs;
        pthread_mutex_unlock(&batcher->lock);
        return costs;
}

void batcher_set_ratio(struct batcher *batcher, size_t model, size_t batch, unsigned threads, double ratio) {
        pthread_mutex_lock(&batcher->lock);
        cost_table_set_ratio(&batcher->lanes.lanes[model].costs, batch, threads, ratio);
        dispatch(batcher);
        pthread_mutex_unlock(&batcher->lock);
}

double batcher_observe(struct batcher *batcher, size_t model, size_t batch, unsigned threads, double ms) {
        struct cost_table *costs = &batcher->lanes.lanes[model].costs;
        double image_ms;

        pthread_mutex_lock(&batcher->lock);
        cost_table_observe(costs, batch, threads, ms);
        image_ms = cost_table_image_ms(costs);
        pthread_mutex_unlock(&batcher->lock);
        return image_ms;
}

/* ---- work ---- */

static void fail_no_memory(struct image_job *job) {
        job->outcome = METRICS_OUTCOME_INTERNAL;
        problem_set(&job->problem, PROBLEM_INTERNAL, "the server is out of memory");
        image_job_finish(job);
}

void batcher_submit(struct batcher *batcher, struct image_job *job) {
        int r;

        pthread_mutex_lock(&batcher->lock);
        r = lanes_put_coming(&batcher->lanes, job, NULL);
        dispatch(batcher);
        pthread_mutex_unlock(&batcher->lock);
        if (r < 0)
                fail_no_memory(job);
}

/* Until when this worker may wait for a fuller batch, or 0. */
static uint64_t delay_until(const struct batcher *batcher, const struct lane *lane, uint64_t now_ns) {
        uint64_t until_ns = job_queue_first(&lane->ready)->decode_end_ns + batcher->options.delay_ns;

        if (batcher->options.delay_ns == 0 || batcher->stopped || until_ns <= now_ns ||
            lane->ready.n_jobs >= lane_target(&batcher->lanes, lane, now_ns))
                return 0;
        return until_ns;
}

static bool is_alone(const struct batcher *batcher) {
        struct lanes_count count = lanes_count(&batcher->lanes);

        return batcher->busy_cores == 0 && count.ready == 1 && count.coming + count.decoding == 0;
}

static unsigned count_free(const struct batcher *batcher) {
        unsigned n_waiting = 1; /* this one does not */

        for (unsigned i = 0; i < batcher->options.n_workers; i++)
                n_waiting += batcher->workers[i].waiting;
        return MIN(n_waiting, batcher->cores - batcher->busy_cores);
}

/* Fills work from lane. It stays empty where all that waited was dropped. */
static void take_batch(struct batcher *batcher, struct lane *lane, unsigned worker, uint64_t now_ns,
                       struct work *work, struct image_job **dropped) {
        size_t n_free = count_free(batcher), share = (lane->ready.n_jobs + n_free - 1) / n_free, kept;
        size_t target = MIN(share, lane_target(&batcher->lanes, lane, now_ns));

        target = cost_table_batch(&lane->costs, target, INFINITY);
        if (worker == 0 && is_alone(batcher))
                work->threads = cost_table_threads(&lane->costs, batcher->cores);
        while (work->n_jobs < target) {
                struct image_job *job = lane_take_ready(lane, now_ns, dropped);

                if (!job)
                        break;
                work->jobs[work->n_jobs++] = job;
        }
        if (work->n_jobs == 0)
                return;
        /* Some were dropped: there may be no plan for what is left. Putting back needs no memory. */
        kept = cost_table_batch(&lane->costs, work->n_jobs, INFINITY);
        while (work->n_jobs > kept)
                job_queue_put(&lane->ready, work->jobs[--work->n_jobs], NULL);
        work->kind = WORK_RUN;
        lane_charge(lane, work->threads * cost_table_ms(&lane->costs, work->n_jobs, work->threads));
}

static void take_image(struct lane *lane, uint64_t now_ns, struct work *work, struct image_job **dropped) {
        struct image_job *job = lane_take_coming(lane, now_ns, dropped);

        if (!job)
                return;
        work->kind = WORK_DECODE;
        work->jobs[work->n_jobs++] = job;
        lane_charge(lane, (double)job->cost.decode_ns / 1e6);
}

/* What this worker should do now; else *ret_until_ns: how long it may wait, 0 for until it is woken. */
static void take_work(struct batcher *batcher, unsigned worker, struct work *work,
                      struct image_job **dropped, uint64_t *ret_until_ns) {
        uint64_t now_ns = clock_ns();
        struct lane *coming, *ready;

        *ret_until_ns = 0;
        if (worker == 0 && batcher->call) {
                work->kind = WORK_CALL;
                work->call = batcher->call;
                work->argument = batcher->argument;
                batcher->call = NULL;
                return;
        }
        if (batcher->busy_cores >= batcher->cores)
                return;
        coming = lanes_next_coming(&batcher->lanes, BATCHER_ROUNDS_AHEAD * batcher->cores);
        ready = lanes_next_ready(&batcher->lanes);
        if (coming && (!ready || ready->ready.n_jobs < lane_target(&batcher->lanes, ready, now_ns))) {
                work->model = (size_t)(coming - batcher->lanes.lanes);
                take_image(coming, now_ns, work, dropped);
        } else if (ready) {
                *ret_until_ns = delay_until(batcher, ready, now_ns);
                work->model = (size_t)(ready - batcher->lanes.lanes);
                if (*ret_until_ns == 0)
                        take_batch(batcher, ready, worker, now_ns, work, dropped);
        }
}

/* Until it is woken, or until_ns where that is not 0. */
static void wait_worker(struct batcher *batcher, struct waiter *self, uint64_t until_ns) {
        struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};

        self->waiting = true;
        if (until_ns > 0)
                pthread_cond_timedwait(&self->wake, &batcher->lock, &until);
        else
                pthread_cond_wait(&self->wake, &batcher->lock);
        self->waiting = self->claimed = false;
}

/* Returns a job that cannot be queued for want of memory. */
static struct image_job *end_work(struct batcher *batcher, struct waiter *self, const struct work *work) {
        struct image_job *lost = NULL;

        batcher->busy_cores -= self->threads;
        self->threads = 0;
        if (work->kind == WORK_DECODE) {
                batcher->lanes.lanes[work->model].n_decoding--;
                if (work->n_jobs > 0 && lanes_put_ready(&batcher->lanes, work->jobs[0], NULL) < 0)
                        lost = work->jobs[0];
        } else if (work->kind == WORK_CALL) {
                batcher->calling = false;
                pthread_cond_broadcast(&batcher->called);
        }
        return lost;
}

bool batcher_next(struct batcher *batcher, unsigned worker, struct work *work) {
        struct waiter *self = &batcher->workers[worker];
        struct image_job *dropped = NULL, *lost;

        pthread_mutex_lock(&batcher->lock);
        lost = end_work(batcher, self, work);
        if (lost) {
                pthread_mutex_unlock(&batcher->lock);
                fail_no_memory(lost);
                pthread_mutex_lock(&batcher->lock);
        }
        work->kind = WORK_NONE;
        work->n_jobs = 0;
        work->threads = 1;
        for (;;) {
                uint64_t until_ns;

                take_work(batcher, worker, work, &dropped, &until_ns);
                if (work->kind != WORK_NONE)
                        break;
                if (dropped)
                        finish_dropped(batcher, &dropped);
                else if (is_over(batcher))
                        break;
                else
                        wait_worker(batcher, self, until_ns);
        }
        self->threads = work->kind != WORK_NONE ? work->threads : 0;
        batcher->busy_cores += self->threads;
        dispatch(batcher);
        finish_dropped(batcher, &dropped);
        pthread_mutex_unlock(&batcher->lock);
        return work->kind != WORK_NONE;
}

void batcher_sweep(struct batcher *batcher) {
        struct image_job *dropped = NULL;

        pthread_mutex_lock(&batcher->lock);
        lanes_sweep(&batcher->lanes, clock_ns(), &dropped);
        dispatch(batcher);
        finish_dropped(batcher, &dropped);
        pthread_mutex_unlock(&batcher->lock);
}

bool batcher_call(struct batcher *batcher, void (*call)(void *argument), void *argument) {
        bool done = false;

        pthread_mutex_lock(&batcher->lock);
        while (!batcher->stopped && batcher->calling)
                pthread_cond_wait(&batcher->called, &batcher->lock);
        if (!batcher->stopped) {
                batcher->call = call;
                batcher->argument = argument;
                batcher->calling = true;
                pthread_cond_signal(&batcher->workers[0].wake);
                while (batcher->calling)
                        pthread_cond_wait(&batcher->called, &batcher->lock);
                done = true;
        }
        pthread_mutex_unlock(&batcher->lock);
        return done;
}

void batcher_stop(struct batcher *batcher) {
        pthread_mutex_lock(&batcher->lock);
        batcher->stopped = true;
        for (unsigned i = 0; i < batcher->options.n_workers; i++)
                pthread_cond_signal(&batcher->workers[i].wake);
        pthread_cond_broadcast(&batcher->called);
        pthread_mutex_unlock(&batcher->lock);
}

struct batcher_load batcher_load(struct batcher *batcher) {
        struct batcher_load load = {0};
        struct lanes_count count;

        pthread_mutex_lock(&batcher->lock);
        count = lanes_count(&batcher->lanes);
        load.waiting_images = count.ready;
        load.expected_images = count.coming + count.decoding;
        load.busy_cores = batcher->busy_cores;
        load.cores = batcher->cores;
        pthread_mutex_unlock(&batcher->lock);
        return load;
}
