/* The answers of GET /v1/models and /v1/models/{name}. */
#include "proto/models.h"

#include "tests/proto/suite.h"

static const char *const labels[] = {"cat", NULL, "d\xFFg"};
static const struct models_cost costs[] = {{.batch = 1, .threads = 2, .ms = 6.52},
                                           {.batch = 8, .threads = 1, .ms = 91.00049}};

static const struct models_entry entry = {
        .name = "pets",
        .is_loaded = true,
        .generation = 2,
        .loaded_at = 951782400, /* a leap day */
        .last_load = {.outcome = "failed", .at = 951868799, .error = "no ONNX"},
        .version = "90ac11d2ef05",
        .precision = "f32",
        .precision_why = "asked for",
        .channels = 3,
        .height = 224,
        .width = 192,
        .labels = labels,
        .n_classes = 3,
        .costs = costs,
        .n_costs = 2,
};

#define STATE                                                                                               \
        "\"generation\":2,\"loaded_at\":\"2000-02-29T00:00:00Z\",\"last_load\":{\"outcome\":\"failed\","    \
        "\"at\":"                                                                                           \
        "\"2000-02-29T23:59:59Z\",\"error\":\"no ONNX\"},"
#define HEAD                                                                                                \
        "{\"name\":\"pets\",\"state\":\"ready\"," STATE                                                     \
        "\"version\":\"90ac11d2ef05\",\"precision\":\"f32\",\"precision_why\":\"asked "                     \
        "for\",\"input\":{\"channels\":3,\"height\":224,\"width\":192},\"n_classes\":3,"
#define COSTS                                                                                               \
        "\"cost_table\":[{\"batch\":1,\"threads\":2,\"ms\":6.52},{\"batch\":8,\"threads\":1,\"ms\":91}]}"

START_TEST(models_entry_has_labels) {
        _cleanup_(freep) char *text = NULL;
        size_t size;

        ck_assert_int_eq(models_entry_to_json(&text, &size, &entry, NULL), 0);
        ck_assert_str_eq(text, HEAD "\"labels\":[\"cat\",null,\"d\xEF\xBF\xBDg\"]," COSTS);
        ck_assert_uint_eq(size, strlen(text));
}
END_TEST

START_TEST(models_without_labels_have_no_member_for_them) {
        struct models_entry bare = entry;
        _cleanup_(freep) char *text = NULL;
        size_t size;

        bare.labels = NULL;
        ck_assert_int_eq(models_entry_to_json(&text, &size, &bare, NULL), 0);
        ck_assert_str_eq(text, HEAD COSTS);
}
END_TEST

START_TEST(models_list_keeps_the_order_and_leaves_labels_out) {
        struct models_entry entries[] = {entry, entry};
        _cleanup_(freep) char *text = NULL;
        size_t size;

        ck_assert_int_eq(models_list_to_json(&text, &size, entries, 2, NULL), 0);
        ck_assert_str_eq(text, "{\"models\":[" HEAD COSTS "," HEAD COSTS "]}");
}
END_TEST

START_TEST(models_that_are_not_loaded_have_a_state_only) {
        struct models_entry bare = entry;
        _cleanup_(freep) char *unloaded = NULL, *loading = NULL;
        size_t size;

        bare.is_loaded = false;
        bare.last_load.error = "";
        ck_assert_int_eq(models_entry_to_json(&unloaded, &size, &bare, NULL), 0);
        ck_assert_str_eq(unloaded,
                         "{\"name\":\"pets\",\"state\":\"unloaded\",\"generation\":2,"
                         "\"last_load\":{\"outcome\":\"failed\",\"at\":\"2000-02-29T23:59:59Z\"}}");
        bare.is_loading = true;
        bare.last_load.outcome = NULL;
        ck_assert_int_eq(models_entry_to_json(&loading, &size, &bare, NULL), 0);
        ck_assert_str_eq(loading, "{\"name\":\"pets\",\"state\":\"loading\",\"generation\":2}");
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("models");

        tcase_add_test(tests, models_entry_has_labels);
        tcase_add_test(tests, models_without_labels_have_no_member_for_them);
        tcase_add_test(tests, models_list_keeps_the_order_and_leaves_labels_out);
        tcase_add_test(tests, models_that_are_not_loaded_have_a_state_only);
        return suite_run(tests);
}
