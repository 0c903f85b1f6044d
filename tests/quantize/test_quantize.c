/* Ranges, roundings and agreement, against figures that were worked out by hand. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "quantize/agreement.h"
#include "quantize/estimator.h"
#include "quantize/qdq.h"
#include "tests/suite.h"

/* Bins as wide as 1: bin i holds what lies in [i, i + 1). */
static struct histogram *histogram_of_units(void) {
        struct histogram *h = calloc(1, sizeof(*h));

        ck_assert_ptr_nonnull(h);
        h->high = (float)HISTOGRAM_BINS;
        return h;
}

START_TEST(histogram_counts_what_lies_in_each_bin) {
        _cleanup_(freep) struct histogram *h = histogram_of_units();
        const float values[] = {0, 0.5f, 1, 2.25f, 4095.5f, 4096};

        histogram_add(h, values, ARRAY_SIZE(values));
        ck_assert_uint_eq(h->counts[0], 2);
        ck_assert_uint_eq(h->counts[1], 1);
        ck_assert_uint_eq(h->counts[2], 1);
        ck_assert_uint_eq(h->counts[4095], 2);
}
END_TEST

START_TEST(minmax_is_all_and_has_zero_in_it) {
        _cleanup_(freep) struct histogram *h = histogram_of_units();
        struct range range;

        h->low = 3;
        h->counts[0] = 1;
        range = estimator_range(ESTIMATOR_MINMAX, 0, h);
        ck_assert_float_eq(range.low, 0);
        ck_assert_float_eq(range.high, 4096);
}
END_TEST

/* 100 values, one in each of the first 100 bins. 98 % keep all but one at each end: [1, 99), and zero. */
START_TEST(percentile_cuts_half_of_the_rest_off_at_each_end) {
        _cleanup_(freep) struct histogram *h = histogram_of_units();
        struct range range;

        for (size_t i = 0; i < 100; i++)
                h->counts[i] = 1;
        range = estimator_range(ESTIMATOR_PERCENTILE, 98, h);
        ck_assert_float_eq(range.low, 0);
        ck_assert_float_eq(range.high, 99);
        range = estimator_range(ESTIMATOR_PERCENTILE, 100, h);
        ck_assert_float_eq(range.high, 100);
}
END_TEST

/* 255 steps of 2: 4 / 12 each; a value 10.5 beyond an end costs its square. */
START_TEST(mse_adds_rounding_and_what_is_cut_off) {
        _cleanup_(freep) struct histogram *h = histogram_of_units();

        h->counts[100] = 3;
        ck_assert_double_eq_tol(estimator_mse(h, (struct range){0, 510}), 1.0 / 3, 1e-9);
        h->counts[520] = 1;
        ck_assert_double_eq_tol(estimator_mse(h, (struct range){0, 510}), (1 + 10.5 * 10.5) / 4, 1e-9);
}
END_TEST

/* A million small values and one that is twice as large as the largest of them: cutting that one off to 0.5
 * costs 4.2 at most and saves 16; without it there is nothing to save. */
START_TEST(mse_cuts_off_what_is_rare) {
        _cleanup_(freep) struct histogram *h = histogram_of_units();

        for (size_t i = 0; i < 2048; i++)
                h->counts[i] = 500;
        h->counts[4095] = 1;
        ck_assert_float_le(estimator_range(ESTIMATOR_MSE, 0, h).high, 2700);
        for (size_t i = 2048; i < 4096; i++)
                h->counts[i] = 500;
        ck_assert_float_eq(estimator_range(ESTIMATOR_MSE, 0, h).high, 4096);
}
END_TEST

/* Parts of equal bins can tell as much as the bins: no divergence, nothing is cut off. Half of all values at
 * zero, as after a Relu, must not change that. */
START_TEST(entropy_keeps_what_is_even_whatever_stands_at_zero) {
        _cleanup_(freep) struct histogram *h = histogram_of_units();

        for (size_t i = 0; i < HISTOGRAM_BINS; i++)
                h->counts[i] = 100;
        h->counts[0] = 409600;
        ck_assert_float_ge(estimator_range(ESTIMATOR_ENTROPY, 0, h).high, 4050);
}
END_TEST

START_TEST(rounding_has_zero_exactly_and_respects_a_bound) {
        struct rounding r = rounding_of(0, 6, 6);

        ck_assert_uint_eq(r.zero_point, 0);
        ck_assert(r.scale * 255 <= 6);
        ck_assert_float_eq_tol(r.scale, 6.0f / 255, 1e-8f);
        r = rounding_of(-1, 3, INFINITY); /* -1 is 63.75 steps of 4 / 255 below zero */
        ck_assert_uint_eq(r.zero_point, 64);
        r = rounding_of(0, 0, INFINITY);
        ck_assert_float_eq(r.scale, 1);
}
END_TEST

/* Picture 0: both say class 0. Picture 1: float32 says class 1, the other class 0, which is right. */
START_TEST(agreement_counts_best_classes_and_labels_where_there_are_some) {
        const float theirs[] = {0.9f, 0.1f, 0, 0.2f, 0.7f, 0.1f}, mine[] = {0.8f, 0.2f, 0, 0.5f, 0.4f, 0.1f};
        struct picture pictures[] = {{.class = PICTURES_NO_CLASS}, {.class = 0}};
        const struct pictures p = {.pictures = pictures, .n = 2};
        struct agreement a;

        ck_assert_int_eq(agreement_of(&a, mine, theirs, 3, true, &p, 1, NULL), 0);
        ck_assert_uint_eq(a.n_same, 1);
        ck_assert_uint_eq(a.n_right, 1);
        ck_assert_uint_eq(a.n_right_float, 0);
        ck_assert_double_eq_tol(agreement_drop(&a), -100, 1e-9);
        ck_assert_double_eq_tol(agreement_resolution(&a), 100, 1e-9);
        pictures[1].class = PICTURES_NO_CLASS;
        ck_assert_int_eq(agreement_of(&a, mine, theirs, 3, true, &p, 1, NULL), 0);
        ck_assert_double_eq_tol(agreement_drop(&a), 50, 1e-9);
        ck_assert_double_eq_tol(agreement_resolution(&a), 50, 1e-9);
}
END_TEST

int main(void) {
        TCase *tcase = tcase_create("all");

        tcase_add_test(tcase, histogram_counts_what_lies_in_each_bin);
        tcase_add_test(tcase, minmax_is_all_and_has_zero_in_it);
        tcase_add_test(tcase, percentile_cuts_half_of_the_rest_off_at_each_end);
        tcase_add_test(tcase, mse_adds_rounding_and_what_is_cut_off);
        tcase_add_test(tcase, mse_cuts_off_what_is_rare);
        tcase_add_test(tcase, entropy_keeps_what_is_even_whatever_stands_at_zero);
        tcase_add_test(tcase, rounding_has_zero_exactly_and_respects_a_bound);
        tcase_add_test(tcase, agreement_counts_best_classes_and_labels_where_there_are_some);
        return suite_run_as("quantize", tcase);
}
