"""Convolution, and what is folded into it: BatchNormalization and Pad. See make_vectors.py."""
import numpy as np
from onnx import TensorProto

from onnx_case import case, tensor

# Convolution


@case()
def conv_plain(c):
    return c.conv("input", 8, 4, 3)


@case()
def conv_with_bias_and_padding(c):
    return c.conv("input", 8, 4, 3, bias=True, pads=[1, 1, 1, 1])


@case()
def conv_without_kernel_shape_attribute_takes_it_from_the_weight(c):
    return c.conv("input", 6, 4, (3, 2), strides=[1, 2])


@case((1, 8, 9, 8))
def conv_stride_2(c):
    return c.conv("input", 16, 8, 3, pads=[1, 1, 1, 1], strides=[2, 2], kernel_shape=[3, 3])


@case((2, 4, 11, 9))
def conv_strides_differ_by_axis(c):
    return c.conv("input", 8, 4, 3, pads=[1, 0, 1, 0], strides=[3, 2])


@case((1, 3, 15, 17))
def conv_first_layer_3_channels_7x7_stride_2(c):
    return c.add("Relu", c.conv("input", 8, 3, 7, bias=True, pads=[3, 3, 3, 3], strides=[2, 2]))


@case((3, 3, 10, 8))
def conv_first_layer_3_channels_asymmetric_pads_batch_3(c):
    value = c.conv("input", 16, 3, 3, bias=True, pads=[0, 0, 1, 1], strides=[2, 2])
    return c.add("Clip", value, np.float32(0), np.float32(6))


@case()
def conv_asymmetric_pads(c):
    return c.conv("input", 8, 4, 3, pads=[0, 1, 2, 0])


@case((1, 4, 7, 8))
def conv_auto_pad_same_upper(c):
    return c.conv("input", 8, 4, 3, auto_pad="SAME_UPPER", strides=[2, 2])


@case((1, 4, 7, 8))
def conv_auto_pad_same_lower(c):
    return c.conv("input", 8, 4, (4, 2), auto_pad="SAME_LOWER", strides=[2, 1])


@case((1, 4, 7, 8))
def conv_auto_pad_valid(c):
    return c.conv("input", 8, 4, 3, auto_pad="VALID", strides=[2, 2])


@case((1, 4, 9, 11))
def conv_dilated(c):
    return c.conv("input", 8, 4, 3, bias=True, dilations=[2, 3], pads=[2, 3, 2, 3])


@case((1, 8, 6, 6))
def conv_grouped(c):
    return c.conv("input", 12, 8, 3, bias=True, group=4, pads=[1, 1, 1, 1])


@case((2, 15, 5, 6))
def conv_grouped_odd_channels_batch_2(c):
    return c.conv("input", 9, 15, 3, bias=True, group=3, pads=[1, 1, 1, 1])


@case((1, 32, 4, 5))
def conv_grouped_32_channels_in_groups_of_8(c):
    return c.add("Relu", c.conv("input", 32, 32, 3, group=4, pads=[1, 1, 1, 1]))


@case((1, 16, 8, 8))
def conv_depthwise_3x3(c):
    return c.conv("input", 16, 16, 3, bias=True, group=16, pads=[1, 1, 1, 1])


@case((3, 17, 5, 4))
def conv_depthwise_5x5_stride_2_17_channels_batch_3(c):
    value = c.conv("input", 17, 17, 5, bias=True, group=17, pads=[1, 1, 2, 2], strides=[2, 2])
    return c.add("Clip", value, np.float32(0), np.float32(6))


@case((1, 6, 7, 7))
def conv_depthwise_with_two_filters_a_channel(c):
    return c.conv("input", 12, 6, 3, bias=True, group=6, pads=[1, 1, 1, 1])


@case((1, 32, 5, 5))
def conv_1x1(c):
    return c.conv("input", 40, 32, 1, bias=True)


@case((1, 16, 7, 8))
def conv_1x1_stride_2(c):
    return c.conv("input", 24, 16, 1, strides=[2, 2])


@case((2, 16, 1, 1))
def conv_1x1_on_a_single_pixel(c):
    return c.conv("input", 10, 16, 1, bias=True)


@case((1, 5, 8, 7))
def conv_5_to_17_channels(c):
    return c.conv("input", 17, 5, 3, bias=True, pads=[1, 1, 1, 1])


@case((1, 1, 9, 9))
def conv_greyscale_input(c):
    return c.conv("input", 8, 1, 5, pads=[2, 2, 2, 2])


@case((1, 8, 8, 8))
def conv_1x7_then_7x1(c):
    value = c.add("Relu", c.conv("input", 6, 8, (1, 7), pads=[0, 3, 0, 3]))
    return c.conv(value, 8, 6, (7, 1), pads=[3, 0, 3, 0])


@case((1, 24, 6, 7))
def conv_24_to_32_channels_then_relu(c):
    return c.add("Relu", c.conv("input", 32, 24, 3, bias=True, pads=[1, 1, 1, 1]))


@case((1, 4, 5, 5))
def conv_kernel_as_large_as_the_picture(c):
    return c.conv("input", 7, 4, 5, bias=True)


@case((1, 4, 3, 3))
def conv_kernel_larger_than_the_picture_but_not_than_the_padded_one(c):
    return c.conv("input", 4, 4, 5, pads=[2, 2, 2, 2])


@case((3, 8, 6, 6), batch=3)
def conv_with_the_batch_fixed_in_the_file(c):
    return c.conv("input", 8, 8, 3, bias=True)


# BatchNormalization


@case((1, 8, 5, 6))
def batch_norm_after_conv(c):
    return c.batch_norm(c.conv("input", 16, 8, 3), 16, epsilon=1e-3)


@case((1, 8, 5, 6))
def batch_norm_after_conv_with_bias_then_relu(c):
    return c.add("Relu", c.batch_norm(c.conv("input", 16, 8, 3, bias=True), 16))


@case((2, 12, 5, 6))
def batch_norm_after_depthwise_conv(c):
    return c.batch_norm(c.conv("input", 12, 12, 3, group=12, pads=[1, 1, 1, 1]), 12)


@case((1, 8, 7, 6), opset=7)
def batch_norm_of_opset_7_after_conv(c):
    return c.batch_norm(c.conv("input", 8, 8, 1), 8, momentum=0.9)


@case((3, 5, 4, 6))
def batch_norm_standalone(c):
    return c.batch_norm("input", 5)


@case((1, 8, 5, 6))
def batch_norm_then_relu_then_conv(c):
    value = c.add("Relu", c.batch_norm("input", 8))
    return c.conv(value, 16, 8, 3, pads=[1, 1, 1, 1])


@case((1, 8, 5, 6))
def batch_norm_before_a_padded_conv_is_not_folded_forward(c):
    # The padding is zero after the normalisation, not before it.
    return c.conv(c.batch_norm("input", 8), 8, 8, 3, pads=[1, 1, 1, 1])


@case((1, 8, 6, 6))
def batch_norm_after_relu_is_not_folded_into_the_conv(c):
    return c.batch_norm(c.add("Relu", c.conv("input", 8, 8, 3)), 8)


@case((1, 8, 6, 6))
def batch_norm_after_a_conv_that_another_node_reads(c):
    value = c.conv("input", 8, 8, 1)
    return c.add("Add", c.batch_norm(value, 8), c.add("Relu", value))


@case((3, 6, 3, 3))
def batch_norm_after_gemm_then_relu_batch_3(c):
    value = c.add("Gemm", c.add("Flatten", "input"), c.filters(54, 20, 1).reshape(54, 20))
    return c.add("Relu", c.batch_norm(value, 20))


@case((2, 6, 3, 4))
def batch_norm_of_rank_3_whose_input_is_read_again(c):
    value = c.add("Reshape", c.conv("input", 10, 6, 1), c.int64(0, 10, -1))
    return c.add("Add", c.batch_norm(value, 10), value)


@case((2, 8, 6, 6))
def batch_norm_read_by_another_batch_norm_and_an_add(c):
    # The first one is folded into the convolution; the second one must not be, for the sum reads what lies between.
    value = c.batch_norm(c.conv("input", 8, 8, 3), 8)
    return c.add("Add", value, c.batch_norm(value, 8))


@case((1, 6, 5, 5), opset=14)
def batch_norm_of_opset_14_in_inference_mode(c):
    return c.batch_norm(c.conv("input", 6, 6, 3), 6, training_mode=0)


# Pad


@case((1, 3, 7, 8))
def pad_then_max_pool_of_ceil_mode_keeps_the_last_window(c):
    # ceil_mode drops a window that begins in the pool's own padding; what Pad added is no such padding.
    value = c.add("Pad", c.add("Relu", "input"), c.int64(0, 0, 0, 0, 0, 0, 2, 2))
    return c.pooled(c.add("MaxPool", value, kernel_shape=[3, 3], strides=[3, 3], ceil_mode=1))


@case((1, 8, 7, 6))
def pad_then_conv(c):
    value = c.add("Pad", "input", c.int64(0, 0, 0, 1, 0, 0, 2, 1))
    return c.conv(value, 8, 8, 3, strides=[2, 2])


@case((1, 8, 7, 6))
def pad_then_conv_with_padding_of_its_own(c):
    value = c.add("Pad", "input", c.int64(0, 0, 0, 0, 0, 0, 1, 1), np.float32(0))
    return c.conv(value, 8, 8, 3, pads=[1, 1, 1, 1])


@case((1, 8, 7, 6))
def pad_with_a_value_then_conv_is_not_fused(c):
    value = c.add("Pad", "input", c.int64(0, 0, 1, 1, 0, 0, 1, 1), np.float32(0.75))
    return c.conv(value, 8, 8, 3)


@case((1, 8, 7, 6), opset=10)
def pad_of_opset_10_then_conv(c):
    value = c.add("Pad", "input", pads=[0, 0, 0, 0, 0, 0, 1, 1], mode="constant", value=0.0)
    return c.conv(value, 8, 8, 3, strides=[2, 2])


@case((2, 6, 5, 5), opset=10)
def pad_of_opset_10_with_a_value(c):
    return c.add("Pad", "input", pads=[0, 0, 1, 2, 0, 0, 0, 3], value=-0.5)


@case((2, 6, 4, 5))
def pad_on_channels(c):
    return c.add("Pad", "input", c.int64(0, 2, 0, 0, 0, 3, 0, 0))


@case((1, 8, 6, 6))
def pad_that_two_convs_read(c):
    value = c.add("Pad", "input", c.int64(0, 0, 1, 1, 0, 0, 1, 1))
    return c.add("Add", c.conv(value, 8, 8, 3), c.conv(value, 8, 8, 3))


@case((1, 4, 7, 7), low=-1.0, high=-0.1)
def pad_with_zero_then_max_pool_of_negative_values(c):
    # Zeros win here; the pool's own padding never does.
    value = c.add("Pad", "input", c.int64(0, 0, 1, 1, 0, 0, 1, 1))
    return c.add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2])


@case((1, 4, 7, 7))
def pad_with_the_lowest_float_then_max_pool(c):
    value = c.add("Pad", "input", c.int64(0, 0, 1, 1, 0, 0, 1, 1), np.finfo(np.float32).min)
    return c.add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2])


@case((1, 8, 7, 6))
def pad_with_zero_after_relu_then_max_pool(c):
    value = c.add("Pad", c.add("Relu", c.conv("input", 8, 8, 1)), c.int64(0, 0, 0, 0, 0, 0, 1, 1))
    return c.add("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2])


@case((1, 4, 7, 7), low=0.5, high=1.5)
def pad_then_average_pool_counts_the_zeros(c):
    # count_include_pad is 0, but these zeros are the picture's, not the pool's.
    value = c.add("Pad", "input", c.int64(0, 0, 1, 1, 0, 0, 1, 1))
    return c.add("AveragePool", value, kernel_shape=[3, 3], strides=[2, 2], count_include_pad=0)


@case((1, 4, 6, 6))
def pad_written_by_the_pytorch_exporter(c):
    # torch.nn.functional.pad(x, (1, 2, 0, 1)): the pairs are filled up with zeros, reversed and transposed.
    fill = c.add("ConstantOfShape", c.int64(4), value=tensor("value", np.array([0], np.int64)))
    pairs = c.add("Reshape", c.add("Concat", c.int64(1, 2, 0, 1), fill, axis=0), c.int64(-1, 2))
    lowest = np.iinfo(np.int64).min + 1
    rows = c.add("Slice", pairs, c.int64(-1), c.int64(lowest), c.int64(0), c.int64(-1))
    pads = c.add("Reshape", c.add("Transpose", rows, perm=[1, 0]), c.int64(-1))
    value = c.add("Pad", "input", c.add("Cast", pads, to=TensorProto.INT64), np.float32(0), mode="constant")
    return c.conv(value, 8, 4, 3)
