/* Request parameters and the answer of POST /v1/classify. */
#include "proto/classify.h"

#include <math.h>

#include "tests/proto/suite.h"

static int params_of(struct classify_params *ret_params, const char *text, struct error *error) {
        _cleanup_(query_freep) struct query *query = NULL;

        ck_assert_int_eq(query_parse(&query, text, strlen(text), NULL), 0);
        return classify_params_parse(ret_params, query, error);
}

START_TEST(params_have_defaults) {
        struct classify_params params;

        ck_assert_int_eq(params_of(&params, "", NULL), 0);
        ck_assert_uint_eq(params.top_k, CLASSIFY_TOP_K_DEFAULT);
        ck_assert_uint_eq(params.timeout_ms, 0);
        ck_assert_str_eq(params.model, "");
}
END_TEST

START_TEST(params_are_read) {
        struct classify_params params;

        ck_assert_int_eq(params_of(&params, "model=resnet+50%2Fb&top_k=1000&timeout_ms=600000", NULL), 0);
        ck_assert_uint_eq(params.top_k, 1000);
        ck_assert_uint_eq(params.timeout_ms, 600000);
        ck_assert_str_eq(params.model, "resnet 50/b");
        ck_assert_int_eq(params_of(&params, "top_k=1&timeout_ms=1", NULL), 0);
        ck_assert_uint_eq(params.top_k, 1);
        ck_assert_uint_eq(params.timeout_ms, 1);
}
END_TEST

START_TEST(params_bad_ones_say_what_to_change) {
        static const struct {
                const char *query, *text;
        } bad[] = {
                {"top_k=abc", "top_k is 'abc'; give a whole number from 1 to 1000"},
                {"top_k=0", "top_k is '0'; give a whole number from 1 to 1000"},
                {"top_k=-1", "top_k is '-1'; give"},
                {"top_k=+1", "top_k is ' 1'; give"},
                {"top_k=99999", "top_k is '99999'; give"},
                {"top_k=1001", "top_k is '1001'; give"},
                {"top_k=18446744073709551617", "top_k is '18446744073709551617'; give"},
                {"top_k=5.0", "top_k is '5.0'; give"},
                {"top_k=0x5", "top_k is '0x5'; give"},
                {"top_k=", "top_k is ''; give"},
                {"top_k", "top_k is ''; give"},
                {"top_k=5&top_k=5", "top_k is given more than once"},
                {"timeout_ms=0", "timeout_ms is '0'; give a whole number of milliseconds from 1 to 600000"},
                {"timeout_ms=600001", "timeout_ms is '600001'; give"},
                {"timeout_ms=1s", "timeout_ms is '1s'; give"},
                {"model=", "model is empty; give a name that GET /v1/models lists"},
                {"topk=5", "unknown parameter 'topk'; the known ones are top_k, model and timeout_ms"},
                {"TOP_K=5", "unknown parameter 'TOP_K'"},
                {"=5", "unknown parameter ''"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct classify_params params = {.top_k = 77};
                struct error error;

                ck_assert_error(params_of(&params, bad[i].query, &error), ERROR_INVALID, error, bad[i].text);
                ck_assert_uint_eq(params.top_k, 77);
        }
}
END_TEST

START_TEST(params_long_values_are_bounded) {
        struct classify_params params;
        char text[300] = "model=";
        struct error error;

        memset(text + 6, 'm', CLASSIFY_MODEL_NAME_MAX);
        ck_assert_int_eq(params_of(&params, text, NULL), 0);
        ck_assert_uint_eq(strlen(params.model), CLASSIFY_MODEL_NAME_MAX);
        text[6 + CLASSIFY_MODEL_NAME_MAX] = 'm';
        ck_assert_error(params_of(&params, text, &error), ERROR_INVALID, error,
                        "129 bytes, the limit is 128");

        memcpy(text, "top_k=", 6);
        ck_assert_int_eq(params_of(&params, text, &error), ERROR_INVALID);
        ck_assert_uint_lt(strlen(error.text), 150);
}
END_TEST

static const struct classify_prediction cat[] = {
        {.class_id = 285, .label = "Egyptian cat", .probability = 0.6123f},
        {.class_id = 999, .label = NULL, .probability = 0.25f},
};

static struct classify_answer answer_of(const struct classify_result *results, size_t n_results) {
        return (struct classify_answer){
                .id = "r1",
                .model_name = "m",
                .model_version = "3f2a90c41b7e",
                .model_precision = "f32",
                .results = results,
                .n_results = n_results,
                .latency = {.receive_ms = 0.2,
                            .decode_ms = 1.9004,
                            .queue_ms = 0.0004,
                            .infer_ms = 11.87654321,
                            .total_ms = 14},
                .batch_size = 2,
        };
}

START_TEST(answer_is_that_of_the_design) {
        struct problem problem = {.type = PROBLEM_BROKEN_IMAGE, .detail = "send the whole file"};
        struct classify_result results[] = {
                {.id = "0",
                 .filename = "cat.jpg",
                 .width = 451,
                 .height = 300,
                 .predictions = cat,
                 .n_predictions = 2},
                {.id = "1", .problem = &problem},
        };
        struct classify_answer answer = answer_of(results, 2);
        _cleanup_(freep) char *text = NULL;
        size_t size;

        ck_assert_int_eq(classify_answer_to_json(&text, &size, &answer, NULL), 0);
        ck_assert_str_eq(
                text,
                "{\"id\":\"r1\",\"model\":{\"name\":\"m\",\"version\":\"3f2a90c41b7e\",\"precision\":"
                "\"f32\"},\"results\":["
                "{\"id\":\"0\",\"filename\":\"cat.jpg\",\"width\":451,\"height\":300,\"predictions\":["
                "{\"class_id\":285,\"label\":\"Egyptian cat\",\"probability\":0.6123},"
                "{\"class_id\":999,\"probability\":0.25}]},"
                "{\"id\":\"1\",\"error\":{\"type\":\"urn:saccade:problem:broken-image\",\"title\":\"Broken "
                "image\","
                "\"status\":422,\"detail\":\"send the whole file\"}}],"
                "\"latency_ms\":{\"receive\":0.2,\"decode\":1.9,\"queue\":0,\"infer\":11.877,\"total\":14},"
                "\"batch_size\":2}");
        ck_assert_uint_eq(size, strlen(text));
}
END_TEST

START_TEST(answer_results_stand_alone) {
        struct classify_result result = {.id = "0", .predictions = cat, .n_predictions = 1};
        _cleanup_(freep) char *text = NULL;
        size_t size;

        ck_assert_int_eq(classify_results_to_json(&text, &size, &result, 1, NULL), 0);
        ck_assert_str_eq(
                text, "{\"results\":[{\"id\":\"0\",\"predictions\":[{\"class_id\":285,\"label\":\"Egyptian "
                      "cat\",\"probability\":0.6123}]}]}");
}
END_TEST

/* The text of one probability, as the JSON has it. */
static void probability_text(char *ret_text, size_t size, float value) {
        struct classify_prediction prediction = {.probability = (double)value};
        struct classify_result result = {.id = "0", .predictions = &prediction, .n_predictions = 1};
        _cleanup_(freep) char *text = NULL;
        size_t text_size;
        const char *number;

        ck_assert_int_eq(classify_results_to_json(&text, &text_size, &result, 1, NULL), 0);
        number = strstr(text, "\"probability\":");
        ck_assert_ptr_nonnull(number);
        number += strlen("\"probability\":");
        snprintf(ret_text, size, "%.*s", (int)strcspn(number, "}"), number);
}

START_TEST(answer_probabilities_read_back_and_are_short) {
        static const struct {
                float value;
                const char *text;
        } known[] = {
                {0.f, "0"},
                {1.f, "1"},
                {0.1f, "0.1"},
                {0.6123f, "0.6123"},
                {1.f / 3, "0.33333334"},
                {0x1p-149f, "1.4013e-45"},
                {0.99999994f, "0.99999994"},
                {1e-10f, "1e-10"},
        };
        unsigned bits = 12345;
        char text[64];

        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
                probability_text(text, sizeof(text), known[i].value);
                ck_assert_str_eq(text, known[i].text);
        }
        for (size_t i = 0; i < 20000; i++) {
                union {
                        unsigned bits;
                        float value;
                } any;

                /* Numerical Recipes' quick generator, folded to floats of 0 to 1. */
                bits = bits * 1664525u + 1013904223u;
                any.bits = bits % 0x3F800001u;
                probability_text(text, sizeof(text), any.value);
                ck_assert_msg(strtof(text, NULL) == any.value, "%s is not %.9g", text, (double)any.value);
                ck_assert_uint_le(strlen(text), 15);
        }
}
END_TEST

START_TEST(answer_with_nan_is_an_error_that_names_the_class) {
        struct classify_prediction prediction = {.class_id = 17, .probability = NAN};
        struct classify_result result = {.id = "0", .predictions = &prediction, .n_predictions = 1};
        struct classify_answer answer = answer_of(&result, 1);
        struct error error;
        char *text = NULL;
        size_t size;

        ck_assert_error(classify_answer_to_json(&text, &size, &answer, &error), ERROR_INTERNAL, error,
                        "class 17");
        prediction.probability = INFINITY;
        ck_assert_error(classify_results_to_json(&text, &size, &result, 1, &error), ERROR_INTERNAL, error,
                        "inf");
        ck_assert_ptr_null(text);
}
END_TEST

START_TEST(answer_durations_that_are_none_are_zero) {
        struct classify_result result = {.id = "0", .predictions = cat, .n_predictions = 1};
        struct classify_answer answer = answer_of(&result, 1);
        _cleanup_(freep) char *text = NULL;
        size_t size;

        answer.latency = (struct classify_latency){.receive_ms = -1,
                                                   .decode_ms = NAN,
                                                   .queue_ms = INFINITY,
                                                   .infer_ms = 0.0625,
                                                   .total_ms = 123456.789};
        ck_assert_int_eq(classify_answer_to_json(&text, &size, &answer, NULL), 0);
        ck_assert_ptr_nonnull(strstr(
                text, "\"latency_ms\":{\"receive\":0,\"decode\":0,\"queue\":0,\"infer\":0.063,\"total\":"
                      "123456.789}"));
}
END_TEST

START_TEST(answer_filenames_of_any_bytes_are_json) {
        char name[256];

        for (unsigned i = 1; i < 256; i++)
                name[i - 1] = (char)i;
        name[255] = 0;
        for (size_t start = 0; start < 255; start++) {
                struct classify_result result = {
                        .id = "0", .filename = name + start, .predictions = cat, .n_predictions = 1};
                _cleanup_(json_treep) cJSON *tree = NULL;
                _cleanup_(freep) char *text = NULL;
                size_t size;

                ck_assert_int_eq(classify_results_to_json(&text, &size, &result, 1, NULL), 0);
                tree = json_check(text, size);
        }
}
END_TEST

/* Memory that runs out at the nth allocation. */
static size_t allocations_left, allocations_live;

static void *failing_malloc(size_t size) {
        if (allocations_left == 0)
                return NULL;
        allocations_left--;
        allocations_live++;
        return malloc(size);
}

static void counting_free(void *p) {
        if (p)
                allocations_live--;
        free(p);
}

START_TEST(answer_survives_every_failed_allocation) {
        struct problem problem = {.type = PROBLEM_BROKEN_IMAGE, .detail = "x"};
        struct classify_result results[] = {
                {.id = "0",
                 .filename = "cat.jpg",
                 .width = 451,
                 .height = 300,
                 .predictions = cat,
                 .n_predictions = 2},
                {.id = "1", .problem = &problem},
        };
        struct classify_answer answer = answer_of(results, 2);
        int r = ERROR_NO_MEMORY;
        size_t n_failed = 0;

        cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = failing_malloc, .free_fn = counting_free});
        for (size_t n = 0; r < 0; n++) {
                struct error error = ERROR_NONE;
                char *text = NULL;
                size_t size = 0;

                allocations_left = n;
                r = classify_answer_to_json(&text, &size, &answer, &error);
                if (r < 0) {
                        ck_assert_int_eq(r, ERROR_NO_MEMORY);
                        ck_assert_int_eq(error.code, ERROR_NO_MEMORY);
                        ck_assert_ptr_null(text);
                        n_failed++;
                } else
                        counting_free(text);
                ck_assert_uint_eq(allocations_live, 0);
        }
        cJSON_InitHooks(NULL);
        ck_assert_uint_gt(n_failed, 40);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("classify");

        tcase_add_test(tests, params_have_defaults);
        tcase_add_test(tests, params_are_read);
        tcase_add_test(tests, params_bad_ones_say_what_to_change);
        tcase_add_test(tests, params_long_values_are_bounded);
        tcase_add_test(tests, answer_is_that_of_the_design);
        tcase_add_test(tests, answer_results_stand_alone);
        tcase_add_test(tests, answer_probabilities_read_back_and_are_short);
        tcase_add_test(tests, answer_with_nan_is_an_error_that_names_the_class);
        tcase_add_test(tests, answer_durations_that_are_none_are_zero);
        tcase_add_test(tests, answer_filenames_of_any_bytes_are_json);
        tcase_add_test(tests, answer_survives_every_failed_allocation);
        return suite_run(tests);
}
