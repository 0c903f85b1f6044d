#pragma once
/*
 * dot_winograd: dense 3x3 convolutions of bytes for AVX2 as F(2x2, 3x3) of Lavin and Gray 2015
 * (section 4.1), in integers and exact: 16 products in place of 36 for four outputs.
 *
 * Twice the filter's transform has integers for elements, so that the sums are four times the results, and
 * every number fits: transformed inputs within 1020 and weights within 1152 are int16, whose products
 * vpmaddwd adds in int32 without saturating; sums wrap, but four times a result fits for up to
 * DOT_WINOGRAD_INPUTS inputs. Weights need not be split, whatever they are.
 */
#include "engine/native/dot_internal.h"

#define DOT_WINOGRAD_INPUTS    1792u /* 4 * 9 * 255 * 128 of each in int32 */
#define DOT_WINOGRAD_POSITIONS 16u   /* of a tile of 4x4 inputs */
#define DOT_WINOGRAD_PANEL     2u    /* vectors of 8 outputs */
#define DOT_WINOGRAD_TILES     6u    /* that meet a panel at a time */

/* Looks at inputs, outputs, groups and window but not at the map. */
bool dot_winograd_can(const struct dot_conv *conv);

/* Of weights behind the head, [panel, position, two inputs, vector, lane, two inputs] int16. */
size_t dot_winograd_bytes(const struct dot_conv *conv);
void dot_winograd_pack(const struct dot_conv *conv, const int8_t *weights, unsigned char *target);

/* Of scratch, for each thread: [a pixel of src_zero, transformed inputs of tiles]. */
size_t dot_winograd_scratch_bytes(const struct dot_conv *conv);

/* The part that one of several threads does. */
void dot_winograd_run_avx2(const struct dot_conv *conv, const struct dot_data *data, size_t thread,
                           size_t n_threads);

/* ---- what the packer and the kernel share ---- */

/* Of a pixel in the scratch, whole vectors. */
static inline size_t dot_winograd_channels(const struct dot_conv *conv) {
        return (conv->inputs + 15) / 16 * 16;
}

static inline size_t dot_winograd_pairs(const struct dot_conv *conv) {
        return (conv->inputs + 1) / 2;
}

/* int16 from one tile's transformed inputs to the next's; tiles must not share sets of the first cache. */
static inline size_t dot_winograd_step(const struct dot_conv *conv) {
        return DOT_WINOGRAD_POSITIONS * dot_winograd_channels(conv) + DOT_LINE / sizeof(int16_t);
}

/* Tiles that are transformed at a time. */
size_t dot_winograd_band(const struct dot_conv *conv);

/* Bytes of the scratch's first part. */
static inline size_t dot_winograd_pixel_bytes(const struct dot_conv *conv) {
        return (dot_winograd_channels(conv) + DOT_LINE - 1) / DOT_LINE * DOT_LINE;
}
