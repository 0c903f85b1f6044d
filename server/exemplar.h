#pragma once
/*
 * exemplar: one request that stands for a bucket of a histogram, so that who sees a slow bucket finds a
 * request that was slow.
 *
 * Writers and readers are lock-free: a writer that meets another one leaves its request out, a reader that
 * meets a writer looks again a few times. A request that was noted stays for EXEMPLAR_KEEP_MS, so that
 * threads which fill the same bucket mostly read its cache line and seldom write it.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/request_id.h"

#define EXEMPLAR_KEEP_MS 100u

/* What names a request: its id, and the trace of its traceparent header. */
struct exemplar_labels {
        const char *request_id; /* at most REQUEST_ID_MAX bytes */
        const char *trace_id;   /* TRACE_ID_SIZE hexadecimal digits, or NULL */
};

#define EXEMPLAR_ID_WORDS    (REQUEST_ID_MAX / 8)
#define EXEMPLAR_TRACE_WORDS (TRACE_ID_SIZE / 8)

/* All zero: nothing noted yet. */
struct exemplar {
        _Atomic uint64_t sequence; /* odd while it is written; 0: never written */
        _Atomic uint64_t time_ms;  /* since the epoch */
        _Atomic uint64_t value_ns;
        _Atomic uint64_t id[EXEMPLAR_ID_WORDS];       /* padded with zeros */
        _Atomic uint64_t trace[EXEMPLAR_TRACE_WORDS]; /* zeros: none */
};

/* A copy. */
struct exemplar_view {
        char request_id[REQUEST_ID_MAX + 1];
        char trace_id[TRACE_ID_SIZE + 1]; /* "": none */
        uint64_t time_ms, value_ns;
};

/* Notes the request, unless the one that is there is younger than EXEMPLAR_KEEP_MS. */
void exemplar_offer(struct exemplar *exemplar, const struct exemplar_labels *labels, uint64_t value_ns,
                    uint64_t now_ms);

/* False where there is none, or where writers are in the way each time. */
bool exemplar_read(const struct exemplar *exemplar, struct exemplar_view *ret_view);
