#pragma once
/*
 * lanes: the images that wait, by model, and whose turn it is.
 *
 * A lane is a model's images: those that wait to be decoded, those that wait to run, and what running costs.
 * Between models CPU time is shared: each lane counts the time that its images were given, and among the
 * lanes that have been given about the least (LANES_QUANTUM_MS) the earliest deadline goes first; so a model
 * that is flooded waits for itself. Within a lane the earliest deadline goes first. A lane that was empty
 * begins with as much as the least of the others, so that nobody saves up time.
 * Not thread safe: the batcher guards them. Jobs are borrowed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "server/cost_table.h"
#include "server/job_queue.h"

#define LANES_QUANTUM_MS 20.0

struct lane {
        struct job_queue coming, ready; /* to be decoded, to be run */
        struct cost_table costs;
        size_t n_decoding; /* taken out of coming, not yet in ready */
        double given_ms;
};

struct lanes {
        struct lane *lanes;
        size_t n_lanes, max_batch;
};

/* Fails with ERROR_NO_MEMORY. */
int lanes_init(struct lanes *lanes, size_t n_lanes, size_t max_batch, struct error *error);
void lanes_release(struct lanes *lanes);

/* A job for the first time, or after it was decoded. Fails with ERROR_NO_MEMORY. */
int lanes_put_coming(struct lanes *lanes, struct image_job *job, struct error *error);
int lanes_put_ready(struct lanes *lanes, struct image_job *job, struct error *error);

/* The lane whose image is to be decoded next, of those that have fewer than room batches ready, or NULL. */
struct lane *lanes_next_coming(const struct lanes *lanes, size_t room);

/* The lane that is to run next, or NULL. */
struct lane *lanes_next_ready(const struct lanes *lanes);

/* How many of a lane's images run best together, within the time that its first image has left. */
size_t lane_target(const struct lanes *lanes, const struct lane *lane, uint64_t now_ns);

/* Takes the first image out; onto *dropped (by next) those that are not worth going on with. NULL where no
 * other is left. */
struct image_job *lane_take_coming(struct lane *lane, uint64_t now_ns, struct image_job **dropped);
struct image_job *lane_take_ready(struct lane *lane, uint64_t now_ns, struct image_job **dropped);

/* What it got: milliseconds of one CPU. */
void lane_charge(struct lane *lane, double ms);

/* Takes out all that are not worth going on with. */
void lanes_sweep(struct lanes *lanes, uint64_t now_ns, struct image_job **dropped);

struct lanes_count {
        size_t coming, decoding, ready;
};
struct lanes_count lanes_count(const struct lanes *lanes);
