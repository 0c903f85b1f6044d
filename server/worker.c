#include "server/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/top_k.h"
#include "server/admission.h"
#include "server/backend.h"
#include "server/batcher.h"
#include "server/decode.h"
#include "server/image_job.h"
#include "server/metrics.h"

struct worker {
        struct worker_pool *pool;
        unsigned index;
        pthread_t thread;
        struct image_decoder *decoder;
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

static void fail_jobs(const struct work *work, const char *text) {
        for (size_t i = 0; i < work->n_jobs; i++) {
                work->jobs[i]->outcome = METRICS_OUTCOME_INTERNAL;
                problem_set(&work->jobs[i]->problem, PROBLEM_INTERNAL, "inference failed: %s", text);
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

static int execute(struct worker *worker, struct backend *backend, const struct work *work,
                   const float **ret_output, struct error *error) {
        size_t bytes = backend_pixels_bytes(backend);
        const unsigned char *pixels = work->jobs[0]->pixels;
        unsigned char *input;
        int r;

        r = reserve_classes(worker, model_n_classes(backend_model(backend)), error);
        if (r < 0)
                return r;
        if (work->n_jobs > 1) {
                input = backend_input(backend, worker->index, work->n_jobs);
                if (!input)
                        return error_set(error, ERROR_INTERNAL, "no plan for batch %zu", work->n_jobs);
                for (size_t i = 0; i < work->n_jobs; i++)
                        memcpy(input + i * bytes, work->jobs[i]->pixels, bytes);
                pixels = input;
        }
        return backend_execute(backend, worker->index, work->n_jobs, work->threads, pixels, ret_output,
                               error);
}

/* Images of one backend, of which it has a plan for so many. */
static void run_part(struct worker *worker, const struct work *work) {
        const struct worker_options *options = &worker->pool->options;
        struct backend *backend = work->jobs[0]->backend;
        size_t n_classes = model_n_classes(backend_model(backend));
        uint64_t start_ns = clock_ns(), duration_ns;
        struct error error = ERROR_NONE;
        const float *output = NULL;
        int r;

        for (size_t i = 0; i < work->n_jobs; i++) {
                work->jobs[i]->infer_start_ns = start_ns;
                work->jobs[i]->batch_size = work->n_jobs;
                work->jobs[i]->ops->dequeued(work->jobs[i]);
        }
        r = execute(worker, backend, work, &output, &error);
        duration_ns = clock_ns() - start_ns;
        if (r < 0)
                fail_jobs(work, error.text);
        else {
                double image_ms = batcher_observe(options->batcher, work->model, work->n_jobs, work->threads,
                                                  (double)duration_ns / 1e6);

                metrics_batch(options->metrics, work->model, work->n_jobs);
                admission_set_infer(options->admission, work->model, (uint64_t)(image_ms * 1e6));
        }
        for (size_t i = 0; i < work->n_jobs; i++) {
                struct image_job *job = work->jobs[i];

                if (r >= 0)
                        predict(worker, backend, job, output + i * n_classes);
                image_job_drop_pixels(job);
                job->infer_end_ns = clock_ns();
                job->ops->done(job);
        }
}

/* How many images from first on run together. A batch is made by the costs of what is served now; while a
 * model is being replaced, images of the one before still come, and that has other plans. */
static size_t part_size(const struct work *work, size_t first) {
        struct backend *backend = work->jobs[first]->backend;
        size_t n = 1;

        while (first + n < work->n_jobs && work->jobs[first + n]->backend == backend)
                n++;
        return n == 1 || backend_has_batch(backend, n) ? n : 1;
}

static void run_batch(struct worker *worker, const struct work *work) {
        struct work part = *work;

        for (size_t i = 0; i < work->n_jobs; i += part.n_jobs) {
                part.jobs = work->jobs + i;
                part.n_jobs = part_size(work, i);
                run_part(worker, &part);
        }
}

static void decode(struct worker *worker, struct work *work) {
        const struct worker_options *options = &worker->pool->options;
        const struct image_options image_options = {.max_pixels = options->max_pixels,
                                                    .exact = options->exact};
        struct image_job *job = work->jobs[0];
        const struct model *model = backend_model(job->backend);

        if (decode_job(worker->decoder, model_preprocess(model), &image_options, job)) {
                admission_observe_decode(options->admission, job->size,
                                         job->decode_end_ns - job->decode_start_ns);
                return;
        }
        work->n_jobs = 0;
        image_job_finish(job);
}

static void *run(void *argument) {
        struct worker *worker = argument;
        struct batcher *batcher = worker->pool->options.batcher;
        struct work work = {.jobs = worker->jobs};

        while (batcher_next(batcher, worker->index, &work)) {
                if (work.kind == WORK_CALL)
                        work.call(work.argument);
                else if (work.kind == WORK_DECODE)
                        decode(worker, &work);
                else
                        run_batch(worker, &work);
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
        r = image_decoder_new(&worker->decoder, error);
        if (r < 0)
                return r;
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
                if (pool->workers[i].decoder)
                        image_decoder_free(pool->workers[i].decoder);
                free(pool->workers[i].jobs);
                free(pool->workers[i].probabilities);
                free(pool->workers[i].indices);
        }
        free(pool->workers);
        free(pool);
}
