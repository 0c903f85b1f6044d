/* Every folder of vectors/ is a small network with an input and what ONNX Runtime answered; make_vectors.py
 * made them. Every file of vectors_bad/ must be refused with a text that has the words of expected.tsv. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "base/macros.h"
#include "engine/model.h"
#include "engine/npy.h"
#include "engine/plan.h"

#define TOLERANCE 1e-5 /* of the largest reference value */
#define CASES_MAX 1000u

static char *cases[CASES_MAX];
static size_t n_cases;

static int by_name(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Fills cases with the names in VECTORS_DIRECTORY/folder; before check runs, so without its assertions. */
static void cases_list(const char *folder) {
        char path[4096];
        struct dirent *entry;
        DIR *directory;

        snprintf(path, sizeof(path), "%s/%s", VECTORS_DIRECTORY, folder);
        directory = opendir(path);
        if (!directory) {
                perror(path);
                exit(1);
        }
        while ((entry = readdir(directory)) && n_cases < CASES_MAX)
                if (entry->d_name[0] != '.' && (cases[n_cases] = strdup(entry->d_name)))
                        n_cases++;
        closedir(directory);
        /* A suite without cases would count as skipped. */
        if (n_cases == 0) {
                fprintf(stderr, "%s: empty\n", path);
                exit(1);
        }
        qsort(cases, n_cases, sizeof(*cases), by_name);
}

static struct npy npy_load(const char *directory, const char *file) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        struct error error = ERROR_NONE;
        struct npy npy = {0};
        char path[4096];

        snprintf(path, sizeof(path), "%s/%s", directory, file);
        ck_assert_msg(blob_read(&blob, path, (size_t)64 << 20, &error) == 0, "%s", error.text);
        ck_assert_msg(npy_parse(&npy, blob.bytes, blob.size, &error) == 0, "%s: %s", path, error.text);
        return npy;
}

static void compare(const char *name, const struct npy *reference, const struct plan *plan,
                    const float *output) {
        size_t dims[8], rank = plan_output_shape(plan, dims);
        double largest = 0, difference = 0;

        ck_assert_msg(rank == reference->rank && memcmp(dims, reference->dims, rank * sizeof(*dims)) == 0,
                      "%s: the output's shape differs", name);
        for (size_t i = 0; i < reference->n_values; i++) {
                double error = fabs((double)output[i] - (double)reference->values[i]);

                largest = fmax(largest, fabs((double)reference->values[i]));
                /* NaN must not pass for a small difference. */
                difference = error <= difference ? difference : error;
        }
        ck_assert_msg(difference <= TOLERANCE * largest, "%s: differs by %g of %g", name, difference,
                      largest);
}

static void run_case(const char *name, unsigned threads, enum precision precision) {
        _cleanup_(npy_release) struct npy input = {0}, reference = {0};
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(plan_freep) struct plan *plan = NULL, *other = NULL;
        _cleanup_(run_freep) struct run *run = NULL;
        _cleanup_(freep) float *output = NULL;
        struct plan_options options = {.threads = threads};
        struct error error = ERROR_NONE;
        char directory[4096];
        int r;

        snprintf(directory, sizeof(directory), "%s/vectors/%s", VECTORS_DIRECTORY, name);
        input = npy_load(directory, "input.npy");
        reference = npy_load(directory, "output.npy");
        r = model_open_with(&model, directory, NULL, &(struct model_options){.precision = precision},
                            &error);
        ck_assert_msg(r == 0, "%s", error.text);
        options.height = input.dims[model_input(model).channels_last ? 1 : 2];
        options.width = input.dims[model_input(model).channels_last ? 2 : 3];
        /* A plan of another batch, where the model allows one: what it leaves behind must not show. */
        options.batch = input.dims[0] + 1;
        if (plan_new(&other, model, &options, NULL) == 0)
                plan_free(steal_ptr(&other));
        options.batch = input.dims[0];
        r = plan_new(&plan, model, &options, &error);
        ck_assert_msg(r == 0, "%s: %s", name, error.text);
        r = run_new(&run, plan, &error);
        ck_assert_msg(r == 0, "%s: %s", name, error.text);
        ck_assert_msg(plan_output_elements(plan) == reference.n_values, "%s: %zu values instead of %zu",
                      name, plan_output_elements(plan), reference.n_values);
        ck_assert_msg(plan_arena_bytes(plan) >= plan_arena_bound_bytes(plan),
                      "%s: the arena is below its bound", name);
        output = calloc(reference.n_values + 1, sizeof(*output));
        ck_assert(output != NULL);

        /* Twice: what the first run left in the arena must not show in the second. */
        for (int i = 0; i < 2; i++) {
                memset(output, 0xff, reference.n_values * sizeof(*output));
                r = run_execute_tensor(run, input.values, output, &error);
                ck_assert_msg(r == 0, "%s: %s", name, error.text);
                compare(name, &reference, plan, output);
        }
}

/* Not PRECISION_AUTO, which would round what goes through a file of bfloat16 weights. */
START_TEST(matches_onnxruntime_with_one_thread) {
        run_case(cases[_i], 1, PRECISION_F32);
}
END_TEST

START_TEST(matches_onnxruntime_with_two_threads) {
        run_case(cases[_i], 2, PRECISION_F32);
}
END_TEST

static bool is_quantised(const char *name) {
        return strncmp(name, "quantised_", strlen("quantised_")) == 0;
}

START_TEST(matches_onnxruntime_in_integers) {
        if (is_quantised(cases[_i]))
                run_case(cases[_i], 1, PRECISION_INT8);
}
END_TEST

/* How far the file gets when it is opened with precision. */
static int open_and_plan(const char *path, enum precision precision, struct error *error) {
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(plan_freep) struct plan *plan = NULL;
        int r;

        r = model_open_with(&model, path, NULL, &(struct model_options){.precision = precision}, error);
        /* Some facts show only when kernels are made. */
        return r < 0 ? r : plan_new(&plan, model, &(struct plan_options){.batch = 1, .threads = 1}, error);
}

START_TEST(bad_model_is_refused_and_named) {
        static const enum precision precisions[] = {PRECISION_AUTO, PRECISION_F32, PRECISION_INT8};
        char path[4096], fragment[512] = "", line[1024];
        FILE *expected;

        if (!strstr(cases[_i], ".onnx"))
                return;
        snprintf(path, sizeof(path), "%s/vectors_bad/expected.tsv", VECTORS_DIRECTORY);
        expected = fopen(path, "re");
        ck_assert(expected != NULL);
        while (fgets(line, sizeof(line), expected)) {
                char *tab = strchr(line, '\t');

                if (tab && (size_t)(tab - line) == strlen(cases[_i]) &&
                    strncmp(line, cases[_i], (size_t)(tab - line)) == 0)
                        sscanf(tab + 1, "%511[^\n]", fragment);
        }
        fclose(expected);
        ck_assert_msg(fragment[0], "%s is not in expected.tsv", cases[_i]);

        snprintf(path, sizeof(path), "%s/vectors_bad/%s", VECTORS_DIRECTORY, cases[_i]);
        for (size_t i = 0; i < ARRAY_SIZE(precisions); i++) {
                struct error error = ERROR_NONE;

                /* Of other files that would be the first complaint. */
                if (precisions[i] == PRECISION_INT8 && !is_quantised(cases[_i]))
                        continue;
                ck_assert_msg(open_and_plan(path, precisions[i], &error) < 0, "%s was accepted", cases[_i]);
                ck_assert_msg(strstr(error.text, fragment), "%s: '%s' does not say '%s'", cases[_i],
                              error.text, fragment);
        }
}
END_TEST

int main(int argc, char **argv) {
        bool bad = argc > 1 && strcmp(argv[1], "bad") == 0;
        Suite *suite = suite_create(bad ? "bad models" : "engine vectors");
        TCase *tcase = tcase_create("cases");
        SRunner *runner;
        int n_failed;

        cases_list(bad ? "vectors_bad" : "vectors");
        tcase_set_timeout(tcase, 0);
        if (bad) {
                tcase_add_loop_test(tcase, bad_model_is_refused_and_named, 0, (int)n_cases);
        } else {
                tcase_add_loop_test(tcase, matches_onnxruntime_with_one_thread, 0, (int)n_cases);
                tcase_add_loop_test(tcase, matches_onnxruntime_with_two_threads, 0, (int)n_cases);
                tcase_add_loop_test(tcase, matches_onnxruntime_in_integers, 0, (int)n_cases);
        }
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        for (size_t i = 0; i < n_cases; i++)
                free(cases[i]);
        return n_failed > 0;
}
