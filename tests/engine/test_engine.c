/* The engine's parts that have a contract of their own: tensors, plans of the default model. Memory has a
 * file of its own, test_memory.c. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "engine/allowance.h"
#include "engine/model.h"
#include "engine/plan.h"
#include "engine/tensor.h"
#include "models/embedded.h"

/* ---- pool ---- */

START_TEST(pool_memory_is_zeroed_aligned_and_separate) {
        _cleanup_(pool_freep) struct pool *pool = pool_new();
        unsigned char *last = NULL;

        ck_assert(pool != NULL);
        for (size_t i = 1; i < 3000; i += 7) {
                unsigned char *bytes = pool_allocate(pool, i, 3);

                ck_assert(bytes != NULL && (uintptr_t)bytes % _Alignof(max_align_t) == 0);
                for (size_t k = 0; k < 3 * i; k++)
                        ck_assert_uint_eq(bytes[k], 0);
                memset(bytes, 0xff, 3 * i);
                ck_assert(!last || last[0] == 0xff);
                last = bytes;
        }
        ck_assert(pool_allocate(pool, SIZE_MAX / 2, 3) == NULL);
}
END_TEST

/* ---- tensors ---- */

START_TEST(shapes_from_outside_are_bounded) {
        struct error error = ERROR_NONE;
        struct shape shape;

        ck_assert_int_eq(shape_from_dims(&shape, (int64_t[]){2, 3, 0}, 3, &error), 0);
        ck_assert_uint_eq(shape_elements(&shape), 0);
        ck_assert_int_eq(shape_from_dims(&shape, (int64_t[]){2, -1}, 2, &error), ERROR_INVALID);
        ck_assert_int_eq(shape_from_dims(&shape, (int64_t[]){INT64_MAX, INT64_MAX}, 2, &error), ERROR_LIMIT);
        ck_assert_int_eq(shape_from_dims(&shape, (int64_t[]){0, INT64_MAX, INT64_MAX}, 3, &error),
                         ERROR_LIMIT);
        ck_assert_int_eq(shape_from_dims(&shape, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 9, &error),
                         ERROR_LIMIT);
}
END_TEST

/* IEEE 754-2019, section 3.4, binary16. (clang 14 has no _Float16 to ask for these CPUs.) */
static float reference_of_half(unsigned half) {
        int exponent = (int)(half >> 10 & 31);
        double fraction = half & 1023, magnitude;

        if (exponent == 31)
                magnitude = fraction == 0 ? (double)INFINITY : (double)NAN;
        else if (exponent == 0)
                magnitude = ldexp(fraction / 1024, -14);
        else
                magnitude = ldexp(1 + fraction / 1024, exponent - 15);
        return (float)(half >> 15 ? -magnitude : magnitude);
}

/* All half-precision numbers but the first three. */
START_TEST(float16_becomes_float32_exactly) {
        _cleanup_(tensor_unrefp) struct tensor *halves = NULL, *floats = NULL;
        struct shape shape = {.rank = 1, .dims = {65536 - 3}}; /* no multiple of a vector */
        struct error error = ERROR_NONE;

        ck_assert_int_eq(tensor_new(&halves, DTYPE_F16, &shape, &error), 0);
        for (size_t i = 0; i < shape.dims[0]; i++)
                ((uint16_t *)halves->data)[i] = (uint16_t)(i + 3);
        ck_assert_int_eq(tensor_cast(&floats, halves, DTYPE_F32, &error), 0);
        for (size_t i = 0; i < shape.dims[0]; i++) {
                float value = ((const float *)floats->data)[i];
                float reference = reference_of_half(((const uint16_t *)halves->data)[i]);

                ck_assert_msg(memcmp(&value, &reference, sizeof(value)) == 0 ||
                                      (isnan(value) && isnan(reference)),
                              "%zu becomes %g", i + 3, (double)value);
                /* The scalar path must agree with the vector one. */
                ck_assert(isnan(value) || tensor_real(halves, i) == (double)reference);
        }
}
END_TEST

/* ---- plans of the default model ---- */

/* Loop tests have it in int8, as it is linked into the program, and in float32, as tests/float_model.py
 * makes it. */
enum form {
        FORM_INT8,
        FORM_F32,
        N_FORMS,
};

static struct model *default_model(enum form form) {
        struct model_source source = embedded_model();
        struct error error = ERROR_NONE;
        struct model *model = NULL;
        int r = form == FORM_INT8 ? model_open_source(&model, &source, NULL, &error)
                                  : model_open(&model, FLOAT_MODEL, NULL, &error);

        ck_assert_msg(r == 0, "%s", error.text);
        return model;
}

static struct run *run_of(struct plan **ret_plan, struct model *model, size_t batch, unsigned threads) {
        struct error error = ERROR_NONE;
        struct run *run = NULL;

        ck_assert_msg(plan_new(ret_plan, model, &(struct plan_options){.batch = batch, .threads = threads},
                               &error) == 0,
                      "%s", error.text);
        ck_assert_msg(run_new(&run, *ret_plan, &error) == 0, "%s", error.text);
        return run;
}

START_TEST(default_model_is_fused_and_tightly_arranged) {
        _cleanup_(model_freep) struct model *model = default_model((enum form)_i);
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(run_freep) struct run *run = run_of(&plan, model, 1, 1);
        size_t n_convolutions = 0, n_others = 0, n_sums = 0;

        ck_assert(run != NULL);
        for (size_t i = 0; i < plan_n_steps(plan); i++) {
                bool convolution = strncmp(plan_step(plan, i).op, "Conv", 4) == 0 ||
                                   strncmp(plan_step(plan, i).op, "QConv", 5) == 0;

                n_sums += strcmp(plan_step(plan, i).op, "QAdd") == 0;
                /* A pair is one step. */
                n_convolutions += convolution + (strncmp(plan_step(plan, i).op, "ConvPair", 8) == 0);
                n_others += !convolution;
                ck_assert_msg(!strstr(plan_step(plan, i).kernel, "ref"), "%s runs on %s",
                              plan_step(plan, i).node, plan_step(plan, i).kernel);
        }
        /* EfficientNet-Lite0: stem, 16 blocks of three but for the first one of two, head. */
        ck_assert_uint_eq(n_convolutions, 1 + 2 + 15 * 3 + 1);
        /* Input, pool, the reorder before flattening, Gemm: no BatchNormalization, Clip, Add, Cast or
         * conversion of its own, but sums of integers, which are rounded twice. */
        ck_assert_uint_eq(n_sums, _i == FORM_INT8 ? 9 : 0);
        ck_assert_uint_le(n_others, 4 + n_sums);
        ck_assert_uint_le(plan_arena_bytes(plan),
                          plan_arena_bound_bytes(plan) + plan_arena_bound_bytes(plan) / 10);
}
END_TEST

START_TEST(default_model_has_the_classes_of_its_configuration) {
        _cleanup_(model_freep) struct model *model = default_model(FORM_INT8);

        ck_assert_uint_eq(model_n_classes(model), 1000);
        ck_assert_str_eq(model_label(model, 285), "Egyptian cat");
        ck_assert(model_label(model, 1000) == NULL);
}
END_TEST

START_TEST(plans_share_packed_weights) {
        _cleanup_(model_freep) struct model *model = default_model((enum form)_i);
        _cleanup_(plan_freep) struct plan *one = NULL, *four = NULL;
        _cleanup_(run_freep) struct run *run_one = run_of(&one, model, 1, 1);
        size_t bytes = model_weight_bytes(model);
        _cleanup_(run_freep) struct run *run_four = run_of(&four, model, 4, 1);

        ck_assert(run_one && run_four);
        ck_assert_uint_gt(bytes, 0);
        /* A batch may prefer another layout for some layers, but not for most. */
        ck_assert_uint_le(model_weight_bytes(model), bytes + bytes / 2);
}
END_TEST

START_TEST(pixels_are_normalised_as_the_configuration_says) {
        _cleanup_(model_freep) struct model *model = default_model((enum form)_i);
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(run_freep) struct run *run = run_of(&plan, model, 1, 1);
        size_t n = (size_t)224 * 224;
        _cleanup_(freep) unsigned char *pixels = malloc(3 * n);
        _cleanup_(freep) float *tensor = malloc(3 * n * sizeof(*tensor));
        float from_pixels[1000], from_tensor[1000];
        struct error error = ERROR_NONE;

        ck_assert(pixels && tensor);
        for (size_t i = 0; i < 3 * n; i++)
                pixels[i] = (unsigned char)(i * 2654435761u >> 13);
        /* The published pre-processing of EfficientNet-Lite: (x - 127) / 128. */
        for (size_t i = 0; i < n; i++)
                for (size_t c = 0; c < 3; c++)
                        tensor[c * n + i] = ((float)pixels[3 * i + c] - 127.0f) / 128.0f;
        ck_assert_int_eq(run_execute(run, pixels, from_pixels, &error), 0);
        ck_assert_int_eq(run_execute_tensor(run, tensor, from_tensor, &error), 0);
        for (size_t i = 0; i < 1000; i++)
                ck_assert_float_eq_tol(from_pixels[i], from_tensor[i], 1e-4f);
}
END_TEST

START_TEST(answers_do_not_depend_on_the_rest_of_the_batch) {
        _cleanup_(model_freep) struct model *model = default_model((enum form)_i);
        _cleanup_(plan_freep) struct plan *one = NULL, *three = NULL;
        _cleanup_(run_freep) struct run *run_one = run_of(&one, model, 1, 1);
        _cleanup_(run_freep) struct run *run_three = run_of(&three, model, 3, 2);
        size_t n = (size_t)224 * 224 * 3;
        _cleanup_(freep) unsigned char *pixels = malloc(3 * n);
        float alone[1000], together[3000];
        struct error error = ERROR_NONE;

        ck_assert(pixels);
        for (size_t i = 0; i < 3 * n; i++)
                pixels[i] = (unsigned char)((i / 977) * 37 + i);
        ck_assert_int_eq(run_execute(run_three, pixels, together, &error), 0);
        for (size_t image = 0; image < 3; image++) {
                ck_assert_int_eq(run_execute(run_one, pixels + image * n, alone, &error), 0);
                for (size_t i = 0; i < 1000; i++)
                        ck_assert_float_eq_tol(alone[i], together[image * 1000 + i], 1e-4f);
        }
}
END_TEST

START_TEST(probabilities_sum_to_one_whatever_the_logits) {
        _cleanup_(model_freep) struct model *model = default_model(FORM_INT8);
        _cleanup_(plan_freep) struct plan *plan = NULL;
        _cleanup_(run_freep) struct run *run = run_of(&plan, model, 1, 1);
        float logits[1000], probabilities[1000];
        double sum = 0;

        ck_assert(run != NULL);
        for (size_t i = 0; i < 1000; i++)
                logits[i] = 5000.0f - (float)i;
        plan_probabilities(plan, logits, probabilities);
        for (size_t i = 0; i < 1000; i++)
                sum += (double)probabilities[i];
        ck_assert_double_eq_tol(sum, 1, 1e-6);
        /* exp(-1) / sum of exp(-i) = 1 / e * (1 - 1 / e) */
        ck_assert_double_eq_tol((double)probabilities[1], 0.2325441579, 1e-6);
}
END_TEST

START_TEST(impossible_batches_are_refused) {
        _cleanup_(model_freep) struct model *model = default_model(FORM_INT8);
        struct error error = ERROR_NONE;
        struct plan *plan = NULL;

        ck_assert_int_eq(plan_new(&plan, model, &(struct plan_options){.batch = 0, .threads = 1}, &error),
                         ERROR_LIMIT);
        ck_assert_int_eq(plan_new(&plan, model,
                                  &(struct plan_options){.batch = PLAN_MAX_BATCH + 1, .threads = 1}, &error),
                         ERROR_LIMIT);
        ck_assert(plan == NULL);
}
END_TEST

/* Constants, activations of one image and operations of an image, as `saccade inspect` tells them. */
START_TEST(allowances_are_far_from_real_networks_and_small_for_small_files) {
        static const struct {
                double constants, activations, operations; /* MiB, MiB, GFLOP */
        } networks[] = {
                {4.7, 3.7, 0.7},   /* SqueezeNet 1.1 */
                {9.7, 1.3, 0.1},   /* MobileNetV3 small */
                {97.4, 5, 8.2},    /* ResNet-50 */
                {527.8, 24.5, 31}, /* VGG-16 */
                {330, 8.1, 35.2},  /* ViT-B/16 */
        };
        struct allowance small = allowance_of((size_t)256 << 10, 1), batch;

        for (size_t i = 0; i < ARRAY_SIZE(networks); i++) {
                size_t constants = (size_t)(networks[i].constants * 1048576);

                for (size_t images = 1; images <= 64; images *= 64) {
                        struct allowance allowance = allowance_of(constants, images);

                        ck_assert(allowance.run_bytes / 4 >=
                                  images * (size_t)(networks[i].activations * 1048576));
                        ck_assert(allowance.work / 4 >= (double)images * networks[i].operations * 1e9);
                        ck_assert(allowance.packed_bytes / 4 >= constants);
                }
        }
        ck_assert_uint_le(small.run_bytes + small.packed_bytes, (size_t)456 << 20);
        /* More images are the operator's choice, up to a limit. */
        batch = allowance_of((size_t)256 << 10, 8);
        ck_assert_uint_le(batch.run_bytes, (size_t)768 << 20);
        batch = allowance_of((size_t)1 << 40, 1024);
        ck_assert_uint_eq(batch.run_bytes, ALLOWANCE_RUN_MAX_BYTES);
        batch = allowance_of(SIZE_MAX, SIZE_MAX);
        ck_assert_uint_eq(batch.run_bytes, ALLOWANCE_RUN_MAX_BYTES);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("engine");
        TCase *tcase = tcase_create("engine");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(tcase, 0);
        tcase_add_test(tcase, pool_memory_is_zeroed_aligned_and_separate);
        tcase_add_test(tcase, shapes_from_outside_are_bounded);
        tcase_add_test(tcase, float16_becomes_float32_exactly);
        tcase_add_loop_test(tcase, default_model_is_fused_and_tightly_arranged, 0, N_FORMS);
        tcase_add_test(tcase, default_model_has_the_classes_of_its_configuration);
        tcase_add_loop_test(tcase, plans_share_packed_weights, 0, N_FORMS);
        tcase_add_loop_test(tcase, pixels_are_normalised_as_the_configuration_says, 0, N_FORMS);
        tcase_add_loop_test(tcase, answers_do_not_depend_on_the_rest_of_the_batch, 0, N_FORMS);
        tcase_add_test(tcase, probabilities_sum_to_one_whatever_the_logits);
        tcase_add_test(tcase, impossible_batches_are_refused);
        tcase_add_test(tcase, allowances_are_far_from_real_networks_and_small_for_small_files);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
