/* Problems as RFC 9457 has them. */
#include "proto/problem.h"

#include "tests/proto/suite.h"

START_TEST(problem_has_the_members_of_rfc9457) {
        _cleanup_(freep) char *text = NULL;
        struct problem problem;
        size_t size;

        problem_set(&problem, PROBLEM_MALFORMED, "top_k is '%s'", "abc");
        problem.instance = "request-1";
        ck_assert_int_eq(problem_to_json(&text, &size, &problem, NULL), 0);
        ck_assert_str_eq(
                text, "{\"type\":\"urn:saccade:problem:malformed-request\",\"title\":\"Malformed request\","
                      "\"status\":400,\"detail\":\"top_k is 'abc'\",\"instance\":\"request-1\"}");
        ck_assert_uint_eq(size, strlen(text));
}
END_TEST

START_TEST(problem_of_the_protocol_has_its_error_too) {
        _cleanup_(freep) char *text = NULL;
        struct problem problem;
        size_t size;

        problem_set(&problem, PROBLEM_MODEL_NOT_LOADED, "half \"written\"");
        problem.has_protocol_error = true;
        ck_assert_int_eq(problem_to_json(&text, &size, &problem, NULL), 0);
        ck_assert_str_eq(text,
                         "{\"type\":\"urn:saccade:problem:model-not-loaded\",\"title\":\"Model not "
                         "loaded\",\"status\":400,\"detail\":\"half \\\"written\\\"\",\"error\":\"half "
                         "\\\"written\\\"\"}");
}
END_TEST

START_TEST(problem_statuses_are_those_of_the_contract) {
        static const int statuses[] = {400, 400, 401, 404, 405, 408, 413, 415,
                                       422, 422, 429, 431, 500, 503, 504};

        ck_assert_uint_eq(ARRAY_SIZE(statuses), PROBLEM_TYPE_MAX);
        for (enum problem_type type = 0; type < PROBLEM_TYPE_MAX; type++) {
                ck_assert_int_eq(problem_status(type), statuses[type]);
                ck_assert_uint_gt(strlen(problem_title(type)), 0);
                for (enum problem_type other = 0; other < type; other++)
                        ck_assert_str_ne(problem_slug(type), problem_slug(other));
        }
        ck_assert_int_eq(problem_status(PROBLEM_TYPE_MAX), 500);
}
END_TEST

START_TEST(problem_long_detail_is_cut_between_characters) {
        char long_text[2048];

        /* Every alignment of a three-byte character to the end. */
        for (size_t shift = 0; shift < 3; shift++) {
                struct problem problem;
                size_t size;

                memset(long_text, 'x', shift);
                for (size_t i = shift; i + 3 < sizeof(long_text); i += 3)
                        memcpy(long_text + i, "\xE2\x82\xAC", 4);
                problem_set(&problem, PROBLEM_INTERNAL, "%s", long_text);
                size = strlen(problem.detail);
                ck_assert_uint_ge(size, sizeof(problem.detail) - 3);
                ck_assert_uint_lt(size, sizeof(problem.detail));
                ck_assert(utf8_is_valid(problem.detail, size));
                ck_assert_str_eq(problem.detail + size - 3, "...");
        }
}
END_TEST

START_TEST(problem_detail_that_just_fits_is_whole) {
        char text[sizeof(((struct problem *)NULL)->detail)];
        struct problem problem;

        memset(text, 'y', sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        problem_set(&problem, PROBLEM_INTERNAL, "%s", text);
        ck_assert_str_eq(problem.detail, text);
}
END_TEST

START_TEST(problem_text_that_is_not_utf8_is_replaced) {
        _cleanup_(freep) char *text = NULL;
        _cleanup_(json_treep) cJSON *tree = NULL;
        struct problem problem;
        size_t size;

        problem_set(&problem, PROBLEM_NOT_FOUND, "no model '%s'", "\xFF\"\n\x01");
        problem.instance = "\xC3";
        ck_assert_int_eq(problem_to_json(&text, &size, &problem, NULL), 0);
        tree = json_check(text, size);
        ck_assert_str_eq(vectors_text(tree, "detail"), "no model '\xEF\xBF\xBD\"\n\x01'");
        ck_assert_str_eq(vectors_text(tree, "instance"), "\xEF\xBF\xBD");
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("problem");

        tcase_add_test(tests, problem_has_the_members_of_rfc9457);
        tcase_add_test(tests, problem_of_the_protocol_has_its_error_too);
        tcase_add_test(tests, problem_statuses_are_those_of_the_contract);
        tcase_add_test(tests, problem_long_detail_is_cut_between_characters);
        tcase_add_test(tests, problem_detail_that_just_fits_is_whole);
        tcase_add_test(tests, problem_text_that_is_not_utf8_is_replaced);
        return suite_run(tests);
}
