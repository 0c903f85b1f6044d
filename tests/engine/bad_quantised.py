"""Quantised files with scales, zero points and inputs that mean nothing: cases of make_bad_models.py. Their names begin
with "quantised", by which test_vectors.c knows that they can be asked for in int8 too."""
import numpy as np
from onnx import TensorProto, helper

from bad_case import bad, good
from onnx_case import tensor

F4, U1, I1, I4 = np.float32, np.uint8, np.int8, np.int32
OUTPUTS = 8
PARAMETERS = {"x_scale": F4(0.01), "x_zero": U1(100), "w": np.ones((OUTPUTS, 4, 3, 3), I1),
              "w_scale": np.full(OUTPUTS, 0.01, F4), "w_zero": np.zeros(OUTPUTS, I1), "b": np.ones(OUTPUTS, I4),
              "b_scale": np.full(OUTPUTS, 1e-4, F4), "y_scale": F4(0.02), "y_zero": U1(90)}
CONV_INPUTS = ("x_q", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero", "b")


def model_of(nodes, opset, changed):
    def change(model):
        del model.graph.node[:]
        del model.graph.initializer[:]
        model.graph.node.extend(nodes)
        for name, values in {**PARAMETERS, **changed}.items():
            if values is not None:
                model.graph.initializer.append(values if isinstance(values, TensorProto) else tensor(name, values))
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    return good(change, opset)


def pairs(axis=0, opset=13, before=(), **changed):
    """A convolution among pairs; changed: parameters that are others, None: not a constant."""
    node = helper.make_node
    return model_of([*before,
                     node("QuantizeLinear", ["input", "x_scale", "x_zero"], ["x_q"], name="quantize"),
                     node("DequantizeLinear", ["x_q", "x_scale", "x_zero"], ["x"], name="dequantize"),
                     node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_real"], name="weights", axis=axis),
                     node("DequantizeLinear", ["b", "b_scale"], ["b_real"], name="bias", axis=0),
                     node("Conv", ["x", "w_real", "b_real"], ["y"], name="conv"),
                     node("QuantizeLinear", ["y", "y_scale", "y_zero"], ["y_q"], name="again"),
                     node("DequantizeLinear", ["y_q", "y_scale", "y_zero"], ["output"], name="end")], opset, changed)


def integers(inputs=CONV_INPUTS, operator="QLinearConv", domain="", **changed):
    """An operator on integers."""
    node = helper.make_node
    return model_of([node("QuantizeLinear", ["input", "x_scale", "x_zero"], ["x_q"], name="quantize"),
                     node(operator, list(inputs), ["y_q"], name="operator", domain=domain),
                     node("DequantizeLinear", ["y_q", "y_scale", "y_zero"], ["output"], name="end")], 13, changed)


def without(*names):
    return ["" if name in names else name for name in CONV_INPUTS]


# Scales


@bad("scale 'x_scale' has 0")
def quantised_by_a_scale_of_zero():
    return pairs(x_scale=F4(0))


@bad("scale 'x_scale' has -0.01")
def quantised_by_a_negative_scale():
    return pairs(x_scale=F4(-0.01))


@bad("scale 'y_scale' has nan")
def quantised_by_a_scale_that_is_no_number():
    return pairs(y_scale=F4(np.nan))


@bad("scale 'y_scale' has inf")
def quantised_by_an_infinite_scale():
    return pairs(y_scale=F4(np.inf))


@bad("scale 'w_scale' has 0")
def quantised_weights_one_of_whose_scales_is_zero():
    return pairs(w_scale=np.array([0.01] * 7 + [0], F4))


@bad("'b_scale' has inf")
def quantised_bias_of_an_infinite_scale():
    return pairs(b_scale=np.full(OUTPUTS, np.inf, F4))


@bad("scale 'x_scale' is float64")
def quantised_by_a_scale_of_another_type():
    return pairs(x_scale=np.float64(0.01))


@bad("computed")
def quantised_by_a_scale_that_is_computed():
    return pairs(before=[helper.make_node("ReduceMax", ["input"], ["x_scale"], name="largest", keepdims=0)], x_scale=None)


@bad("a scale of 0 elements")
def quantised_by_no_scale():
    return pairs(x_scale=np.zeros(0, F4), x_zero=np.zeros(0, U1))


@bad("block")
def quantised_by_a_scale_of_rank_2():
    return pairs(x_scale=np.full((1, 1), 0.01, F4), x_zero=np.full((1, 1), 3, U1))


@bad("7 scales for the 8 indices of axis 0")
def quantised_weights_with_too_few_scales():
    return pairs(w_scale=np.full(7, 0.01, F4), w_zero=np.zeros(7, I1))


@bad("5 scales for the 4 indices of axis 1")
def quantised_activations_with_too_many_scales():
    return pairs(x_scale=np.full(5, 0.01, F4), x_zero=np.zeros(5, U1))


@bad("axis 4 of a tensor of rank 4")
def quantised_weights_along_an_axis_beyond_the_rank():
    return pairs(axis=4)


@bad("axis -5 of a tensor of rank 4")
def quantised_weights_along_an_axis_far_below_0():
    return pairs(axis=-5)


# Zero points


@bad("8 scales and 7 zero points")
def quantised_weights_with_too_few_zero_points():
    return pairs(w_zero=np.zeros(7, I1))


@bad("zero point 'w_zero' is uint8, the integers are int8")
def quantised_weights_whose_zero_points_have_another_type():
    return pairs(w_zero=np.zeros(OUTPUTS, U1))


@bad("int32")
def quantised_around_an_int32():
    return pairs(x_zero=I4(1 << 30))


@bad("float32")
def quantised_around_a_real():
    return pairs(x_zero=F4(3))


@bad("element type 4")
def quantised_to_uint16():
    return pairs(opset=21, x_zero=np.uint16(3))


@bad("element type 22")
def quantised_weights_of_int4():
    weights = helper.make_tensor("w", TensorProto.INT4, [OUTPUTS, 4, 3, 3], [1] * (OUTPUTS * 36))
    zeros = helper.make_tensor("w_zero", TensorProto.INT4, [OUTPUTS], [0] * OUTPUTS)
    return pairs(opset=21, w=weights, w_zero=zeros)


# Biases and inputs


@bad("bias 'b_real' must be float32 [8]")
def quantised_bias_of_another_length():
    return pairs(b=np.ones(7, I4), b_scale=np.full(7, 1e-4, F4))


@bad("operator")
def quantised_operator_whose_bias_has_another_length():
    return integers(b=np.ones(7, I4))


@bad("int64")
def quantised_operator_whose_bias_is_int64():
    return integers(b=np.ones(OUTPUTS, np.int64))


@bad("scale 'y_scale' has 0")
def quantised_operator_with_a_scale_of_zero():
    return integers(y_scale=F4(0))


@bad("7 scales for the 8 indices of axis 0")
def quantised_operator_with_too_few_scales():
    return integers(w_scale=np.full(7, 0.01, F4), w_zero=np.zeros(7, I1))


@bad("8 scales and 3 zero points")
def quantised_operator_with_too_few_zero_points():
    return integers(w_zero=np.zeros(3, I1))


@bad("none of its inputs left out")
def quantised_operator_without_a_scale():
    return integers(without("w_scale"))


@bad("none of its inputs left out")
def quantised_operator_without_weights():
    return integers(without("w", "w_scale", "w_zero"))


@bad("none of its inputs left out")
def quantised_operator_without_what_it_works_on():
    return integers(without("x_q"))


@bad("none of its inputs left out")
def quantised_operator_that_ends_early():
    return integers(CONV_INPUTS[:5])


@bad("operator")
def quantised_operator_without_inputs():
    return integers(())


@bad("operator")
def quantised_operator_on_reals():
    return integers(("input", *CONV_INPUTS[1:]))


@bad("operator")
def quantised_sum_without_its_second_operand():
    return integers(("x_q", "x_scale", "x_zero"), "QLinearAdd", "com.microsoft")


@bad("operator")
def quantised_concatenation_of_half_an_operand():
    return integers(("y_scale", "y_zero", "x_q", "x_scale"), "QLinearConcat", "com.microsoft")


@bad("operator")
def quantised_concatenation_of_nothing():
    return integers(("y_scale", "y_zero"), "QLinearConcat", "com.microsoft")


@bad("operator")
def quantised_product_of_operands_that_do_not_match():
    return integers(CONV_INPUTS[:8], "QLinearMatMul")


@bad("operator")
def quantised_average_without_a_scale():
    return integers(("x_q", "x_scale", "x_zero"), "QLinearGlobalAveragePool", "com.microsoft")
