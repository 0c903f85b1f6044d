#include "tests/bench/load/arrivals.h"

#include <math.h>

void arrivals_init(struct arrivals *arrivals, const struct arrivals_options *options) {
        *arrivals = (struct arrivals){.options = *options, .state = options->seed};
}

/* SplitMix64 (Steele, Lea and Flood 2014): in (0, 1], so that its logarithm exists. */
static double uniform(struct arrivals *arrivals) {
        uint64_t z = arrivals->state += 0x9e3779b97f4a7c15u;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        return (double)((z >> 11) + 1) * 0x1p-53;
}

/* A Poisson process has exponential gaps. Bursts are one that runs only while on: the clock of the process
 * stands still while off, and runs at a rate that makes up for it. */
static uint64_t next_random(struct arrivals *arrivals) {
        const struct arrivals_options *o = &arrivals->options;
        double on = (double)o->on_ns, off = (double)o->off_ns, rate = o->rate;

        if (o->kind == ARRIVAL_BURSTS)
                rate *= (on + off) / on;
        arrivals->active_ns += -log(uniform(arrivals)) * 1e9 / rate;
        if (o->kind == ARRIVAL_POISSON)
                return (uint64_t)arrivals->active_ns;
        return (uint64_t)(arrivals->active_ns + floor(arrivals->active_ns / on) * off);
}

uint64_t arrivals_next(struct arrivals *arrivals) {
        /* By multiplication: adding gaps would let their rounding grow. */
        if (arrivals->options.kind == ARRIVAL_CONSTANT)
                return (uint64_t)((double)arrivals->n++ * 1e9 / arrivals->options.rate);
        return next_random(arrivals);
}
