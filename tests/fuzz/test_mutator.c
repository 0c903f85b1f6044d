/* The mutator of fuzz_graph without libFuzzer: its files are still models, they differ, every operator of
 * the engine comes up in them, and the engine takes them all. The seeds are those of the fuzzer. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "engine/operator.h"
#include "onnx.pb-c.h"
#include "tests/fuzz/exercise.h"
#include "tests/fuzz/graph/mutator.h"

#define MODEL_MAX_BYTES ((size_t)64 << 10)
#define GENERATIONS     250u

static unsigned n_changes;
static size_t n_models, n_unchanged, n_crossed;
static bool *seen; /* operators */

static void count(const uint8_t *bytes, size_t size) {
        Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, size, bytes);

        ck_assert_msg(model && model->graph, "a mutated file is no model");
        for (size_t i = 0; i < model->graph->n_node; i++)
                for (size_t k = 0; k < operator_count(); k++)
                        if (model->graph->node[i]->op_type &&
                            strcmp(model->graph->node[i]->op_type, operator_at(k)->type) == 0)
                                seen[k] = true;
        onnx__model_proto__free_unpacked(model, NULL);
        n_models++;
}

static void mutate(const struct blob *seed, const struct blob *other) {
        uint8_t *bytes = malloc(MODEL_MAX_BYTES), *before = malloc(MODEL_MAX_BYTES);
        size_t size = seed->size;

        ck_assert(bytes && before && size <= MODEL_MAX_BYTES);
        memcpy(bytes, seed->bytes, size);
        for (unsigned i = 0; i < GENERATIONS; i++) {
                size_t changed;

                memcpy(before, bytes, size);
                changed = mutator_change(bytes, size, MODEL_MAX_BYTES, n_changes++);
                if (changed == 0) {
                        /* Too large, or what is deliberately too deep: from the beginning. */
                        memcpy(bytes, seed->bytes, size = seed->size);
                        continue;
                }
                n_unchanged += changed == size && memcmp(before, bytes, size) == 0;
                size = changed;
                count(bytes, size);
                exercise_model(bytes, size);
        }
        size = mutator_cross(seed->bytes, seed->size, other->bytes, other->size, bytes, MODEL_MAX_BYTES,
                             n_changes++);
        if (size > 0) {
                count(bytes, size);
                exercise_model(bytes, size);
                n_crossed++;
        }
        free(bytes);
        free(before);
}

START_TEST(mutated_models_are_models_of_all_operators) {
        const char *corpus = getenv("CORPUS");
        struct blob previous = BLOB_NONE;
        struct dirent **entries;
        int n;

        ck_assert(corpus != NULL);
        n = scandir(corpus, &entries, NULL, alphasort);
        ck_assert_int_gt(n, 2);
        seen = calloc(operator_count(), sizeof(*seen));
        ck_assert(seen != NULL);
        for (int i = 0; i < n; i++) {
                struct blob blob = BLOB_NONE;
                struct error error;
                char path[4096];

                snprintf(path, sizeof(path), "%s/%s", corpus, entries[i]->d_name);
                if (entries[i]->d_name[0] != '.' && blob_read(&blob, path, MODEL_MAX_BYTES, &error) == 0) {
                        if (previous.bytes)
                                mutate(&blob, &previous);
                        blob_release(&previous);
                        previous = blob;
                }
                free(entries[i]);
        }
        blob_release(&previous);
        free(entries);

        for (size_t i = 0; i < operator_count(); i++)
                ck_assert_msg(seen[i], "no %s in %zu models", operator_at(i)->type, n_models);
        ck_assert_msg(n_unchanged * 4 < n_models, "%zu of %zu are as before", n_unchanged, n_models);
        ck_assert_uint_gt(n_crossed, 0);
        free(seen);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("graph mutator");
        TCase *tcase = tcase_create("mutator");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(tcase, 300);
        tcase_add_test(tcase, mutated_models_are_models_of_all_operators);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed == 0 ? 0 : 1;
}
