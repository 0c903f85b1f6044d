#pragma once
/*
 * native: our own vector code, compiled once for each instruction set (native_avx2.c, ...) from templates.
 *
 * All pointers are to float32. Functions are pure: they touch what they are given, from any thread.
 */
#include <stdbool.h>
#include <stddef.h>

#include "engine/native/winograd_tile.h"

struct native {
        const char *isa; /* "avx512", for names of kernels */
        size_t lanes;    /* floats in a vector */

        /*
         * c = a * b, or c += a * b: a [rows, k] with rows a_stride elements apart, b [k, gemm_columns] dense
         * and aligned to a vector, c [rows, gemm_columns] with rows c_stride apart. 1 <= rows <= gemm_rows.
         */
        void (*gemm)(size_t rows, size_t k, const float *a, size_t a_stride, const float *b, float *c,
                     size_t c_stride, bool accumulate);
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
};

/* The best for this CPU that ONEDNN_MAX_CPU_ISA allows; never NULL. */
const struct native *native_best(void);

/* Behind native_best(). */
extern const struct native native_portable, native_avx2, native_avx512;
