#pragma once
/* suite: what every suite of tests/server/ needs. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"

/* Runs the tests of one case; the exit status of the program. */
static inline int suite_run(TCase *tests) {
        Suite *suite = suite_create("server");
        SRunner *runner;
        int n_failed;

        suite_add_tcase(suite, tests);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT); /* The TAP goes to stdout, where nothing else may stand. */
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}

#define ck_assert_contains(text, part)                                                                      \
        ck_assert_msg(strstr(text, part) != NULL, "'%s' lacks '%s'", (const char *)(text),                  \
                      (const char *)(part))
