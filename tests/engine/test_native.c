/* Our own vector code against the definition of what it computes, in double precision, for each instruction
 * set that this CPU has. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine/native/native.h"
#include "engine/native/winograd.h"

/* Of the largest result: products of numbers up to 1 and some hundred channels. */
#define TOLERANCE 2e-5

static const struct native *natives[3];
static size_t n_natives;

static void natives_find(void) {
        natives[n_natives++] = &native_portable;
#if defined(__x86_64__)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
                natives[n_natives++] = &native_avx2;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
                natives[n_natives++] = &native_avx512;
#endif
}

static float *numbers(size_t n, uint32_t seed) {
        float *values = aligned_alloc(64, (n * sizeof(*values) + 127) / 64 * 64);

        ck_assert(values != NULL);
        for (size_t i = 0; i < n; i++) {
                seed = seed * 1664525u + 1013904223u;
                values[i] = (float)(int32_t)seed / 2147483648.0f;
        }
        return values;
}

struct shape_case {
        size_t images, channels, outputs, height, width, pad_top, pad_left, out_height, out_width, threads;
        bool blocks, bias, sum;
        float low, high;
};

static const struct shape_case shape_cases[] = {
        /* One tile, whole vectors. */
        {1, 16, 32, 4, 4, 1, 1, 4, 4, 1, false, true, false, -INFINITY, INFINITY},
        /* Nothing fits: channels, tiles, images. */
        {3, 5, 7, 7, 11, 1, 1, 7, 11, 1, false, true, false, 0, INFINITY},
        {2, 19, 37, 9, 6, 1, 1, 9, 6, 2, false, false, true, -INFINITY, INFINITY},
        /* Without padding, and with it on one side only. */
        {1, 24, 40, 10, 10, 0, 0, 8, 8, 1, false, true, false, -1, 6},
        {1, 16, 16, 10, 10, 0, 1, 9, 10, 2, false, true, true, 0, 6},
        {1, 16, 16, 5, 5, 2, 2, 7, 7, 1, false, true, false, -INFINITY, INFINITY},
        /* Many blocks of tiles; more threads than blocks; one block that threads share. */
        {4, 32, 48, 28, 28, 1, 1, 28, 28, 2, false, true, false, 0, INFINITY},
        {1, 64, 96, 7, 7, 1, 1, 7, 7, 3, false, true, true, 0, INFINITY},
        {2, 160, 160, 14, 14, 1, 1, 14, 14, 2, false, false, false, 0, INFINITY},
        /* Blocks of channels. */
        {2, 32, 64, 9, 13, 1, 1, 9, 13, 2, true, true, true, 0, INFINITY},
        {1, 48, 16, 14, 14, 1, 1, 14, 14, 1, true, true, false, -INFINITY, INFINITY},
};

/* Where channel c of a pixel is, with lanes channels together. */
static size_t at(const struct map_strides *s, size_t lanes, size_t image, size_t y, size_t x, size_t c) {
        return image * s->image + y * s->row + x * s->pixel + c / lanes * s->step + c % lanes;
}

/* slack: channels of a neighbour in the same pixel, as in a slice of a concatenation. */
static struct map_strides strides_of(bool blocks, size_t lanes, size_t channels, size_t height, size_t width,
                                     size_t slack) {
        size_t pixel = channels + slack;

        if (blocks)
                return (struct map_strides){channels * height * width, width * lanes, lanes,
                                            height * width * lanes};
        return (struct map_strides){pixel * height * width, pixel * width, pixel, lanes};
}

static double defined(const struct shape_case *t, const struct winograd *w, const float *src,
                      const float *weights, size_t image, size_t y, size_t x, size_t o) {
        double sum = 0;

        for (size_t i = 0; i < 3; i++)
                for (size_t j = 0; j < 3; j++) {
                        size_t sy = y + i - t->pad_top, sx = x + j - t->pad_left;

                        if (sy >= t->height || sx >= t->width)
                                continue;
                        for (size_t c = 0; c < t->channels; c++)
                                sum += (double)src[at(&w->src, w->native->lanes, image, sy, sx, c)] *
                                       (double)weights[(o * t->channels + c) * 9 + i * 3 + j];
                }
        return sum;
}

static void compare(const struct shape_case *t, const struct winograd *w, const float *src,
                    const float *weights, const float *bias, const float *before, const float *dst) {
        double largest = 0, difference = 0;

        for (size_t image = 0; image < t->images; image++)
                for (size_t y = 0; y < t->out_height; y++)
                        for (size_t x = 0; x < t->out_width; x++)
                                for (size_t o = 0; o < t->outputs; o++) {
                                        size_t to = at(&w->dst, w->native->lanes, image, y, x, o);
                                        double expected = defined(t, w, src, weights, image, y, x, o);
                                        double error;

                                        largest = fmax(largest, fabs(expected));
                                        expected += t->bias ? (double)bias[o] : 0;
                                        expected += t->sum ? (double)before[to] : 0;
                                        expected = fmin(fmax(expected, (double)t->low), (double)t->high);
                                        error = fabs(expected - (double)dst[to]);
                                        difference = error <= difference ? difference : error;
                                }
        ck_assert_msg(difference <= TOLERANCE * largest, "%s, m %u: %g of %g", w->native->isa, w->m,
                      difference, largest);
}

static void run_case(const struct shape_case *t, const struct native *native, unsigned m) {
        size_t lanes = native->lanes, slack = t->blocks ? 0 : 3;
        struct winograd w = {
                .native = native,
                .m = m,
                .threads = t->threads,
                .images = t->images,
                .channels = t->channels,
                .outputs = t->outputs,
                .height = t->height,
                .width = t->width,
                .out_height = t->out_height,
                .out_width = t->out_width,
                .pad_top = t->pad_top,
                .pad_left = t->pad_left,
                .src = strides_of(t->blocks, lanes, t->channels, t->height, t->width, slack),
                .dst = strides_of(t->blocks, lanes, t->outputs, t->out_height, t->out_width, slack),
                .bias = t->bias,
                .sum = t->sum,
                .low = t->low,
                .high = t->high,
        };
        size_t n_src = w.src.image * t->images, n_dst = w.dst.image * t->images;
        _cleanup_(freep) float *src = numbers(n_src, 1), *dst = numbers(n_dst, 2),
                               *before = numbers(n_dst, 2);
        _cleanup_(freep) float *weights = numbers(t->outputs * t->channels * 9, 3);
        _cleanup_(freep) float *bias = numbers(t->outputs + native->gemm_columns, 4);
        _cleanup_(freep) float *packed = NULL, *scratch = NULL;

        winograd_settle(&w);
        packed = numbers(winograd_weights_bytes(native, m, t->channels, t->outputs) / sizeof(float), 5);
        scratch = numbers(winograd_scratch_bytes(&w) / sizeof(float), 6);
        memset(packed, 0, winograd_weights_bytes(native, m, t->channels, t->outputs));
        /* In parts, as large weights come. */
        winograd_pack(native, m, t->channels, 0, t->outputs / 3, weights, packed);
        winograd_pack(native, m, t->channels, t->outputs / 3, t->outputs - t->outputs / 3,
                      weights + t->outputs / 3 * t->channels * 9, packed);
        winograd_run(&w, src, packed, t->bias ? bias : NULL, dst, scratch);
        compare(t, &w, src, weights, bias, before, dst);
        /* The neighbours' channels are untouched. */
        for (size_t i = 0; slack > 0 && i < n_dst; i++)
                if (i % w.dst.pixel >= t->outputs)
                        ck_assert_float_eq(dst[i], before[i]);
}

START_TEST(winograd_computes_what_convolution_is_defined_as) {
        for (size_t i = 0; i < n_natives; i++)
                for (unsigned m = 2; m <= 4; m += 2)
                        run_case(&shape_cases[_i], natives[i], m);
}
END_TEST

START_TEST(gemm_takes_every_number_of_rows_and_columns) {
        for (size_t n = 0; n < n_natives; n++) {
                const struct native *native = natives[n];
                size_t k = 2 * native->lanes, columns = native->gemm_columns;
                _cleanup_(freep) float *a = numbers(native->gemm_rows * k, 1), *b = numbers(k * columns, 2);

                for (size_t rows = 1; rows <= native->gemm_rows; rows++)
                        for (size_t exist = 1; exist <= columns; exist++) {
                                _cleanup_(freep) float *c = numbers(rows * columns, 3);
                                struct gemm_left left = {
                                        .at = a, .stride = k, .n_blocks = 1, .block = k, .next = b};
                                struct gemm_result result = {.at = c,
                                                             .stride = columns,
                                                             .step = native->lanes,
                                                             .columns = exist,
                                                             .low = -INFINITY,
                                                             .high = INFINITY};
                                _cleanup_(freep) float *before = numbers(rows * columns, 3);

                                native->gemm(rows, &left, b, &result);
                                for (size_t r = 0; r < rows; r++)
                                        for (size_t o = 0; o < columns; o++) {
                                                double expected = 0;

                                                for (size_t i = 0; i < k; i++)
                                                        expected += (double)a[r * k + i] *
                                                                    (double)b[i * columns + o];
                                                if (o >= exist)
                                                        expected = (double)before[r * columns + o];
                                                ck_assert_double_eq_tol((double)c[r * columns + o], expected,
                                                                        1e-5);
                                        }
                        }
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("native");
        TCase *tcase = tcase_create("native");
        SRunner *runner = srunner_create(suite);
        int failed;

        natives_find();
        tcase_set_timeout(tcase, 120);
        tcase_add_loop_test(tcase, winograd_computes_what_convolution_is_defined_as, 0,
                            ARRAY_SIZE(shape_cases));
        tcase_add_test(tcase, gemm_takes_every_number_of_rows_and_columns);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed > 0;
}
