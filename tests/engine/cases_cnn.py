"""What convolutional networks are made of beside plain convolutions: groups, squeeze-and-excitation, normalisation before
a convolution, concatenations in place, channels that are split and shuffled. Channels are seldom multiples of a
vector, widths are odd, batches are 3. See make_vectors.py."""
import numpy as np

from onnx_case import case


def silu(c, value):
    return c.add("Mul", value, c.add("Sigmoid", value))


# Groups that share a vector, and groups that fill vectors


@case((3, 24, 7, 13))
def cnn_groups_of_8_three_of_them_asymmetric_pads(c):
    value = c.conv("input", 24, 24, 3, bias=True, group=3, pads=[0, 1, 2, 0])
    return c.add("Relu", value)


@case((2, 40, 9, 11))
def cnn_groups_of_8_five_of_them_stride_2(c):
    return c.conv("input", 40, 40, 3, group=5, pads=[1, 1, 1, 1], strides=[2, 2])


@case((3, 20, 5, 17))
def cnn_groups_of_4_five_of_them_silu(c):
    return silu(c, c.conv("input", 20, 20, 3, bias=True, group=5, pads=[1, 1, 1, 1]))


@case((1, 6, 6, 31))
def cnn_groups_of_2_stride_differs_by_axis(c):
    return c.conv("input", 6, 6, 3, bias=True, group=3, pads=[1, 1, 1, 1], strides=[1, 2])


@case((2, 32, 4, 9))
def cnn_groups_of_16_plus_their_input(c):
    value = c.add("Relu", "input")
    return c.add("Relu", c.add("Add", c.conv(value, 32, 32, 3, bias=True, group=2, pads=[1, 1, 1, 1]), value))


@case((3, 10, 5, 7))
def cnn_groups_of_5_inputs_and_16_outputs(c):
    return c.add("Clip", c.conv("input", 32, 10, 3, group=2, pads=[1, 1, 1, 1]), np.float32(-0.5), np.float32(0.75))


@case((1, 16, 6, 7))
def cnn_groups_of_8_dilated(c):
    return c.conv("input", 16, 16, 3, group=2, pads=[2, 2, 2, 2], dilations=[2, 2])


# Pointwise


@case((3, 19, 3, 5))
def cnn_pointwise_19_to_37_relu6(c):
    return c.add("Clip", c.conv("input", 37, 19, 1, bias=True), np.float32(0), np.float32(6))


@case((3, 7, 5, 9))
def cnn_pointwise_to_24_plus_residual(c):
    value = c.conv("input", 24, 7, 1)
    return c.add("Add", c.conv(c.add("Relu", value), 24, 24, 1, bias=True), value)


@case((2, 5, 7, 5))
def cnn_pointwise_to_40_silu(c):
    return silu(c, c.conv("input", 40, 5, 1, bias=True))


@case((2, 9, 5, 5), low=-8.0, high=8.0)
def cnn_pointwise_to_7_sigmoid_of_large_values(c):
    return c.add("Sigmoid", c.conv("input", 7, 9, 1, bias=True))


@case((2, 9, 3, 7), low=-4.0, high=4.0)
def cnn_pointwise_to_18_hard_sigmoid(c):
    return c.add("HardSigmoid", c.conv("input", 18, 9, 1, bias=True), alpha=0.3, beta=0.4)


@case((2, 9, 3, 7), opset=14, low=-4.0, high=4.0)
def cnn_pointwise_to_33_hard_swish(c):
    return c.add("HardSwish", c.conv("input", 33, 9, 1, bias=True))


@case((1, 9, 3, 7))
def cnn_pointwise_to_8_leaky(c):
    return c.add("LeakyRelu", c.conv("input", 8, 9, 1, bias=True), alpha=0.2)


@case((1, 3, 1, 1))
def cnn_pointwise_of_one_pixel(c):
    return c.conv("input", 50, 3, 1, bias=True)


@case((1, 6, 17, 23))
def cnn_pointwise_of_more_pixels_than_a_block(c):
    return c.conv("input", 3, 6, 1, bias=True)


# Depthwise


@case((3, 19, 6, 15))
def cnn_depthwise_3x3_width_15_silu(c):
    return silu(c, c.conv("input", 19, 19, 3, bias=True, group=19, pads=[1, 1, 1, 1]))


@case((2, 21, 9, 17))
def cnn_depthwise_5x5_stride_2_asymmetric_pads(c):
    value = c.conv("input", 21, 21, 5, bias=True, group=21, pads=[1, 2, 2, 1], strides=[2, 2])
    return c.add("Clip", value, np.float32(0), np.float32(6))


@case((1, 8, 5, 29))
def cnn_depthwise_5x3_without_padding(c):
    return c.conv("input", 8, 8, (5, 3), group=8)


@case((1, 33, 2, 2))
def cnn_depthwise_5x5_larger_than_its_input(c):
    return c.conv("input", 33, 33, 5, group=33, pads=[2, 2, 2, 2])


@case((2, 5, 9, 9))
def cnn_depthwise_plus_residual(c):
    return c.add("Add", c.conv("input", 5, 5, 3, group=5, pads=[1, 1, 1, 1]), c.add("Relu", "input"))


# A pointwise convolution and the depthwise one behind it, of maps so large that they go together


@case((2, 1, 45, 43))
def cnn_pair_3x3_stride_2(c):
    value = c.add("Clip", c.conv("input", 72, 1, 1, bias=True), np.float32(0), np.float32(6))
    value = c.conv(value, 72, 72, 3, bias=True, group=72, pads=[1, 1, 1, 1], strides=[2, 2])
    return c.conv(c.add("Relu", value), 1, 72, 1)


@case((2, 1, 41, 50))
def cnn_pair_5x5_silu_asymmetric_pads(c):
    value = silu(c, c.conv("input", 68, 1, 1, bias=True))
    value = silu(c, c.conv(value, 68, 68, 5, bias=True, group=68, pads=[3, 1, 0, 2]))
    return c.add("AveragePool", c.conv(value, 1, 68, 1), kernel_shape=[3, 3], strides=[3, 3])


@case((1, 1, 45, 43))
def cnn_pair_whose_middle_is_read_twice(c):
    value = c.add("Relu", c.conv("input", 72, 1, 1, bias=True))
    deep = c.conv(value, 72, 72, 3, bias=True, group=72, pads=[1, 1, 1, 1])
    return c.conv(c.add("Concat", c.conv(deep, 2, 72, 1), c.conv(value, 2, 72, 1), axis=1), 1, 4, 1, strides=[2, 2])


# Squeeze-and-excitation


def excitation(c, value, channels, squeezed, gate="Sigmoid", **attributes):
    pooled = c.add("GlobalAveragePool", value)
    pooled = c.add("Relu", c.conv(pooled, squeezed, channels, 1, bias=True))
    return c.add(gate, c.conv(pooled, channels, squeezed, 1, bias=True), **attributes)


@case((3, 20, 5, 7))
def cnn_gate_into_the_next_convolution(c):
    value = silu(c, c.conv("input", 20, 20, 3, group=20, pads=[1, 1, 1, 1]))
    value = c.add("Mul", excitation(c, value, 20, 5), value)
    return c.add("Add", c.conv(value, 20, 20, 1, bias=True), "input")


@case((2, 18, 3, 5))
def cnn_gate_by_hard_sigmoid(c):
    value = c.add("Relu", "input")
    value = c.add("Mul", value, excitation(c, value, 18, 3, "HardSigmoid", alpha=1 / 6))
    return c.conv(value, 35, 18, 1)


@case((2, 18, 3, 5))
def cnn_gated_value_that_two_read(c):
    # The product itself is needed.
    value = c.add("Relu", "input")
    value = c.add("Mul", value, excitation(c, value, 18, 3))
    return c.add("Add", c.conv(value, 18, 18, 1), value)


@case((2, 18, 4, 5))
def cnn_gate_in_front_of_a_3x3_convolution(c):
    value = c.add("Relu", "input")
    return c.conv(c.add("Mul", value, excitation(c, value, 18, 3)), 9, 18, 3, pads=[1, 1, 1, 1])


@case((2, 18, 1, 1))
def cnn_gate_of_one_pixel(c):
    value = c.add("Relu", "input")
    return c.conv(c.add("Mul", value, excitation(c, value, 18, 3)), 9, 18, 1)


# Normalisation in front of a convolution


@case((3, 21, 4, 5))
def cnn_normalised_relu_then_pointwise(c):
    return c.add("Relu", c.conv(c.add("Relu", c.batch_norm("input", 21)), 9, 21, 1, bias=True))


@case((1, 21, 4, 5))
def cnn_normalised_then_pointwise(c):
    return c.conv(c.batch_norm("input", 21), 9, 21, 1)


@case((2, 11, 4, 5))
def cnn_normalised_clip_then_pointwise(c):
    value = c.add("Clip", c.batch_norm("input", 11), np.float32(-0.25), np.float32(0.5))
    return c.conv(value, 17, 11, 1)


@case((2, 11, 4, 5))
def cnn_normalised_sigmoid_then_pointwise(c):
    # Not a clipping: it cannot be done on the way.
    return c.conv(c.add("Sigmoid", c.batch_norm("input", 11)), 17, 11, 1)


@case((2, 11, 4, 5))
def cnn_normalised_value_that_two_read(c):
    value = c.add("Relu", c.batch_norm("input", 11))
    return c.add("Add", c.conv(value, 11, 11, 1), c.conv(value, 11, 11, 3, pads=[1, 1, 1, 1]))


# Concatenations in place


@case((3, 6, 5, 7))
def cnn_concat_of_three_convolutions(c):
    parts = [c.conv("input", 5, 6, 1), c.conv("input", 20, 6, 3, pads=[1, 1, 1, 1]), c.conv("input", 33, 6, 1)]
    return c.conv(c.add("Concat", *[c.add("Relu", part) for part in parts], axis=1), 7, 58, 1)


@case((3, 6, 5, 7))
def cnn_concat_is_the_output(c):
    return c.add("Concat", c.conv("input", 5, 6, 1), c.conv("input", 9, 6, 1), axis=-3)


@case((3, 4, 5, 7))
def cnn_concat_of_the_same_twice(c):
    value = c.conv("input", 5, 4, 1)
    return c.conv(c.add("Concat", value, value, axis=1), 3, 10, 1)


@case((3, 4, 5, 7))
def cnn_concat_of_the_input_and_its_convolution(c):
    return c.conv(c.add("Concat", "input", c.conv("input", 5, 4, 1), axis=1), 3, 9, 1)


@case((2, 4, 6, 5))
def cnn_concat_in_a_concat(c):
    inner = c.add("Concat", c.conv("input", 3, 4, 1), c.conv("input", 9, 4, 1), axis=1)
    outer = c.add("Concat", c.conv("input", 2, 4, 1), inner, axis=1)
    return c.add("Add", c.conv(outer, 6, 14, 1), c.conv(inner, 6, 12, 1))


@case((2, 4, 6, 5))
def cnn_concat_of_a_residual_sum(c):
    value = c.add("Relu", c.conv("input", 7, 4, 1))
    total = c.add("Add", c.conv(value, 7, 7, 1), value)
    return c.conv(c.add("Concat", c.conv("input", 3, 4, 1), total, axis=1), 5, 10, 1)


@case((2, 4, 6, 5))
def cnn_concat_whose_part_is_changed_in_place_elsewhere(c):
    value = c.conv("input", 6, 4, 1)
    both = c.add("Concat", value, c.conv("input", 3, 4, 1), axis=1)
    return c.add("Concat", c.add("Sqrt", c.add("Abs", value)), c.add("Tanh", both), axis=1)


@case((2, 4, 6, 5))
def cnn_concat_of_parts_that_others_read_densely(c):
    value = c.add("Relu", c.conv("input", 10, 4, 1))
    deep = c.conv(value, 6, 10, 3, pads=[1, 1, 1, 1])
    pooled = c.add("MaxPool", value, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return c.conv(c.add("Concat", value, deep, pooled, axis=1), 5, 26, 3)


@case((3, 12, 5, 6))
def cnn_dense_block(c):
    parts = ["input"]
    parts[0] = c.conv("input", 12, 12, 1)
    for layer in range(3):
        value = c.add("Concat", *parts, axis=1)
        channels = 12 + 5 * layer
        value = c.conv(c.add("Relu", c.batch_norm(value, channels)), 10, channels, 1, bias=True)
        parts.append(c.conv(c.add("Relu", value), 5, 10, 3, pads=[1, 1, 1, 1]))
    value = c.add("Relu", c.batch_norm(c.add("Concat", *parts, axis=1), 27))
    return c.add("AveragePool", c.conv(value, 9, 27, 1), kernel_shape=[2, 2], strides=[2, 2])


# Channels that are moved


def shuffle(c, value, channels, height, width, groups=2):
    value = c.add("Reshape", value, c.int64(0, groups, channels // groups, height, width))
    value = c.add("Transpose", value, perm=[0, 2, 1, 3, 4])
    return c.add("Reshape", value, c.int64(0, channels, height, width))


def part(c, value, first, last):
    return c.add("Slice", value, c.int64(first), c.int64(last), c.int64(1))


def unit(c, value, channels, height, width):
    """One of ShuffleNetV2's: half passes, half is convolved, both are shuffled."""
    half = channels // 2
    deep = c.add("Relu", c.conv(part(c, value, half, 2**31), half, half, 1, bias=True))
    deep = c.conv(deep, half, half, 3, bias=True, group=half, pads=[1, 1, 1, 1])
    deep = c.add("Relu", c.conv(deep, half, half, 1, bias=True))
    return shuffle(c, c.add("Concat", part(c, value, 0, half), deep, axis=1), channels, height, width)


@case((3, 10, 5, 7))
def cnn_shuffle_units_with_odd_halves(c):
    value = c.conv("input", 10, 10, 1)
    for _ in range(3):
        value = unit(c, value, 10, 5, 7)
    return c.conv(value, 9, 10, 1)


@case((3, 10, 5, 7))
def cnn_shuffled_into_a_depthwise_convolution(c):
    value = unit(c, c.conv("input", 10, 10, 1), 10, 5, 7)
    value = c.conv(value, 10, 10, 3, bias=True, group=10, pads=[1, 1, 1, 1], strides=[2, 2])
    return c.conv(value, 7, 10, 1)


@case((2, 10, 5, 7))
def cnn_shuffled_depthwise_is_the_output(c):
    value = shuffle(c, c.conv("input", 10, 10, 1), 10, 5, 7)
    return c.add("Tanh", c.conv(value, 10, 10, 3, bias=True, group=10))


@case((2, 12, 4, 5))
def cnn_shuffle_of_3_groups_is_the_output(c):
    return shuffle(c, c.conv("input", 12, 12, 1), 12, 4, 5, groups=3)


@case((2, 12, 4, 5))
def cnn_shuffled_then_a_grouped_and_a_3x3_convolution(c):
    value = shuffle(c, c.add("Relu", "input"), 12, 4, 5, groups=4)
    return c.add("Add", c.conv(value, 12, 12, 3, group=3), c.conv(value, 12, 12, 3))


@case((2, 9, 4, 5))
def cnn_slices_with_other_bounds(c):
    value = c.conv("input", 9, 9, 1)
    first = c.add("Slice", value, c.int64(-4), c.int64(-1), c.int64(-3), c.int64(1))
    return c.add("Add", c.conv(first, 4, 3, 1), c.conv(part(c, value, 2, 7), 4, 5, 1))


@case((2, 9, 4, 5))
def cnn_slice_of_every_other_channel(c):
    # Not a run: copied as it is.
    value = c.conv("input", 9, 9, 1)
    return c.conv(c.add("Slice", value, c.int64(0), c.int64(9), c.int64(1), c.int64(2)), 4, 5, 1)


@case((2, 11, 4, 5))
def cnn_split_in_three(c):
    value = c.conv("input", 11, 11, 1)
    name = c.add("Split", value, c.int64(2, 6, 3), outputs=3, axis=1)
    return c.conv(c.add("Concat", f"{name}_2", name, c.conv(f"{name}_1", 4, 6, 1), axis=1), 6, 9, 1)


@case((2, 8, 4, 5))
def cnn_slice_added_to_a_convolution(c):
    value = c.conv("input", 8, 8, 1)
    return c.add("Add", c.conv(part(c, value, 0, 3), 5, 3, 1), part(c, value, 3, 8))


@case((2, 8, 6, 5))
def cnn_slice_of_rows_stays_what_it_is(c):
    value = c.conv("input", 8, 8, 1)
    return c.conv(c.add("Slice", value, c.int64(1), c.int64(5), c.int64(2)), 3, 8, 1)
