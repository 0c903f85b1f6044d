#include "server/decode_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/image/image.h"
#include "server/admission.h"
#include "server/batcher.h"
#include "server/image_job.h"
#include "server/job_queue.h"

struct decode_pool {
        struct decode_pool_options options;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct job_queue queue;
        bool stopped;
        const struct preprocess **preprocess; /* [n_models] */
        pthread_t *threads;
        unsigned n_threads; /* that run */
};

static void fail_job(struct image_job *job, int code, const char *text) {
        switch (code) {
        case ERROR_UNSUPPORTED:
                job->outcome = METRICS_OUTCOME_UNSUPPORTED;
                problem_set(&job->problem, PROBLEM_UNSUPPORTED_IMAGE, "%s", text);
                break;
        case ERROR_INVALID:
                job->outcome = METRICS_OUTCOME_BROKEN;
                problem_set(&job->problem, PROBLEM_BROKEN_IMAGE, "%s", text);
                break;
        case ERROR_LIMIT:
                job->outcome = METRICS_OUTCOME_LIMIT;
                problem_set(&job->problem, PROBLEM_IMAGE_LIMIT, "%s", text);
                break;
        default:
                job->outcome = METRICS_OUTCOME_INTERNAL;
                problem_set(&job->problem, PROBLEM_INTERNAL, "decoding failed: %s", text);
        }
}

static int decode(const struct decode_pool *pool, struct image_decoder *decoder, struct image_job *job) {
        const struct preprocess *preprocess = pool->preprocess[job->model];
        const struct image_options options = {.max_pixels = pool->options.max_pixels,
                                              .exact = pool->options.exact};
        struct image_info info;
        struct error error = ERROR_NONE;
        int r;

        job->pixels = malloc(preprocess->crop_width * preprocess->crop_height * 3);
        if (!job->pixels) {
                fail_job(job, ERROR_NO_MEMORY, "out of memory");
                return ERROR_NO_MEMORY;
        }
        r = image_decode(decoder, job->pixels, preprocess, &options, job->bytes, job->size, &info, &error);
        if (r < 0) {
                fail_job(job, r, error.text);
                return r;
        }
        job->width = info.width;
        job->height = info.height;
        return 0;
}

static void work_on(struct decode_pool *pool, struct image_decoder *decoder, struct image_job *job) {
        uint64_t start_ns = clock_ns();
        int r;

        if (image_job_dropped(job, start_ns)) {
                batcher_unexpect(pool->options.batcher);
                image_job_finish(job);
                return;
        }
        job->decode_start_ns = start_ns;
        r = decode(pool, decoder, job);
        job->decode_end_ns = clock_ns();
        if (r < 0) {
                batcher_unexpect(pool->options.batcher);
                image_job_finish(job);
                return;
        }
        admission_observe_decode(pool->options.admission, job->decode_end_ns - start_ns);
        batcher_put(pool->options.batcher, job);
}

static struct image_job *take(struct decode_pool *pool) {
        struct image_job *job;

        pthread_mutex_lock(&pool->lock);
        while (!(job = job_queue_take(&pool->queue)) && !pool->stopped)
                pthread_cond_wait(&pool->wake, &pool->lock);
        pthread_mutex_unlock(&pool->lock);
        return job;
}

struct decode_thread {
        struct decode_pool *pool;
        struct image_decoder *decoder;
};

static void *run(void *argument) {
        struct decode_thread *self = argument;
        struct image_job *job;

        for (;;) {
                batcher_wait_room(self->pool->options.batcher);
                job = take(self->pool);
                if (!job)
                        break;
                work_on(self->pool, self->decoder, job);
        }
        image_decoder_free(self->decoder);
        free(self);
        return NULL;
}

static int start_thread(struct decode_pool *pool, struct error *error) {
        _cleanup_(freep) struct decode_thread *thread = NULL;
        int r;

        thread = calloc(1, sizeof(*thread));
        if (!thread)
                return error_no_memory(error);
        thread->pool = pool;
        r = image_decoder_new(&thread->decoder, error);
        if (r < 0)
                return r;
        r = pthread_create(&pool->threads[pool->n_threads], NULL, run, thread);
        if (r != 0) {
                image_decoder_free(thread->decoder);
                return error_set(error, ERROR_IO, "decode thread: %s", strerror(r));
        }
        pthread_setname_np(pool->threads[pool->n_threads], "decode");
        pool->n_threads++;
        steal_ptr(&thread);
        return 0;
}

int decode_pool_new(struct decode_pool **ret_pool, const struct decode_pool_options *options,
                    struct error *error) {
        _cleanup_(decode_pool_freep) struct decode_pool *pool = NULL;
        int r;

        pool = calloc(1, sizeof(*pool));
        if (!pool)
                return error_no_memory(error);
        pool->options = *options;
        pthread_mutex_init(&pool->lock, NULL);
        pthread_cond_init(&pool->wake, NULL);
        pool->preprocess = calloc(options->n_models, sizeof(struct preprocess *));
        pool->threads = calloc(options->n_threads, sizeof(*pool->threads));
        if (!pool->preprocess || !pool->threads)
                return error_no_memory(error);
        for (unsigned i = 0; i < options->n_threads; i++) {
                r = start_thread(pool, error);
                if (r < 0)
                        return r;
        }

        *ret_pool = steal_ptr(&pool);
        return 0;
}

void decode_pool_free(struct decode_pool *pool) {
        pthread_mutex_lock(&pool->lock);
        pool->stopped = true;
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
        for (unsigned i = 0; i < pool->n_threads; i++)
                pthread_join(pool->threads[i], NULL);
        job_queue_release(&pool->queue);
        pthread_mutex_destroy(&pool->lock);
        pthread_cond_destroy(&pool->wake);
        free(pool->preprocess);
        free(pool->threads);
        free(pool);
}

void decode_pool_set_model(struct decode_pool *pool, size_t model, const struct preprocess *preprocess) {
        pthread_mutex_lock(&pool->lock);
        pool->preprocess[model] = preprocess;
        pthread_mutex_unlock(&pool->lock);
}

void decode_pool_put(struct decode_pool *pool, struct image_job *job) {
        int r;

        batcher_expect(pool->options.batcher);
        pthread_mutex_lock(&pool->lock);
        r = job_queue_put(&pool->queue, job, NULL);
        pthread_cond_signal(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
        if (r < 0) {
                batcher_unexpect(pool->options.batcher);
                fail_job(job, ERROR_NO_MEMORY, "out of memory");
                image_job_finish(job);
        }
}

void decode_pool_drop_pixels(struct image_job *job) {
        free(job->pixels);
        job->pixels = NULL;
}
