"""Pooling, and what changes shapes or is computed from them. See make_vectors.py."""
import numpy as np
from onnx import TensorProto

from onnx_case import case, tensor

# Pooling


@case((1, 6, 7, 9))
def max_pool_with_padding_and_stride(c):
    return c.add("MaxPool", "input", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])


@case((1, 6, 7, 9), low=-1.0, high=-0.1)
def max_pool_padding_never_wins_over_negative_values(c):
    return c.add("MaxPool", "input", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])


@case((2, 3, 6, 8))
def max_pool_ceil_mode_batch_2(c):
    return c.add("MaxPool", "input", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)


@case((1, 6, 7, 9))
def max_pool_asymmetric_padding_stride_1(c):
    return c.add("MaxPool", "input", kernel_shape=[2, 3], pads=[0, 1, 1, 0])


@case((1, 6, 8, 7))
def max_pool_auto_pad_same_upper(c):
    return c.add("MaxPool", "input", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")


@case((1, 8, 9, 9))
def max_pool_after_conv_and_relu(c):
    value = c.add("Relu", c.conv("input", 16, 8, 3, pads=[1, 1, 1, 1]))
    return c.add("MaxPool", value, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])


@case((1, 6, 7, 9))
def average_pool_leaves_its_padding_out_by_default(c):
    return c.add("AveragePool", "input", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])


@case((1, 6, 7, 9))
def average_pool_counts_its_padding_when_asked(c):
    return c.add("AveragePool", "input", kernel_shape=[3, 3], pads=[1, 1, 0, 1], strides=[2, 2], count_include_pad=1)


@case((1, 6, 8, 10))
def average_pool_ceil_mode(c):
    return c.add("AveragePool", "input", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)


@case((1, 6, 8, 10), opset=19)
def average_pool_ceil_mode_that_counts_its_padding(c):
    # The window that hangs over the padded edge counts the padding, not what lies beyond it.
    return c.add(
        "AveragePool", "input", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=1
    )


@case((1, 6, 8, 7))
def average_pool_auto_pad_same_upper(c):
    return c.add("AveragePool", "input", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")


@case((3, 17, 2, 3))
def global_average_pool_batch_3(c):
    return c.add("GlobalAveragePool", "input")


@case((2, 7, 5, 6))
def global_max_pool(c):
    return c.add("GlobalMaxPool", "input")


@case((2, 7, 5, 6))
def reduce_mean_over_height_and_width(c):
    return c.add("ReduceMean", "input", axes=[2, 3], keepdims=0)


@case((2, 7, 5, 6))
def reduce_mean_over_negative_axes_keeping_them(c):
    return c.add("ReduceMean", c.conv("input", 8, 7, 1), axes=[-1, -2], keepdims=1)


@case((2, 7, 5, 6), opset=18)
def reduce_mean_of_opset_18_with_axes_as_input(c):
    return c.add("ReduceMean", "input", c.int64(2, 3), keepdims=0)


# Shapes


@case((2, 3, 4, 5))
def flatten_axis_1(c):
    return c.add("Flatten", "input")


@case((2, 3, 4, 5))
def flatten_axis_2(c):
    return c.add("Flatten", "input", axis=2)


@case((2, 3, 4, 5))
def flatten_negative_axis(c):
    return c.add("Flatten", "input", axis=-1)


@case((2, 8, 3, 3))
def flatten_after_conv_puts_channels_first(c):
    # The convolution's own layout may be another one.
    return c.add("Flatten", c.add("Relu", c.conv("input", 24, 8, 3, pads=[1, 1, 1, 1])))


@case((2, 6, 4, 5))
def reshape_with_zero_and_minus_1(c):
    return c.add("Reshape", "input", c.int64(0, 3, -1))


@case((2, 6, 1, 1))
def reshape_to_constant_rows(c):
    return c.add("Reshape", "input", c.int64(-1, 6))


@case((1, 8, 4, 4))
def reshape_channel_shuffle(c):
    value = c.add("Reshape", c.conv("input", 8, 8, 1), c.int64(0, 2, 4, 4, 4))
    value = c.add("Transpose", value, perm=[0, 2, 1, 3, 4])
    return c.conv(c.add("Reshape", value, c.int64(0, -1, 4, 4)), 8, 8, 3)


@case((3, 8, 2, 3))
def view_as_exporters_write_it_batch_3(c):
    # x.view(x.size(0), -1)
    batch = c.add("Gather", c.add("Shape", "input"), c.constant(0, np.int64), axis=0)
    rows = c.add("Concat", c.add("Unsqueeze", batch, c.int64(0)), c.int64(-1), axis=0)
    return c.add("Reshape", c.add("Relu", "input"), rows)


@case((2, 8, 2, 3), opset=11)
def view_as_exporters_of_opset_11_write_it(c):
    batch = c.add("Gather", c.add("Shape", "input"), c.add("Constant", value=tensor("value", np.int64(0))), axis=0)
    last = c.add("Constant", value=tensor("value", np.int64(-1)))
    rows = [c.add("Unsqueeze", value, axes=[0]) for value in (batch, last)]
    return c.add("Reshape", "input", c.add("Concat", *rows, axis=0))


@case((2, 8, 2, 3))
def view_by_a_slice_of_the_shape(c):
    head = c.add("Slice", c.add("Shape", "input"), c.int64(0), c.int64(2), c.int64(0))
    return c.add("Reshape", "input", c.add("Concat", head, c.int64(-1), axis=0))


@case((2, 8, 2, 3), opset=9)
def view_by_a_slice_of_opset_9(c):
    head = c.add("Slice", c.add("Shape", "input"), axes=[0], starts=[0], ends=[1])
    return c.add("Reshape", "input", c.add("Concat", head, c.int64(-1), axis=0))


@case((2, 8, 2, 3))
def view_with_arithmetic_on_the_shape(c):
    shape = c.add("Shape", "input")
    channels, height = (c.add("Gather", shape, c.int64(axis), axis=0) for axis in (1, 2))
    half = c.add("Div", c.add("Mul", channels, height), c.int64(2))
    rows = c.add("Concat", c.add("Gather", shape, c.int64(0), axis=0), half, c.int64(-1), axis=0)
    return c.add("Reshape", "input", rows)


@case((2, 8, 2, 3))
def view_with_constant_of_shape(c):
    rest = c.add("ConstantOfShape", c.int64(1), value=tensor("value", np.array([-1], np.int64)))
    batch = c.add("Slice", c.add("Shape", "input"), c.int64(0), c.int64(1))
    return c.add("Reshape", "input", c.add("Concat", batch, rest, axis=0))


@case((2, 8, 5, 5))
def squeeze_after_global_average_pool(c):
    return c.add("Squeeze", c.add("GlobalAveragePool", "input"), c.int64(2, 3))


@case((2, 8, 5, 5), opset=11)
def squeeze_of_opset_11_with_negative_axes(c):
    return c.add("Squeeze", c.add("GlobalAveragePool", "input"), axes=[-1, -2])


@case((2, 8, 5, 5))
def squeeze_without_axes_drops_every_1(c):
    return c.add("Squeeze", c.add("GlobalAveragePool", "input"))


@case((2, 8, 5, 5))
def unsqueeze_undoes_squeeze_before_conv(c):
    value = c.add("ReduceMean", "input", axes=[2, 3], keepdims=0)
    return c.conv(c.add("Unsqueeze", value, c.int64(2, 3)), 12, 8, 1, bias=True)


@case((2, 8, 5, 5), opset=11)
def unsqueeze_of_opset_11(c):
    value = c.add("ReduceMean", "input", axes=[2, 3], keepdims=0)
    return c.add("Unsqueeze", value, axes=[1, -1])


@case((2, 6, 4, 5))
def transpose_to_channels_last(c):
    return c.add("Transpose", c.conv("input", 8, 6, 1), perm=[0, 2, 3, 1])


@case((2, 6, 4, 4))
def transpose_to_channels_last_and_back(c):
    value = c.add("Transpose", "input", perm=[0, 2, 3, 1])
    value = c.add("Relu", value)
    return c.conv(c.add("Transpose", value, perm=[0, 3, 1, 2]), 8, 6, 3)


@case((2, 5, 4, 4))
def concat_on_channels(c):
    return c.add("Concat", c.conv("input", 8, 5, 1), c.conv("input", 7, 5, 1), "input", axis=1)


@case((1, 16, 6, 6))
def concat_of_blocked_channels_then_conv(c):
    left = c.add("Relu", c.conv("input", 16, 16, 1))
    right = c.add("Relu", c.conv("input", 32, 16, 1))
    return c.conv(c.add("Concat", left, right, axis=1), 8, 48, 1)


@case((1, 8, 6, 6))
def concat_of_a_value_with_itself(c):
    value = c.add("Relu", "input")
    return c.add("Concat", value, value, axis=-3)


@case((2, 8, 3, 3))
def concat_of_rows(c):
    left = c.add("Flatten", c.add("GlobalAveragePool", "input"))
    return c.add("Concat", left, c.add("Flatten", c.add("GlobalMaxPool", "input")), axis=1)


@case((3, 8, 5, 4))
def weights_that_depend_on_the_batch(c):
    # Folded anew for each plan: what was packed for a plan of another batch must not be found again.
    rows = c.add("Cast", c.add("Gather", c.add("Shape", "input"), c.constant(0, np.int64)), to=TensorProto.FLOAT)
    value = c.add("Conv", "input", c.add("Mul", c.filters(16, 8, 3), rows))
    return c.add("Gemm", c.pooled(value), c.add("Add", c.filters(16, 10, 1).reshape(16, 10), rows))


@case((2, 6, 5, 4))
def reduce_mean_over_what_is_1_already(c):
    return c.add("ReduceMean", c.add("GlobalAveragePool", c.conv("input", 17, 6, 3)), axes=[2, 3], keepdims=0)


@case((2, 3, 1, 6), opset=19)
def average_pool_dilated_along_a_kernel_of_1(c):
    return c.add("AveragePool", "input", kernel_shape=[1, 2], dilations=[3, 2], pads=[0, 1, 0, 1])


@case((2, 6, 5, 4))
def reduce_mean_over_width_1_alone(c):
    return c.add("ReduceMean", c.add("GlobalAveragePool", c.conv("input", 17, 6, 3)), axes=[3], keepdims=0)
