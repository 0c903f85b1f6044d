/*
 * depthwise: one channel a group, 3 or 5 columns wide. A tile of a few pixels of one row times one vector of
 * channels stays in registers over the window; each input is loaded once a row of the window. Weights lie as
 * [channels / LANES, kh, kw, LANES].
 */

struct depthwise_tile {
        const float *src, *weights,
                *bias; /* src: row 0 and column 0 of the window of the tile's first pixel */
        float *dst;
        size_t src_pixel, src_row, dst_pixel;
        size_t ky_first, ky_last; /* rows of the window that lie in the image */
        int64_t column, width;    /* of src, and of the image */
        float low, high;
};

INLINE void depthwise_tile(const struct depthwise_tile *t, const int pixels, const int kw, const int stride,
                           const bool edge, const bool part, vmask mask) {
        vfloat sums[7], bias = v_set(0);
        vfloat low = v_set(t->low), high = v_set(t->high);

        if (t->bias)
                bias = part ? v_load_part(t->bias, mask) : v_load(t->bias);
        UNROLL
        for (int p = 0; p < pixels; p++)
                sums[p] = bias;
        for (size_t ky = t->ky_first; ky < t->ky_last; ky++) {
                const float *src = t->src + ky * t->src_row, *weights = t->weights + ky * (size_t)kw * LANES;
                vfloat w[5];

                UNROLL
                for (int k = 0; k < kw; k++)
                        w[k] = v_load(weights + k * LANES);
                UNROLL
                for (int j = 0; j < (pixels - 1) * stride + kw; j++) {
                        vfloat x;

                        if (edge && (t->column + j < 0 || t->column + j >= t->width))
                                continue;
                        x = part ? v_load_part(src + (size_t)j * t->src_pixel, mask)
                                 : v_load(src + (size_t)j * t->src_pixel);
                        UNROLL
                        for (int k = 0; k < kw; k++)
                                if (j >= k && (j - k) % stride == 0 && (j - k) / stride < pixels)
                                        sums[(j - k) / stride] = v_fma(x, w[k], sums[(j - k) / stride]);
                }
        }
        UNROLL
        for (int p = 0; p < pixels; p++) {
                vfloat y = v_clip(sums[p], low, high);

                if (part)
                        v_store_part(t->dst + (size_t)p * t->dst_pixel, mask, y);
                else
                        v_store(t->dst + (size_t)p * t->dst_pixel, y);
        }
}

/* All channels of a tile. */
INLINE void depthwise_channels(const struct native_conv *p, struct depthwise_tile *t, const int pixels,
                               const int kw, const int stride, const bool edge) {
        size_t whole = p->outputs / LANES, rest = p->outputs % LANES,
               panel = p->window.kernel[0] * (size_t)kw * LANES;

        for (size_t v = 0; v < whole; v++, t->src += LANES, t->dst += LANES, t->weights += panel) {
                depthwise_tile(t, pixels, kw, stride, edge, false, v_mask(0));
                t->bias = t->bias ? t->bias + LANES : NULL;
        }
        if (rest > 0)
                depthwise_tile(t, pixels, kw, stride, true, true, v_mask(rest));
}

INLINE void depthwise_row(const struct native_conv *p, const struct native_conv_data *data, size_t image,
                          size_t row, const int kw, const int stride) {
        int64_t top = (int64_t)(row * p->window.strides[0]) - p->window.pads_begin[0];
        int64_t bottom = (int64_t)p->height - top, kh = (int64_t)p->window.kernel[0];
        const float *src = data->src + image * p->height * p->width * p->src_pixel;
        struct depthwise_tile t = {
                .src_pixel = p->src_pixel,
                .src_row = p->width * p->src_pixel,
                .dst_pixel = p->dst_pixel,
                .ky_first = (size_t)(top < 0 ? (-top < kh ? -top : kh) : 0),
                .ky_last = (size_t)(bottom < kh ? (bottom > 0 ? bottom : 0) : kh),
                .width = (int64_t)p->width,
                .low = p->epilogue.low,
                .high = p->epilogue.high,
        };

        for (size_t x = 0, pixels; x < p->out_width; x += pixels) {
                float *dst = data->dst + ((image * p->out_height + row) * p->out_width + x) * p->dst_pixel;
                bool edge;

                pixels = p->out_width - x >= 7 ? 7 : 1;
                t.column = (int64_t)x * stride - p->window.pads_begin[1];
                edge = t.column < 0 || t.column + (int64_t)(pixels - 1) * stride + kw > t.width;
                /* Rows and columns outside are never read; the sum of addresses stays inside where they are.
                 */
                t.src = src + (top * (int64_t)p->width + t.column) * (int64_t)p->src_pixel;
                t.weights = data->weights;
                t.bias = data->bias;
                t.dst = dst;
                if (pixels == 7 && !edge)
                        depthwise_channels(p, &t, 7, kw, stride, false);
                else if (pixels == 7)
                        depthwise_channels(p, &t, 7, kw, stride, true);
                else
                        depthwise_channels(p, &t, 1, kw, stride, true);
                activate_rows(&p->epilogue, dst, p->dst_pixel, pixels, p->outputs);
        }
}

void VECTOR(native_depthwise)(const struct native_conv *p, const struct native_conv_data *data,
                              size_t thread, size_t n_threads) {
        size_t rows = p->images * p->out_height, to = piece(rows, thread + 1, n_threads);

        for (size_t i = piece(rows, thread, n_threads); i < to; i++) {
                size_t image = i / p->out_height, row = i % p->out_height;

                if (p->window.kernel[1] == 3 && p->window.strides[1] == 1)
                        depthwise_row(p, data, image, row, 3, 1);
                else if (p->window.kernel[1] == 3)
                        depthwise_row(p, data, image, row, 3, 2);
                else if (p->window.strides[1] == 1)
                        depthwise_row(p, data, image, row, 5, 1);
                else
                        depthwise_row(p, data, image, row, 5, 2);
        }
}
