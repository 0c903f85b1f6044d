#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/blob.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/macros.h"
#include "base/names.h"

START_TEST(error_set_keeps_code_and_text) {
        struct error error = ERROR_NONE;

        ck_assert_int_eq(error_set(&error, ERROR_LIMIT, "%d of %s", 3, "four"), ERROR_LIMIT);
        ck_assert_int_eq(error.code, ERROR_LIMIT);
        ck_assert_str_eq(error.text, "3 of four");
}
END_TEST

START_TEST(error_prefix_goes_in_front) {
        struct error error = ERROR_NONE;

        error_set(&error, ERROR_INVALID, "node 'conv1'");
        ck_assert_int_eq(error_prefix(&error, ERROR_INVALID, "%s", "a.onnx"), ERROR_INVALID);
        ck_assert_str_eq(error.text, "a.onnx: node 'conv1'");
}
END_TEST

START_TEST(error_text_is_cut_not_overrun) {
        char longer[2 * ERROR_TEXT_MAX];
        struct error error = ERROR_NONE;

        memset(longer, 'x', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = 0;
        error_set(&error, ERROR_INVALID, "%s", longer);
        ck_assert_uint_eq(strlen(error.text), ERROR_TEXT_MAX - 1);
        error_prefix(&error, ERROR_INVALID, "front");
        ck_assert_uint_eq(strlen(error.text), ERROR_TEXT_MAX - 1);
        ck_assert_int_eq(strncmp(error.text, "front: xxx", 10), 0);
        error_prefix(&error, ERROR_INVALID, "%s", longer);
        ck_assert_uint_eq(strlen(error.text), ERROR_TEXT_MAX - 1);
}
END_TEST

START_TEST(error_may_be_null) {
        ck_assert_int_eq(error_set(NULL, ERROR_IO, "lost"), ERROR_IO);
        ck_assert_int_eq(error_prefix(NULL, ERROR_IO, "lost"), ERROR_IO);
        ck_assert_int_eq(error_no_memory(NULL), ERROR_NO_MEMORY);
}
END_TEST

START_TEST(names_are_found_and_taken_once) {
        static char texts[5000][32];
        struct names names;
        uint32_t number = 7;

        ck_assert_int_eq(names_init(&names, ARRAY_SIZE(texts), NULL), 0);
        /* Of all lengths, and alike at the beginning: exporters name by layer. */
        for (uint32_t i = 0; i < ARRAY_SIZE(texts); i++) {
                snprintf(texts[i], sizeof(texts[i]), "/features.%u/%.*s", i, (int)(i % 17),
                         "0123456789abcdefg");
                ck_assert(!names_find(&names, texts[i], &number));
                ck_assert(names_add(&names, texts[i], i));
        }
        ck_assert_uint_eq(number, 7);
        for (uint32_t i = 0; i < ARRAY_SIZE(texts); i++) {
                ck_assert(names_find(&names, texts[i], &number) && number == i);
                ck_assert(!names_add(&names, texts[i], i + 1));
        }
        ck_assert(!names_find(&names, "/features.1", &number));
        ck_assert_msg(!names_add(&names, "", 0), "there is room for what was asked for, and no more");
        names_release(&names);
}
END_TEST

START_TEST(size_arithmetic_that_overflows_leaves_the_result) {
        size_t size = 7;

        ck_assert(size_multiply(&size, 6, 7));
        ck_assert_uint_eq(size, 42);
        ck_assert(!size_multiply(&size, SIZE_MAX / 2 + 1, 2));
        ck_assert(!size_add(&size, SIZE_MAX, 1));
        ck_assert_uint_eq(size, 42);
        ck_assert(size_add(&size, SIZE_MAX, 0));
        ck_assert_uint_eq(size, SIZE_MAX);
}
END_TEST

START_TEST(steal_ptr_empties_its_source) {
        _cleanup_(freep) char *text = strdup("x");
        _cleanup_(freep) char *taken = steal_ptr(&text);

        ck_assert_ptr_null(text);
        ck_assert_str_eq(taken, "x");
}
END_TEST

START_TEST(clock_does_not_go_back) {
        uint64_t before = clock_ns(), after = clock_ns();

        ck_assert_uint_ge(after, before);
        ck_assert_double_eq(clock_ms_between(1000000, 3500000), 2.5);
}
END_TEST

static char directory[64];

static const char *path_of(const char *name) {
        static char path[128];

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        return path;
}

static void make_file(const char *name, const char *text) {
        FILE *file = fopen(path_of(name), "w");

        ck_assert_ptr_nonnull(file);
        fputs(text, file);
        ck_assert_int_eq(fclose(file), 0);
}

static void make_directory(void) {
        strcpy(directory, "/tmp/saccade-base-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void remove_directory(void) {
        unlink(path_of("file"));
        unlink(path_of("fifo"));
        rmdir(directory);
}

START_TEST(blob_reads_a_file_whole_with_a_zero_behind_it) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;

        make_file("file", "hello");
        ck_assert_int_eq(blob_read(&blob, path_of("file"), 5, NULL), 0);
        ck_assert_uint_eq(blob.size, 5);
        ck_assert_str_eq((const char *)blob.bytes, "hello");
}
END_TEST

START_TEST(blob_refuses_what_is_too_large_and_says_both_sizes) {
        struct blob blob = BLOB_NONE;
        struct error error = ERROR_NONE;

        make_file("file", "hello");
        ck_assert_int_eq(blob_read(&blob, path_of("file"), 4, &error), ERROR_LIMIT);
        ck_assert_ptr_nonnull(strstr(error.text, "5 bytes, the limit is 4"));
        ck_assert_ptr_null(blob.bytes);
}
END_TEST

START_TEST(blob_tells_a_missing_file_from_a_forbidden_kind) {
        struct blob blob = BLOB_NONE;

        ck_assert_int_eq(blob_read(&blob, path_of("missing"), 4, NULL), ERROR_NOT_FOUND);
        ck_assert_int_eq(blob_read(&blob, directory, 4, NULL), ERROR_INVALID);
}
END_TEST

START_TEST(blob_does_not_hang_on_a_fifo) {
        struct blob blob = BLOB_NONE;

        ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
        ck_assert_int_eq(blob_read(&blob, path_of("fifo"), 4, NULL), ERROR_INVALID);
}
END_TEST

START_TEST(blob_borrowed_owns_nothing) {
        static const char text[] = "static";
        struct blob blob = blob_borrow(text, 6);

        ck_assert_ptr_eq(blob.bytes, text);
        blob_release(&blob);
        ck_assert_ptr_null(blob.bytes);
        ck_assert_uint_eq(blob.size, 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("base");
        TCase *values = tcase_create("values"), *files = tcase_create("files");
        SRunner *runner = srunner_create(suite);
        int n_failed;

        tcase_add_test(values, error_set_keeps_code_and_text);
        tcase_add_test(values, error_prefix_goes_in_front);
        tcase_add_test(values, error_text_is_cut_not_overrun);
        tcase_add_test(values, error_may_be_null);
        tcase_add_test(values, names_are_found_and_taken_once);
        tcase_add_test(values, size_arithmetic_that_overflows_leaves_the_result);
        tcase_add_test(values, steal_ptr_empties_its_source);
        tcase_add_test(values, clock_does_not_go_back);
        suite_add_tcase(suite, values);
        tcase_add_checked_fixture(files, make_directory, remove_directory);
        tcase_add_test(files, blob_reads_a_file_whole_with_a_zero_behind_it);
        tcase_add_test(files, blob_refuses_what_is_too_large_and_says_both_sizes);
        tcase_add_test(files, blob_tells_a_missing_file_from_a_forbidden_kind);
        tcase_add_test(files, blob_does_not_hang_on_a_fifo);
        tcase_add_test(files, blob_borrowed_owns_nothing);
        suite_add_tcase(suite, files);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
