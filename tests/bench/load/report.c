#include "tests/bench/load/report.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#include "base/macros.h"

static const struct {
        const char *name;
        unsigned per_mille;
} PERCENTILES[] = {{"p50_ms", 500}, {"p90_ms", 900}, {"p99_ms", 990}, {"p999_ms", 999}, {"max_ms", 1000}};

static void add_percentiles(cJSON *object, struct samples *samples) {
        cJSON_AddNumberToObject(object, "n", (double)samples->n);
        for (size_t i = 0; samples->n > 0 && i < ARRAY_SIZE(PERCENTILES); i++)
                cJSON_AddNumberToObject(object, PERCENTILES[i].name,
                                        (double)samples_percentile(samples, PERCENTILES[i].per_mille) / 1e6);
}

/* Bars as [upper_ms, count]. */
static void add_latencies(cJSON *parent, const char *name, struct samples *samples) {
        cJSON *object = cJSON_AddObjectToObject(parent, name);
        cJSON *histogram = cJSON_CreateArray();
        struct samples_bar bars[SAMPLES_MAX_BARS];
        size_t n_bars = samples_bars(samples, bars);

        add_percentiles(object, samples);
        if (samples->n > 0)
                cJSON_AddNumberToObject(object, "mean_ms", samples_mean_ns(samples) / 1e6);
        for (size_t i = 0; i < n_bars; i++) {
                const double bar[] = {(double)bars[i].upper_ns / 1e6, (double)bars[i].n};

                cJSON_AddItemToArray(histogram, cJSON_CreateDoubleArray(bar, ARRAY_SIZE(bar)));
        }
        cJSON_AddItemToObject(object, "histogram", histogram);
}

static void add_statuses(cJSON *parent, const struct tally *tally) {
        cJSON *object = cJSON_AddObjectToObject(parent, "statuses");

        for (unsigned status = 0; status < TALLY_MAX_STATUS; status++) {
                char name[16];

                if (tally->statuses[status] == 0)
                        continue;
                snprintf(name, sizeof(name), "%u", status);
                cJSON_AddNumberToObject(object, status > 0 ? name : "other",
                                        (double)tally->statuses[status]);
        }
}

static void add_generator(cJSON *parent, struct generator_result *result) {
        cJSON *object = cJSON_AddObjectToObject(parent, "generator");

        cJSON_AddNumberToObject(object, "cpu_s", result->cpu_s);
        cJSON_AddBoolToObject(object, "real_time", result->real_time);
        cJSON_AddNumberToObject(object, "connections_opened", (double)result->n_connected);
        cJSON_AddNumberToObject(object, "waited_for_connection", (double)result->n_waited_for_connection);
        cJSON_AddNumberToObject(object, "late_p99_ms", (double)samples_percentile(&result->late, 990) / 1e6);
        cJSON_AddNumberToObject(object, "late_max_ms",
                                (double)samples_percentile(&result->late, 1000) / 1e6);
}

cJSON *report_result(struct generator_result *result, const struct generator_options *options) {
        struct tally *tally = &result->tally;
        double seconds = (double)options->window_ns / 1e9;
        cJSON *object = cJSON_CreateObject(), *retries;

        cJSON_AddStringToObject(object, "loop", options->open ? "open" : "closed");
        if (options->open)
                cJSON_AddNumberToObject(object, "rate", options->arrivals.rate);
        cJSON_AddNumberToObject(object, "connections", (double)options->n_connections);
        cJSON_AddNumberToObject(object, "seconds", seconds);
        if (options->deadline_ns < UINT64_MAX)
                cJSON_AddNumberToObject(object, "deadline_ms", (double)options->deadline_ns / 1e6);
        if (options->open)
                cJSON_AddNumberToObject(object, "scheduled", (double)result->n_scheduled);
        cJSON_AddNumberToObject(object, "throughput", (double)tally->n_answered / seconds);
        cJSON_AddNumberToObject(object, "goodput", (double)tally->n_in_time / seconds);
        cJSON_AddNumberToObject(object, "answers", (double)result->n_answers);
        add_statuses(object, tally);
        cJSON_AddNumberToObject(object, "broken", (double)tally->n_broken);
        cJSON_AddNumberToObject(object, "unanswered", (double)tally->n_unanswered);
        add_latencies(object, "accepted", &tally->accepted);
        add_latencies(object, "refused", &tally->refused);
        retries = cJSON_AddObjectToObject(object, "retries");
        cJSON_AddNumberToObject(retries, "got_through", (double)tally->n_got_through);
        cJSON_AddNumberToObject(retries, "max_attempts", tally->max_attempts);
        cJSON_AddNumberToObject(retries, "left", (double)result->n_retries_left);
        add_generator(object, result);
        return object;
}

cJSON *report_interval(double second, double seconds, struct tally *tally) {
        cJSON *object = cJSON_CreateObject();

        cJSON_AddNumberToObject(object, "second", second);
        cJSON_AddNumberToObject(object, "throughput", (double)tally->n_answered / seconds);
        cJSON_AddNumberToObject(object, "goodput", (double)tally->n_in_time / seconds);
        add_statuses(object, tally);
        cJSON_AddNumberToObject(object, "broken", (double)tally->n_broken);
        add_percentiles(cJSON_AddObjectToObject(object, "accepted"), &tally->accepted);
        return object;
}
