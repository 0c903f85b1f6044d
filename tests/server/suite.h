#pragma once
/* suite: what every suite of tests/server/ needs. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "tests/suite.h"

/* Runs the tests of one case; the exit status of the program. */
static inline int suite_run(TCase *tests) {
        return suite_run_as("server", tests);
}

#define ck_assert_contains(text, part)                                                                      \
        ck_assert_msg(strstr(text, part) != NULL, "'%s' lacks '%s'", (const char *)(text),                  \
                      (const char *)(part))
