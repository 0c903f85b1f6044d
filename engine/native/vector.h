#pragma once
/*
 * vector: float vectors of LANES lanes, for files that are compiled for one instruction set.
 *
 * LANES 8 needs AVX2 and FMA, LANES 16 AVX-512F. Only files that set LANES include this; meson.build
 * compiles each with the flags of its instruction set, and nothing outside calls into them before conv.c has
 * asked the CPU.
 */
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/eltwise.h"

#define INLINE static inline __attribute__((always_inline))

/* Loops over registers must vanish, or the registers become memory. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

#if LANES == 16
#define VECTOR(name) name##_avx512
typedef __m512 vfloat;
typedef __mmask16 vmask;

INLINE vfloat v_load(const float *p) {
        return _mm512_loadu_ps(p);
}
INLINE void v_store(float *p, vfloat v) {
        _mm512_storeu_ps(p, v);
}
INLINE vfloat v_set(float x) {
        return _mm512_set1_ps(x);
}
INLINE vfloat v_fma(vfloat a, vfloat b, vfloat c) {
        return _mm512_fmadd_ps(a, b, c);
}
/* Of two operands one of which is NaN these give the second. */
INLINE vfloat v_max(vfloat a, vfloat b) {
        return _mm512_max_ps(a, b);
}
INLINE vfloat v_min(vfloat a, vfloat b) {
        return _mm512_min_ps(a, b);
}
INLINE vmask v_mask(size_t n) {
        return (vmask)(n >= LANES ? 0xffffu : (1u << n) - 1);
}
INLINE vfloat v_load_part(const float *p, vmask mask) {
        return _mm512_maskz_loadu_ps(mask, p);
}
INLINE void v_store_part(float *p, vmask mask, vfloat v) {
        _mm512_mask_storeu_ps(p, mask, v);
}

INLINE vfloat v_reciprocal(vfloat x) {
        vfloat r = _mm512_rcp14_ps(x);

        /* Newton's step doubles the 14 bits. */
        return _mm512_mul_ps(r, _mm512_fnmadd_ps(x, r, _mm512_set1_ps(2)));
}
INLINE vfloat v_scale(vfloat x, vfloat exponent) {
        return _mm512_scalef_ps(x, exponent);
}
INLINE vfloat v_round(vfloat x) {
        return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vfloat v_select_negative(vfloat condition, vfloat negative, vfloat otherwise) {
        return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(condition, _mm512_setzero_ps(), _CMP_LT_OQ),
                                    otherwise, negative);
}
#else
#define VECTOR(name) name##_avx2
typedef __m256 vfloat;

/* AVX2's masked store takes some twenty cycles on AMD, so lanes are stored by halves of what is left. */
typedef struct {
        __m256i lanes;
        size_t n;
} vmask;

INLINE vfloat v_load(const float *p) {
        return _mm256_loadu_ps(p);
}
INLINE void v_store(float *p, vfloat v) {
        _mm256_storeu_ps(p, v);
}
INLINE vfloat v_set(float x) {
        return _mm256_set1_ps(x);
}
INLINE vfloat v_fma(vfloat a, vfloat b, vfloat c) {
        return _mm256_fmadd_ps(a, b, c);
}
INLINE vfloat v_max(vfloat a, vfloat b) {
        return _mm256_max_ps(a, b);
}
INLINE vfloat v_min(vfloat a, vfloat b) {
        return _mm256_min_ps(a, b);
}
INLINE vmask v_mask(size_t n) {
        n = n > LANES ? LANES : n;
        return (vmask){.lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
                                                   _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
                       .n = n};
}
INLINE vfloat v_load_part(const float *p, vmask mask) {
        return _mm256_maskload_ps(p, mask.lanes);
}
INLINE void v_store_part(float *p, vmask mask, vfloat v) {
        __m128 half = _mm256_castps256_ps128(v);

        if (mask.n >= LANES) {
                _mm256_storeu_ps(p, v);
                return;
        }
        if (mask.n & 4) {
                _mm_storeu_ps(p, half);
                half = _mm256_extractf128_ps(v, 1);
                p += 4;
        }
        if (mask.n & 2) {
                _mm_storel_pi((__m64 *)p, half);
                half = _mm_movehl_ps(half, half);
                p += 2;
        }
        if (mask.n & 1)
                _mm_store_ss(p, half);
}

INLINE vfloat v_reciprocal(vfloat x) {
        return _mm256_div_ps(_mm256_set1_ps(1), x);
}
INLINE vfloat v_scale(vfloat x, vfloat exponent) {
        __m256i bits = _mm256_slli_epi32(_mm256_cvtps_epi32(exponent), 23);

        return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), bits));
}
INLINE vfloat v_round(vfloat x) {
        return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vfloat v_select_negative(vfloat condition, vfloat negative, vfloat otherwise) {
        return _mm256_blendv_ps(otherwise, negative,
                                _mm256_cmp_ps(condition, _mm256_setzero_ps(), _CMP_LT_OQ));
}
#endif

/* exp(x) within 2 units in the last place; x beyond +-87 as 87 is, so that no exponent overflows. exp(x) =
 * 2^n exp(r) with n = round(x / ln 2) and a Taylor polynomial for |r| <= ln 2 / 2. */
INLINE vfloat v_exp(vfloat x) {
        vfloat n, r, p;

        x = v_min(v_set(87), v_max(v_set(-87), x));
        n = v_round(x * v_set(1.44269504f));
        /* ln 2 in two parts, the first of few bits, so that the product with n is exact. */
        r = v_fma(n, v_set(-0.693359375f), x);
        r = v_fma(n, v_set(2.12194440e-4f), r);
        p = v_fma(r, v_set(1.f / 720), v_set(1.f / 120));
        p = v_fma(p, r, v_set(1.f / 24));
        p = v_fma(p, r, v_set(1.f / 6));
        p = v_fma(p, r, v_set(.5f));
        p = v_fma(p, r, v_set(1));
        p = v_fma(p, r, v_set(1));
        return v_scale(p, n);
}

INLINE vfloat v_sigmoid(vfloat x) {
        return v_reciprocal(v_set(1) + v_exp(v_set(0) - x));
}

INLINE vfloat v_clip(vfloat x, vfloat low, vfloat high) {
        return v_min(high, v_max(low, x));
}
