/* Depthwise convolutions of bytes against their definition, of random shapes and numbers. Every destination
 * ends where memory ends, so that no write behind it goes unnoticed. Run once more with
 * ONEDNN_MAX_CPU_ISA=AVX2. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "engine/native/bytes.h"
#include "operands.h"
#include "tests/suite.h"

#define RANDOM_CASES 150

static void draw_window(struct kernel_window *w, size_t size[2], size_t out[2], bool pool) {
        for (int axis = 0; axis < 2; axis++) {
                size_t reach;

                w->kernel[axis] = pool ? 2 + draw(2) : 3 + 2 * draw(3);
                w->strides[axis] = 1 + draw(2);
                w->dilations[axis] = draw(4) ? 1 : 2;
                w->pads_begin[axis] = w->pads_end[axis] = draw(2) ? (int64_t)(w->kernel[axis] / 2) : 0;
                reach = (w->kernel[axis] - 1) * w->dilations[axis] + 1;
                size[axis] = reach + draw(12);
                out[axis] = (size[axis] + 2 * (size_t)w->pads_begin[axis] - reach) / w->strides[axis] + 1;
        }
}

/* The tap's pixel of the image, or -1 outside. */
static int64_t tap(const struct kernel_window *w, const size_t size[2], size_t y, size_t x, size_t ky,
                   size_t kx) {
        int64_t row = (int64_t)(y * w->strides[0] + ky * w->dilations[0]) - w->pads_begin[0];
        int64_t column = (int64_t)(x * w->strides[1] + kx * w->dilations[1]) - w->pads_begin[1];

        if (row < 0 || column < 0 || row >= (int64_t)size[0] || column >= (int64_t)size[1])
                return -1;
        return row * (int64_t)size[1] + column;
}

START_TEST(depthwise) {
        size_t size[2], out[2], taps, pixels, element;
        struct bytes_depthwise p = {.images = 1};
        float scale[130], bias[130];

        if (!bytes_supported())
                return;
        draw_seed((uint64_t)_i * 977);
        p.images = 1 + draw(2), p.channels = 1 + draw(130);
        draw_window(&p.window, size, out, false);
        p.height = size[0], p.width = size[1], p.out_height = out[0], p.out_width = out[1];
        p.result = draw(2) ? BYTES_U8 : BYTES_F32;
        p.sum_type = draw(2) ? BYTES_U8 : BYTES_F32;
        p.src_pixel = p.channels + draw(20), p.dst_pixel = p.channels + draw(20);
        p.sum_pixel = p.channels + draw(20);
        p.src_zero = (uint8_t)draw(256), p.sum = draw_real(), p.dst = draw_real(), p.threads = 1 + draw(2);
        p.epilogue = (struct native_epilogue){.activation = draw(2) ? NATIVE_CLIP : NATIVE_SWISH,
                                              .alpha = 1,
                                              .low = draw(2) ? 0 : -INFINITY,
                                              .high = draw(2) ? 1 : INFINITY,
                                              .sum = draw(2)};
        taps = p.window.kernel[0] * p.window.kernel[1];
        pixels = p.images * out[0] * out[1];
        element = p.result == BYTES_U8 ? 1 : 4;
        _cleanup_(guarded_free) struct guarded src = guarded_random(p.images * size[0] * size[1] *
                                                                    p.src_pixel),
                                               dst = guarded_new(pixels * p.dst_pixel * element),
                                               sum = guarded_random(pixels * p.sum_pixel),
                                               weights = guarded_new(p.channels * taps + OPERANDS_SLACK),
                                               packed = guarded_new(
                                                       (bytes_depthwise_weights_bytes(&p) + 63) / 64 * 64);
        _cleanup_(guarded_free) struct guarded real_sums = guarded_new(pixels * p.sum_pixel * 4);
        float *sums = (float *)real_sums.bytes;

        for (size_t i = 0; i < pixels * p.sum_pixel; i++)
                sums[i] = draw_float();
        for (size_t i = 0; i < p.channels * taps; i++)
                weights.bytes[i] = (unsigned char)(draw(3) ? draw(256) : draw(2) ? 127 : 128);
        for (size_t c = 0; c < p.channels; c++)
                scale[c] = (1.5f + draw_float()) / (float)taps / 8000, bias[c] = draw_float();
        memset(packed.bytes, 0, bytes_depthwise_weights_bytes(&p));
        bytes_depthwise_pack(&p, 0, p.channels, weights.bytes, scale, bias, packed.bytes);
        bytes_depthwise_run(
                &p, &(struct bytes_depthwise_data){.src = src.bytes,
                                                   .weights = packed.bytes,
                                                   .sum = p.sum_type == BYTES_U8 ? (void *)sum.bytes : sums,
                                                   .dst = dst.bytes});
        for (size_t o = 0; o < pixels; o++)
                for (size_t c = 0; c < p.channels; c++) {
                        size_t image = o / (out[0] * out[1]), y = o / out[1] % out[0], x = o % out[1];
                        double real, q = 0;

                        for (size_t k = 0; k < taps; k++) {
                                int64_t at = tap(&p.window, size, y, x, k / p.window.kernel[1],
                                                 k % p.window.kernel[1]);

                                if (at >= 0)
                                        q += (src.bytes[(image * size[0] * size[1] + (size_t)at) *
                                                                p.src_pixel +
                                                        c] -
                                              p.src_zero) *
                                             (int8_t)weights.bytes[c * taps + k];
                        }
                        real = q * (double)scale[c] + (double)bias[c];
                        if (p.epilogue.sum)
                                real += p.sum_type == BYTES_U8
                                                ? (sum.bytes[o * p.sum_pixel + c] - p.sum.zero) *
                                                          (double)p.sum.scale
                                                : (double)sums[o * p.sum_pixel + c];
                        if (p.epilogue.activation == NATIVE_SWISH)
                                real = real / (1 + exp(-real));
                        else
                                real = fmin(fmax(real, (double)p.epilogue.low), (double)p.epilogue.high);
                        if (p.result == BYTES_U8)
                                check_integer(p.dst, real, dst.bytes[o * p.dst_pixel + c]);
                        else
                                ck_assert_double_eq_tol((double)((float *)dst.bytes)[o * p.dst_pixel + c],
                                                        real, 1e-5 * (1 + fabs(real)));
                }
        guarded_check_gaps(&dst, pixels, p.dst_pixel * element, p.channels * element);
}
END_TEST

int main(void) {
        TCase *tcase = tcase_create("depthwise");

        printf("# %s\n", bytes_supported() ? bytes_isa() : "this CPU has no code for bytes, skipped");
        tcase_set_timeout(tcase, 120);
        tcase_add_loop_test(tcase, depthwise, 0, RANDOM_CASES);
        return suite_run_as("depthwise", tcase);
}
