#pragma once
/*
 * admission: places in the queue, memory for bodies, and how long a new image would wait.
 *
 * Counters only: nothing waits here. Thread safe and lock-free.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

struct admission;

struct admission_options {
        size_t queue_images; /* places */
        size_t body_bytes;   /* memory that bodies in flight may hold together */
        unsigned n_cpus;
};

/* Fails with ERROR_NO_MEMORY. */
int admission_new(struct admission **ret_admission, const struct admission_options *options,
                  struct error *error);
void admission_free(struct admission *admission);
DEFINE_CLEANUP(admission)

/* Takes n places, or none and returns false. */
bool admission_enter(struct admission *admission, size_t n_images);
void admission_leave(struct admission *admission, size_t n_images);
size_t admission_images(const struct admission *admission);

/* The same for memory. */
bool admission_hold(struct admission *admission, size_t bytes);
void admission_release(struct admission *admission, size_t bytes);

/* CPU time that one image took; moving averages (1/16 of each new value) of what decode and infer cost. */
void admission_observe_decode(struct admission *admission, uint64_t cpu_ns);
void admission_observe_infer(struct admission *admission, uint64_t cpu_ns);

/* How long an image admitted now waits: those before it times their cost, over the CPUs. Seconds. */
double admission_wait_s(const struct admission *admission);

/* For Retry-After: when what is queued now will be done, rounded up, at least 1 s. */
unsigned admission_retry_after_s(const struct admission *admission);
