#pragma once
/* dump: `saccade infer --dump NODE[=FILE.npy]`, which values of a network go into which files. */
#include <stddef.h>

#include "base/error.h"
#include "cli/options.h"
#include "engine/plan.h"

struct dumps {
        char *nodes[OPTIONS_MAX_REPEATS], *paths[OPTIONS_MAX_REPEATS];
        size_t n;
};

/*
 * What stands behind the last '=' is a file where it ends in ".npy" (a node's name may have a '='). Without
 * one, the file is called after the node, in the working directory: "conv1_Conv.npy" of "/conv1/Conv". Fails
 * with ERROR_INVALID, also where two would go to one file, or one to output.
 */
int dumps_parse(struct dumps *ret_dumps, const struct option_strings *texts, const char *output,
                struct error *error);
void dumps_release(struct dumps *dumps);

/* Writes what plan's model watches, which are the nodes of dumps in their order; a line on stdout for each.
 */
int dumps_write(const struct dumps *dumps, const struct plan *plan, const struct run *run,
                struct error *error);
