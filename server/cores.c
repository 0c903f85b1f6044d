#include "server/cores.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/cpu.h"
#include "server/admission.h"
#include "server/batcher.h"
#include "server/context.h"
#include "server/log.h"

struct cores {
        struct context *context;
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t stop;
        bool stopped;
};

static void look(struct cores *cores, unsigned *seen) {
        struct context *context = cores->context;
        unsigned count = MIN(cpu_count(), context->n_cpus);

        if (count == *seen)
                return;
        batcher_set_cores(context->batcher, count);
        admission_set_cores(context->admission, count);
        log_event(context->log, LOG_LEVEL_INFO, "cores", LOG_COUNT("used", count),
                  LOG_COUNT("before", *seen));
        *seen = count;
}

static void *run(void *argument) {
        struct cores *cores = argument;
        unsigned seen = cores->context->n_cpus;

        pthread_mutex_lock(&cores->lock);
        while (!cores->stopped) {
                struct timespec until;

                look(cores, &seen);
                clock_gettime(CLOCK_MONOTONIC, &until);
                until.tv_nsec += CORES_PERIOD_MS * 1000000l;
                until.tv_sec += until.tv_nsec / 1000000000;
                until.tv_nsec %= 1000000000;
                pthread_cond_timedwait(&cores->stop, &cores->lock, &until);
        }
        pthread_mutex_unlock(&cores->lock);
        return NULL;
}

int cores_new(struct cores **ret_cores, struct context *context, struct error *error) {
        struct cores *cores = calloc(1, sizeof(*cores));
        pthread_condattr_t attr;
        int r;

        if (!cores)
                return error_no_memory(error);
        cores->context = context;
        pthread_mutex_init(&cores->lock, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&cores->stop, &attr);
        pthread_condattr_destroy(&attr);
        r = pthread_create(&cores->thread, NULL, run, cores);
        if (r != 0) {
                pthread_cond_destroy(&cores->stop);
                pthread_mutex_destroy(&cores->lock);
                free(cores);
                return error_set(error, ERROR_IO, "cores thread: %s", strerror(r));
        }
        pthread_setname_np(cores->thread, "cores");
        *ret_cores = cores;
        return 0;
}

void cores_free(struct cores *cores) {
        pthread_mutex_lock(&cores->lock);
        cores->stopped = true;
        pthread_cond_signal(&cores->stop);
        pthread_mutex_unlock(&cores->lock);
        pthread_join(cores->thread, NULL);
        pthread_cond_destroy(&cores->stop);
        pthread_mutex_destroy(&cores->lock);
        free(cores);
}
