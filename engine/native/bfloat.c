#include "engine/native/bfloat.h"

#ifdef __AVX512BF16__

#include <immintrin.h>

#define LANES 16u

typedef __m512 vector;
typedef __mmask16 vector_mask;

static inline vector_mask mask_of(size_t n) {
        return n >= LANES ? 0xffff : (vector_mask)((1u << n) - 1);
}

static inline vector load(const uint16_t *at, vector_mask mask) {
        return _mm512_castsi512_ps(
                _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at)), 16));
}

static inline vector load_reals(const float *at, vector_mask mask) {
        return _mm512_maskz_loadu_ps(mask, at);
}

static inline void store(uint16_t *at, vector x, vector_mask mask) {
        _mm256_mask_storeu_epi16(at, mask, (__m256i)_mm512_cvtneps_pbh(x));
}

static inline void store_reals(float *at, vector x, vector_mask mask) {
        _mm512_mask_storeu_ps(at, mask, x);
}

static inline vector splat(float x) {
        return _mm512_set1_ps(x);
}

static inline vector clip(vector x, float low, float high) {
        return _mm512_min_ps(_mm512_max_ps(x, splat(low)), splat(high));
}

#else

/* What no plan calls, for other CPUs: a vector is one element. */
#define LANES 1u

typedef float vector;
typedef int vector_mask;

static inline vector_mask mask_of(size_t n) {
        return n > 0;
}

static inline vector load(const uint16_t *at, vector_mask mask) {
        return mask ? bfloat_real(*at) : 0;
}

static inline vector load_reals(const float *at, vector_mask mask) {
        return mask ? *at : 0;
}

static inline void store(uint16_t *at, vector x, vector_mask mask) {
        if (mask)
                *at = bfloat_of(x);
}

static inline void store_reals(float *at, vector x, vector_mask mask) {
        if (mask)
                *at = x;
}

static inline vector splat(float x) {
        return x;
}

static inline vector clip(vector x, float low, float high) {
        x = x > low ? x : low;
        return x < high ? x : high;
}

#endif

void bfloat_scale_shift(const struct bfloat_map *map, const uint16_t *src, const float *scale,
                        const float *shift, float low, float high, uint16_t *dst, size_t begin, size_t end) {
        for (size_t p = begin; p < end; p++)
                for (size_t c = 0; c < map->channels; c += LANES) {
                        vector_mask mask = mask_of(map->channels - c);
                        vector x = load(src + p * map->src_pixel + c, mask);

                        x = x * load_reals(scale + c, mask) + load_reals(shift + c, mask);
                        store(dst + p * map->dst_pixel + c, clip(x, low, high), mask);
                }
}

void bfloat_gate(const struct bfloat_map *map, const uint16_t *src, const uint16_t *gate, uint16_t *dst,
                 size_t begin, size_t end) {
        for (size_t p = begin; p < end; p++) {
                const uint16_t *of_image = gate + p / map->pixels * map->channels;

                for (size_t c = 0; c < map->channels; c += LANES) {
                        vector_mask mask = mask_of(map->channels - c);

                        store(dst + p * map->dst_pixel + c,
                              load(src + p * map->src_pixel + c, mask) * load(of_image + c, mask), mask);
                }
        }
}

void bfloat_mean(const struct bfloat_map *map, const uint16_t *src, void *dst, bool to_reals, size_t begin,
                 size_t end) {
        vector inverse = splat(1 / (float)map->pixels);

        for (size_t n = begin; n < end; n++)
                for (size_t c = 0; c < map->channels; c += LANES) {
                        vector_mask mask = mask_of(map->channels - c);
                        const uint16_t *at = src + n * map->pixels * map->src_pixel + c;
                        size_t target = n * map->channels + c;
                        vector sum = splat(0);

                        for (size_t p = 0; p < map->pixels; p++)
                                sum += load(at + p * map->src_pixel, mask);
                        if (to_reals)
                                store_reals((float *)dst + target, sum * inverse, mask);
                        else
                                store((uint16_t *)dst + target, sum * inverse, mask);
                }
}
