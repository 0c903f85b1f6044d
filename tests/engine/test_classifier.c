/* What the engine makes of models as exporters write them, on models of vectors/ (cases_models.py): which
 * axis of the input is which, which output has the scores, and what becomes a probability. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "engine/model.h"
#include "engine/npy.h"
#include "engine/plan.h"

static struct model *open_case(const char *name) {
        struct error error = ERROR_NONE;
        struct model *model = NULL;
        char path[4096];

        snprintf(path, sizeof(path), "%s/vectors/%s", VECTORS_DIRECTORY, name);
        ck_assert_msg(model_open(&model, path, NULL, &error) == 0, "%s", error.text);
        return model;
}

static struct npy array_of_case(const char *name, const char *file) {
        _cleanup_(blob_release) struct blob blob = BLOB_NONE;
        struct error error = ERROR_NONE;
        struct npy npy = {0};
        char path[4096];

        snprintf(path, sizeof(path), "%s/vectors/%s/%s", VECTORS_DIRECTORY, name, file);
        ck_assert_msg(blob_read(&blob, path, (size_t)1 << 20, &error) == 0, "%s", error.text);
        ck_assert_msg(npy_parse(&npy, blob.bytes, blob.size, &error) == 0, "%s", error.text);
        return npy;
}

static struct plan *plan_of(struct model *model, size_t batch) {
        struct error error = ERROR_NONE;
        struct plan *plan = NULL;

        ck_assert_msg(plan_new(&plan, model, &(struct plan_options){.batch = batch, .threads = 1}, &error) ==
                              0,
                      "%s", error.text);
        return plan;
}

/* ---- the order of the input's axes ---- */

static const char *const nhwc_cases[] = {
        "nhwc_mobilenet_as_tf2onnx_writes_it_batch_3",
        "nhwc_normalised_before_the_transpose",
        "nhwc_transposed_at_the_entry",
        "nhwc_transposed_for_two_readers",
        "nhwc_without_a_transpose",
};

START_TEST(channels_may_be_last) {
        _cleanup_(model_freep) struct model *model = open_case(nhwc_cases[_i]);
        _cleanup_(npy_release) struct npy x = array_of_case(nhwc_cases[_i], "input.npy");
        struct model_input input = model_input(model);
        char text[MODEL_INPUT_TEXT_BYTES], expected[MODEL_INPUT_TEXT_BYTES];

        ck_assert(input.channels_last);
        ck_assert_uint_eq(input.channels, 3);
        ck_assert_uint_eq(input.height, x.dims[1]);
        ck_assert_uint_eq(input.width, x.dims[2]);
        snprintf(expected, sizeof(expected), "[N, %zu, %zu, 3]", x.dims[1], x.dims[2]);
        ck_assert_str_eq(model_input_text(model, text), expected);
}
END_TEST

START_TEST(transposes_at_the_entry_vanish) {
        _cleanup_(model_freep) struct model *model = open_case(nhwc_cases[_i]);
        _cleanup_(plan_freep) struct plan *plan = plan_of(model, 1);

        for (size_t i = 0; i < plan_n_steps(plan); i++)
                ck_assert_str_ne(plan_step(plan, i).op, "Transpose");
}
END_TEST

/* Pixels are interleaved, and so is the tensor of such a model: the same numbers in the same order. */
START_TEST(pixels_reach_a_model_with_channels_last) {
        _cleanup_(model_freep) struct model *model = open_case(nhwc_cases[_i]);
        _cleanup_(plan_freep) struct plan *plan = plan_of(model, 2);
        const struct preprocess *p = model_preprocess(model);
        struct model_input input = model_input(model);
        size_t n = 2 * input.height * input.width * 3, n_scores = plan_output_elements(plan);
        _cleanup_(run_freep) struct run *run = NULL;
        _cleanup_(freep) unsigned char *pixels = malloc(n);
        _cleanup_(freep) float *tensor = calloc(n, sizeof(*tensor));
        _cleanup_(freep) float *from_pixels = calloc(n_scores, sizeof(*from_pixels));
        _cleanup_(freep) float *from_tensor = calloc(n_scores, sizeof(*from_tensor));
        struct error error = ERROR_NONE;

        ck_assert(pixels && tensor && from_pixels && from_tensor);
        ck_assert_int_eq(run_new(&run, plan, &error), 0);
        for (size_t i = 0; i < n; i++) {
                pixels[i] = (unsigned char)(i * 2654435761u >> 13);
                tensor[i] = ((float)pixels[i] * p->rescale_factor - p->mean[i % 3]) / p->std[i % 3];
        }
        ck_assert_int_eq(run_execute(run, pixels, from_pixels, &error), 0);
        ck_assert_int_eq(run_execute_tensor(run, tensor, from_tensor, &error), 0);
        for (size_t i = 0; i < n_scores; i++)
                ck_assert_float_eq_tol(from_pixels[i], from_tensor[i],
                                       1e-5f * fmaxf(1, fabsf(from_tensor[i])));
        /* Images of a batch differ, so mixing them up would show. */
        ck_assert(memcmp(from_pixels, from_pixels + n_scores / 2, n_scores / 2 * sizeof(*from_pixels)) != 0);
}
END_TEST

START_TEST(channels_come_first_otherwise) {
        _cleanup_(model_freep) struct model *model = open_case("classifier_of_opset_17");
        char text[MODEL_INPUT_TEXT_BYTES];

        ck_assert(!model_input(model).channels_last);
        ck_assert_str_eq(model_input_text(model, text), "[N, 3, 12, 10]");
}
END_TEST

/* ---- what the file fixes ---- */

START_TEST(a_fixed_batch_is_told_and_no_other_is_run) {
        _cleanup_(model_freep) struct model *model = open_case("batch_of_two_fixed_by_the_file");
        struct error error = ERROR_NONE;
        struct plan *plan = NULL;
        char text[MODEL_INPUT_TEXT_BYTES];

        ck_assert_uint_eq(model_input(model).batch, 2);
        ck_assert_str_eq(model_input_text(model, text), "[2, 3, 29, 17]");
        ck_assert_uint_eq(model_n_classes(model), 5);
        ck_assert_int_eq(plan_new(&plan, model, &(struct plan_options){.batch = 1, .threads = 1}, &error),
                         ERROR_UNSUPPORTED);
        ck_assert_msg(strstr(error.text, "for 2 only"), "%s", error.text);
}
END_TEST

START_TEST(a_size_that_the_file_fixes_is_kept_to) {
        _cleanup_(model_freep) struct model *fixed = open_case("ends_in_logits");
        _cleanup_(model_freep) struct model *open = open_case("height_and_width_left_open_by_the_file");
        struct plan_options options = {.batch = 1, .threads = 1, .height = 40, .width = 30};
        struct error error = ERROR_NONE;
        struct plan *plan = NULL;

        ck_assert_int_eq(plan_new(&plan, fixed, &options, &error), ERROR_UNSUPPORTED);
        ck_assert_msg(strstr(error.text, "takes 3x3"), "%s", error.text);
        ck_assert_int_eq(plan_new(&plan, open, &options, &error), 0);
        plan_free(plan);
        options.height = PREPROCESS_MAX_SIDE + 1;
        ck_assert_int_eq(plan_new(&plan, open, &options, &error), ERROR_LIMIT);
        /* Left open, a picture has the size of the pre-processing. */
        ck_assert_uint_eq(model_input(open).height, 224);
}
END_TEST

/* ---- logits and probabilities ---- */

static const struct {
        const char *name;
        bool probabilities; /* in the network's output */
        bool add_up;        /* to one */
} ends[] = {
        {"ends_in_logits", false, true},
        {"ends_in_sigmoid", true, false},
        {"ends_in_softmax_and_then_a_product", false, true},
        {"ends_in_softmax_between_transposes", true, true},
        {"ends_in_softmax_of_opset_11_over_several_axes", true, true},
        {"ends_in_softmax_over_channels_then_squeeze", true, true},
        {"ends_in_softmax_over_the_batch_which_gives_no_probabilities", false, true},
        {"classifier_of_opset_11", true, true},
        {"classifier_of_opset_17", true, true},
        {"nhwc_mobilenet_as_tf2onnx_writes_it_batch_3", true, true},
};

START_TEST(probabilities_are_probabilities_whatever_the_end) {
        _cleanup_(model_freep) struct model *model = open_case(ends[_i].name);
        _cleanup_(npy_release) struct npy y = array_of_case(ends[_i].name, "output.npy");
        _cleanup_(plan_freep) struct plan *plan = plan_of(model, y.dims[0]);
        float probabilities[16];
        double sum = 0;

        ck_assert_uint_le(model_n_classes(model), 16);
        plan_probabilities(plan, y.values, probabilities);
        for (size_t i = 0; i < model_n_classes(model); i++) {
                ck_assert(probabilities[i] >= 0 && probabilities[i] <= 1);
                /* The order of the classes is the network's. */
                ck_assert((probabilities[i] > probabilities[0]) == (y.values[i] > y.values[0]));
                if (ends[_i].probabilities)
                        ck_assert(probabilities[i] == y.values[i]);
                sum += (double)probabilities[i];
        }
        ck_assert_int_eq(model_gives_probabilities(model), ends[_i].probabilities);
        if (ends[_i].add_up)
                ck_assert_double_eq_tol(sum, 1, 1e-5);
}
END_TEST

/* ---- several outputs ---- */

START_TEST(training_heads_are_left_out) {
        _cleanup_(model_freep) struct model *model = open_case("outputs_of_training_heads_after_the_scores");
        _cleanup_(plan_freep) struct plan *plan = plan_of(model, 1);

        ck_assert_uint_eq(model_n_outputs(model), 2);
        ck_assert_str_eq(model_output_name(model), "output");
        /* And not computed: the head is the only convolution. */
        for (size_t i = 0; i < plan_n_steps(plan); i++)
                ck_assert(strncmp(plan_step(plan, i).op, "Conv", 4) != 0);
}
END_TEST

START_TEST(the_output_with_one_value_a_label_has_the_scores) {
        _cleanup_(model_freep) struct model *model = open_case("outputs_of_features_before_the_scores");

        ck_assert_uint_eq(model_n_outputs(model), 2);
        ck_assert_str_eq(model_output_name(model), "output");
        ck_assert_uint_eq(model_n_classes(model), 10);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("classifier");
        TCase *tcase = tcase_create("classifier");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, channels_may_be_last, 0, (int)ARRAY_SIZE(nhwc_cases));
        tcase_add_loop_test(tcase, transposes_at_the_entry_vanish, 0, (int)ARRAY_SIZE(nhwc_cases));
        tcase_add_loop_test(tcase, pixels_reach_a_model_with_channels_last, 0, (int)ARRAY_SIZE(nhwc_cases));
        tcase_add_test(tcase, channels_come_first_otherwise);
        tcase_add_test(tcase, a_fixed_batch_is_told_and_no_other_is_run);
        tcase_add_test(tcase, a_size_that_the_file_fixes_is_kept_to);
        tcase_add_loop_test(tcase, probabilities_are_probabilities_whatever_the_end, 0,
                            (int)ARRAY_SIZE(ends));
        tcase_add_test(tcase, training_heads_are_left_out);
        tcase_add_test(tcase, the_output_with_one_value_a_label_has_the_scores);
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
