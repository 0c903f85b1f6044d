/* pools of bytes. Sums are of words, for as many pixels as they hold, and of int32 beyond. */

#define WORD_PIXELS 257u /* times 255 is the largest word */

struct byte_sums {
        V words[2], ints[4];
        unsigned n; /* pixels in words */
};

INLINE void byte_sums_clear(struct byte_sums *s) {
        s->n = 0;
        s->words[0] = s->words[1] = SI(setzero)();
        s->ints[0] = s->ints[1] = s->ints[2] = s->ints[3] = SI(setzero)();
}

/* In the order that packing takes back. */
INLINE void byte_sums_spill(struct byte_sums *s) {
        V none = SI(setzero)();

        s->ints[0] = OP(add_epi32)(s->ints[0], OP(unpacklo_epi16)(s->words[0], none));
        s->ints[1] = OP(add_epi32)(s->ints[1], OP(unpackhi_epi16)(s->words[0], none));
        s->ints[2] = OP(add_epi32)(s->ints[2], OP(unpacklo_epi16)(s->words[1], none));
        s->ints[3] = OP(add_epi32)(s->ints[3], OP(unpackhi_epi16)(s->words[1], none));
        s->words[0] = s->words[1] = none;
        s->n = 0;
}

INLINE void byte_sums_add(struct byte_sums *s, V x) {
        V none = SI(setzero)();

        s->words[0] = OP(add_epi16)(s->words[0], OP(unpacklo_epi8)(x, none));
        s->words[1] = OP(add_epi16)(s->words[1], OP(unpackhi_epi8)(x, none));
        if (++s->n == WORD_PIXELS)
                byte_sums_spill(s);
}

/* (sum + offset) * scale. */
INLINE void byte_sums_real(VF real[4], struct byte_sums *s, int32_t offset, float scale) {
        byte_sums_spill(s);
        UNROLL
        for (int v = 0; v < 4; v++)
                real[v] = OP(mul_ps)(OP(cvtepi32_ps)(OP(add_epi32)(s->ints[v], OP(set1_epi32)(offset))),
                                     v_set(scale));
}

/* Real numbers, in the order of unpacked bytes, to bytes in their order. */
INLINE V bytes_of_unpacked(const VF real[4], V zero) {
        V q[4];

        UNROLL
        for (int v = 0; v < 4; v++)
                q[v] = OP(cvtps_epi32)(v_min(v_set(32767), v_max(real[v], v_set(-32768))));
        return WIDE(pack)(q, zero);
}

/* What of a window lies in the image, in pixels of it. */
struct pool_window {
        size_t y_first, y_last, x_first, x_last; /* taps */
        int64_t top, left;
};

static size_t taps_before(int64_t at, int64_t edge, size_t kernel, size_t dilation) {
        int64_t n = at < edge ? (edge - at + (int64_t)dilation - 1) / (int64_t)dilation : 0;

        return MIN((size_t)n, kernel);
}

static struct pool_window pool_window_at(const struct bytes_pool *p, size_t y, size_t x) {
        const struct kernel_window *w = &p->window;
        struct pool_window at = {
                .top = (int64_t)(y * w->strides[0]) - w->pads_begin[0],
                .left = (int64_t)(x * w->strides[1]) - w->pads_begin[1],
        };

        at.y_first = taps_before(at.top, 0, w->kernel[0], w->dilations[0]);
        at.y_last = taps_before(at.top, (int64_t)p->height, w->kernel[0], w->dilations[0]);
        at.x_first = taps_before(at.left, 0, w->kernel[1], w->dilations[1]);
        at.x_last = taps_before(at.left, (int64_t)p->width, w->kernel[1], w->dilations[1]);
        return at;
}

/* So many pixels an average is divided by: those of the image, or of the image and its padding. */
static size_t pool_divisor(const struct bytes_pool *p, const struct pool_window *at) {
        const struct kernel_window *w = &p->window;
        size_t y, x;

        if (p->kind == BYTES_POOL_AVERAGE)
                return (at->y_last - at->y_first) * (at->x_last - at->x_first);
        y = taps_before(at->top, (int64_t)p->height + w->pads_end[0], w->kernel[0], w->dilations[0]);
        x = taps_before(at->left, (int64_t)p->width + w->pads_end[1], w->kernel[1], w->dilations[1]);
        return y * x;
}

static void pool_pixel(const struct bytes_pool *p, const uint8_t *image, const struct pool_window *at,
                       uint8_t *dst) {
        size_t pixel = p->window.dilations[1] * p->src_pixel;
        size_t row = p->window.dilations[0] * p->width * p->src_pixel;
        size_t n_pixels = (at->y_last - at->y_first) * (at->x_last - at->x_first);
        size_t divisor = pool_divisor(p, at);
        const uint8_t *first = image + (at->top * (int64_t)p->width + at->left) * (int64_t)p->src_pixel;
        float scale = divisor > 0 ? p->src.scale / p->dst.scale / (float)divisor : 0;
        V zero = OP(set1_epi16)((short)p->dst.zero);

        for (size_t c = 0; c < p->channels; c += WIDTH) {
                struct byte_sums sums;
                V most = SI(setzero)();
                VF real[4];

                byte_sums_clear(&sums);
                for (size_t y = at->y_first; y < at->y_last; y++) {
                        const uint8_t *src = first + y * row + at->x_first * pixel + c;

                        if (p->kind == BYTES_POOL_MAX)
                                for (size_t x = at->x_first; x < at->x_last; x++, src += pixel)
                                        most = OP(max_epu8)(most, LOAD(src));
                        else
                                for (size_t x = at->x_first; x < at->x_last; x++, src += pixel)
                                        byte_sums_add(&sums, LOAD(src));
                }
                if (p->kind != BYTES_POOL_MAX) {
                        byte_sums_real(real, &sums, -(int32_t)n_pixels * p->src.zero, scale);
                        most = bytes_of_unpacked(real, zero);
                }
                WIDE(store)(dst + c, most, p->channels - c);
        }
}

/* Rows of outputs. */
static void bytes_pool(const struct bytes_job *job, size_t begin, size_t end) {
        const struct bytes_pool *p = job->op;

        for (size_t i = begin; i < end; i++) {
                const uint8_t *image =
                        (const uint8_t *)job->src + i / p->out_height * p->height * p->width * p->src_pixel;
                uint8_t *dst = (uint8_t *)job->dst + i * p->out_width * p->dst_pixel;

                for (size_t x = 0; x < p->out_width; x++) {
                        struct pool_window at = pool_window_at(p, i % p->out_height, x);

                        pool_pixel(p, image, &at, dst + x * p->dst_pixel);
                }
        }
}

/* Blocks of WIDTH channels of images. */
static void bytes_global_pool(const struct bytes_job *job, size_t begin, size_t end) {
        const struct bytes_global_pool *p = job->op;
        size_t blocks = (p->channels + WIDTH - 1) / WIDTH;
        struct bytes_real real = p->result == BYTES_U8 ? p->dst : (struct bytes_real){.scale = 1};
        float scale = p->src.scale / real.scale / (float)p->pixels;

        for (size_t i = begin; i < end; i++) {
                size_t image = i / blocks, c = i % blocks * WIDTH, n = MIN(p->channels - c, (size_t)WIDTH);
                const uint8_t *src = (const uint8_t *)job->src + image * p->pixels * p->src_pixel + c;
                struct byte_sums sums;
                VF y[4];

                byte_sums_clear(&sums);
                for (size_t pixel = 0; pixel < p->pixels; pixel++)
                        byte_sums_add(&sums, LOAD(src + pixel * p->src_pixel));
                byte_sums_real(y, &sums, -(int32_t)p->pixels * p->src.zero, scale);
                if (p->result == BYTES_U8) {
                        V q = bytes_of_unpacked(y, OP(set1_epi16)((short)real.zero));

                        WIDE(store)((uint8_t *)job->dst + image * p->dst_image + c, q, n);
                } else {
                        _Alignas(64) float ordered[WIDTH];

                        WIDE(order)(ordered, y);
                        memcpy((float *)job->dst + image * p->dst_image + c, ordered, n * sizeof(float));
                }
        }
}
