"""Quantised networks for what becomes of maps of integers: slices of concatenations, groups, rows of any rank, sums that
are read again. See make_vectors.py and cases_quantised.py."""
from cases_quantised import Quantised
from onnx_case import case


def relu_conv(q, value, x_scale, scale, *arguments, **attributes):
    return q.pair(q.c.add("Relu", q.conv(value, x_scale, *arguments, **attributes)), scale, 0)


@case((2, 3, 9, 8))
def quantised_concatenations_of_one_scale(c):
    """As DenseNet: each concatenation begins with the one before it, and all parts are quantised alike."""
    q = Quantised(c)
    x = relu_conv(q, q.pair("input", 0.009), 0.009, 0.011, 8, 3, 3, pads=[1, 1, 1, 1])
    for channels in (8, 12, 16):
        y = relu_conv(q, x, 0.011, 0.013, 8, channels, 1)
        y = relu_conv(q, y, 0.013, 0.011, 4, 8, 3, pads=[1, 1, 1, 1])
        x = q.pair(c.add("Concat", x, y, axis=1), 0.011, 0)
    return q.pair(c.pooled(x), 0.008, 0)


@case((2, 3, 9, 8))
def quantised_concatenation_of_several_scales(c):
    """A part that goes into two concatenations, one of which means other integers by it."""
    q = Quantised(c)
    x = relu_conv(q, q.pair("input", 0.009), 0.009, 0.011, 8, 3, 3)
    a = relu_conv(q, x, 0.011, 0.010, 5, 8, 1)
    b = relu_conv(q, x, 0.011, 0.015, 7, 8, 3, pads=[1, 1, 1, 1])
    first = q.pair(c.add("Concat", a, b, axis=1), 0.015, 0)
    second = q.pair(c.add("Concat", b, first, axis=1), 0.015, 0)
    y = q.pair(q.conv(second, 0.015, 6, 19, 1), 0.02)
    return q.pair(c.pooled(y), 0.01)


@case((3, 3, 9, 8))
def quantised_groups(c):
    """As ResNeXt, RegNet and ShuffleNet have them: eight channels a group, two, and one with two results."""
    q = Quantised(c)
    x = relu_conv(q, q.pair("input", 0.009), 0.009, 0.011, 16, 3, 3)
    x = relu_conv(q, x, 0.011, 0.012, 16, 16, 3, group=2, pads=[1, 1, 1, 1])
    x = relu_conv(q, x, 0.012, 0.013, 16, 16, 3, group=8, pads=[1, 1, 1, 1])
    x = relu_conv(q, x, 0.013, 0.014, 32, 16, 3, group=16, pads=[1, 1, 1, 1])
    return q.pair(c.pooled(x), 0.01, 0)


@case((2, 3, 11, 12))
def quantised_bottlenecks(c):
    """As ResNet: the shortcut is a convolution, then what came in; a large first window; what a sum gave is read by a
    convolution and by the next sum."""
    q = Quantised(c)
    x = relu_conv(q, q.pair("input", 0.009), 0.009, 0.011, 16, 3, 7, strides=[2, 2], pads=[3, 3, 3, 3])
    x = q.pair(c.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 0.011, 0)
    scale = 0.011
    for strides in ([2, 2], [1, 1]):
        y = relu_conv(q, x, scale, 0.010, 8, 16, 1)
        y = relu_conv(q, y, 0.010, 0.012, 8, 8, 3, strides=strides, pads=[1, 1, 1, 1])
        y = q.pair(q.conv(y, 0.012, 16, 8, 1), 0.014)
        if strides == [2, 2]:
            x = q.pair(q.conv(x, scale, 16, 16, 1, strides=strides), 0.015)
        scale = 0.0173
        x = q.pair(c.add("Relu", c.add("Add", y, x)), scale, 0)
    return q.pair(c.pooled(x), 0.009, 0)


@case((2, 3, 5, 6))
def quantised_rows_of_rank_four(c):
    """Products of rows [N, H, W, C], one added to the other, as windows of transformers have them."""
    q = Quantised(c)
    x = q.pair(c.add("Transpose", "input", perm=[0, 2, 3, 1]), 0.009)
    weights, _ = q.weights(c.filters(8, 3, 1).reshape(8, 3).T.copy(), 1)
    a = q.pair(c.add("Add", c.add("MatMul", x, weights), c.uniform(8)), 0.02)
    weights, _ = q.weights(c.filters(8, 8, 1).reshape(8, 8).T.copy(), 1)
    b = c.add("Add", a, c.add("Add", c.add("MatMul", a, weights), c.uniform(8)))
    return c.add("ReduceMean", q.pair(b, 0.03), axes=[1, 2], keepdims=0)


@case((2, 3, 9, 8))
def quantised_again(c):
    """Integers of one scale become those of another, and of the same."""
    q = Quantised(c)
    x = relu_conv(q, q.pair("input", 0.009), 0.009, 0.011, 8, 3, 3)
    x = q.pair(q.pair(x, 0.014, 40), 0.014, 40)
    return q.pair(c.pooled(q.pair(q.conv(x, 0.014, 6, 8, 1), 0.02)), 0.01)
