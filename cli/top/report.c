#include "cli/top/report.h"

#include <math.h>
#include <string.h>

#include "base/macros.h"
#include "cli/top/buckets.h"

#define BUILD_INFO "saccade_build_info" /* says that it is saccade */

const char *const report_stage_names[REPORT_STAGES] = {"receive", "decode", "queue",
                                                       "infer",   "encode", "total"};

struct scrapes {
        const struct exposition *now, *before; /* before: NULL where there is none, or all events are new */
        double interval_s;                     /* NaN: there is nothing to compare with */
};

static double value_of(const struct exposition *exposition, const char *name) {
        const struct exposition_sample *sample = exposition_find(exposition, name);

        return sample ? sample->value : NAN;
}

/* Asked for by machines, at fixed times: they would hide what users ask for. */
static bool is_probe(const struct exposition *exposition, const struct exposition_sample *sample) {
        static const char *const probes[] = {"livez", "readyz", "metrics"};
        const char *handler = exposition_label(exposition, sample, "handler");

        for (size_t i = 0; handler && i < ARRAY_SIZE(probes); i++)
                if (strcmp(handler, probes[i]) == 0)
                        return true;
        return false;
}

static double *find_rate(struct report_rates *rates, const char *label, bool add) {
        for (size_t i = 0; i < rates->n; i++)
                if (strcmp(rates->labels[i], label) == 0)
                        return &rates->per_s[i];
        if (!add || rates->n == REPORT_MAX_RATES)
                return NULL;
        rates->labels[rates->n] = label;
        rates->per_s[rates->n] = 0;
        return &rates->per_s[rates->n++];
}

static void sum_by_label(struct report_rates *rates, const struct exposition *exposition, const char *name,
                         const char *label, double factor) {
        for (size_t i = 0; i < exposition_n_samples(exposition); i++) {
                const struct exposition_sample *sample = exposition_sample(exposition, i);
                const char *value;
                double *rate;

                if (strcmp(sample->name, name) != 0 || !isfinite(sample->value) ||
                    is_probe(exposition, sample))
                        continue;
                value = exposition_label(exposition, sample, label);
                rate = value ? find_rate(rates, value, factor > 0) : NULL;
                if (rate)
                        *rate += factor * sample->value;
        }
}

static struct report_rates rates_of(const struct scrapes *scrapes, const char *name, const char *label) {
        struct report_rates rates = {0};

        sum_by_label(&rates, scrapes->now, name, label, 1);
        if (scrapes->before)
                sum_by_label(&rates, scrapes->before, name, label, -1);
        for (size_t i = 0; i < rates.n; i++) {
                rates.per_s[i] = fmax(rates.per_s[i], 0) / scrapes->interval_s;
                rates.total_per_s += rates.per_s[i];
        }
        if (rates.n == 0)
                rates.total_per_s = NAN;
        return rates;
}

static struct buckets buckets_between(const struct scrapes *scrapes, const char *name,
                                      const struct buckets_match *matches, size_t n_matches) {
        struct buckets buckets, before;

        buckets_gather(&buckets, scrapes->now, name, matches, n_matches);
        if (scrapes->before) {
                buckets_gather(&before, scrapes->before, name, matches, n_matches);
                buckets_subtract(&buckets, &before);
        }
        return buckets;
}

/* model: NULL for all of them together. */
static struct report_durations stage_between(const struct scrapes *scrapes, const char *stage,
                                             const char *model) {
        const struct buckets_match matches[] = {{"stage", stage}, {"model", model}};
        struct buckets buckets =
                buckets_between(scrapes, "saccade_stage_duration_seconds", matches, model ? 2 : 1);

        return (struct report_durations){
                .p50_ms = buckets_quantile(&buckets, 0.5) * 1e3,
                .p99_ms = buckets_quantile(&buckets, 0.99) * 1e3,
                .mean_ms = buckets_mean(&buckets) * 1e3,
                .per_s = buckets_count(&buckets) / scrapes->interval_s,
        };
}

static double batch_between(const struct scrapes *scrapes, const char *model) {
        const struct buckets_match match = {"model", model};
        struct buckets buckets = buckets_between(scrapes, "saccade_batch_size", &match, model ? 1 : 0);

        return buckets_mean(&buckets);
}

/* Images of a model that came to this outcome. */
static double images_of(const struct exposition *exposition, const char *model, const char *outcome) {
        double sum = 0;

        for (size_t i = 0; i < exposition_n_samples(exposition); i++) {
                const struct exposition_sample *sample = exposition_sample(exposition, i);
                const char *its_model, *its_outcome;

                if (strcmp(sample->name, "saccade_images_total") != 0)
                        continue;
                its_model = exposition_label(exposition, sample, "model");
                its_outcome = exposition_label(exposition, sample, "outcome");
                if (its_model && its_outcome && strcmp(its_model, model) == 0 &&
                    strcmp(its_outcome, outcome) == 0)
                        sum += sample->value;
        }
        return sum;
}

static void add_models(struct report *report, const struct scrapes *scrapes) {
        for (size_t i = 0; i < exposition_n_samples(scrapes->now); i++) {
                const struct exposition_sample *sample = exposition_sample(scrapes->now, i);
                struct report_model model = {0};
                double images;

                if (strcmp(sample->name, "saccade_model_info") != 0 || report->n_models == REPORT_MAX_MODELS)
                        continue;
                model.name = exposition_label(scrapes->now, sample, "model");
                model.version = exposition_label(scrapes->now, sample, "version");
                model.precision = exposition_label(scrapes->now, sample, "precision");
                if (!model.name)
                        continue;
                images = images_of(scrapes->now, model.name, "ok");
                if (scrapes->before)
                        images -= images_of(scrapes->before, model.name, "ok");
                model.images_per_s = fmax(images, 0) / scrapes->interval_s;
                model.infer = stage_between(scrapes, "infer", model.name);
                model.total = stage_between(scrapes, "total", model.name);
                model.batch = batch_between(scrapes, model.name);
                report->models[report->n_models++] = model;
        }
}

static double cpus_used(const struct scrapes *scrapes) {
        double now = value_of(scrapes->now, "process_cpu_seconds_total"),
               before = scrapes->before ? value_of(scrapes->before, "process_cpu_seconds_total") : 0;

        return fmax(now - before, 0) / scrapes->interval_s;
}

static void read_gauges(struct report *report, const struct exposition *now, double now_s) {
        report->uptime_s = now_s - value_of(now, "process_start_time_seconds");
        report->cpus = value_of(now, "saccade_cpus");
        report->resident_bytes = value_of(now, "process_resident_memory_bytes");
        report->open_fds = value_of(now, "process_open_fds");
        report->max_fds = value_of(now, "process_max_fds");
        report->queue_images = value_of(now, "saccade_queue_images");
        report->inflight_requests = value_of(now, "saccade_inflight_requests");
        report->wait_s = value_of(now, "saccade_queue_wait_estimate_seconds");
        report->saturation = value_of(now, "saccade_saturation_ratio");
}

/* One that began at zero. The kernel reckons the start from a clock that may be set. */
static bool is_another_process(const struct exposition *now, const struct exposition *before) {
        double start_s = value_of(now, "process_start_time_seconds"),
               start_before_s = value_of(before, "process_start_time_seconds");

        return fabs(start_s - start_before_s) > 1.5 ||
               value_of(now, "process_cpu_seconds_total") < value_of(before, "process_cpu_seconds_total");
}

int report_check(const struct exposition *exposition, struct error *error) {
        if (!exposition_find(exposition, BUILD_INFO))
                return error_set(error, ERROR_INVALID,
                                 "these are metrics, but not those of saccade: there is no " BUILD_INFO);
        return 0;
}

void report_make(struct report *ret_report, const struct exposition *now, const struct exposition *before,
                 double interval_s, double now_s) {
        const struct exposition_sample *build = exposition_find(now, BUILD_INFO);
        struct scrapes scrapes = {.now = now, .before = before, .interval_s = before ? interval_s : NAN};

        if (before && is_another_process(now, before))
                scrapes.before = NULL;

        *ret_report = (struct report){.version = exposition_label(now, build, "version")};
        read_gauges(ret_report, now, now_s);
        ret_report->cpus_used = cpus_used(&scrapes);
        ret_report->requests = rates_of(&scrapes, "saccade_requests_total", "code");
        ret_report->images = rates_of(&scrapes, "saccade_images_total", "outcome");
        ret_report->sheds = rates_of(&scrapes, "saccade_shed_total", "reason");
        ret_report->batch = batch_between(&scrapes, NULL);
        for (size_t i = 0; i < REPORT_STAGES; i++)
                ret_report->stages[i] = stage_between(&scrapes, report_stage_names[i], NULL);
        add_models(ret_report, &scrapes);
}
