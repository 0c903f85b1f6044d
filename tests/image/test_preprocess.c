/* Resize and crop arithmetic against torchvision's. */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "engine/image/preprocess.h"
#include "tests/image/vectors.h"

static const char *axis_read(const char *text, struct preprocess_axis *ret_axis) {
        int n = 0;

        ck_assert_int_eq(sscanf(text, "%zu %zu %zu %zu%n", &ret_axis->resized, &ret_axis->from, &ret_axis->n,
                                &ret_axis->padding, &n),
                         4);
        return text + n;
}

static void axis_check(const struct preprocess_axis *actual, const struct preprocess_axis *expected) {
        ck_assert_uint_eq(actual->resized, expected->resized);
        ck_assert_uint_eq(actual->from, expected->from);
        ck_assert_uint_eq(actual->n, expected->n);
        ck_assert_uint_eq(actual->padding, expected->padding);
}

START_TEST(layout_matches_torchvision) {
        _cleanup_(blob_release) struct blob blob = vector_read("layout", ".tsv");
        const char *line = (const char *)blob.bytes;
        size_t n_lines = 0;

        for (; *line; line = strchr(line, '\n') + 1, n_lines++) {
                struct preprocess_axis x, y, expected_x, expected_y;
                struct preprocess preprocess = PREPROCESS_IMAGENET;
                size_t width, height;
                int n = 0;

                ck_assert_int_eq(sscanf(line, "%zu %zu %zu %zu %zu%n", &width, &height,
                                        &preprocess.resize_shorter, &preprocess.crop_width,
                                        &preprocess.crop_height, &n),
                                 5);
                axis_read(axis_read(line + n, &expected_x), &expected_y);
                preprocess_layout(&x, &y, &preprocess, width, height);
                axis_check(&x, &expected_x);
                axis_check(&y, &expected_y);
        }
        ck_assert_uint_eq(n_lines, 16);
}
END_TEST

START_TEST(both_sides_given_ignore_the_aspect) {
        struct preprocess preprocess = {
                .resize_width = 30, .resize_height = 20, .crop_width = 30, .crop_height = 20};
        struct preprocess_axis x, y;

        preprocess_layout(&x, &y, &preprocess, 500, 100);
        axis_check(&x, &(struct preprocess_axis){.resized = 30, .n = 30});
        axis_check(&y, &(struct preprocess_axis){.resized = 20, .n = 20});
}
END_TEST

START_TEST(no_resize_keeps_the_size) {
        struct preprocess preprocess = {.crop_width = 30, .crop_height = 20};
        struct preprocess_axis x, y;

        preprocess_layout(&x, &y, &preprocess, 50, 10);
        axis_check(&x, &(struct preprocess_axis){.resized = 50, .from = 10, .n = 30});
        axis_check(&y, &(struct preprocess_axis){.resized = 10, .n = 10, .padding = 5});
}
END_TEST

static void refused(struct preprocess preprocess, int code, const char *text) {
        struct error error = ERROR_NONE;

        ck_assert_int_eq(preprocess_check(&preprocess, &error), code);
        ck_assert_ptr_nonnull(strstr(error.text, text));
}

START_TEST(a_preprocess_that_cannot_be_followed_is_refused) {
        struct preprocess good = PREPROCESS_IMAGENET, bad;

        ck_assert_int_eq(preprocess_check(&good, NULL), 0);
        bad = good;
        bad.crop_width = 0;
        refused(bad, ERROR_INVALID, "crop of 0 x 224");
        bad = good;
        bad.crop_height = PREPROCESS_MAX_SIDE + 1;
        refused(bad, ERROR_LIMIT, "side of 4097 pixels");
        bad = good;
        bad.resize_shorter = 0;
        bad.resize_width = 10;
        refused(bad, ERROR_INVALID, "only one side of the resize (10 x 0)");
        bad = good;
        bad.filter = (enum image_filter)7;
        refused(bad, ERROR_UNSUPPORTED, "filter 7");
}
END_TEST

int main(void) {
        TCase *tcase = tcase_create("preprocess");

        tcase_add_test(tcase, layout_matches_torchvision);
        tcase_add_test(tcase, both_sides_given_ignore_the_aspect);
        tcase_add_test(tcase, no_resize_keeps_the_size);
        tcase_add_test(tcase, a_preprocess_that_cannot_be_followed_is_refused);
        return vector_main("image preprocess", tcase);
}
