#include "tests/bench/load/samples.h"

#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/macros.h"

#define FIRST_BAR_NS  1e3
#define LEAST_SAMPLES 4096u

int samples_add(struct samples *samples, uint64_t duration_ns) {
        if (samples->n == samples->capacity) {
                size_t capacity = MAX(samples->capacity * 2, (size_t)LEAST_SAMPLES);
                uint64_t *values = reallocarray(samples->values_ns, capacity, sizeof(*values));

                if (!values)
                        return ERROR_NO_MEMORY;
                samples->values_ns = values;
                samples->capacity = capacity;
        }
        samples->values_ns[samples->n++] = duration_ns;
        samples->sorted = false;
        return 0;
}

void samples_release(struct samples *samples) {
        free(samples->values_ns);
        *samples = (struct samples){0};
}

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static void sort(struct samples *samples) {
        if (!samples->sorted && samples->n > 0)
                qsort(samples->values_ns, samples->n, sizeof(*samples->values_ns), compare);
        samples->sorted = true;
}

uint64_t samples_percentile(struct samples *samples, unsigned per_mille) {
        size_t rank;

        if (samples->n == 0)
                return 0;
        sort(samples);
        rank = (samples->n * per_mille + 999) / 1000;
        return samples->values_ns[MIN(MAX(rank, (size_t)1), samples->n) - 1];
}

static uint64_t upper_ns(unsigned bar) {
        return (uint64_t)(FIRST_BAR_NS * pow(10, (double)bar / SAMPLES_BARS_A_DECADE) + 0.5);
}

size_t samples_bars(struct samples *samples, struct samples_bar *bars) {
        size_t n_bars = 0, done = 0;

        sort(samples);
        for (unsigned bar = 0; bar < SAMPLES_MAX_BARS && done < samples->n; bar++) {
                uint64_t upper = bar + 1 < SAMPLES_MAX_BARS ? upper_ns(bar) : UINT64_MAX;
                size_t first = done;

                while (done < samples->n && samples->values_ns[done] <= upper)
                        done++;
                if (done > first)
                        bars[n_bars++] = (struct samples_bar){.upper_ns = upper, .n = done - first};
        }
        return n_bars;
}

double samples_mean_ns(const struct samples *samples) {
        double sum = 0;

        for (size_t i = 0; i < samples->n; i++)
                sum += (double)samples->values_ns[i];
        return samples->n > 0 ? sum / (double)samples->n : 0;
}
