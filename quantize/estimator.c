#include "quantize/estimator.h"

#include <math.h>
#include <stdbool.h>

#include "base/macros.h"

#define STEPS      255.0 /* of eight bits */
#define CANDIDATES 100u  /* ranges that are tried between a quarter of the whole and the whole */

const char *const ESTIMATOR_NAMES[] = {"auto", "minmax", "percentile", "mse", "entropy", NULL};

void histogram_add(struct histogram *histogram, const float *values, size_t n) {
        float low = histogram->low, width = histogram->high - low;
        float factor = width > 0 ? (float)HISTOGRAM_BINS / width : 0;

        for (size_t i = 0; i < n; i++) {
                float place = (values[i] - low) * factor;

                histogram
                        ->counts[place < (float)(HISTOGRAM_BINS - 1) ? (size_t)place : HISTOGRAM_BINS - 1]++;
        }
}

void histogram_merge(struct histogram *histogram, const struct histogram *other) {
        for (size_t i = 0; i < HISTOGRAM_BINS; i++)
                histogram->counts[i] += other->counts[i];
}

static double bin_width(const struct histogram *histogram) {
        return ((double)histogram->high - (double)histogram->low) / HISTOGRAM_BINS;
}

static double bin_centre(const struct histogram *histogram, size_t bin) {
        return (double)histogram->low + ((double)bin + 0.5) * bin_width(histogram);
}

static uint64_t total(const struct histogram *histogram) {
        uint64_t n = 0;

        for (size_t i = 0; i < HISTOGRAM_BINS; i++)
                n += histogram->counts[i];
        return n;
}

static struct range with_zero(double low, double high) {
        return (struct range){.low = (float)MIN(low, 0.0), .high = (float)MAX(high, 0.0)};
}

static struct range whole(const struct histogram *histogram) {
        return with_zero((double)histogram->low, (double)histogram->high);
}

double histogram_power(const struct histogram *histogram) {
        double sum = 0;
        uint64_t n = total(histogram);

        for (size_t i = 0; i < HISTOGRAM_BINS; i++)
                sum += (double)histogram->counts[i] * bin_centre(histogram, i) * bin_centre(histogram, i);
        return n > 0 ? sum / (double)n : 0;
}

static struct range percentile_range(const struct histogram *histogram, double percentile) {
        double tail = (double)total(histogram) * (1 - percentile / 100) / 2, below = 0, above = 0;
        size_t first = 0, last = HISTOGRAM_BINS - 1;

        while (first < last && below + (double)histogram->counts[first] <= tail)
                below += (double)histogram->counts[first++];
        while (last > first && above + (double)histogram->counts[last] <= tail)
                above += (double)histogram->counts[last--];
        return with_zero((double)histogram->low + (double)first * bin_width(histogram),
                         (double)histogram->low + (double)(last + 1) * bin_width(histogram));
}

/* Values inside lie anywhere between two steps: a twelfth of the step squared. */
double estimator_mse(const struct histogram *histogram, struct range range) {
        double low = (double)range.low, high = (double)range.high, step = (high - low) / STEPS, sum = 0;
        uint64_t n = total(histogram);

        for (size_t i = 0; i < HISTOGRAM_BINS; i++) {
                double centre = bin_centre(histogram, i), beyond = centre < low    ? low - centre
                                                                   : centre > high ? centre - high
                                                                                   : 0;

                if (histogram->counts[i] == 0)
                        continue;
                sum += (double)histogram->counts[i] * (beyond > 0 ? beyond * beyond : step * step / 12);
        }
        return n > 0 ? sum / (double)n : 0;
}

/* The better of both ends is moved in until that helps no more. */
static struct range mse_range(const struct histogram *histogram) {
        struct range all = whole(histogram), best = all;
        double least = estimator_mse(histogram, best);

        for (unsigned round = 0; round < 2; round++)
                for (unsigned end = 0; end < 2; end++) {
                        struct range from = best;

                        for (unsigned i = 1; i <= CANDIDATES; i++) {
                                float factor = 1 - 0.75f * (float)i / (float)CANDIDATES;
                                struct range range = from;
                                double error;

                                if (end == 0)
                                        range.high = all.high * factor;
                                else
                                        range.low = all.low * factor;
                                if (range.high - range.low <= 0)
                                        continue;
                                error = estimator_mse(histogram, range);
                                if (error < least) {
                                        least = error;
                                        best = range;
                                }
                        }
                }
        return best;
}

/* The divergence of the histogram, its tails put into the outermost bins of [first, last], from what 256
 * equal parts of that range can tell apart. Zero is exact in any of them, and after a Relu it is half of all
 * values: its bin is left out. */
static double divergence(const struct histogram *histogram, size_t first, size_t last, size_t zero,
                         double n) {
        size_t bins = last - first + 1;
        double below = 0, above = 0, sum = 0;

        for (size_t i = 0; i < first; i++)
                below += (double)histogram->counts[i];
        for (size_t i = last + 1; i < HISTOGRAM_BINS; i++)
                above += (double)histogram->counts[i];
        for (size_t part = 0; part < 256; part++) {
                size_t from = first + part * bins / 256, to = first + (part + 1) * bins / 256, filled = 0;
                double mass = 0, level;

                for (size_t i = from; i < to; i++) {
                        if (i == zero)
                                continue;
                        mass += (double)histogram->counts[i];
                        filled += histogram->counts[i] > 0 || (i == first && below > 0) ||
                                  (i == last && above > 0);
                }
                /* What is cut off is in the histogram, but not in its rounded form. */
                level = filled > 0 ? MAX(mass, 1e-3) / (double)filled : 0;
                for (size_t i = from; i < to; i++) {
                        double p = (double)histogram->counts[i] + (i == first ? below : 0) +
                                   (i == last ? above : 0);

                        if (i != zero && p > 0)
                                sum += p / n * log(p / level);
                }
        }
        return sum;
}

/* Both ends move in together, an end at zero stays. */
static struct range entropy_range(const struct histogram *histogram) {
        double n = (double)total(histogram), least = INFINITY;
        double place =
                MIN(MAX(-(double)histogram->low / bin_width(histogram), 0.0), (double)(HISTOGRAM_BINS - 1));
        bool has_zero = histogram->low <= 0 && histogram->high >= 0;
        size_t best_first = 0, best_last = HISTOGRAM_BINS - 1;

        for (unsigned i = 0; i < CANDIDATES && n > 0; i++) {
                double factor = 1 - 0.9 * i / CANDIDATES, d;
                size_t first = (size_t)(place - place * factor),
                       last = (size_t)(place + ((double)(HISTOGRAM_BINS - 1) - place) * factor);

                if (last - first < 512)
                        continue;
                d = divergence(histogram, first, last, has_zero ? (size_t)place : SIZE_MAX, n);
                if (d < least) {
                        least = d;
                        best_first = first;
                        best_last = last;
                }
        }
        return with_zero((double)histogram->low + (double)best_first * bin_width(histogram),
                         (double)histogram->low + (double)(best_last + 1) * bin_width(histogram));
}

struct range estimator_range(enum estimator estimator, double percentile,
                             const struct histogram *histogram) {
        if (histogram->high <= histogram->low)
                return whole(histogram);
        switch (estimator) {
        case ESTIMATOR_PERCENTILE:
                return percentile_range(histogram, percentile);
        case ESTIMATOR_MSE:
                return mse_range(histogram);
        case ESTIMATOR_ENTROPY:
                return entropy_range(histogram);
        case ESTIMATOR_AUTO:
        case ESTIMATOR_MINMAX:
                break;
        }
        return whole(histogram);
}
