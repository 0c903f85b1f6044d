/* The URL standard's query strings, against Python's urllib.parse (make_query.py), and hostile ones. */
#include "proto/query.h"

#include "tests/proto/suite.h"

static void check_pairs(const struct query *query, const cJSON *pairs, const char *input) {
        const cJSON *pair;
        size_t i = 0;

        ck_assert_msg(query_n_pairs(query) == (size_t)cJSON_GetArraySize(pairs), "%s: %zu pairs", input,
                      query_n_pairs(query));
        cJSON_ArrayForEach(pair, pairs) {
                size_t key_size, value_size;
                _cleanup_(freep) char *key =
                        vectors_bytes(cJSON_GetArrayItem(pair, 0)->valuestring, &key_size);
                _cleanup_(freep) char *value =
                        vectors_bytes(cJSON_GetArrayItem(pair, 1)->valuestring, &value_size);

                ck_assert_msg(strcmp(query_key(query, i), key) == 0, "%s: key %zu is '%s', not '%s'", input,
                              i, query_key(query, i), key);
                ck_assert_msg(strcmp(query_value(query, i), value) == 0, "%s: value %zu is '%s', not '%s'",
                              input, i, query_value(query, i), value);
                i++;
        }
}

START_TEST(query_equals_urllib) {
        _cleanup_(json_treep) cJSON *vectors = vectors_read("query.json");
        const cJSON *vector;

        cJSON_ArrayForEach(vector, vectors) {
                _cleanup_(query_freep) struct query *query = NULL;
                const char *hex = vectors_text(vector, "input");
                const cJSON *pairs = cJSON_GetObjectItemCaseSensitive(vector, "pairs");
                size_t size;
                _cleanup_(freep) char *text = vectors_bytes(hex, &size);
                struct error error = ERROR_NONE;
                int r = query_parse(&query, text, size, &error);

                if (!pairs) {
                        ck_assert_msg(r == ERROR_INVALID, "'%s' is taken", text);
                        ck_assert_ptr_null(query);
                        continue;
                }
                ck_assert_msg(r == 0, "'%s': %s", text, error.text);
                check_pairs(query, pairs, text);
        }
        ck_assert_int_gt(cJSON_GetArraySize(vectors), 200);
}
END_TEST

START_TEST(query_without_text_has_no_pairs) {
        _cleanup_(query_freep) struct query *query = NULL;

        ck_assert_int_eq(query_parse(&query, NULL, 0, NULL), 0);
        ck_assert_uint_eq(query_n_pairs(query), 0);
}
END_TEST

/* The allocation has no spare byte, so that AddressSanitizer sees a step too far. */
START_TEST(query_need_not_end_in_zero) {
        static const char *const cut[] = {"a=%4", "a=%", "%", "a=b%2", "abc"};

        for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
                _cleanup_(query_freep) struct query *query = NULL;
                size_t size = strlen(cut[i]);
                _cleanup_(freep) char *exact = malloc(size);

                memcpy(exact, cut[i], size);
                ck_assert_int_eq(query_parse(&query, exact, size, NULL),
                                 strchr(cut[i], '%') ? ERROR_INVALID : 0);
        }
}
END_TEST

START_TEST(query_limits_are_named) {
        _cleanup_(query_freep) struct query *query = NULL;
        char text[QUERY_MAX_BYTES + 1];
        struct error error;
        size_t size = 0;

        memset(text, 'a', sizeof(text));
        ck_assert_error(query_parse(&query, text, sizeof(text), &error), ERROR_LIMIT, error,
                        "4097 bytes, the limit is 4096");

        for (size_t i = 0; i < QUERY_MAX_PAIRS; i++)
                size += (size_t)sprintf(text + size, "k%zu=v&", i);
        ck_assert_int_eq(query_parse(&query, text, size, NULL), 0);
        ck_assert_uint_eq(query_n_pairs(query), QUERY_MAX_PAIRS);
        ck_assert_str_eq(query_key(query, QUERY_MAX_PAIRS - 1), "k31");
        query_free(steal_ptr(&query));

        text[size++] = 'x';
        ck_assert_error(query_parse(&query, text, size, &error), ERROR_LIMIT, error,
                        "more than 32 parameters");
        ck_assert_ptr_null(query);
}
END_TEST

START_TEST(query_of_bad_bytes_only_fits_when_it_grows) {
        _cleanup_(query_freep) struct query *query = NULL;
        char text[QUERY_MAX_BYTES];

        memset(text, 0xFF, sizeof(text));
        ck_assert_int_eq(query_parse(&query, text, sizeof(text), NULL), 0);
        ck_assert_uint_eq(strlen(query_key(query, 0)), 3 * QUERY_MAX_BYTES);
        ck_assert_str_eq(query_value(query, 0), "");
}
END_TEST

START_TEST(query_error_tells_how_to_write_a_per_cent_sign) {
        _cleanup_(query_freep) struct query *query = NULL;
        struct error error;

        ck_assert_error(query_parse(&query, "model=100%", 10, &error), ERROR_INVALID, error,
                        "write a per cent sign itself as %25");
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("query");

        tcase_add_test(tests, query_equals_urllib);
        tcase_add_test(tests, query_without_text_has_no_pairs);
        tcase_add_test(tests, query_need_not_end_in_zero);
        tcase_add_test(tests, query_limits_are_named);
        tcase_add_test(tests, query_of_bad_bytes_only_fits_when_it_grows);
        tcase_add_test(tests, query_error_tells_how_to_write_a_per_cent_sign);
        return suite_run(tests);
}
