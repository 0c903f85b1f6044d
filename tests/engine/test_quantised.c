/* Quantised networks in integers: which steps they become, and that an image's answer depends on nothing
 * else: sums are exact, so it is the same to the last bit alone and in a batch, on one thread and on
 * several. What the answers are, test_vectors.c compares with ONNX Runtime's. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine/model.h"
#include "engine/native/dot.h"
#include "engine/plan.h"

#define BATCH      3u
#define PIXELS_MAX (BATCH * 19u * 18u * 3u) /* bytes of three pictures */

struct network {
        const char *name, *steps;
};

/* Batch 2, one thread. */
static const struct network networks[] = {
        {"quantised_network_of_onnxruntime",
         "Input QConv+Relu QConv QAdd+Relu QMaxPool QGlobalAveragePool QInnerProduct Dequantize"},
        {"quantised_network_of_int8_activations",
         "Input QConv+Relu QConv QAdd+Relu QMaxPool QGlobalAveragePool QInnerProduct Dequantize"},
        {"quantised_bottlenecks",
         "Input QConv+Relu QMaxPool QConv+Relu QConv+Relu QConv QConv QAdd+Relu QConv+Relu QConv+Relu "
         "QConv QAdd+Relu QGlobalAveragePool Dequantize"},
        {"quantised_groups",
         "Input QConv+Relu QConv+Relu QConv+Relu QConv+Relu QGlobalAveragePool Dequantize"},
        {"quantised_concatenations_of_one_scale",
         "Input QConv+Relu QConv+Relu QConv+Relu QConv+Relu QConv+Relu QConv+Relu QConv+Relu "
         "QGlobalAveragePool Dequantize"},
        {"quantised_residual_network_of_operators_on_integers",
         /* The sum with the bias, a constant, is of as many values as there are classes: in float32. */
         "Input QConv QMaxPool QConv QConv QConv QConv QAdd QConv QConv QConv QAdd QConv QConv QConv QConv "
         "QAdd QGlobalAveragePool QInnerProduct Dequantize Add Quantize Dequantize"},
        {"quantised_channels_whose_scales_share_a_zero_point",
         "Input QConv QConv Dequantize GlobalAveragePool"},
        {"quantised_again", "Input QConv+Relu QLookup QConv QGlobalAveragePool Dequantize"},
        {"quantised_concatenation_of_several_scales",
         "Input QConv+Relu QConv+Relu QConv+Relu QConcat QConcat QConv QGlobalAveragePool Dequantize"},
};

static struct model *network_open(const struct network *network) {
        struct model_options options = {.precision = PRECISION_INT8};
        struct error error = ERROR_NONE;
        struct model *model;
        char path[4096];
        int r;

        snprintf(path, sizeof(path), "%s/vectors/%s", VECTORS_DIRECTORY, network->name);
        r = model_open_with(&model, path, NULL, &options, &error);
        ck_assert_msg(r >= 0, "%s: %s", network->name, error.text);
        return model;
}

static struct plan *network_plan(struct model *model, size_t batch, unsigned threads) {
        struct plan_options options = {.batch = batch, .threads = threads};
        struct error error = ERROR_NONE;
        struct plan *plan;
        int r;

        options.height = model_input(model).height;
        options.width = model_input(model).width;
        ck_assert_uint_le(BATCH * options.height * options.width * 3, PIXELS_MAX);
        r = plan_new(&plan, model, &options, &error);
        ck_assert_msg(r >= 0, "%s", error.text);
        return plan;
}

START_TEST(no_layer_leaves_the_integers) {
        const struct network *network = &networks[_i];
        _cleanup_(model_freep) struct model *model = network_open(network);
        _cleanup_(plan_freep) struct plan *plan = network_plan(model, 2, 1);
        char text[4096];
        size_t used = 0;

        for (size_t i = 0; i < plan_n_steps(plan); i++) {
                struct plan_step step = plan_step(plan, i);
                int n = snprintf(text + used, sizeof(text) - used, "%s%s", i > 0 ? " " : "", step.op);

                ck_assert(n > 0 && used + (size_t)n < sizeof(text));
                used += (size_t)n;
                if (strcmp(step.op, "Dequantize") == 0)
                        ck_assert_msg(step.why && step.why[0], "%s: nobody knows what '%s' is good for",
                                      network->name, step.node);
        }
        /* Without kernels for products there is nothing that could stay. */
        ck_assert_msg(!dot_isa(DOT_U8S8) || strcmp(text, network->steps) == 0, "%s: %s, not %s",
                      network->name, text, network->steps);
}
END_TEST

START_TEST(what_weights_cannot_be_integers_is_told) {
        static const struct network of_odd_weights = {
                .name = "quantised_channels_whose_scales_share_a_zero_point_that_is_not_0"};
        _cleanup_(model_freep) struct model *model = network_open(&of_odd_weights);
        _cleanup_(plan_freep) struct plan *plan = network_plan(model, 1, 1);
        size_t told = 0;

        for (size_t i = 0; i < plan_n_steps(plan); i++) {
                struct plan_step step = plan_step(plan, i);

                told += step.why && strstr(step.why, "its weights are no integers around 0");
        }
        /* Before the convolution and behind it. */
        ck_assert_uint_eq(told, dot_isa(DOT_U8S8) ? 2 : 0);
}
END_TEST

/* Whatever is in them; the same for all plans. */
static void fill(unsigned char pixels[PIXELS_MAX]) {
        uint32_t state = 1;

        for (size_t i = 0; i < PIXELS_MAX; i++) {
                state = state * 1664525u + 1013904223u;
                pixels[i] = (unsigned char)(state >> 24);
        }
}

/* The answers to BATCH images, batch at a time. */
static float *answers(struct model *model, size_t batch, unsigned threads, const unsigned char *pixels,
                      const float *tensor) {
        _cleanup_(plan_freep) struct plan *plan = network_plan(model, batch, threads);
        _cleanup_(run_freep) struct run *run = NULL;
        size_t n = plan_output_elements(plan) / batch,
               image = model_input(model).height * model_input(model).width * 3;
        float *output = calloc(BATCH * n, sizeof(*output));
        struct error error = ERROR_NONE;

        ck_assert(output != NULL);
        ck_assert_msg(run_new(&run, plan, &error) >= 0, "%s", error.text);
        for (size_t i = 0; i < BATCH; i += batch) {
                int r = pixels ? run_execute(run, pixels + i * image, output + i * n, &error)
                               : run_execute_tensor(run, tensor + i * image, output + i * n, &error);

                ck_assert_msg(r >= 0, "%s", error.text);
        }
        return output;
}

START_TEST(an_answer_depends_on_the_image_alone) {
        const struct network *network = &networks[_i];
        _cleanup_(model_freep) struct model *model = network_open(network);
        _cleanup_(plan_freep) struct plan *plan = network_plan(model, BATCH, 1);
        _cleanup_(freep) float *one = NULL, *batch = NULL, *team = NULL, *team_of_one = NULL;
        size_t bytes = plan_output_elements(plan) * sizeof(float);
        unsigned char pixels[PIXELS_MAX];

        fill(pixels);
        one = answers(model, 1, 1, pixels, NULL);
        batch = answers(model, BATCH, 1, pixels, NULL);
        team = answers(model, BATCH, 2, pixels, NULL);
        team_of_one = answers(model, 1, 2, pixels, NULL);
        ck_assert_mem_ne(one, one + bytes / sizeof(float) / BATCH, bytes / BATCH);
        ck_assert_mem_eq(one, batch, bytes);
        ck_assert_mem_eq(one, team, bytes);
        ck_assert_mem_eq(one, team_of_one, bytes);
}
END_TEST

/* A picture's bytes become the integers that its normalised pixels would. */
START_TEST(pixels_mean_what_the_tensor_of_them_means) {
        const struct network *network = &networks[_i];
        _cleanup_(model_freep) struct model *model = network_open(network);
        _cleanup_(plan_freep) struct plan *plan = network_plan(model, BATCH, 1);
        _cleanup_(freep) float *of_pixels = NULL, *of_tensor = NULL;
        const struct preprocess *preprocess = model_preprocess(model);
        size_t plane = model_input(model).height * model_input(model).width;
        unsigned char pixels[PIXELS_MAX];
        float tensor[PIXELS_MAX];

        fill(pixels);
        for (size_t i = 0; i < BATCH * plane * 3; i++) {
                size_t c = i % 3, pixel = i / 3;
                double value = (double)pixels[i] * (double)preprocess->rescale_factor;

                tensor[(pixel / plane * 3 + c) * plane + pixel % plane] =
                        (float)((value - (double)preprocess->mean[c]) / (double)preprocess->std[c]);
        }
        of_pixels = answers(model, BATCH, 1, pixels, NULL);
        of_tensor = answers(model, BATCH, 1, NULL, tensor);
        ck_assert_mem_eq(of_pixels, of_tensor, plan_output_elements(plan) * sizeof(float));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("quantised");
        TCase *tcase = tcase_create("networks");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, no_layer_leaves_the_integers, 0, (int)ARRAY_SIZE(networks));
        tcase_add_test(tcase, what_weights_cannot_be_integers_is_told);
        tcase_add_loop_test(tcase, an_answer_depends_on_the_image_alone, 0, (int)ARRAY_SIZE(networks));
        tcase_add_loop_test(tcase, pixels_mean_what_the_tensor_of_them_means, 0, (int)ARRAY_SIZE(networks));
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
