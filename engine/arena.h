#pragma once
/* arena: one block of memory for buffers that live at different times. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define ARENA_ALIGNMENT 64u

struct arena_item {
        size_t bytes;
        uint32_t first, last; /* steps, both included, during which the buffer must keep its bytes */
        size_t offset;        /* result; a multiple of ARENA_ALIGNMENT */
};

/*
 * Places the items so that those which live at the same time do not overlap: the largest first, each into
 * the tightest gap (greedy by size, Pisarchyk and Lee 2020, section 5.2). Where that leaves more than a
 * little above the bound, further passes place first what found no good place, and use both ends of the
 * arena. *ret_bytes: what the arena must hold.
 */
int arena_assign(struct arena_item *items, size_t n_items, size_t *ret_bytes, struct error *error);

/* The largest sum of bytes of items that live at the same step: no placement can need less. *ret_bytes:
 * that. */
int arena_bound(const struct arena_item *items, size_t n_items, size_t *ret_bytes, struct error *error);
