#pragma once
/*
 * arrivals: the moments at which an open loop sends, decided before anything is answered.
 *
 * A pure sequence of a seed: the same one again gives the same moments. Not thread safe.
 */
#include <stdint.h>

enum arrival {
        ARRIVAL_CONSTANT, /* every 1 / rate */
        ARRIVAL_POISSON,  /* independent of each other */
        ARRIVAL_BURSTS,   /* Poisson while on, nothing while off, at the same mean rate (interrupted Poisson)
                           */
};

struct arrivals_options {
        enum arrival kind;
        double rate;            /* a second, the mean over a whole period; above 0 */
        uint64_t on_ns, off_ns; /* of bursts; on_ns above 0 */
        uint64_t seed;
};

struct arrivals {
        struct arrivals_options options;
        uint64_t state, n;
        double active_ns; /* time spent on, up to the last arrival */
};

void arrivals_init(struct arrivals *arrivals, const struct arrivals_options *options);

/* The next moment, in nanoseconds since the start; never before the last one. */
uint64_t arrivals_next(struct arrivals *arrivals);
