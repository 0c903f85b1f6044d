/* Pools, sums, products, tables, copies and conversions of maps of bytes against their definition, of random
 * shapes and numbers. Every destination ends where memory ends. Run once more with ONEDNN_MAX_CPU_ISA=AVX2.
 */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "engine/native/bytes.h"
#include "engine/native/bytes_internal.h"
#include "operands.h"
#include "tests/suite.h"

#define RANDOM_CASES 80

/* Most draws are of few, some go beyond every width of a vector, of a tile and of what is one thread's. */
static size_t draw_channels(void) {
        return 1 + draw(draw(3) ? 40 : 200);
}

static size_t draw_pixels(void) {
        return draw(8) ? 1 + draw(80) : 600 + draw(600);
}

static size_t draw_distance(size_t channels) {
        return channels + (draw(2) ? 0 : draw(20));
}

static double real_of(struct bytes_real real, unsigned char q) {
        return (q - real.zero) * (double)real.scale;
}

/* ---- pools ---- */

static void draw_window(struct bytes_pool *p) {
        struct kernel_window *w = &p->window;
        size_t *const sizes[2] = {&p->height, &p->width}, *const outs[2] = {&p->out_height, &p->out_width};

        for (int axis = 0; axis < 2; axis++) {
                size_t reach, padded;

                /* 17 x 17 values of 255 are more than a word holds. */
                w->kernel[axis] = draw(10) ? 1 + draw(4) : 17;
                w->strides[axis] = 1 + draw(3);
                w->dilations[axis] = draw(4) ? 1 : 2;
                w->pads_begin[axis] = (int64_t)draw((uint32_t)w->kernel[axis]);
                w->pads_end[axis] = (int64_t)draw((uint32_t)w->kernel[axis]);
                reach = (w->kernel[axis] - 1) * w->dilations[axis] + 1;
                *sizes[axis] = (w->dilations[axis] > 1 || draw(3) ? reach : 1) + draw(8);
                while (*sizes[axis] + (size_t)(w->pads_begin[axis] + w->pads_end[axis]) < reach)
                        (*sizes[axis])++;
                padded = *sizes[axis] + (size_t)(w->pads_begin[axis] + w->pads_end[axis]);
                *outs[axis] = (padded - reach) / w->strides[axis] + 1;
                /* Rounded up, as ceil_mode has it: the last window reaches beyond the padding. */
                if (draw(3) == 0 &&
                    *outs[axis] * w->strides[axis] < *sizes[axis] + (size_t)w->pads_begin[axis])
                        (*outs[axis])++;
        }
}

/* What a window of the definition is over. */
struct window_sums {
        double sum;
        int most, in_image, in_padding;
};

static struct window_sums window_at(const struct bytes_pool *p, const uint8_t *image, size_t y, size_t x,
                                    size_t channel) {
        const struct kernel_window *w = &p->window;
        struct window_sums s = {0};

        for (size_t k = 0; k < w->kernel[0] * w->kernel[1]; k++) {
                int64_t row =
                        (int64_t)(y * w->strides[0] + k / w->kernel[1] * w->dilations[0]) - w->pads_begin[0];
                int64_t column =
                        (int64_t)(x * w->strides[1] + k % w->kernel[1] * w->dilations[1]) - w->pads_begin[1];

                if (row >= 0 && column >= 0 && row < (int64_t)p->height && column < (int64_t)p->width) {
                        uint8_t q =
                                image[((size_t)row * p->width + (size_t)column) * p->src_pixel + channel];

                        s.in_image++;
                        s.sum += real_of(p->src, q);
                        s.most = MAX(s.most, q);
                } else if (row < (int64_t)p->height + w->pads_end[0] &&
                           column < (int64_t)p->width + w->pads_end[1]) {
                        s.in_padding++;
                }
        }
        return s;
}

static void pool_of(enum bytes_pool_kind kind) {
        struct bytes_pool p = {.kind = kind, .images = 1 + draw(2), .channels = draw_channels()};
        size_t pixels, out_pixels;

        draw_window(&p);
        p.src_pixel = draw_distance(p.channels), p.dst_pixel = draw_distance(p.channels);
        p.src = draw_real(), p.dst = kind == BYTES_POOL_MAX ? p.src : draw_real();
        p.threads = 1 + draw(2);
        pixels = p.height * p.width, out_pixels = p.out_height * p.out_width;
        _cleanup_(guarded_free) struct guarded src = guarded_random(p.images * pixels * p.src_pixel),
                                               dst = guarded_new(p.images * out_pixels * p.dst_pixel);

        bytes_pool_run(&p, src.bytes, dst.bytes);
        for (size_t i = 0; i < p.images * out_pixels; i++)
                for (size_t c = 0; c < p.channels; c++) {
                        struct window_sums s =
                                window_at(&p, src.bytes + i / out_pixels * pixels * p.src_pixel,
                                          i % out_pixels / p.out_width, i % p.out_width, c);
                        int divisor = s.in_image + (kind == BYTES_POOL_AVERAGE ? 0 : s.in_padding);
                        uint8_t got = dst.bytes[i * p.dst_pixel + c];

                        if (kind == BYTES_POOL_MAX)
                                ck_assert_int_eq(got, s.most);
                        else
                                check_integer(p.dst, s.sum / divisor, got);
                }
        guarded_check_gaps(&dst, p.images * out_pixels, p.dst_pixel, p.channels);
}

START_TEST(max_pool) {
        draw_seed((uint64_t)_i * 977 + 1);
        pool_of(BYTES_POOL_MAX);
}
END_TEST

START_TEST(average_pool) {
        draw_seed((uint64_t)_i * 977 + 2);
        pool_of(draw(2) ? BYTES_POOL_AVERAGE : BYTES_POOL_AVERAGE_WITH_PADDING);
}
END_TEST

START_TEST(global_pool) {
        struct bytes_global_pool p;
        size_t element;

        draw_seed((uint64_t)_i * 977 + 3);
        p = (struct bytes_global_pool){.result = draw(2) ? BYTES_U8 : BYTES_F32,
                                       .images = 1 + draw(3),
                                       .channels = draw_channels(),
                                       .pixels = draw(4) ? draw_pixels() : 1,
                                       .src = draw_real(),
                                       .dst = draw_real(),
                                       .threads = 1 + draw(2)};
        p.src_pixel = draw_distance(p.channels), p.dst_image = draw_distance(p.channels);
        element = p.result == BYTES_U8 ? 1 : sizeof(float);
        _cleanup_(guarded_free) struct guarded src = guarded_random(p.images * p.pixels * p.src_pixel),
                                               dst = guarded_new(p.images * p.dst_image * element);

        bytes_global_pool_run(&p, src.bytes, dst.bytes);
        for (size_t i = 0; i < p.images; i++)
                for (size_t c = 0; c < p.channels; c++) {
                        double mean = 0;

                        for (size_t k = 0; k < p.pixels; k++)
                                mean += real_of(p.src, src.bytes[(i * p.pixels + k) * p.src_pixel + c]);
                        mean /= (double)p.pixels;
                        if (p.result == BYTES_U8)
                                check_integer(p.dst, mean, dst.bytes[i * p.dst_image + c]);
                        else
                                ck_assert_double_eq_tol(
                                        (double)((const float *)dst.bytes)[i * p.dst_image + c], mean,
                                        1e-6 * (1 + fabs(mean)));
                }
        guarded_check_gaps(&dst, p.images, p.dst_image * element, p.channels * element);
}
END_TEST

/* ---- sums and products ---- */

START_TEST(sum_or_product) {
        struct bytes_binary p;
        bool in_place;

        draw_seed((uint64_t)_i * 977 + 4);
        p = (struct bytes_binary){.multiply = draw(2),
                                  .channels = draw_channels(),
                                  .b_repeat = draw(2) ? 1 : 1 + draw(60),
                                  .threads = 1 + draw(2),
                                  .a = draw_real(),
                                  .b = draw_real(),
                                  .dst = draw_real(),
                                  .low = draw(2) ? 0 : -INFINITY,
                                  .high = draw(2) ? 1 : INFINITY};
        p.pixels = p.b_repeat * (p.b_repeat > 1 ? 1 + draw(30) : draw_pixels());
        p.a_pixel = draw_distance(p.channels), p.b_pixel = draw_distance(p.channels);
        in_place = draw(3) == 0;
        p.dst_pixel = in_place ? p.a_pixel : draw_distance(p.channels);
        _cleanup_(guarded_free) struct guarded a = guarded_random(p.pixels * p.a_pixel),
                                               b = guarded_random(p.pixels / p.b_repeat * p.b_pixel),
                                               dst = guarded_new(p.pixels * p.dst_pixel +
                                                                 (in_place ? OPERANDS_SLACK : 0));

        if (in_place)
                memcpy(dst.bytes, a.bytes, p.pixels * p.a_pixel);
        bytes_binary_run(&p, in_place ? dst.bytes : a.bytes, b.bytes, dst.bytes);
        for (size_t i = 0; i < p.pixels; i++)
                for (size_t c = 0; c < p.channels; c++) {
                        double x = real_of(p.a, a.bytes[i * p.a_pixel + c]);
                        double y = real_of(p.b, b.bytes[i / p.b_repeat * p.b_pixel + c]);

                        check_integer(p.dst,
                                      fmin(fmax(p.multiply ? x * y : x + y, (double)p.low), (double)p.high),
                                      dst.bytes[i * p.dst_pixel + c]);
                }
        for (size_t i = 0; in_place && i < p.pixels; i++)
                ck_assert(memcmp(dst.bytes + i * p.dst_pixel + p.channels,
                                 a.bytes + i * p.a_pixel + p.channels, p.dst_pixel - p.channels) == 0);
        if (!in_place)
                guarded_check_gaps(&dst, p.pixels, p.dst_pixel, p.channels);
}
END_TEST

/* ---- tables and copies ---- */

/* plain: the code that CPUs without AVX-512 VBMI run. */
static void lookup_of(bool plain) {
        struct bytes_lookup p = {
                .pixels = draw_pixels(), .channels = draw_channels(), .threads = 1 + draw(2)};
        bool in_place = draw(3) == 0, copy = draw(3) == 0;
        uint8_t table[256];

        p.src_pixel = draw_distance(p.channels);
        p.dst_pixel = in_place ? p.src_pixel : draw_distance(p.channels);
        for (size_t i = 0; i < 256; i++)
                table[i] = (uint8_t)draw(256);
        _cleanup_(guarded_free) struct guarded src = guarded_random(p.pixels * p.src_pixel),
                                               dst = guarded_new(p.pixels * p.dst_pixel +
                                                                 (in_place ? OPERANDS_SLACK : 0));
        const uint8_t *from = in_place ? dst.bytes : src.bytes;

        if (in_place)
                memcpy(dst.bytes, src.bytes, p.pixels * p.src_pixel);
        if (plain)
                bytes_best()->lookup(
                        &(struct bytes_job){
                                .op = &p, .src = from, .other = copy ? NULL : table, .dst = dst.bytes},
                        0, p.pixels);
        else
                bytes_lookup_run(&p, copy ? NULL : table, from, dst.bytes);
        for (size_t i = 0; i < p.pixels; i++)
                for (size_t c = 0; c < p.channels; c++) {
                        uint8_t q = src.bytes[i * p.src_pixel + c];

                        ck_assert_int_eq(dst.bytes[i * p.dst_pixel + c], copy ? q : table[q]);
                }
        for (size_t i = 0; in_place && i < p.pixels; i++)
                ck_assert(memcmp(dst.bytes + i * p.dst_pixel + p.channels,
                                 src.bytes + i * p.src_pixel + p.channels, p.dst_pixel - p.channels) == 0);
        if (!in_place)
                guarded_check_gaps(&dst, p.pixels, p.dst_pixel, p.channels);
}

START_TEST(lookup) {
        draw_seed((uint64_t)_i * 977 + 5);
        lookup_of(false);
        lookup_of(true);
}
END_TEST

static void pixels_of(bool plain) {
        struct bytes_pixels p = {.pixels = draw_pixels(), .channels = 1 + draw(4), .threads = 1 + draw(2)};
        size_t bytes = p.pixels * p.channels;
        uint8_t tables[4 * 256];

        for (size_t i = 0; i < sizeof(tables); i++)
                tables[i] = (uint8_t)draw(256);
        _cleanup_(guarded_free) struct guarded src = guarded_random(bytes), dst = guarded_new(bytes);

        if (plain)
                bytes_best()->pixels(
                        &(struct bytes_job){.op = &p, .src = src.bytes, .other = tables, .dst = dst.bytes},
                        0, p.pixels);
        else
                bytes_pixels_run(&p, tables, src.bytes, dst.bytes);
        for (size_t i = 0; i < bytes; i++)
                ck_assert_int_eq(dst.bytes[i], tables[256 * (i % p.channels) + src.bytes[i]]);
}

START_TEST(pixels) {
        draw_seed((uint64_t)_i * 977 + 6);
        pixels_of(false);
        pixels_of(true);
}
END_TEST

START_TEST(requantise_table) {
        struct bytes_real from, to;
        uint8_t table[256];

        draw_seed((uint64_t)_i * 977 + 7);
        from = draw_real(), to = draw_real();
        bytes_requantise_table(table, from, to);
        for (int q = 0; q < 256; q++)
                check_integer(to, real_of(from, (uint8_t)q), table[q]);
        /* What means the same stays what it is. */
        bytes_requantise_table(table, from, from);
        for (int q = 0; q < 256; q++)
                ck_assert_int_eq(table[q], q);
}
END_TEST

/* ---- between float32 and bytes ---- */

static struct bytes_quantise draw_quantise(void) {
        struct bytes_quantise p = {.images = 1 + draw(2),
                                   .channels = draw_channels(),
                                   .pixels = draw_pixels(),
                                   .planes = draw(2),
                                   .real = draw_real(),
                                   .threads = 1 + draw(2)};

        p.src_pixel = draw_distance(p.channels), p.dst_pixel = draw_distance(p.channels);
        return p;
}

/* The float32 of a pixel's channel. */
static size_t index_of(const struct bytes_quantise *p, size_t i, size_t c, size_t pixel) {
        return p->planes ? (i / p->pixels * p->channels + c) * p->pixels + i % p->pixels : i * pixel + c;
}

/* Within the range and beyond it, half way between two integers, and what is no number. */
static float draw_value(struct bytes_real real) {
        static const float odd[] = {INFINITY, -INFINITY, NAN, 1e30f, -1e30f, 0, -0.f, 1e-40f};
        uint32_t kind = draw(8);

        if (kind == 0)
                return odd[draw(ARRAY_SIZE(odd))];
        if (kind == 1)
                return ((float)draw(300) - 150.5f) * real.scale;
        return draw_float() * 300 * real.scale;
}

START_TEST(quantise) {
        struct bytes_quantise p;
        size_t n, pixel;

        draw_seed((uint64_t)_i * 977 + 8);
        p = draw_quantise();
        n = p.images * p.pixels, pixel = p.planes ? p.channels : p.src_pixel;
        _cleanup_(guarded_free) struct guarded src = guarded_new(n * pixel * sizeof(float)),
                                               dst = guarded_new(n * p.dst_pixel);
        float *reals = (float *)src.bytes;

        for (size_t i = 0; i < n * pixel; i++)
                reals[i] = draw_value(p.real);
        bytes_quantise_run(&p, reals, dst.bytes);
        for (size_t i = 0; i < n; i++)
                for (size_t c = 0; c < p.channels; c++) {
                        float y = reals[index_of(&p, i, c, pixel)];
                        uint8_t got = dst.bytes[i * p.dst_pixel + c];
                        int exponent;

                        if (isnan(y))
                                ck_assert_int_eq(got, 0);
                        /* The inverse of a power of two is exact: halves go to even. */
                        else if (frexpf(p.real.scale, &exponent) == 0.5f)
                                ck_assert_double_eq(
                                        got,
                                        fmin(fmax(rint((double)y / (double)p.real.scale) + p.real.zero, 0),
                                             255));
                        else
                                check_integer(p.real, (double)y, got);
                }
        guarded_check_gaps(&dst, n, p.dst_pixel, p.channels);
}
END_TEST

START_TEST(dequantise) {
        struct bytes_quantise p;
        size_t n, pixel;

        draw_seed((uint64_t)_i * 977 + 9);
        p = draw_quantise();
        n = p.images * p.pixels, pixel = p.planes ? p.channels : p.dst_pixel;
        _cleanup_(guarded_free) struct guarded src = guarded_random(n * p.src_pixel),
                                               dst = guarded_new(n * pixel * sizeof(float));
        const float *reals = (const float *)dst.bytes;

        bytes_dequantise_run(&p, src.bytes, (float *)dst.bytes);
        for (size_t i = 0; i < n; i++)
                for (size_t c = 0; c < p.channels; c++)
                        ck_assert_float_eq(reals[index_of(&p, i, c, pixel)],
                                           (float)(src.bytes[i * p.src_pixel + c] - p.real.zero) *
                                                   p.real.scale);
        if (!p.planes)
                guarded_check_gaps(&dst, n, p.dst_pixel * sizeof(float), p.channels * sizeof(float));
}
END_TEST

int main(void) {
        TCase *tcase = tcase_create("bytes maps");

        printf("# %s\n", bytes_supported() ? bytes_isa() : "this CPU has no code for bytes, skipped");
        tcase_set_timeout(tcase, 120);
        tcase_add_loop_test(tcase, requantise_table, 0, RANDOM_CASES);
        if (bytes_supported()) {
                tcase_add_loop_test(tcase, max_pool, 0, RANDOM_CASES);
                tcase_add_loop_test(tcase, average_pool, 0, RANDOM_CASES);
                tcase_add_loop_test(tcase, global_pool, 0, RANDOM_CASES);
                tcase_add_loop_test(tcase, sum_or_product, 0, RANDOM_CASES);
                tcase_add_loop_test(tcase, lookup, 0, RANDOM_CASES);
                tcase_add_loop_test(tcase, pixels, 0, RANDOM_CASES);
                tcase_add_loop_test(tcase, quantise, 0, RANDOM_CASES);
                tcase_add_loop_test(tcase, dequantise, 0, RANDOM_CASES);
        }
        return suite_run_as("bytes maps", tcase);
}
