#pragma once
/* suite: how the C suites run. */
#include <check.h>

/* Runs the tests of one case; the exit status of the program. */
static inline int suite_run_as(const char *name, TCase *tests) {
        Suite *suite = suite_create(name);
        SRunner *runner;
        int n_failed;

        suite_add_tcase(suite, tests);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT); /* The TAP goes to stdout, where nothing else may stand. */
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
