#include "server/admission.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define RETRY_AFTER_MAX_S 3600.0
#define PERIODS           16u
#define PERIOD_NS         (ADMISSION_RESERVE_MS * 1000000ull / PERIODS)
#define AVERAGE           16.0
#define MARGIN            0.1 /* of the time that is left, for what an estimate cannot know */

struct admission {
        struct admission_options options;
        atomic_size_t bytes;

        pthread_mutex_t lock; /* what follows */
        unsigned cores;
        size_t images, n_running;
        double queued_ns, running_ns;   /* work of those that wait and of those that run */
        double announced_ns[PERIODS];   /* by the period of the headers, modulo PERIODS */
        double announced_total_ns;      /* of them all */
        uint64_t period;                /* the latest */
        double decode_ns, decode_bytes; /* averages */
        double *infer_ns;               /* [n_models] */
};

int admission_new(struct admission **ret_admission, const struct admission_options *options,
                  struct error *error) {
        _cleanup_(admission_freep) struct admission *admission = calloc(1, sizeof(*admission));

        if (!admission)
                return error_no_memory(error);
        pthread_mutex_init(&admission->lock, NULL);
        admission->options = *options;
        admission->cores = options->cores;
        admission->infer_ns = calloc(options->n_models, sizeof(*admission->infer_ns));
        if (!admission->infer_ns)
                return error_no_memory(error);
        *ret_admission = steal_ptr(&admission);
        return 0;
}

void admission_free(struct admission *admission) {
        pthread_mutex_destroy(&admission->lock);
        free(admission->infer_ns);
        free(admission);
}

void admission_set_cores(struct admission *admission, unsigned cores) {
        pthread_mutex_lock(&admission->lock);
        admission->cores = MAX(cores, 1u);
        pthread_mutex_unlock(&admission->lock);
}

bool admission_hold(struct admission *admission, size_t bytes) {
        size_t before = atomic_load_explicit(&admission->bytes, memory_order_relaxed);
        size_t limit = admission->options.body_bytes;

        do {
                if (bytes > limit || before > limit - bytes)
                        return false;
        } while (!atomic_compare_exchange_weak_explicit(&admission->bytes, &before, before + bytes,
                                                        memory_order_relaxed, memory_order_relaxed));
        return true;
}

void admission_release(struct admission *admission, size_t bytes) {
        atomic_fetch_sub_explicit(&admission->bytes, bytes, memory_order_relaxed);
}

/* ---- what images cost ---- */

static void average(double *value, double sample) {
        *value = *value > 0 ? *value + (sample - *value) / AVERAGE : sample;
}

void admission_observe_decode(struct admission *admission, size_t bytes, uint64_t ns) {
        pthread_mutex_lock(&admission->lock);
        average(&admission->decode_ns, (double)ns);
        average(&admission->decode_bytes, (double)bytes);
        pthread_mutex_unlock(&admission->lock);
}

void admission_set_infer(struct admission *admission, size_t model, uint64_t image_ns) {
        pthread_mutex_lock(&admission->lock);
        admission->infer_ns[model] = (double)image_ns;
        pthread_mutex_unlock(&admission->lock);
}

struct admission_cost admission_cost(struct admission *admission, size_t model, size_t bytes) {
        double share = 1, decode_ns, infer_ns;

        pthread_mutex_lock(&admission->lock);
        if (bytes > 0 && admission->decode_bytes > 0)
                share = (double)bytes / admission->decode_bytes;
        decode_ns = admission->decode_ns * share;
        infer_ns = admission->infer_ns[model];
        pthread_mutex_unlock(&admission->lock);
        return (struct admission_cost){(uint64_t)decode_ns, (uint64_t)infer_ns};
}

/* ---- requests ---- */

/* Periods that are over no longer count. */
static void advance(struct admission *admission, uint64_t now_ns) {
        uint64_t period = now_ns / PERIOD_NS;

        if (period <= admission->period)
                return;
        for (uint64_t i = admission->period + 1; i <= period && i <= admission->period + PERIODS; i++) {
                admission->announced_total_ns -= admission->announced_ns[i % PERIODS];
                admission->announced_ns[i % PERIODS] = 0;
        }
        admission->period = period;
}

static void forget(struct admission *admission, struct admission_ticket *ticket) {
        if (ticket->announced_ns > 0 && ticket->period + PERIODS > admission->period) {
                admission->announced_ns[ticket->period % PERIODS] -= (double)ticket->announced_ns;
                admission->announced_total_ns -= (double)ticket->announced_ns;
        }
        *ticket = (struct admission_ticket){0};
}

/* Nobody waits for those that run while a core is free; else half of what they take is still to come. */
static double wait_ns(const struct admission *admission) {
        double work_ns = admission->queued_ns + admission->announced_total_ns;

        if (admission->n_running >= admission->cores)
                work_ns += admission->running_ns / 2;
        return fmax(work_ns, 0) / admission->cores;
}

static enum admission_verdict judge(const struct admission *admission, const struct admission_ask *ask) {
        double left_ns =
                ask->deadline_ns > ask->now_ns ? (double)(ask->deadline_ns - ask->now_ns) * (1 - MARGIN) : 0;
        double own_ns = (double)(ask->cost.decode_ns + ask->cost.infer_ns) /
                        (double)MIN(ask->n_images, (size_t)admission->cores);
        size_t places = admission->options.queue_images;

        if (ask->n_images > places || admission->images > places - ask->n_images)
                return ADMISSION_FULL;
        return wait_ns(admission) + own_ns > left_ns ? ADMISSION_LATE : ADMISSION_YES;
}

enum admission_verdict admission_announce(struct admission *admission, const struct admission_ask *ask,
                                          struct admission_ticket *ticket) {
        enum admission_verdict verdict;

        pthread_mutex_lock(&admission->lock);
        advance(admission, ask->now_ns);
        verdict = judge(admission, ask);
        if (verdict == ADMISSION_YES) {
                *ticket = (struct admission_ticket){ask->cost.decode_ns + ask->cost.infer_ns,
                                                    admission->period};
                admission->announced_ns[ticket->period % PERIODS] += (double)ticket->announced_ns;
                admission->announced_total_ns += (double)ticket->announced_ns;
        }
        pthread_mutex_unlock(&admission->lock);
        return verdict;
}

void admission_forget(struct admission *admission, struct admission_ticket *ticket) {
        if (ticket->announced_ns == 0)
                return;
        pthread_mutex_lock(&admission->lock);
        forget(admission, ticket);
        pthread_mutex_unlock(&admission->lock);
}

enum admission_verdict admission_enter(struct admission *admission, const struct admission_ask *ask,
                                       struct admission_ticket *ticket) {
        enum admission_verdict verdict;

        pthread_mutex_lock(&admission->lock);
        advance(admission, ask->now_ns);
        forget(admission, ticket);
        verdict = judge(admission, ask);
        if (verdict == ADMISSION_YES) {
                admission->images += ask->n_images;
                admission->queued_ns += (double)(ask->cost.decode_ns + ask->cost.infer_ns);
        }
        pthread_mutex_unlock(&admission->lock);
        return verdict;
}

void admission_begin(struct admission *admission, struct admission_cost cost) {
        pthread_mutex_lock(&admission->lock);
        admission->images--;
        admission->n_running++;
        admission->queued_ns -= (double)(cost.decode_ns + cost.infer_ns);
        admission->running_ns += (double)cost.infer_ns;
        pthread_mutex_unlock(&admission->lock);
}

void admission_end(struct admission *admission, struct admission_cost cost) {
        pthread_mutex_lock(&admission->lock);
        admission->n_running--;
        admission->running_ns -= (double)cost.infer_ns;
        pthread_mutex_unlock(&admission->lock);
}

/* ---- for operators ---- */

size_t admission_images(struct admission *admission) {
        size_t images;

        pthread_mutex_lock(&admission->lock);
        images = admission->images;
        pthread_mutex_unlock(&admission->lock);
        return images;
}

double admission_wait_s(struct admission *admission) {
        double ns;

        pthread_mutex_lock(&admission->lock);
        ns = wait_ns(admission);
        pthread_mutex_unlock(&admission->lock);
        return ns / 1e9;
}

unsigned admission_retry_after_s(struct admission *admission) {
        return (unsigned)fmin(fmax(ceil(admission_wait_s(admission)), 1), RETRY_AFTER_MAX_S);
}
