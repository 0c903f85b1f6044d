#pragma once
/*
 * native/conv: convolutions in own vector code, on channels-last data whose pixels may lie further apart
 * than their channels: a slice of a concatenation is read and written in place.
 *
 * Three families: pointwise (1x1, one group), depthwise (one channel a group), grouped (groups whose
 * channels fill vectors, or of which several share one). The vector code is in conv_*.inc.h, compiled for
 * each instruction set by conv_avx2.c and conv_avx512.c; struct native has the functions.
 */
#include <stdbool.h>
#include <stddef.h>

#include "engine/kernel.h"

enum native_family {
        NATIVE_POINTWISE,
        NATIVE_DEPTHWISE,
        NATIVE_GROUPED,
        NATIVE_FAMILIES,
};

enum native_activation {
        NATIVE_CLIP, /* to infinite bounds: none */
        NATIVE_LEAKY,
        NATIVE_SIGMOID,
        NATIVE_SWISH,
        NATIVE_HARDSWISH,
        NATIVE_HARDSIGMOID,
};

/* What happens to each result: + what the destination held, then the activation. */
struct native_epilogue {
        enum native_activation activation;
        float alpha, beta; /* as in struct eltwise; NATIVE_HARDSIGMOID: min(max(alpha * x + beta, 0), 1) */
        float low, high;   /* NATIVE_CLIP's */
        bool sum;
};

/* False: post-ops that are none of these. */
bool native_epilogue_read(struct native_epilogue *ret_epilogue, const struct kernel_post_ops *ops);

/* What happens to each input of a pointwise convolution on its way. */
enum native_prologue {
        NATIVE_AS_IS,
        NATIVE_GATE,        /* * scale[n][c] */
        NATIVE_SCALE_SHIFT, /* min(max(x * scale[c] + shift[c], low), high) */
};

struct native_conv {
        enum native_family family;
        size_t images, inputs, outputs, groups;
        size_t height, width, out_height, out_width;
        size_t src_pixel, dst_pixel; /* floats from one pixel to the next */
        struct kernel_window window;
        bool bias;
        struct native_epilogue epilogue;
        enum native_prologue prologue;
        float prologue_low, prologue_high;
        const int64_t *order; /* of pointwise's inputs or depthwise's channels among those of the weights, or
                                 NULL */

        /* Set by native_conv_settle(). */
        bool spread; /* grouped: several groups in a vector */
        size_t rows; /* pixels (pointwise) or rows of outputs (grouped) that are worked on at a time */
        size_t scratch_floats; /* for each thread; 0: none */
        size_t threads;
};

/* The family that computes conv with its post-ops; false: none does. Fills all but the prologue and the
 * pixel distances, which are set to those of dense data. */
bool native_conv_read(struct native_conv *ret_conv, const struct kernel_conv *conv);

/* Chooses how the work is divided. Call once all other fields are set. */
void native_conv_settle(struct native_conv *conv, size_t threads);

/* Weights in the order that the family reads them, zeros where a vector is not full; source: [O, I / G, kh,
 * kw]. */
size_t native_conv_weights(const struct native_conv *conv);
void native_conv_pack(const struct native_conv *conv, size_t first, size_t n, const float *source,
                      float *target);

/* bias [O], NULL where there is none; scale and shift: the prologue's; scratch: scratch_floats * threads. */
struct native_conv_data {
        const float *src, *weights, *bias, *scale, *shift;
        float *scratch, *dst;
        size_t src_first, dst_first; /* the pixels that src and dst begin with */
};

void native_conv_run(const struct native_conv *conv, const struct native_conv_data *data);

/*
 * Two convolutions, a pointwise one and a depthwise one that alone reads it, by bands of rows: what goes
 * from one to the other, the largest maps of many networks, stays in the second cache.
 */
struct native_pair {
        struct native_conv first, second;
        size_t rows;           /* of second's outputs in a band */
        size_t scratch_floats; /* for each thread */
        size_t threads;
};

/* Are the two, settled otherwise, faster together? */
bool native_pair_pays(const struct native_conv *first, const struct native_conv *second);

/* first and second are set; their settings for one thread, the sizes, and the division of the work are made.
 */
void native_pair_settle(struct native_pair *pair, size_t threads);

/* src, weights and bias of first; weights, bias and dst of second; scratch for all. */
void native_pair_run(const struct native_pair *pair, const struct native_conv_data *first,
                     const struct native_conv_data *second);

typedef void native_pair_part(const struct native_pair *pair, const struct native_conv_data *first,
                              const struct native_conv_data *second, size_t thread, size_t n_threads);

native_pair_part native_pair_avx2, native_pair_avx512;

/* n channels from first on of one of several sources, whose pixels are pixel floats apart. */
struct native_run {
        size_t source, first, n, pixel;
};

/* Pixels begin to end of dst: the runs one after the other. */
typedef void native_channels_part(const struct native_run *runs, size_t n_runs, const float *const *sources,
                                  float *dst, size_t dst_pixel, size_t begin, size_t end);

native_channels_part native_channels_avx2, native_channels_avx512;

/* The part of a conv that one of several threads does. */
typedef void native_conv_part(const struct native_conv *conv, const struct native_conv_data *data,
                              size_t thread, size_t n_threads);

native_conv_part native_pointwise_avx2, native_pointwise_avx512, native_depthwise_avx2,
        native_depthwise_avx512, native_grouped_avx2, native_grouped_avx512;
