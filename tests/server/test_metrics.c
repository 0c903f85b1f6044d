#include <pthread.h>

#include "server/metrics.h"
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

        metrics_request(metrics, 0, 200, 1000000);
        metrics_request(metrics, 0, 200, 1000000);
        metrics_request(metrics, 0, 429, 1000);
        metrics_request(metrics, 1, 404, 1000);
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

        metrics_stage_duration(metrics, METRICS_STAGE_INFER, 2000000);      /* 2 ms, a bound */
        metrics_stage_duration(metrics, METRICS_STAGE_INFER, 2000001);      /* just above it */
        metrics_stage_duration(metrics, METRICS_STAGE_INFER, 100000000000); /* 100 s, above all */
        text = render(false);
        ck_assert_contains(text, "saccade_stage_duration_seconds_bucket{stage=\"infer\",le=\"0.001\"} 0\n");
        ck_assert_contains(text, "saccade_stage_duration_seconds_bucket{stage=\"infer\",le=\"0.002\"} 1\n");
        ck_assert_contains(text, "saccade_stage_duration_seconds_bucket{stage=\"infer\",le=\"0.003\"} 2\n");
        ck_assert_contains(text, "saccade_stage_duration_seconds_bucket{stage=\"infer\",le=\"30\"} 2\n");
        ck_assert_contains(text, "saccade_stage_duration_seconds_bucket{stage=\"infer\",le=\"+Inf\"} 3\n");
        ck_assert_contains(text, "saccade_stage_duration_seconds_sum{stage=\"infer\"} 100.004000001\n");
        ck_assert_contains(text, "saccade_stage_duration_seconds_count{stage=\"infer\"} 3\n");
        ck_assert_contains(text, "saccade_stage_duration_seconds_count{stage=\"decode\"} 0\n");
}
END_TEST

START_TEST(batches_sum_to_their_images) {
        _cleanup_(freep) char *text = NULL;

        metrics_batch(metrics, 1);
        metrics_batch(metrics, 4);
        text = render(false);
        ck_assert_contains(text, "saccade_batch_size_bucket{le=\"2\"} 1\n");
        ck_assert_contains(text, "saccade_batch_size_bucket{le=\"4\"} 2\n");
        ck_assert_contains(text, "saccade_batch_size_sum 5.000000000\n");
}
END_TEST

START_TEST(a_model_is_shown_when_it_is_known) {
        _cleanup_(freep) char *before = render(false), *after = NULL;

        ck_assert_ptr_null(strstr(before, "saccade_images_total{"));
        ck_assert_int_eq(metrics_set_model(metrics, 1, "a\"b\\c\nd", "0123", "f32", NULL), 0);
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

        ck_assert_int_eq(metrics_set_model(metrics, 0, "m", "0001", "f32", NULL), 0);
        metrics_image(metrics, 0, METRICS_OUTCOME_OK);
        metrics_model_load(metrics, 0, METRICS_LOAD_OK);
        ck_assert_int_eq(metrics_set_model(metrics, 0, "m", "0002", "int8", NULL), 0);
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
        _cleanup_(freep) char *text = render(true);

        metrics_shed(metrics, METRICS_SHED_QUEUE);
        ck_assert_contains(text, "\n# TYPE saccade_shed counter\n");
        ck_assert_contains(text, "\nsaccade_shed_total{reason=\"queue_full\"} 0\n");
        ck_assert_contains(text, "saccade_batch_size_bucket{le=\"1.0\"} 0\n");
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
                metrics_request(metrics, 0, 200, 1000);
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
        tcase_add_test(tests, batches_sum_to_their_images);
        tcase_add_test(tests, a_model_is_shown_when_it_is_known);
        tcase_add_test(tests, a_model_that_is_replaced_or_unloaded_keeps_what_it_counted);
        tcase_add_test(tests, openmetrics_names_families_without_total_and_ends_in_eof);
        tcase_add_test(tests, gauges_are_what_was_given);
        tcase_add_test(tests, no_event_of_any_thread_is_lost);
        return suite_run(tests);
}
