#pragma once
/*
 * slices: which values lie next to each other, so that their concatenation need not be copied.
 *
 * Found once for a graph, before it is lowered: the parts of a Concat of channels are written into slices of
 * its place. A Concat whose parts are the first ones of a longer one (DenseNet has chains of them) is a
 * slice of that.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "engine/graph.h"

struct slice {
        uint32_t value;
        uint32_t whole; /* the value that all of it is in; value itself where it is the whole */
        size_t channel; /* where it begins */
        bool placed;    /* of a whole: the next two are known */
        uint32_t buffer;
        size_t channels;
};

struct slices;

int slices_new(struct slices **ret_slices, const struct graph *graph, struct error *error);
void slices_free(struct slices *slices);
DEFINE_CLEANUP(slices)

/* NULL: value is in a place of its own. */
struct slice *slices_find(const struct slices *slices, uint32_t value);

struct slice *slices_whole(const struct slices *slices, const struct slice *slice);
