#include <pthread.h>
#include <unistd.h>

#include "server/log.h"
#include "tests/server/suite.h"

/* What one event looks like, without the time that it begins with. */
static const char *line_of(enum log_format format, const struct log_field *fields, size_t n_fields) {
        _cleanup_(log_freep) struct log *log = NULL;
        static char text[LOG_LINE_MAX + 1];
        int pipe_fds[2];
        ssize_t n;

        ck_assert_int_eq(pipe(pipe_fds), 0);
        ck_assert_int_eq(log_new(&log, pipe_fds[1], format, LOG_LEVEL_INFO, NULL), 0);
        log_write(log, LOG_LEVEL_DEBUG, "too quiet to be seen", NULL, 0);
        log_write(log, LOG_LEVEL_INFO, "event", fields, n_fields);
        n = read(pipe_fds[0], text, LOG_LINE_MAX);
        ck_assert_int_gt(n, 0);
        text[n] = 0;
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        ck_assert_int_eq(text[n - 1], '\n');
        ck_assert_ptr_eq(strchr(text, '\n'), text + n - 1); /* one line, and only one */
        text[n - 1] = 0;
        return text + (format == LOG_FORMAT_JSON ? strlen("{\"time\":\"2026-11-24T00:00:00.000Z\",")
                                                 : strlen("2026-11-24T00:00:00.000Z "));
}

#define ck_assert_line(format, expected, ...)                                                               \
        ck_assert_str_eq(line_of(format, (const struct log_field[]){__VA_ARGS__},                           \
                                 ARRAY_SIZE(((const struct log_field[]){__VA_ARGS__}))),                    \
                         expected)

START_TEST(fields_are_written_by_type) {
        ck_assert_line(
                LOG_FORMAT_JSON, "\"level\":\"info\",\"event\":\"event\",\"a\":\"x\",\"b\":7,\"c\":1.500}",
                LOG_TEXT("a", "x"), LOG_COUNT("b", 7), LOG_NUMBER("c", 1.5), LOG_TEXT("absent", NULL));
        ck_assert_line(LOG_FORMAT_TEXT, "info  event a=x b=7 c=1.500", LOG_TEXT("a", "x"), LOG_COUNT("b", 7),
                       LOG_NUMBER("c", 1.5), LOG_TEXT("absent", NULL));
        ck_assert_line(LOG_FORMAT_JSON, "\"level\":\"info\",\"event\":\"event\",\"a\":null}",
                       LOG_NUMBER("a", 0.0 / 0.0));
}
END_TEST

START_TEST(hostile_text_stays_a_value) {
        ck_assert_line(LOG_FORMAT_JSON,
                       "\"level\":\"info\",\"event\":\"event\",\"a\":\"\\\"\\\\\\n\\u000d\\u001b[31m\"}",
                       LOG_TEXT("a", "\"\\\n\r\x1b[31m"));
        ck_assert_line(LOG_FORMAT_TEXT, "info  event a=\"\\\"\\\\\\n\\x0d\\x1b[31m\"",
                       LOG_TEXT("a", "\"\\\n\r\x1b[31m"));
        ck_assert_line(LOG_FORMAT_TEXT, "info  event a=\"x b=forged\" c=\"\"", LOG_TEXT("a", "x b=forged"),
                       LOG_TEXT("c", ""));
}
END_TEST

START_TEST(text_that_is_not_utf8_is_replaced) {
        /* A lone continuation byte, an overlong '/', a surrogate, beyond U+10FFFF, a cut sequence; then good
         * ones. */
        ck_assert_line(
                LOG_FORMAT_JSON,
                "\"level\":\"info\",\"event\":\"event\",\"a\":\"\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd|"
                "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|"
                "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x88|\xef\xbf\xbd\"}",
                LOG_TEXT("a", "\x80|\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xc3\xa9\xe2\x82\xac\xf0\x9f\x90"
                              "\x88|\xe2"));
        /* U+009B is an escape sequence to a terminal. */
        ck_assert_line(LOG_FORMAT_TEXT, "info  event a=\"\\xc2\\x9b31m\"",
                       LOG_TEXT("a", "\xc2\x9b"
                                     "31m"));
}
END_TEST

START_TEST(long_values_are_cut_and_the_line_stays_whole) {
        char value[8 * LOG_VALUE_MAX];
        struct log_field fields[32];
        const char *line;

        memset(value, '\x01', sizeof(value) - 1);
        value[sizeof(value) - 1] = 0;
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                fields[i] = LOG_TEXT("a", value);
        line = line_of(LOG_FORMAT_JSON, fields, ARRAY_SIZE(fields));
        ck_assert_contains(line, "\\u0001...\"");
        ck_assert_int_eq(line[strlen(line) - 1], '}');
        line = line_of(LOG_FORMAT_TEXT, fields, ARRAY_SIZE(fields));
        ck_assert_int_eq(line[strlen(line) - 1], '"');
}
END_TEST

#define N_THREADS 4
#define N_LINES   200

static void *write_lines(void *log) {
        for (unsigned i = 0; i < N_LINES; i++)
                log_event(log, LOG_LEVEL_INFO, "event", LOG_TEXT("a", "0123456789"));
        return NULL;
}

static void *count_lines(void *file) {
        static size_t n_whole;
        char line[256];

        while (fgets(line, sizeof(line), file)) {
                ck_assert_msg(
                        strstr(line, "\",\"level\":\"info\",\"event\":\"event\",\"a\":\"0123456789\"}\n"),
                        "%s", line);
                n_whole++;
        }
        return &n_whole;
}

START_TEST(lines_of_threads_do_not_mix) {
        _cleanup_(log_freep) struct log *log = NULL;
        pthread_t threads[N_THREADS], reader;
        int pipe_fds[2];
        void *n_whole;
        FILE *file;

        ck_assert_int_eq(pipe(pipe_fds), 0);
        file = fdopen(pipe_fds[0], "r");
        ck_assert_int_eq(log_new(&log, pipe_fds[1], LOG_FORMAT_JSON, LOG_LEVEL_INFO, NULL), 0);
        pthread_create(&reader, NULL, count_lines, file);
        for (size_t i = 0; i < N_THREADS; i++)
                pthread_create(&threads[i], NULL, write_lines, log);
        for (size_t i = 0; i < N_THREADS; i++)
                pthread_join(threads[i], NULL);
        close(pipe_fds[1]);
        pthread_join(reader, &n_whole);
        fclose(file);
        ck_assert_uint_eq(*(size_t *)n_whole, N_THREADS * N_LINES);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("log");

        tcase_add_test(tests, fields_are_written_by_type);
        tcase_add_test(tests, hostile_text_stays_a_value);
        tcase_add_test(tests, text_that_is_not_utf8_is_replaced);
        tcase_add_test(tests, long_values_are_cut_and_the_line_stays_whole);
        tcase_add_test(tests, lines_of_threads_do_not_mix);
        return suite_run(tests);
}
