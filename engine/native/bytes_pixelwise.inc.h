/* pixelwise: sums and products of maps, and tables. */

struct binary_terms {
        VF a_offset, b_offset, a_scale, b_scale;
        V zero, low, high;
};

INLINE void binary_run_of(const struct binary_terms *t, const uint8_t *a, const uint8_t *b, uint8_t *dst,
                          size_t n, const bool multiply) {
        for (size_t c = 0; c < n; c += WIDTH) {
                VF x[4], y[4];
                V q[4], bytes;

                WIDE(unpack)(x, LOAD(a + c), t->a_offset);
                WIDE(unpack)(y, LOAD(b + c), t->b_offset);
                UNROLL
                for (int v = 0; v < 4; v++) {
                        VF real;

                        if (multiply)
                                real = OP(mul_ps)(OP(mul_ps)(x[v], y[v]), t->a_scale);
                        else
                                real = v_fma(x[v], t->a_scale, OP(mul_ps)(y[v], t->b_scale));
                        q[v] = OP(cvtps_epi32)(v_min(v_set(32767), v_max(real, v_set(-32768))));
                }
                bytes = WIDE(pack)(q, t->zero);
                WIDE(store)(dst + c, OP(min_epu8)(OP(max_epu8)(bytes, t->low), t->high), n - c);
        }
}

static void bytes_binary(const struct bytes_job *job, size_t begin, size_t end) {
        const struct bytes_binary *p = job->op;
        float inverse = 1 / p->dst.scale;
        bool dense = p->b_repeat == 1 && p->a_pixel == p->channels && p->b_pixel == p->channels &&
                     p->dst_pixel == p->channels;
        size_t together = dense ? end - begin : 1;
        struct binary_terms t = {
                .a_offset = WIDE(unpack_offset)(p->a.zero),
                .b_offset = WIDE(unpack_offset)(p->b.zero),
                .a_scale = v_set(p->multiply ? p->a.scale * p->b.scale * inverse : p->a.scale * inverse),
                .b_scale = v_set(p->b.scale * inverse),
                .zero = OP(set1_epi16)((short)p->dst.zero),
                .low = OP(set1_epi8)((char)bytes_from_real(p->dst, p->low)),
                .high = OP(set1_epi8)((char)bytes_from_real(p->dst, p->high)),
        };

        for (size_t i = begin; i < end; i += together) {
                const uint8_t *a = (const uint8_t *)job->src + i * p->a_pixel;
                const uint8_t *b = (const uint8_t *)job->other + i / p->b_repeat * p->b_pixel;
                uint8_t *dst = (uint8_t *)job->dst + i * p->dst_pixel;

                if (p->multiply)
                        binary_run_of(&t, a, b, dst, together * p->channels, true);
                else
                        binary_run_of(&t, a, b, dst, together * p->channels, false);
        }
}

INLINE void copy_run(const uint8_t *src, uint8_t *dst, size_t n) {
        for (size_t c = 0; c < n; c += WIDTH)
                WIDE(store)(dst + c, LOAD(src + c), n - c);
}

static void bytes_lookup(const struct bytes_job *job, size_t begin, size_t end) {
        const struct bytes_lookup *p = job->op;
        const uint8_t *table = job->other;
        bool dense = p->src_pixel == p->channels && p->dst_pixel == p->channels;
        size_t together = dense ? end - begin : 1;

        for (size_t i = begin; i < end; i += together) {
                const uint8_t *src = (const uint8_t *)job->src + i * p->src_pixel;
                uint8_t *dst = (uint8_t *)job->dst + i * p->dst_pixel;

                if (!table && src != dst)
                        copy_run(src, dst, together * p->channels);
                for (size_t c = 0; table && c < together * p->channels; c++)
                        dst[c] = table[src[c]];
        }
}

static void bytes_pixels(const struct bytes_job *job, size_t begin, size_t end) {
        const struct bytes_pixels *p = job->op;
        const uint8_t *tables = job->other, *src = job->src;
        uint8_t *dst = job->dst;

        for (size_t i = begin * p->channels; i < end * p->channels; i += p->channels)
                for (size_t c = 0; c < p->channels; c++)
                        dst[i + c] = tables[256 * c + src[i + c]];
}
