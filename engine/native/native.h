#pragma once
/*
 * native: our own vector code, compiled once for each instruction set (native_avx2.c, ...) from templates.
 *
 * All pointers are to float32. Functions are pure: they touch what they are given, from any thread.
 *
 * gemm: c = clip(a * b + bias + c), the right operand b [k, gemm_columns] dense and aligned to a vector.
 */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/native/conv.h"
#include "engine/native/winograd_tile.h"

/* The left operand [rows, k]: rows stride apart; k elements in n_blocks blocks of block neighbours, step
 * apart. One block where a row is dense. */
struct gemm_left {
        const float *at;
        size_t stride, n_blocks, block, step;
        const float *next; /* of what is needed soon, k cache lines are fetched from here on; any address
                              will do */
};

/* Where the result goes: rows stride apart, each vector of columns step after the one before it. */
struct gemm_result {
        float *at;
        size_t stride, step;
        size_t columns;    /* that exist, 1 to gemm_columns; all of them where this is larger */
        const float *bias; /* [gemm_columns], or NULL */
        bool sum;          /* add what the result held */
        float low, high;   /* clip to; -INFINITY, INFINITY: not at all */
};

/* Rows of k elements that lie side by side. */
static inline struct gemm_left gemm_rows_of(const float *at, size_t stride, size_t k) {
        return (struct gemm_left){.at = at, .stride = stride, .n_blocks = 1, .block = k, .next = at};
}

/* A tile of all columns, row-major, as it is. */
static inline struct gemm_result gemm_tile(float *at, size_t columns, size_t lanes) {
        return (struct gemm_result){.at = at,
                                    .stride = columns,
                                    .step = lanes,
                                    .columns = columns,
                                    .low = -INFINITY,
                                    .high = INFINITY};
}

struct native {
        const char *isa; /* "avx512", for names of kernels */
        size_t lanes;    /* floats in a vector */

        /* 1 <= rows <= gemm_rows */
        void (*gemm)(size_t rows, const struct gemm_left *a, const float *b, const struct gemm_result *c);
        size_t gemm_rows, gemm_columns;

        /* y = (x - mean) / sqrt(variance + epsilon) * gamma + beta for each row of k; x and y may be the
         * same. */
        void (*layer_norm)(size_t rows, size_t k, const float *x, const float *gamma, const float *beta,
                           float epsilon, float *y);

        /* y = gelu(x + bias) for rows of n, x_stride and y_stride elements apart; bias [n] or NULL. */
        void (*gelu)(size_t rows, size_t n, const float *x, size_t x_stride, const float *bias, float *y,
                     size_t y_stride);

        /* s [rows, gemm_columns]: each column becomes 2^(s - its maximum), not yet divided by the sum;
         * inverses [gemm_columns]: one by the sum of each. */
        void (*softmax_columns)(float *s, size_t rows, float *inverses);

        winograd_gather *winograd_gather[2]; /* F(2x2, 3x3), F(4x4, 3x3) */
        winograd_scatter *winograd_scatter[2];

        native_conv_part *conv[NATIVE_FAMILIES]; /* these and the next are NULL where there are none */
        native_channels_part *channels;
        native_pair_part *pair;
};

/* The best for this CPU that ONEDNN_MAX_CPU_ISA allows; never NULL. */
const struct native *native_best(void);

/* Behind native_best(). */
extern const struct native native_portable, native_avx2, native_avx512;
