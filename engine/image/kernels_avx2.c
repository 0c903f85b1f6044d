#include "engine/image/kernels_avx2.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/*
 * A pixel has 8 bits and a weight 23, too many for the 16-bit multiplier, and VPMULLD takes two passes
 * through it. So a weight is high * 2^11 + low, VPMADDWD sums two taps of each part, and the parts meet at
 * the end: integer arithmetic throughout, hence the same bits as the portable code.
 */
#define AVX2 __attribute__((target("avx2")))
#define HALF (1 << (WEIGHTS_FRACTION_BITS - 1))

struct sums {
        __m256i high, low;
};

AVX2 static inline void sums_add(struct sums *sums, __m256i pixels, __m256i high, __m256i low) {
        sums->high = _mm256_add_epi32(sums->high, _mm256_madd_epi16(pixels, high));
        sums->low = _mm256_add_epi32(sums->low, _mm256_madd_epi16(pixels, low));
}

AVX2 static inline __m256i sums_total(struct sums sums) {
        return _mm256_add_epi32(_mm256_slli_epi32(sums.high, WEIGHTS_LOW_BITS), sums.low);
}

/* One pixel of the horizontal pass: the lanes hold taps 0 and 1, and 2 and 3, as (R, G, B, nothing). */
AVX2 static inline __m128i sums_pixel(struct sums sums) {
        __m256i total = sums_total(sums);
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));

        return _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(HALF)), WEIGHTS_FRACTION_BITS);
}

AVX2 static inline __m256i broadcast_load(const void *bytes) {
        return _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes));
}

static inline void store_pixel(unsigned char *out, int pixel) {
        memcpy(out, &pixel, sizeof(pixel));
}

AVX2 static void horizontal(unsigned char *const out[KERNELS_ROWS],
                            const unsigned char *const in[KERNELS_ROWS], const struct weights *weights) {
        /* RGBRGBRGBRGB -> 16-bit pairs (R0 R1) (G0 G1) (B0 B1) 0 | (R2 R3) (G2 G3) (B2 B3) 0 */
        const __m256i pair_pixels =
                _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, /* taps 0, 1 */
                                 6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
        const __m256i pair_high =
                _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, /* taps 0, 1 */
                                 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
        const __m256i pair_low = _mm256_add_epi8(pair_high, _mm256_set1_epi8(8));
        const int16_t *split = weights->split;

        for (size_t i = 0; i < weights->n; i++) {
                struct sums sums[KERNELS_ROWS] = {0};
                size_t at = 3 * (size_t)weights->first[i];
                __m128i pixels;

                for (size_t t = 0; t < weights->taps; t += WEIGHTS_TAP_GROUP) {
                        __m256i weight = broadcast_load(split);
                        __m256i high = _mm256_shuffle_epi8(weight, pair_high);
                        __m256i low = _mm256_shuffle_epi8(weight, pair_low);

                        for (size_t r = 0; r < KERNELS_ROWS; r++)
                                sums_add(&sums[r],
                                         _mm256_shuffle_epi8(broadcast_load(in[r] + at), pair_pixels), high,
                                         low);
                        split += 2 * WEIGHTS_TAP_GROUP;
                        at += 3 * WEIGHTS_TAP_GROUP;
                }

                pixels = _mm_packus_epi16(_mm_packs_epi32(sums_pixel(sums[0]), sums_pixel(sums[1])),
                                          _mm_packs_epi32(sums_pixel(sums[2]), sums_pixel(sums[3])));
                store_pixel(out[0] + 3 * i, _mm_cvtsi128_si32(pixels));
                store_pixel(out[1] + 3 * i, _mm_extract_epi32(pixels, 1));
                store_pixel(out[2] + 3 * i, _mm_extract_epi32(pixels, 2));
                store_pixel(out[3] + 3 * i, _mm_extract_epi32(pixels, 3));
        }
}

#define BLOCK 16u /* bytes of a row at a time */

AVX2 static inline __m256i load_pair(const void *weights) {
        int pair;

        memcpy(&pair, weights, sizeof(pair));
        return _mm256_set1_epi32(pair);
}

AVX2 static inline void vertical_block(unsigned char *out, const unsigned char *const *rows, size_t x,
                                       const int16_t *split, size_t taps) {
        const __m256i half = _mm256_set1_epi32(HALF);
        struct sums left = {_mm256_setzero_si256(), half}, right = left;
        __m256i words;

        for (size_t t = 0; t < taps; t += 2) {
                const int16_t *pair =
                        split + t / WEIGHTS_TAP_GROUP * (2 * WEIGHTS_TAP_GROUP) + t % WEIGHTS_TAP_GROUP;
                __m256i high = load_pair(pair), low = load_pair(pair + WEIGHTS_TAP_GROUP);
                __m128i a = _mm_loadu_si128((const void *)(rows[t] + x));
                __m128i b = _mm_loadu_si128((const void *)(rows[t + 1] + x));

                sums_add(&left, _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)), high, low);
                sums_add(&right, _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b)), high, low);
        }

        /* The pack works within lanes: left 0..3, right 0..3 | left 4..7, right 4..7. */
        words = _mm256_packs_epi32(_mm256_srai_epi32(sums_total(left), WEIGHTS_FRACTION_BITS),
                                   _mm256_srai_epi32(sums_total(right), WEIGHTS_FRACTION_BITS));
        words = _mm256_permute4x64_epi64(words, _MM_SHUFFLE(3, 1, 2, 0));
        _mm_storeu_si128((void *)out, _mm_packus_epi16(_mm256_castsi256_si128(words),
                                                       _mm256_extracti128_si256(words, 1)));
}

AVX2 static void vertical(unsigned char *out, const unsigned char *const *rows, size_t n_bytes,
                          const struct weights *weights, size_t index) {
        const int16_t *split = weights->split + 2 * index * weights->taps;

        if (n_bytes < BLOCK) {
                kernels_portable.vertical(out, rows, n_bytes, weights, index);
                return;
        }
        for (size_t x = 0; x + BLOCK <= n_bytes; x += BLOCK)
                vertical_block(out + x, rows, x, split, weights->taps);
        /* The rest is the end of a block that overlaps the one before. */
        if (n_bytes % BLOCK > 0)
                vertical_block(out + n_bytes - BLOCK, rows, n_bytes - BLOCK, split, weights->taps);
}

static const struct kernels avx2 = {
        .name = "AVX2",
        .horizontal = horizontal,
        .vertical = vertical,
};

const struct kernels *kernels_avx2(void) {
        return __builtin_cpu_supports("avx2") ? &avx2 : NULL;
}

#else

const struct kernels *kernels_avx2(void) {
        return NULL;
}

#endif
