#pragma once
/*
 * native: our own vector code, compiled once for each instruction set (native_avx2.c, ...) from templates.
 *
 * All pointers are to float32. Functions are pure: they touch what they are given, from any thread.
 *
 * gemm: c = clip(a * b + bias + c), the right operand b [k, gemm_columns] dense and aligned to a vector.
 */
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

struct native {
        const char *isa; /* "avx512", for names of kernels */
        size_t lanes;    /* floats in a vector */

        /* 1 <= rows <= gemm_rows */
        void (*gemm)(size_t rows, const struct gemm_left *a, const float *b, const struct gemm_result *c);
        size_t gemm_rows, gemm_columns;

        winograd_gather *winograd_gather[2]; /* F(2x2, 3x3), F(4x4, 3x3) */
        winograd_scatter *winograd_scatter[2];

        native_conv_part *conv[NATIVE_FAMILIES]; /* NULL where there are none */
};

/* The best for this CPU that ONEDNN_MAX_CPU_ISA allows; never NULL. */
const struct native *native_best(void);

/* Behind native_best(). */
extern const struct native native_portable, native_avx2, native_avx512;
