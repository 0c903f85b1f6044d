#include "engine/native/dot_winograd.h"

#include <string.h>

#include "base/macros.h"

#define LANES        8u
#define LEAST_INPUTS 32u          /* for fewer the transforms cost more than they save */
#define BAND_BYTES   (416u << 10) /* of transformed inputs: some of the second cache is for weights */

bool dot_winograd_can(const struct dot_conv *conv) {
        const struct kernel_window *w = &conv->window;

        if (conv->type != DOT_U8S8 || conv->groups != 1)
                return false;
        for (int axis = 0; axis < 2; axis++)
                if (w->kernel[axis] != 3 || w->strides[axis] != 1 || w->dilations[axis] != 1)
                        return false;
        return conv->inputs >= LEAST_INPUTS && conv->inputs <= DOT_WINOGRAD_INPUTS &&
               conv->outputs >= DOT_WINOGRAD_PANEL * LANES;
}

static size_t panels(const struct dot_conv *conv) {
        return (conv->outputs + DOT_WINOGRAD_PANEL * LANES - 1) / (DOT_WINOGRAD_PANEL * LANES);
}

size_t dot_winograd_bytes(const struct dot_conv *conv) {
        return panels(conv) * DOT_WINOGRAD_POSITIONS * dot_winograd_pairs(conv) * DOT_LINE;
}

size_t dot_winograd_band(const struct dot_conv *conv) {
        size_t tiles = conv->images * ((conv->out_height + 1) / 2) * ((conv->out_width + 1) / 2);

        return MIN(tiles, MAX(BAND_BYTES / (dot_winograd_step(conv) * sizeof(int16_t)), DOT_WINOGRAD_TILES));
}

size_t dot_winograd_scratch_bytes(const struct dot_conv *conv) {
        return dot_winograd_pixel_bytes(conv) +
               dot_winograd_band(conv) * dot_winograd_step(conv) * sizeof(int16_t);
}

/* Twice G of F(2, 3). */
static void row_transform(const int *g, size_t stride, int *ret) {
        ret[0] = 2 * g[0];
        ret[1] = g[0] + g[stride] + g[2 * stride];
        ret[2] = g[0] - g[stride] + g[2 * stride];
        ret[3] = 2 * g[2 * stride];
}

static void filter_transform(const int8_t *weights, int16_t *ret_positions) {
        int g[9], columns[3][4], row[4];

        for (int i = 0; i < 9; i++)
                g[i] = weights[i];
        for (int x = 0; x < 3; x++)
                row_transform(g + x, 3, columns[x]);
        for (int y = 0; y < 4; y++) {
                row_transform((int[]){columns[0][y], columns[1][y], columns[2][y]}, 1, row);
                for (int x = 0; x < 4; x++)
                        ret_positions[4 * y + x] = (int16_t)row[x];
        }
}

void dot_winograd_pack(const struct dot_conv *conv, const int8_t *weights, unsigned char *target) {
        size_t pairs = dot_winograd_pairs(conv), per_position = pairs * DOT_LINE / sizeof(int16_t);

        memset(target, 0, dot_winograd_bytes(conv));
        for (size_t o = 0; o < conv->outputs; o++)
                for (size_t i = 0; i < conv->inputs; i++) {
                        int16_t positions[DOT_WINOGRAD_POSITIONS];
                        size_t lane = o % (DOT_WINOGRAD_PANEL * LANES);
                        int16_t *to =
                                (int16_t *)target +
                                o / (DOT_WINOGRAD_PANEL * LANES) * DOT_WINOGRAD_POSITIONS * per_position +
                                i / 2 * (DOT_LINE / sizeof(int16_t)) + lane * 2 + i % 2;

                        filter_transform(weights + (o * conv->inputs + i) * 9, positions);
                        for (size_t p = 0; p < DOT_WINOGRAD_POSITIONS; p++)
                                to[p * per_position] = positions[p];
                }
}
