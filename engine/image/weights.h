#pragma once
/*
 * weights: what each pixel of an input axis counts for the pixels of an output axis, in fixed point.
 *
 * The same numbers as Pillow's, to the bit: src/libImaging/Resample.c, precompute_coeffs() and
 * normalize_coeffs_8bpc().
 */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/image/buffer.h"
#include "engine/image/preprocess.h"

/* Pillow's PRECISION_BITS: 32 bits without 8 for the pixel and 2 for the overshoot of a cubic. */
#define WEIGHTS_FRACTION_BITS 22
/* A weight is high * 2^11 + low with 0 <= low < 2^11, both in int16: pairs that VPMADDWD multiplies exactly.
 */
#define WEIGHTS_LOW_BITS  11
#define WEIGHTS_TAP_GROUP 4u

struct weights_axis {
        size_t in;               /* pixels of the input */
        double box_from, box_to; /* the part of the input that becomes the output, in input pixels */
        size_t out;              /* pixels of the whole output */
        size_t from, n;          /* the outputs that are wanted: [from, from + n), at least one */
};

struct weights {
        size_t n;          /* outputs */
        size_t taps;       /* weights per output, a multiple of WEIGHTS_TAP_GROUP; those not used are zero */
        size_t begin, end; /* the inputs that any output needs: [begin, end) */

        uint32_t *first;  /* [n]: the input of the first tap */
        uint32_t *n_taps; /* [n]: taps that lie inside the input */
        int32_t *fixed;   /* [n, taps] */
        int16_t *split;   /* [n, taps / 4, 2, 4]: the high parts of four taps, then their low parts */

        struct buffer memory;
};

/* Fills weights, whose memory is reused. Fails with ERROR_NO_MEMORY. */
int weights_setup(struct weights *weights, const struct weights_axis *axis, enum image_filter filter,
                  struct error *error);
void weights_release(struct weights *weights);
