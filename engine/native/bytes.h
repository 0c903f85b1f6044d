#pragma once
/*
 * native/bytes: own vector code on maps of unsigned bytes, for quantised networks, and depthwise
 * convolution.
 *
 * Maps are channels-last, [N, H, W, C], and pixels may lie further apart than their channels: a slice of a
 * concatenation is read and written in place. Distances are in elements. An integer q of a map means
 * scale * (q - zero). Sums of products are exact, in int32, on every CPU; a real result y becomes
 * saturate(round_half_to_even(y / scale) + zero), where the division may be a product with the inverse.
 *
 * Up to 63 bytes beyond the end of a source, and beyond weights, are read; nothing is written beyond a
 * destination. threads is how many may work, at most; what is little is done by the caller alone. Functions
 * touch what they are given, from any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/native/conv.h"

enum bytes_type { BYTES_U8, BYTES_F32 };

struct bytes_real {
        float scale;
        int32_t zero;
};

/* Has this CPU the instructions (AVX2), as ONEDNN_MAX_CPU_ISA allows? Where not, nothing below but
 * bytes_requantise_table() may be called. */
bool bytes_supported(void);

/* "avx512_vnni" or "avx2", for names of kernels. */
const char *bytes_isa(void);

/*
 * Depthwise convolution: one channel a group, as many outputs as inputs; any window.
 *
 * y = sum of w * (x - src_zero) * scale[c] + bias[c].
 * Then + the sum operand, where epilogue.sum; then the activation; then the result's type.
 */
struct bytes_depthwise {
        enum bytes_type result;
        size_t images, channels, height, width, out_height, out_width;
        size_t src_pixel, dst_pixel, sum_pixel;
        struct kernel_window window;
        uint8_t src_zero;
        struct native_epilogue epilogue; /* .sum: adds bytes_depthwise_data.sum */
        enum bytes_type sum_type;        /* U8 or F32 */
        struct bytes_real sum, dst;      /* where those are U8 */
        size_t threads;
};

/* False: a window too wide, of some 60 columns. */
bool bytes_depthwise_fits(const struct bytes_depthwise *p);

/* Everything that depends on channels goes with the weights. */
size_t bytes_depthwise_weights_bytes(const struct bytes_depthwise *p);

/* Channels first to first + n of target, an aligned buffer of bytes_depthwise_weights_bytes() that was
 * zeroed before the first call. weights [n, kh, kw]: int8; scale [n]; bias [n] or NULL. The three begin
 * with channel first. What is packed depends on dst.scale too. */
void bytes_depthwise_pack(const struct bytes_depthwise *p, size_t first, size_t n, const void *weights,
                          const float *scale, const float *bias, void *target);

struct bytes_depthwise_data {
        const void *src, *weights; /* weights: packed */
        const void *sum;           /* [N, OH, OW, C], or NULL; may be dst */
        void *dst;
};

void bytes_depthwise_run(const struct bytes_depthwise *p, const struct bytes_depthwise_data *data);

/* ---- pools ---- */

enum bytes_pool_kind {
        BYTES_POOL_MAX, /* src and dst as one: integers are kept */
        BYTES_POOL_AVERAGE,
        BYTES_POOL_AVERAGE_WITH_PADDING, /* padding counts, as real 0 */
};

struct bytes_pool {
        enum bytes_pool_kind kind;
        size_t images, channels, height, width, out_height, out_width;
        size_t src_pixel, dst_pixel;
        struct kernel_window window;
        struct bytes_real src, dst;
        size_t threads;
};

void bytes_pool_run(const struct bytes_pool *p, const uint8_t *src, uint8_t *dst);

/* The average of all pixels of each image: [N, C], images dst_image apart. */
struct bytes_global_pool {
        enum bytes_type result; /* U8 or F32 */
        size_t images, channels, pixels;
        size_t src_pixel, dst_image;
        struct bytes_real src, dst;
        size_t threads;
};

void bytes_global_pool_run(const struct bytes_global_pool *p, const uint8_t *src, void *dst);

/* ---- pixel by pixel ---- */

/* dst = clip(a + b, low, high) or clip(a * b, low, high). dst may be a or b, where pixels are as far apart.
 */
struct bytes_binary {
        bool multiply;
        size_t pixels, channels;
        size_t a_pixel, b_pixel, dst_pixel;
        size_t b_repeat; /* so many pixels of a, one after the other, share one of b: 1, or H * W for a gate
                            [N, C] */
        struct bytes_real a, b, dst;
        float low, high; /* real; infinite: none */
        size_t threads;
};

void bytes_binary_run(const struct bytes_binary *p, const uint8_t *a, const uint8_t *b, uint8_t *dst);

/* dst = table[src] for channels of each pixel; a copy where table is NULL. dst may be src, where pixels are
 * as far apart. Concat: one for each input, dst where its slice begins. */
struct bytes_lookup {
        size_t pixels, channels;
        size_t src_pixel, dst_pixel;
        size_t threads;
};

void bytes_lookup_run(const struct bytes_lookup *p, const uint8_t table[256], const uint8_t *src,
                      uint8_t *dst);

/* The table that makes integers of to of those of from. */
void bytes_requantise_table(uint8_t table[256], struct bytes_real from, struct bytes_real to);

/* The same for an image's own pixels, whose 1 to 4 channels have a table each: [channels][256]. Dense; the
 * first convolution is native/dot's, on what this makes of them. */
struct bytes_pixels {
        size_t pixels, channels;
        size_t threads;
};

void bytes_pixels_run(const struct bytes_pixels *p, const uint8_t *tables, const uint8_t *src, uint8_t *dst);

/* Between float32 and bytes. planes: the float32 side is [N, C, H, W], dense, and not channels-last. */
struct bytes_quantise {
        size_t images, channels, pixels; /* of an image */
        bool planes;
        size_t src_pixel, dst_pixel; /* planes: that of the float32 side is ignored */
        struct bytes_real real;
        size_t threads;
};

void bytes_quantise_run(const struct bytes_quantise *p, const float *src, uint8_t *dst);
void bytes_dequantise_run(const struct bytes_quantise *p, const uint8_t *src, float *dst);
