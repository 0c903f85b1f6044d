#pragma once
/*
 * metrics: what the server counts, and its Prometheus text.
 *
 * docs/metrics.md has the names and what they mean. Recording is lock-free and does not allocate: a thread
 * adds to its own shard, and a scrape sums the shards (a scrape is no snapshot: a count may be newer than
 * another). All functions are thread safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "server/exemplar.h"

struct metrics;

/* One vocabulary everywhere, see metrics_stage_name(). */
enum metrics_stage {
        METRICS_STAGE_RECEIVE,
        METRICS_STAGE_DECODE,
        METRICS_STAGE_QUEUE,
        METRICS_STAGE_INFER,
        METRICS_STAGE_ENCODE,
        METRICS_STAGE_TOTAL,
        METRICS_STAGE_MAX,
};

/* How an image ended. */
enum metrics_outcome {
        METRICS_OUTCOME_OK,
        METRICS_OUTCOME_UNSUPPORTED, /* no format that is decoded here */
        METRICS_OUTCOME_BROKEN,
        METRICS_OUTCOME_LIMIT,     /* beyond the pixel limit */
        METRICS_OUTCOME_DEADLINE,  /* dropped, its deadline had passed */
        METRICS_OUTCOME_CANCELLED, /* dropped, its client had gone or the server was stopped */
        METRICS_OUTCOME_INTERNAL,
        METRICS_OUTCOME_MAX,
};

/* Why a request was turned away unread. */
enum metrics_shed {
        METRICS_SHED_QUEUE,       /* the queue is full */
        METRICS_SHED_DEADLINE,    /* the queue could not answer in time */
        METRICS_SHED_MEMORY,      /* bodies in flight hold all the memory they may */
        METRICS_SHED_LOADING,     /* the models are not loaded yet */
        METRICS_SHED_CONNECTIONS, /* too many connections */
        METRICS_SHED_MAX,
};

/* How the load of a model ended. Unless it is ok, what was served before is served on. */
enum metrics_load {
        METRICS_LOAD_OK,
        METRICS_LOAD_FAILED,   /* it could not be read, planned or run */
        METRICS_LOAD_REJECTED, /* its golden answers are not what it gives */
        METRICS_LOAD_MAX,
};

struct metrics_options {
        const char *version;         /* of the program */
        const char *const *handlers; /* label values; borrowed for the life of the metrics, as all strings */
        size_t n_handlers;
        size_t n_models;
};

/* Fails with ERROR_NO_MEMORY. */
int metrics_new(struct metrics **ret_metrics, const struct metrics_options *options, struct error *error);
void metrics_free(struct metrics *metrics);
DEFINE_CLEANUP(metrics)

const char *metrics_stage_name(enum metrics_stage stage);
const char *metrics_load_name(enum metrics_load load);

/* Makes a model visible, or tells what is served under its index now; before, nothing of it is shown.
 * Strings are copied: a name of more than METRICS_MODEL_NAME_MAX bytes is cut, what is not UTF-8 in it
 * becomes U+FFFD. Takes a lock, which a scrape holds as well. */
#define METRICS_MODEL_NAME_MAX 255u
void metrics_set_model(struct metrics *metrics, size_t model, const char *name, const char *version,
                       const char *precision);

/* It is no longer served; what it counted stays. */
void metrics_unset_model(struct metrics *metrics, size_t model);

/* A load beside serving has ended. */
void metrics_model_load(struct metrics *metrics, size_t model, enum metrics_load load);

/* handler and model: indices below n_handlers and n_models. exemplar: the request, or NULL. */
void metrics_request(struct metrics *metrics, size_t handler, unsigned code, uint64_t duration_ns,
                     const struct exemplar_labels *exemplar);
void metrics_image(struct metrics *metrics, size_t model, enum metrics_outcome outcome);
void metrics_stage_duration(struct metrics *metrics, size_t model, enum metrics_stage stage,
                            uint64_t duration_ns, const struct exemplar_labels *exemplar);
void metrics_batch(struct metrics *metrics, size_t model, size_t images);
void metrics_shed(struct metrics *metrics, enum metrics_shed reason);
void metrics_slow_request(struct metrics *metrics);

/* What is not counted but looked up when asked for. */
struct metrics_gauges {
        unsigned cpus; /* that inference may use */
        size_t queue_images;
        size_t inflight_requests;
        double queue_wait_estimate_s;
        double saturation_ratio;
};

/* One counter or histogram, for rendering and for tests; sums over the shards. */
uint64_t metrics_requests(const struct metrics *metrics, size_t handler, unsigned code);

/* Prometheus text 0.0.4, or OpenMetrics 1.0, which has exemplars too. *ret_text is the caller's to free().
 * Fails with ERROR_NO_MEMORY. */
int metrics_render(struct metrics *metrics, const struct metrics_gauges *gauges, bool openmetrics,
                   char **ret_text, size_t *ret_size, struct error *error);

#define METRICS_CONTENT_TYPE_TEXT        "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_CONTENT_TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
