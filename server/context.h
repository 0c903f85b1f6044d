#pragma once
/*
 * context: what the parts of a running server share. Built and torn down by server.c alone; everything in it
 * outlives all requests.
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "server/server.h"

struct admission;
struct batcher;
struct connections;
struct lingering;
struct loader;
struct log;
struct metrics;
struct registry;
struct slow_log;

struct context {
        struct server_options options;
        unsigned n_cpus;
        struct log *log;
        struct metrics *metrics;
        struct slow_log *slow_log;
        struct admission *admission;
        struct batcher *batcher;
        struct connections *connections;
        struct lingering *linger;
        struct registry *registry; /* a slot for each of options.models; all of them are loaded once ready */
        struct loader *loader;     /* set once ready */

        atomic_bool ready;     /* the models are loaded */
        atomic_bool draining;  /* no longer ready; answers close their connections */
        atomic_bool cancelled; /* out of patience: drop what is queued, begin nothing */
        atomic_size_t inflight_requests;
        atomic_size_t suspended_requests; /* once cancelled and 0, it stays 0 */
};
