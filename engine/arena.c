#include "engine/arena.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

/* Up to that share of the bound nothing better is looked for. */
#define ARENA_GOOD_PERCENT 102u

/* How long to look: passes, and pairs of items that all of them may compare (20 ms). One pass over more
 * items than that takes the first gap instead of the tightest. */
#define ARENA_MAX_PASSES 200u
#define ARENA_MAX_PAIRS  ((size_t)40 << 20)

static size_t aligned(size_t bytes) {
        return (bytes + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
}

/* ---- what has been placed, by offset, in chunks of arrays that a vector unit can search ---- */

#define CHUNK_ITEMS 256u
#define WORD_ITEMS  (sizeof(uint64_t))

struct chunk {
        size_t n;
        uint32_t first[CHUNK_ITEMS], last[CHUNK_ITEMS]; /* first UINT32_MAX behind the n-th: never met */
        size_t offset[CHUNK_ITEMS], end[CHUNK_ITEMS];
};

struct placed {
        struct chunk **chunks;
        size_t n, allocated;
};

static void placed_release(struct placed *placed) {
        for (size_t i = 0; i < placed->n; i++)
                free(placed->chunks[i]);
        free(placed->chunks);
}

/* A new chunk at index, which takes over the upper half of the one before it. */
static int chunk_insert(struct placed *placed, size_t index, struct error *error) {
        struct chunk *chunk = calloc(1, sizeof(*chunk)), *full;

        if (!chunk)
                return error_no_memory(error);
        memset(chunk->first, 0xff, sizeof(chunk->first));
        if (placed->n == placed->allocated) {
                size_t allocated = MAX(2 * placed->allocated, 16u);
                struct chunk **chunks = reallocarray(placed->chunks, allocated, sizeof(*chunks));

                if (!chunks) {
                        free(chunk);
                        return error_no_memory(error);
                }
                placed->chunks = chunks;
                placed->allocated = allocated;
        }
        memmove(placed->chunks + index + 1, placed->chunks + index,
                (placed->n - index) * sizeof(*placed->chunks));
        placed->chunks[index] = chunk;
        placed->n++;
        if (index == 0)
                return 0;
        full = placed->chunks[index - 1];
        chunk->n = full->n / 2;
        full->n -= chunk->n;
        memcpy(chunk->first, full->first + full->n, chunk->n * sizeof(*chunk->first));
        memcpy(chunk->last, full->last + full->n, chunk->n * sizeof(*chunk->last));
        memcpy(chunk->offset, full->offset + full->n, chunk->n * sizeof(*chunk->offset));
        memcpy(chunk->end, full->end + full->n, chunk->n * sizeof(*chunk->end));
        memset(full->first + full->n, 0xff, chunk->n * sizeof(*full->first));
        return 0;
}

static int placed_add(struct placed *placed, const struct arena_item *item, struct error *error) {
        struct chunk *chunk;
        size_t index = 0, k;
        int r;

        while (index + 1 < placed->n && placed->chunks[index + 1]->offset[0] <= item->offset)
                index++;
        if (placed->n == 0 || placed->chunks[index]->n == CHUNK_ITEMS) {
                r = chunk_insert(placed, placed->n == 0 ? 0 : index + 1, error);
                if (r < 0)
                        return r;
                index += index + 1 < placed->n && placed->chunks[index + 1]->offset[0] <= item->offset;
        }
        chunk = placed->chunks[index];
        for (k = chunk->n++; k > 0 && chunk->offset[k - 1] > item->offset; k--) {
                chunk->first[k] = chunk->first[k - 1];
                chunk->last[k] = chunk->last[k - 1];
                chunk->offset[k] = chunk->offset[k - 1];
                chunk->end[k] = chunk->end[k - 1];
        }
        chunk->first[k] = item->first;
        chunk->last[k] = item->last;
        chunk->offset[k] = item->offset;
        chunk->end[k] = item->offset + aligned(item->bytes);
        return 0;
}

/* How to choose a place. */
struct policy {
        size_t ceiling;  /* what ends there is as good as what begins at 0; SIZE_MAX: there is none */
        bool take_first; /* the first gap, not the tightest */
};

/* The gap in which an item goes, between those that live when it does. */
struct gap {
        size_t bytes;       /* what must fit */
        size_t end;         /* of those so far */
        size_t start, room; /* the best one; room SIZE_MAX: none so far */
};

static void gap_pass(struct gap *gap, size_t offset, size_t end) {
        if (offset >= gap->end && offset - gap->end >= gap->bytes && offset - gap->end < gap->room) {
                gap->start = gap->end;
                gap->room = offset - gap->end;
        }
        gap->end = MAX(gap->end, end);
}

static void gap_search(struct gap *gap, const struct placed *placed, const struct arena_item *item,
                       bool take_first) {
        const uint32_t first = item->first, last = item->last;

        for (size_t c = 0; c < placed->n; c++) {
                const struct chunk *chunk = placed->chunks[c];
                unsigned char meets[CHUNK_ITEMS];

                /* All of the chunk, filled or not: a loop of fixed length without branches is vector code.
                 */
                for (size_t i = 0; i < CHUNK_ITEMS; i++)
                        meets[i] = (chunk->first[i] <= last) & (first <= chunk->last[i]);
                for (size_t word = 0; word < chunk->n; word += WORD_ITEMS) {
                        uint64_t met;

                        memcpy(&met, meets + word, sizeof(met));
                        /* The lowest bit of each byte, as x86 orders them. Items that are not there never
                         * meet. */
                        for (; met != 0; met &= met - 1) {
                                size_t i = word + (size_t)__builtin_ctzll(met) / 8;

                                gap_pass(gap, chunk->offset[i], chunk->end[i]);
                        }
                        if (take_first && gap->room != SIZE_MAX)
                                return;
                }
        }
}

static size_t find_place(const struct placed *placed, const struct arena_item *item,
                         const struct policy *policy) {
        struct gap gap = {.bytes = aligned(item->bytes), .room = SIZE_MAX};

        gap_search(&gap, placed, item, policy->take_first);
        /* Under the ceiling rather than on top of others: it leaves one gap where there would be two. */
        if (policy->ceiling != SIZE_MAX && gap.end > 0 && gap.end <= policy->ceiling &&
            policy->ceiling - gap.end >= gap.bytes && policy->ceiling - gap.end < gap.room)
                return policy->ceiling - gap.bytes;
        return gap.room == SIZE_MAX ? gap.end : gap.start;
}

/* ---- passes ---- */

static int by_size(const void *a, const void *b) {
        const struct arena_item *x = *(struct arena_item *const *)a, *y = *(struct arena_item *const *)b;

        if (x->bytes != y->bytes)
                return x->bytes > y->bytes ? -1 : 1;
        return x->first < y->first ? -1 : x->first > y->first;
}

/* Gives all items their offsets, in this order. *ret_bytes: what that takes; *ret_beyond: the first item
 * that ends beyond good_bytes, or n_items. */
static int place(struct arena_item **order, size_t n_items, const struct policy *policy, size_t good_bytes,
                 size_t *ret_bytes, size_t *ret_beyond, struct error *error) {
        _cleanup_(placed_release) struct placed placed = {0};
        size_t bytes = 0, beyond = n_items;
        int r;

        for (size_t i = 0; i < n_items; i++) {
                size_t end;

                order[i]->offset = find_place(&placed, order[i], policy);
                end = order[i]->offset + aligned(order[i]->bytes);
                bytes = MAX(bytes, end);
                beyond = end > good_bytes ? MIN(beyond, i) : beyond;
                r = placed_add(&placed, order[i], error);
                if (r < 0)
                        return r;
        }
        *ret_bytes = bytes;
        *ret_beyond = beyond;
        return 0;
}

/* The order of the next pass: what found no good place comes first. */
static void promote(struct arena_item **order, size_t index) {
        struct arena_item *item = order[index];

        memmove(order + 1, order, index * sizeof(*order));
        order[0] = item;
}

int arena_assign(struct arena_item *items, size_t n_items, size_t *ret_bytes, struct error *error) {
        _cleanup_(freep) struct arena_item **order = calloc(MAX(n_items, 1u), sizeof(*order));
        _cleanup_(freep) size_t *offsets = calloc(MAX(n_items, 1u), sizeof(*offsets));
        size_t pairs = MAX(n_items * n_items / 2, 1u);
        size_t n_passes = MAX(MIN(ARENA_MAX_PAIRS / pairs, ARENA_MAX_PASSES), 1u);
        struct policy policy = {.ceiling = SIZE_MAX, .take_first = pairs > ARENA_MAX_PAIRS};
        size_t best_bytes = SIZE_MAX, bound, good_bytes, beyond = 0;
        int r;

        if (!order || !offsets)
                return error_no_memory(error);
        r = arena_bound(items, n_items, &bound, error);
        if (r < 0)
                return r;
        good_bytes = bound + bound / 100 * (ARENA_GOOD_PERCENT - 100);
        for (size_t i = 0; i < n_items; i++)
                order[i] = &items[i];
        qsort(order, n_items, sizeof(*order), by_size);

        for (size_t pass = 0; pass < n_passes && beyond < n_items; pass++) {
                size_t bytes;

                if (pass > 1)
                        promote(order, beyond);
                r = place(order, n_items, &policy, good_bytes, &bytes, &beyond, error);
                if (r < 0)
                        return r;
                policy.ceiling = aligned(bound);
                if (bytes >= best_bytes)
                        continue;
                best_bytes = bytes;
                for (size_t i = 0; i < n_items; i++)
                        offsets[i] = items[i].offset;
        }
        for (size_t i = 0; i < n_items; i++)
                items[i].offset = offsets[i];
        *ret_bytes = n_items > 0 ? best_bytes : 0;
        return 0;
}

/* ---- the bound ---- */

/* A change of the sum of what lives. */
struct event {
        uint64_t time; /* twice the step; one more for what ends after it */
        size_t bytes;
        bool ends;
};

static int events_compare(const void *a, const void *b) {
        const struct event *x = a, *y = b;

        return x->time < y->time ? -1 : x->time > y->time;
}

int arena_bound(const struct arena_item *items, size_t n_items, size_t *ret_bytes, struct error *error) {
        _cleanup_(freep) struct event *events = calloc(MAX(n_items, 1u), 2 * sizeof(*events));
        size_t sum = 0, bound = 0;

        if (!events)
                return error_no_memory(error);
        for (size_t i = 0; i < n_items; i++) {
                events[2 * i] =
                        (struct event){.time = 2 * (uint64_t)items[i].first, .bytes = items[i].bytes};
                events[2 * i + 1] = (struct event){
                        .time = 2 * (uint64_t)items[i].last + 1, .bytes = items[i].bytes, .ends = true};
        }
        qsort(events, 2 * n_items, sizeof(*events), events_compare);
        for (size_t i = 0; i < 2 * n_items; i++) {
                sum = events[i].ends ? sum - events[i].bytes : sum + events[i].bytes;
                bound = MAX(bound, sum);
        }
        *ret_bytes = bound;
        return 0;
}
