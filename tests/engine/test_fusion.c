/* Which steps come out of the patterns that cases_transformer.py writes: a value alone does not tell whether
 * it was computed by one step or by ten. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "engine/model.h"
#include "engine/plan.h"

struct fused {
        const char *name, *steps;
};

/* Batch 2, one thread. */
static const struct fused cases[] = {
        {"layer_norm_written_out", "Input LayerNorm"},
        {"layer_norm_with_a_square_as_a_product", "Input LayerNorm"},
        {"layer_normalization_of_opset_17", "Input LayerNorm"},
        {"layer_normalization_of_opset_17_over_two_dimensions", "Input LayerNormalization"},
        {"layer_norm_over_channels_that_are_not_last",
         "Input ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add"},
        {"layer_norm_whose_difference_is_read_elsewhere",
         "Input ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add Add"},
        {"layer_norm_whose_mean_is_read_elsewhere",
         "Input ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add Mul"},
        {"layer_norm_with_an_epsilon_for_each_row",
         "Input ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add"},
        {"layer_norm_whose_gamma_is_not_along_the_row",
         "Input ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add"},
        {"layer_norm_of_a_power_of_4", "Input ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add"},
        {"hard_swish_by_hard_sigmoid", "Input Conv+HardSwish Conv+HardSwish Reorder"},
        {"hard_sigmoid_of_another_slope_is_no_hard_swish",
         "Input Conv Copy HardSigmoid HardSigmoid Mul Reorder"},
        {"gelu_as_pytorch_writes_it", "Input GeluErf"},
        {"gelu_with_the_half_first", "Input GeluErf"},
        {"gelu_with_the_half_at_the_sum", "Input GeluErf"},
        {"gelu_with_another_divisor", "Input Copy Div Erf Add Mul Mul"},
        {"gelu_with_another_factor", "Input Copy Div Erf Add Mul Mul"},
        {"gelu_of_one_value_times_another", "Input Copy Div Erf Abs Add Mul Mul"},
        {"gelu_whose_erf_is_read_elsewhere", "Input Copy Div Erf Copy Add Mul Mul Sub"},
        {"product_with_bias_gelu_and_residual", "Input InnerProduct+GeluErf InnerProduct+Add"},
        {"product_of_few_rows", "Input InnerProduct"},
        {"product_whose_sum_has_a_bias_for_each_row", "Input InnerProduct Add"},
        {"product_read_before_and_after_its_bias", "Input InnerProduct Copy Add Mul"},
        {"product_flattened_around_a_gemm", "Input InnerProduct"},
        {"product_in_another_order_of_rows_with_residual", "Input InnerProduct InnerProduct+Add"},
        {"product_of_columns_is_not_one_of_rows", "Input InnerProduct Transpose"},
        {"convnext_of_two_blocks_batch_2",
         "Input Conv LayerNorm Conv LayerNorm InnerProduct+GeluErf InnerProduct+Add Conv LayerNorm "
         "InnerProduct+GeluErf InnerProduct+Add LayerNorm Conv Conv LayerNorm InnerProduct+GeluErf "
         "InnerProduct+Add GlobalAveragePool LayerNorm"},
        {"layer_scale_that_is_along_the_height", "Input InnerProduct Reorder Mul"},
        {"layer_scale_of_a_product_that_is_read_elsewhere", "Input InnerProduct Copy Mul Add"},
        {"attention_of_vit_batch_2", "Input InnerProduct Attention InnerProduct+Add"},
        {"attention_of_three_products_with_odd_sizes",
         "Input InnerProduct InnerProduct InnerProduct Attention InnerProduct"},
        {"attention_with_gathered_heads_and_a_bias", "Input InnerProduct Attention"},
        {"attention_in_windows_with_bias_and_mask_batch_2", "Input InnerProduct Attention InnerProduct+Add"},
        {"attention_in_a_grid_of_a_convolution",
         "Input Conv LayerNorm InnerProduct Attention InnerProduct+Add Conv Reorder"},
        {"attention_of_fewer_queries_than_keys",
         "Input Slice InnerProduct InnerProduct InnerProduct Attention"},
        {"attention_whose_softmax_is_read_elsewhere",
         "Input InnerProduct Transpose Gather Gather Gather Transpose MatMul Softmax MatMul "
         "ReduceMean Add"},
        {"attention_whose_softmax_is_over_queries",
         "Input InnerProduct Transpose Gather Gather Gather Transpose MatMul Softmax MatMul"},
        {"attention_scaled_after_its_bias", "Input InnerProduct Transpose Gather Gather Gather "
                                            "Transpose MatMul Add Mul Softmax MatMul"},
        {"attention_with_a_bias_for_each_key_alone",
         "Input InnerProduct Transpose Gather Gather Gather Transpose MatMul Add Softmax MatMul"},
        {"attention_with_an_addend_that_is_computed",
         "Input InnerProduct Transpose Gather Gather Gather Transpose ReduceMean MatMul Add "
         "Softmax MatMul"},
        {"attention_of_large_products", "Input InnerProduct Attention"},
        {"attention_by_einsum", "Input InnerProduct InnerProduct InnerProduct Attention Transpose"},
        {"attention_by_an_einsum_of_another_order",
         "Input InnerProduct Transpose InnerProduct Transpose InnerProduct Transpose Einsum "
         "Softmax Einsum"},
        {"pad_of_nothing_and_pad_that_moves", "Input InnerProduct Pad InnerProduct"},
        {"transposes_that_cancel_around_an_activation", "Input Relu Sub"},
        {"transposes_that_do_not_cancel", "Input Relu Sub Reorder"},
        {"sum_of_a_value_and_its_transpose", "Input Relu Transpose Add"},
        {"sum_of_two_transposes", "Input Copy Relu Abs Add Transpose"},
        {"transpose_read_by_a_row_product_and_an_activation", "Input Conv InnerProduct Relu Add"},
        {"gather_and_slice_of_rows_before_a_product", "Input Slice Gather Slice InnerProduct Add"},
};

static void steps_of(char *text, size_t size, const char *name) {
        _cleanup_(model_freep) struct model *model = NULL;
        _cleanup_(plan_freep) struct plan *plan = NULL;
        struct error error = ERROR_NONE;
        char path[4096];
        size_t used = 0;
        int r;

        snprintf(path, sizeof(path), "%s/vectors/%s", VECTORS_DIRECTORY, name);
        r = model_open(&model, path, NULL, &error);
        if (r >= 0)
                r = plan_new(&plan, model, &(struct plan_options){.batch = 2, .threads = 1}, &error);
        ck_assert_msg(r >= 0, "%s: %s", name, error.text);
        for (size_t i = 0; i < plan_n_steps(plan); i++) {
                int n = snprintf(text + used, size - used, "%s%s", i > 0 ? " " : "", plan_step(plan, i).op);

                ck_assert(n > 0 && used + (size_t)n < size);
                used += (size_t)n;
        }
}

START_TEST(steps_are_as_few_as_they_should_be) {
        char text[4096];

        steps_of(text, sizeof(text), cases[_i].name);
        ck_assert_msg(strcmp(text, cases[_i].steps) == 0, "%s: %s, not %s", cases[_i].name, text,
                      cases[_i].steps);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("fusion");
        TCase *tcase = tcase_create("cases");
        SRunner *runner;
        int n_failed;

        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, steps_are_as_few_as_they_should_be, 0, (int)ARRAY_SIZE(cases));
        suite_add_tcase(suite, tcase);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_SILENT);
        n_failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return n_failed > 0;
}
