#include "server/backend.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/plan.h"
#include "server/cost_table.h"

/* What one worker needs for one plan. */
struct seat {
        struct run *run;
        unsigned char *input; /* [N, H, W, 3]; NULL for one image, which runs where it was decoded */
        float *output;        /* [N, classes] */
};

struct variant {
        unsigned refs; /* under the backend's lock: one for being current, one for each worker that holds it
                        */
        struct plan *plan;
        size_t batch;
        unsigned threads;
        struct seat *seats; /* [n_seats] */
        unsigned n_seats;
};

struct backend {
        struct model *model;
        struct backend_options options;
        size_t pixels_bytes;
        const char **labels;
        pthread_mutex_t lock;
        struct variant *variants[COST_TABLE_MAX_ROWS]; /* the current ones, under the lock */
        size_t n_variants;
        struct variant **held;     /* by each worker: what it executed last, or NULL */
        struct variant *candidate; /* the loader's */
};

static void variant_free(struct variant *variant) {
        for (unsigned i = 0; variant->seats && i < variant->n_seats; i++) {
                if (variant->seats[i].run)
                        run_free(variant->seats[i].run);
                free(variant->seats[i].input);
                free(variant->seats[i].output);
        }
        free(variant->seats);
        if (variant->plan)
                plan_free(variant->plan);
        free(variant);
}
DEFINE_CLEANUP(variant)

/* Gives a reference back; what is returned, or NULL, is to be freed once the lock is not held. */
static struct variant *release_locked(struct variant *variant) {
        return variant && --variant->refs == 0 ? variant : NULL;
}

static void release(struct variant *variant) {
        variant = release_locked(variant);
        if (variant)
                variant_free(variant);
}

static int collect_labels(struct backend *backend, struct error *error) {
        size_t n = model_n_classes(backend->model);

        if (n == 0 || !model_label(backend->model, 0))
                return 0;
        backend->labels = calloc(n, sizeof(*backend->labels));
        if (!backend->labels)
                return error_no_memory(error);
        for (size_t i = 0; i < n; i++)
                backend->labels[i] = model_label(backend->model, i);
        return 0;
}

int backend_open(struct backend **ret_backend, const struct server_model *source,
                 const struct backend_options *options, struct error *error) {
        _cleanup_(backend_freep) struct backend *backend = NULL;
        const struct model_options model_options = {.precision = options->precision};
        const struct preprocess *preprocess;
        int r;

        backend = calloc(1, sizeof(*backend));
        if (!backend)
                return error_no_memory(error);
        pthread_mutex_init(&backend->lock, NULL);
        backend->options = *options;
        backend->held = calloc(options->n_workers, sizeof(*backend->held));
        if (!backend->held)
                return error_no_memory(error);
        if (source->path)
                r = model_open_with(&backend->model, source->path, source->name, &model_options, error);
        else
                r = model_open_source_with(&backend->model, source->source, source->name, &model_options,
                                           error);
        if (r < 0)
                return r;

        preprocess = model_preprocess(backend->model);
        if (!size_multiply(&backend->pixels_bytes, preprocess->crop_width, preprocess->crop_height) ||
            !size_multiply(&backend->pixels_bytes, backend->pixels_bytes, 3) || backend->pixels_bytes == 0)
                return error_set(error, ERROR_INVALID, "%s: the crop of the pre-processing is %zu x %zu",
                                 model_name(backend->model), preprocess->crop_width,
                                 preprocess->crop_height);
        r = collect_labels(backend, error);
        if (r < 0)
                return r;

        *ret_backend = steal_ptr(&backend);
        return 0;
}

void backend_free(struct backend *backend) {
        for (unsigned i = 0; backend->held && i < backend->options.n_workers; i++)
                release(backend->held[i]);
        for (size_t i = 0; i < backend->n_variants; i++)
                release(backend->variants[i]);
        backend_discard(backend);
        free(backend->held);
        free(backend->labels);
        pthread_mutex_destroy(&backend->lock);
        if (backend->model)
                model_free(backend->model);
        free(backend);
}

static int seat_init(struct seat *seat, const struct backend *backend, const struct variant *variant,
                     struct error *error) {
        size_t bytes;
        int r;

        r = run_new(&seat->run, variant->plan, error);
        if (r < 0)
                return r;
        seat->output = calloc(plan_output_elements(variant->plan), sizeof(float));
        if (!seat->output)
                return error_no_memory(error);
        if (variant->batch > 1) {
                if (!size_multiply(&bytes, backend->pixels_bytes, variant->batch))
                        return error_no_memory(error);
                seat->input = malloc(bytes);
                if (!seat->input)
                        return error_no_memory(error);
        }
        return 0;
}

int backend_plan(struct backend *backend, size_t batch, unsigned threads, struct tuning *tuning,
                 struct error *error) {
        const struct plan_options options = {.batch = batch,
                                             .threads = threads,
                                             .tuning = tuning,
                                             .no_winograd = backend->options.no_winograd};
        _cleanup_(variant_freep) struct variant *variant = NULL;
        int r;

        variant = calloc(1, sizeof(*variant));
        if (!variant)
                return error_no_memory(error);
        variant->refs = 1;
        variant->batch = batch;
        variant->threads = threads;
        r = plan_new(&variant->plan, backend->model, &options, error);
        if (r < 0)
                return r;
        backend_discard(backend);
        backend->candidate = steal_ptr(&variant);
        return 0;
}

/* Index of the current variant for batch and threads; n_variants where there is none. */
static size_t index_locked(const struct backend *backend, size_t batch, unsigned threads) {
        size_t i = 0;

        while (i < backend->n_variants &&
               (backend->variants[i]->batch != batch || backend->variants[i]->threads != threads))
                i++;
        return i;
}

int backend_keep(struct backend *backend, struct error *error) {
        struct variant *variant = backend->candidate, *dropped = NULL;
        size_t i;
        int r;

        variant->n_seats = variant->threads > 1 ? 1 : backend->options.n_workers;
        variant->seats = calloc(variant->n_seats, sizeof(*variant->seats));
        if (!variant->seats)
                return error_no_memory(error);
        for (unsigned k = 0; k < variant->n_seats; k++) {
                r = seat_init(&variant->seats[k], backend, variant, error);
                if (r < 0)
                        return r;
        }

        pthread_mutex_lock(&backend->lock);
        i = index_locked(backend, variant->batch, variant->threads);
        if (i < ARRAY_SIZE(backend->variants)) {
                if (i < backend->n_variants)
                        dropped = release_locked(backend->variants[i]);
                else
                        backend->n_variants++;
                backend->variants[i] = steal_ptr(&backend->candidate);
        }
        pthread_mutex_unlock(&backend->lock);
        if (dropped)
                variant_free(dropped);
        return backend->candidate
                       ? error_set(error, ERROR_LIMIT, "more than %zu plans", ARRAY_SIZE(backend->variants))
                       : 0;
}

void backend_discard(struct backend *backend) {
        if (backend->candidate)
                variant_free(steal_ptr(&backend->candidate));
}

/* The current variant, NULL where there is none. It may be used by the loader alone: nobody else replaces
 * one.
 */
static struct variant *find_variant(struct backend *backend, size_t batch, unsigned threads) {
        struct variant *variant;
        size_t i;

        pthread_mutex_lock(&backend->lock);
        i = index_locked(backend, batch, threads);
        variant = i < backend->n_variants ? backend->variants[i] : NULL;
        pthread_mutex_unlock(&backend->lock);
        return variant;
}

/* The current variant, which worker holds from now on; NULL where there is none for it. */
static struct variant *hold(struct backend *backend, unsigned worker, size_t batch, unsigned threads) {
        struct variant *variant = NULL, *dropped = NULL;
        size_t i;

        pthread_mutex_lock(&backend->lock);
        i = index_locked(backend, batch, threads);
        if (i < backend->n_variants && worker < backend->variants[i]->n_seats) {
                variant = backend->variants[i];
                variant->refs++;
                dropped = release_locked(backend->held[worker]);
                backend->held[worker] = variant;
        }
        pthread_mutex_unlock(&backend->lock);
        if (dropped)
                variant_free(dropped);
        return variant;
}

/* A plan with memory of its own, to be timed. */
struct trial {
        struct run *run;
        unsigned char *pixels;
        float *output;
        uint64_t least_ns;
};

static void trial_release(struct trial *trial) {
        if (trial->run)
                run_free(trial->run);
        free(trial->pixels);
        free(trial->output);
}

static int trial_init(struct trial *trial, const struct backend *backend, const struct variant *variant,
                      struct error *error) {
        size_t bytes;
        int r;

        trial->least_ns = UINT64_MAX;
        if (!size_multiply(&bytes, backend->pixels_bytes, variant->batch))
                return error_no_memory(error);
        r = run_new(&trial->run, variant->plan, error);
        if (r < 0)
                return r;
        trial->pixels = malloc(bytes);
        trial->output = calloc(plan_output_elements(variant->plan), sizeof(float));
        if (!trial->pixels || !trial->output)
                return error_no_memory(error);
        memset(trial->pixels, 100, bytes); /* any grey but the mean: zeros may be faster than a picture */
        return run_execute(trial->run, trial->pixels, trial->output, error);
}

static int trial_time(struct trial *trial, struct error *error) {
        uint64_t start_ns = clock_ns();
        int r;

        r = run_execute(trial->run, trial->pixels, trial->output, error);
        trial->least_ns = MIN(trial->least_ns, clock_ns() - start_ns);
        return r;
}

/* The candidate where it is the plan for batch and threads, else the one that was kept; NULL: there is none.
 */
static struct variant *candidate_or_kept(struct backend *backend, size_t batch, unsigned threads) {
        struct variant *variant = backend->candidate;

        if (!variant || variant->batch != batch || variant->threads != threads)
                variant = find_variant(backend, batch, threads);
        return variant;
}

int backend_measure(struct backend *backend, size_t batch, unsigned threads, unsigned repeat, double *ret_ms,
                    struct error *error) {
        _cleanup_(trial_release) struct trial trial = {0};
        const struct variant *variant = candidate_or_kept(backend, batch, threads);
        int r;

        if (!variant)
                return error_set(error, ERROR_INTERNAL, "no plan for batch %zu on %u threads", batch,
                                 threads);
        r = trial_init(&trial, backend, variant, error);
        for (unsigned i = 0; r >= 0 && i < repeat; i++)
                r = trial_time(&trial, error);
        if (r < 0)
                return r;
        *ret_ms = (double)trial.least_ns / 1e6;
        return 0;
}

int backend_compare(struct backend *backend, size_t batch, unsigned threads, unsigned n_pairs,
                    const atomic_bool *stop, double *ret_ratio, struct error *error) {
        _cleanup_(trial_release) struct trial one = {0}, candidate = {0};
        const struct variant *base = find_variant(backend, 1, 1);
        const struct variant *variant = candidate_or_kept(backend, batch, threads);
        int r;

        if (!base || !variant)
                return error_set(error, ERROR_INTERNAL, "nothing to compare");
        r = trial_init(&one, backend, base, error);
        if (r >= 0)
                r = trial_init(&candidate, backend, variant, error);
        for (unsigned i = 0; r >= 0 && i < n_pairs; i++) {
                if (atomic_load(stop))
                        return error_set(error, ERROR_INTERNAL, "stopped");
                r = trial_time(&one, error);
                if (r >= 0)
                        r = trial_time(&candidate, error);
        }
        if (r < 0)
                return r;
        *ret_ratio = (double)candidate.least_ns / (double)one.least_ns;
        return 0;
}

int backend_try(struct backend *backend, const unsigned char *pixels, float *probabilities,
                struct error *error) {
        _cleanup_(trial_release) struct trial trial = {0};
        const struct variant *variant = find_variant(backend, 1, 1);
        int r;

        if (!variant)
                return error_set(error, ERROR_INTERNAL, "no plan for one image");
        r = trial_init(&trial, backend, variant, error);
        if (r >= 0)
                r = run_execute(trial.run, pixels, trial.output, error);
        if (r < 0)
                return r;
        plan_probabilities(variant->plan, trial.output, probabilities);
        return 0;
}

const struct model *backend_model(const struct backend *backend) {
        return backend->model;
}

struct model *backend_model_to_tune(struct backend *backend) {
        return backend->model;
}

size_t backend_pixels_bytes(const struct backend *backend) {
        return backend->pixels_bytes;
}

const char *const *backend_labels(const struct backend *backend) {
        return backend->labels;
}

bool backend_has_batch(struct backend *backend, size_t batch) {
        return find_variant(backend, batch, 1) != NULL;
}

unsigned char *backend_input(struct backend *backend, unsigned worker, size_t batch) {
        struct variant *variant = hold(backend, worker, batch, 1);

        return variant ? variant->seats[worker].input : NULL;
}

int backend_execute(struct backend *backend, unsigned worker, size_t batch, unsigned threads,
                    const unsigned char *pixels, const float **ret_output, struct error *error) {
        struct variant *variant = backend->held[worker];
        struct seat *seat;
        int r;

        /* What backend_input() gave room in may have been replaced since, and is held until now. */
        if (!variant || variant->batch != batch || variant->threads != threads ||
            variant->seats[worker].input != pixels)
                variant = hold(backend, worker, batch, threads);
        if (!variant)
                return error_set(error, ERROR_INTERNAL, "worker %u has no plan for batch %zu on %u threads",
                                 worker, batch, threads);
        seat = &variant->seats[worker];
        r = run_execute(seat->run, pixels, seat->output, error);
        if (r < 0)
                return r;
        *ret_output = seat->output;
        return 0;
}

void backend_probabilities(const struct backend *backend, unsigned worker, const float *output,
                           float *probabilities) {
        plan_probabilities(backend->held[worker]->plan, output, probabilities);
}
