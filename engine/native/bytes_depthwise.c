/* bytes_depthwise: what fits, packing of weights, and division of the work of depthwise convolutions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine/native/bytes.h"
#include "engine/native/bytes_internal.h"

bool bytes_depthwise_fits(const struct bytes_depthwise *p) {
        const struct kernel_window *w = &p->window;

        return ((w->kernel[1] - 1) * w->dilations[1] + 1) * bytes_depthwise_groups(p, bytes_best()->rows) *
                       4 * bytes_best()->width <=
               BYTES_COLUMNS_BYTES;
}

static size_t taps_of(const struct bytes_depthwise *p) {
        return p->window.kernel[0] * p->window.kernel[1];
}

size_t bytes_depthwise_weights_bytes(const struct bytes_depthwise *p) {
        const struct bytes_code *code = bytes_best();
        size_t bytes = 0;

        for (size_t c = 0, width; c < p->channels; c += width) {
                width = bytes_block(p->channels - c, code->width);
                bytes += bytes_block_bytes(p, code->rows, width);
        }
        return bytes;
}

/* The lane, of all of a block's vectors, that has channel. */
static size_t lane_of(size_t channel, size_t width) {
        return channel % 16 / 4 * (width / 4) + channel / 16 * 4 + channel % 4;
}

static void pack_channel(const struct bytes_depthwise *p, const int8_t *weights, float scale, float bias,
                         unsigned char *block, size_t width, size_t lane) {
        const struct bytes_code *code = bytes_best();
        size_t kh = p->window.kernel[0], kw = p->window.kernel[1],
               groups = bytes_depthwise_groups(p, code->rows);
        struct bytes_block_head *head = (struct bytes_block_head *)block;
        int32_t *offsets = (int32_t *)(head + 1);
        float *scales = (float *)(offsets + width), *biases = scales + width;
        unsigned char *packed = (unsigned char *)(biases + width);
        int32_t sum = 0, size = 0;

        for (size_t y = 0; y < kh; y++)
                for (size_t x = 0; x < kw; x++) {
                        int8_t w = weights[y * kw + x];
                        unsigned char *group = packed + (x * groups + y / code->rows) * 4 * width + 4 * lane;

                        if (code->rows == 4)
                                ((int8_t *)group)[y % 4] = w;
                        else
                                ((int16_t *)group)[y % 2] = w;
                        sum += w;
                        size += abs(w);
                }
        if (bytes_is_direct(p->result, &p->epilogue)) {
                scale *= 1 / p->dst.scale;
                bias *= 1 / p->dst.scale;
        }
        offsets[lane] = -(int32_t)p->src_zero * sum;
        scales[lane] = scale;
        biases[lane] = bias;
        /* Not <, so that a NaN is wide. */
        if (!(255.f * (float)size * fabsf(scale) + fabsf(bias) < 1e9f))
                head->wide = 1;
}

void bytes_depthwise_pack(const struct bytes_depthwise *p, size_t first, size_t n, const void *weights,
                          const float *scale, const float *bias, void *target) {
        const struct bytes_code *code = bytes_best();
        size_t taps = taps_of(p), width;
        unsigned char *block = target;

        for (size_t c = 0; c < first + n; c += width, block += bytes_block_bytes(p, code->rows, width)) {
                size_t begin = MAX(c, first), end;

                width = bytes_block(p->channels - c, code->width);
                end = MIN(c + width, first + n);
                for (size_t o = begin; o < end; o++)
                        pack_channel(p, (const int8_t *)weights + (o - first) * taps, scale[o - first],
                                     bias ? bias[o - first] : 0, block, width, lane_of(o - c, width));
        }
}

void bytes_depthwise_run(const struct bytes_depthwise *p, const struct bytes_depthwise_data *data) {
        struct bytes_job job = {
                .op = p, .src = data->src, .other = data->sum, .weights = data->weights, .dst = data->dst};
        size_t rows = p->images * p->out_height;
        double work = (double)(rows * p->out_width * p->channels) * (double)taps_of(p) / 4;

        bytes_run(bytes_best()->depthwise, &job, rows, work, p->threads);
}
