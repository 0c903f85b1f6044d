/* Repair of UTF-8, against Python's decoder through make_query.py, and what only C can get wrong. */
#include "proto/utf8.h"

#include "tests/proto/suite.h"

START_TEST(utf8_knows_good_from_bad) {
        static const char *const good[] = {"",
                                           "cat",
                                           "\xC3\xA9",
                                           "\xE2\x82\xAC",
                                           "\xF0\x9F\x90\x88",
                                           "\xEE\x80\x80",
                                           "\xF4\x8F\xBF\xBF",
                                           "\xED\x9F\xBF"};
        static const char *const bad[] = {"\x80",
                                          "\xC3",
                                          "\xC0\xAF",
                                          "\xE0\x9F\xBF",
                                          "\xED\xA0\x80",
                                          "\xF0\x8F\xBF\xBF",
                                          "\xF4\x90\x80\x80",
                                          "\xF5\x80\x80\x80",
                                          "a\xFF",
                                          "\xE2\x82",
                                          "\xE2\x82z"};

        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                ck_assert_msg(utf8_is_valid(good[i], strlen(good[i])), "good %zu", i);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                ck_assert_msg(!utf8_is_valid(bad[i], strlen(bad[i])), "bad %zu", i);
}
END_TEST

START_TEST(utf8_repair_replaces_maximal_subparts) {
        /* Unicode 15, table 3-8: 61 F1 80 80 E1 80 C2 62 80 63 80 BF 64 */
        static const char broken[] = "\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64";
        static const char repaired[] = "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                                       "b\xEF\xBF\xBD"
                                       "c\xEF\xBF\xBD\xEF\xBF\xBD"
                                       "d";
        char to[UTF8_REPAIR_FACTOR * sizeof(broken)];
        size_t n = utf8_repair(to, broken, sizeof(broken) - 1);

        ck_assert_uint_eq(n, sizeof(repaired) - 1);
        ck_assert_mem_eq(to, repaired, n);
}
END_TEST

START_TEST(utf8_prefix_cuts_between_characters) {
        static const char text[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x88"; /* 1, 2, 3 and 4 bytes */
        static const size_t wanted[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};

        for (size_t max = 0; max < ARRAY_SIZE(wanted); max++)
                ck_assert_uint_eq(utf8_prefix(text, sizeof(text) - 1, max), wanted[max]);
        ck_assert_uint_eq(utf8_prefix("\x80\x80\x80\x80\x80\x80", 6, 5), 5);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("utf8");

        tcase_add_test(tests, utf8_knows_good_from_bad);
        tcase_add_test(tests, utf8_repair_replaces_maximal_subparts);
        tcase_add_test(tests, utf8_prefix_cuts_between_characters);
        return suite_run(tests);
}
