#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/listen.h"
#include "cli/options.h"
#include "cli/statistics.h"
#include "cli/value.h"

struct values {
        const char *config, *path;
        struct option_strings models;
        unsigned number, delay_ms, idle_s;
        size_t count, bytes;
        double seconds;
        bool json;
        int format;
};

static const char *const formats[] = {"text", "json", NULL};

static const struct option table[] = {
        {.name = "config",
         .argument = "FILE",
         .type = OPTION_STRING,
         .offset = offsetof(struct values, config)},
        {.name = "path", .argument = "P", .type = OPTION_STRING, .offset = offsetof(struct values, path)},
        {.name = "model",
         .argument = "M",
         .type = OPTION_STRINGS,
         .offset = offsetof(struct values, models)},
        {.name = "top-k",
         .argument = "K",
         .type = OPTION_UNSIGNED,
         .min = 1,
         .max = 1000,
         .offset = offsetof(struct values, number)},
        {.name = "delay",
         .argument = "T",
         .type = OPTION_MILLISECONDS,
         .max = 60000,
         .offset = offsetof(struct values, delay_ms)},
        {.name = "idle",
         .argument = "T",
         .type = OPTION_SECONDS,
         .min = 1,
         .max = 600,
         .offset = offsetof(struct values, idle_s)},
        {.name = "count", .argument = "N", .type = OPTION_COUNT, .offset = offsetof(struct values, count)},
        {.name = "max-body", .argument = "S", .type = OPTION_SIZE, .offset = offsetof(struct values, bytes)},
        {.name = "seconds",
         .argument = "S",
         .type = OPTION_REAL,
         .min = 0.01,
         .max = 100,
         .offset = offsetof(struct values, seconds)},
        {.name = "json", .type = OPTION_BOOL, .offset = offsetof(struct values, json)},
        {.name = "format",
         .argument = "F",
         .type = OPTION_ENUM,
         .choices = formats,
         .offset = offsetof(struct values, format)},
        {0},
};
static const struct option other_table[] = {
        {.name = "listen", .argument = "A", .type = OPTION_STRING, .offset = 0},
        {0},
};

static const struct command command = {.name = "try",
                                       .operands = "FILE...",
                                       .options = table,
                                       .max_operands = 3,
                                       .values_bytes = sizeof(struct values)};
static const struct command other = {.name = "other", .options = other_table};
static const struct command *const commands[] = {&command, &other, NULL};

static struct options *options;
static struct values values;
static struct error error;
static char config_path[64];

static void set_up(void) {
        options = NULL;
        values = (struct values){.number = 5};
        error = ERROR_NONE;
        config_path[0] = 0;
}

static void tear_down(void) {
        options_free(options);
        if (config_path[0])
                unlink(config_path);
}

/* Both lists end in NULL. */
static int parse(char **words, char **environment) {
        struct options_input input = {.argv = words, .environment = environment, .commands = commands};

        while (words[input.argc])
                input.argc++;
        options_free(options);
        options = NULL;
        return options_parse(&options, &command, &values, &input, &error);
}

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})
#define NO_WORDS   ((char *[]){NULL})

static char *make_config(const char *text) {
        size_t size = strlen(text);
        FILE *file;
        int fd;

        strcpy(config_path, "/tmp/saccade-config-XXXXXX");
        fd = mkstemp(config_path);
        ck_assert_int_ge(fd, 0);
        file = fdopen(fd, "w");
        ck_assert_uint_eq(fwrite(text, 1, size, file), size);
        ck_assert_int_eq(fclose(file), 0);
        return config_path;
}

static int parse_config(const char *text) {
        struct options_input input = {.commands = commands};

        options_free(options);
        ck_assert_int_eq(options_new(&options, &error), 0);
        return options_parse_config(options, &command, &values, &input, "c.json", text, strlen(text),
                                    &error);
}

START_TEST(flags_take_their_value_after_a_space_or_an_equals_sign) {
        ck_assert_int_eq(
                parse(WORDS("--top-k", "7", "--path=a=b", "x", "--json", "-", "--", "--top-k"), NULL), 0);
        ck_assert_uint_eq(values.number, 7);
        ck_assert_str_eq(values.path, "a=b");
        ck_assert(values.json);
        ck_assert_uint_eq(options_n_operands(options), 3);
        ck_assert_str_eq(options_operand(options, 0), "x");
        ck_assert_str_eq(options_operand(options, 1), "-");
        ck_assert_str_eq(options_operand(options, 2), "--top-k");
}
END_TEST

START_TEST(flags_beat_environment_beats_file_beats_default) {
        char variable[128], *file = make_config("{\"top-k\": 2, \"path\": \"file\", \"count\": 9}");

        snprintf(variable, sizeof(variable), "SACCADE_CONFIG=%s", file);
        ck_assert_int_eq(
                parse(WORDS("--top-k", "4"), WORDS(variable, "SACCADE_TOP_K=3", "SACCADE_PATH=env")), 0);
        ck_assert_uint_eq(values.number, 4);
        ck_assert_str_eq(values.path, "env");
        ck_assert_uint_eq(values.count, 9);
        ck_assert_int_eq(parse(NO_WORDS, WORDS(variable)), 0);
        ck_assert_uint_eq(values.number, 2);
        values = (struct values){.number = 5};
        ck_assert_int_eq(parse(NO_WORDS, NULL), 0);
        ck_assert_uint_eq(values.number, 5);
}
END_TEST

START_TEST(repeated_option_collects_within_one_source_only) {
        char *file = make_config("{\"model\": [\"f1\", \"f2\", \"f3\"]}");
        char *environment[] = {"SACCADE_MODEL=e1,e2", NULL};

        ck_assert_int_eq(parse(WORDS("--model", "a", "--model=b", "--config", file), environment), 0);
        ck_assert_uint_eq(values.models.n, 2);
        ck_assert_str_eq(values.models.values[1], "b");
        values = (struct values){0};
        ck_assert_int_eq(parse(WORDS("--config", file), environment), 0);
        ck_assert_uint_eq(values.models.n, 2);
        ck_assert_str_eq(values.models.values[0], "e1");
        values = (struct values){0};
        ck_assert_int_eq(parse(WORDS("--config", file), NULL), 0);
        ck_assert_uint_eq(values.models.n, 3);
        ck_assert_str_eq(values.models.values[2], "f3");
}
END_TEST

static void ck_assert_refused(char **words, char **environment, const char *text) {
        error = ERROR_NONE;
        ck_assert_int_lt(parse(words, environment), 0);
        ck_assert_msg(strstr(error.text, text), "'%s' lacks '%s'", error.text, text);
}

START_TEST(mistakes_name_what_was_meant) {
        ck_assert_refused(WORDS("--topk", "3"), NULL, "unknown option --topk; did you mean --top-k?");
        ck_assert_refused(WORDS("--top_k=3"), NULL, "unknown option --top_k; did you mean --top-k?");
        ck_assert_refused(WORDS("--jsno"), NULL, "did you mean --json?");
        ck_assert_refused(WORDS("--sec", "3"), NULL, "did you mean --seconds?");
        ck_assert_refused(WORDS("--zebra"), NULL, "unknown option --zebra; see saccade try --help");
        ck_assert_refused(WORDS("-k", "3"), NULL, "options begin with two dashes");
        ck_assert_refused(WORDS("--top-k"), NULL, "--top-k: a value must follow, --top-k K");
        ck_assert_refused(WORDS("--format=jsn"), NULL, "expected one of text, json; did you mean json?");
        ck_assert_refused(WORDS("a", "b", "c", "d"), NULL, "'d' is one argument too many");
        ck_assert_refused(NO_WORDS, WORDS("SACCADE_TOP_K=x"), "SACCADE_TOP_K 'x': expected a whole number");
        ck_assert_refused(WORDS("--config", "/nonexistent"), NULL, "--config: /nonexistent: No such file");
}
END_TEST

START_TEST(bad_values_are_refused_with_their_range) {
        static const char *const whole[] = {"0",  "1001", "-1",   "+5",  "",   " 5",
                                            "5 ", "5x",   "0x10", "1e2", "5K", "99999999999999999999999"};
        char word[64];

        for (size_t i = 0; i < ARRAY_SIZE(whole); i++) {
                snprintf(word, sizeof(word), "--top-k=%s", whole[i]);
                ck_assert_refused(WORDS(word), NULL, "--top-k '");
        }
        ck_assert_refused(WORDS("--top-k=1001"), NULL, "must be 1 to 1000");
        ck_assert_refused(WORDS("--path="), NULL, "--path: an empty value");
        ck_assert_refused(WORDS("--json=maybe"), NULL, "expected true or false");
        ck_assert_refused(WORDS("--seconds=inf"), NULL, "expected a number");
        ck_assert_refused(WORDS("--seconds=0x1p3"), NULL, "expected a number");
        ck_assert_refused(WORDS("--seconds=101"), NULL, "must be 0.01 to 100");
        ck_assert_refused(WORDS("--max-body=16777216T"), NULL, "too large");
        ck_assert_refused(WORDS("--max-body=1X"), NULL, "expected a size such as 512K");
        ck_assert_refused(WORDS("--idle=500ms"), NULL, "whole seconds");
        ck_assert_refused(WORDS("--idle=11m"), NULL, "must be 1s to 600s");
        ck_assert_refused(WORDS("--delay=61s"), NULL, "must be 0ms to 60s");
        ck_assert_refused(WORDS("--delay=1h"), NULL, "such as 500ms");
        ck_assert_uint_eq(values.number, 5);
}
END_TEST

START_TEST(units_are_understood) {
        ck_assert_int_eq(parse(WORDS("--max-body=64M", "--delay", "2s", "--idle=2m", "--seconds=.5"), NULL),
                         0);
        ck_assert_uint_eq(values.bytes, 64u << 20);
        ck_assert_uint_eq(values.delay_ms, 2000);
        ck_assert_uint_eq(values.idle_s, 120);
        ck_assert_double_eq(values.seconds, 0.5);
        ck_assert_int_eq(parse(WORDS("--max-body=3Gi", "--delay", "250", "--json=off"), NULL), 0);
        ck_assert_uint_eq(values.bytes, (size_t)3 << 30);
        ck_assert_uint_eq(values.delay_ms, 250);
        ck_assert(!values.json);
}
END_TEST

START_TEST(values_are_written_as_they_are_read) {
        static const struct {
                const char *word, *name;
        } cases[] = {{"64M", "max-body"}, {"1000", "max-body"}, {"2s", "delay"}, {"250ms", "delay"},
                     {"0", "delay"},      {"2m", "idle"},       {"7", "top-k"},  {"1024", "count"},
                     {"0.5", "seconds"},  {"json", "format"},   {"x", "path"}};
        char text[64];

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                for (const struct option *option = table; option->name; option++) {
                        void *field = (char *)&values + option->offset;

                        if (strcmp(option->name, cases[i].name) != 0)
                                continue;
                        ck_assert_int_eq(value_parse(field, option, "--x", cases[i].word, &error), 0);
                        value_format(text, sizeof(text), option, field);
                        ck_assert_str_eq(text, cases[i].word);
                }
}
END_TEST

START_TEST(environment_of_others_is_no_mistake_but_a_misspelt_option_is_told) {
        ck_assert_int_eq(parse(NO_WORDS, WORDS("SACCADE_LISTEN=x", "SACCADE_PORT=tcp://10.0.0.1:80",
                                               "SACCADE_SERVICE_HOST=10.0.0.1", "TOP_K=9", "NOTHING")),
                         0);
        ck_assert_str_eq(options_warning(options), "");
        ck_assert_int_eq(parse(NO_WORDS, WORDS("SACCADE_TOPK=x")), 0);
        ck_assert_str_eq(
                options_warning(options),
                "the variable SACCADE_TOPK is no option and has no effect; did you mean SACCADE_TOP_K?");
}
END_TEST

START_TEST(help_looks_at_nothing_else) {
        ck_assert_int_eq(
                parse(WORDS("a", "b", "c", "d", "--help", "--nonsense"), WORDS("SACCADE_TOP_K=bad")), 0);
        ck_assert(options_wants_help(options));
}
END_TEST

START_TEST(config_sets_every_type) {
        ck_assert_int_eq(
                parse_config(
                        "{\"path\": \"p\", \"model\": \"m\", \"top-k\": 9, \"delay\": \"3s\", \"idle\": "
                        "60000, \"count\": 12, \"max-body\": \"2K\", \"seconds\": 1.25, \"json\": "
                        "true, \"format\": \"json\", \"listen\": \"another command's\"}\n"),
                0);
        ck_assert_str_eq(values.path, "p");
        ck_assert_uint_eq(values.models.n, 1);
        ck_assert_uint_eq(values.number, 9);
        ck_assert_uint_eq(values.delay_ms, 3000);
        ck_assert_uint_eq(values.idle_s, 60);
        ck_assert_uint_eq(values.count, 12);
        ck_assert_uint_eq(values.bytes, 2048);
        ck_assert_double_eq(values.seconds, 1.25);
        ck_assert(values.json);
        ck_assert_int_eq(values.format, 1);
}
END_TEST

START_TEST(hostile_config_is_refused_and_says_where) {
        static const struct {
                const char *json, *text;
        } cases[] = {
                {"", "no valid JSON near line 1"},
                {"{\"top-k\": 3,\n\n oops}", "no valid JSON near line 3"},
                {"{\"top-k\": 3} {}", "line 1: something follows"},
                {"[1]", "expected an object of options"},
                {"{\"topk\": 3}", "\"topk\" is no option; did you mean \"top-k\"?"},
                {"{\"zebra\": 3}", "\"zebra\" is no option; see saccade help"},
                {"{\"Top-k\": 3}", "is no option; did you mean \"top-k\"?"},
                {"{\"top-k\": 3, \"top-k\": 4}", "\"top-k\" is given twice"},
                {"{\"config\": \"x\"}", "cannot name another one"},
                {"{\"top-k\": 0}", "\"top-k\" '0': must be 1 to 1000"},
                {"{\"top-k\": 1.5}", "expected a whole number"},
                {"{\"top-k\": -1}", "expected a whole number"},
                {"{\"top-k\": 1e300}", "expected a whole number"},
                {"{\"top-k\": true}", "expected a whole number"},
                {"{\"top-k\": [3]}", "expected a whole number"},
                {"{\"top-k\": null}", "expected a whole number"},
                {"{\"json\": 1}", "expected true or false"},
                {"{\"path\": 5}", "expected a string"},
                {"{\"model\": [\"a\", 5]}", "expected a string or an array of strings"},
                {"{\"model\": {\"a\": 5}}", "expected a string or an array of strings"},
                {"{\"path\": \"a\\u0000b\"}", "a zero character"},
                {"{\"\": 1}", "is no option"},
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                error = ERROR_NONE;
                ck_assert_msg(parse_config(cases[i].json) < 0, "%s", cases[i].json);
                ck_assert_msg(strncmp(error.text, "c.json", 6) == 0 && strstr(error.text, cases[i].text),
                              "%s: '%s' lacks '%s'", cases[i].json, error.text, cases[i].text);
        }
}
END_TEST

START_TEST(config_that_is_too_long_or_too_deep_is_refused) {
        size_t size = OPTIONS_MAX_CONFIG_BYTES;
        char *text = malloc(size + 2);

        memset(text, '[', size);
        text[size] = 0;
        ck_assert_int_eq(parse_config(text), ERROR_INVALID);
        memset(text, ' ', size + 1);
        text[size + 1] = 0;
        ck_assert_int_eq(parse_config(text), ERROR_LIMIT);
        ck_assert_ptr_nonnull(strstr(error.text, "the limit is 65536"));
        free(text);
}
END_TEST

START_TEST(repeats_are_bounded) {
        char text[1024] = "{\"model\": [\"m\"";
        size_t n = strlen(text);

        for (unsigned i = 0; i < OPTIONS_MAX_REPEATS; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, ", \"m\"");
        snprintf(text + n, sizeof(text) - n, "]}");
        ck_assert_int_eq(parse_config(text), ERROR_LIMIT);
        ck_assert_ptr_nonnull(strstr(error.text, "more than 64 values"));
}
END_TEST

START_TEST(nearest_name_is_near_or_none) {
        static const char *const names[] = {"serve", "classify", "infer", NULL};

        ck_assert_str_eq(options_nearest("sevre", names), "serve");
        ck_assert_str_eq(options_nearest("clasify", names), "classify");
        ck_assert_str_eq(options_nearest("class", names), "classify");
        ck_assert_ptr_null(options_nearest("zebra", names));
        ck_assert_ptr_null(options_nearest("", names));
        ck_assert_ptr_null(
                options_nearest("a word that is longer than any option could ever be named", names));
}
END_TEST

START_TEST(listen_takes_addresses_and_ports_apart) {
        static const struct {
                const char *text, *host;
                unsigned port;
        } cases[] = {{"127.0.0.1:8080", "127.0.0.1", 8080},
                     {"0.0.0.0:0", "0.0.0.0", 0},
                     {"[::1]:8080", "::1", 8080},
                     {"[::]:65535", "::", 65535},
                     {"localhost:80", "127.0.0.1", 80}};
        char host[LISTEN_HOST_MAX];
        uint16_t port;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                ck_assert_int_eq(listen_parse(host, &port, cases[i].text, &error), 0);
                ck_assert_str_eq(host, cases[i].host);
                ck_assert_uint_eq(port, cases[i].port);
        }
}
END_TEST

START_TEST(listen_refuses_what_is_no_address) {
        static const char *const bad[] = {"8080",          ":8080",          "127.0.0.1",      "127.0.0.1:",
                                          "127.0.0.1:x",   "127.0.0.1:-1",   "::1:8080",       "[::1]",
                                          "[::1]8080",     "[127.0.0.1]:80", "example.org:80", "1.2.3:80",
                                          "1.2.3.4:65536", "1.2.3.4:808080", "[]:80",          "",
                                          "[:80"};
        char host[LISTEN_HOST_MAX], longer[200];
        uint16_t port = 7;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                ck_assert_msg(listen_parse(host, &port, bad[i], &error) == ERROR_INVALID, "%s", bad[i]);
                ck_assert_ptr_nonnull(strstr(error.text, "such as 127.0.0.1:8080"));
        }
        memset(longer, '1', sizeof(longer));
        strcpy(longer + sizeof(longer) - 4, ":80");
        ck_assert_int_eq(listen_parse(host, &port, longer, &error), ERROR_INVALID);
        ck_assert_uint_eq(port, 7);
}
END_TEST

START_TEST(quantiles_are_nearest_ranks) {
        uint64_t durations[100];
        struct statistics s;

        for (size_t i = 0; i < 100; i++)
                durations[i] = (100 - i) * 1000000u;
        s = statistics_of(durations, 100);
        ck_assert_double_eq_tol(s.min_ms, 1, 1e-9);
        ck_assert_double_eq_tol(s.median_ms, 50, 1e-9);
        ck_assert_double_eq_tol(s.p99_ms, 99, 1e-9);
        ck_assert_double_eq_tol(s.mean_ms, 50.5, 1e-9);
        durations[0] = 3000000;
        s = statistics_of(durations, 1);
        ck_assert_double_eq_tol(s.median_ms, 3, 1e-9);
        ck_assert_double_eq_tol(s.p99_ms, 3, 1e-9);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("options");
        TCase *tcase = tcase_create("options");
        SRunner *runner = srunner_create(suite);
        int n_failed;

        tcase_add_checked_fixture(tcase, set_up, tear_down);
        tcase_add_test(tcase, flags_take_their_value_after_a_space_or_an_equals_sign);
        tcase_add_test(tcase, flags_beat_environment_beats_file_beats_default);
        tcase_add_test(tcase, repeated_option_collects_within_one_source_only);
        tcase_add_test(tcase, mistakes_name_what_was_meant);
        tcase_add_test(tcase, bad_values_are_refused_with_their_range);
        tcase_add_test(tcase, units_are_understood);
        tcase_add_test(tcase, values_are_written_as_they_are_read);
        tcase_add_test(tcase, environment_of_others_is_no_mistake_but_a_misspelt_option_is_told);
        tcase_add_test(tcase, help_looks_at_nothing_else);
        tcase_add_test(tcase, config_sets_every_type);
        tcase_add_test(tcase, hostile_config_is_refused_and_says_where);
        tcase_add_test(tcase, config_that_is_too_long_or_too_deep_is_refused);
        tcase_add_test(tcase, repeats_are_bounded);
        tcase_add_test(tcase, nearest_name_is_near_or_none);
        tcase_add_test(tcase, listen_takes_addresses_and_ports_apart);
        tcase_add_test(tcase, listen_refuses_what_is_no_address);
        tcase_add_test(tcase, quantiles_are_nearest_ranks);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
