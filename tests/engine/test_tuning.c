/* What was measured: kept, found, written and read; and plans that follow it. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/blob.h"
#include "engine/model.h"
#include "engine/plan.h"
#include "engine/tuner.h"
#include "engine/tuning.h"

#define IDENTITY "saccade 1, a CPU"

static struct tuning *new_tuning(void) {
        struct tuning *tuning = NULL;

        ck_assert_int_eq(tuning_new(&tuning, NULL), 0);
        return tuning;
}

static void expect_answer(struct tuning *tuning, const char *question, const char *label) {
        char found[TUNING_MAX_TEXT];

        ck_assert(tuning_find(tuning, question, found));
        ck_assert_str_eq(found, label);
}

/* ---- answers ---- */

START_TEST(answers_are_found_and_replaced) {
        _cleanup_(tuning_freep) struct tuning *tuning = new_tuning();
        char label[TUNING_MAX_TEXT], question[32];

        ck_assert(!tuning_find(tuning, "a", label));
        for (int i = 0; i < 500; i++) {
                snprintf(question, sizeof(question), "question %d", i * 7919 % 500);
                tuning_answer(tuning, question, question + 9);
        }
        tuning_answer(tuning, "question 5", "another");
        ck_assert_uint_eq(tuning_n_answers(tuning), 500);
        expect_answer(tuning, "question 499", "499");
        expect_answer(tuning, "question 5", "another");
}
END_TEST

START_TEST(what_no_line_can_hold_is_left_out) {
        _cleanup_(tuning_freep) struct tuning *tuning = new_tuning();
        char longer[TUNING_MAX_TEXT + 1];

        memset(longer, 'x', TUNING_MAX_TEXT);
        longer[TUNING_MAX_TEXT] = '\0';
        tuning_answer(tuning, longer, "label");
        tuning_answer(tuning, "question", longer);
        tuning_answer(tuning, "two\nlines", "label");
        tuning_answer(tuning, "question", "a\ttab");
        tuning_answer(tuning, "", "label");
        tuning_answer(tuning, "question", "");
        ck_assert_uint_eq(tuning_n_answers(tuning), 0);
        for (unsigned i = 0; i < TUNING_MAX_ANSWERS + 10; i++) {
                snprintf(longer, sizeof(longer), "%u", i);
                tuning_answer(tuning, longer, "label");
        }
        ck_assert_uint_eq(tuning_n_answers(tuning), TUNING_MAX_ANSWERS);
}
END_TEST

/* ---- files ---- */

static char directory[] = "/tmp/saccade-tuning-XXXXXX";

static void directory_make(void) {
        strcpy(directory + strlen(directory) - 6, "XXXXXX");
        ck_assert(mkdtemp(directory) != NULL);
}

static void directory_remove(void) {
        char path[128];

        snprintf(path, sizeof(path), "%s/deep/er/0123.tuning", directory);
        unlink(path);
        snprintf(path, sizeof(path), "%s/deep/er", directory);
        rmdir(path);
        snprintf(path, sizeof(path), "%s/deep", directory);
        rmdir(path);
        ck_assert_int_eq(rmdir(directory), 0); /* nothing else is left behind */
}

START_TEST(a_file_brings_back_what_was_saved) {
        _cleanup_(tuning_freep) struct tuning *saved = new_tuning(), *loaded = new_tuning();
        struct error error = ERROR_NONE;
        char path[64];

        snprintf(path, sizeof(path), "%s/deep/er", directory);
        ck_assert_int_eq(tuning_load(loaded, path, "0123", IDENTITY, &error), ERROR_NOT_FOUND);
        tuning_answer(saved, "Conv 1x3", "winograd 4x4");
        tuning_answer(saved, "Conv 1x4", "native");
        ck_assert_msg(tuning_save(saved, path, "0123", IDENTITY, &error) == 0, "%s", error.text);
        ck_assert_msg(tuning_save(saved, path, "0123", IDENTITY, &error) == 0, "%s", error.text);
        ck_assert_msg(tuning_load(loaded, path, "0123", IDENTITY, &error) == 0, "%s", error.text);
        ck_assert_uint_eq(tuning_n_answers(loaded), 2);
        expect_answer(loaded, "Conv 1x3", "winograd 4x4");
        expect_answer(loaded, "Conv 1x4", "native");
}
END_TEST

START_TEST(a_foreign_or_damaged_file_adds_nothing) {
        _cleanup_(tuning_freep) struct tuning *saved = new_tuning(), *loaded = new_tuning();
        static const char partial[] = "saccade tuning 1\n" IDENTITY "\na\tb\nno tab\n";
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        struct error error = ERROR_NONE;
        char path[128];

        snprintf(path, sizeof(path), "%s/deep/er", directory);
        tuning_answer(saved, "Conv 1x3", "winograd 4x4");
        ck_assert_int_eq(tuning_save(saved, path, "0123", IDENTITY, &error), 0);
        ck_assert_int_eq(tuning_load(loaded, path, "0123", "another CPU", &error), ERROR_INVALID);
        ck_assert(strstr(error.text, IDENTITY) != NULL);

        snprintf(path, sizeof(path), "%s/deep/er/0123.tuning", directory);
        ck_assert_int_eq(blob_read(&blob, path, TUNING_MAX_FILE_BYTES, &error), 0);
        ck_assert_int_eq(tuning_parse_lines(loaded, partial, sizeof(partial) - 1, IDENTITY, &error),
                         ERROR_INVALID);
        for (size_t cut = 0; cut < blob.size; cut++)
                ck_assert_int_eq(tuning_parse(loaded, blob.bytes, cut, IDENTITY, &error), ERROR_INVALID);
        for (size_t i = 0; i < blob.size; i++) {
                unsigned char *bytes = (unsigned char *)blob.owned;

                bytes[i] ^= 1;
                ck_assert_int_eq(tuning_parse(loaded, bytes, blob.size, IDENTITY, &error), ERROR_INVALID);
                bytes[i] ^= 1;
        }
        ck_assert_uint_eq(tuning_n_answers(loaded), 0);
        ck_assert_int_eq(tuning_parse(loaded, blob.bytes, blob.size, IDENTITY, &error), 0);
        ck_assert_uint_eq(tuning_n_answers(loaded), 1);
}
END_TEST

START_TEST(a_directory_that_cannot_be_made_is_an_error) {
        _cleanup_(tuning_freep) struct tuning *tuning = new_tuning();
        struct error error = ERROR_NONE;

        ck_assert_int_eq(tuning_save(tuning, "/proc/no/such/place", "0123", IDENTITY, &error), ERROR_IO);
        ck_assert(strstr(error.text, "/proc/no") != NULL);
}
END_TEST

/* ---- plans ---- */

/* The default model in float32: there is more to choose from than in integers. */
static struct model *float_model(void) {
        struct error error = ERROR_NONE;
        struct model *model = NULL;
        int r = model_open(&model, FLOAT_MODEL, NULL, &error);

        ck_assert_msg(r == 0, "%s", error.text);
        return model;
}

static float *outputs_of(struct model *model, const struct plan_options *options, size_t *ret_part) {
        _cleanup_(freep) unsigned char *pixels = malloc(options->batch * 224 * 224 * 3);
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(run_freep) struct run *run = NULL;
        struct error error = ERROR_NONE;
        float *output;

        ck_assert(pixels != NULL);
        for (size_t i = 0; i < options->batch * 224 * 224 * 3; i++)
                pixels[i] = (unsigned char)(i * 2654435761u >> 13);
        ck_assert_msg(plan_new(&plan, model, options, &error) == 0, "%s", error.text);
        ck_assert_msg(run_new(&run, plan, &error) == 0, "%s", error.text);
        output = calloc(plan_output_elements(plan), sizeof(*output));
        ck_assert(output != NULL);
        ck_assert_msg(run_execute(run, pixels, output, &error) == 0, "%s", error.text);
        *ret_part = plan_part_batch(plan);
        return output;
}

static void expect_equal(const float *a, const float *b, size_t n) {
        double largest = 0, difference = 0;

        for (size_t i = 0; i < n; i++) {
                double error = fabs((double)a[i] - (double)b[i]);

                ck_assert(!isnan(error));
                largest = fmax(largest, fabs((double)a[i]));
                difference = fmax(difference, error);
        }
        ck_assert_msg(difference <= 1e-5 * largest, "%g of %g", difference, largest);
}

START_TEST(a_batch_divided_among_threads_gives_the_same_answers) {
        _cleanup_(tuning_freep) struct tuning *tuning = new_tuning();
        static const struct {
                const char *answer;
                size_t part;
        } divisions[] = {{"together", 0},
                         {"1 at a time on each", 1},
                         {"2 at a time on each", 2},
                         {"3 at a time on each", 2}};
        _cleanup_(model_freep) struct model *model = float_model();
        struct plan_options options = {.batch = 4, .threads = 1};
        _cleanup_(freep) float *reference = NULL;
        size_t part;

        reference = outputs_of(model, &options, &part);
        ck_assert_uint_eq(part, 0);
        options.threads = 2;
        options.tuning = tuning;
        for (size_t i = 0; i < ARRAY_SIZE(divisions); i++) {
                _cleanup_(freep) float *output = NULL;

                tuning_answer(tuning, "a batch of 4 on 2 threads", divisions[i].answer);
                output = outputs_of(model, &options, &part);
                ck_assert_uint_eq(part, divisions[i].part);
                expect_equal(reference, output, 4 * model_n_classes(model));
        }
}
END_TEST

START_TEST(a_tuned_plan_gives_the_same_answers_and_is_tuned_once) {
        _cleanup_(tuning_freep) struct tuning *tuning = new_tuning();
        _cleanup_(model_freep) struct model *model = float_model();
        struct plan_options options = {.batch = 2, .threads = 2, .tuning = tuning};
        const struct tuner_options tuner = {.effort = TUNE_FAST};
        _cleanup_(freep) float *reference = NULL, *output = NULL;
        struct error error = ERROR_NONE;
        bool measured;
        size_t part;

        reference = outputs_of(model, &(struct plan_options){.batch = 2, .threads = 1}, &part);
        ck_assert_msg(tuner_run(model, &options, &tuner, &measured, &error) == 0, "%s", error.text);
        ck_assert(measured);
        ck_assert_uint_gt(tuning_n_answers(tuning), 10);
        ck_assert_msg(tuner_run(model, &options, &tuner, &measured, &error) == 0, "%s", error.text);
        ck_assert(!measured);
        output = outputs_of(model, &options, &part);
        expect_equal(reference, output, 2 * model_n_classes(model));
}
END_TEST

START_TEST(answers_without_winograd_are_none_for_when_it_is_on) {
        _cleanup_(tuning_freep) struct tuning *tuning = new_tuning();
        struct plan_options options = {.batch = 1, .threads = 1, .tuning = tuning, .no_winograd = true};
        _cleanup_(model_freep) struct model *model = float_model();
        const struct tuner_options tuner = {.effort = TUNE_FAST};
        struct error error = ERROR_NONE;
        bool measured;
        size_t n;

        ck_assert_msg(tuner_run(model, &options, &tuner, &measured, &error) == 0, "%s", error.text);
        ck_assert(measured);
        n = tuning_n_answers(tuning);
        options.no_winograd = false;
        ck_assert_msg(tuner_run(model, &options, &tuner, &measured, &error) == 0, "%s", error.text);
        ck_assert(measured);
        ck_assert_uint_eq(tuning_n_answers(tuning), 2 * n);
}
END_TEST

START_TEST(a_tuner_that_is_told_to_stop_stops) {
        _cleanup_(tuning_freep) struct tuning *tuning = new_tuning();
        _cleanup_(model_freep) struct model *model = float_model();
        struct plan_options options = {.batch = 1, .threads = 1, .tuning = tuning};
        atomic_bool stop = true;
        const struct tuner_options tuner = {.effort = TUNE_FULL, .stop = &stop};
        struct error error = ERROR_NONE;
        bool measured;

        ck_assert_int_eq(tuner_run(model, &options, &tuner, &measured, &error), ERROR_INTERNAL);
        ck_assert_uint_eq(tuning_n_answers(tuning), 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("tuning");
        TCase *answers = tcase_create("answers"), *files = tcase_create("files"),
              *plans = tcase_create("plans");
        SRunner *runner = srunner_create(suite);
        int failed;

        tcase_add_test(answers, answers_are_found_and_replaced);
        tcase_add_test(answers, what_no_line_can_hold_is_left_out);
        tcase_add_checked_fixture(files, directory_make, directory_remove);
        tcase_add_test(files, a_file_brings_back_what_was_saved);
        tcase_add_test(files, a_foreign_or_damaged_file_adds_nothing);
        tcase_add_test(files, a_directory_that_cannot_be_made_is_an_error);
        tcase_set_timeout(plans, 300);
        tcase_add_test(plans, a_batch_divided_among_threads_gives_the_same_answers);
        tcase_add_test(plans, a_tuned_plan_gives_the_same_answers_and_is_tuned_once);
        tcase_add_test(plans, answers_without_winograd_are_none_for_when_it_is_on);
        tcase_add_test(plans, a_tuner_that_is_told_to_stop_stops);
        suite_add_tcase(suite, answers);
        suite_add_tcase(suite, files);
        suite_add_tcase(suite, plans);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed > 0;
}
