#pragma once
/*
 * report: what two scrapes say of the server between them, and its printing.
 *
 * Texts are borrowed from the later scrape. Numbers that cannot be told (no second scrape, no event) are
 * NaN.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/top/exposition.h"

#define REPORT_MAX_RATES  24u /* more are left out */
#define REPORT_MAX_MODELS 64u
#define REPORT_STAGES     6u

/* Events a second by the value of one label. */
struct report_rates {
        size_t n;
        const char *labels[REPORT_MAX_RATES];
        double per_s[REPORT_MAX_RATES];
        double total_per_s;
};

struct report_durations {
        double p50_ms, p99_ms, mean_ms, per_s;
};

struct report_model {
        const char *name, *version, *precision;
        double images_per_s; /* that were classified */
        double batch;        /* images that ran together, mean */
        struct report_durations infer, total;
};

struct report {
        const char *version; /* of the server */
        double uptime_s;
        double cpus, cpus_used, resident_bytes, open_fds, max_fds;
        double queue_images, inflight_requests, wait_s, saturation;
        struct report_rates requests; /* by status, without probes and scrapes */
        struct report_rates images;   /* by outcome */
        struct report_rates sheds;    /* by reason */
        double batch;                 /* images that ran together, mean */
        struct report_durations stages[REPORT_STAGES];
        struct report_model models[REPORT_MAX_MODELS];
        size_t n_models;
};

extern const char *const report_stage_names[REPORT_STAGES];

/* Fails with ERROR_INVALID where these are no metrics of saccade. */
int report_check(const struct exposition *exposition, struct error *error);

/* Both scrapes passed report_check(). before: the one interval_s earlier, or NULL. now_s: seconds since the
 * epoch. Of a server that was started again meanwhile, all events count. */
void report_make(struct report *ret_report, const struct exposition *now, const struct exposition *before,
                 double interval_s, double now_s);

struct report_style {
        const char *plain, *bold, *dim, *alarm; /* escape sequences, or "" */
        size_t width;                           /* columns; longer lines are cut where they may be */
        size_t max_lines;                       /* models that do not fit are left out; 0: no limit */
};

/* head: what the first line ends in, such as the URL. */
void report_print(FILE *file, const struct report *report, const char *head,
                  const struct report_style *style);
