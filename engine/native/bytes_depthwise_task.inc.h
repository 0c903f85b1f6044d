/* depthwise on bytes: what all widths share. */

/* What becomes of real results where they are not stored as bytes at once. */
struct finish {
        enum bytes_type result, sum_type;
        struct native_epilogue epilogue;
        struct bytes_real sum;
        float inverse; /* 1 / scale of the result */
        int32_t zero;
        uint8_t low, high; /* of bytes */
};

static struct finish finish_of(enum bytes_type result, const struct native_epilogue *epilogue,
                               struct bytes_real dst) {
        struct finish f = {.result = result, .epilogue = *epilogue, .inverse = 1, .low = 0, .high = 255};

        if (result != BYTES_U8)
                return f;
        f.inverse = 1 / dst.scale;
        f.zero = dst.zero;
        if (epilogue->activation == NATIVE_CLIP) {
                f.low = (uint8_t)bytes_from_real(dst, epilogue->low);
                f.high = (uint8_t)bytes_from_real(dst, epilogue->high);
                f.epilogue.low = -INFINITY;
                f.epilogue.high = INFINITY;
        }
        return f;
}

/* n real results of y, at most 4 * LANES of them in whole vectors, to dst. */
static __attribute__((noinline)) void finish(const struct finish *f, const float *y, size_t n,
                                             const void *sum, void *dst);

/* So many rows of a window, with those that fill the last group. bytes_depthwise_fits() holds to it. */
#define DEPTHWISE_ROWS 256

struct depthwise_task {
        const struct bytes_depthwise *p;
        bool direct;
        size_t groups; /* of rows */
        size_t dst_bytes, sum_bytes;
        struct finish finish;
        uint8_t *dst; /* this row's */
        const uint8_t *sum;
};

/* The rows of the image that a row of windows reads, a block's channels. Rows outside of it are zero. */
struct depthwise_rows {
        const uint8_t *at[DEPTHWISE_ROWS]; /* column 0 */
        size_t pixel[DEPTHWISE_ROWS];
        size_t groups;
        int64_t width;
        uint8_t zero[BYTES_WIDTH_MOST];
};

static void depthwise_rows_find(struct depthwise_rows *rows, const struct bytes_depthwise *p,
                                const uint8_t *src, size_t image, size_t row, size_t channel) {
        int64_t top = (int64_t)(row * p->window.strides[0]) - p->window.pads_begin[0];

        for (size_t r = 0; r < rows->groups * DOT_ROWS; r++) {
                int64_t y = top + (int64_t)(r * p->window.dilations[0]);
                bool inside = r < p->window.kernel[0] && y >= 0 && y < (int64_t)p->height;

                rows->at[r] =
                        inside ? src + (image * p->height + (size_t)y) * p->width * p->src_pixel + channel
                               : rows->zero;
                rows->pixel[r] = inside ? p->src_pixel : 0;
        }
}
