#pragma once
/* operator_table: docs/operators.md, from the engine's table of operators and the node tests that were run.
 */
#include <stdio.h>

#include "tests/conformance/node_test.h"

/* names: those of the tests' directories. */
void operator_table_write(FILE *file, const char *const *names, const struct node_test *tests,
                          size_t n_tests);
