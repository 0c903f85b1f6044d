#pragma once
/*
 * slow_log: where the time of slow requests went, in the log.
 *
 * Under overload every request is slow: at most SLOW_LOG_PER_SECOND are logged in a second, and the next
 * line, or the one at the end, says how many were left out. Thread safe and lock-free.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "proto/classify.h"

struct log;
struct metrics;
struct slow_log;

#define SLOW_LOG_PER_SECOND 10u

struct slow_log_options {
        struct log *log;
        struct metrics *metrics;
        unsigned threshold_ms; /* requests that take longer are slow; 0: none is */
};

/* A request that was answered. Strings are borrowed for the call. */
struct slow_request {
        const char *id, *model;
        const char *traceparent; /* "": none */
        unsigned status;
        struct classify_latency
                latency; /* of the image that was the last to be done; total_ms with encode_ms */
        double encode_ms;
        size_t n_images, batch_size, width,
                height; /* the last three of that image; 0: it did not get so far */
        size_t body_bytes;
};

/* Log and metrics are borrowed. Fails with ERROR_NO_MEMORY. */
int slow_log_new(struct slow_log **ret_slow_log, const struct slow_log_options *options,
                 struct error *error);
/* Logs how many were left out since the last line. */
void slow_log_free(struct slow_log *slow_log);
DEFINE_CLEANUP(slow_log)

/* Logs the request where it was slow, and counts it. */
void slow_log_consider(struct slow_log *slow_log, const struct slow_request *request);

/* Behind it: whether a line may be written at this time (clock_ns()). *ret_left_out then has how many it
 * stands for besides its own. */
bool slow_log_may_write(struct slow_log *slow_log, uint64_t now_ns, uint64_t *ret_left_out);
