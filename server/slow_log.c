#include "server/slow_log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "server/log.h"
#include "server/metrics.h"

#define NS_PER_S 1000000000u

struct slow_log {
        struct slow_log_options options;
        /* The second and the lines written in it, as second << COUNT_BITS | lines, so that both change at
         * once. */
        _Atomic uint64_t window;
        _Atomic uint64_t left_out;
};

#define COUNT_BITS 8u
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
_Static_assert(SLOW_LOG_PER_SECOND <= COUNT_MASK, "the lines of a second do not fit");

int slow_log_new(struct slow_log **ret_slow_log, const struct slow_log_options *options,
                 struct error *error) {
        struct slow_log *slow_log = calloc(1, sizeof(*slow_log));

        if (!slow_log)
                return error_no_memory(error);
        slow_log->options = *options;
        *ret_slow_log = slow_log;
        return 0;
}

void slow_log_free(struct slow_log *slow_log) {
        uint64_t left_out = atomic_load(&slow_log->left_out);

        if (left_out > 0)
                log_event(slow_log->options.log, LOG_LEVEL_WARN, "slow requests were left out",
                          LOG_COUNT("left_out", left_out));
        free(slow_log);
}

bool slow_log_may_write(struct slow_log *slow_log, uint64_t now_ns, uint64_t *ret_left_out) {
        uint64_t before = atomic_load_explicit(&slow_log->window, memory_order_relaxed), after;

        do {
                uint64_t second = MAX(now_ns / NS_PER_S, before >> COUNT_BITS);
                uint64_t lines = second == before >> COUNT_BITS ? before & COUNT_MASK : 0;

                if (lines == SLOW_LOG_PER_SECOND) {
                        atomic_fetch_add_explicit(&slow_log->left_out, 1, memory_order_relaxed);
                        return false;
                }
                after = second << COUNT_BITS | (lines + 1);
        } while (!atomic_compare_exchange_weak_explicit(&slow_log->window, &before, after,
                                                        memory_order_relaxed, memory_order_relaxed));
        *ret_left_out = atomic_exchange_explicit(&slow_log->left_out, 0, memory_order_relaxed);
        return true;
}

void slow_log_consider(struct slow_log *slow_log, const struct slow_request *request) {
        const struct slow_log_options *options = &slow_log->options;
        const struct classify_latency *latency = &request->latency;
        char size[48];
        uint64_t left_out;

        if (options->threshold_ms == 0 || latency->total_ms <= options->threshold_ms)
                return;
        metrics_slow_request(options->metrics);
        if (!slow_log_may_write(slow_log, clock_ns(), &left_out))
                return;
        snprintf(size, sizeof(size), "%zux%zu", request->width, request->height);
        log_event(options->log, LOG_LEVEL_WARN, "slow request", LOG_TEXT("id", request->id),
                  LOG_TEXT("model", request->model), LOG_COUNT("status", request->status),
                  LOG_NUMBER("total_ms", latency->total_ms), LOG_NUMBER("receive_ms", latency->receive_ms),
                  LOG_NUMBER("decode_ms", latency->decode_ms), LOG_NUMBER("queue_ms", latency->queue_ms),
                  LOG_NUMBER("infer_ms", latency->infer_ms), LOG_NUMBER("encode_ms", request->encode_ms),
                  LOG_COUNT("images", request->n_images), LOG_COUNT("batch_size", request->batch_size),
                  LOG_TEXT("image_size", request->width > 0 ? size : NULL),
                  LOG_COUNT("body_bytes", request->body_bytes),
                  LOG_TEXT("traceparent", *request->traceparent ? request->traceparent : NULL),
                  LOG_COUNT("left_out", left_out));
}
