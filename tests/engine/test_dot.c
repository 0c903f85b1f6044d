/* Convolutions of few bits against their definition, of random shapes and numbers. Every buffer ends where
 * memory ends, so that no access behind it goes unnoticed. Run once more with ONEDNN_MAX_CPU_ISA=AVX2. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine/native/dot.h"
#include "operands.h"

#define RANDOM_CASES 400

/* ---- numbers ---- */

static uint16_t bf16_of(float value) {
        uint32_t bits;

        memcpy(&bits, &value, sizeof(bits));
        return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static float bf16_float(uint16_t value) {
        uint32_t bits = (uint32_t)value << 16;
        float f;

        memcpy(&f, &bits, sizeof(f));
        return f;
}

/* ---- the definition ---- */

static size_t element_of(enum dot_result type) {
        return type == DOT_TO_U8 ? 1 : type == DOT_TO_F32 ? 4 : 2;
}

static double value_at(enum dot_result type, const void *map, size_t i) {
        return type == DOT_TO_U8    ? (double)((const uint8_t *)map)[i]
               : type == DOT_TO_F32 ? (double)((const float *)map)[i]
                                    : (double)bf16_float(((const uint16_t *)map)[i]);
}

struct operands {
        const void *src, *weights;
        const float *scale, *bias;
        const void *sum;
};

/* ret_magnitude: the sum of the products' magnitudes. */
static double defined_sum(const struct dot_conv *c, const struct operands *of, size_t image, size_t oy,
                          size_t ox, size_t o, double *ret_magnitude) {
        const struct kernel_window *w = &c->window;
        size_t inputs = c->inputs / c->groups, group = o / (c->outputs / c->groups);
        double sum = 0, magnitude = 0;

        for (size_t ky = 0; ky < w->kernel[0]; ky++)
                for (size_t kx = 0; kx < w->kernel[1]; kx++) {
                        int64_t y = (int64_t)(oy * w->strides[0] + ky * w->dilations[0]) - w->pads_begin[0];
                        int64_t x = (int64_t)(ox * w->strides[1] + kx * w->dilations[1]) - w->pads_begin[1];
                        size_t pixel;

                        if (y < 0 || x < 0 || y >= (int64_t)c->height || x >= (int64_t)c->width)
                                continue;
                        pixel = ((image * c->height + (size_t)y) * c->width + (size_t)x) * c->src_pixel;
                        for (size_t i = 0; i < inputs; i++) {
                                size_t at = ((o * inputs + i) * w->kernel[0] + ky) * w->kernel[1] + kx,
                                       from = pixel + group * inputs + i;
                                double product;

                                if (c->type == DOT_U8S8)
                                        product = ((double)((const uint8_t *)of->src)[from] - c->src_zero) *
                                                  ((const int8_t *)of->weights)[at];
                                else
                                        product = (double)bf16_float(((const uint16_t *)of->src)[from]) *
                                                  (double)bf16_float(
                                                          bf16_of(((const float *)of->weights)[at]));
                                sum += product;
                                magnitude += fabs(product);
                        }
                }
        *ret_magnitude = magnitude;
        return sum;
}

static double activated(const struct native_epilogue *e, double y) {
        double alpha = (double)e->alpha, beta = (double)e->beta;

        switch (e->activation) {
        case NATIVE_CLIP:
                return fmin(fmax(y, (double)e->low), (double)e->high);
        case NATIVE_LEAKY:
                return y < 0 ? alpha * y : y;
        case NATIVE_SIGMOID:
                return 1 / (1 + exp(-y));
        case NATIVE_SWISH:
                return y / (1 + exp(-alpha * y));
        case NATIVE_HARDSWISH:
                return y * fmin(fmax(y / 6 + .5, 0), 1);
        case NATIVE_HARDSIGMOID:
                return fmin(fmax(alpha * y + beta, 0), 1);
        }
        return y;
}

static void compare_one(const struct dot_conv *c, const struct operands *of, const void *dst, size_t image,
                        size_t oy, size_t ox, size_t o) {
        size_t pixel = (image * c->out_height + oy) * c->out_width + ox;
        double got = value_at(c->result, dst, pixel * c->dst_pixel + o), magnitude, tolerance,
               y = defined_sum(c, of, image, oy, ox, o, &magnitude);
        double scale = of->scale ? (double)of->scale[o] : 1, bias = of->bias ? (double)of->bias[o] : 0;

        /* Sums of integers must be exact: all that may go wrong is float32's rounding afterwards. */
        tolerance = (c->type == DOT_U8S8 ? fabs(y) : magnitude) * scale * 1e-6 + fabs(bias) * 1e-6;
        y = y * scale + bias;
        if (c->epilogue.sum) {
                double sum = value_at(c->sum_type, of->sum, pixel * c->sum_pixel + o);

                if (c->sum_type == DOT_TO_U8)
                        sum = (sum - c->sum_zero) * (double)c->sum_scale;
                y += sum;
                tolerance +=
                        fabs(sum) * 1e-6 +
                        (c->sum_type == DOT_TO_U8 ? fabs(c->sum_zero * (double)c->sum_scale) * 1e-6 : 0);
        }
        tolerance += fabs(y) * 4e-7 + 1e-30;
        y = activated(&c->epilogue, y);
        if (c->result == DOT_TO_U8) {
                double step = y / (double)c->dst_scale + c->dst_zero;
                double wiggle = tolerance / (double)c->dst_scale + fabs(step) * 2e-7 + 2e-5;
                double least = fmin(fmax(rint(step - wiggle), 0), 255),
                       most = fmin(fmax(rint(step + wiggle), 0), 255);

                ck_assert_msg(got >= least && got <= most, "%g is not %g", got, step);
                return;
        }
        if (c->result == DOT_TO_BF16)
                tolerance += fabs(y) / 256;
        if (c->epilogue.activation != NATIVE_CLIP)
                tolerance += fabs(y) * 2e-6 + 1e-6;
        ck_assert_msg(fabs(got - y) <= tolerance, "%.9g is not %.9g, tolerance %g", got, y, tolerance);
}

/* ---- one case ---- */

enum weights_kind {
        WEIGHTS_BELL,    /* as trained ones lie */
        WEIGHTS_EVEN,    /* all of int8 */
        WEIGHTS_LARGEST, /* 127 or -128, and inputs of 255 */
        WEIGHTS_SIGNS,   /* 127, -128 and 0 in turn */
        WEIGHTS_KINDS,
};

static int8_t draw_weight(enum weights_kind kind, size_t output) {
        switch (kind) {
        case WEIGHTS_BELL:
                return (int8_t)((int)(draw(64) + draw(64) + draw(64) + draw(64)) - 127);
        case WEIGHTS_EVEN:
                return (int8_t)((int)draw(256) - 128);
        case WEIGHTS_LARGEST:
                return output % 2 ? 127 : -128;
        default:
                return draw(3) == 0 ? 0 : draw(2) ? 127 : -128;
        }
}

static void run_case(struct dot_conv *c, enum weights_kind kind, size_t threads, bool scale, bool bias,
                     bool in_place) {
        size_t pixels = c->images * c->height * c->width, element = c->type == DOT_U8S8 ? 1 : 2;
        size_t out_pixels = c->images * c->out_height * c->out_width;
        size_t n_weights = c->outputs * (c->inputs / c->groups) * c->window.kernel[0] * c->window.kernel[1];
        size_t dst_bytes = out_pixels * c->dst_pixel * element_of(c->result),
               sum_bytes = out_pixels * c->sum_pixel * element_of(c->sum_type), packed_bytes;
        /* A slice's last pixel may end before the next slice's channels. */
        _cleanup_(guarded_free) struct guarded
                src = guarded_new((((pixels - 1) * c->src_pixel + c->inputs) * element + OPERANDS_SLACK) /
                                  2 * 2),
                dst = guarded_new(dst_bytes), sum = guarded_new(sum_bytes),
                weights = guarded_new(n_weights * (c->type == DOT_U8S8 ? 1 : 4)),
                scales = guarded_new(c->outputs * 4), biases = guarded_new(c->outputs * 4), packed = {0},
                scratch = {0};
        struct operands of = {.src = src.bytes, .weights = weights.bytes};
        struct dot_data data = {.src = src.bytes, .dst = dst.bytes};

        if (c->type == DOT_BF16)
                /* What must not matter are numbers that are none. */
                memset(src.bytes, 0xff, ((pixels - 1) * c->src_pixel + c->inputs) * element);
        for (size_t p = 0; p < pixels; p++)
                for (size_t i = 0; i < c->inputs; i++)
                        if (c->type == DOT_U8S8)
                                src.bytes[p * c->src_pixel + i] =
                                        kind == WEIGHTS_LARGEST ? 255 : (unsigned char)draw(256);
                        else
                                ((uint16_t *)src.bytes)[p * c->src_pixel + i] = bf16_of(draw_float());
        for (size_t i = 0; i < n_weights; i++)
                if (c->type == DOT_U8S8)
                        ((int8_t *)weights.bytes)[i] = draw_weight(kind, i / (n_weights / c->outputs));
                else
                        ((float *)weights.bytes)[i] = draw_float();
        for (size_t o = 0; o < c->outputs; o++) {
                ((float *)scales.bytes)[o] = (1.5f + draw_float()) / (float)(n_weights / c->outputs) /
                                             (c->type == DOT_U8S8 ? 2000 : 1);
                ((float *)biases.bytes)[o] = draw_float();
        }
        for (size_t i = 0; i < out_pixels * c->sum_pixel; i++)
                if (c->sum_type == DOT_TO_U8)
                        sum.bytes[i] = (unsigned char)draw(256);
                else if (c->sum_type == DOT_TO_F32)
                        ((float *)sum.bytes)[i] = draw_float();
                else
                        ((uint16_t *)sum.bytes)[i] = bf16_of(draw_float());
        of.scale = data.scale = scale ? (const float *)scales.bytes : NULL;
        of.bias = data.bias = bias ? (const float *)biases.bytes : NULL;
        of.sum = data.sum = c->epilogue.sum ? sum.bytes : NULL;

        ck_assert(dot_conv_can(c));
        dot_conv_settle(c, threads);
        packed_bytes = dot_conv_packed_bytes(c, weights.bytes);
        ck_assert_uint_eq(packed_bytes % 64, 0);
        packed = guarded_new(packed_bytes);
        dot_conv_pack(c, weights.bytes, packed.bytes);
        data.weights = packed.bytes;
        scratch = guarded_new((c->scratch_bytes + 63) / 64 * 64);
        memset(scratch.bytes, 0xff, c->scratch_bytes);
        data.scratch = scratch.bytes;
        if (in_place) {
                memcpy(dst.bytes, sum.bytes, dst_bytes);
                data.sum = dst.bytes;
        }
        dot_conv_run(c, &data);

        for (size_t image = 0; image < c->images; image++)
                for (size_t y = 0; y < c->out_height; y++)
                        for (size_t x = 0; x < c->out_width; x++)
                                for (size_t o = 0; o < c->outputs; o++)
                                        compare_one(c, &of, dst.bytes, image, y, x, o);
        if (!in_place)
                guarded_check_gaps(&dst, out_pixels, c->dst_pixel * element_of(c->result),
                                   c->outputs * element_of(c->result));
}

/* ---- random cases ---- */

static size_t draw_of(const size_t *from, size_t n) {
        return from[draw((uint32_t)n)];
}

static void draw_window(struct dot_conv *c) {
        struct kernel_window *w = &c->window;
        size_t *const sizes[2] = {&c->height, &c->width}, *const outs[2] = {&c->out_height, &c->out_width};
        static const size_t kernels[] = {1, 1, 1, 3, 3, 5, 2};
        bool padded = draw(4) > 0, square = draw(4) > 0;

        for (int axis = 0; axis < 2; axis++) {
                size_t reach;
                int64_t most;

                w->kernel[axis] = axis && square ? w->kernel[0] : draw_of(kernels, ARRAY_SIZE(kernels));
                w->strides[axis] = draw(3) == 0 ? 2 : 1;
                w->dilations[axis] = draw(5) == 0 ? 2 : 1;
                w->pads_begin[axis] = padded ? (int64_t)(w->kernel[axis] / 2 * w->dilations[axis]) : 0;
                w->pads_end[axis] = w->pads_begin[axis];
                reach = (w->kernel[axis] - 1) * w->dilations[axis] + 1;
                *sizes[axis] = reach + draw(draw(4) ? 16 : 30);
                most = ((int64_t)*sizes[axis] + w->pads_begin[axis] + w->pads_end[axis] - (int64_t)reach) /
                       (int64_t)w->strides[axis];
                *outs[axis] = (size_t)most + 1;
        }
}

static void draw_case(struct dot_conv *c, enum dot_type type) {
        static const enum dot_result results[2][3] = {{DOT_TO_U8, DOT_TO_U8, DOT_TO_F32},
                                                      {DOT_TO_BF16, DOT_TO_BF16, DOT_TO_F32}};
        static const size_t groups[] = {1, 1, 1, 2, 3, 5, 8}, widths[] = {4, 8, 12, 16, 24, 32, 48, 6},
                            outputs[] = {4, 8, 16, 32, 24, 5, 2};
        bool slices = draw(3) == 0;

        memset(c, 0, sizeof(*c));
        c->type = type;
        c->result = results[type][draw(3)];
        c->sum_type = draw(4) ? c->result : draw(3);
        c->images = 1 + draw(3);
        c->groups = draw_of(groups, ARRAY_SIZE(groups));
        c->inputs = c->groups == 1 ? 1 + draw(draw(3) ? 40 : 150)
                                   : c->groups * draw_of(widths, ARRAY_SIZE(widths));
        c->outputs = c->groups == 1 ? 1 + draw(draw(3) ? 70 : 200)
                                    : c->groups * draw_of(outputs, ARRAY_SIZE(outputs));
        draw_window(c);
        c->src_pixel = c->inputs + (slices ? draw(20) : 0);
        c->dst_pixel = c->outputs + (slices ? draw(20) : 0);
        c->sum_pixel = c->outputs + (slices ? draw(20) : 0);
        c->src_zero = (uint8_t)draw(256);
        c->sum_scale = 1.f / 128;
        c->sum_zero = (int32_t)draw(256);
        c->dst_scale = (1 + draw_float() / 2) / 100;
        c->dst_zero = (int32_t)draw(256);
        c->epilogue = (struct native_epilogue){
                .low = draw(2) ? 0 : -INFINITY, .high = draw(3) ? INFINITY : .5f, .sum = draw(3) == 0};
        if (draw(3) == 0) {
                c->epilogue.activation = draw(6);
                c->epilogue.alpha = c->epilogue.activation == NATIVE_SWISH ? 1 : .2f;
                c->epilogue.beta = .5f;
                if (c->epilogue.activation != NATIVE_CLIP) {
                        c->epilogue.low = -INFINITY;
                        c->epilogue.high = INFINITY;
                }
        }
}

static void run_random(enum dot_type type, int i) {
        struct dot_conv c;
        bool in_place;

        if (!dot_isa(type))
                return;
        draw_seed(977u * (uint64_t)i + (uint64_t)type);
        draw(1);
        draw_case(&c, type);
        in_place = c.epilogue.sum && c.sum_type == c.result && draw(2);
        if (in_place)
                c.sum_pixel = c.dst_pixel;
        run_case(&c, draw(WEIGHTS_KINDS), 1 + draw(2), draw(8) > 0, draw(4) > 0, in_place);
}

START_TEST(sums_of_bytes_are_exact) {
        run_random(DOT_U8S8, _i);
}
END_TEST

START_TEST(sums_of_bfloat16_are_close) {
        run_random(DOT_BF16, _i);
}
END_TEST

/* ---- chosen ones ---- */

static struct dot_conv conv_of(size_t images, size_t inputs, size_t outputs, size_t side, size_t kernel,
                               size_t stride) {
        int64_t pad = (int64_t)kernel / 2;
        size_t out = (side + 2 * (size_t)pad - kernel) / stride + 1;

        return (struct dot_conv){.result = DOT_TO_F32,
                                 .sum_type = DOT_TO_U8,
                                 .images = images,
                                 .inputs = inputs,
                                 .outputs = outputs,
                                 .groups = 1,
                                 .height = side,
                                 .width = side,
                                 .out_height = out,
                                 .out_width = out,
                                 .src_pixel = inputs,
                                 .dst_pixel = outputs,
                                 .sum_pixel = outputs,
                                 .window = {.kernel = {kernel, kernel},
                                            .strides = {stride, stride},
                                            .dilations = {1, 1},
                                            .pads_begin = {pad, pad},
                                            .pads_end = {pad, pad}},
                                 .epilogue = {.low = -INFINITY, .high = INFINITY},
                                 .dst_scale = 1};
}

/* Weights and inputs as large as they can be, over as many inputs as networks have: every sum of two or more
 * products leaves int16. */
START_TEST(nothing_saturates) {
        static const size_t shapes[][5] = {{1, 2048, 40, 1, 1},
                                           {3, 512, 33, 2, 1},
                                           {1, 64, 16, 9, 3},
                                           {2, 255, 24, 7, 3},
                                           {1, 3, 32, 21, 7}};

        if (!dot_isa(DOT_U8S8))
                return;
        for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
                for (enum weights_kind kind = 0; kind < WEIGHTS_KINDS; kind++) {
                        const size_t *s = shapes[i];
                        struct dot_conv c = conv_of(s[0], s[1], s[2], s[3], s[4], 1);

                        draw_seed(i);
                        run_case(&c, kind, 1, false, false, false);
                }
}
END_TEST

/* 3x3 windows of stride 1, which AVX2 computes by Winograd's transforms: odd maps whose tiles reach over the
 * edge, padding of every width, odd inputs, outputs that end within a vector, maps in several bands, slices.
 */
START_TEST(windows_of_3x3_are_exact) {
        static const size_t shapes[][5] = {{1, 32, 16, 9, 7},   {2, 33, 24, 7, 8},  {3, 48, 25, 1, 2},
                                           {1, 64, 40, 3, 31},  {5, 37, 17, 6, 5},  {1, 512, 33, 4, 3},
                                           {1, 96, 16, 40, 41}, {1, 1792, 16, 2, 3}};
        size_t n_winograd = 0;

        if (!dot_isa(DOT_U8S8))
                return;
        for (size_t i = 0; i < ARRAY_SIZE(shapes) * 6; i++) {
                const size_t *s = shapes[i / 6];
                struct dot_conv c = conv_of(s[0], s[1], s[2], s[3], 3, 1);
                int64_t pad = (int64_t)(i % 3);

                c.width = s[4];
                c.window.pads_begin[0] = c.window.pads_end[1] = MAX(pad, 1);
                c.window.pads_begin[1] = c.window.pads_end[0] = 2 - pad / 2;
                c.out_height = c.height + (size_t)(c.window.pads_begin[0] + c.window.pads_end[0]) - 2;
                c.out_width = c.width + (size_t)(c.window.pads_begin[1] + c.window.pads_end[1]) - 2;
                c.src_zero = (uint8_t)(i * 51);
                c.src_pixel += i % 2 * 5;
                c.dst_pixel += i % 4;
                if (i % 3 == 0) {
                        c.result = DOT_TO_U8;
                        c.dst_scale = .05f;
                        c.epilogue.sum = i % 2;
                        c.sum_scale = .01f;
                }
                draw_seed(i);
                n_winograd += strcmp(dot_conv_form(&c), dot_isa(DOT_U8S8)) != 0;
                run_case(&c, (enum weights_kind)(i % WEIGHTS_KINDS), 1 + i % 3, true, true, false);
        }
        if (strcmp(dot_isa(DOT_U8S8), "avx2") == 0)
                ck_assert_uint_eq(n_winograd, ARRAY_SIZE(shapes) * 6);
}
END_TEST

/* Copies that bring pixels out of step, many bands, many rows of an inner product. */
START_TEST(sums_that_an_int32_may_not_hold_are_refused) {
        struct dot_conv c = {.type = DOT_U8S8, .outputs = 8, .groups = 1};

        c.window = (struct kernel_window){.kernel = {1, 1}, .strides = {1, 1}, .dilations = {1, 1}};
        c.inputs = 65793; /* times 255 times 128 is just below 2^31 */
        ck_assert(dot_conv_can(&c));
        c.inputs++;
        ck_assert(!dot_conv_can(&c));
        c.inputs = 7311; /* times 9 is 65799 */
        c.window.kernel[0] = c.window.kernel[1] = 3;
        ck_assert(!dot_conv_can(&c));
        c.inputs--;
        ck_assert(dot_conv_can(&c));
}
END_TEST

START_TEST(large_maps_go_by_bands) {
        static const size_t shapes[][6] = {{1, 2048, 80, 7, 1, 1},   {2, 1024, 96, 6, 1, 2},
                                           {1, 24, 20, 60, 3, 1},    {1, 64, 16, 56, 3, 2},
                                           {150, 1280, 48, 1, 1, 1}, {9, 16, 24, 9, 3, 1},
                                           {1, 9, 33, 64, 1, 1}};

        for (enum dot_type type = DOT_U8S8; type <= DOT_BF16; type++)
                for (size_t i = 0; dot_isa(type) && i < ARRAY_SIZE(shapes); i++)
                        for (size_t threads = 1; threads <= 3; threads++) {
                                const size_t *s = shapes[i];
                                struct dot_conv c = conv_of(s[0], s[1], s[2], s[3], s[4], s[5]);

                                c.type = type;
                                draw_seed(i);
                                run_case(&c, WEIGHTS_BELL, threads, true, true, false);
                        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("dot");
        TCase *tcase = tcase_create("dot");
        SRunner *runner = srunner_create(suite);
        int failed;

        for (enum dot_type type = DOT_U8S8; type <= DOT_BF16; type++)
                printf("# %s: %s\n", type == DOT_U8S8 ? "uint8" : "bfloat16",
                       dot_isa(type) ? dot_isa(type) : "this CPU has no code for it, skipped");
        tcase_set_timeout(tcase, 120);
        tcase_add_loop_test(tcase, sums_of_bytes_are_exact, 0, RANDOM_CASES);
        tcase_add_loop_test(tcase, sums_of_bfloat16_are_close, 0, RANDOM_CASES);
        tcase_add_test(tcase, nothing_saturates);
        tcase_add_test(tcase, windows_of_3x3_are_exact);
        tcase_add_test(tcase, sums_that_an_int32_may_not_hold_are_refused);
        tcase_add_test(tcase, large_maps_go_by_bands);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed > 0;
}
