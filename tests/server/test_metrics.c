#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "server/metrics.h"
#include "server/metrics_store.h"
#include "tests/server/suite.h"

static const char *const handlers[] = {"classify", "other"};
static struct metrics *metrics;

static void set_up(void) {
        const struct metrics_options options = {
                .version = "1.2.3", .handlers = handlers, .n_handlers = ARRAY_SIZE(handlers), .n_models = 2};

        ck_assert_int_eq(metrics_new(&metrics, &options, NULL), 0);
}

static void tear_down(void) {
        metrics_free(metrics);
}

static char *render(bool openmetrics) {
        const struct metrics_gauges gauges = {.queue_images = 3, .saturation_ratio = 1.5};
        char *text;
        size_t size;

        ck_assert_int_eq(metrics_render(metrics, &gauges, openmetrics, &text, &size, NULL), 0);
        ck_assert_uint_eq(strlen(text), size);
        return text;
}

START_TEST(requests_are_counted_by_handler_and_code) {
        _cleanup_(freep) char *text = NULL;

        metrics_request(metrics, 0, 200, 1000000, NULL);
        metrics_request(metrics, 0, 200, 1000000, NULL);
        metrics_request(metrics, 0, 429, 1000, NULL);
        metrics_request(metrics, 1, 404, 1000, NULL);
        text = render(false);
        ck_assert_contains(text, "\nsaccade_requests_total{handler=\"classify\",code=\"200\"} 2\n");
        ck_assert_contains(text, "\nsaccade_requests_total{handler=\"classify\",code=\"429\"} 1\n");
        ck_assert_contains(text, "\nsaccade_requests_total{handler=\"other\",code=\"200\"} 0\n");
        ck_assert_contains(text, "\nsaccade_requests_total{handler=\"other\",code=\"404\"} 1\n");
        ck_assert_uint_eq(metrics_requests(metrics, 0, 200), 2);
}
END_TEST

START_TEST(buckets_are_cumulative_and_their_bounds_belong_to_them) {
        _cleanup_(freep) char *text = NULL;

        metrics_set_model(metrics, 1, "m", "0123", "f32");
        metrics_stage_duration(metrics, 1, METRICS_STAGE_INFER, 2000000, NULL);      /* 2 ms, a bound */
        metrics_stage_duration(metrics, 1, METRICS_STAGE_INFER, 2000001, NULL);      /* just above it */
        metrics_stage_duration(metrics, 1, METRICS_STAGE_INFER, 100000000000, NULL); /* 100 s, above all */
        text = render(false);
        ck_assert_contains(
                text, "saccade_stage_duration_seconds_bucket{stage=\"infer\",model=\"m\",le=\"0.001\"} 0\n");
        ck_assert_contains(
                text, "saccade_stage_duration_seconds_bucket{stage=\"infer\",model=\"m\",le=\"0.002\"} 1\n");
        ck_assert_contains(
                text, "saccade_stage_duration_seconds_bucket{stage=\"infer\",model=\"m\",le=\"0.003\"} 2\n");
        ck_assert_contains(
                text, "saccade_stage_duration_seconds_bucket{stage=\"infer\",model=\"m\",le=\"30\"} 2\n");
        ck_assert_contains(
                text, "saccade_stage_duration_seconds_bucket{stage=\"infer\",model=\"m\",le=\"+Inf\"} 3\n");
        ck_assert_contains(
                text, "saccade_stage_duration_seconds_sum{stage=\"infer\",model=\"m\"} 100.004000001\n");
        ck_assert_contains(text, "saccade_stage_duration_seconds_count{stage=\"infer\",model=\"m\"} 3\n");
        ck_assert_contains(text, "saccade_stage_duration_seconds_count{stage=\"decode\",model=\"m\"} 0\n");
}
END_TEST

/* What a bucket of 1 to 100 ms says of a quantile is right to a factor of 1.5. */
START_TEST(buckets_are_narrow_where_classifications_are) {
        double last = 0.001;

        for (size_t i = 0; i < METRICS_N_DURATION_BOUNDS; i++) {
                double bound = (double)metrics_duration_bounds_ns[i] / 1e9;

                if (i > 0)
                        ck_assert_uint_gt(metrics_duration_bounds_ns[i], metrics_duration_bounds_ns[i - 1]);
                if (bound <= 0.001 || last >= 0.1)
                        continue;
                ck_assert_double_le(bound / last, 1.5 + 1e-9);
                last = bound;
        }
        ck_assert_double_ge(last, 0.1);
}
END_TEST

START_TEST(models_have_series_of_their_own) {
        _cleanup_(freep) char *text = NULL;

        metrics_set_model(metrics, 0, "a", "0123", "f32");
        metrics_set_model(metrics, 1, "b", "4567", "int8");
        metrics_stage_duration(metrics, 0, METRICS_STAGE_DECODE, 1000000, NULL);
        metrics_stage_duration(metrics, 1, METRICS_STAGE_DECODE, 3000000, NULL);
        metrics_batch(metrics, 0, 3);
        text = render(false);
        ck_assert_contains(text, "_seconds_sum{stage=\"decode\",model=\"a\"} 0.001000000\n");
        ck_assert_contains(text, "_seconds_sum{stage=\"decode\",model=\"b\"} 0.003000000\n");
        ck_assert_contains(text, "\nsaccade_batch_size_count{model=\"a\"} 1\n");
        ck_assert_contains(text, "\nsaccade_batch_size_count{model=\"b\"} 0\n");
        ck_assert_contains(text, "{model=\"a\",version=\"0123\",precision=\"f32\"} 1\n");

        /* A new version takes the place of the old one. */
        metrics_set_model(metrics, 0, "a", "89ab", "f32");
        free(steal_ptr(&text));
        text = render(false);
        ck_assert_ptr_null(strstr(text, "version=\"0123\""));
        ck_assert_contains(text, "{model=\"a\",version=\"89ab\",precision=\"f32\"} 1\n");
}
END_TEST

START_TEST(a_name_that_is_no_utf8_is_repaired) {
        _cleanup_(freep) char *text = NULL;

        metrics_set_model(metrics, 0, "a\xffz", "0123", "f32");
        text = render(false);
        ck_assert_contains(text, "{model=\"a\xef\xbf\xbdz\",version=\"0123\"");
}
END_TEST

/* The line of text that begins with start, without its newline; the caller's to free. */
static char *line_of(const char *text, const char *start) {
        const char *found = strstr(text, start);

        ck_assert_msg(found != NULL, "no %s in:\n%s", start, text);
        return strndup(found, strcspn(found, "\n"));
}

START_TEST(openmetrics_names_a_request_for_each_bucket_of_durations) {
        static const struct exemplar_labels plain = {.request_id = "id-1"},
                                            traced = {.request_id = "id-2",
                                                      .trace_id = "0af7651916cd43dd8448eb211c80319c"};
        _cleanup_(freep) char *om = NULL, *text = NULL, *line = NULL;
        double value, time_s;
        char id[80];

        metrics_set_model(metrics, 0, "m", "0123", "f32");
        metrics_request(metrics, 0, 200, 1200000, &plain);
        metrics_stage_duration(metrics, 0, METRICS_STAGE_INFER, 7000000, &traced);
        text = render(false);
        ck_assert_ptr_null(strstr(text, "} 1 #"));
        ck_assert_ptr_null(strstr(text, "id-1"));

        om = render(true);
        line = line_of(om, "saccade_request_duration_seconds_bucket{handler=\"classify\",le=\"0.0015\"}");
        ck_assert_int_eq(
                sscanf(strchr(line, '}'), "} 1 # {request_id=\"%79[^\"]\"} %lf %lf", id, &value, &time_s),
                3);
        ck_assert_str_eq(id, "id-1");
        ck_assert_double_eq(value, 0.0012);
        ck_assert_double_eq_tol(time_s, (double)time(NULL), 60);
        free(steal_ptr(&line));

        /* The bucket above counts it too, but it is not its own. */
        line = line_of(om, "saccade_request_duration_seconds_bucket{handler=\"classify\",le=\"0.002\"}");
        ck_assert_str_eq(strchr(line, '}'), "} 1");
        ck_assert_contains(om, "{stage=\"infer\",model=\"m\",le=\"0.0075\"} 1 # {request_id=\"id-2\","
                               "trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 0.007000000 ");
}
END_TEST

static void ck_assert_exemplar(const struct exemplar *exemplar, const char *id, uint64_t value_ns) {
        struct exemplar_view view;

        ck_assert(exemplar_read(exemplar, &view));
        ck_assert_str_eq(view.request_id, id);
        ck_assert_uint_eq(view.value_ns, value_ns);
}

START_TEST(an_exemplar_stays_for_a_while_and_then_gives_way) {
        struct exemplar exemplar = {0};
        struct exemplar_view view;

        ck_assert(!exemplar_read(&exemplar, &view));
        exemplar_offer(&exemplar, &(struct exemplar_labels){.request_id = "a-rather-long-first-id"}, 1,
                       5000);
        exemplar_offer(&exemplar, &(struct exemplar_labels){.request_id = "b"}, 2,
                       5000 + EXEMPLAR_KEEP_MS - 1);
        ck_assert_exemplar(&exemplar, "a-rather-long-first-id", 1);
        exemplar_offer(&exemplar, &(struct exemplar_labels){.request_id = "c"}, 3, 5000 + EXEMPLAR_KEEP_MS);
        ck_assert_exemplar(&exemplar, "c", 3);
}
END_TEST

START_TEST(an_exemplar_has_room_for_the_longest_id) {
        char id[REQUEST_ID_MAX + 1];
        struct exemplar exemplar = {0};

        memset(id, 'x', REQUEST_ID_MAX);
        id[REQUEST_ID_MAX] = 0;
        exemplar_offer(&exemplar, &(struct exemplar_labels){.request_id = id}, 7, 1);
        ck_assert_exemplar(&exemplar, id, 7);
}
END_TEST

static struct exemplar shared_exemplar;
static atomic_bool writers_done;

/* Value and id say the same, so that a reader sees a mixture of two writes. */
static void *offer_many(void *argument) {
        uint64_t first = (uint64_t)(uintptr_t)argument;

        for (uint64_t i = 0; i < 20000; i++) {
                char id[33];

                snprintf(id, sizeof(id), "%032ju", (uintmax_t)(first + i));
                exemplar_offer(&shared_exemplar, &(struct exemplar_labels){.request_id = id, .trace_id = id},
                               first + i, i * EXEMPLAR_KEEP_MS);
        }
        return NULL;
}

struct readings {
        size_t whole, mixed;
};

static void *read_many(void *argument) {
        struct readings *readings = argument;
        bool last;

        do {
                struct exemplar_view view;
                char expected[33];

                last = atomic_load(&writers_done);
                if (!exemplar_read(&shared_exemplar, &view))
                        continue;
                snprintf(expected, sizeof(expected), "%032ju", (uintmax_t)view.value_ns);
                if (strcmp(view.request_id, expected) == 0 && strcmp(view.trace_id, expected) == 0)
                        readings->whole++;
                else
                        readings->mixed++;
        } while (!last);
        return NULL;
}

START_TEST(an_exemplar_is_of_one_request_however_many_write_at_once) {
        struct readings readings = {0};
        pthread_t writers[3], reader;

        memset(&shared_exemplar, 0, sizeof(shared_exemplar));
        atomic_store(&writers_done, false);
        pthread_create(&reader, NULL, read_many, &readings);
        for (uintptr_t i = 0; i < ARRAY_SIZE(writers); i++)
                pthread_create(&writers[i], NULL, offer_many, (void *)(i * 1000000));
        for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
                pthread_join(writers[i], NULL);
        atomic_store(&writers_done, true);
        pthread_join(reader, NULL);
        ck_assert_uint_gt(readings.whole, 0);
        ck_assert_uint_eq(readings.mixed, 0);
}
END_TEST

START_TEST(batches_sum_to_their_images) {
        _cleanup_(freep) char *text = NULL;

        metrics_set_model(metrics, 1, "m", "0123", "f32");
        metrics_batch(metrics, 1, 1);
        metrics_batch(metrics, 1, 4);
        text = render(false);
        ck_assert_contains(text, "saccade_batch_size_bucket{model=\"m\",le=\"2\"} 1\n");
        ck_assert_contains(text, "saccade_batch_size_bucket{model=\"m\",le=\"4\"} 2\n");
        ck_assert_contains(text, "saccade_batch_size_sum{model=\"m\"} 5.000000000\n");
}
END_TEST

START_TEST(a_model_is_shown_when_it_is_known) {
        _cleanup_(freep) char *before = render(false), *after = NULL;

        ck_assert_ptr_null(strstr(before, "saccade_images_total{"));
        metrics_set_model(metrics, 1, "a\"b\\c\nd", "0123", "f32");
        metrics_image(metrics, 1, METRICS_OUTCOME_DEADLINE);
        after = render(false);
        ck_assert_contains(
                after,
                "saccade_model_info{model=\"a\\\"b\\\\c\\nd\",version=\"0123\",precision=\"f32\"} 1\n");
        ck_assert_contains(after,
                           "saccade_images_total{model=\"a\\\"b\\\\c\\nd\",outcome=\"deadline\"} 1\n");
}
END_TEST

START_TEST(a_model_that_is_replaced_or_unloaded_keeps_what_it_counted) {
        _cleanup_(freep) char *replaced = NULL, *unloaded = NULL;

        metrics_set_model(metrics, 0, "m", "0001", "f32");
        metrics_image(metrics, 0, METRICS_OUTCOME_OK);
        metrics_model_load(metrics, 0, METRICS_LOAD_OK);
        metrics_set_model(metrics, 0, "m", "0002", "int8");
        metrics_model_load(metrics, 0, METRICS_LOAD_REJECTED);
        replaced = render(false);
        ck_assert_contains(replaced,
                           "saccade_model_info{model=\"m\",version=\"0002\",precision=\"int8\"} 1\n");
        ck_assert_ptr_null(strstr(replaced, "\"0001\""));
        ck_assert_contains(replaced, "saccade_model_loaded{model=\"m\"} 1\n");
        ck_assert_contains(replaced, "saccade_model_last_reload_successful{model=\"m\"} 0\n");
        ck_assert_contains(replaced, "saccade_model_reloads_total{model=\"m\",outcome=\"ok\"} 1\n");
        ck_assert_contains(replaced, "saccade_model_reloads_total{model=\"m\",outcome=\"failed\"} 0\n");
        ck_assert_contains(replaced, "saccade_model_reloads_total{model=\"m\",outcome=\"rejected\"} 1\n");

        metrics_unset_model(metrics, 0);
        metrics_model_load(metrics, 0, METRICS_LOAD_OK);
        unloaded = render(false);
        ck_assert_ptr_null(strstr(unloaded, "saccade_model_info{"));
        ck_assert_contains(unloaded, "saccade_model_loaded{model=\"m\"} 0\n");
        ck_assert_contains(unloaded, "saccade_model_last_reload_successful{model=\"m\"} 1\n");
        ck_assert_contains(unloaded, "saccade_images_total{model=\"m\",outcome=\"ok\"} 1\n");
}
END_TEST

START_TEST(openmetrics_names_families_without_total_and_ends_in_eof) {
        _cleanup_(freep) char *text = NULL;

        metrics_set_model(metrics, 1, "m", "0123", "f32");
        metrics_shed(metrics, METRICS_SHED_QUEUE);
        text = render(true);
        ck_assert_contains(text, "\n# TYPE saccade_shed counter\n");
        ck_assert_contains(text, "\nsaccade_shed_total{reason=\"queue_full\"} 1\n");
        ck_assert_contains(text, "saccade_batch_size_bucket{model=\"m\",le=\"1.0\"} 0\n");
        ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
}
END_TEST

START_TEST(gauges_are_what_was_given) {
        _cleanup_(freep) char *text = render(false);

        ck_assert_contains(text, "\nsaccade_queue_images 3\n");
        ck_assert_contains(text, "\nsaccade_saturation_ratio 1.5\n");
        ck_assert_contains(text, "\nsaccade_build_info{version=\"1.2.3\"} 1\n");
}
END_TEST

#define N_THREADS 20 /* more than there are shards */
#define N_EVENTS  5000

static void *count_many(void *argument _unused_) {
        for (unsigned i = 0; i < N_EVENTS; i++)
                metrics_request(metrics, 0, 200, 1000, NULL);
        return NULL;
}

START_TEST(no_event_of_any_thread_is_lost) {
        pthread_t threads[N_THREADS];

        for (size_t i = 0; i < N_THREADS; i++)
                pthread_create(&threads[i], NULL, count_many, NULL);
        free(render(false)); /* at the same time */
        for (size_t i = 0; i < N_THREADS; i++)
                pthread_join(threads[i], NULL);
        ck_assert_uint_eq(metrics_requests(metrics, 0, 200), N_THREADS * N_EVENTS);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("metrics");

        tcase_add_checked_fixture(tests, set_up, tear_down);
        tcase_add_test(tests, requests_are_counted_by_handler_and_code);
        tcase_add_test(tests, buckets_are_cumulative_and_their_bounds_belong_to_them);
        tcase_add_test(tests, buckets_are_narrow_where_classifications_are);
        tcase_add_test(tests, models_have_series_of_their_own);
        tcase_add_test(tests, a_name_that_is_no_utf8_is_repaired);
        tcase_add_test(tests, openmetrics_names_a_request_for_each_bucket_of_durations);
        tcase_add_test(tests, an_exemplar_stays_for_a_while_and_then_gives_way);
        tcase_add_test(tests, an_exemplar_has_room_for_the_longest_id);
        tcase_add_test(tests, an_exemplar_is_of_one_request_however_many_write_at_once);
        tcase_add_test(tests, batches_sum_to_their_images);
        tcase_add_test(tests, a_model_is_shown_when_it_is_known);
        tcase_add_test(tests, a_model_that_is_replaced_or_unloaded_keeps_what_it_counted);
        tcase_add_test(tests, openmetrics_names_families_without_total_and_ends_in_eof);
        tcase_add_test(tests, gauges_are_what_was_given);
        tcase_add_test(tests, no_event_of_any_thread_is_lost);
        return suite_run(tests);
}
