#include "cli/top/buckets.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_labels(const struct exposition *exposition, const struct exposition_sample *sample,
                       const struct buckets_match *matches, size_t n_matches) {
        for (size_t i = 0; i < n_matches; i++) {
                const char *value = exposition_label(exposition, sample, matches[i].label);

                if (!value || strcmp(value, matches[i].value) != 0)
                        return false;
        }
        return true;
}

static void add_count(struct buckets *buckets, double bound, double count) {
        size_t i = 0;

        while (i < buckets->n && buckets->bounds[i] < bound)
                i++;
        if (i == buckets->n || buckets->bounds[i] > bound) {
                if (buckets->n == BUCKETS_MAX)
                        return;
                memmove(&buckets->bounds[i + 1], &buckets->bounds[i], (buckets->n - i) * sizeof(double));
                memmove(&buckets->counts[i + 1], &buckets->counts[i], (buckets->n - i) * sizeof(double));
                buckets->n++;
                buckets->bounds[i] = bound;
                buckets->counts[i] = 0;
        }
        buckets->counts[i] += count;
}

void buckets_gather(struct buckets *ret_buckets, const struct exposition *exposition, const char *name,
                    const struct buckets_match *matches, size_t n_matches) {
        const size_t size = strlen(name);
        struct buckets buckets = {0};

        for (size_t i = 0; i < exposition_n_samples(exposition); i++) {
                const struct exposition_sample *sample = exposition_sample(exposition, i);
                const char *le, *suffix = sample->name + size;
                double bound;
                char *end;

                if (strncmp(sample->name, name, size) != 0 || !isfinite(sample->value) ||
                    !has_labels(exposition, sample, matches, n_matches))
                        continue;
                if (strcmp(suffix, "_sum") == 0)
                        buckets.sum += sample->value;
                le = strcmp(suffix, "_bucket") == 0 ? exposition_label(exposition, sample, "le") : NULL;
                if (!le)
                        continue;
                bound = strtod(le, &end);
                if (end != le && *end == 0 && !isnan(bound))
                        add_count(&buckets, bound, sample->value);
        }
        *ret_buckets = buckets;
}

void buckets_subtract(struct buckets *buckets, const struct buckets *before) {
        for (size_t i = 0, j = 0; i < buckets->n; i++) {
                while (j < before->n && before->bounds[j] < buckets->bounds[i])
                        j++;
                if (j < before->n && before->bounds[j] == buckets->bounds[i])
                        buckets->counts[i] = fmax(buckets->counts[i] - before->counts[j], 0);
        }
        buckets->sum = fmax(buckets->sum - before->sum, 0);
}

double buckets_count(const struct buckets *buckets) {
        if (buckets->n == 0 || !isinf(buckets->bounds[buckets->n - 1]))
                return 0;
        return buckets->counts[buckets->n - 1];
}

double buckets_quantile(const struct buckets *buckets, double q) {
        double count = buckets_count(buckets), rank = q * count, below = 0, lower = 0;

        if (!(count > 0) || buckets->n < 2)
                return NAN;
        for (size_t i = 0; i + 1 < buckets->n; i++) {
                double upper = buckets->bounds[i], here = fmax(buckets->counts[i], below);

                if (here >= rank && here > below) {
                        if (i == 0 && upper <= 0)
                                return upper;
                        return lower + (upper - lower) * fmax(rank - below, 0) / (here - below);
                }
                below = here;
                lower = upper;
        }
        return lower;
}

double buckets_mean(const struct buckets *buckets) {
        double count = buckets_count(buckets);

        return count > 0 ? buckets->sum / count : NAN;
}
