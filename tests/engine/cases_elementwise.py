"""Activations, residuals and arithmetic, alone and after a convolution. See make_vectors.py."""
import numpy as np

from onnx_case import case, tensor

# Activations


@case((2, 5, 4, 3))
def relu_standalone(c):
    return c.add("Relu", "input")


@case((1, 4, 5, 5), low=-9.0, high=9.0)
def clip_with_inputs(c):
    return c.add("Clip", "input", np.float32(-2), np.float32(6))


@case((1, 4, 5, 5), low=-9.0, high=9.0)
def clip_without_minimum(c):
    return c.add("Clip", "input", "", np.float32(1.5))


@case((1, 4, 5, 5), low=-9.0, high=9.0)
def clip_without_maximum(c):
    return c.add("Clip", "input", np.float32(-1.5))


@case((1, 4, 5, 5), low=-9.0, high=9.0)
def clip_without_bounds(c):
    return c.add("Relu", c.add("Clip", "input"))


@case((1, 4, 5, 5), opset=8, low=-9.0, high=9.0)
def clip_of_opset_6_with_attributes(c):
    return c.add("Clip", c.conv("input", 8, 4, 1), min=0.0, max=6.0)


@case((1, 4, 5, 5), opset=8, low=-9.0, high=9.0)
def clip_of_opset_6_with_maximum_only(c):
    return c.add("Clip", "input", max=1.0)


@case((1, 4, 5, 5), low=-9.0, high=9.0)
def clip_with_bounds_from_constant_nodes_after_conv(c):
    bounds = [c.add("Constant", value=tensor("value", np.float32(bound))) for bound in (0, 6)]
    return c.add("Clip", c.conv("input", 8, 4, 3, bias=True), *bounds)


@case((1, 4, 5, 5), low=-4.0, high=4.0)
def clip_to_minus_1_and_1_after_conv(c):
    return c.add("Clip", c.conv("input", 8, 4, 3), np.float32(-1), np.float32(1))


@case((1, 4, 5, 5), low=-30.0, high=30.0)
def sigmoid_standalone(c):
    return c.add("Sigmoid", "input")


@case((1, 4, 5, 5), low=-4.0, high=4.0)
def hard_sigmoid_default_and_given_alpha(c):
    value = c.add("HardSigmoid", "input")
    return c.add("HardSigmoid", c.add("Mul", value, np.float32(3)), alpha=0.3, beta=0.1)


@case((1, 8, 5, 5), opset=14, low=-4.0, high=4.0)
def hard_swish_after_conv(c):
    return c.add("HardSwish", c.conv("input", 16, 8, 3))


@case((1, 8, 5, 5), low=-4.0, high=4.0)
def hard_swish_of_opset_13_from_hard_sigmoid_and_mul(c):
    value = c.conv("input", 16, 8, 3)
    return c.add("Mul", value, c.add("HardSigmoid", value, alpha=1 / 6, beta=0.5))


@case((1, 8, 5, 5), low=-4.0, high=4.0)
def hard_swish_from_add_clip_mul_and_div(c):
    value = c.conv("input", 8, 8, 3)
    gate = c.add("Clip", c.add("Add", value, np.float32(3)), np.float32(0), np.float32(6))
    return c.add("Div", c.add("Mul", value, gate), np.float32(6))


@case((1, 8, 5, 5), low=-4.0, high=4.0)
def leaky_relu_default_and_after_conv(c):
    return c.add("LeakyRelu", c.conv(c.add("LeakyRelu", "input"), 8, 8, 3), alpha=0.2)


@case((1, 6, 5, 5), low=-4.0, high=4.0)
def silu_after_conv(c):
    value = c.conv("input", 16, 6, 3, bias=True)
    return c.add("Mul", value, c.add("Sigmoid", value))


@case((1, 6, 5, 5), low=-4.0, high=4.0)
def silu_with_the_operands_the_other_way_round(c):
    value = c.conv("input", 16, 6, 3, bias=True)
    return c.add("Mul", c.add("Sigmoid", value), value)


@case((1, 8, 5, 5), low=-4.0, high=4.0)
def sigmoid_of_one_conv_times_another(c):
    # Looks like SiLU and is not.
    gate = c.add("Sigmoid", c.conv("input", 8, 8, 1))
    return c.add("Mul", c.conv("input", 8, 8, 1), gate)


@case((1, 8, 6, 6))
def conv_output_read_before_and_after_its_relu(c):
    value = c.conv("input", 8, 8, 3)
    return c.add("Sub", value, c.add("Relu", value))


@case((1, 8, 6, 6), low=-9.0, high=9.0)
def conv_then_relu_then_clip(c):
    value = c.add("Relu", c.conv("input", 8, 8, 3))
    return c.add("Clip", value, np.float32(1), np.float32(4))


# Two activations of one kind: oneDNN 2.6 would compute the second with the parameters of the first.


@case((2, 8, 6, 6), low=-4.0, high=4.0)
def leaky_relu_twice_with_different_slopes_after_conv(c):
    value = c.add("LeakyRelu", c.conv("input", 16, 8, 3), alpha=0.5)
    return c.add("LeakyRelu", value, alpha=0.1)


@case((1, 8, 6, 6), low=-4.0, high=4.0)
def clip_then_tanh_then_clip_after_depthwise_conv(c):
    value = c.add("Clip", c.conv("input", 8, 8, 3, group=8), np.float32(-0.2), np.float32(0.9))
    return c.add("Clip", c.add("Tanh", value), np.float32(-1), np.float32(0.3))


@case((1, 8, 6, 6), low=-4.0, high=4.0)
def clip_twice_with_different_bounds_after_conv(c):
    value = c.add("Clip", c.conv("input", 16, 8, 3), np.float32(-0.5), np.float32(0.5))
    return c.add("Clip", value, np.float32(-0.1), np.float32(6))


@case((1, 8, 6, 6), low=-4.0, high=4.0)
def hard_sigmoid_then_clip_after_conv(c):
    value = c.add("HardSigmoid", c.conv("input", 16, 8, 3), alpha=0.3, beta=0.4)
    return c.add("Clip", value, np.float32(0.2), np.float32(0.7))


@case((3, 16, 3, 3), low=-4.0, high=4.0)
def elu_twice_after_gemm_batch_3(c):
    value = c.add("Gemm", c.add("Flatten", "input"), c.filters(144, 24, 1).reshape(144, 24))
    return c.add("Elu", c.add("Elu", value, alpha=0.5), alpha=2.0)


@case((1, 4, 5, 5), low=-4.0, high=4.0)
def clip_with_crossed_bounds_gives_the_upper_one(c):
    return c.add("Add", "input", c.add("Clip", "input", np.float32(1), np.float32(-1)))


# Residuals


@case((1, 8, 6, 6))
def residual_conv_plus_input(c):
    return c.add("Add", c.conv("input", 8, 8, 3, pads=[1, 1, 1, 1]), "input")


@case((3, 8, 4, 4))
def residual_input_plus_conv_then_relu_batch_3(c):
    return c.add("Relu", c.add("Add", "input", c.conv("input", 8, 8, 3, bias=True, pads=[1, 1, 1, 1])))


@case((1, 16, 5, 5))
def residual_of_two_convs(c):
    left = c.batch_norm(c.conv("input", 32, 16, 1), 32)
    right = c.batch_norm(c.conv("input", 32, 16, 1), 32)
    return c.add("Relu", c.add("Add", left, right))


@case((1, 8, 6, 6))
def residual_whose_other_operand_is_read_later(c):
    # Summing in place into the shortcut would spoil it for the last node.
    shortcut = c.add("Relu", c.conv("input", 8, 8, 1))
    value = c.add("Add", c.conv(shortcut, 8, 8, 3, pads=[1, 1, 1, 1]), shortcut)
    return c.add("Mul", c.add("Relu", value), shortcut)


@case((1, 8, 6, 6))
def residual_whose_conv_is_read_elsewhere(c):
    shortcut = c.conv("input", 8, 8, 1)
    value = c.conv(shortcut, 8, 8, 1)
    return c.add("Add", c.add("Add", value, shortcut), c.add("Relu", value))


@case((1, 8, 6, 6))
def residual_chain_of_three(c):
    value = c.add("Relu", c.conv("input", 8, 8, 1))
    for _ in range(3):
        inner = c.add("Relu", c.conv(value, 8, 8, 3, bias=True, pads=[1, 1, 1, 1]))
        value = c.add("Relu", c.add("Add", c.conv(inner, 8, 8, 1), value))
    return value


@case((1, 8, 6, 6))
def residual_after_an_activation_is_not_before_it(c):
    # relu(conv) + x, not relu(conv + x).
    return c.add("Add", c.add("Relu", c.conv("input", 8, 8, 1)), "input")


@case((1, 8, 6, 6))
def residual_of_a_conv_with_itself(c):
    value = c.conv("input", 8, 8, 3)
    return c.add("Add", value, value)


@case((1, 8, 6, 6))
def residual_with_one_value_a_channel_is_broadcast(c):
    pooled = c.add("GlobalAveragePool", "input")
    return c.add("Add", c.conv("input", 8, 8, 1), c.conv(pooled, 8, 8, 1))


@case((2, 16, 6, 6))
def residual_bottleneck_with_downsampling_batch_2(c):
    value = c.add("Relu", c.batch_norm(c.conv("input", 8, 16, 1), 8))
    value = c.add("Relu", c.batch_norm(c.conv(value, 8, 8, 3, pads=[1, 1, 1, 1], strides=[2, 2]), 8))
    value = c.batch_norm(c.conv(value, 32, 8, 1), 32)
    shortcut = c.batch_norm(c.conv("input", 32, 16, 1, strides=[2, 2]), 32)
    return c.add("Relu", c.add("Add", value, shortcut))


@case((3, 8, 5, 5))
def residual_inverted_with_depthwise_batch_3(c):
    zero, six = c.constant(np.float32(0)), c.constant(np.float32(6))
    value = c.add("Clip", c.batch_norm(c.conv("input", 48, 8, 1), 48), zero, six)
    value = c.conv(value, 48, 48, 3, group=48, pads=[1, 1, 1, 1])
    value = c.add("Clip", c.batch_norm(value, 48), zero, six)
    return c.add("Add", "input", c.batch_norm(c.conv(value, 8, 48, 1), 8))


# Arithmetic


@case((2, 5, 4, 6))
def add_constant_a_channel_after_conv(c):
    return c.add("Add", c.conv("input", 6, 5, 1), c.uniform(1, 6, 1, 1))


@case((2, 5, 4, 6))
def add_constant_of_lower_rank_is_broadcast(c):
    return c.add("Add", c.uniform(4, 1), c.add("Add", "input", c.uniform(6)))


@case((2, 5, 4, 6))
def mul_by_constant_a_channel_after_conv(c):
    return c.add("Mul", c.conv("input", 6, 5, 1, bias=True), c.uniform(6, 1, 1))


@case((2, 5, 4, 6))
def mul_by_scalar_then_sub_a_channel(c):
    return c.add("Sub", c.add("Mul", "input", np.float32(2.5)), c.uniform(1, 5, 1, 1))


@case((2, 5, 4, 6))
def sub_and_div_with_the_constant_first(c):
    value = c.add("Sub", np.float32(3), "input")
    return c.add("Div", np.float32(1.5), value)


@case((2, 5, 4, 6), low=0.5, high=2.0)
def div_of_two_values_that_broadcast(c):
    return c.add("Div", "input", c.add("GlobalAveragePool", "input"))


@case((2, 3, 6, 6), low=0.0, high=255.0)
def div_sub_div_normalises_inside_the_network(c):
    mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
    deviation = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)
    value = c.add("Div", "input", np.float32(255))
    return c.conv(c.add("Div", c.add("Sub", value, mean), deviation), 8, 3, 3, pads=[1, 1, 1, 1])


@case((2, 8, 5, 5))
def mul_in_a_squeeze_and_excite_block_batch_2(c):
    value = c.conv("input", 16, 8, 3, pads=[1, 1, 1, 1])
    gate = c.add("Relu", c.conv(c.add("GlobalAveragePool", value), 4, 16, 1, bias=True))
    return c.add("Mul", value, c.add("Sigmoid", c.conv(gate, 16, 4, 1, bias=True)))
