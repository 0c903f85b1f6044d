#pragma once
/*
 * precision_choice: which precision a model computes in, from what was asked for, what its file holds and
 * what the CPU has.
 *
 * PRECISION_AUTO never takes what the model was not made for. Whoever made a file tried it in the precision
 * of its weights: a float32 file stays float32, since bfloat16 has 8 bits of a number where float32 has 24;
 * so does a float16 one, whose 11 bits float32 has and bfloat16 has not. Only bfloat16 weights and quantised
 * files say that less is enough; and then the tuner compares (engine/tuner.h).
 */
#include "base/error.h"
#include "engine/graph.h"
#include "engine/precision.h"

struct precision_choice {
        enum precision precision; /* never PRECISION_AUTO */
        const char *why;          /* one sentence, of the program's text */
};

/* graph: as read. Fails with ERROR_UNSUPPORTED where the CPU or the file lacks what was asked for. */
int precision_choose(struct precision_choice *ret_choice, enum precision asked, const struct graph *graph,
                     struct error *error);

const char *precision_name(enum precision precision); /* "f32" */
