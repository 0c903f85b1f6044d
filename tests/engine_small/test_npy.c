/* The files in npy/ were written by NumPy: see make_npy.py. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/blob.h"
#include "base/macros.h"
#include "engine/npy.h"

static int parse_file(struct npy *ret_npy, const char *name, struct error *error) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        char path[4096];
        int r;

        snprintf(path, sizeof(path), "%s/npy/%s.npy", getenv("TEST_VECTORS"), name);
        r = blob_read(&blob, path, 1 << 20, error);
        ck_assert_msg(r == 0, "%s", error->text);
        return npy_parse(ret_npy, blob.bytes, blob.size, error);
}

static void ck_assert_parses(const char *name, const float expected[6]) {
        _cleanup_(npy_release) struct npy npy = {0};
        struct error error = ERROR_NONE;

        ck_assert_msg(parse_file(&npy, name, &error) == 0, "%s: %s", name, error.text);
        ck_assert_uint_eq(npy.rank, 2);
        ck_assert_uint_eq(npy.dims[0], 2);
        ck_assert_uint_eq(npy.dims[1], 3);
        ck_assert_uint_eq(npy.n_values, 6);
        for (size_t i = 0; i < 6; i++)
                ck_assert_msg(npy.values[i] == expected[i], "%s: value %zu is %.9g, not %.9g", name, i,
                              (double)npy.values[i], (double)expected[i]);
}

START_TEST(floats_are_read_in_every_version_and_width) {
        static const float expected[] = {0, 1, -2.5f, 65504, 6e-8f, 100};
        static const float half[] = {0, 1, -2.5f, 65504, 0x1p-24f, 100};

        ck_assert_parses("f4", expected);
        ck_assert_parses("f4_v2", expected);
        ck_assert_parses("f4_v3", expected);
        ck_assert_parses("f8", expected);
        ck_assert_parses("f2", half);
}
END_TEST

START_TEST(integers_are_converted) {
        ck_assert_parses("i4", (const float[]){0, 1, -2, 2147483648.0f, -2147483648.0f, 100});
        ck_assert_parses("i8", (const float[]){0, 1, -2, 0x1p40f, -0x1p40f, 100});
        ck_assert_parses("u1", (const float[]){0, 1, 2, 127, 128, 255});
}
END_TEST

START_TEST(half_precision_has_infinities_nan_and_subnormals) {
        _cleanup_(npy_release) struct npy npy = {0};

        ck_assert_int_eq(parse_file(&npy, "special_f2", &(struct error){0}), 0);
        ck_assert(isinf(npy.values[0]) && npy.values[0] > 0);
        ck_assert(isinf(npy.values[1]) && npy.values[1] < 0);
        ck_assert(isnan(npy.values[2]));
        ck_assert(npy.values[3] == 0 && signbit(npy.values[3]));
        ck_assert(npy.values[4] == 0x1p-24f);
        ck_assert(npy.values[5] == 0x1p-14f);
}
END_TEST

START_TEST(scalars_vectors_empty_and_rank_8_are_arrays_too) {
        static const struct {
                const char *name;
                size_t rank, n_values;
        } cases[] = {{"scalar", 0, 1}, {"vector", 1, 3}, {"empty", 3, 0}, {"rank8", 8, 1}};

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(npy_release) struct npy npy = {0};
                struct error error = ERROR_NONE;

                ck_assert_msg(parse_file(&npy, cases[i].name, &error) == 0, "%s", error.text);
                ck_assert_uint_eq(npy.rank, cases[i].rank);
                ck_assert_uint_eq(npy.n_values, cases[i].n_values);
        }
}
END_TEST

START_TEST(what_is_not_read_says_why) {
        static const struct {
                const char *name;
                int code;
                const char *text;
        } cases[] = {
                {"big_endian", ERROR_UNSUPPORTED, "save array.astype('<f4')"},
                {"fortran", ERROR_UNSUPPORTED, "numpy.ascontiguousarray"},
                {"complex", ERROR_UNSUPPORTED, "type '<c8'"},
                {"structured", ERROR_UNSUPPORTED, "structured array"},
                {"rank9", ERROR_UNSUPPORTED, "more than 8 dimensions"},
                {"truncated", ERROR_INVALID, "6 values of 4 bytes announced, 23 bytes follow"},
                {"longer", ERROR_INVALID, "6 values of 4 bytes announced, 25 bytes follow"},
                {"header_cut", ERROR_INVALID, "ends in the header"},
                {"overflow", ERROR_INVALID, "overflows"},
                {"negative", ERROR_INVALID, "dimension 0"},
                {"repeated_key", ERROR_INVALID, "repeated key 'descr'"},
                {"unclosed", ERROR_INVALID, "malformed"},
                {"version9", ERROR_UNSUPPORTED, "version 9.0"},
                {"header_huge", ERROR_UNSUPPORTED, "a header of"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct error error = ERROR_NONE;
                struct npy npy = {0};

                ck_assert_msg(parse_file(&npy, cases[i].name, &error) == cases[i].code, "%s: %d %s",
                              cases[i].name, error.code, error.text);
                ck_assert_msg(strstr(error.text, cases[i].text), "%s: %s", cases[i].name, error.text);
                ck_assert_ptr_null(npy.values);
        }
}
END_TEST

START_TEST(no_beginning_of_a_file_is_read_beyond_its_end) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        char path[4096];

        snprintf(path, sizeof(path), "%s/npy/f4_v2.npy", getenv("TEST_VECTORS"));
        ck_assert_int_eq(blob_read(&blob, path, 1 << 20, NULL), 0);
        for (size_t size = 0; size < blob.size; size++) {
                /* An allocation of just this size, so that a sanitizer sees one byte too many. */
                _cleanup_(freep) unsigned char *copy = malloc(size + 1);
                struct npy npy = {0};

                memcpy(copy + 1, blob.bytes, size);
                ck_assert_int_lt(npy_parse(&npy, copy + 1, size, NULL), 0);
        }
}
END_TEST

START_TEST(what_is_written_equals_numpys_file_byte_for_byte) {
        static const float values[] = {0, 1, -2.5f, 65504, 6e-8f, 100}, three[] = {1, 2, 3}, seven[] = {7};
        static const struct {
                const char *name;
                const float *values;
                size_t dims[2], rank;
        } cases[] = {{"f4", values, {2, 3}, 2}, {"vector", three, {3}, 1}, {"scalar", seven, {0}, 0}};
        char directory[] = "/tmp/saccade-npy-XXXXXX", path[64], reference[4096];

        ck_assert_ptr_nonnull(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/y.npy", directory);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(blob_release) struct blob written = BLOB_NONE, expected = BLOB_NONE;
                struct error error = ERROR_NONE;

                ck_assert_msg(npy_write(path, cases[i].values, cases[i].dims, cases[i].rank, &error) == 0,
                              "%s", error.text);
                snprintf(reference, sizeof(reference), "%s/npy/%s.npy", getenv("TEST_VECTORS"),
                         cases[i].name);
                ck_assert_int_eq(blob_read(&written, path, 4096, NULL), 0);
                ck_assert_int_eq(blob_read(&expected, reference, 4096, NULL), 0);
                ck_assert_uint_eq(written.size, expected.size);
                ck_assert_mem_eq(written.bytes, expected.bytes, expected.size);
        }
        unlink(path);
        /* Nothing else lies there. */
        ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(writing_where_nothing_can_be_written_fails_and_leaves_nothing) {
        struct error error = ERROR_NONE;
        float value = 1;
        size_t dim = 1;

        ck_assert_int_eq(npy_write("/nonexistent/y.npy", &value, &dim, 1, &error), ERROR_IO);
        ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent/y.npy: No such file"));
        ck_assert_int_eq(npy_write("/dev/full", &value, &dim, 1, &error), ERROR_IO);
        ck_assert_ptr_nonnull(strstr(error.text, "No space left"));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("npy");
        TCase *tcase = tcase_create("npy");
        SRunner *runner = srunner_create(suite);
        int n_failed;

        tcase_add_test(tcase, floats_are_read_in_every_version_and_width);
        tcase_add_test(tcase, integers_are_converted);
        tcase_add_test(tcase, half_precision_has_infinities_nan_and_subnormals);
        tcase_add_test(tcase, scalars_vectors_empty_and_rank_8_are_arrays_too);
        tcase_add_test(tcase, what_is_not_read_says_why);
        tcase_add_test(tcase, no_beginning_of_a_file_is_read_beyond_its_end);
        tcase_add_test(tcase, what_is_written_equals_numpys_file_byte_for_byte);
        tcase_add_test(tcase, writing_where_nothing_can_be_written_fails_and_leaves_nothing);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
