#include "server/admission.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#define RETRY_AFTER_MAX_S 3600.0

struct admission {
        struct admission_options options;
        atomic_size_t images, bytes;
        _Atomic uint64_t decode_ns, infer_ns;
};

int admission_new(struct admission **ret_admission, const struct admission_options *options,
                  struct error *error) {
        struct admission *admission = calloc(1, sizeof(*admission));

        if (!admission)
                return error_no_memory(error);
        admission->options = *options;
        *ret_admission = admission;
        return 0;
}

void admission_free(struct admission *admission) {
        free(admission);
}

static bool take(atomic_size_t *taken, size_t n, size_t limit) {
        size_t before = atomic_load_explicit(taken, memory_order_relaxed);

        do {
                if (n > limit || before > limit - n)
                        return false;
        } while (!atomic_compare_exchange_weak_explicit(taken, &before, before + n, memory_order_relaxed,
                                                        memory_order_relaxed));
        return true;
}

bool admission_enter(struct admission *admission, size_t n_images) {
        return take(&admission->images, n_images, admission->options.queue_images);
}

void admission_leave(struct admission *admission, size_t n_images) {
        atomic_fetch_sub_explicit(&admission->images, n_images, memory_order_relaxed);
}

size_t admission_images(const struct admission *admission) {
        return atomic_load_explicit(&admission->images, memory_order_relaxed);
}

bool admission_hold(struct admission *admission, size_t bytes) {
        return take(&admission->bytes, bytes, admission->options.body_bytes);
}

void admission_release(struct admission *admission, size_t bytes) {
        atomic_fetch_sub_explicit(&admission->bytes, bytes, memory_order_relaxed);
}

static void observe(_Atomic uint64_t *average_ns, uint64_t value_ns) {
        uint64_t before = atomic_load_explicit(average_ns, memory_order_relaxed);

        while (!atomic_compare_exchange_weak_explicit(
                average_ns, &before, before == 0 ? value_ns : before - before / 16 + value_ns / 16,
                memory_order_relaxed, memory_order_relaxed))
                continue;
}

void admission_observe_decode(struct admission *admission, uint64_t cpu_ns) {
        observe(&admission->decode_ns, cpu_ns);
}

void admission_observe_infer(struct admission *admission, uint64_t cpu_ns) {
        observe(&admission->infer_ns, cpu_ns);
}

static double seconds_for(const struct admission *admission, double n_images) {
        double cost_ns = (double)atomic_load_explicit(&admission->decode_ns, memory_order_relaxed) +
                         (double)atomic_load_explicit(&admission->infer_ns, memory_order_relaxed);

        return n_images * cost_ns / 1e9 / (double)admission->options.n_cpus;
}

double admission_wait_s(const struct admission *admission) {
        return seconds_for(admission, (double)admission_images(admission));
}

unsigned admission_retry_after_s(const struct admission *admission) {
        double seconds = seconds_for(admission, (double)admission_images(admission));

        return (unsigned)fmin(fmax(ceil(seconds), 1), RETRY_AFTER_MAX_S);
}
