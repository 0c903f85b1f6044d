/* finish: what becomes of real results where they are not stored as bytes at once. WIDTH is 4 * LANES here.
 */

/* Four vectors of int32, 4 * LANES in their order, to bytes in their order. */
INLINE V in_order(V packed) {
#if LANES == 16
        return _mm512_permutexvar_epi32(
                _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), packed);
#else
        return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
#endif
}

/* Real numbers to bytes in their order. Beyond the range of int16 no zero point brings them back; a NaN
 * becomes the lowest. */
INLINE V bytes_of(const VF real[4], VF inverse, V zero) {
        V q[4];

        UNROLL
        for (int v = 0; v < 4; v++)
                q[v] = OP(cvtps_epi32)(
                        v_min(v_set(32767), v_max(OP(mul_ps)(real[v], inverse), v_set(-32768))));
        return in_order(WIDE(pack)(q, zero));
}

/* Bytes 0 to LANES of p, less zero. */
INLINE VF real_of(const uint8_t *p, V zero) {
#if LANES == 16
        V q = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
#else
        V q = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));
#endif

        return OP(cvtepi32_ps)(OP(sub_epi32)(q, zero));
}

static VF finish_activate(const struct native_epilogue *e, VF y) {
        switch (e->activation) {
        case NATIVE_CLIP:
                return v_clip(y, v_set(e->low), v_set(e->high));
        case NATIVE_LEAKY:
                return activate(NATIVE_LEAKY, y, e->alpha, e->beta);
        case NATIVE_SIGMOID:
                return activate(NATIVE_SIGMOID, y, e->alpha, e->beta);
        case NATIVE_SWISH:
                return activate(NATIVE_SWISH, y, e->alpha, e->beta);
        case NATIVE_HARDSWISH:
                return activate(NATIVE_HARDSWISH, y, e->alpha, e->beta);
        case NATIVE_HARDSIGMOID:
                return activate(NATIVE_HARDSIGMOID, y, e->alpha, e->beta);
        }
        return y;
}

/* n real results of y, at most WIDTH of them in whole vectors, to dst. */
static void finish(const struct finish *f, const float *y, size_t n, const void *sum, void *dst) {
        VF real[4];

        for (size_t v = 0; v < 4; v++) {
                real[v] = v_load(y + v * LANES);
                if (v * LANES >= n)
                        continue;
                if (f->epilogue.sum && f->sum_type == BYTES_U8)
                        real[v] =
                                v_fma(real_of((const uint8_t *)sum + v * LANES, OP(set1_epi32)(f->sum.zero)),
                                      v_set(f->sum.scale), real[v]);
                else if (f->epilogue.sum)
                        real[v] += v_load_part((const float *)sum + v * LANES, v_mask(n - v * LANES));
                real[v] = finish_activate(&f->epilogue, real[v]);
                if (f->result == BYTES_F32)
                        v_store_part((float *)dst + v * LANES, v_mask(n - v * LANES), real[v]);
        }
        if (f->result == BYTES_U8) {
                V q = bytes_of(real, v_set(f->inverse), OP(set1_epi16)((short)f->zero));

                q = OP(min_epu8)(OP(max_epu8)(q, OP(set1_epi8)((char)f->low)), OP(set1_epi8)((char)f->high));
                WIDE(store)(dst, q, n);
        }
}
