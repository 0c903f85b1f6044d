#include "server/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/top_k.h"
#include "server/admission.h"
#include "server/backend.h"
#include "server/batcher.h"
#include "server/decode_pool.h"
#include "server/image_job.h"
#include "server/metrics.h"

struct worker {
        struct worker_pool *pool;
        unsigned index;
        pthread_t thread;
        struct image_job **jobs; /* [max_batch] */
        float *probabilities;    /* [n_classes], and the indices of the largest; both grow */
        size_t *indices;
        size_t n_classes;
};

struct worker_pool {
        struct worker_options options;
        struct worker *workers;
        unsigned n_started;
};

static void fail_jobs(const struct batch *batch, const char *text) {
        for (size_t i = 0; i < batch->n_jobs; i++) {
                batch->jobs[i]->outcome = METRICS_OUTCOME_INTERNAL;
                problem_set(&batch->jobs[i]->problem, PROBLEM_INTERNAL, "inference failed: %s", text);
        }
}

static int reserve_classes(struct worker *worker, size_t n_classes, struct error *error) {
        float *probabilities;
        size_t *indices;

        if (n_classes <= worker->n_classes)
                return 0;
        probabilities = reallocarray(worker->probabilities, n_classes, sizeof(float));
        if (!probabilities)
                return error_no_memory(error);
        worker->probabilities = probabilities;
        indices = reallocarray(worker->indices, n_classes, sizeof(size_t));
        if (!indices)
                return error_no_memory(error);
        worker->indices = indices;
        worker->n_classes = n_classes;
        return 0;
}

static void predict(struct worker *worker, struct backend *backend, struct image_job *job,
                    const float *output) {
        size_t n_classes = model_n_classes(backend_model(backend));
        size_t k = MIN(job->top_k, n_classes);

        backend_probabilities(backend, worker->index, output, worker->probabilities);
        k = top_k(worker->indices, k, worker->probabilities, n_classes);
        for (size_t i = 0; i < k; i++)
                job->predictions[i] = (struct classify_prediction){
                        .class_id = worker->indices[i],
                        .label = model_label(backend_model(backend), worker->indices[i]),
                        .probability = (double)worker->probabilities[worker->indices[i]],
                };
        job->n_predictions = k;
        job->outcome = METRICS_OUTCOME_OK;
}

static int execute(struct worker *worker, struct backend *backend, const struct batch *batch,
                   const float **ret_output, struct error *error) {
        size_t bytes = backend_pixels_bytes(backend);
        const unsigned char *pixels = batch->jobs[0]->pixels;
        unsigned char *input;
        int r;

        r = reserve_classes(worker, model_n_classes(backend_model(backend)), error);
        if (r < 0)
                return r;
        if (batch->n_jobs > 1) {
                input = backend_input(backend, worker->index, batch->n_jobs);
                if (!input)
                        return error_set(error, ERROR_INTERNAL, "no plan for batch %zu", batch->n_jobs);
                for (size_t i = 0; i < batch->n_jobs; i++)
                        memcpy(input + i * bytes, batch->jobs[i]->pixels, bytes);
                pixels = input;
        }
        return backend_execute(backend, worker->index, batch->n_jobs, batch->threads, pixels, ret_output,
                               error);
}

static void run_batch(struct worker *worker, struct batch *batch) {
        const struct worker_options *options = &worker->pool->options;
        struct backend *backend = options->backends[batch->model];
        size_t n_classes = model_n_classes(backend_model(backend));
        uint64_t start_ns = clock_ns(), duration_ns;
        struct error error = ERROR_NONE;
        const float *output = NULL;
        int r;

        for (size_t i = 0; i < batch->n_jobs; i++) {
                batch->jobs[i]->infer_start_ns = start_ns;
                batch->jobs[i]->batch_size = batch->n_jobs;
                batch->jobs[i]->ops->dequeued(batch->jobs[i]);
        }
        r = execute(worker, backend, batch, &output, &error);
        duration_ns = clock_ns() - start_ns;
        if (r < 0)
                fail_jobs(batch, error.text);
        else {
                metrics_batch(options->metrics, batch->n_jobs);
                /* An image alone on all CPUs costs what it costs there: nobody else wanted them. Only what
                 * runs on one thread tells what an image costs when there is a queue. */
                if (batch->threads == 1)
                        admission_observe_infer(options->admission, duration_ns / batch->n_jobs);
        }
        for (size_t i = 0; i < batch->n_jobs; i++) {
                struct image_job *job = batch->jobs[i];

                if (r >= 0)
                        predict(worker, backend, job, output + i * n_classes);
                decode_pool_drop_pixels(job);
                job->infer_end_ns = clock_ns();
                job->ops->done(job);
        }
}

static void *run(void *argument) {
        struct worker *worker = argument;
        struct batcher *batcher = worker->pool->options.batcher;
        struct batch batch = {.jobs = worker->jobs};

        while (batcher_take(batcher, worker->index, &batch)) {
                if (batch.call)
                        batch.call(batch.argument);
                else
                        run_batch(worker, &batch);
                batcher_release(batcher, worker->index);
        }
        return NULL;
}

static int worker_start(struct worker *worker, struct worker_pool *pool, unsigned index,
                        struct error *error) {
        int r;

        worker->pool = pool;
        worker->index = index;
        worker->jobs = calloc(pool->options.max_batch, sizeof(struct image_job *));
        if (!worker->jobs)
                return error_no_memory(error);
        r = pthread_create(&worker->thread, NULL, run, worker);
        if (r != 0)
                return error_set(error, ERROR_IO, "worker thread: %s", strerror(r));
        pthread_setname_np(worker->thread, "worker");
        pool->n_started++;
        return 0;
}

int worker_pool_new(struct worker_pool **ret_pool, const struct worker_options *options,
                    struct error *error) {
        struct worker_pool *pool;
        int r = 0;

        pool = calloc(1, sizeof(*pool));
        if (!pool)
                return error_no_memory(error);
        pool->options = *options;
        pool->workers = calloc(options->n_workers, sizeof(*pool->workers));
        if (!pool->workers)
                r = error_no_memory(error);
        for (unsigned i = 0; r >= 0 && i < options->n_workers; i++)
                r = worker_start(&pool->workers[i], pool, i, error);
        if (r < 0) {
                /* Those that run already wait in the batcher. */
                batcher_stop(options->batcher);
                worker_pool_free(pool);
                return r;
        }

        *ret_pool = pool;
        return 0;
}

void worker_pool_free(struct worker_pool *pool) {
        for (unsigned i = 0; i < pool->n_started; i++)
                pthread_join(pool->workers[i].thread, NULL);
        for (unsigned i = 0; pool->workers && i < pool->options.n_workers; i++) {
                free(pool->workers[i].jobs);
                free(pool->workers[i].probabilities);
                free(pool->workers[i].indices);
        }
        free(pool->workers);
        free(pool);
}
