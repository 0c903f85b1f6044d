#include "engine/native/conv.h"

#include <math.h>
#include <string.h>

#include "engine/native/native.h"
#include "engine/team.h"

#define CACHE_1_FLOATS 5120u   /* of a first cache of 32 KiB: what a band of grouped's inputs may take */
#define POINTWISE_ROWS 112u    /* pixels for which a pair of vectors of weights stays in the second cache */
#define CACHE_2_FLOATS 65536u  /* a quarter of a second cache of 1 MiB: what a pair's band may take */
#define PAIR_FLOATS    131072u /* of a map for one image: smaller ones stay in the caches anyway */
#define LEAST_FLOP     2e6     /* for a team: waking it takes some 5 us */

/* ---- what fits ---- */

bool native_epilogue_read(struct native_epilogue *ret_epilogue, const struct kernel_post_ops *ops) {
        struct native_epilogue e = {.low = -INFINITY, .high = INFINITY};
        size_t i = 0;

        if (i < ops->n && ops->ops[i].sum) {
                e.sum = true;
                i++;
        }
        if (i < ops->n && !ops->ops[i].sum) {
                const struct eltwise *f = &ops->ops[i++].eltwise;

                e.alpha = f->alpha;
                e.beta = f->beta;
                switch (f->kind) {
                case ELTWISE_RELU:
                        e.activation = f->alpha == 0 ? NATIVE_CLIP : NATIVE_LEAKY;
                        e.low = f->alpha == 0 ? 0 : -INFINITY;
                        break;
                case ELTWISE_CLIP:
                        e.low = f->alpha;
                        e.high = f->beta;
                        break;
                case ELTWISE_SIGMOID:
                        e.activation = NATIVE_SIGMOID;
                        break;
                case ELTWISE_SWISH:
                        e.activation = NATIVE_SWISH;
                        break;
                case ELTWISE_HARDSWISH:
                        e.activation = NATIVE_HARDSWISH;
                        break;
                case ELTWISE_LINEAR:
                        /* HardSigmoid is this and a clip. */
                        if (i >= ops->n || ops->ops[i].sum || ops->ops[i].eltwise.kind != ELTWISE_CLIP ||
                            ops->ops[i].eltwise.alpha != 0 || ops->ops[i].eltwise.beta != 1)
                                return false;
                        e.activation = NATIVE_HARDSIGMOID;
                        i++;
                        break;
                default:
                        return false;
                }
        }
        if (i < ops->n)
                return false;
        *ret_epilogue = e;
        return true;
}

static bool is_square(const size_t pair[2], size_t value) {
        return pair[0] == value && pair[1] == value;
}

/* Groups as wide as a part of a vector share one; wider ones fill theirs. */
static bool grouped_fits(const struct native_conv *c, size_t lanes) {
        size_t inputs = c->inputs / c->groups, outputs = c->outputs / c->groups;
        bool shares = inputs == outputs && inputs < lanes && lanes % inputs == 0;

        return c->groups > 1 && (shares || outputs % lanes == 0) && is_square(c->window.kernel, 3) &&
               c->window.strides[1] <= 2;
}

static bool family_of(struct native_conv *c, size_t lanes) {
        const struct kernel_window *w = &c->window;

        if (!is_square(w->dilations, 1))
                return false;
        if (is_square(w->kernel, 1) && c->groups == 1) {
                c->family = NATIVE_POINTWISE;
                return is_square(w->strides, 1) && c->out_height == c->height && c->out_width == c->width;
        }
        if (c->groups == c->inputs && c->groups == c->outputs) {
                c->family = NATIVE_DEPTHWISE;
                return (w->kernel[1] == 3 || w->kernel[1] == 5) && w->strides[1] <= 2 && !c->epilogue.sum;
        }
        c->family = NATIVE_GROUPED;
        return grouped_fits(c, lanes);
}

bool native_conv_read(struct native_conv *ret_conv, const struct kernel_conv *conv) {
        const struct native *native = native_best();
        struct native_conv c = {
                .images = conv->src.dims[0],
                .inputs = conv->src.dims[1],
                .outputs = conv->dst.dims[1],
                .groups = conv->groups,
                .height = conv->src.dims[2],
                .width = conv->src.dims[3],
                .out_height = conv->dst.dims[2],
                .out_width = conv->dst.dims[3],
                .src_pixel = conv->src.dims[1],
                .dst_pixel = conv->dst.dims[1],
                .window = conv->window,
                .bias = conv->bias,
        };

        if (!native->conv[0] || !native_epilogue_read(&c.epilogue, &conv->post_ops) ||
            !family_of(&c, native->lanes))
                return false;
        *ret_conv = c;
        return true;
}

/* ---- how the work is divided ---- */

static size_t divide_up(size_t n, size_t by) {
        return (n + by - 1) / by;
}

static void settle_grouped(struct native_conv *c, size_t lanes) {
        size_t inputs = c->inputs / c->groups;
        size_t columns = (c->out_width - 1) * c->window.strides[1] + c->window.kernel[1], row, most;

        c->spread = inputs < lanes && inputs == c->outputs / c->groups;
        row = columns * (c->spread ? lanes : inputs);
        most = CACHE_1_FLOATS / row;
        c->rows = most > c->window.kernel[0] ? (most - c->window.kernel[0]) / c->window.strides[0] + 1 : 1;
        c->rows = MIN(c->rows, c->out_height);
        /* Copies are stored by whole vectors. */
        c->scratch_floats = ((c->rows - 1) * c->window.strides[0] + c->window.kernel[0]) * row + lanes;
        c->scratch_floats = divide_up(c->scratch_floats, lanes) * lanes;
}

static void settle_pointwise(struct native_conv *c, size_t lanes) {
        size_t stride = divide_up(c->inputs, lanes) * lanes;

        c->rows = POINTWISE_ROWS;
        /* Rows that are a multiple of 2 KiB apart share few lines of the first cache: better copied, to rows
         * one vector further apart. */
        if (c->prologue != NATIVE_AS_IS || (c->src_pixel % 512 == 0 && c->outputs > 4 * lanes))
                c->scratch_floats = c->rows * (stride + lanes);
}

void native_conv_settle(struct native_conv *conv, size_t threads) {
        size_t lanes = native_best()->lanes;
        double flop = 2.0 * (double)(conv->images * conv->out_height * conv->out_width) *
                      (double)(conv->outputs * (conv->inputs / conv->groups)) *
                      (double)(conv->window.kernel[0] * conv->window.kernel[1]);

        conv->threads = flop < LEAST_FLOP ? 1 : threads;
        conv->scratch_floats = 0;
        if (conv->family == NATIVE_GROUPED)
                settle_grouped(conv, lanes);
        else if (conv->family == NATIVE_POINTWISE)
                settle_pointwise(conv, lanes);
}

/* ---- weights ---- */

/* Groups that share vectors, and vectors that a group has. */
static void vectors_of(const struct native_conv *c, size_t lanes, size_t *ret_sets, size_t *ret_vectors) {
        size_t outputs = c->outputs / c->groups, together = 1;

        if (c->family == NATIVE_DEPTHWISE)
                together = lanes;
        else if (c->spread)
                together = lanes / outputs;
        *ret_sets = divide_up(c->groups, together);
        *ret_vectors = together > 1 ? 1 : divide_up(outputs, lanes);
}

size_t native_conv_weights(const struct native_conv *c) {
        size_t lanes = native_best()->lanes, sets, vectors;

        vectors_of(c, lanes, &sets, &vectors);
        return sets * vectors * c->window.kernel[0] * c->window.kernel[1] * (c->inputs / c->groups) * lanes;
}

/* [set of groups, vector, kh * kw, inputs of a group, lane]: the same for all families. */
void native_conv_pack(const struct native_conv *c, size_t first, size_t n, const float *source,
                      float *target) {
        size_t lanes = native_best()->lanes, outputs = c->outputs / c->groups,
               inputs = c->inputs / c->groups;
        size_t taps = c->window.kernel[0] * c->window.kernel[1], sets, vectors;

        vectors_of(c, lanes, &sets, &vectors);
        for (size_t o = first; o < first + n; o++) {
                size_t per_set = divide_up(c->groups, sets) == 1 ? outputs : lanes;
                size_t within = o % per_set;
                float *vector = target + ((o / per_set) * vectors + within / lanes) * taps * inputs * lanes;

                for (size_t i = 0; i < inputs; i++) {
                        size_t output = c->order && c->family == NATIVE_DEPTHWISE ? (size_t)c->order[o] : o;
                        size_t input = c->order && c->family == NATIVE_POINTWISE ? (size_t)c->order[i] : i;

                        for (size_t k = 0; k < taps; k++)
                                vector[(k * inputs + i) * lanes + within % lanes] =
                                        source[((output - first) * inputs + input) * taps + k];
                }
        }
}

/* ---- run ---- */

struct job {
        const struct native_conv *conv;
        const struct native_conv_data *data;
        native_conv_part *part;
};

static void job_run(void *argument, size_t thread, size_t n_threads) {
        const struct job *job = argument;

        job->part(job->conv, job->data, thread, n_threads);
}

void native_conv_run(const struct native_conv *conv, const struct native_conv_data *data) {
        struct job job = {.conv = conv, .data = data, .part = native_best()->conv[conv->family]};

        if (conv->threads == 1)
                job_run(&job, 0, 1);
        else
                team_run(conv->threads, job_run, &job);
}

/* ---- pairs ---- */

bool native_pair_pays(const struct native_conv *first, const struct native_conv *second) {
        return first->family == NATIVE_POINTWISE && second->family == NATIVE_DEPTHWISE &&
               !first->epilogue.sum && first->height * first->width * first->outputs >= PAIR_FLOATS;
}

void native_pair_settle(struct native_pair *pair, size_t threads) {
        struct native_conv *first = &pair->first, *second = &pair->second;
        size_t row = first->width * first->outputs, most = CACHE_2_FLOATS / row,
               kernel = second->window.kernel[0];

        native_conv_settle(first, threads);
        first->scratch_floats = 0; /* the inputs are few, and read as they are */
        first->dst_pixel = first->outputs;
        native_conv_settle(second, threads);
        second->src_pixel = second->inputs;
        pair->threads = MAX(first->threads, second->threads);
        pair->rows = most > kernel ? (most - kernel) / second->window.strides[0] + 1 : 1;
        pair->rows = MIN(pair->rows, second->out_height);
        pair->scratch_floats =
                divide_up(((pair->rows - 1) * second->window.strides[0] + kernel) * row, 16) * 16;
}

struct pair_job {
        const struct native_pair *pair;
        const struct native_conv_data *first, *second;
};

static void pair_job_run(void *argument, size_t thread, size_t n_threads) {
        const struct pair_job *job = argument;

        native_best()->pair(job->pair, job->first, job->second, thread, n_threads);
}

void native_pair_run(const struct native_pair *pair, const struct native_conv_data *first,
                     const struct native_conv_data *second) {
        struct pair_job job = {.pair = pair, .first = first, .second = second};

        if (pair->threads == 1)
                pair_job_run(&job, 0, 1);
        else
                team_run(pair->threads, pair_job_run, &job);
}
