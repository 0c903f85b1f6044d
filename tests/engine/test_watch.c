/* Values in the middle of a network: each file watched_NODE.npy of a folder of vectors/ is what ONNX Runtime
 * gives for that node; make_vectors.py made them. */
#include <check.h>
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "engine/model.h"
#include "engine/npy.h"
#include "engine/plan.h"

#define TOLERANCE 1e-5 /* of the largest reference value */
#define PREFIX    "watched_"

static glob_t references; /* paths, sorted, so that those of a folder stand together */

static void folder_of(char folder[4096], const char *path) {
        snprintf(folder, 4096, "%.*s", (int)(strrchr(path, '/') - path), path);
}

/* "conv_0" of ".../watched_conv_0.npy" */
static char *node_of(const char *path) {
        const char *name = strrchr(path, '/') + 1 + strlen(PREFIX);

        return strndup(name, strlen(name) - strlen(".npy"));
}

static struct npy npy_load(const char *path) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        struct error error = ERROR_NONE;
        struct npy npy = {0};

        ck_assert_msg(blob_read(&blob, path, (size_t)64 << 20, &error) == 0, "%s", error.text);
        ck_assert_msg(npy_parse(&npy, blob.bytes, blob.size, &error) == 0, "%s: %s", path, error.text);
        return npy;
}

static void compare(const char *path, const struct npy *reference, const size_t *dims, size_t rank,
                    const float *values) {
        double largest = 0, difference = 0;

        ck_assert_msg(rank == reference->rank && memcmp(dims, reference->dims, rank * sizeof(*dims)) == 0,
                      "%s: the shape differs", path);
        for (size_t i = 0; i < reference->n_values; i++) {
                double error = fabs((double)values[i] - (double)reference->values[i]);

                largest = fmax(largest, fabs((double)reference->values[i]));
                difference = error <= difference ? difference : error;
        }
        ck_assert_msg(difference <= TOLERANCE * largest, "%s: differs by %g of %g", path, difference,
                      largest);
}

/* Runs the network of paths' folder, watching the nodes of all of them at once. */
static void watch(char *const *paths, size_t n, unsigned threads, enum precision precision) {
        _cleanup_(npy_release) struct npy input = {0}, output_reference = {0};
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(run_freep) struct run *run = NULL;
        _cleanup_(freep) float *output = NULL;
        struct error error = ERROR_NONE;
        char folder[4096], path[8192];
        char *nodes[16];
        size_t dims[8];
        int r;

        ck_assert_uint_le(n, ARRAY_SIZE(nodes));
        folder_of(folder, paths[0]);
        for (size_t i = 0; i < n; i++)
                nodes[i] = node_of(paths[i]);
        r = model_open_with(
                &model, folder, NULL,
                &(struct model_options){
                        .precision = precision,
                        .watch = &(struct model_watch){.names = (const char *const *)nodes, .n = n}},
                &error);
        ck_assert_msg(r == 0, "%s", error.text);
        snprintf(path, sizeof(path), "%s/input.npy", folder);
        input = npy_load(path);
        r = plan_new(&plan, model, &(struct plan_options){.batch = input.dims[0], .threads = threads},
                     &error);
        ck_assert_msg(r == 0, "%s", error.text);
        r = run_new(&run, plan, &error);
        ck_assert_msg(r == 0, "%s", error.text);
        ck_assert_uint_eq(plan_n_watched(plan), n);
        output = calloc(plan_output_elements(plan), sizeof(*output));
        ck_assert(output != NULL);
        r = run_execute_tensor(run, input.values, output, &error);
        ck_assert_msg(r == 0, "%s", error.text);

        for (size_t i = 0; i < n; i++) {
                _cleanup_(npy_release) struct npy reference = npy_load(paths[i]);

                compare(paths[i], &reference, dims, plan_watched_shape(plan, i, dims), run_watched(run, i));
                free(nodes[i]);
        }
        snprintf(path, sizeof(path), "%s/output.npy", folder);
        output_reference = npy_load(path);
        compare(path, &output_reference, dims, plan_output_shape(plan, dims), output);
}

START_TEST(one_watched_value_equals_onnxruntime) {
        watch(&references.gl_pathv[_i], 1, 1, PRECISION_F32);
}
END_TEST

/* Integers are given as the file means them, without what is made of them inside. */
START_TEST(one_watched_value_of_a_network_in_integers_equals_onnxruntime) {
        if (strstr(references.gl_pathv[_i], "/quantised_"))
                watch(&references.gl_pathv[_i], 1, 1, PRECISION_INT8);
}
END_TEST

START_TEST(all_watched_values_equal_onnxruntime) {
        char folder[4096], other[4096];
        size_t first = (size_t)_i, n = 1;

        folder_of(folder, references.gl_pathv[first]);
        if (first > 0) {
                folder_of(other, references.gl_pathv[first - 1]);
                if (strcmp(folder, other) == 0)
                        return; /* the first of a folder stands for all */
        }
        for (; first + n < references.gl_pathc; n++) {
                folder_of(other, references.gl_pathv[first + n]);
                if (strcmp(folder, other) != 0)
                        break;
        }
        watch(&references.gl_pathv[first], n, 2, PRECISION_F32);
}
END_TEST

START_TEST(an_unknown_name_is_refused_with_the_nearest) {
        const char *names[] = {"conv_0", "batch_normalization_1"};
        struct error error = ERROR_NONE;
        struct model *model = NULL;
        char folder[4096];
        int r;

        snprintf(folder, sizeof(folder), "%s/vectors/watch_values_inside_fused_chains", VECTORS_DIRECTORY);
        r = model_open_with(&model, folder, NULL,
                            &(struct model_options){.watch = &(struct model_watch){.names = names, .n = 2}},
                            &error);
        ck_assert_int_eq(r, ERROR_NOT_FOUND);
        ck_assert_msg(strstr(error.text, "'batch_normalization_1'; the nearest: 'batchnormalization_1'"),
                      "%s", error.text);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("watched values");
        TCase *tcase = tcase_create("cases");
        SRunner *runner;
        int n_failed;

        if (glob(VECTORS_DIRECTORY "/vectors/*/" PREFIX "*.npy", 0, NULL, &references) != 0) {
                fprintf(stderr, "no " PREFIX "*.npy in " VECTORS_DIRECTORY "/vectors\n");
                return 1;
        }
        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, one_watched_value_equals_onnxruntime, 0, (int)references.gl_pathc);
        tcase_add_loop_test(tcase, one_watched_value_of_a_network_in_integers_equals_onnxruntime, 0,
                            (int)references.gl_pathc);
        tcase_add_loop_test(tcase, all_watched_values_equal_onnxruntime, 0, (int)references.gl_pathc);
        tcase_add_test(tcase, an_unknown_name_is_refused_with_the_nearest);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        globfree(&references);
        return n_failed > 0;
}
