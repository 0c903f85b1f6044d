/* quantise: between float32 and bytes, channels-last or planes. */

#define TILE 64u /* pixels and channels that are turned at a time: bytes of them fill a page */

INLINE void quantise_run_of(const float *src, uint8_t *dst, size_t n, VF inverse, V zero) {
        size_t c = 0;

        for (; c + WIDTH <= n; c += WIDTH) {
                VF real[4];

                UNROLL
                for (int v = 0; v < 4; v++)
                        real[v] = v_load(src + c + v * LANES);
                WIDE(store)(dst + c, bytes_of(real, inverse, zero), WIDTH);
        }
        if (c < n) {
                VF real[4];

                for (size_t v = 0; v < 4; v++)
                        real[v] = c + v * LANES < n
                                          ? v_load_part(src + c + v * LANES, v_mask(n - c - v * LANES))
                                          : v_set(0);
                WIDE(store)(dst + c, bytes_of(real, inverse, zero), n - c);
        }
}

static void bytes_quantise(const struct bytes_job *job, size_t begin, size_t end) {
        const struct bytes_quantise *p = job->op;
        const float *src = job->src;
        uint8_t *dst = job->dst;
        VF inverse = v_set(1 / p->real.scale);
        V zero = OP(set1_epi16)((short)p->real.zero);
        bool dense = p->src_pixel == p->channels && p->dst_pixel == p->channels;
        size_t n_pixels;

        if (!p->planes && dense) {
                quantise_run_of(src + begin * p->channels, dst + begin * p->channels,
                                (end - begin) * p->channels, inverse, zero);
                return;
        }
        for (size_t i = begin; i < end && !p->planes; i++)
                quantise_run_of(src + i * p->src_pixel, dst + i * p->dst_pixel, p->channels, inverse, zero);
        for (size_t i = begin; i < end && p->planes; i += n_pixels) {
                size_t image = i / p->pixels, first = i % p->pixels;
                const float *planes = src + image * p->channels * p->pixels + first;

                n_pixels = MIN(MIN(end - i, p->pixels - first), TILE);
                for (size_t c = 0; c < p->channels; c += TILE) {
                        size_t n = MIN(p->channels - c, TILE);
                        uint8_t tile[TILE][TILE];

                        for (size_t k = 0; k < n; k++)
                                quantise_run_of(planes + (c + k) * p->pixels, tile[k], n_pixels, inverse,
                                                zero);
                        for (size_t j = 0; j < n_pixels; j++)
                                for (size_t k = 0; k < n; k++)
                                        dst[(i + j) * p->dst_pixel + c + k] = tile[k][j];
                }
        }
}

INLINE void dequantise_run_of(const uint8_t *src, float *dst, size_t n, VF scale, V zero) {
        size_t c = 0;

        for (; c + LANES <= n; c += LANES)
                v_store(dst + c, OP(mul_ps)(real_of(src + c, zero), scale));
        if (c < n)
                v_store_part(dst + c, v_mask(n - c), OP(mul_ps)(real_of(src + c, zero), scale));
}

static void bytes_dequantise(const struct bytes_job *job, size_t begin, size_t end) {
        const struct bytes_quantise *p = job->op;
        const uint8_t *src = job->src;
        float *dst = job->dst, table[256];
        VF scale = v_set(p->real.scale);
        V zero = OP(set1_epi32)(p->real.zero);
        bool dense = p->src_pixel == p->channels && p->dst_pixel == p->channels;
        size_t n_pixels;

        if (!p->planes && dense) {
                dequantise_run_of(src + begin * p->channels, dst + begin * p->channels,
                                  (end - begin) * p->channels, scale, zero);
                return;
        }
        for (size_t i = begin; i < end && !p->planes; i++)
                dequantise_run_of(src + i * p->src_pixel, dst + i * p->dst_pixel, p->channels, scale, zero);
        for (int32_t q = 0; q < 256 && p->planes; q++)
                table[q] = (float)(q - p->real.zero) * p->real.scale;
        for (size_t i = begin; i < end && p->planes; i += n_pixels) {
                size_t image = i / p->pixels, first = i % p->pixels;
                float *planes = dst + image * p->channels * p->pixels + first;

                n_pixels = MIN(MIN(end - i, p->pixels - first), TILE);
                for (size_t c = 0; c < p->channels; c++)
                        for (size_t j = 0; j < n_pixels; j++)
                                planes[c * p->pixels + j] = table[src[(i + j) * p->src_pixel + c]];
        }
}
