/*
 * template: the vector code of struct native for one instruction set. Included once by native_*.c, which
 * defines
 *
 *   NATIVE              the struct native to define
 *   NATIVE_ISA          its name
 *   NATIVE_LANES        floats in a vector
 *   NATIVE_GEMM_ROWS    rows and vectors of the tile of c that stays in registers: rows * vectors
 *   NATIVE_GEMM_VECTORS accumulators, and one register for each vector of b and one for a must fit
 *   NATIVE_GEMM_PREFETCH whether struct gemm_left's next is fetched into the second-level cache
 *   NATIVE_CONV         the functions of native/conv.h; not defined where there are none
 *
 * Compilers' vector extensions are used instead of intrinsics: one source for all.
 */
#include <string.h>
#if NATIVE_LANES == 16
#include <immintrin.h>
#endif

#include "engine/native/native.h"

#define LANES            ((size_t)NATIVE_LANES)
#define COLUMNS          (NATIVE_GEMM_VECTORS * LANES)
#define CACHE_LINE_BYTES 64u
#define INLINE           static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(NATIVE_LANES * sizeof(float))));
typedef float vec_unaligned
        __attribute__((vector_size(NATIVE_LANES * sizeof(float)), aligned(4), may_alias));

typedef int mask __attribute__((vector_size(NATIVE_LANES * sizeof(int))));

INLINE vec load(const float *p) {
        return *(const vec_unaligned *)p;
}

INLINE void store(float *p, vec v) {
        *(vec_unaligned *)p = v;
}

/* n lanes, 1 <= n <= LANES; the others are 0. */
#if NATIVE_LANES == 16
INLINE vec load_lanes(const float *p, size_t n) {
        return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

INLINE void store_lanes(float *p, vec v, size_t n) {
        _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
#else
INLINE vec load_lanes(const float *p, size_t n) {
        float lanes[LANES] = {0};

        memcpy(lanes, p, n * sizeof(*p));
        return load(lanes);
}

INLINE void store_lanes(float *p, vec v, size_t n) {
        float lanes[LANES];

        store(lanes, v);
        memcpy(p, lanes, n * sizeof(*p));
}
#endif

INLINE vec splat(float x) {
        return x - (vec){0};
}

/* x, but at least (at most) bound; NaN stays. */
INLINE vec at_least(vec x, vec bound) {
        mask below = bound > x;

        return (vec)(((mask)bound & below) | ((mask)x & ~below));
}

INLINE vec at_most(vec x, vec bound) {
        mask above = bound < x;

        return (vec)(((mask)bound & above) | ((mask)x & ~above));
}

/* ---- gemm ---- */

/*
 * Inlined for each number of rows, so that all loops over rows and vectors unroll and the accumulators are
 * registers. Three rows share a base address, which x86 reaches as base, base + stride and base + 2 *
 * stride: fourteen pointers of their own would not fit its registers.
 */
INLINE void gemm_multiply(const size_t rows, const struct gemm_left *a, const float *b,
                          vec sums[NATIVE_GEMM_ROWS][NATIVE_GEMM_VECTORS]) {
        size_t stride = a->stride, block = a->block;
#if NATIVE_GEMM_PREFETCH
        const char *next = (const char *)a->next;
#endif

        for (size_t n = 0; n < a->n_blocks; n++) {
                const float *bases[(NATIVE_GEMM_ROWS + 2) / 3];

#pragma GCC unroll 16
                for (size_t i = 0; 3 * i < rows; i++)
                        bases[i] = a->at + n * a->step + 3 * i * stride;
                for (size_t i = 0; i < block; i++) {
                        vec row[NATIVE_GEMM_VECTORS];

#pragma GCC unroll 4
                        for (size_t v = 0; v < NATIVE_GEMM_VECTORS; v++)
                                row[v] = *(const vec *)(b + v * LANES);
                        b += COLUMNS;
#if NATIVE_GEMM_PREFETCH
                        __builtin_prefetch(next, 0, 2);
                        next += CACHE_LINE_BYTES;
#endif
#pragma GCC unroll 16
                        for (size_t r = 0; r < rows; r++) {
                                vec x = splat(bases[r / 3][r % 3 * stride]);

#pragma GCC unroll 4
                                for (size_t v = 0; v < NATIVE_GEMM_VECTORS; v++)
                                        sums[r][v] += x * row[v];
                        }
#pragma GCC unroll 16
                        for (size_t j = 0; 3 * j < rows; j++)
                                bases[j]++;
                }
        }
}

INLINE void gemm_fixed(const size_t rows, const struct gemm_left *a, const float *b,
                       const struct gemm_result *c) {
        vec sums[NATIVE_GEMM_ROWS][NATIVE_GEMM_VECTORS];
        vec low = splat(c->low), high = splat(c->high);

#pragma GCC unroll 4
        for (size_t v = 0; v < NATIVE_GEMM_VECTORS; v++) {
                vec bias = c->bias ? load(c->bias + v * LANES) : (vec){0};

#pragma GCC unroll 16
                for (size_t r = 0; r < rows; r++)
                        sums[r][v] = bias;
        }
        gemm_multiply(rows, a, b, sums);

#pragma GCC unroll 4
        for (size_t v = 0; v < NATIVE_GEMM_VECTORS; v++) {
                size_t n = c->columns > v * LANES ? c->columns - v * LANES : 0;
                float *at = c->at + v * c->step;

                if (n >= LANES) {
#pragma GCC unroll 16
                        for (size_t r = 0; r < rows; r++) {
                                vec y = sums[r][v];

                                if (c->sum)
                                        y += load(at + r * c->stride);
                                store(at + r * c->stride, at_most(at_least(y, low), high));
                        }
                } else if (n > 0) {
#pragma GCC unroll 16
                        for (size_t r = 0; r < rows; r++) {
                                vec y = sums[r][v];

                                if (c->sum)
                                        y += load_lanes(at + r * c->stride, n);
                                store_lanes(at + r * c->stride, at_most(at_least(y, low), high), n);
                        }
                }
        }
}

static void gemm(size_t rows, const struct gemm_left *a, const float *b, const struct gemm_result *c) {
        switch (rows) {
#define CASE(n)                                                                                             \
        case n:                                                                                             \
                gemm_fixed(n, a, b, c);                                                                     \
                break
                CASE(1);
                CASE(2);
                CASE(3);
                CASE(4);
#if NATIVE_GEMM_ROWS > 4
                CASE(5);
                CASE(6);
#endif
#if NATIVE_GEMM_ROWS > 6
                CASE(7);
                CASE(8);
                CASE(9);
                CASE(10);
                CASE(11);
                CASE(12);
                CASE(13);
                CASE(14);
#endif
#undef CASE
        default:
                break;
        }
}

/* ---- Winograd ---- */

/* One dimension of B^T d and A^T m. */
INLINE void input_2(const vec d[4], vec out[4]) {
        out[0] = d[0] - d[2];
        out[1] = d[1] + d[2];
        out[2] = d[2] - d[1];
        out[3] = d[1] - d[3];
}

INLINE void output_2(const vec m[4], vec out[2]) {
        out[0] = m[0] + m[1] + m[2];
        out[1] = m[1] - m[2] - m[3];
}

INLINE void input_4(const vec d[6], vec out[6]) {
        vec even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1];
        vec even_half = d[4] - d[2], odd_half = 2 * (d[3] - d[1]);

        out[0] = 4 * d[0] - 5 * d[2] + d[4];
        out[1] = even + odd;
        out[2] = even - odd;
        out[3] = even_half + odd_half;
        out[4] = even_half - odd_half;
        out[5] = 4 * d[1] - 5 * d[3] + d[5];
}

INLINE void output_4(const vec m[6], vec out[4]) {
        vec sum = m[1] + m[2], difference = m[1] - m[2];
        vec sum_2 = m[3] + m[4], difference_2 = m[3] - m[4];

        out[0] = m[0] + sum + sum_2;
        out[1] = difference + 2 * difference_2;
        out[2] = sum + 4 * sum_2;
        out[3] = difference + 8 * difference_2 + m[5];
}

/* Gather and scatter for m x m results of tiles of p x p points. */
#define DEFINE_WINOGRAD(m, p)                                                                               \
        INLINE void gather_vector_##m(const struct winograd_source *source, size_t block, size_t n,         \
                                      float *v, size_t point_stride) {                                      \
                vec columns[p][p], d[p], out[p];                                                            \
                                                                                                            \
                _Pragma("GCC unroll 8") for (size_t j = 0; j < p; j++) {                                    \
                        _Pragma("GCC unroll 8") for (size_t i = 0; i < p; i++) {                            \
                                const float *pixel =                                                        \
                                        source->pixels[i * p + j] + block * source->steps[i * p + j];       \
                                                                                                            \
                                d[i] = n == LANES ? load(pixel) : load_lanes(pixel, n);                     \
                        }                                                                                   \
                        input_##m(d, columns[j]);                                                           \
                }                                                                                           \
                _Pragma("GCC unroll 8") for (size_t i = 0; i < p; i++) {                                    \
                        _Pragma("GCC unroll 8") for (size_t j = 0; j < p; j++) d[j] = columns[j][i];        \
                        input_##m(d, out);                                                                  \
                        _Pragma("GCC unroll 8") for (size_t j = 0; j < p; j++)                              \
                                store(v + (i * p + j) * point_stride, out[j]);                              \
                }                                                                                           \
        }                                                                                                   \
                                                                                                            \
        static void gather_##m(const struct winograd_source *source, size_t first, size_t last, float *v,   \
                               size_t point_stride) {                                                       \
                size_t c = first;                                                                           \
                                                                                                            \
                for (; c + LANES <= last; c += LANES)                                                       \
                        gather_vector_##m(source, c / LANES, LANES, v + c, point_stride);                   \
                if (c < last)                                                                               \
                        gather_vector_##m(source, c / LANES, last - c, v + c, point_stride);                \
        }                                                                                                   \
                                                                                                            \
        static void scatter_##m(const float *products, size_t point_stride, size_t n_vectors,               \
                                const struct winograd_target *target) {                                     \
                for (size_t block = 0; block < n_vectors; block++, products += LANES) {                     \
                        size_t n = target->channels - block * LANES;                                        \
                        vec rows[m][p], points[p], out[m];                                                  \
                        vec bias = target->bias ? load(target->bias + block * LANES) : (vec){0};            \
                        float *pixels = target->pixels + block * target->step;                              \
                                                                                                            \
                        n = n < LANES ? n : LANES;                                                          \
                        _Pragma("GCC unroll 8") for (size_t j = 0; j < p; j++) {                            \
                                _Pragma("GCC unroll 8") for (size_t i = 0; i < p; i++) points[i] =          \
                                        load(products + (i * p + j) * point_stride);                        \
                                output_##m(points, out);                                                    \
                                _Pragma("GCC unroll 8") for (size_t i = 0; i < m; i++) rows[i][j] = out[i]; \
                        }                                                                                   \
                        for (size_t i = 0; i < target->rows; i++) {                                         \
                                output_##m(rows[i], out);                                                   \
                                for (size_t j = 0; j < target->columns; j++) {                              \
                                        float *pixel =                                                      \
                                                pixels + i * target->row_stride + j * target->pixel_stride; \
                                        vec y = out[j] + bias;                                              \
                                                                                                            \
                                        if (target->sum)                                                    \
                                                y += n == LANES ? load(pixel) : load_lanes(pixel, n);       \
                                        y = at_most(at_least(y, splat(target->low)), splat(target->high));  \
                                        if (n == LANES)                                                     \
                                                store(pixel, y);                                            \
                                        else                                                                \
                                                store_lanes(pixel, y, n);                                   \
                                }                                                                           \
                        }                                                                                   \
                }                                                                                           \
        }

DEFINE_WINOGRAD(2, 4)
DEFINE_WINOGRAD(4, 6)

const struct native NATIVE = {
        .isa = NATIVE_ISA,
        .lanes = NATIVE_LANES,
        .gemm = gemm,
        .gemm_rows = NATIVE_GEMM_ROWS,
        .gemm_columns = COLUMNS,
        .winograd_gather = {gather_2, gather_4},
        .winograd_scatter = {scatter_2, scatter_4},
#ifdef NATIVE_CONV
        .conv = NATIVE_CONV,
#endif
};
