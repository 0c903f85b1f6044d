#include "engine/native/dot.h"

#include <string.h>

#include <oneapi/dnnl/dnnl.h>

#include "base/macros.h"
#include "engine/native/dot_internal.h"
#include "engine/native/dot_split.h"
#include "engine/native/dot_winograd.h"
#include "engine/team.h"

#define LEAST_MULTIPLICATIONS 4e6          /* for a team: waking it takes some 5 us */
#define WINDOW_BYTES          (128u << 10) /* of a padded copy: half of a small second cache */
#define PIXELS_BYTES          (64u << 10) /* of pixels that are worked on at a time, where there is no window, */
#define PIXELS_LEAST          112u        /* but enough of them to use weights that come from afar */
#define SAME_SETS             2048u       /* bytes apart: two pixels share few lines of the first cache */

static size_t divide_up(size_t n, size_t by) {
        return (n + by - 1) / by;
}

static size_t round_up(size_t n, size_t to) {
        return divide_up(n, to) * to;
}

static bool is_pair(const size_t pair[2], size_t value) {
        return pair[0] == value && pair[1] == value;
}

/* ---- which code ---- */

static size_t no_extra_bytes(_unused_ const struct dot_shape *s) {
        return 0;
}

#if defined(__x86_64__)
static const struct dot_code code_vnni = {.isa = "avx512_vnni",
                                          .panels = dot_panels_vnni,
                                          .lanes = 16,
                                          .panel = 2,
                                          .segment = 7,
                                          .halves = 2,
                                          .extra_bytes = no_extra_bytes};
static const struct dot_code code_bf16 = {.isa = "avx512_bf16",
                                          .panels = dot_panels_bf16,
                                          .lanes = 16,
                                          .panel = 2,
                                          .segment = 7,
                                          .halves = 2,
                                          .extra_bytes = no_extra_bytes};
static const struct dot_code code_avx2 = {.isa = "avx2",
                                          .panels = dot_panels_avx2,
                                          .lanes = 8,
                                          .panel = 1,
                                          .segment = 8,
                                          .halves = 1,
                                          .extra_bytes = dot_split_extra_bytes};

static bool allows(unsigned isa) {
        return ((unsigned)dnnl_get_effective_cpu_isa() & isa) == isa;
}

static const struct dot_code *code_of(enum dot_type type) {
        if (type == DOT_BF16)
                return allows(dnnl_cpu_isa_avx512_core_bf16) ? &code_bf16 : NULL;
        return allows(dnnl_cpu_isa_avx512_core_vnni) ? &code_vnni
               : allows(dnnl_cpu_isa_avx2)           ? &code_avx2
                                                     : NULL;
}

static bool is_winograd(const struct dot_conv *conv) {
        return code_of(conv->type) == &code_avx2 && dot_winograd_can(conv);
}
#else
static const struct dot_code *code_of(_unused_ enum dot_type type) {
        return NULL;
}

static bool is_winograd(_unused_ const struct dot_conv *conv) {
        return false;
}
#endif

const char *dot_isa(enum dot_type type) {
        const struct dot_code *code = code_of(type);

        return code ? code->isa : NULL;
}

const char *dot_conv_form(const struct dot_conv *conv) {
        return is_winograd(conv) ? "avx2_winograd" : dot_isa(conv->type);
}

static size_t element_of(const struct dot_conv *conv) {
        return conv->type == DOT_BF16 ? 2 : 1;
}

bool dot_conv_can(const struct dot_conv *conv) {
        size_t inputs = conv->inputs / conv->groups, per_block = DOT_BLOCK / element_of(conv);

        if (!code_of(conv->type))
                return false;
        if (conv->type == DOT_U8S8 &&
            inputs > DOT_MOST_PRODUCTS / conv->window.kernel[0] / conv->window.kernel[1])
                return false;
        /* A block must not reach from one group into values of the next that may be no numbers. */
        return conv->groups == 1 ||
               (inputs >= per_block && (conv->type == DOT_U8S8 || inputs % per_block == 0));
}

/* ---- how weights lie ---- */

struct dot_shape dot_shape_of(const struct dot_conv *conv) {
        const struct kernel_window *w = &conv->window;
        const struct dot_code *code = code_of(conv->type);
        struct dot_shape s = {.element = element_of(conv),
                              .lanes = code->lanes,
                              .group_inputs = conv->inputs / conv->groups,
                              .group_outputs = conv->outputs / conv->groups,
                              .run_rows = w->kernel[0],
                              .run_columns = w->kernel[1]};
        size_t per_block = DOT_BLOCK / s.element;

        s.spread = conv->groups > 1 && s.lanes == 16 && s.group_outputs < s.lanes &&
                   s.lanes % s.group_outputs == 0 && s.group_inputs % per_block == 0 &&
                   s.group_inputs * s.element * (s.lanes / s.group_outputs) <= DOT_LINE;
        s.sets = s.spread ? divide_up(conv->outputs, s.lanes) : conv->groups;
        s.vectors = s.spread ? 1 : divide_up(s.group_outputs, s.lanes);
        /* A tail of an odd channel would meet what is no part of the map: it is copied and gets a 0. */
        s.channels = conv->type == DOT_BF16 ? round_up(s.group_inputs, per_block) : s.group_inputs;
        s.run = s.channels;
        if (conv->groups == 1 && w->dilations[1] == 1) {
                s.run *= s.run_columns;
                s.run_columns = 1;
        }
        s.blocks = divide_up(s.run, per_block);
        return s;
}

size_t dot_head_bytes(const struct dot_conv *conv, const struct dot_shape *s) {
        return conv->type == DOT_U8S8 ? round_up(s->sets * s->vectors * s->lanes * sizeof(int32_t), DOT_LINE)
                                      : 0;
}

size_t dot_conv_packed_bytes(const struct dot_conv *conv, const void *weights) {
        struct dot_shape s = dot_shape_of(conv);

        if (is_winograd(conv))
                return dot_head_bytes(conv, &s) + dot_winograd_bytes(conv);
        if (s.lanes == 8)
                return dot_head_bytes(conv, &s) + dot_split_bytes(conv, &s, weights);
        return dot_head_bytes(conv, &s) +
               s.sets * s.vectors * s.run_rows * s.run_columns * s.blocks * s.lanes * DOT_BLOCK;
}

/* The bits of value as bfloat16, rounded half to even. */
static uint16_t bf16_of(float value) {
        uint32_t bits;

        memcpy(&bits, &value, sizeof(bits));
        if ((bits & 0x7fffffffu) > 0x7f800000u)
                return (uint16_t)(bits >> 16 | 0x40u);
        return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

bool dot_weight_index(const struct dot_conv *conv, const struct dot_shape *s, size_t row, size_t column,
                      size_t e, size_t *ret_index) {
        size_t channel = e % s->channels, x = column + e / s->channels;

        if (e >= s->run || channel >= s->group_inputs)
                return false;
        *ret_index = (channel * conv->window.kernel[0] + row) * conv->window.kernel[1] + x;
        return true;
}

void dot_pack_head(const struct dot_conv *conv, const struct dot_shape *s, const int8_t *weights,
                   int32_t *head) {
        size_t n = s->group_inputs * conv->window.kernel[0] * conv->window.kernel[1];

        memset(head, 0, dot_head_bytes(conv, s));
        for (size_t v = 0; v < s->sets * s->vectors; v++) {
                size_t lanes, first = dot_vector_output(s, conv->outputs, v, &lanes);

                for (size_t lane = 0; lane < lanes; lane++) {
                        const int8_t *of = weights + (first + lane) * n;
                        int32_t sum = 0;

                        for (size_t i = 0; i < n; i++)
                                sum += of[i];
                        head[v * s->lanes + lane] = -(int32_t)conv->src_zero * sum;
                }
        }
}

/* One of stride vectors that lie side by side in target: [run, block, vector, lane, element]. */
static void pack_vector(const struct dot_conv *conv, const struct dot_shape *s, size_t vector, size_t stride,
                        const void *weights, unsigned char *target) {
        size_t lanes, first = dot_vector_output(s, conv->outputs, vector, &lanes), index,
                      n = s->group_inputs * conv->window.kernel[0] * conv->window.kernel[1],
                      per_block = DOT_BLOCK / s->element;

        for (size_t row = 0; row < s->run_rows; row++)
                for (size_t column = 0; column < s->run_columns; column++)
                        for (size_t block = 0; block < s->blocks; block++, target += stride * DOT_LINE) {
                                memset(target, 0, DOT_LINE);
                                for (size_t i = 0; i < per_block; i++) {
                                        if (!dot_weight_index(conv, s, row, column, block * per_block + i,
                                                              &index))
                                                continue;
                                        index += first * n;
                                        for (size_t lane = 0; lane < lanes; lane++, index += n)
                                                if (conv->type == DOT_U8S8)
                                                        ((int8_t *)target)[lane * DOT_BLOCK + i] =
                                                                ((const int8_t *)weights)[index];
                                                else
                                                        ((uint16_t *)target)[lane * 2 + i] =
                                                                bf16_of(((const float *)weights)[index]);
                                }
                        }
}

void dot_conv_pack(const struct dot_conv *conv, const void *weights, void *target) {
        struct dot_shape s = dot_shape_of(conv);
        size_t vector_bytes = s.run_rows * s.run_columns * s.blocks * DOT_LINE;
        unsigned char *vectors = (unsigned char *)target + dot_head_bytes(conv, &s);

        if (conv->type == DOT_U8S8)
                dot_pack_head(conv, &s, weights, target);
        if (is_winograd(conv)) {
                dot_winograd_pack(conv, weights, vectors);
                return;
        }
        if (s.lanes == 8) {
                dot_split_pack(conv, &s, weights, vectors);
                return;
        }
        /* Two by two, each pair side by side. */
        for (size_t v = 0; v < s.sets * s.vectors; v++) {
                size_t within = v % s.vectors, pair = s.vectors - within / 2 * 2 < 2 ? 1 : 2;

                pack_vector(conv, &s, v, pair, weights,
                            vectors + (v - within % 2) * vector_bytes + within % 2 * DOT_LINE);
        }
}

/* ---- how the work is divided ---- */

static bool is_flat(const struct dot_conv *c) {
        return is_pair(c->window.kernel, 1) && is_pair(c->window.strides, 1) &&
               c->window.pads_begin[0] == 0 && c->window.pads_begin[1] == 0 && c->out_height == c->height &&
               c->out_width == c->width;
}

static bool is_padded(const struct dot_conv *c) {
        return c->window.pads_begin[0] != 0 || c->window.pads_begin[1] != 0 ||
               (c->out_height - 1) * c->window.strides[0] >= c->height ||
               (c->out_width - 1) * c->window.strides[1] >= c->width;
}

void dot_conv_settle(struct dot_conv *conv, size_t threads) {
        const struct kernel_window *w = &conv->window;
        struct dot_shape s = dot_shape_of(conv);
        double multiplications = (double)(conv->images * conv->out_height * conv->out_width) *
                                 (double)(conv->outputs * s.group_inputs) *
                                 (double)(w->kernel[0] * w->kernel[1]);
        size_t dense = s.channels * conv->groups * s.element, step;
        bool window = !is_pair(w->kernel, 1);

        conv->threads = multiplications < LEAST_MULTIPLICATIONS ? 1 : threads;
        conv->flat = is_flat(conv);
        conv->pitch = conv->src_pixel * s.element;
        step = conv->pitch * w->strides[1];
        conv->copied = window || is_padded(conv) || s.channels != s.group_inputs ||
                       (step % SAME_SETS == 0 && conv->outputs > 4 * s.lanes);
        if (conv->copied) {
                conv->pitch = dense;
                /* Runs across pixels need them side by side. */
                if (!window && dense * w->strides[1] % SAME_SETS == 0)
                        conv->pitch += DOT_LINE;
        }
        if (conv->flat) {
                conv->rows = MAX(PIXELS_BYTES / conv->pitch, PIXELS_LEAST);
                conv->rows = MIN(conv->rows, conv->images * conv->height * conv->width);
        } else {
                size_t row =
                        conv->pitch * (conv->out_width * w->strides[1] + w->kernel[1] * w->dilations[1]);

                conv->rows = MAX(WINDOW_BYTES / (row * w->strides[0]), 1u);
                conv->rows = MIN(conv->rows, conv->images * conv->out_height);
        }
        conv->thread_bytes = is_winograd(conv) ? round_up(dot_winograd_scratch_bytes(conv), DOT_LINE)
                                               : dot_frame_bytes(conv, &s, code_of(conv->type));
        conv->scratch_bytes = conv->thread_bytes * conv->threads;
}

/* ---- run ---- */

struct job {
        const struct dot_conv *conv;
        const struct dot_data *data;
};

static void job_run(void *argument, size_t thread, size_t n_threads) {
        const struct job *job = argument;

#if defined(__x86_64__)
        if (is_winograd(job->conv)) {
                dot_winograd_run_avx2(job->conv, job->data, thread, n_threads);
                return;
        }
#endif
        dot_frame_run(job->conv, job->data, code_of(job->conv->type), thread, n_threads);
}

void dot_conv_run(const struct dot_conv *conv, const struct dot_data *data) {
        struct job job = {.conv = conv, .data = data};

        if (conv->threads == 1)
                job_run(&job, 0, 1);
        else
                team_run(conv->threads, job_run, &job);
}
