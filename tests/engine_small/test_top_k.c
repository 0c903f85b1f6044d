#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/macros.h"
#include "engine/top_k.h"

static void ck_assert_top(const float *values, size_t n, size_t k, const size_t *expected) {
        size_t indices[8];

        ck_assert_uint_eq(top_k(indices, k, values, n), k);
        for (size_t i = 0; i < k; i++)
                ck_assert_msg(indices[i] == expected[i], "place %zu: %zu, not %zu", i, indices[i],
                              expected[i]);
}

START_TEST(largest_come_first) {
        static const float values[] = {0.1f, 0.7f, -3, 0.2f, 5};

        ck_assert_top(values, 5, 3, (const size_t[]){4, 1, 3});
        ck_assert_top(values, 5, 5, (const size_t[]){4, 1, 3, 0, 2});
        ck_assert_top(values, 5, 1, (const size_t[]){4});
}
END_TEST

START_TEST(equal_values_come_by_lower_index) {
        static const float values[] = {1, 2, 2, 1, 2, -0.0f, 0.0f};

        ck_assert_top(values, 7, 7, (const size_t[]){1, 2, 4, 0, 3, 5, 6});
        ck_assert_top(values, 7, 2, (const size_t[]){1, 2});
}
END_TEST

START_TEST(nan_is_smaller_than_everything) {
        static const float values[] = {NAN, -INFINITY, NAN, 3, INFINITY};

        ck_assert_top(values, 5, 5, (const size_t[]){4, 3, 1, 0, 2});
        ck_assert_top(values, 5, 1, (const size_t[]){4});
}
END_TEST

START_TEST(none_of_none_is_none) {
        ck_assert_uint_eq(top_k(NULL, 0, NULL, 0), 0);
        ck_assert_uint_eq(top_k(NULL, 0, (const float[]){1}, 1), 0);
}
END_TEST

/* The k-th place by its definition: the number of values that come before it. */
START_TEST(every_place_has_as_many_values_before_it_as_its_rank) {
        enum { N = 257 };
        float values[N];
        size_t indices[N];
        uint32_t state = 1;

        for (size_t i = 0; i < N; i++) {
                state = state * 1664525u + 1013904223u;
                values[i] = (float)(state >> 26); /* 64 different ones, so that many are equal */
        }
        for (size_t k = 1; k <= N; k += 16) {
                ck_assert_uint_eq(top_k(indices, k, values, N), k);
                for (size_t place = 0; place < k; place++) {
                        size_t before = 0, at = indices[place];

                        for (size_t i = 0; i < N; i++)
                                before += values[i] > values[at] || (values[i] == values[at] && i < at);
                        ck_assert_uint_eq(before, place);
                }
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("top_k");
        TCase *tcase = tcase_create("top_k");
        SRunner *runner = srunner_create(suite);
        int n_failed;

        tcase_add_test(tcase, largest_come_first);
        tcase_add_test(tcase, equal_values_come_by_lower_index);
        tcase_add_test(tcase, nan_is_smaller_than_everything);
        tcase_add_test(tcase, none_of_none_is_none);
        tcase_add_test(tcase, every_place_has_as_many_values_before_it_as_its_rank);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
