#include "server/batcher.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "server/image_job.h"
#include "server/job_queue.h"

/* How many rounds of work may lie decoded: the one after this one, so that no worker waits for a decoder. */
#define ROUNDS_AHEAD 2u

struct lane {
        struct job_queue queue;
        struct cost_table costs;
};

struct waiter {
        pthread_cond_t wake;
        bool idle;     /* waits in batcher_take() */
        bool signaled; /* and has been told to look again */
        unsigned threads;
};

struct batcher {
        struct batcher_options options;
        pthread_mutex_t lock;
        pthread_cond_t room, called;
        struct lane *lanes;
        struct waiter *workers;
        size_t n_waiting, n_expected;
        bool stopped;
        void (*call)(void *argument);
        void *argument;
        bool calling; /* between batcher_call() and the end of the call */
};

int batcher_new(struct batcher **ret_batcher, const struct batcher_options *options, struct error *error) {
        _cleanup_(batcher_freep) struct batcher *batcher = NULL;
        pthread_condattr_t attr;

        batcher = calloc(1, sizeof(*batcher));
        if (!batcher)
                return error_no_memory(error);
        pthread_mutex_init(&batcher->lock, NULL);
        pthread_cond_init(&batcher->room, NULL);
        pthread_cond_init(&batcher->called, NULL);
        batcher->lanes = calloc(options->n_models, sizeof(*batcher->lanes));
        batcher->workers = calloc(options->n_workers, sizeof(*batcher->workers));
        if (!batcher->lanes || !batcher->workers)
                return error_no_memory(error);
        batcher->options = *options;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        for (unsigned i = 0; i < options->n_workers; i++)
                pthread_cond_init(&batcher->workers[i].wake, &attr);
        pthread_condattr_destroy(&attr);

        *ret_batcher = steal_ptr(&batcher);
        return 0;
}

void batcher_free(struct batcher *batcher) {
        for (size_t i = 0; i < batcher->options.n_models; i++)
                job_queue_release(&batcher->lanes[i].queue);
        for (unsigned i = 0; i < batcher->options.n_workers; i++)
                pthread_cond_destroy(&batcher->workers[i].wake);
        pthread_mutex_destroy(&batcher->lock);
        pthread_cond_destroy(&batcher->room);
        pthread_cond_destroy(&batcher->called);
        free(batcher->lanes);
        free(batcher->workers);
        free(batcher);
}

void batcher_set_costs(struct batcher *batcher, size_t model, const struct cost_table *costs) {
        pthread_mutex_lock(&batcher->lock);
        batcher->lanes[model].costs = *costs;
        pthread_cond_broadcast(&batcher->room);
        pthread_mutex_unlock(&batcher->lock);
}

struct cost_table batcher_costs(struct batcher *batcher, size_t model) {
        struct cost_table costs;

        pthread_mutex_lock(&batcher->lock);
        costs = batcher->lanes[model].costs;
        pthread_mutex_unlock(&batcher->lock);
        return costs;
}

void batcher_expect(struct batcher *batcher) {
        pthread_mutex_lock(&batcher->lock);
        batcher->n_expected++;
        pthread_mutex_unlock(&batcher->lock);
}

void batcher_unexpect(struct batcher *batcher) {
        pthread_mutex_lock(&batcher->lock);
        batcher->n_expected--;
        pthread_mutex_unlock(&batcher->lock);
}

/* The lowest one, so that worker 0 gets the image that is alone. */
static void wake_one(struct batcher *batcher) {
        for (unsigned i = 0; i < batcher->options.n_workers; i++) {
                struct waiter *worker = &batcher->workers[i];

                if (worker->idle && !worker->signaled) {
                        worker->signaled = true;
                        pthread_cond_signal(&worker->wake);
                        return;
                }
        }
}

void batcher_put(struct batcher *batcher, struct image_job *job) {
        int r;

        pthread_mutex_lock(&batcher->lock);
        batcher->n_expected--;
        r = job_queue_put(&batcher->lanes[job->model].queue, job, NULL);
        if (r >= 0) {
                batcher->n_waiting++;
                wake_one(batcher);
        }
        pthread_mutex_unlock(&batcher->lock);
        if (r < 0) {
                job->outcome = METRICS_OUTCOME_INTERNAL;
                problem_set(&job->problem, PROBLEM_INTERNAL, "the server is out of memory");
                image_job_finish(job);
        }
}

static size_t largest_batch(const struct batcher *batcher) {
        size_t largest = 1;

        for (size_t i = 0; i < batcher->options.n_models; i++) {
                size_t batch = cost_table_batch(&batcher->lanes[i].costs, batcher->options.max_batch);

                largest = MAX(largest, batch);
        }
        return largest;
}

static bool has_room(const struct batcher *batcher) {
        return batcher->n_waiting < ROUNDS_AHEAD * batcher->options.n_workers * largest_batch(batcher);
}

bool batcher_wait_room(struct batcher *batcher) {
        bool open;

        pthread_mutex_lock(&batcher->lock);
        while (!batcher->stopped && !has_room(batcher))
                pthread_cond_wait(&batcher->room, &batcher->lock);
        open = !batcher->stopped;
        pthread_mutex_unlock(&batcher->lock);
        return open;
}

/* Takes the first job out of lane; onto *dropped where it is not worth going on with. */
static struct image_job *take_job(struct batcher *batcher, struct lane *lane, uint64_t now_ns,
                                  struct image_job **dropped) {
        struct image_job *job;

        while ((job = job_queue_take(&lane->queue))) {
                batcher->n_waiting--;
                if (!image_job_dropped(job, now_ns))
                        return job;
                job->next = *dropped;
                *dropped = job;
        }
        return NULL;
}

/* The lane whose first image has the earliest deadline, or NULL. */
static struct lane *first_lane(struct batcher *batcher) {
        struct lane *first = NULL;
        uint64_t deadline_ns = UINT64_MAX;

        for (size_t i = 0; i < batcher->options.n_models; i++) {
                const struct image_job *job = job_queue_first(&batcher->lanes[i].queue);

                if (job && (!first || job->deadline_ns < deadline_ns)) {
                        first = &batcher->lanes[i];
                        deadline_ns = job->deadline_ns;
                }
        }
        return first;
}

static void count_workers(const struct batcher *batcher, unsigned *ret_idle, unsigned *ret_busy_threads) {
        unsigned idle = 0, busy_threads = 0;

        for (unsigned i = 0; i < batcher->options.n_workers; i++) {
                idle += batcher->workers[i].idle;
                busy_threads += batcher->workers[i].threads;
        }
        *ret_idle = idle;
        *ret_busy_threads = busy_threads;
}

/* Until when this worker may wait for a fuller batch, or 0. */
static uint64_t delay_until(const struct batcher *batcher, const struct lane *lane, uint64_t now_ns) {
        uint64_t until_ns = job_queue_first(&lane->queue)->decode_end_ns + batcher->options.delay_ns;

        if (batcher->options.delay_ns == 0 || batcher->stopped || until_ns <= now_ns ||
            lane->queue.n_jobs >= cost_table_batch(&lane->costs, batcher->options.max_batch))
                return 0;
        return until_ns;
}

/* Fills batch from lane. It stays empty where all that waited was dropped. */
static void fill_batch(struct batcher *batcher, struct lane *lane, unsigned worker, uint64_t now_ns,
                       struct batch *batch, struct image_job **dropped) {
        unsigned n_idle, busy_threads;
        size_t share, target, kept;
        bool alone;

        count_workers(batcher, &n_idle, &busy_threads);
        alone = busy_threads == 0 && batcher->n_waiting == 1 && batcher->n_expected == 0;
        share = (lane->queue.n_jobs + n_idle - 1) / n_idle;
        target = cost_table_batch(&lane->costs, MIN(share, batcher->options.max_batch));

        batch->model = (size_t)(lane - batcher->lanes);
        batch->threads = alone && worker == 0 ? cost_table_threads(&lane->costs) : 1;
        while (batch->n_jobs < target) {
                struct image_job *job = take_job(batcher, lane, now_ns, dropped);

                if (!job)
                        break;
                batch->jobs[batch->n_jobs++] = job;
        }
        if (batch->n_jobs == 0)
                return;
        /* Some were dropped: there may be no plan for what is left. Putting back needs no memory. */
        kept = cost_table_batch(&lane->costs, batch->n_jobs);
        while (batch->n_jobs > kept) {
                job_queue_put(&lane->queue, batch->jobs[--batch->n_jobs], NULL);
                batcher->n_waiting++;
        }
}

static void wait_idle(struct batcher *batcher, struct waiter *self, uint64_t until_ns) {
        struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};

        if (until_ns > 0)
                pthread_cond_timedwait(&self->wake, &batcher->lock, &until);
        else
                pthread_cond_wait(&self->wake, &batcher->lock);
        self->signaled = false;
}

static void finish_dropped(struct batcher *batcher, struct image_job **dropped) {
        struct image_job *job = *dropped;

        if (!job)
                return;
        *dropped = NULL;
        pthread_cond_broadcast(&batcher->room);
        pthread_mutex_unlock(&batcher->lock);
        while (job) {
                struct image_job *next = job->next;

                image_job_finish(job);
                job = next;
        }
        pthread_mutex_lock(&batcher->lock);
}

bool batcher_take(struct batcher *batcher, unsigned worker, struct batch *batch) {
        struct waiter *self = &batcher->workers[worker];
        struct image_job *dropped = NULL;

        batch->n_jobs = 0;
        batch->call = NULL;
        batch->threads = 1;

        pthread_mutex_lock(&batcher->lock);
        self->idle = true;
        for (;;) {
                struct lane *lane = first_lane(batcher);
                uint64_t now_ns = clock_ns(), until_ns;

                if (worker == 0 && batcher->call) {
                        batch->call = batcher->call;
                        batch->argument = batcher->argument;
                        batcher->call = NULL;
                        break;
                }
                if (!lane) {
                        if (batcher->stopped)
                                break;
                        wait_idle(batcher, self, 0);
                        continue;
                }
                until_ns = delay_until(batcher, lane, now_ns);
                if (until_ns > 0) {
                        wait_idle(batcher, self, until_ns);
                        continue;
                }
                fill_batch(batcher, lane, worker, now_ns, batch, &dropped);
                /* No longer idle while the lock is open, or else it would be signalled in vain. */
                self->idle = batch->n_jobs == 0;
                self->threads = batch->n_jobs > 0 ? batch->threads : 0;
                finish_dropped(batcher, &dropped);
                if (batch->n_jobs > 0)
                        break;
        }
        self->idle = false;
        self->signaled = false;
        self->threads = batch->n_jobs > 0 || batch->call ? batch->threads : 0;
        if (batcher->n_waiting > 0)
                wake_one(batcher);
        if (has_room(batcher))
                pthread_cond_broadcast(&batcher->room);
        pthread_mutex_unlock(&batcher->lock);
        return batch->n_jobs > 0 || batch->call;
}

void batcher_release(struct batcher *batcher, unsigned worker) {
        pthread_mutex_lock(&batcher->lock);
        batcher->workers[worker].threads = 0;
        if (worker == 0 && batcher->calling && !batcher->call) {
                batcher->calling = false;
                pthread_cond_broadcast(&batcher->called);
        }
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
                batcher->workers[0].signaled = true;
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
        pthread_cond_broadcast(&batcher->room);
        pthread_cond_broadcast(&batcher->called);
        pthread_mutex_unlock(&batcher->lock);
}

struct batcher_load batcher_load(struct batcher *batcher) {
        struct batcher_load load = {.n_workers = batcher->options.n_workers};
        unsigned n_idle;

        pthread_mutex_lock(&batcher->lock);
        load.waiting_images = batcher->n_waiting;
        load.expected_images = batcher->n_expected;
        count_workers(batcher, &n_idle, &load.busy_threads);
        pthread_mutex_unlock(&batcher->lock);
        return load;
}
