#pragma once
/* parallel: the same work on many things, by threads that live as long as the call. */
#include <stddef.h>

#include "base/error.h"

#define PARALLEL_MAX_THREADS 1024u

/* Called as the work goes on, by the thread that began it. stage: "calibrating". fraction: 0 to 1. */
struct parallel_watcher {
        void (*update)(void *context, const char *stage, double fraction);
        void *context;
};

struct parallel {
        unsigned threads;                       /* at least 1 */
        const struct parallel_watcher *watcher; /* or NULL */
        const char *stage;
};

/* Calls work(context, thread, index) for each index below n, in about that order, thread being below
 * parallel->threads. Where a call fails the rest is left, and the error of the lowest index that failed is
 * returned. */
int parallel_run(const struct parallel *parallel, size_t n,
                 int (*work)(void *context, unsigned thread, size_t index, struct error *error),
                 void *context, struct error *error);
