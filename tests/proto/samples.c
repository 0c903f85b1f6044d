/* Prints what proto/ writes, one document a line after the name of its schema and a tab; check_contract.py
 * holds it against proto/openapi.json. `samples openapi` prints the embedded contract instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "proto/classify.h"
#include "proto/contract.h"
#include "proto/models.h"
#include "proto/repository.h"

/* text: by its place, because arguments are evaluated in any order. */
static void print(const char *schema, int r, char **text) {
        if (r < 0)
                abort();
        printf("%s\t%s\n", schema, *text);
        free(*text);
}

static void print_problems(void) {
        for (enum problem_type type = 0; type < PROBLEM_TYPE_MAX; type++) {
                struct problem problem;
                size_t size;
                char *text;

                problem_set(&problem, type, "what is wrong; what to change");
                problem.instance = type % 2 ? "r-1" : NULL;
                problem.has_protocol_error = type % 3 == 0;
                print("Problem", problem_to_json(&text, &size, &problem, NULL), &text);
        }
}

static void print_classification(void) {
        static const struct classify_prediction predictions[] = {
                {.class_id = 285, .label = "Egyptian cat", .probability = 0.6123f},
                {.class_id = 0, .label = NULL, .probability = 0x1p-149},
        };
        struct problem problem;
        struct classify_result results[] = {
                {.id = "0",
                 .filename = "\xFF\".jpg",
                 .width = 451,
                 .height = 300,
                 .predictions = predictions,
                 .n_predictions = 2},
                {.id = "1", .problem = &problem},
                {.id = "2", .filename = "", .width = 60000, .height = 60000, .problem = &problem},
        };
        struct classify_answer answer = {
                .id = "r-1",
                .model_name = "efficientnet-lite0",
                .model_version = "0123456789ab",
                .model_precision = "f32",
                .results = results,
                .n_results = ARRAY_SIZE(results),
                .latency = {.receive_ms = 0.2, .decode_ms = 1.9, .infer_ms = 11.8, .total_ms = 13.9},
                .batch_size = 1,
        };
        size_t size;
        char *text;

        problem_set(&problem, PROBLEM_IMAGE_LIMIT, "too many pixels");
        print("Classification", classify_answer_to_json(&text, &size, &answer, NULL), &text);
}

static void print_models(void) {
        static const char *const labels[] = {"cat", NULL};
        static const struct models_cost costs[] = {{.batch = 1, .threads = 1, .ms = 11.5}};
        struct models_entry entries[] = {
                {.name = "a",
                 .is_loaded = true,
                 .generation = 3,
                 .loaded_at = 1767225599,
                 .last_load = {.outcome = "failed", .at = 1767225600, .error = "not \xFF ONNX"},
                 .version = "0123456789ab",
                 .precision = "int8",
                 .precision_why = "fast",
                 .channels = 3,
                 .height = 1,
                 .width = 1,
                 .labels = labels,
                 .n_classes = 2,
                 .costs = costs,
                 .n_costs = 1},
                {.name = "b",
                 .is_loaded = true,
                 .generation = 1,
                 .last_load = {.outcome = "ok", .error = ""},
                 .version = "ba9876543210",
                 .precision = "f32",
                 .precision_why = "asked for",
                 .channels = 3,
                 .height = 1,
                 .width = 1,
                 .n_classes = 2},
                {.name = "c", .generation = 1, .last_load = {.outcome = "rejected", .error = "golden"}},
                {.name = "d",
                 .is_loading = true,
                 .generation = 2,
                 .last_load = {.outcome = "ok", .error = ""}},
        };
        size_t size;
        char *text;

        for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
                print(entries[i].is_loaded ? "Model" : "UnloadedModel",
                      models_entry_to_json(&text, &size, &entries[i], NULL), &text);
        print("ModelList", models_list_to_json(&text, &size, entries, ARRAY_SIZE(entries), NULL), &text);
}

static void print_repository(void) {
        static const struct repository_entry entries[] = {
                {.name = "a", .version = "0123456789ab", .state = REPOSITORY_READY, .reason = ""},
                {.name = "b\xFF", .state = REPOSITORY_LOADING, .reason = ""},
                {.name = "c", .state = REPOSITORY_UNAVAILABLE, .reason = "unloaded"},
        };
        size_t size;
        char *text;

        for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
                print("RepositoryEntry", repository_entry_to_json(&text, &size, &entries[i], NULL), &text);
        print("RepositoryIndex", repository_index_to_json(&text, &size, entries, ARRAY_SIZE(entries), NULL),
              &text);
}

int main(int argc, char **argv) {
        if (argc > 1 && strcmp(argv[1], "openapi") == 0) {
                struct blob blob = contract_openapi();

                return fwrite(blob.bytes, 1, blob.size, stdout) == blob.size ? 0 : 1;
        }
        print_problems();
        print_classification();
        print_models();
        print_repository();
        return 0;
}
