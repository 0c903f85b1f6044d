#include "tests/conformance/operator_table.h"

#include <string.h>

#include "engine/operator.h"

static const char *const head =
        "# Operators\n"
        "\n"
        "What the engine computes of ONNX, in operator sets 7 to 21. The test run makes this table and "
        "compares it\n"
        "with this file: `build/tests/conformance/test_conformance write > docs/operators.md` writes it "
        "anew.\n"
        "\n"
        "* *Computed*: on float32 data, when the network runs. *Folded*: on constants and shapes of any "
        "type, when\n"
        "  the network is read. Integers and booleans are only folded: to the engine they are shapes.\n"
        "* *Node tests*: those of the ONNX project (1.12, Debian's `libonnx-testdata`) with this operator "
        "alone:\n"
        "  passed, of how many. They are run with all float32 inputs as data, with the first one as data, "
        "and\n"
        "  with all inputs constant; each way must give the right answer (relative 1e-3, absolute 1e-7) or "
        "say\n"
        "  `unsupported`, and one must pass.\n"
        "* *Types*: of the first input, in the tests that passed.\n"
        "* *Not covered*: the tests that are refused as unsupported. No test gives a wrong answer.\n"
        "\n";

static void write_list(FILE *file, const struct operator* op, const char *const *names,
                       const struct node_test *tests, size_t n_tests) {
        const char *separator = " ";

        for (size_t i = 0; i < n_tests; i++)
                if (strcmp(tests[i].operator, op->type) == 0 && !node_test_passed(&tests[i])) {
                        fprintf(file, "%s%s", separator, names[i] + strlen("test_"));
                        separator = ", ";
                }
}

static void write_types(FILE *file, const struct operator* op, const struct node_test *tests,
                        size_t n_tests) {
        char types[256] = "";

        for (size_t i = 0; i < n_tests; i++) {
                size_t used = strlen(types);

                if (strcmp(tests[i].operator, op->type) == 0 && node_test_passed(&tests[i]) &&
                    !strstr(types, tests[i].types))
                        snprintf(types + used, sizeof(types) - used, "%s%s", used > 0 ? ", " : "",
                                 tests[i].types);
        }
        fprintf(file, "%s", types);
}

static void write_row(FILE *file, const struct operator* op, const char *const *names,
                      const struct node_test *tests, size_t n_tests) {
        size_t n = 0, n_passed = 0;

        for (size_t i = 0; i < n_tests; i++)
                if (strcmp(tests[i].operator, op->type) == 0) {
                        n++;
                        n_passed += node_test_passed(&tests[i]);
                }
        fprintf(file, "| %s | %d | %s%s%s | ", op->type, op->since, op->lower ? "computed" : "",
                op->lower && op->fold ? ", " : "", op->fold ? "folded" : "");
        write_types(file, op, tests, n_tests);
        fprintf(file, " | %zu of %zu |", n_passed, n);
        write_list(file, op, names, tests, n_tests);
        fprintf(file, " |\n");
}

void operator_table_write(FILE *file, const char *const *names, const struct node_test *tests,
                          size_t n_tests) {
        size_t n_passed = 0, n_functions = 0, n_operators = 0, n_tested = 0;

        for (size_t i = 0; i < n_tests; i++) {
                n_passed += node_test_passed(&tests[i]);
                n_functions += node_test_passed(&tests[i]) && !tests[i].operator[0];
        }
        for (size_t i = 0; i < operator_count(); i++) {
                bool passed = false;

                n_operators += i == 0 || strcmp(operator_at(i)->type, operator_at(i - 1)->type) != 0;
                for (size_t k = 0; k < n_tests && !passed; k++)
                        passed = strcmp(tests[k].operator, operator_at(i)->type) == 0 &&
                                 node_test_passed(&tests[k]);
                n_tested += passed;
        }
        fprintf(file, "%s", head);
        fprintf(file,
                "%zu operators, %zu of them with a node test that passes; %zu of %zu node tests pass, %zu "
                "of them "
                "networks\nof several nodes.\n\n",
                n_operators, n_tested, n_passed, n_tests, n_functions);
        fprintf(file, "| operator | since opset | how | types | node tests | not covered |\n");
        fprintf(file, "|---|---|---|---|---|---|\n");
        for (size_t i = 0; i < operator_count(); i++)
                write_row(file, operator_at(i), names, tests, n_tests);
}
