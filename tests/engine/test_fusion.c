/* Which steps come out of the patterns that cases_transformer.py writes: a value alone does not tell whether
 * it was computed by one step or by ten. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine/model.h"
#include "engine/plan.h"

struct fused {
        const char *name, *steps;
};

/* Batch 2, one thread. */
static const struct fused cases[] = {};

static void steps_of(char *text, size_t size, const char *name) {
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(plan_freep) struct plan *plan = NULL;
        struct error error = ERROR_NONE;
        char path[4096];
        size_t used = 0;
        int r;

        snprintf(path, sizeof(path), "%s/vectors/%s", VECTORS_DIRECTORY, name);
        r = model_open(&model, path, NULL, &error);
        if (r >= 0)
                r = plan_new(&plan, model, &(struct plan_options){.batch = 2, .threads = 1}, &error);
        ck_assert_msg(r >= 0, "%s: %s", name, error.text);
        for (size_t i = 0; i < plan_n_steps(plan); i++) {
                int n = snprintf(text + used, size - used, "%s%s", i > 0 ? " " : "", plan_step(plan, i).op);

                ck_assert(n > 0 && used + (size_t)n < size);
                used += (size_t)n;
        }
}

START_TEST(steps_are_as_few_as_they_should_be) {
        char text[4096];

        steps_of(text, sizeof(text), cases[_i].name);
        ck_assert_msg(strcmp(text, cases[_i].steps) == 0, "%s: %s, not %s", cases[_i].name, text,
                      cases[_i].steps);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("fusion");
        TCase *tcase = tcase_create("cases");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, steps_are_as_few_as_they_should_be, 0, (int)ARRAY_SIZE(cases));
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
