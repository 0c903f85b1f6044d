#include "engine/arena.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/macros.h"

static size_t aligned(size_t bytes) {
        return (bytes + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
}

static bool meet(const struct arena_item *a, const struct arena_item *b) {
        return a->first <= b->last && b->first <= a->last;
}

static int by_size(const void *a, const void *b) {
        const struct arena_item *x = *(struct arena_item *const *)a, *y = *(struct arena_item *const *)b;

        if (x->bytes != y->bytes)
                return x->bytes > y->bytes ? -1 : 1;
        return x->first < y->first ? -1 : x->first > y->first;
}

/* placed is sorted by offset. */
static size_t find_gap(struct arena_item *const *placed, size_t n_placed, const struct arena_item *item) {
        size_t end = 0, best = SIZE_MAX, best_room = SIZE_MAX;

        for (size_t i = 0; i < n_placed; i++) {
                if (!meet(placed[i], item))
                        continue;
                if (placed[i]->offset >= end && placed[i]->offset - end >= aligned(item->bytes) &&
                    placed[i]->offset - end < best_room) {
                        best = end;
                        best_room = placed[i]->offset - end;
                }
                end = MAX(end, placed[i]->offset + aligned(placed[i]->bytes));
        }
        return best == SIZE_MAX ? end : best;
}

int arena_assign(struct arena_item *items, size_t n_items, size_t *ret_bytes, struct error *error) {
        _cleanup_(freep) struct arena_item **order = calloc(MAX(n_items, 1u), sizeof(*order));
        _cleanup_(freep) struct arena_item **placed = calloc(MAX(n_items, 1u), sizeof(*placed));
        size_t bytes = 0;

        if (!order || !placed)
                return error_no_memory(error);
        for (size_t i = 0; i < n_items; i++)
                order[i] = &items[i];
        qsort(order, n_items, sizeof(*order), by_size);

        for (size_t i = 0; i < n_items; i++) {
                size_t k = i;

                order[i]->offset = find_gap(placed, i, order[i]);
                bytes = MAX(bytes, order[i]->offset + aligned(order[i]->bytes));
                for (; k > 0 && placed[k - 1]->offset > order[i]->offset; k--)
                        placed[k] = placed[k - 1];
                placed[k] = order[i];
        }
        *ret_bytes = bytes;
        return 0;
}

size_t arena_bound(const struct arena_item *items, size_t n_items) {
        size_t bound = 0;

        /* The sum can only grow where an item begins. */
        for (size_t i = 0; i < n_items; i++) {
                size_t sum = 0;

                for (size_t k = 0; k < n_items; k++)
                        if (items[k].first <= items[i].first && items[i].first <= items[k].last)
                                sum += items[k].bytes;
                bound = MAX(bound, sum);
        }
        return bound;
}
