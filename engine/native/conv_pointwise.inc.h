/*
 * pointwise: 1x1 convolution, a product of [pixels, inputs] and [inputs, outputs]. A tile of pixels x
 * outputs stays in registers over all inputs; an input is broadcast from its pixel's row, so that nothing is
 * transposed. Weights lie as [outputs / LANES, inputs, LANES], zeros where outputs end.
 */

#if LANES == 16
#define POINTWISE_PIXELS 14 /* times two vectors: 28 of 32 registers */
#else
#define POINTWISE_PIXELS 6 /* times two vectors: 12 of 16 registers */
#endif

struct pointwise_tile {
        const float *src, *weights, *bias;
        float *dst;
        size_t src_pixel, dst_pixel, inputs, panel;
        float low, high;
        bool sum;
        vmask mask; /* of the last vector */
};

INLINE void pointwise_tile(const struct pointwise_tile *t, const int pixels, const int vectors) {
        vfloat sums[POINTWISE_PIXELS][2];
        vfloat low = v_set(t->low), high = v_set(t->high);
        const float *weights = t->weights, *src = t->src;
        size_t src_pixel = t->src_pixel, panel = t->panel;

        UNROLL
        for (int v = 0; v < vectors; v++) {
                vfloat bias = v_set(0);

                if (t->bias)
                        bias = v == vectors - 1 ? v_load_part(t->bias + v * LANES, t->mask)
                                                : v_load(t->bias + v * LANES);
                UNROLL
                for (int p = 0; p < pixels; p++)
                        sums[p][v] = bias;
        }
        for (size_t i = 0; i < t->inputs; i++, weights += LANES) {
                vfloat w[2];

                UNROLL
                for (int v = 0; v < vectors; v++)
                        w[v] = v_load(weights + (size_t)v * panel);
                /* Weights that come from the third cache would be waited for by the first tile that needs
                 * them. */
                UNROLL
                for (int v = 0; v < vectors; v++)
                        _mm_prefetch((const char *)(weights + (size_t)(vectors + v) * panel), _MM_HINT_T0);
                UNROLL
                for (int p = 0; p < pixels; p++) {
                        vfloat x = v_set(src[(size_t)p * src_pixel + i]);

                        UNROLL
                        for (int v = 0; v < vectors; v++)
                                sums[p][v] = v_fma(x, w[v], sums[p][v]);
                }
        }
        UNROLL
        for (int p = 0; p < pixels; p++) {
                float *dst = t->dst + (size_t)p * t->dst_pixel;

                UNROLL
                for (int v = 0; v < vectors; v++, dst += LANES) {
                        vfloat y = sums[p][v];

                        if (v == vectors - 1) {
                                if (t->sum)
                                        y = y + v_load_part(dst, t->mask);
                                v_store_part(dst, t->mask, v_clip(y, low, high));
                        } else {
                                if (t->sum)
                                        y = y + v_load(dst);
                                v_store(dst, v_clip(y, low, high));
                        }
                }
        }
}

#define POINTWISE_CASE(n)                                                                                   \
        case n:                                                                                             \
                if (vectors == 2)                                                                           \
                        pointwise_tile(t, n, 2);                                                            \
                else                                                                                        \
                        pointwise_tile(t, n, 1);                                                            \
                break;

static void pointwise_tile_of(const struct pointwise_tile *t, size_t pixels, size_t vectors) {
        switch (pixels) {
                POINTWISE_CASE(1)
                POINTWISE_CASE(2)
                POINTWISE_CASE(3)
                POINTWISE_CASE(4)
                POINTWISE_CASE(5)
                POINTWISE_CASE(6)
#if LANES == 16
                POINTWISE_CASE(7)
                POINTWISE_CASE(8)
                POINTWISE_CASE(9)
                POINTWISE_CASE(10)
                POINTWISE_CASE(11)
                POINTWISE_CASE(12)
                POINTWISE_CASE(13)
                POINTWISE_CASE(14)
#endif
        }
}

/* Pixels first to last through the prologue into rows of stride floats. */
static void pointwise_prepare(const struct native_conv *p, const struct native_conv_data *data, float *rows,
                              size_t stride, size_t first, size_t last) {
        size_t whole = p->inputs / LANES * LANES, area = p->height * p->width;
        vfloat low = v_set(p->prologue_low), high = v_set(p->prologue_high);
        vmask mask = v_mask(p->inputs - whole);

        for (size_t pixel = first; pixel < last; pixel++, rows += stride) {
                const float *src = data->src + pixel * p->src_pixel;
                const float *gate = data->scale ? data->scale + pixel / area * p->inputs : NULL;
                size_t c = 0;

                switch (p->prologue) {
                case NATIVE_AS_IS:
                        for (; c < whole; c += LANES)
                                v_store(rows + c, v_load(src + c));
                        if (c < p->inputs)
                                v_store_part(rows + c, mask, v_load_part(src + c, mask));
                        break;
                case NATIVE_GATE:
                        for (; c < whole; c += LANES)
                                v_store(rows + c, v_load(src + c) * v_load(gate + c));
                        if (c < p->inputs)
                                v_store_part(rows + c, mask,
                                             v_load_part(src + c, mask) * v_load_part(gate + c, mask));
                        break;
                case NATIVE_SCALE_SHIFT:
                        for (; c < whole; c += LANES)
                                v_store(rows + c, v_clip(v_fma(v_load(src + c), v_load(data->scale + c),
                                                               v_load(data->shift + c)),
                                                         low, high));
                        if (c < p->inputs)
                                v_store_part(rows + c, mask,
                                             v_clip(v_fma(v_load_part(src + c, mask),
                                                          v_load_part(data->scale + c, mask),
                                                          v_load_part(data->shift + c, mask)),
                                                    low, high));
                        break;
                }
        }
}

/* Pixels first to last for the vectors of outputs v_first to v_last. */
static void pointwise_block(const struct native_conv *p, const struct native_conv_data *data, float *scratch,
                            size_t first, size_t last, size_t v_first, size_t v_last) {
        size_t n = last - first, tiles = (n + POINTWISE_PIXELS - 1) / POINTWISE_PIXELS;
        struct pointwise_tile t = {.src_pixel = p->src_pixel,
                                   .dst_pixel = p->dst_pixel,
                                   .inputs = p->inputs,
                                   .panel = p->inputs * LANES,
                                   .low = p->epilogue.low,
                                   .high = p->epilogue.high,
                                   .sum = p->epilogue.sum};
        const float *src = data->src + first * p->src_pixel;
        size_t channels;

        if (p->scratch_floats > 0) {
                t.src_pixel = p->scratch_floats / p->rows;
                pointwise_prepare(p, data, scratch, t.src_pixel, first, last);
                src = scratch;
        }
        for (size_t v = v_first; v < v_last; v += 2) {
                size_t vectors = v_last - v < 2 ? 1 : 2;

                channels = p->outputs - v * LANES;
                channels = channels > vectors * LANES ? vectors * LANES : channels;
                t.mask = v_mask(channels - (vectors - 1) * LANES);
                t.weights = data->weights + v * t.panel;
                t.bias = data->bias ? data->bias + v * LANES : NULL;
                for (size_t i = 0; i < tiles; i++) {
                        size_t from = piece(n, i, tiles), pixels = piece(n, i + 1, tiles) - from;

                        t.src = src + from * t.src_pixel;
                        t.dst = data->dst + (first + from) * p->dst_pixel + v * LANES;
                        pointwise_tile_of(&t, pixels, vectors);
                        activate_rows(&p->epilogue, t.dst, p->dst_pixel, pixels, channels);
                }
        }
}

void VECTOR(native_pointwise)(const struct native_conv *p, const struct native_conv_data *data,
                              size_t thread, size_t n_threads) {
        size_t vectors = (p->outputs + LANES - 1) / LANES, pixels = p->images * p->height * p->width;
        float *scratch = data->scratch ? data->scratch + thread * p->scratch_floats : NULL;
        size_t from = 0, to = pixels, v_from = 0, v_to = vectors, blocks;

        /* Threads share the pixels where there are many, and the outputs elsewhere. */
        if (pixels >= 4 * POINTWISE_PIXELS * n_threads) {
                from = piece(pixels, thread, n_threads);
                to = piece(pixels, thread + 1, n_threads);
        } else {
                v_from = piece((vectors + 1) / 2, thread, n_threads) * 2;
                v_to = piece((vectors + 1) / 2, thread + 1, n_threads) * 2;
                v_to = v_to > vectors ? vectors : v_to;
        }
        blocks = (to - from + p->rows - 1) / p->rows;
        for (size_t i = 0; i < blocks && v_from < v_to; i++)
                pointwise_block(p, data, scratch, from + piece(to - from, i, blocks),
                                from + piece(to - from, i + 1, blocks), v_from, v_to);
}
