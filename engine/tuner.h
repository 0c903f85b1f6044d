#pragma once
/*
 * tuner: measures the alternatives of a plan and remembers which are fastest.
 *
 * Each alternative is timed where it will run: a plan is made in which every node takes its n-th
 * alternative, the whole network is run a few times, and the time of each node's steps is noted, with the
 * caches as they are in the middle of a network. As many such plans are made as the node with the most
 * alternatives has; one at a time, so that memory for one is enough. What was found is compared with the
 * usual plan as a whole, and forgotten where it is no faster.
 */
#include <stdatomic.h>
#include <stddef.h>

#include "base/error.h"
#include "engine/plan.h"
#include "engine/tuning.h"

struct model;

enum tune_effort {
        TUNE_OFF,
        TUNE_FAST, /* up to three runs of each alternative after one to warm up, some seconds a plan */
        TUNE_FULL, /* enough runs to tell a few percent apart on a busy machine, two minutes at most */
};

struct tuner_options {
        enum tune_effort effort;
        const atomic_bool *stop; /* set from elsewhere: give up soon; or NULL */
};

/*
 * Measures what a plan of options->batch images on options->threads threads needs to know and
 * options->tuning has no answer for; *ret_measured: whether there was anything. Runs on the calling thread
 * and a team of its own. Fails as plan_new() does, and with ERROR_INTERNAL once *stop is set; tuning keeps
 * what was found until then.
 */
int tuner_run(struct model *model, const struct plan_options *options, const struct tuner_options *tuner,
              bool *ret_measured, struct error *error);

/* The line that says what answers in a file are good for (tuning_load()): this CPU, its instruction sets in
 * use, and the versions of saccade and oneDNN. */
void tuner_identity(char ret_text[TUNING_MAX_TEXT]);
