#pragma once
/*
 * estimator: the range of a value that eight bits are spent on, from a histogram of it.
 *
 * Bins are of one width, from low to high. Pure functions, thread safe.
 */
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BINS 4096u /* 16 for each step of eight bits */

struct histogram {
        float low, high; /* the smallest and the largest value; equal: nothing else was seen */
        uint64_t counts[HISTOGRAM_BINS];
};

/* Adds n values, none of which is beyond low and high. */
void histogram_add(struct histogram *histogram, const float *values, size_t n);
void histogram_merge(struct histogram *histogram, const struct histogram *other);

enum estimator {
        ESTIMATOR_AUTO, /* the one with which the network is nearest to float32 */
        ESTIMATOR_MINMAX,
        ESTIMATOR_PERCENTILE,
        ESTIMATOR_MSE,
        ESTIMATOR_ENTROPY,
};
#define N_ESTIMATORS 5u

extern const char *const ESTIMATOR_NAMES[]; /* "auto", ...; NULL-terminated */

#define ESTIMATOR_PERCENTILE_DEFAULT 99.99

struct range {
        float low, high; /* low <= 0 <= high, so that zero is exact: padding, and what Relu cuts off */
};

/*
 * minmax: all that was seen. percentile: of the values, half of the rest is cut off at each end. mse: the
 * least mean squared error of rounding and cutting off. entropy: the least Kullback-Leibler divergence of
 * the histogram from its rounded form (as TensorRT calibrates: Migacz, "8-bit Inference with TensorRT",
 * 2017). estimator is not ESTIMATOR_AUTO.
 */
struct range estimator_range(enum estimator estimator, double percentile, const struct histogram *histogram);

/* Mean squared error of rounding to 255 steps within range, and the mean square of the values. */
double estimator_mse(const struct histogram *histogram, struct range range);
double histogram_power(const struct histogram *histogram);
