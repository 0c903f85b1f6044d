#pragma once
/* statistics: of the durations that a benchmark took. */
#include <stddef.h>
#include <stdint.h>

struct statistics {
        double min_ms, median_ms, mean_ms, p99_ms;
};

/* Sorts durations_ns, n of them, at least 1. Quantiles by the nearest rank: the smallest value that at least
 * that share of all does not exceed. */
struct statistics statistics_of(uint64_t *durations_ns, size_t n);

/* A growing list of durations. */
struct durations {
        uint64_t *values_ns;
        size_t n, capacity;
};

/* Returns 0, or ERROR_NO_MEMORY. */
int durations_add(struct durations *durations, uint64_t duration_ns);
void durations_release(struct durations *durations);
