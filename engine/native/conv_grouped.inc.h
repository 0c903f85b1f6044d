/*
 * grouped: convolution whose groups fill vectors of outputs. The rows that a band of outputs needs are
 * copied once, with their padding, as [row, column, input]; an input is then broadcast and meets the weights
 * of a whole row of the window, kw outputs, while it is in its register. Where groups of few channels share
 * a vector ("spread"), the inputs of LANES channels are loaded and each is spread over the lanes of its
 * group.
 *
 * Weights lie as [groups, outputs of a group / LANES, kh, kw, inputs of a group, LANES], or spread as
 * [groups / groups in a vector, kh, kw, inputs of a group, groups in a vector, outputs of a group].
 */

#if LANES == 16
#define GROUPED_PIXELS 14
#else
#define GROUPED_PIXELS 7
#endif

#if LANES == 16
typedef __m512i vindex;

INLINE vindex v_spread_index(size_t width, size_t lane) {
        vindex lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

        return _mm512_add_epi32(_mm512_and_si512(lanes, _mm512_set1_epi32(-(int)width)),
                                _mm512_set1_epi32((int)lane));
}
INLINE vfloat v_spread(vfloat v, vindex index) {
        return _mm512_permutexvar_ps(index, v);
}
#else
typedef __m256i vindex;

INLINE vindex v_spread_index(size_t width, size_t lane) {
        vindex lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

        return _mm256_add_epi32(_mm256_and_si256(lanes, _mm256_set1_epi32(-(int)width)),
                                _mm256_set1_epi32((int)lane));
}
INLINE vfloat v_spread(vfloat v, vindex index) {
        return _mm256_permutevar8x32_ps(v, index);
}
#endif

struct grouped_tile {
        const float *src, *weights;
        float *dst;
        vfloat bias;
        size_t kh, inputs, src_pixel, src_row, dst_pixel;
        float low, high;
        bool sum;
        vmask mask;
};

INLINE void grouped_tile(const struct grouped_tile *t, const int pixels, const int kw, const int stride,
                         const bool spread) {
        vfloat sums[GROUPED_PIXELS], low = v_set(t->low), high = v_set(t->high);
        size_t inputs = t->inputs, src_pixel = t->src_pixel;

        UNROLL
        for (int p = 0; p < pixels; p++)
                sums[p] = t->bias;
        for (size_t ky = 0; ky < t->kh; ky++) {
                const float *weights = t->weights + ky * (size_t)kw * inputs * LANES;
                const float *row = t->src + ky * t->src_row;

                for (size_t i = 0; i < inputs; i++, weights += LANES) {
                        vindex index = v_spread_index(inputs, i);
                        vfloat w[7];

                        UNROLL
                        for (int k = 0; k < kw; k++)
                                w[k] = v_load(weights + (size_t)k * inputs * LANES);
                        UNROLL
                        for (int j = 0; j < (pixels - 1) * stride + kw; j++) {
                                vfloat x = spread ? v_spread(v_load(row + (size_t)j * LANES), index)
                                                  : v_set(row[(size_t)j * src_pixel + i]);

                                UNROLL
                                for (int k = 0; k < kw; k++)
                                        if (j >= k && (j - k) % stride == 0 && (j - k) / stride < pixels)
                                                sums[(j - k) / stride] =
                                                        v_fma(x, w[k], sums[(j - k) / stride]);
                        }
                }
        }
        UNROLL
        for (int p = 0; p < pixels; p++) {
                float *dst = t->dst + (size_t)p * t->dst_pixel;
                vfloat y = sums[p];

                if (t->sum)
                        y = y + v_load_part(dst, t->mask);
                v_store_part(dst, t->mask, v_clip(y, low, high));
        }
}

INLINE size_t grouped_tile_of(const struct grouped_tile *t, size_t pixels, const int kw, const int stride,
                              const bool spread) {
#if LANES == 16
        if (pixels >= 14) {
                grouped_tile(t, 14, kw, stride, spread);
                return 14;
        }
#endif
        if (pixels >= 7) {
                grouped_tile(t, 7, kw, stride, spread);
                return 7;
        }
        if (pixels >= 3) {
                grouped_tile(t, 3, kw, stride, spread);
                return 3;
        }
        grouped_tile(t, 1, kw, stride, spread);
        return 1;
}

/* What one pass over a band works on: vectors of outputs that share inputs. */
struct grouped_band {
        size_t image, row, rows;  /* of outputs */
        size_t input, n_inputs;   /* channels that are copied */
        size_t output, n_outputs; /* channels */
        const float *weights;
};

static void grouped_copy(const struct native_conv *p, const struct native_conv_data *data,
                         const struct grouped_band *b, float *rows, size_t columns, size_t pixel) {
        int64_t top = (int64_t)(b->row * p->window.strides[0]) - p->window.pads_begin[0];
        int64_t left = p->window.pads_begin[1];
        size_t n_rows = (b->rows - 1) * p->window.strides[0] + p->window.kernel[0];
        vmask mask = v_mask(b->n_inputs % LANES);

        for (size_t r = 0; r < n_rows; r++) {
                int64_t y = top + (int64_t)r;

                for (size_t x = 0; x < columns; x++, rows += pixel) {
                        int64_t from = (int64_t)x - left;
                        const float *src;
                        size_t c = 0;

                        if (y < 0 || y >= (int64_t)p->height || from < 0 || from >= (int64_t)p->width) {
                                for (; c < pixel; c++)
                                        rows[c] = 0;
                                continue;
                        }
                        src = data->src +
                              ((b->image * p->height + (size_t)y) * p->width + (size_t)from) * p->src_pixel +
                              b->input;
                        for (; c + LANES <= b->n_inputs; c += LANES)
                                v_store(rows + c, v_load(src + c));
                        /* The row's end is overwritten by the next pixel, and the scratch has a vector to
                         * spare. */
                        if (c < b->n_inputs)
                                v_store(rows + c, v_load_part(src + c, mask));
                }
        }
}

INLINE void grouped_compute(const struct native_conv *p, const struct native_conv_data *data,
                            const struct grouped_band *b, const float *rows, size_t columns, size_t pixel,
                            const int kw, const int stride, const bool spread) {
        size_t inputs = p->inputs / p->groups;
        struct grouped_tile t = {.kh = p->window.kernel[0],
                                 .inputs = inputs,
                                 .src_pixel = pixel,
                                 .src_row = columns * pixel,
                                 .dst_pixel = p->dst_pixel,
                                 .low = p->epilogue.low,
                                 .high = p->epilogue.high,
                                 .sum = p->epilogue.sum,
                                 .weights = b->weights};

        for (size_t v = 0; v < b->n_outputs; v += LANES) {
                size_t channels = b->n_outputs - v < LANES ? b->n_outputs - v : LANES;

                t.mask = v_mask(channels);
                t.bias = data->bias ? v_load_part(data->bias + b->output + v, t.mask) : v_set(0);
                for (size_t r = 0; r < b->rows; r++) {
                        float *dst =
                                data->dst +
                                ((b->image * p->out_height + b->row + r) * p->out_width) * p->dst_pixel +
                                b->output + v;
                        const float *src = rows + r * p->window.strides[0] * t.src_row;

                        for (size_t x = 0, done; x < p->out_width; x += done) {
                                t.src = src + x * (size_t)stride * pixel;
                                t.dst = dst + x * p->dst_pixel;
                                done = grouped_tile_of(&t, p->out_width - x, kw, stride, spread);
                        }
                        activate_rows(&p->epilogue, dst, p->dst_pixel, p->out_width, channels);
                }
                t.weights += p->window.kernel[0] * p->window.kernel[1] * inputs * LANES;
        }
}

#define GROUPED_CASE(k, s)                                                                                  \
        if (p->window.kernel[1] == (k) && p->window.strides[1] == (s)) {                                    \
                if (p->spread)                                                                              \
                        grouped_compute(p, data, &b, scratch, columns, pixel, k, s, true);                  \
                else                                                                                        \
                        grouped_compute(p, data, &b, scratch, columns, pixel, k, s, false);                 \
        }

void VECTOR(native_grouped)(const struct native_conv *p, const struct native_conv_data *data, size_t thread,
                            size_t n_threads) {
        size_t inputs = p->inputs / p->groups, outputs = p->outputs / p->groups;
        size_t pixel = p->spread ? LANES : inputs, step = p->spread ? LANES / inputs : 1;
        size_t chunks = (p->groups + step - 1) / step, bands = (p->out_height + p->rows - 1) / p->rows;
        size_t columns = (p->out_width - 1) * p->window.strides[1] + p->window.kernel[1];
        size_t vectors = p->spread ? 1 : (outputs + LANES - 1) / LANES;
        size_t panel = vectors * p->window.kernel[0] * p->window.kernel[1] * inputs * LANES;
        size_t n = p->images * bands * chunks, to = piece(n, thread + 1, n_threads);
        float *scratch = data->scratch + thread * p->scratch_floats;

        for (size_t i = piece(n, thread, n_threads); i < to; i++) {
                size_t chunk = i % chunks, band = i / chunks % bands;
                size_t groups = p->groups - chunk * step < step ? p->groups - chunk * step : step;
                struct grouped_band b = {.image = i / chunks / bands,
                                         .row = piece(p->out_height, band, bands),
                                         .rows = piece(p->out_height, band + 1, bands) -
                                                 piece(p->out_height, band, bands),
                                         .input = chunk * step * inputs,
                                         .n_inputs = groups * inputs,
                                         .output = chunk * step * outputs,
                                         .n_outputs = groups * outputs,
                                         .weights = data->weights + chunk * panel};

                grouped_copy(p, data, &b, scratch, columns, pixel);
                GROUPED_CASE(3, 1)
                GROUPED_CASE(3, 2)
                GROUPED_CASE(7, 2)
        }
}
