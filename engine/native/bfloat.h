#pragma once
/*
 * native/bfloat: what networks in bfloat16 do beside convolutions, on feature maps with the channels last:
 * elements are read as they are, computed with in float32, and rounded once to the nearest even.
 *
 * Pixels may lie further apart than their channels: slices of a concatenation are read and written in place.
 * The vector code needs AVX512_BF16 (cpu_may_use_bf16()). Functions are pure, and share out the pixels of
 * all images among threads by begin and end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The steps between pixels are in elements. */
struct bfloat_map {
        size_t images, pixels, channels; /* pixels: of one image */
        size_t src_pixel, dst_pixel;
};

/* dst = min(max(src * scale[c] + shift[c], low), high) */
void bfloat_scale_shift(const struct bfloat_map *map, const uint16_t *src, const float *scale,
                        const float *shift, float low, float high, uint16_t *dst, size_t begin, size_t end);

/* dst = src * gate[n][c]; gate is dense. */
void bfloat_gate(const struct bfloat_map *map, const uint16_t *src, const uint16_t *gate, uint16_t *dst,
                 size_t begin, size_t end);

/* dst [n][c], dense, of float32 or bfloat16: the mean of src over the pixels of image n, for images begin to
 * end. */
void bfloat_mean(const struct bfloat_map *map, const uint16_t *src, void *dst, bool to_reals, size_t begin,
                 size_t end);

/* The bfloat16 nearest to x. */
static inline uint16_t bfloat_of(float x) {
        union {
                float real;
                uint32_t bits;
        } u = {x};

        /* A NaN must not round up to an infinity. */
        if (x != x)
                return (uint16_t)(u.bits >> 16 | 0x40);
        return (uint16_t)((u.bits + 0x7fff + (u.bits >> 16 & 1)) >> 16);
}

static inline float bfloat_real(uint16_t x) {
        union {
                uint32_t bits;
                float real;
        } u = {(uint32_t)x << 16};

        return u.real;
}
