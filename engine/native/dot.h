#pragma once
/*
 * native/dot: convolutions and inner products of few bits, by instructions that multiply and add several
 * neighbouring inputs at once: uint8 by int8 into int32, bfloat16 by bfloat16 into float32.
 *
 *   y = activation(acc * scale[o] + bias[o] + (sum - sum_zero) * sum_scale)
 *   uint8 result: saturate(round_half_even(y / dst_scale) + dst_zero); others: y, rounded to the type
 *
 * DOT_U8S8: acc is the exact int32 sum of weight * (input - src_zero), on every CPU: where an instruction
 * would saturate, the packer has split the weights so that it cannot. Where all else is the same, results of
 * different CPUs are equal unless y lies within a rounding of float32 of a tie. DOT_BF16: acc is float32.
 *
 * Maps are channels-last: [image, row, column, channel], pixels src_pixel (dst_pixel, sum_pixel) elements
 * apart, which may be more than they have channels (slices of a concatenation). An inner product is a
 * convolution of images = rows, height = width = 1. Any window, stride, dilation and padding; padding is
 * src_zero, which stands for 0. A first convolution of 3 channels is one like the others: its weights fill
 * blocks across the columns of the window.
 *
 * Up to 63 bytes behind src are read, and what lies there does not matter (nor does what lies between a
 * pixel's channels and the next pixel); nothing is read or written outside of the rest. sum may be dst where
 * their types and pixels are the same.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/kernel.h"
#include "engine/native/conv.h"

/* Of source, and of weights as they are packed. */
enum dot_type {
        DOT_U8S8,
        DOT_BF16,
};

/* Of the destination, and of what is added. */
enum dot_result {
        DOT_TO_U8,
        DOT_TO_F32,
        DOT_TO_BF16,
};

struct dot_conv {
        enum dot_type type;
        enum dot_result result, sum_type;
        size_t images, inputs, outputs, groups;
        size_t height, width, out_height, out_width;
        size_t src_pixel, dst_pixel, sum_pixel; /* elements from one pixel to the next */
        struct kernel_window window;
        struct native_epilogue epilogue; /* sum: adds dot_data.sum */
        uint8_t src_zero;                /* DOT_U8S8 */
        float sum_scale;                 /* of a sum of uint8, with sum_zero; others are added as they are */
        int32_t sum_zero;
        float dst_scale; /* of a result of uint8, with dst_zero */
        int32_t dst_zero;

        /* Set by dot_conv_settle(). */
        size_t threads;
        size_t scratch_bytes; /* for all threads together; 0: none */
        size_t thread_bytes;  /* of it, for each */
        size_t rows;          /* of outputs that are worked on at a time; pixels where there is no window */
        size_t pitch;         /* bytes from one pixel to the next of what the tiles read */
        bool flat;            /* no window: all pixels are one row */
        bool copied;          /* do they read a padded copy in the scratch? */
};

/* scale and bias: [O] or NULL (1; 0). weights: from dot_conv_pack(), aligned to 64 bytes; scratch as well.
 */
struct dot_data {
        const void *src, *weights;
        const float *scale, *bias;
        const void *sum;
        void *dst, *scratch;
};

/* Products of a uint8 and an int8 that a sum of int32 holds whatever they are. */
#define DOT_MOST_PRODUCTS ((size_t)INT32_MAX / (255 * 128))

/* Has this CPU, as far as ONEDNN_MAX_CPU_ISA allows, code for such a convolution? type, inputs, outputs,
 * groups and window are looked at: groups of fewer than 4 inputs (bfloat16: 2) are not for these kernels,
 * nor are sums of more than DOT_MOST_PRODUCTS integers. */
bool dot_conv_can(const struct dot_conv *conv);

/* "avx512_vnni", "avx2", "avx512_bf16": what runs; NULL where nothing does. */
const char *dot_isa(enum dot_type type);

/* The same with what is special about this conv, for names of kernels and of packed forms: "avx2_winograd"
 * for 3x3 windows of stride 1 over enough inputs, whose exact form without VNNI that is. */
const char *dot_conv_form(const struct dot_conv *conv);

/* Chooses how the work is divided. Call once all other fields are set, for a conv that can be. */
void dot_conv_settle(struct dot_conv *conv, size_t threads);

/*
 * Packed weights depend on dot_conv_form(), inputs, outputs, groups, window.kernel, window.dilations,
 * src_zero and the weights, not on the size of maps nor on the threads: plans can share them. weights: [O, I
 * / G, kh, kw], int8, or for DOT_BF16 float32, which packing rounds; all at once, since AVX2's exact form
 * has a size that depends on them (only that form reads them to know its bytes). bytes: a multiple of 64. A
 * conv need not be settled for it; target is written whole.
 */
size_t dot_conv_packed_bytes(const struct dot_conv *conv, const void *weights);
void dot_conv_pack(const struct dot_conv *conv, const void *weights, void *target);

/* Takes no lock and allocates nothing; forms a team of conv->threads. */
void dot_conv_run(const struct dot_conv *conv, const struct dot_data *data);
