/*
 * depthwise on bytes, for blocks of WIDTH channels: included for each width.
 *
 * The rows of a window are interleaved once, column by column, so that a lane of 32 bits holds DOT_ROWS rows
 * of one channel: 4 bytes, or 2 words where the CPU multiplies no bytes exactly. All outputs that read a
 * column use what was made. Columns and rows outside the image are src_zero, which makes all pixels alike:
 * the sum of w * src_zero is a constant of the channel.
 */

/* Columns first to first + n: [column][group of rows][4 WIDTH]. */
static void WIDE(depthwise_columns)(const struct depthwise_rows *rows, int64_t first, int64_t n,
                                    unsigned char *columns) {
        const size_t group_bytes = 4 * WIDTH, step = rows->groups * group_bytes;
        int64_t begin = MIN(MAX(-first, 0), n), end = MIN(MAX(rows->width - first, begin), n);
        V outside = DOT_ROWS == 4 ? OP(set1_epi8)((char)rows->zero[0]) : OP(set1_epi16)(rows->zero[0]);

        for (size_t i = 0; i < (size_t)begin * step; i += WIDTH)
                SI(store)((void *)(columns + i), outside);
        for (size_t i = (size_t)end * step; i < (size_t)n * step; i += WIDTH)
                SI(store)((void *)(columns + i), outside);
        for (size_t g = 0; g < rows->groups && begin < end; g++) {
                unsigned char *to = columns + (size_t)begin * step + g * group_bytes;
                const uint8_t *at[DOT_ROWS];
                size_t pixel[DOT_ROWS];

                UNROLL
                for (int r = 0; r < DOT_ROWS; r++) {
                        pixel[r] = rows->pixel[g * DOT_ROWS + (size_t)r];
                        at[r] = rows->at[g * DOT_ROWS + (size_t)r] + (size_t)(first + begin) * pixel[r];
                }
                for (int64_t j = begin; j < end; j++, to += step) {
                        V a = OP(unpacklo_epi8)(LOAD(at[0]), LOAD(at[1]));
                        V b = OP(unpackhi_epi8)(LOAD(at[0]), LOAD(at[1]));
#if DOT_ROWS == 4
                        V c = OP(unpacklo_epi8)(LOAD(at[2]), LOAD(at[3]));
                        V d = OP(unpackhi_epi8)(LOAD(at[2]), LOAD(at[3]));

                        SI(store)((void *)to, OP(unpacklo_epi16)(a, c));
                        SI(store)((void *)(to + WIDTH), OP(unpackhi_epi16)(a, c));
                        SI(store)((void *)(to + 2 * WIDTH), OP(unpacklo_epi16)(b, d));
                        SI(store)((void *)(to + 3 * WIDTH), OP(unpackhi_epi16)(b, d));
#else
                        V none = SI(setzero)();

                        SI(store)((void *)to, OP(unpacklo_epi8)(a, none));
                        SI(store)((void *)(to + WIDTH), OP(unpackhi_epi8)(a, none));
                        SI(store)((void *)(to + 2 * WIDTH), OP(unpacklo_epi8)(b, none));
                        SI(store)((void *)(to + 3 * WIDTH), OP(unpackhi_epi8)(b, none));
#endif
                        UNROLL
                        for (int r = 0; r < DOT_ROWS; r++)
                                at[r] += pixel[r];
                }
        }
}

INLINE V WIDE(depthwise_dot)(V sum, const unsigned char *columns, V weights) {
        V x = SI(load)((const void *)columns);

#if DOT_ROWS == 4
        /* As in dot_tile.inc.h, so that sums stay in registers. */
        __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(weights));
        return sum;
#else
        return OP(add_epi32)(sum, OP(madd_epi16)(x, weights));
#endif
}

struct WIDE(depthwise_block) {
        const struct depthwise_task *task;
        size_t n, first; /* channels that exist, and which is the first */
        const struct bytes_block_head *head;
        const float *scales, *biases;
        const unsigned char *weights;
};

/* pixels of one row; stride in groups of columns. */
INLINE void WIDE(depthwise_pixels)(const struct WIDE(depthwise_block) * b, const unsigned char *columns,
                                   const int pixels, const size_t stride, size_t first) {
        const struct depthwise_task *t = b->task;
        const struct bytes_depthwise *p = t->p;
        const size_t step = stride * 4 * WIDTH, groups = t->groups;
        const size_t dilation = (p->window.dilations[1] - 1) * groups * 4 * WIDTH;
        const unsigned char *weights = b->weights;
        V sums[7][4], zero = OP(set1_epi16)((short)t->finish.zero);
        V low = OP(set1_epi8)((char)t->finish.low), high = OP(set1_epi8)((char)t->finish.high);

        UNROLL
        for (int v = 0; v < 4; v++) {
                V offset = LOAD((const unsigned char *)(b->head + 1) + v * WIDTH);

                UNROLL
                for (int i = 0; i < pixels; i++)
                        sums[i][v] = offset;
        }
        for (size_t k = 0; k < p->window.kernel[1]; k++, columns += dilation)
                for (size_t g = 0; g < groups; g++, weights += 4 * WIDTH, columns += 4 * WIDTH) {
                        UNROLL
                        for (int v = 0; v < 4; v++) {
                                V w = LOAD(weights + v * WIDTH);

                                UNROLL
                                for (int i = 0; i < pixels; i++)
                                        sums[i][v] = WIDE(depthwise_dot)(
                                                sums[i][v], columns + (size_t)i * step + v * WIDTH, w);
                        }
                }
        UNROLL
        for (int i = 0; i < pixels; i++) {
                size_t pixel = first + (size_t)i;
                uint8_t *dst = t->dst + (pixel * p->dst_pixel + b->first) * t->dst_bytes;
                VF real[4];

                UNROLL
                for (int v = 0; v < 4; v++)
                        real[v] = OP(fmadd_ps)(OP(cvtepi32_ps)(sums[i][v]),
                                               OP(loadu_ps)(b->scales + v * WIDTH / 4),
                                               OP(loadu_ps)(b->biases + v * WIDTH / 4));
                if (t->direct && !b->head->wide) {
                        V q[4], bytes;

                        UNROLL
                        for (int v = 0; v < 4; v++)
                                q[v] = OP(cvtps_epi32)(real[v]);
                        bytes = WIDE(pack)(q, zero);
                        WIDE(store)(dst, OP(min_epu8)(OP(max_epu8)(bytes, low), high), b->n);
                } else {
                        const uint8_t *sum =
                                t->sum ? t->sum + (pixel * p->sum_pixel + b->first) * t->sum_bytes : NULL;
                        _Alignas(64) float ordered[4 * LANES] = {0};

                        WIDE(order)(ordered, real);
                        finish(&t->finish, ordered, b->n, sum, dst);
                }
        }
}

INLINE void WIDE(depthwise_tiles)(const struct WIDE(depthwise_block) * b, const unsigned char *columns,
                                  const size_t stride, size_t first, size_t n) {
        const size_t step = stride * 4 * WIDTH;
        size_t i = 0;

        for (; i + DEPTHWISE_PIXELS <= n; i += DEPTHWISE_PIXELS)
                WIDE(depthwise_pixels)(b, columns + i * step, DEPTHWISE_PIXELS, stride, first + i);
        for (; i + 2 <= n; i += 2)
                WIDE(depthwise_pixels)(b, columns + i * step, 2, stride, first + i);
        if (i < n)
                WIDE(depthwise_pixels)(b, columns + i * step, 1, stride, first + i);
}

/* A row of outputs, the block's channels, by pieces whose columns stay in the first cache. */
static void WIDE(depthwise_row)(const struct depthwise_task *t, const struct depthwise_rows *rows,
                                const unsigned char *packed, size_t first_channel, size_t n) {
        const struct bytes_depthwise *p = t->p;
        const struct bytes_block_head *head = (const struct bytes_block_head *)packed;
        const float *scales = (const float *)(head + 1) + WIDTH;
        struct WIDE(depthwise_block) b = {.task = t,
                                          .n = n,
                                          .first = first_channel,
                                          .head = head,
                                          .scales = scales,
                                          .biases = scales + WIDTH,
                                          .weights = (const unsigned char *)(scales + 2 * WIDTH)};
        size_t stride = p->window.strides[1], span = (p->window.kernel[1] - 1) * p->window.dilations[1] + 1;
        size_t most = (BYTES_COLUMNS_BYTES / (4 * WIDTH * t->groups) - span) / stride + 1;
        _Alignas(64) unsigned char columns[BYTES_COLUMNS_BYTES];

        if (most > DEPTHWISE_PIXELS)
                most -= most % DEPTHWISE_PIXELS;
        for (size_t x = 0, pixels; x < p->out_width; x += pixels) {
                pixels = MIN(p->out_width - x, most);
                WIDE(depthwise_columns)
                (rows, (int64_t)(x * stride) - p->window.pads_begin[1],
                 (int64_t)((pixels - 1) * stride + span), columns);
                switch (stride * t->groups) {
                case 1:
                        WIDE(depthwise_tiles)(&b, columns, 1, x, pixels);
                        break;
                case 2:
                        WIDE(depthwise_tiles)(&b, columns, 2, x, pixels);
                        break;
                default:
                        WIDE(depthwise_tiles)(&b, columns, stride * t->groups, x, pixels);
                        break;
                }
        }
}
