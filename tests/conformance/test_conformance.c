/*
 * The ONNX project's node tests, each a test here: passed, or refused as unsupported, and never anything
 * else. What passes is what docs/operators.md says.
 *
 *      test_conformance                runs the tests
 *      test_conformance write          writes docs/operators.md to stdout
 *      test_conformance why [NAME]     tells what became of each test, and why
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "base/macros.h"
#include "tests/conformance/operator_table.h"

#define TESTS_MAX 4096u
#define TABLE_MAX ((size_t)4 << 20)

static char *names[TESTS_MAX];
static struct node_test *tests;
static size_t n_tests;

static int by_name(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* false where the tests are not installed. */
static bool names_list(void) {
        DIR *directory = opendir(NODE_TESTS);
        struct dirent *entry;

        if (!directory)
                return false;
        while ((entry = readdir(directory)) && n_tests < TESTS_MAX)
                if (strncmp(entry->d_name, "test_", strlen("test_")) == 0 &&
                    (names[n_tests] = strdup(entry->d_name)))
                        n_tests++;
        closedir(directory);
        qsort(names, n_tests, sizeof(*names), by_name);
        tests = calloc(n_tests, sizeof(*tests));
        return tests && n_tests > 0;
}

static void test_run(size_t index) {
        char directory[4096];

        snprintf(directory, sizeof(directory), "%s/%s", NODE_TESTS, names[index]);
        node_test_run(&tests[index], directory);
}

START_TEST(passes_or_is_unsupported) {
        const struct node_test *test = &tests[_i];

        test_run((size_t)_i);
        ck_assert_msg(!node_test_wrong(test), "%s: data: '%s'; first is data: '%s'; constants: '%s'",
                      names[_i], test->texts[FEED_DATA], test->texts[FEED_FIRST_DATA],
                      test->texts[FEED_CONSTANT]);
}
END_TEST

START_TEST(the_table_says_what_passes) {
        _cleanup_(blob_release) struct blob committed = BLOB_NONE;
        struct error error = ERROR_NONE;
        char *text = NULL;
        size_t bytes = 0;
        FILE *file = open_memstream(&text, &bytes);

        ck_assert(file != NULL);
        operator_table_write(file, (const char *const *)names, tests, n_tests);
        fclose(file);
        ck_assert_msg(blob_read(&committed, TABLE, TABLE_MAX, &error) == 0, "%s", error.text);
        ck_assert_msg(
                committed.size == bytes && memcmp(committed.bytes, text, bytes) == 0,
                "docs/operators.md is not what the tests found; write it anew by: test_conformance write");
        free(text);
}
END_TEST

static int suite_run(void) {
        Suite *suite = suite_create("node tests of ONNX");
        TCase *tcase = tcase_create("cases");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, passes_or_is_unsupported, 0, (int)n_tests);
        tcase_add_test(tcase, the_table_says_what_passes);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}

static const char *outcome_text(enum outcome outcome) {
        return outcome == OUTCOME_PASSED ? "passed" : outcome == OUTCOME_WRONG ? "WRONG" : "unsupported";
}

static void why(const char *name) {
        for (size_t i = 0; i < n_tests; i++) {
                if (name && strcmp(names[i], name) != 0)
                        continue;
                test_run(i);
                printf("%s %s\n", names[i],
                       node_test_wrong(&tests[i])    ? "WRONG"
                       : node_test_passed(&tests[i]) ? "passed"
                                                     : "unsupported");
                for (size_t k = 0; k < N_FEEDS; k++)
                        printf("    %s: %s\n", outcome_text(tests[i].outcomes[k]), tests[i].texts[k]);
                fflush(stdout);
        }
}

int main(int argc, char **argv) {
        int r = 0;

        if (!names_list()) {
                printf("1..0 # SKIP no tests in " NODE_TESTS " (Debian: libonnx-testdata)\n");
                return 0;
        }
        if (argc > 1 && strcmp(argv[1], "why") == 0) {
                why(argc > 2 ? argv[2] : NULL);
        } else if (argc > 1 && strcmp(argv[1], "write") == 0) {
                for (size_t i = 0; i < n_tests; i++)
                        test_run(i);
                operator_table_write(stdout, (const char *const *)names, tests, n_tests);
        } else {
                r = suite_run();
        }
        for (size_t i = 0; i < n_tests; i++)
                free(names[i]);
        free(tests);
        return r;
}
