#pragma once
/*
 * winograd_tile: the transforms of one tile of a Winograd convolution F(m x m, 3 x 3), m 2 or 4; the
 * products between them are winograd.c's.
 *
 * Points xi count the (m + 2)^2 elements of a transformed tile, row by row. Matrices: Lavin and Gray 2015,
 * "Fast Algorithms for Convolutional Neural Networks", sections 4.1 and 4.3.
 */
#include <stdbool.h>
#include <stddef.h>

#define WINOGRAD_MAX_POINTS 36u

/* Where the elements of a tile are: pixels [r][c] -> address of channel 0, and the step in elements from
 * one vector of channels to the next. Pixels in the padding point to zeros with step 0. */
struct winograd_source {
        const float *pixels[WINOGRAD_MAX_POINTS];
        size_t steps[WINOGRAD_MAX_POINTS];
};

/* V = B^T d B for channels [first, last) of a tile, first a multiple of the lanes: v[xi * point_stride + c].
 * Reads whole vectors below last, lane by lane behind it; writes zeros up to a whole vector. */
typedef void winograd_gather(const struct winograd_source *source, size_t first, size_t last, float *v,
                             size_t point_stride);

/* Where the results of a tile go: m x m pixels, of which rows x columns exist. */
struct winograd_target {
        float *pixels;                         /* address of channel 0 of the first pixel */
        size_t row_stride, pixel_stride, step; /* elements; step: from one vector of channels to the next */
        size_t rows, columns;
        size_t channels;   /* that exist from channel 0 on */
        const float *bias; /* from channel 0 on, padded to a vector; or NULL */
        bool sum;          /* add what the pixels hold */
        float low, high;   /* clip to */
};

/* Y = A^T m A for n_vectors vectors of channels: m[xi * point_stride + c], then sum, bias and clipping. */
typedef void winograd_scatter(const float *m, size_t point_stride, size_t n_vectors,
                              const struct winograd_target *target);
