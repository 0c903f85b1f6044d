/* Maps of bytes against their definition, of random shapes and numbers. Every destination ends where memory
 * ends, so that no write behind it goes unnoticed. Run once more with ONEDNN_MAX_CPU_ISA=AVX2. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"
#include "engine/native/bytes.h"

#define RANDOM_CASES 150
#define SLACK        63u
#define MARK         0xa5

static uint64_t state;

static uint32_t draw(uint32_t below) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return (uint32_t)(state >> 33) % below;
}

static float draw_float(void) {
        return (float)draw(1u << 20) / (float)(1u << 19) - 1;
}

struct guarded {
        void *mapping;
        size_t mapping_bytes;
        unsigned char *bytes;
};

static void guarded_free(struct guarded *g) {
        munmap(g->mapping, g->mapping_bytes);
}

static struct guarded guarded_new(size_t bytes) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (bytes + page - 1) / page * page;
        struct guarded g = {.mapping_bytes = body + page};

        g.mapping = mmap(NULL, g.mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert(g.mapping != MAP_FAILED);
        ck_assert_int_eq(mprotect((char *)g.mapping + body, page, PROT_NONE), 0);
        g.bytes = (unsigned char *)g.mapping + body - bytes;
        memset(g.bytes, MARK, bytes);
        return g;
}

static struct guarded random_bytes(size_t bytes) {
        struct guarded g = guarded_new(bytes + SLACK);
        bool largest = draw(3) == 0;

        for (size_t i = 0; i < bytes; i++)
                g.bytes[i] = largest ? 255 : (unsigned char)draw(256);
        return g;
}

static struct bytes_real draw_real(void) {
        return (struct bytes_real){.scale = (1.5f + draw_float()) / 64, .zero = (int32_t)draw(256)};
}

static double integer_of(struct bytes_real r, double y) {
        return fmin(fmax(rint(y / (double)r.scale) + r.zero, 0), 255);
}

/* One step off only where y is next to a tie. */
static void compare(struct bytes_real r, double y, double got) {
        double wiggle = 1e-3 * (double)r.scale;

        ck_assert_msg(got >= integer_of(r, y - wiggle) && got <= integer_of(r, y + wiggle), "%g is not %g",
                      got, y / (double)r.scale + r.zero);
}

static void check_between(const struct guarded *g, size_t pixels, size_t pixel, size_t used) {
        for (size_t p = 0; p < pixels; p++)
                for (size_t i = used; i < pixel; i++)
                        ck_assert_uint_eq(g->bytes[p * pixel + i], MARK);
}

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
        state = (uint64_t)_i * 977;
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
        _cleanup_(
                guarded_free) struct guarded src = random_bytes(p.images * size[0] * size[1] * p.src_pixel),
                                             dst = guarded_new(pixels * p.dst_pixel * element),
                                             sum = random_bytes(pixels * p.sum_pixel),
                                             weights = guarded_new(p.channels * taps + SLACK),
                                             packed = guarded_new((bytes_depthwise_weights_bytes(&p) + 63) /
                                                                  64 * 64);
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
                                compare(p.dst, real, dst.bytes[o * p.dst_pixel + c]);
                        else
                                ck_assert_double_eq_tol((double)((float *)dst.bytes)[o * p.dst_pixel + c],
                                                        real, 1e-5 * (1 + fabs(real)));
                }
        check_between(&dst, pixels, p.dst_pixel * element, p.channels * element);
}
END_TEST

START_TEST(binary) {
        struct bytes_binary p;

        if (!bytes_supported())
                return;
        state = (uint64_t)_i * 977;
        p = (struct bytes_binary){
                .multiply = draw(2), .channels = 1 + draw(130), .b_repeat = 1 + draw(2) * 6};
        p.pixels = p.b_repeat * (1 + draw(60));
        p.a_pixel = p.channels + draw(2) * 9, p.b_pixel = p.channels + draw(2) * 5;
        p.dst_pixel = p.channels + draw(2) * 7, p.threads = 1 + draw(2);
        p.a = draw_real(), p.b = draw_real(), p.dst = draw_real();
        p.low = draw(2) ? 0 : -INFINITY, p.high = draw(2) ? 1 : INFINITY;
        _cleanup_(guarded_free) struct guarded a = random_bytes(p.pixels * p.a_pixel),
                                               b = random_bytes(p.pixels * p.b_pixel),
                                               dst = guarded_new(p.pixels * p.dst_pixel);

        bytes_binary_run(&p, a.bytes, b.bytes, dst.bytes);
        for (size_t i = 0; i < p.pixels; i++)
                for (size_t c = 0; c < p.channels; c++) {
                        double x = (a.bytes[i * p.a_pixel + c] - p.a.zero) * (double)p.a.scale;
                        double y = (b.bytes[i / p.b_repeat * p.b_pixel + c] - p.b.zero) * (double)p.b.scale;

                        compare(p.dst, fmin(fmax(p.multiply ? x * y : x + y, (double)p.low), (double)p.high),
                                dst.bytes[i * p.dst_pixel + c]);
                }
        check_between(&dst, p.pixels, p.dst_pixel, p.channels);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("bytes");
        TCase *tcase = tcase_create("bytes");
        SRunner *runner = srunner_create(suite);
        int failed;

        printf("# %s\n", bytes_supported() ? bytes_isa() : "this CPU has no code for bytes, skipped");
        tcase_set_timeout(tcase, 120);
        tcase_add_loop_test(tcase, depthwise, 0, RANDOM_CASES);
        tcase_add_loop_test(tcase, binary, 0, RANDOM_CASES);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed > 0;
}
