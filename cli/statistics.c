#include "cli/statistics.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/macros.h"

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

static double rank_ms(const uint64_t *sorted_ns, size_t n, size_t percent) {
        size_t rank = (n * percent + 99) / 100;

        return (double)sorted_ns[MAX(rank, (size_t)1) - 1] / 1e6;
}

struct statistics statistics_of(uint64_t *durations_ns, size_t n) {
        double sum_ms = 0;

        qsort(durations_ns, n, sizeof(*durations_ns), compare);
        for (size_t i = 0; i < n; i++)
                sum_ms += (double)durations_ns[i] / 1e6;
        return (struct statistics){
                .min_ms = (double)durations_ns[0] / 1e6,
                .median_ms = rank_ms(durations_ns, n, 50),
                .mean_ms = sum_ms / (double)n,
                .p99_ms = rank_ms(durations_ns, n, 99),
        };
}

int durations_add(struct durations *durations, uint64_t duration_ns) {
        if (durations->n == durations->capacity) {
                size_t capacity = MAX(durations->capacity * 2, (size_t)4096);
                uint64_t *values = reallocarray(durations->values_ns, capacity, sizeof(*values));

                if (!values)
                        return ERROR_NO_MEMORY;
                durations->values_ns = values;
                durations->capacity = capacity;
        }
        durations->values_ns[durations->n++] = duration_ns;
        return 0;
}

void durations_release(struct durations *durations) {
        free(durations->values_ns);
        *durations = (struct durations){0};
}
