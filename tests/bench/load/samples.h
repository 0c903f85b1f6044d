#pragma once
/*
 * samples: durations, every one kept, so that percentiles are exact. Not thread safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct samples {
        uint64_t *values_ns;
        size_t n, capacity;
        bool sorted;
};

/* A bar of a histogram: durations up to upper_ns, and above the upper_ns of the bar before. */
struct samples_bar {
        uint64_t upper_ns;
        size_t n;
};

#define SAMPLES_BARS_A_DECADE 20u
#define SAMPLES_MAX_BARS      (12u * SAMPLES_BARS_A_DECADE) /* 1 us to 1e6 s, the rest in the first and last */

/* Fails with ERROR_NO_MEMORY. */
int samples_add(struct samples *samples, uint64_t duration_ns);
void samples_release(struct samples *samples);

/* The smallest duration that at least per_mille / 1000 of all are not longer than (nearest rank); 0 of none.
 * These two sort. */
uint64_t samples_percentile(struct samples *samples, unsigned per_mille);

/* bars: room for SAMPLES_MAX_BARS. Returns how many it filled; empty bars are left out. */
size_t samples_bars(struct samples *samples, struct samples_bar *bars);

double samples_mean_ns(const struct samples *samples);
