/* Where activations lie: no two that live together overlap, and little room is wasted. */
#include <check.h>
#include <stdlib.h>

#include "base/macros.h"
#include "engine/arena.h"

/* Knuth's MMIX generator, the upper half. */
static unsigned random_below(uint64_t *state, unsigned end) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        return (unsigned)(*state >> 33) % end;
}

static void check_placement(const struct arena_item *items, size_t n, size_t bytes) {
        for (size_t i = 0; i < n; i++) {
                ck_assert_uint_eq(items[i].offset % ARENA_ALIGNMENT, 0);
                ck_assert_uint_le(items[i].offset + items[i].bytes, bytes);
                for (size_t k = 0; k < i; k++)
                        ck_assert(items[i].last < items[k].first || items[k].last < items[i].first ||
                                  items[i].offset + items[i].bytes <= items[k].offset ||
                                  items[k].offset + items[k].bytes <= items[i].offset);
        }
}

static size_t assign(struct arena_item *items, size_t n) {
        struct error error = ERROR_NONE;
        size_t bytes = 0;

        ck_assert_msg(arena_assign(items, n, &bytes, &error) == 0, "%s", error.text);
        return bytes;
}

/* By the definition. */
static size_t bound_of(const struct arena_item *items, size_t n) {
        struct error error = ERROR_NONE;
        size_t bound = 0, expected = 0;

        for (size_t i = 0; i < n; i++) {
                size_t sum = 0;

                for (size_t k = 0; k < n; k++)
                        if (items[k].first <= items[i].first && items[i].first <= items[k].last)
                                sum += items[k].bytes;
                expected = MAX(expected, sum);
        }
        ck_assert_int_eq(arena_bound(items, n, &bound, &error), 0);
        ck_assert_uint_eq(bound, expected);
        return bound;
}

START_TEST(items_that_live_together_do_not_overlap) {
        uint64_t state = (uint64_t)_i + 1;

        for (size_t n = 0; n < 60; n++) {
                struct arena_item items[60];
                size_t bytes;

                for (size_t i = 0; i < n; i++) {
                        items[i] = (struct arena_item){.bytes = random_below(&state, 4096),
                                                       .first = random_below(&state, 40)};
                        items[i].last = items[i].first + random_below(&state, 12);
                }
                bytes = assign(items, n);
                ck_assert_uint_ge(bytes, bound_of(items, n));
                check_placement(items, n, bytes);
        }
}
END_TEST

START_TEST(bound_is_the_largest_sum_of_live_items) {
        const struct arena_item items[] = {
                {.bytes = 100, .first = 0, .last = 1},
                {.bytes = 50, .first = 1, .last = 2},
                {.bytes = 70, .first = 2, .last = 3},
        };

        ck_assert_uint_eq(bound_of(items, 3), 150);
        ck_assert_uint_eq(bound_of(items, 0), 0);
}
END_TEST

/* Each result is read by the next step, every third one also by a residual sum later; maps shrink on the
 * way. */
START_TEST(networks_are_arranged_within_a_tenth_of_the_bound) {
        uint64_t state = (uint64_t)_i + 1;

        for (size_t n = 10; n < 400; n += 13) {
                struct arena_item items[400];
                size_t bytes, bound;

                for (size_t i = 0; i < n; i++) {
                        size_t map = (size_t)1 << (20 - 2 * (4 * i / n));

                        items[i] = (struct arena_item){.bytes = map * (1 + random_below(&state, 4)),
                                                       .first = (uint32_t)i,
                                                       .last = (uint32_t)i + 1 + (i % 3 == 0 ? 3 : 0)};
                }
                bytes = assign(items, n);
                bound = bound_of(items, n);
                check_placement(items, n, bytes);
                ck_assert_msg(bytes <= bound + bound / 10, "%zu items: %zu bytes, the bound is %zu", n,
                              bytes, bound);
        }
}
END_TEST

/* In pairs of any size: by size alone such a chain takes up to half as much again. */
START_TEST(a_chain_reaches_the_bound) {
        uint64_t state = (uint64_t)_i + 1;

        for (size_t n = 2; n < 300; n += 7) {
                struct arena_item items[300];
                size_t bytes, bound;

                for (size_t i = 0; i < n; i++)
                        items[i] = (struct arena_item){.bytes = ARENA_ALIGNMENT *
                                                                (size_t)(1 + random_below(&state, 4096)),
                                                       .first = (uint32_t)i,
                                                       .last = (uint32_t)i + 1};
                bytes = assign(items, n);
                bound = bound_of(items, n);
                check_placement(items, n, bytes);
                ck_assert_uint_le(bytes, bound + bound / 50);
        }
}
END_TEST

/* More than any model may have, in a time that only ends a search that is quadratic with a large constant.
 */
START_TEST(many_items_are_placed_soon) {
        enum { N = 60000 };
        _cleanup_(freep) struct arena_item *items = calloc(N, sizeof(*items));
        uint64_t state = 1;

        ck_assert(items != NULL);
        for (size_t i = 0; i < N; i++)
                items[i] = (struct arena_item){.bytes = 1 + random_below(&state, 4096),
                                               .first = (uint32_t)i,
                                               .last = (uint32_t)i + random_below(&state, 3)};
        ck_assert_uint_gt(assign(items, N), 0);
        /* By time the neighbours are near: the check of all pairs would take longer than the placement. */
        for (size_t i = 0; i < N; i++)
                for (size_t k = i + 1; k < N && items[k].first <= items[i].last; k++)
                        ck_assert(items[i].offset + items[i].bytes <= items[k].offset ||
                                  items[k].offset + items[k].bytes <= items[i].offset);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("arena");
        TCase *tcase = tcase_create("arena");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, items_that_live_together_do_not_overlap, 0, 20);
        tcase_add_test(tcase, bound_is_the_largest_sum_of_live_items);
        tcase_add_loop_test(tcase, networks_are_arranged_within_a_tenth_of_the_bound, 0, 5);
        tcase_add_loop_test(tcase, a_chain_reaches_the_bound, 0, 5);
        tcase_add_test(tcase, many_items_are_placed_soon);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
