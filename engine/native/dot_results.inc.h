/* dot_results: what follows on the sums of a tile of native/dot. Included by those that define LANES, PANEL,
 * DOT_TYPE, vsum and sum_float(). */

#if LANES == 16
/* Masked stores of bytes take AMD's CPUs tens of cycles: whole vectors go without. */
#define WHOLE 0xffffu

INLINE vfloat load_u8(const void *p, vmask mask) {
        __m128i bytes = mask == WHOLE ? _mm_loadu_si128(p) : _mm_maskz_loadu_epi8(mask, p);

        return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}
INLINE void store_u8(void *p, vmask mask, vfloat y, int32_t zero) {
        __m512i steps = _mm512_add_epi32(_mm512_cvtps_epi32(y), _mm512_set1_epi32(zero));

        if (mask == WHOLE)
                _mm_storeu_si128(p, _mm512_cvtepi32_epi8(steps));
        else
                _mm_mask_storeu_epi8(p, mask, _mm512_cvtepi32_epi8(steps));
}
INLINE vfloat load_bf16(const void *p, vmask mask) {
        __m256i words = mask == WHOLE ? _mm256_loadu_si256(p) : _mm256_maskz_loadu_epi16(mask, p);

        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}
INLINE __m256i bf16_of(vfloat y) {
#ifdef __AVX512BF16__
        return (__m256i)_mm512_cvtneps_pbh(y);
#else
        /* Half to even, as the instruction rounds; numbers that are none stay so. */
        __m512i bits = _mm512_castps_si512(y), one = _mm512_set1_epi32(1);
        __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
        __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));

        up = _mm512_mask_or_epi32(up, _mm512_cmp_ps_mask(y, y, _CMP_UNORD_Q), bits,
                                  _mm512_set1_epi32(0x400000));
        return _mm512_cvtepi32_epi16(_mm512_srli_epi32(up, 16));
#endif
}
INLINE void store_bf16(void *p, vmask mask, vfloat y) {
        if (mask == WHOLE)
                _mm256_storeu_si256(p, bf16_of(y));
        else
                _mm256_mask_storeu_epi16(p, mask, bf16_of(y));
}
#else
/* Whole vectors at once; memcpy of few bytes elsewhere, which is rare: at the last outputs. */
INLINE __m128i load_bytes(const void *p, size_t n, size_t bytes) {
        uint64_t part[2] = {0};

        if (n >= LANES)
                return bytes == 1 ? _mm_loadl_epi64(p) : _mm_loadu_si128(p);
        memcpy(part, p, n * bytes);
        return _mm_loadu_si128((const __m128i *)part);
}
INLINE void store_bytes(void *p, size_t n, size_t bytes, __m128i y) {
        uint64_t part[2];

        if (n >= LANES && bytes == 1)
                _mm_storel_epi64(p, y);
        else if (n >= LANES)
                _mm_storeu_si128(p, y);
        else {
                _mm_storeu_si128((__m128i *)part, y);
                memcpy(p, part, n * bytes);
        }
}
INLINE vfloat load_u8(const void *p, vmask mask) {
        return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_bytes(p, mask.n, 1)));
}
/* What lies within uint8 once zero is added. */
INLINE void store_u8(void *p, vmask mask, vfloat y, int32_t zero) {
        __m256i steps = _mm256_add_epi32(_mm256_cvtps_epi32(y), _mm256_set1_epi32(zero));
        __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(steps), _mm256_extracti128_si256(steps, 1));

        store_bytes(p, mask.n, 1, _mm_packus_epi16(words, words));
}
INLINE vfloat load_bf16(const void *p, vmask mask) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_bytes(p, mask.n, 2)), 16));
}
/* Half to even; numbers that are none stay so. */
INLINE void store_bf16(void *p, vmask mask, vfloat y) {
        __m256i bits = _mm256_castps_si256(y);
        __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        __m256i none = _mm256_castps_si256(_mm256_cmp_ps(y, y, _CMP_UNORD_Q));

        up = _mm256_blendv_epi8(up, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), none);
        up = _mm256_srli_epi32(up, 16);
        store_bytes(p, mask.n, 2,
                    _mm_packus_epi32(_mm256_castsi256_si128(up), _mm256_extracti128_si256(up, 1)));
}
#endif

/* What a tile makes of its sums. Where a result is uint8 all is done in steps of it: scale, bias, bounds and
 * what is added are divided by dst_scale, and the bounds hold what uint8 can. */
struct results {
        const struct dot_conv *conv;
        const struct dot_data *data;
        size_t output; /* the first */
        vmask mask[PANEL];
        vfloat scale[PANEL], bias[PANEL];
        float sum_scale, low, high;
        bool plain; /* dst is of the usual type and only clipped, what is added is of the same type */
};

INLINE size_t element_of(enum dot_result type) {
        return type == DOT_TO_U8 ? 1 : type == DOT_TO_F32 ? 4 : 2;
}

static vfloat load_any(enum dot_result type, const void *p, vmask mask) {
        return type == DOT_TO_U8    ? load_u8(p, mask)
               : type == DOT_TO_F32 ? v_load_part(p, mask)
                                    : load_bf16(p, mask);
}

/* A row of results that is neither plain nor in a hurry. */
INLINE void finish_row_as(enum native_activation activation, const struct results *r, const float *row,
                          size_t pixel, const int vectors) {
        const struct dot_conv *c = r->conv;
        const struct native_epilogue *e = &c->epilogue;

        for (int v = 0; v < vectors; v++) {
                size_t output = r->output + (size_t)v * LANES;
                unsigned char *dst = (unsigned char *)r->data->dst +
                                     (pixel * c->dst_pixel + output) * element_of(c->result);
                vfloat y = v_load(row + v * LANES);

                if (e->sum)
                        y = v_fma(load_any(c->sum_type,
                                           (const unsigned char *)r->data->sum +
                                                   (pixel * c->sum_pixel + output) * element_of(c->sum_type),
                                           r->mask[v]),
                                  v_set(r->sum_scale), y);
                y = activate(activation, y, e->alpha, e->beta);
                y = v_clip(y, v_set(e->low), v_set(e->high));
                if (c->result == DOT_TO_U8) {
                        y = v_clip(y * v_set(1 / c->dst_scale), v_set(r->low), v_set(r->high));
                        store_u8(dst, r->mask[v], y, c->dst_zero);
                } else if (c->result == DOT_TO_F32)
                        v_store_part((float *)dst, r->mask[v], y);
                else
                        store_bf16(dst, r->mask[v], y);
        }
}

static void finish_row(const struct results *r, const float *row, size_t pixel, int vectors) {
        switch (r->conv->epilogue.activation) {
        case NATIVE_CLIP:
                finish_row_as(NATIVE_CLIP, r, row, pixel, vectors);
                break;
        case NATIVE_LEAKY:
                finish_row_as(NATIVE_LEAKY, r, row, pixel, vectors);
                break;
        case NATIVE_SIGMOID:
                finish_row_as(NATIVE_SIGMOID, r, row, pixel, vectors);
                break;
        case NATIVE_SWISH:
                finish_row_as(NATIVE_SWISH, r, row, pixel, vectors);
                break;
        case NATIVE_HARDSWISH:
                finish_row_as(NATIVE_HARDSWISH, r, row, pixel, vectors);
                break;
        case NATIVE_HARDSIGMOID:
                finish_row_as(NATIVE_HARDSIGMOID, r, row, pixel, vectors);
                break;
        }
}

static bool is_plain(const struct dot_conv *c) {
        enum dot_result usual = DOT_TYPE == 0 ? DOT_TO_U8 : DOT_TO_BF16;

        return c->epilogue.activation == NATIVE_CLIP && c->result == usual &&
               (!c->epilogue.sum || c->sum_type == usual);
}

static void results_begin(struct results *r, const struct dot_conv *c, const struct dot_data *data) {
        float inverse = 1 / c->dst_scale;

        r->conv = c;
        r->data = data;
        r->plain = is_plain(c);
        r->sum_scale = c->sum_type == DOT_TO_U8 ? c->sum_scale : 1;
        r->low = (float)-c->dst_zero;
        r->high = (float)(255 - c->dst_zero);
        if (r->plain && c->result == DOT_TO_U8) {
                r->sum_scale *= inverse;
                r->low = fminf(fmaxf(r->low, c->epilogue.low * inverse), r->high);
                r->high = fmaxf(fminf(r->high, c->epilogue.high * inverse), r->low);
        } else if (r->plain) {
                r->low = c->epilogue.low;
                r->high = c->epilogue.high;
        }
}

/* For the n outputs from output on. */
static void results_panel(struct results *r, size_t output, size_t n) {
        const struct dot_conv *c = r->conv;
        bool steps = r->plain && c->result == DOT_TO_U8;
        float inverse = steps ? 1 / c->dst_scale : 1;
        float shift = c->epilogue.sum && c->sum_type == DOT_TO_U8 ? (float)c->sum_zero * r->sum_scale : 0;

        r->output = output;
        for (size_t v = 0; v < PANEL; v++) {
                vmask mask = v_mask(n > v * LANES ? n - v * LANES : 0);

                r->mask[v] = mask;
                r->scale[v] = v_set(inverse);
                r->bias[v] = v_set(0);
                if (r->data->scale)
                        r->scale[v] =
                                v_load_part(r->data->scale + output + v * LANES, mask) * v_set(inverse);
                if (r->data->bias)
                        r->bias[v] = v_load_part(r->data->bias + output + v * LANES, mask) * v_set(inverse);
                r->bias[v] = r->bias[v] - v_set(shift);
        }
}

/* Results of the usual type that are only clipped. */
INLINE void store_plain(const struct results *r, vsum sum, size_t pixel, const int v, const bool add) {
        const struct dot_conv *c = r->conv;
        size_t output = r->output + (size_t)v * LANES;
        vfloat y = v_fma(sum_float(sum), r->scale[v], r->bias[v]);

#if DOT_TYPE == 0
        unsigned char *dst = (unsigned char *)r->data->dst + pixel * c->dst_pixel + output;
        const unsigned char *other = (const unsigned char *)r->data->sum + pixel * c->sum_pixel + output;

        if (add)
                y = v_fma(load_u8(other, r->mask[v]), v_set(r->sum_scale), y);
        y = v_clip(y, v_set(r->low), v_set(r->high));
        store_u8(dst, r->mask[v], y, c->dst_zero);
#else
        uint16_t *dst = (uint16_t *)r->data->dst + pixel * c->dst_pixel + output;
        const uint16_t *other = (const uint16_t *)r->data->sum + pixel * c->sum_pixel + output;

        if (add)
                y = y + load_bf16(other, r->mask[v]);
        store_bf16(dst, r->mask[v], v_clip(y, v_set(r->low), v_set(r->high)));
#endif
}
