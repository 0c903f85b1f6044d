#pragma once
/* clock: monotonic time, for durations and deadlines. Thread safe. */
#include <stdint.h>
#include <time.h>

/* Nanoseconds since an arbitrary start, never going back (CLOCK_MONOTONIC). */
static inline uint64_t clock_ns(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline double clock_ms_between(uint64_t from_ns, uint64_t to_ns) {
        return (double)(to_ns - from_ns) / 1e6;
}
