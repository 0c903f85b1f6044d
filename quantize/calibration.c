#include "quantize/calibration.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "quantize/runner.h"

/* Sums of means are kept in units of 2^-40 of the largest value: a sum of integers does not depend on the
 * order in which threads add to it. */
#define MEAN_UNIT 0x1p40

struct pass {
        struct calibration *calibration;
        const bool *channels_last;
        const size_t (*dims)[8];
        const size_t *ranks;
        int64_t **sums;            /* of each value's channels */
        pthread_mutex_t lock;      /* calibration and sums */
        struct histogram *scratch; /* one a thread */
        bool second;
};

/* Elements of a value [outer, channels, inner]. */
struct layout {
        size_t outer, channels, inner;
};

static struct layout layout_of(const size_t *dims, size_t rank, bool channels_last) {
        struct layout layout = {.outer = 1, .channels = 1, .inner = 1};
        size_t axis = channels_last ? rank - 1 : 1;

        for (size_t i = 0; i < rank; i++) {
                if (rank > 1 && i == axis)
                        layout.channels = dims[i];
                else if (i < axis)
                        layout.outer *= dims[i];
                else
                        layout.inner *= dims[i];
        }
        return layout;
}

static int extremes(struct pass *pass, size_t index, const float *values, struct layout layout,
                    struct error *error) {
        struct value_statistics *s = &pass->calibration->values[index];

        for (size_t o = 0; o < layout.outer; o++)
                for (size_t c = 0; c < layout.channels; c++) {
                        const float *run = values + (o * layout.channels + c) * layout.inner;
                        float low = run[0], high = run[0], sum = 0;

                        for (size_t i = 0; i < layout.inner; i++) {
                                low = MIN(low, run[i]);
                                high = MAX(high, run[i]);
                                sum += run[i] - run[i]; /* no number where one is not finite */
                        }
                        if (sum != 0)
                                return error_set(error, ERROR_INVALID,
                                                 "the network computes values that are not finite");
                        pthread_mutex_lock(&pass->lock);
                        s->lows[c] = MIN(s->lows[c], low);
                        s->highs[c] = MAX(s->highs[c], high);
                        pthread_mutex_unlock(&pass->lock);
                }
        return 0;
}

static void distribution(struct pass *pass, unsigned thread, size_t index, const float *values,
                         struct layout layout) {
        struct value_statistics *s = &pass->calibration->values[index];
        struct histogram *h = &pass->scratch[thread];
        double largest = (double)MAX(fabsf(s->histogram.low), fabsf(s->histogram.high));

        *h = (struct histogram){.low = s->histogram.low, .high = s->histogram.high};
        histogram_add(h, values, layout.outer * layout.channels * layout.inner);
        pthread_mutex_lock(&pass->lock);
        histogram_merge(&s->histogram, h);
        pthread_mutex_unlock(&pass->lock);
        for (size_t c = 0; c < layout.channels && largest > 0; c++) {
                double sum = 0;

                for (size_t o = 0; o < layout.outer; o++)
                        for (size_t i = 0; i < layout.inner; i++)
                                sum += (double)values[(o * layout.channels + c) * layout.inner + i];
                pthread_mutex_lock(&pass->lock);
                pass->sums[index][c] +=
                        (int64_t)(sum / (double)(layout.outer * layout.inner) / largest * MEAN_UNIT);
                pthread_mutex_unlock(&pass->lock);
        }
}

static int visit(void *context, unsigned thread, _unused_ size_t index, const struct run *run,
                 _unused_ const float *output, struct error *error) {
        struct pass *pass = context;
        int r;

        for (size_t i = 0; i < pass->calibration->n; i++) {
                const float *values = run_watched(run, i);
                struct layout layout = layout_of(pass->dims[i], pass->ranks[i], pass->channels_last[i]);

                if (pass->second) {
                        distribution(pass, thread, i, values, layout);
                        continue;
                }
                r = extremes(pass, i, values, layout, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void pass_release(struct pass *pass) {
        for (size_t i = 0; pass->sums && i < pass->calibration->n; i++)
                free(pass->sums[i]);
        free(pass->sums);
        free(pass->scratch);
        pthread_mutex_destroy(&pass->lock);
}

static int value_init(struct value_statistics *s, int64_t **ret_sums, size_t n_channels,
                      struct error *error) {
        s->n_channels = n_channels;
        s->means = calloc(n_channels, sizeof(*s->means));
        s->lows = calloc(n_channels, sizeof(*s->lows));
        s->highs = calloc(n_channels, sizeof(*s->highs));
        *ret_sums = calloc(n_channels, sizeof(**ret_sums));
        if (!s->means || !s->lows || !s->highs || !*ret_sums)
                return error_no_memory(error);
        for (size_t c = 0; c < n_channels; c++) {
                s->lows[c] = INFINITY;
                s->highs[c] = -INFINITY;
        }
        return 0;
}

static void extremes_settle(struct value_statistics *s) {
        s->histogram.low = INFINITY;
        s->histogram.high = -INFINITY;
        for (size_t c = 0; c < s->n_channels; c++) {
                s->histogram.low = MIN(s->histogram.low, s->lows[c]);
                s->histogram.high = MAX(s->histogram.high, s->highs[c]);
        }
}

static void means_settle(struct value_statistics *s, const int64_t *sums, size_t n_pictures) {
        double largest = (double)MAX(fabsf(s->histogram.low), fabsf(s->histogram.high));

        for (size_t c = 0; c < s->n_channels; c++)
                s->means[c] = (double)sums[c] / MEAN_UNIT * largest / (double)n_pictures;
}

static int shapes_read(size_t (*dims)[8], size_t *ranks, struct model *model, size_t n,
                       struct error *error) {
        const struct plan_options options = {.batch = 1, .threads = 1};
        _cleanup_(plan_freep) struct plan *plan = NULL;
        int r;

        r = plan_new(&plan, model, &options, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                ranks[i] = plan_watched_shape(plan, i, dims[i]);
        return 0;
}

int calibration_new(struct calibration **ret_calibration, struct model *model, const bool *channels_last,
                    size_t n, const struct pictures *pictures, const struct parallel *parallel,
                    struct error *error) {
        _cleanup_(calibration_freep) struct calibration *calibration = calloc(1, sizeof(*calibration));
        _cleanup_(pass_release) struct pass pass = {.calibration = calibration,
                                                    .channels_last = channels_last,
                                                    .lock = PTHREAD_MUTEX_INITIALIZER};
        const struct runner_visitor visitor = {.visit = visit, .context = &pass};
        _cleanup_(freep) size_t(*dims)[8] = calloc(n, sizeof(*dims)), *ranks = calloc(n, sizeof(*ranks));
        int r;

        if (!calibration || !dims || !ranks)
                return error_no_memory(error);
        calibration->n = n;
        calibration->values = calloc(n, sizeof(*calibration->values));
        pass.sums = calloc(n, sizeof(int64_t *));
        pass.scratch = calloc(parallel->threads, sizeof(*pass.scratch));
        if (!calibration->values || !pass.sums || !pass.scratch)
                return error_no_memory(error);
        r = shapes_read(dims, ranks, model, n, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                r = value_init(&calibration->values[i], &pass.sums[i],
                               layout_of(dims[i], ranks[i], channels_last[i]).channels, error);
                if (r < 0)
                        return r;
        }
        pass.dims = (const size_t(*)[8])dims;
        pass.ranks = ranks;

        r = runner_run(model, pictures, 1, false, parallel, &visitor, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                extremes_settle(&calibration->values[i]);
        pass.second = true;
        r = runner_run(model, pictures, 1, false, parallel, &visitor, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++)
                means_settle(&calibration->values[i], pass.sums[i], pictures->n);
        *ret_calibration = steal_ptr(&calibration);
        return 0;
}

void calibration_free(struct calibration *calibration) {
        for (size_t i = 0; calibration->values && i < calibration->n; i++) {
                free(calibration->values[i].means);
                free(calibration->values[i].lows);
                free(calibration->values[i].highs);
        }
        free(calibration->values);
        free(calibration);
}
