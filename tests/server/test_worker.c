/* A worker with two generations of a model in one batch, as a reload leaves them in the queue. */
#include <stdatomic.h>

#include "base/blob.h"
#include "base/clock.h"
#include "models/embedded.h"
#include "server/admission.h"
#include "server/backend.h"
#include "server/batcher.h"
#include "server/image_job.h"
#include "server/metrics.h"
#include "server/worker.h"
#include "tests/server/suite.h"

#define N_JOBS 8u
#define TOP_K  1000u

static struct image_job jobs[N_JOBS];
static struct classify_prediction predictions[N_JOBS][TOP_K];
static atomic_uint n_dequeued, n_done;

static void count_dequeued(struct image_job *job _unused_) {
        atomic_fetch_add(&n_dequeued, 1);
}

static void count_done(struct image_job *job _unused_) {
        atomic_fetch_add(&n_done, 1);
}

static const struct image_job_ops ops = {.dequeued = count_dequeued, .done = count_done};

/* With plans for one image and, where batch is more, for batch images. */
static struct backend *make_backend(const struct server_model *source, size_t batch) {
        const struct backend_options options = {.n_workers = 1};
        struct backend *backend;
        struct error error;
        int r;

        r = backend_open(&backend, source, &options, &error);
        for (size_t n = 1; r >= 0 && n <= batch; n += MAX(batch - 1, (size_t)1)) {
                r = backend_plan(backend, n, 1, NULL, &error);
                if (r >= 0)
                        r = backend_keep(backend, &error);
        }
        ck_assert_msg(r >= 0, "%s", error.text);
        return backend;
}

static void submit(struct batcher *batcher, size_t i, struct backend *backend, const struct blob *file) {
        jobs[i] = (struct image_job){.ops = &ops,
                                     .bytes = file->bytes,
                                     .size = file->size,
                                     .backend = backend,
                                     .top_k = TOP_K,
                                     .deadline_ns = clock_ns() + 3600 * UINT64_C(1000000000),
                                     .order_ns = i,
                                     .predictions = predictions[i]};
        batcher_submit(batcher, &jobs[i]);
}

/* Every image is answered by its own model, and together with those that this one has a plan for: of three
 * there is none, so one goes alone. */
START_TEST(worker_runs_two_generations_in_parts) {
        const struct model_source embedded = embedded_model();
        _cleanup_(backend_freep) struct backend *old =
                make_backend(&(struct server_model){.path = MODEL}, 1);
        _cleanup_(backend_freep) struct backend *new =
                make_backend(&(struct server_model){.source = &embedded}, 2);
        _cleanup_(blob_release) struct blob file = BLOB_NONE;
        const struct {
                struct backend *backend;
                size_t batch_size;
        } wanted[N_JOBS] = {{old, 1}, {old, 1}, {new, 2}, {new, 2}, {old, 1}, {new, 1}, {new, 2}, {new, 2}};
        struct admission *admission;
        struct batcher *batcher;
        struct metrics *metrics;
        struct worker_pool *pool;
        struct cost_table costs = {0};

        ck_assert_int_eq(blob_read(&file, PICTURE, (size_t)1 << 20, NULL), 0);
        ck_assert_int_eq(
                admission_new(&admission,
                              &(struct admission_options){.queue_images = N_JOBS, .cores = 1, .n_models = 1},
                              NULL),
                0);
        ck_assert_int_eq(
                batcher_new(&batcher,
                            &(struct batcher_options){.n_models = 1, .n_workers = 1, .max_batch = N_JOBS},
                            NULL),
                0);
        ck_assert_int_eq(
                metrics_new(&metrics, &(struct metrics_options){.version = "1", .n_models = 1}, NULL), 0);
        /* Costs that say that eight together are best: a batch of all. */
        cost_table_set(&costs, 1, 1, 10);
        cost_table_set(&costs, N_JOBS, 1, 20);
        batcher_set_costs(batcher, 0, &costs);
        for (size_t i = 0; i < N_JOBS; i++)
                submit(batcher, i, wanted[i].backend, &file);
        ck_assert_int_eq(worker_pool_new(&pool,
                                         &(struct worker_options){.n_workers = 1,
                                                                  .max_batch = N_JOBS,
                                                                  .max_pixels = (size_t)1 << 20,
                                                                  .batcher = batcher,
                                                                  .admission = admission,
                                                                  .metrics = metrics},
                                         NULL),
                         0);
        batcher_stop(batcher);
        worker_pool_free(pool); /* ends what is queued */

        ck_assert_uint_eq(atomic_load(&n_dequeued), N_JOBS);
        ck_assert_uint_eq(atomic_load(&n_done), N_JOBS);
        for (size_t i = 0; i < N_JOBS; i++) {
                const struct model *model = backend_model(wanted[i].backend);

                ck_assert_msg(jobs[i].outcome == METRICS_OUTCOME_OK, "%zu: %s", i, jobs[i].problem.detail);
                ck_assert_msg(jobs[i].n_predictions == model_n_classes(model), "%zu: %zu predictions", i,
                              jobs[i].n_predictions);
                ck_assert_msg(jobs[i].batch_size == wanted[i].batch_size, "%zu: in a batch of %zu", i,
                              jobs[i].batch_size);
        }
        ck_assert_str_eq(predictions[2][0].label, "Egyptian cat");
        batcher_free(batcher);
        admission_free(admission);
        metrics_free(metrics);
}
END_TEST

int main(void) {
        TCase *tests = tcase_create("worker");

        tcase_add_test(tests, worker_runs_two_generations_in_parts);
        return suite_run(tests);
}
