/* What saccade top is made of, without a server: URLs, answers, metrics, quantiles. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cli/top/buckets.h"
#include "cli/top/exposition.h"
#include "cli/top/http_reply.h"
#include "cli/top/report.h"
#include "cli/top/url.h"
#include "tests/suite.h"

static struct exposition *parse(const char *text) {
        struct exposition *exposition = NULL;
        struct error error = ERROR_NONE;

        ck_assert_msg(exposition_parse(&exposition, text, strlen(text), &error) == 0, "%s", error.text);
        return exposition;
}

static void ck_assert_malformed(const char *text, const char *what) {
        struct exposition *exposition = NULL;
        struct error error = ERROR_NONE;

        ck_assert_msg(exposition_parse(&exposition, text, strlen(text), &error) < 0, "'%s' was taken", text);
        ck_assert_ptr_null(exposition);
        ck_assert_msg(strstr(error.text, what) != NULL, "'%s': '%s' lacks '%s'", text, error.text, what);
}

/* Of the format's own documentation, what it says of lines, blanks, escapes and numbers. */
START_TEST(metrics_are_taken_apart) {
        _cleanup_(exposition_freep) struct exposition *e =
                parse("# HELP a_total Some \\n text\n"
                      "# TYPE a_total counter\n"
                      "a_total{method=\"post\",code=\"200\"} 1027 1395066363000\n"
                      "\n"
                      "\t a_total { method = \"a\\\\b\\\"c\\nd\" , } -3.5e-1 -12\n"
                      "plain +Inf\n"
                      "with:colon{} NaN\n"
                      "om{le=\"1\"} 3 # {id=\"x\"} 0.5 12.5\n"
                      "last 0");
        const struct exposition_sample *sample = exposition_sample(e, 0);

        ck_assert_uint_eq(exposition_n_samples(e), 6);
        ck_assert_str_eq(sample->name, "a_total");
        ck_assert_double_eq(sample->value, 1027);
        ck_assert_str_eq(exposition_label(e, sample, "method"), "post");
        ck_assert_str_eq(exposition_label(e, sample, "code"), "200");
        ck_assert_ptr_null(exposition_label(e, sample, "cod"));
        sample = exposition_sample(e, 1);
        ck_assert_str_eq(sample->name, "a_total");
        ck_assert_str_eq(exposition_label(e, sample, "method"), "a\\b\"c\nd");
        ck_assert_double_eq(sample->value, -0.35);
        ck_assert(isinf(exposition_find(e, "plain")->value));
        ck_assert(isnan(exposition_find(e, "with:colon")->value));
        ck_assert_double_eq(exposition_find(e, "om")->value, 3);
        ck_assert_double_eq(exposition_find(e, "last")->value, 0);
        ck_assert_ptr_null(exposition_find(e, "las"));
}
END_TEST

START_TEST(what_is_malformed_is_named_with_its_line) {
        ck_assert_malformed("a 1\n{x=\"y\"} 1\n", "line 2: ");
        ck_assert_malformed("<html>", "line 1: a line begins with no name");
        ck_assert_malformed("9a 1", "no name");
        ck_assert_malformed("a", "no value");
        ck_assert_malformed("a\n", "no value");
        ck_assert_malformed("a-b 1", "no value");
        ck_assert_malformed("a b", "no number");
        ck_assert_malformed("a 0x10", "no number");
        ck_assert_malformed("a nan(1)", "no number");
        ck_assert_malformed("a 1e", "no number");
        ck_assert_malformed("a  ", "no number");
        ck_assert_malformed("a 1\r\n", "no number");
        ck_assert_malformed("a 1 2 3", "follows");
        ck_assert_malformed("a 1 x", "follows");
        ck_assert_malformed("a{b=\"c} 1", "closing quote");
        ck_assert_malformed("a{b=\"c\n\"} 1", "closing quote");
        ck_assert_malformed("a{b=\"c\\", "escape");
        ck_assert_malformed("a{b=\"\\x\"} 1", "escape");
        ck_assert_malformed("a{b=c} 1", "quotes");
        ck_assert_malformed("a{b} 1", "'='");
        ck_assert_malformed("a{b=\"c\" d=\"e\"} 1", "','");
        ck_assert_malformed("a{,} 1", "no name");
        ck_assert_malformed("a{b:c=\"d\"} 1", "'='");
        ck_assert_malformed("a{b=\"c\"", "','");
        ck_assert_malformed("a 0000000000000000000000000000000000000000000000000000000000000000000000001",
                            "no number");
}
END_TEST

START_TEST(zeros_and_too_much_are_refused) {
        struct exposition *exposition = NULL;
        struct error error = ERROR_NONE;
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *file;

        ck_assert_int_eq(exposition_parse(&exposition, "a 1\0b 2", 7, &error), ERROR_INVALID);
        text = calloc(1, EXPOSITION_MAX_BYTES + 1);
        memset(text, '\n', EXPOSITION_MAX_BYTES + 1);
        ck_assert_int_eq(exposition_parse(&exposition, text, EXPOSITION_MAX_BYTES + 1, &error), ERROR_LIMIT);
        free(steal_ptr(&text));

        file = open_memstream(&text, &size);
        for (size_t i = 0; i <= EXPOSITION_MAX_SAMPLES; i++)
                fputs("a 1\n", file);
        fclose(file);
        ck_assert_int_eq(exposition_parse(&exposition, text, size, &error), ERROR_LIMIT);
        free(steal_ptr(&text));

        file = open_memstream(&text, &size);
        fputs("a{", file);
        for (size_t i = 0; i <= EXPOSITION_MAX_LABELS; i++)
                fputs("b=\"c\",", file);
        fputs("} 1", file);
        fclose(file);
        ck_assert_int_eq(exposition_parse(&exposition, text, size, &error), ERROR_LIMIT);
        ck_assert_ptr_null(exposition);
}
END_TEST

static const char histogram[] = "h_bucket{m=\"x\",le=\"0.1\"} 10\n"
                                "h_bucket{m=\"x\",le=\"0.2\"} 30\n"
                                "h_bucket{m=\"x\",le=\"0.5\"} 38\n"
                                "h_bucket{m=\"x\",le=\"+Inf\"} 40\n"
                                "h_sum{m=\"x\"} 8\n"
                                "h_count{m=\"x\"} 40\n"
                                "h_bucket{m=\"y\",le=\"0.2\"} 60\n"
                                "h_bucket{m=\"y\",le=\"0.1\"} 0\n"
                                "h_bucket{m=\"y\",le=\"0.5\"} 60\n"
                                "h_bucket{m=\"y\",le=\"+Inf\"} 60\n"
                                "h_sum{m=\"y\"} 9\n"
                                "hh_bucket{m=\"x\",le=\"+Inf\"} 1000\n";

START_TEST(quantiles_are_linear_within_a_bucket) {
        _cleanup_(exposition_freep) struct exposition *e = parse(histogram);
        const struct buckets_match x = {"m", "x"}, none = {"m", "z"};
        struct buckets buckets;

        buckets_gather(&buckets, e, "h", &x, 1);
        ck_assert_uint_eq(buckets.n, 4);
        ck_assert_double_eq(buckets_count(&buckets), 40);
        ck_assert_double_eq_tol(buckets_mean(&buckets), 0.2, 1e-12);
        /* rank 20 is the 10th of the 20 between 0.1 and 0.2; rank 5 the 5th of 10 from 0; rank 36 the 6th of
         * 8 */
        ck_assert_double_eq_tol(buckets_quantile(&buckets, 0.5), 0.15, 1e-12);
        ck_assert_double_eq_tol(buckets_quantile(&buckets, 0.125), 0.05, 1e-12);
        ck_assert_double_eq_tol(buckets_quantile(&buckets, 0.9), 0.2 + 0.3 * 6 / 8, 1e-12);
        ck_assert_double_eq(buckets_quantile(&buckets, 0.99), 0.5); /* beyond all finite bounds */
        buckets_gather(&buckets, e, "h", &none, 1);
        ck_assert(isnan(buckets_quantile(&buckets, 0.5)));
        ck_assert(isnan(buckets_mean(&buckets)));
}
END_TEST

START_TEST(histograms_add_up_over_other_labels) {
        _cleanup_(exposition_freep) struct exposition *e = parse(histogram);
        struct buckets buckets;

        buckets_gather(&buckets, e, "h", NULL, 0);
        ck_assert_double_eq(buckets_count(&buckets), 100);
        ck_assert_double_eq_tol(buckets_mean(&buckets), 0.17, 1e-12);
        ck_assert_double_eq_tol(buckets_quantile(&buckets, 0.5), 0.15, 1e-12); /* 10, 90, 98, 100 */
}
END_TEST

START_TEST(only_what_came_since_counts) {
        _cleanup_(exposition_freep) struct exposition *before = parse(histogram);
        _cleanup_(exposition_freep) struct exposition *now = parse("h_bucket{m=\"x\",le=\"0.1\"} 9\n"
                                                                   "h_bucket{m=\"x\",le=\"0.2\"} 32\n"
                                                                   "h_bucket{m=\"x\",le=\"0.5\"} 42\n"
                                                                   "h_bucket{m=\"x\",le=\"+Inf\"} 44\n"
                                                                   "h_sum{m=\"x\"} 9\n");
        const struct buckets_match x = {"m", "x"};
        struct buckets buckets, old;

        buckets_gather(&buckets, now, "h", &x, 1);
        buckets_gather(&old, before, "h", &x, 1);
        buckets_subtract(&buckets, &old);
        ck_assert_double_eq(buckets_count(&buckets), 4); /* 0 (not -1), 2, 4, 4 */
        ck_assert_double_eq_tol(buckets_quantile(&buckets, 0.5), 0.2, 1e-12);
        ck_assert_double_eq_tol(buckets_quantile(&buckets, 0.75), 0.35, 1e-12);
        ck_assert_double_eq_tol(buckets_mean(&buckets), 0.25, 1e-12);
}
END_TEST

#define SERVER(start, cpu, ok, shed)                                                                        \
        "saccade_build_info{version=\"1.2.3\"} 1\n"                                                         \
        "saccade_model_info{model=\"m\",version=\"abc\",precision=\"f32\"} 1\n"                             \
        "saccade_requests_total{handler=\"classify\",code=\"200\"} " ok "\n"                                \
        "saccade_requests_total{handler=\"classify\",code=\"429\"} " shed "\n"                              \
        "saccade_requests_total{handler=\"metrics\",code=\"200\"} " ok "\n"                                 \
        "saccade_images_total{model=\"m\",outcome=\"ok\"} " ok "\n"                                         \
        "saccade_shed_total{reason=\"queue_full\"} " shed "\n"                                              \
        "saccade_stage_duration_seconds_bucket{stage=\"infer\",model=\"m\",le=\"0.01\"} " ok "\n"           \
        "saccade_stage_duration_seconds_bucket{stage=\"infer\",model=\"m\",le=\"+Inf\"} " ok "\n"           \
        "saccade_batch_size_bucket{model=\"m\",le=\"+Inf\"} 10\n"                                           \
        "saccade_batch_size_sum{model=\"m\"} 30\n"                                                          \
        "process_start_time_seconds " start "\n"                                                            \
        "process_cpu_seconds_total " cpu "\n"

static double rate_of(const struct report_rates *rates, const char *label) {
        for (size_t i = 0; i < rates->n; i++)
                if (strcmp(rates->labels[i], label) == 0)
                        return rates->per_s[i];
        return -1;
}

START_TEST(a_report_compares_two_scrapes) {
        _cleanup_(exposition_freep) struct exposition *before = parse(SERVER("1000", "5", "100", "7"));
        _cleanup_(exposition_freep) struct exposition *now = parse(SERVER("1000.2", "8", "300", "17"));
        struct report report;

        ck_assert_int_eq(report_check(now, NULL), 0);
        report_make(&report, now, before, 2, 1060.2);
        ck_assert_str_eq(report.version, "1.2.3");
        ck_assert_double_eq_tol(report.uptime_s, 60, 1e-9);
        ck_assert_double_eq(report.cpus_used, 1.5);
        ck_assert_double_eq(rate_of(&report.requests, "200"), 100); /* without the scrapes */
        ck_assert_double_eq(rate_of(&report.requests, "429"), 5);
        ck_assert_double_eq(report.requests.total_per_s, 105);
        ck_assert_double_eq(rate_of(&report.images, "ok"), 100);
        ck_assert_double_eq(rate_of(&report.sheds, "queue_full"), 5);
        ck_assert_double_eq(report.stages[3].per_s, 100);
        ck_assert_double_eq_tol(report.stages[3].p50_ms, 5, 1e-9);
        ck_assert(isnan(report.stages[0].p50_ms));
        ck_assert(isnan(report.batch)); /* none ran meanwhile */
        ck_assert_uint_eq(report.n_models, 1);
        ck_assert_str_eq(report.models[0].name, "m");
        ck_assert_double_eq(report.models[0].images_per_s, 100);
}
END_TEST

START_TEST(of_a_server_that_was_started_again_all_counts) {
        _cleanup_(exposition_freep) struct exposition *before = parse(SERVER("1000", "5", "100", "7"));
        _cleanup_(exposition_freep) struct exposition *now = parse(SERVER("1050", "1", "300", "17"));
        struct report report;

        report_make(&report, now, before, 2, 1060);
        ck_assert_double_eq(rate_of(&report.requests, "200"), 150);
        ck_assert_double_eq(report.cpus_used, 0.5);
        ck_assert_double_eq(report.batch, 3);
}
END_TEST

START_TEST(the_first_scrape_has_no_rates) {
        _cleanup_(exposition_freep) struct exposition *now = parse(SERVER("1000", "5", "100", "7"));
        struct report report;

        report_make(&report, now, NULL, 2, 1060);
        ck_assert(isnan(report.requests.total_per_s));
        ck_assert(isnan(report.cpus_used));
        ck_assert_double_eq(report.batch, 3);
}
END_TEST

START_TEST(other_metrics_are_not_taken_for_ours) {
        _cleanup_(exposition_freep) struct exposition *other = parse("go_goroutines 7\n");
        struct error error = ERROR_NONE;

        ck_assert_int_eq(report_check(other, &error), ERROR_INVALID);
        ck_assert_ptr_nonnull(strstr(error.text, "not those of saccade"));
}
END_TEST

static void ck_assert_url(const char *text, const char *host, const char *port, const char *authority,
                          const char *path) {
        struct error error = ERROR_NONE;
        struct url url;

        ck_assert_msg(url_parse(&url, text, &error) == 0, "%s", error.text);
        ck_assert_str_eq(url.host, host);
        ck_assert_str_eq(url.port, port);
        ck_assert_str_eq(url.authority, authority);
        ck_assert_str_eq(url.path, path);
}

START_TEST(urls_have_all_forms_that_people_type) {
        ck_assert_url("localhost", "localhost", "8080", "localhost:8080", "/metrics");
        ck_assert_url("10.0.0.1:9090", "10.0.0.1", "9090", "10.0.0.1:9090", "/metrics");
        ck_assert_url("http://example.org", "example.org", "80", "example.org:80", "/metrics");
        ck_assert_url("HTTP://example.org:81/", "example.org", "81", "example.org:81", "/metrics");
        ck_assert_url("http://h:1/a/b?c=d", "h", "1", "h:1", "/a/b?c=d");
        ck_assert_url("[::1]:8081", "::1", "8081", "[::1]:8081", "/metrics");
        ck_assert_url("http://[fe80::1]/m", "fe80::1", "80", "[fe80::1]:80", "/m");
        ck_assert_url("::1", "::1", "8080", "[::1]:8080", "/metrics");
}
END_TEST

static void ck_assert_no_url(const char *text, const char *what) {
        struct error error = ERROR_NONE;
        struct url url;

        ck_assert_msg(url_parse(&url, text, &error) == ERROR_INVALID, "'%s' was taken", text);
        ck_assert_msg(strstr(error.text, what) != NULL, "'%s': '%s' lacks '%s'", text, error.text, what);
}

START_TEST(what_is_no_url_is_told_why) {
        char long_host[400];

        memset(long_host, 'a', sizeof(long_host) - 1);
        long_host[sizeof(long_host) - 1] = 0;
        ck_assert_no_url("", "host is missing");
        ck_assert_no_url(":8080", "host is missing");
        ck_assert_no_url("http://", "host is missing");
        ck_assert_no_url("https://h", "TLS");
        ck_assert_no_url("ftp://h", "only http");
        ck_assert_no_url("h:0", "port");
        ck_assert_no_url("h:65536", "port");
        ck_assert_no_url("h:", "port");
        ck_assert_no_url("h:80x", "port");
        ck_assert_no_url("h:-1", "port");
        ck_assert_no_url("user@h", "user");
        ck_assert_no_url("h/a b", "blank");
        ck_assert_no_url("h/a\r\nX: y", "blank");
        ck_assert_no_url("h/a#b", "'#'");
        ck_assert_no_url("h?a", "path");
        ck_assert_no_url("[::1", "brackets");
        ck_assert_no_url("[::1]x", "brackets");
        ck_assert_no_url("[h]:80", "no IPv6");
        ck_assert_no_url("a:b:c", "more than one");
        ck_assert_no_url(long_host, "too long");
}
END_TEST

#define MAX_BODY 100u

static int read_reply(const char *text, bool ended, struct http_reply *reply, struct error *error) {
        return http_reply_read(reply, text, strlen(text), ended, MAX_BODY, error);
}

/* The body of a complete answer. Every prefix of it must be incomplete, or it would end too early. */
static void ck_assert_body(const char *text, unsigned status, const char *body, bool until_end) {
        _cleanup_(freep) char *copy = strdup(text);
        struct error error = ERROR_NONE;
        struct http_reply reply;
        size_t size;
        int r;

        for (size_t n = 0; n < strlen(text); n++) {
                r = http_reply_read(&reply, text, n, false, MAX_BODY, &error);
                ck_assert_msg(r == HTTP_REPLY_MORE, "%zu bytes of '%s': %d", n, text, r);
        }
        r = http_reply_read(&reply, text, strlen(text), until_end, MAX_BODY, &error);
        ck_assert_msg(r == 0, "'%s': %d %s", text, r, error.text);
        ck_assert_uint_eq(reply.status, status);
        size = http_reply_join(&reply, copy);
        ck_assert_uint_eq(size, strlen(body));
        ck_assert_int_eq(memcmp(copy + reply.body, body, size), 0);
}

START_TEST(answers_end_by_length_by_chunk_or_with_the_connection) {
        ck_assert_body("HTTP/1.1 200 OK\r\ncontent-length:  5 \r\n\r\nhello", 200, "hello", false);
        ck_assert_body("HTTP/1.0 200\nA: b\n\nhello", 200, "hello", true);
        ck_assert_body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3\r\nhel\r\n00002;x=y\r\nlo\r\n0\r\n",
                       200, "hello", false);
        ck_assert_body("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", 204, "", false);
}
END_TEST

START_TEST(a_redirect_says_where_to) {
        struct http_reply reply;

        ck_assert_int_eq(
                read_reply("HTTP/1.1 301 Moved\r\nLocation: http://x/y\r\nContent-Length: 0\r\n\r\n", false,
                           &reply, NULL),
                0);
        ck_assert_uint_eq(reply.status, 301);
        ck_assert_str_eq(reply.location, "http://x/y");
}
END_TEST

static void ck_assert_refused(const char *text, int code, const char *what) {
        struct error error = ERROR_NONE;
        struct http_reply reply;

        ck_assert_int_eq(read_reply(text, true, &reply, &error), code);
        ck_assert_msg(strstr(error.text, what) != NULL, "'%s': '%s' lacks '%s'", text, error.text, what);
}

START_TEST(answers_that_are_none_are_refused) {
        _cleanup_(freep) char *text = malloc(HTTP_REPLY_MAX_HEADER + 100);

        ck_assert_refused("", ERROR_INVALID, "ended early");
        ck_assert_refused("SSH-2.0-OpenSSH\r\n", ERROR_INVALID, "no HTTP");
        ck_assert_refused("HTTP/2.0 200 OK\r\n\r\n", ERROR_INVALID, "no HTTP");
        ck_assert_refused("HTTP/1.1 20 OK\r\n\r\n", ERROR_INVALID, "no HTTP");
        ck_assert_refused("HTTP/1.1 2000 OK\r\n\r\n", ERROR_INVALID, "no HTTP");
        ck_assert_refused("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", ERROR_INVALID, "ended early");
        ck_assert_refused("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ERROR_INVALID, "Content-Length");
        ck_assert_refused("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", ERROR_LIMIT, "more than 100");
        ck_assert_refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", ERROR_INVALID,
                          "Transfer-Encoding");
        ck_assert_refused("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", ERROR_INVALID, "compressed");
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        ck_assert_refused(CHUNKED "x\r\n", ERROR_INVALID, "chunks");
        ck_assert_refused(CHUNKED "2\r\nabc\r\n", ERROR_INVALID, "chunks");
        ck_assert_refused(CHUNKED "123456789\r\n", ERROR_INVALID, "chunks");
        ck_assert_refused(CHUNKED "ffffffff\r\n", ERROR_LIMIT, "more than 100");
        ck_assert_refused(CHUNKED "3\r\nabc\r\n", ERROR_INVALID, "ended early");

        memset(text, 'a', HTTP_REPLY_MAX_HEADER + 99);
        memcpy(text, "HTTP/1.1 200 OK\r\n", 17);
        text[HTTP_REPLY_MAX_HEADER + 99] = 0;
        ck_assert_refused(text, ERROR_LIMIT, "header");
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("top");

        tcase_add_test(tests, metrics_are_taken_apart);
        tcase_add_test(tests, what_is_malformed_is_named_with_its_line);
        tcase_add_test(tests, zeros_and_too_much_are_refused);
        tcase_add_test(tests, quantiles_are_linear_within_a_bucket);
        tcase_add_test(tests, histograms_add_up_over_other_labels);
        tcase_add_test(tests, only_what_came_since_counts);
        tcase_add_test(tests, a_report_compares_two_scrapes);
        tcase_add_test(tests, of_a_server_that_was_started_again_all_counts);
        tcase_add_test(tests, the_first_scrape_has_no_rates);
        tcase_add_test(tests, other_metrics_are_not_taken_for_ours);
        tcase_add_test(tests, urls_have_all_forms_that_people_type);
        tcase_add_test(tests, what_is_no_url_is_told_why);
        tcase_add_test(tests, answers_end_by_length_by_chunk_or_with_the_connection);
        tcase_add_test(tests, a_redirect_says_where_to);
        tcase_add_test(tests, answers_that_are_none_are_refused);
        return suite_run_as("top", tests);
}
