/* What clients say to load and unload models, and what they are told. */
#include "proto/repository.h"

#include "tests/proto/suite.h"

/* The three parsers by one name. */
static int parse_index(const char *text, struct error *error) {
        bool ready_only;

        return repository_index_parse(&ready_only, text, strlen(text), error);
}

static int parse_load(const char *text, struct error *error) {
        return repository_load_parse(text, strlen(text), error);
}

static int parse_unload(const char *text, struct error *error) {
        return repository_unload_parse(text, strlen(text), error);
}

static int (*const parsers[])(const char *text, struct error *error) = {parse_index, parse_load,
                                                                        parse_unload};

START_TEST(repository_bodies_may_be_empty_or_an_object) {
        static const char *const good[] = {"", "{}", " {} \r\n", "{\"parameters\":{}}", "{\"other\":1}"};
        static const char *const bad[] = {" ", "[]", "null", "{", "{} {}", "{}x", "\"\"", "{\"a\":}"};
        struct error error;

        for (size_t p = 0; p < ARRAY_SIZE(parsers); p++) {
                for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                        ck_assert_msg(parsers[p](good[i], NULL) == 0, "%zu: %s", p, good[i]);
                for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                        ck_assert_error(parsers[p](bad[i], &error), ERROR_INVALID, error, "JSON object");
        }
}
END_TEST

START_TEST(repository_body_is_bounded) {
        _cleanup_(freep) char *text = malloc(REPOSITORY_MAX_BODY_BYTES + 1);
        struct error error;

        memset(text, ' ', REPOSITORY_MAX_BODY_BYTES + 1);
        memcpy(text, "{}", 2);
        ck_assert_int_eq(repository_load_parse(text, REPOSITORY_MAX_BODY_BYTES, NULL), 0);
        ck_assert_error(repository_load_parse(text, REPOSITORY_MAX_BODY_BYTES + 1, &error), ERROR_LIMIT,
                        error, "65536");
}
END_TEST

START_TEST(repository_index_may_be_of_ready_models_only) {
        static const struct {
                const char *text;
                bool ready_only;
        } cases[] = {{"", false}, {"{}", false}, {"{\"ready\":false}", false}, {"{\"ready\":true}", true}};
        struct error error;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                bool ready_only = !cases[i].ready_only;

                ck_assert_int_eq(
                        repository_index_parse(&ready_only, cases[i].text, strlen(cases[i].text), NULL), 0);
                ck_assert(ready_only == cases[i].ready_only);
        }
        ck_assert_error(parse_index("{\"ready\":1}", &error), ERROR_INVALID, error, "\"ready\"");
}
END_TEST

START_TEST(repository_parameters_that_would_be_ignored_are_refused) {
        struct error error;

        ck_assert_int_eq(parse_unload("{\"parameters\":{\"unload_dependents\":true}}", NULL), 0);
        ck_assert_error(parse_unload("{\"parameters\":{\"unload_dependents\":\"x\"}}", &error),
                        ERROR_INVALID, error, "true or false");
        ck_assert_error(parse_load("{\"parameters\":{\"unload_dependents\":true}}", &error),
                        ERROR_UNSUPPORTED, error, "\"unload_dependents\" is not supported");
        ck_assert_error(parse_load("{\"parameters\":{\"config\":\"{}\"}}", &error), ERROR_UNSUPPORTED, error,
                        "\"config\" is not supported");
        ck_assert_error(parse_load("{\"parameters\":[]}", &error), ERROR_INVALID, error, "object");
}
END_TEST

START_TEST(repository_paths_are_a_name_and_a_verb) {
        static const struct {
                const char *path;
                size_t name_bytes;
                enum repository_verb verb;
        } good[] = {{"m/load", 1, REPOSITORY_LOAD},
                    {"m.1-2_3/unload", 7, REPOSITORY_UNLOAD},
                    {"load/load", 4, REPOSITORY_LOAD},
                    {"a/b/load", 3, REPOSITORY_LOAD}};
        static const char *const bad[] = {"", "m", "m/", "/load", "load", "m/loads", "m/load/", "m/LOAD"};
        enum repository_verb verb;
        size_t n;

        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                ck_assert_msg(repository_path_parse(good[i].path, &n, &verb), "%s", good[i].path);
                ck_assert_uint_eq(n, good[i].name_bytes);
                ck_assert_int_eq(verb, good[i].verb);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                ck_assert_msg(!repository_path_parse(bad[i], &n, &verb), "%s", bad[i]);
}
END_TEST

START_TEST(repository_index_is_what_the_protocol_says) {
        static const struct repository_entry entries[] = {
                {.name = "a", .version = "0123456789ab", .state = REPOSITORY_READY, .reason = ""},
                {.name = "b", .state = REPOSITORY_LOADING, .reason = ""},
                {.name = "c", .state = REPOSITORY_UNAVAILABLE, .reason = "unloaded"},
        };
        _cleanup_(freep) char *all = NULL, *one = NULL, *none = NULL;
        size_t size;

        ck_assert_int_eq(repository_index_to_json(&all, &size, entries, 3, NULL), 0);
        ck_assert_str_eq(
                all, "[{\"name\":\"a\",\"version\":\"0123456789ab\",\"state\":\"READY\",\"reason\":\"\"},"
                     "{\"name\":\"b\",\"state\":\"LOADING\",\"reason\":\"\"},"
                     "{\"name\":\"c\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"}]");
        ck_assert_int_eq(repository_index_to_json(&none, &size, entries, 0, NULL), 0);
        ck_assert_str_eq(none, "[]");
        ck_assert_int_eq(repository_entry_to_json(&one, &size, &entries[2], NULL), 0);
        ck_assert_str_eq(one, "{\"name\":\"c\",\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"}");
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("repository");

        tcase_add_test(tests, repository_bodies_may_be_empty_or_an_object);
        tcase_add_test(tests, repository_body_is_bounded);
        tcase_add_test(tests, repository_index_may_be_of_ready_models_only);
        tcase_add_test(tests, repository_parameters_that_would_be_ignored_are_refused);
        tcase_add_test(tests, repository_paths_are_a_name_and_a_verb);
        tcase_add_test(tests, repository_index_is_what_the_protocol_says);
        return suite_run(tests);
}
