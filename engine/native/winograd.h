#pragma once
/*
 * winograd: 3x3 convolution of stride 1 by Winograd's minimal filtering, F(m x m, 3 x 3) with m 2 or 4.
 *
 * An output tile of m x m pixels costs (m + 2)^2 products a pair of channels instead of 9 m^2: 2.25 times
 * fewer with m 2, 4 times with m 4, less what tiles stick out of the picture. Blocks of tiles are
 * transformed, multiplied and transformed back while they are in the cache.
 *
 * Rounding errors grow with m: about 1e-6 of the largest result with m 4, which is why there is no m 6.
 */
#include <stdbool.h>
#include <stddef.h>

#include "engine/kernel.h"
#include "engine/native/native.h"

struct winograd {
        const struct native *native;
        unsigned m; /* 2 or 4 */
        size_t threads;
        size_t images, channels, outputs; /* channels of src and dst */
        size_t height, width;             /* of src */
        size_t out_height, out_width;
        size_t pad_top, pad_left;
        struct map_strides src, dst;
        bool bias, sum;     /* sum: dst += */
        float low, high;    /* results are clipped to; -INFINITY, INFINITY: not at all */
        size_t block_tiles; /* set by winograd_settle() */
};

/* Chooses how many tiles go through the caches together. Call once all other fields are set. */
void winograd_settle(struct winograd *winograd);

size_t winograd_scratch_bytes(const struct winograd *winograd);

/* Transformed weights: [panel of outputs][point][channel][output in the panel], for given m, channels and
 * outputs; the last panel is filled up with zeros. */
size_t winograd_weights_bytes(const struct native *native, unsigned m, size_t channels, size_t outputs);

/* U = G g G^T of outputs [first, first + n), whose weights [n, I, 3, 3] are given, in double precision.
 * target: of all outputs, winograd_weights_bytes(), zeroed before the first call. */
void winograd_pack(const struct native *native, unsigned m, size_t channels, size_t first, size_t n,
                   const float *weights, float *target);

/* bias: padded to a whole panel, or NULL. scratch: winograd_scratch_bytes(), aligned to 64 bytes. */
void winograd_run(const struct winograd *winograd, const float *src, const float *weights, const float *bias,
                  float *dst, float *scratch);
