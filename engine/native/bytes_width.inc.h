/*
 * bytes_width: vectors of WIDTH bytes, for templates that are included once for each width. The intrinsics
 * of the three widths differ in nothing but their prefixes, and little else. To be included again after
 * WIDTH was defined anew.
 */
#undef OP
#undef V
#undef VF
#undef SI
#undef WIDE
#undef LOAD

#if WIDTH == 64
#define OP(name)   _mm512_##name
#define V          __m512i
#define VF         __m512
#define SI(name)   _mm512_##name##_si512
#define WIDE(name) name##_64
#elif WIDTH == 32
#define OP(name)   _mm256_##name
#define V          __m256i
#define VF         __m256
#define SI(name)   _mm256_##name##_si256
#define WIDE(name) name##_32
#else
#define OP(name)   _mm_##name
#define V          __m128i
#define VF         __m128
#define SI(name)   _mm_##name##_si128
#define WIDE(name) name##_16
#endif

#define LOAD(p) SI(loadu)((const void *)(p))

/* The first n bytes of x, n at most WIDTH. */
INLINE void WIDE(store_part)(uint8_t *p, V x, size_t n) {
#if LANES == 16
        uint64_t bits = n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;

#if WIDTH == 64
        _mm512_mask_storeu_epi8(p, bits, x);
#elif WIDTH == 32
        _mm256_mask_storeu_epi8(p, (__mmask32)bits, x);
#else
        _mm_mask_storeu_epi8(p, (__mmask16)bits, x);
#endif
#else
        __m128i part;

#if WIDTH == 32
        if (n >= 32) {
                _mm256_storeu_si256((__m256i *)p, x);
                return;
        }
        part = _mm256_castsi256_si128(x);
        if (n >= 16) {
                _mm_storeu_si128((__m128i *)p, part);
                part = _mm256_extracti128_si256(x, 1);
                p += 16;
                n -= 16;
        }
#else
        if (n >= 16) {
                _mm_storeu_si128((__m128i *)p, x);
                return;
        }
        part = x;
#endif
        if (n & 8) {
                _mm_storel_epi64((__m128i *)p, part);
                part = _mm_srli_si128(part, 8);
                p += 8;
        }
        if (n & 4) {
                _mm_storeu_si32(p, part);
                part = _mm_srli_si128(part, 4);
                p += 4;
        }
        if (n & 2) {
                _mm_storeu_si16(p, part);
                part = _mm_srli_si128(part, 2);
                p += 2;
        }
        if (n & 1)
                *p = (uint8_t)_mm_cvtsi128_si32(part);
#endif
}

INLINE void WIDE(store)(uint8_t *p, V x, size_t n) {
        if (n >= WIDTH)
                SI(storeu)((void *)p, x);
        else
                WIDE(store_part)(p, x, n);
}

/* Four vectors of int32 become bytes: their lanes 4 l + i in turn are bytes 16 l + 4 v + i. */
INLINE V WIDE(pack)(const V q[4], V zero) {
        V low = OP(adds_epi16)(OP(packs_epi32)(q[0], q[1]), zero);
        V high = OP(adds_epi16)(OP(packs_epi32)(q[2], q[3]), zero);

        return OP(packus_epi16)(low, high);
}

/* And back, exactly, less zero: as float32. 2^23 + u has u as its low bits. */
INLINE void WIDE(unpack)(VF real[4], V bytes, VF offset) {
        V low = OP(unpacklo_epi8)(bytes, SI(setzero)()), high = OP(unpackhi_epi8)(bytes, SI(setzero)()),
          magic = OP(set1_epi16)(0x4b00);

        real[0] = OP(sub_ps)((VF)OP(unpacklo_epi16)(low, magic), offset);
        real[1] = OP(sub_ps)((VF)OP(unpackhi_epi16)(low, magic), offset);
        real[2] = OP(sub_ps)((VF)OP(unpacklo_epi16)(high, magic), offset);
        real[3] = OP(sub_ps)((VF)OP(unpackhi_epi16)(high, magic), offset);
}

INLINE VF WIDE(unpack_offset)(int32_t zero) {
        return OP(set1_ps)(8388608.f + (float)zero);
}

/* Real numbers in the order of unpacked bytes, in their own. */
INLINE void WIDE(order)(float *to, const VF real[4]) {
        float lanes[WIDTH];

        UNROLL
        for (int v = 0; v < 4; v++)
                OP(storeu_ps)(lanes + v * WIDTH / 4, real[v]);
        UNROLL
        for (int l = 0; l < WIDTH / 4; l++)
                _mm_storeu_ps(to + 4 * l, _mm_loadu_ps(lanes + l % 4 * WIDTH / 4 + l / 4 * 4));
}
