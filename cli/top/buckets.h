#pragma once
/* buckets: a histogram of a scrape, and what can be said of it. No allocation; plain values. */
#include <stddef.h>

#include "cli/top/exposition.h"

#define BUCKETS_MAX 128u /* more are left out */

struct buckets {
        size_t n;
        double bounds[BUCKETS_MAX]; /* ascending; the last one of a sound histogram is infinite */
        double counts[BUCKETS_MAX]; /* cumulative: observations up to the bound */
        double sum;                 /* of the observations */
};

struct buckets_match {
        const char *label, *value;
};

/* Adds up all histograms of this name whose labels match. */
void buckets_gather(struct buckets *ret_buckets, const struct exposition *exposition, const char *name,
                    const struct buckets_match *matches, size_t n_matches);

/* What came since before. A count that went back (a scrape is no snapshot) is taken as unchanged. */
void buckets_subtract(struct buckets *buckets, const struct buckets *before);

/* Observations; 0 where there is no infinite bound. */
double buckets_count(const struct buckets *buckets);

/* As histogram_quantile() of Prometheus: linear within the bucket; the largest finite bound where it lies
 * beyond. NaN without observations. 0 <= q <= 1. */
double buckets_quantile(const struct buckets *buckets, double q);

/* NaN without observations. */
double buckets_mean(const struct buckets *buckets);
