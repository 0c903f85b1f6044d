#include "server/lanes.h"

#include <math.h>
#include <stdlib.h>

#include "base/macros.h"
#include "server/image_job.h"

int lanes_init(struct lanes *lanes, size_t n_lanes, size_t max_batch, struct error *error) {
        struct lane *array = calloc(n_lanes, sizeof(*array));

        if (!array)
                return error_no_memory(error);
        *lanes = (struct lanes){.lanes = array, .n_lanes = n_lanes, .max_batch = max_batch};
        return 0;
}

void lanes_release(struct lanes *lanes) {
        for (size_t i = 0; i < lanes->n_lanes; i++) {
                job_queue_release(&lanes->lanes[i].coming);
                job_queue_release(&lanes->lanes[i].ready);
        }
        free(lanes->lanes);
        *lanes = (struct lanes){0};
}

static bool is_active(const struct lane *lane) {
        return lane->coming.n_jobs + lane->n_decoding + lane->ready.n_jobs > 0;
}

/* Nobody saves up time while he wants none. */
static void wake(struct lanes *lanes, struct lane *lane) {
        double least_ms = INFINITY;

        if (is_active(lane))
                return;
        for (size_t i = 0; i < lanes->n_lanes; i++)
                if (is_active(&lanes->lanes[i]))
                        least_ms = fmin(least_ms, lanes->lanes[i].given_ms);
        if (isfinite(least_ms))
                lane->given_ms = fmax(lane->given_ms, least_ms);
}

int lanes_put_coming(struct lanes *lanes, struct image_job *job, struct error *error) {
        struct lane *lane = &lanes->lanes[job->model];

        wake(lanes, lane);
        return job_queue_put(&lane->coming, job, error);
}

int lanes_put_ready(struct lanes *lanes, struct image_job *job, struct error *error) {
        return job_queue_put(&lanes->lanes[job->model].ready, job, error);
}

static size_t full_batch(const struct lanes *lanes, const struct lane *lane) {
        return cost_table_batch(&lane->costs, lanes->max_batch, INFINITY);
}

/* Of the lanes with a first job: see the header. */
static struct lane *next(const struct lanes *lanes,
                         const struct image_job *(*first)(const struct lanes *lanes, const struct lane *lane,
                                                          size_t room),
                         size_t room) {
        struct lane *best = NULL;
        uint64_t order_ns = 0;
        double least_ms = INFINITY;

        for (size_t i = 0; i < lanes->n_lanes; i++)
                if (first(lanes, &lanes->lanes[i], room))
                        least_ms = fmin(least_ms, lanes->lanes[i].given_ms);
        for (size_t i = 0; i < lanes->n_lanes; i++) {
                struct lane *lane = &lanes->lanes[i];
                const struct image_job *job = first(lanes, lane, room);

                if (!job || lane->given_ms > least_ms + LANES_QUANTUM_MS)
                        continue;
                if (!best || job->order_ns < order_ns) {
                        best = lane;
                        order_ns = job->order_ns;
                }
        }
        return best;
}

static const struct image_job *first_coming(const struct lanes *lanes, const struct lane *lane,
                                            size_t room) {
        if (lane->ready.n_jobs + lane->n_decoding >= room * full_batch(lanes, lane))
                return NULL;
        return job_queue_first(&lane->coming);
}

static const struct image_job *first_ready(const struct lanes *lanes _unused_, const struct lane *lane,
                                           size_t room _unused_) {
        return job_queue_first(&lane->ready);
}

struct lane *lanes_next_coming(const struct lanes *lanes, size_t room) {
        return next(lanes, first_coming, room);
}

struct lane *lanes_next_ready(const struct lanes *lanes) {
        return next(lanes, first_ready, 0);
}

size_t lane_target(const struct lanes *lanes, const struct lane *lane, uint64_t now_ns) {
        const struct image_job *job = job_queue_first(&lane->ready);
        double left_ms = job && job->deadline_ns > now_ns ? (double)(job->deadline_ns - now_ns) / 1e6 : 0;

        return cost_table_batch(&lane->costs, lanes->max_batch, job ? left_ms : INFINITY);
}

static struct image_job *take(struct job_queue *queue, uint64_t now_ns, struct image_job **dropped) {
        struct image_job *job;

        while ((job = job_queue_take(queue))) {
                if (!image_job_dropped(job, now_ns))
                        return job;
                job->next = *dropped;
                *dropped = job;
        }
        return NULL;
}

struct image_job *lane_take_coming(struct lane *lane, uint64_t now_ns, struct image_job **dropped) {
        struct image_job *job = take(&lane->coming, now_ns, dropped);

        lane->n_decoding += job != NULL;
        return job;
}

struct image_job *lane_take_ready(struct lane *lane, uint64_t now_ns, struct image_job **dropped) {
        return take(&lane->ready, now_ns, dropped);
}

void lane_charge(struct lane *lane, double ms) {
        lane->given_ms += ms;
}

struct sweep {
        uint64_t now_ns;
        struct image_job **dropped;
};

static bool is_kept(struct image_job *job, void *argument) {
        struct sweep *sweep = argument;

        if (!image_job_dropped(job, sweep->now_ns))
                return true;
        job->next = *sweep->dropped;
        *sweep->dropped = job;
        return false;
}

void lanes_sweep(struct lanes *lanes, uint64_t now_ns, struct image_job **dropped) {
        struct sweep sweep = {now_ns, dropped};

        for (size_t i = 0; i < lanes->n_lanes; i++) {
                job_queue_sweep(&lanes->lanes[i].coming, is_kept, &sweep);
                job_queue_sweep(&lanes->lanes[i].ready, is_kept, &sweep);
        }
}

struct lanes_count lanes_count(const struct lanes *lanes) {
        struct lanes_count count = {0};

        for (size_t i = 0; i < lanes->n_lanes; i++) {
                count.coming += lanes->lanes[i].coming.n_jobs;
                count.decoding += lanes->lanes[i].n_decoding;
                count.ready += lanes->lanes[i].ready.n_jobs;
        }
        return count;
}
