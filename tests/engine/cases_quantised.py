"""Quantised networks as exporters write them: QuantizeLinear and DequantizeLinear around operators on reals, and
operators on integers. See make_vectors.py.

Sums of float32 in another order may fall on the other side of a rounding bound, which is a whole step then. The cases
are so small, and their shapes and scales such, that none does."""
import numpy as np

from onnx_case import case

U8, S8 = np.uint8, np.int8


def scalar(c, value, dtype=np.float32):
    return c.constant(np.array(value, dtype))


class Quantised:
    """Pairs around values of one Case. zero: of activations; dtype: uint8 or int8."""

    def __init__(self, c, dtype=U8, zero=None, per_channel=True):
        self.c, self.dtype, self.per_channel = c, dtype, per_channel
        self.zero = zero if zero is not None else (110 if dtype is U8 else 0)

    def parameters(self, scale, zero=None):
        return scalar(self.c, scale), scalar(self.c, self.zero if zero is None else zero, self.dtype)

    def pair(self, value, scale, zero=None):
        """value -> QuantizeLinear -> DequantizeLinear."""
        parameters = self.parameters(scale, zero)
        return self.c.add("DequantizeLinear", self.c.add("QuantizeLinear", value, *parameters), *parameters)

    def weights(self, values, axis=0, dtype=S8, zero=0, folded=True):
        """DequantizeLinear of integers; folded=False: of a QuantizeLinear of the reals, as NNCF writes it."""
        c, limit = self.c, 127
        other = tuple(i for i in range(values.ndim) if i != axis)
        scale = np.abs(values).max(axis=other if self.per_channel else None) / limit
        scale = np.asarray(scale, np.float32)
        shape = [-1 if i == axis else 1 for i in range(values.ndim)]
        zeros = np.full(scale.shape, zero, dtype)
        attributes = {"axis": axis} if self.per_channel else {}
        parameters = [c.constant(scale), c.constant(zeros)]
        if folded:
            spread = scale.reshape(shape) if self.per_channel else scale
            stored = c.constant(np.rint(values / spread + zero).astype(dtype))
        else:
            stored = c.add("QuantizeLinear", values, *parameters, **attributes)
        return c.add("DequantizeLinear", stored, *parameters, **attributes), scale

    def conv(self, value, x_scale, out_channels, in_channels, kernel, bias="int32", group=1, folded=True, dtype=S8,
             zero=0, **attributes):
        """A convolution of a value that is quantised with x_scale. bias: "int32", "float" or None."""
        c = self.c
        weights, scale = self.weights(c.filters(out_channels, in_channels // group, kernel), 0, dtype, zero, folded)
        inputs = [value, weights]
        if bias == "float":
            inputs.append(c.uniform(out_channels))
        elif bias:
            bias_scale = np.asarray(scale * np.float32(x_scale), np.float32)
            stored = c.constant(np.rint(c.uniform(out_channels) / bias_scale).astype(np.int32))
            axis = {"axis": 0} if self.per_channel else {}
            inputs.append(c.add("DequantizeLinear", stored, c.constant(bias_scale), **axis))
        return c.add("Conv", *inputs, group=group, **attributes)


def network(q):
    """A bit of everything: convolution, depthwise, residual, pools, a fully connected layer."""
    c = q.c
    x = q.pair("input", 0.009)
    a = q.pair(c.add("Relu", q.conv(x, 0.009, 16, 3, 3, pads=[1, 1, 1, 1])), 0.011, 0 if q.dtype is U8 else -128)
    b = q.pair(q.conv(a, 0.011, 16, 16, 3, group=16, pads=[1, 1, 1, 1]), 0.017)
    s = q.pair(c.add("Relu", c.add("Add", a, b)), 0.02, 0 if q.dtype is U8 else -128)
    p = q.pair(c.add("MaxPool", s, kernel_shape=[2, 2], strides=[2, 2]), 0.02, 0 if q.dtype is U8 else -128)
    g = q.pair(c.add("GlobalAveragePool", p), 0.01, 0 if q.dtype is U8 else -128)
    f = c.add("Flatten", g)
    weights, scale = q.weights(c.filters(10, 16, 1).reshape(10, 16), 0)
    bias = c.constant(np.rint(c.uniform(10) / (scale * np.float32(0.01))).astype(np.int32))
    axis = {"axis": 0} if q.per_channel else {}
    bias = c.add("DequantizeLinear", bias, c.constant(np.asarray(scale * np.float32(0.01), np.float32)), **axis)
    return q.pair(c.add("Gemm", f, weights, bias, transB=1), 0.03)


@case((1, 3, 8, 8))
def quantised_network_of_onnxruntime(c):
    return network(Quantised(c))


@case((2, 3, 9, 8))
def quantised_network_with_a_scale_for_each_tensor(c):
    return network(Quantised(c, per_channel=False))


@case((2, 3, 9, 8))
def quantised_network_of_int8_activations(c):
    return network(Quantised(c, S8))


@case((1, 3, 9, 8))
def quantised_float_weights_and_bias_as_nncf_writes_them(c):
    q = Quantised(c)
    x = q.pair("input", 0.009)
    a = c.add("Relu", q.conv(x, 0.009, 8, 3, 3, bias="float", folded=False))
    # The sum is of a convolution's own result and of what is quantised.
    y = q.pair(a, 0.012, 0)
    z = c.add("Relu", c.add("Add", q.conv(y, 0.012, 8, 8, 1, bias="float", folded=False), y))
    return c.pooled(q.pair(z, 0.02, 0))


@case((1, 3, 9, 8))
def quantised_uint8_weights_with_a_zero_point(c):
    q = Quantised(c)
    x = q.pair("input", 0.009)
    return c.pooled(q.pair(q.conv(x, 0.009, 8, 3, 3, dtype=U8, zero=128, bias=None), 0.02))


@case((1, 3, 9, 8))
def quantised_value_that_is_dequantised_twice(c):
    q = Quantised(c)
    parameters = q.parameters(0.009)
    integers = c.add("QuantizeLinear", "input", *parameters)
    x, y = (c.add("DequantizeLinear", integers, *parameters) for _ in range(2))
    a = q.pair(q.conv(x, 0.009, 6, 3, 1), 0.02)
    b = q.pair(q.conv(y, 0.009, 6, 3, 3, pads=[1, 1, 1, 1]), 0.025)
    return c.pooled(q.pair(c.add("Concat", a, b, axis=1), 0.022))


@case((1, 4, 6, 8))
def quantised_value_that_is_dequantised_with_another_scale(c):
    q = Quantised(c)
    integers = c.add("QuantizeLinear", "input", *q.parameters(0.009))
    return c.add("DequantizeLinear", integers, *q.parameters(0.02, 30))


@case((1, 4, 6, 8))
def quantised_channels_each_with_its_own_scale(c):
    scale, zero = c.constant([0.01, 0.02, 0.005, 0.013]), c.constant([0, 10, 127, 255], U8)
    integers = c.add("QuantizeLinear", "input", scale, zero, axis=1)
    return c.add("DequantizeLinear", integers, scale, zero, axis=1)


@case((1, 4, 6, 8), low=-3.0, high=3.0)
def quantised_values_beyond_the_range_and_halves(c):
    # Quarters, so that many lie half way between two integers.
    x = c.add("Mul", c.add("Round", c.add("Mul", "input", np.float32(8))), np.float32(0.125))
    y = Quantised(c, zero=7).pair(x, 0.25)
    return c.add("Add", y, Quantised(c, S8, zero=-100).pair(x, 0.0625))


@case((1, 3, 9, 8), low=-2, high=2)
def quantised_activations_by_a_table(c):
    q = Quantised(c)
    a = q.pair(q.conv(q.pair("input", 0.02), 0.02, 8, 3, 1), 0.03)
    b = q.pair(c.add("Sigmoid", a), 1 / 255, 0)
    swish = q.pair(c.add("Mul", a, b), 0.0123, 20)
    hard = q.pair(c.add("HardSigmoid", swish, alpha=1 / 6), 1 / 255, 0)
    leaky = q.pair(c.add("LeakyRelu", q.pair(c.add("Mul", swish, hard), 0.012, 30), alpha=0.1), 0.011, 10)
    return c.pooled(q.pair(c.add("Clip", leaky, np.float32(-0.05), np.float32(1.5)), 0.01, 5))


@case((2, 3, 9, 8), low=-2, high=2)
def quantised_gate_of_squeeze_and_excitation(c):
    q = Quantised(c)
    a = q.pair(c.add("Relu", q.conv(q.pair("input", 0.02), 0.02, 8, 3, 3)), 0.02, 0)
    g = q.pair(c.add("ReduceMean", a, axes=[2, 3], keepdims=1), 0.01, 0)
    g = q.pair(c.add("Relu", q.conv(g, 0.01, 4, 8, 1)), 0.008, 0)
    g = q.pair(c.add("Sigmoid", q.pair(q.conv(g, 0.008, 8, 4, 1), 0.02)), 1 / 255, 0)
    return c.pooled(q.pair(c.add("Mul", a, g), 0.015, 0))


@case((1, 4, 6, 6))
def quantised_pools_of_every_kind(c):
    q = Quantised(c)
    x = q.pair("input", 0.009)
    a = q.pair(c.add("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1), 0.00613)
    b = q.pair(c.add("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 0.00717, 100)
    m = q.pair(c.add("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 0.008, 90)
    return c.pooled(q.pair(c.add("Concat", a, b, m, axis=1), 0.009))


@case((2, 3, 8, 6))
def quantised_views_between_layers(c):
    q = Quantised(c)
    a = q.pair(q.conv(q.pair("input", 0.009), 0.009, 8, 3, 1), 0.02)
    t = c.add("Transpose", a, perm=[0, 2, 3, 1])
    r = c.add("Reshape", t, c.int64(0, -1, 8))
    weights, scale = q.weights(c.filters(5, 8, 1).reshape(5, 8).T.copy(), 1)
    y = c.add("Add", c.add("MatMul", q.pair(r, 0.02), weights), c.uniform(5))
    return c.add("ReduceMean", q.pair(y, 0.025), axes=[1], keepdims=0)


@case((2, 3, 8, 6))
def quantised_softmax_and_batch_normalization_stay_in_float(c):
    q = Quantised(c)
    a = c.add("Relu", c.batch_norm(q.conv(q.pair("input", 0.009), 0.009, 8, 3, 3), 8))
    y = q.pair(c.pooled(q.pair(a, 0.03, 0)), 0.02, 0)
    weights, _ = q.weights(c.filters(6, 8, 1).reshape(6, 8), 0)
    return c.add("Softmax", q.pair(c.add("Gemm", y, weights, c.uniform(6), transB=1), 0.02), axis=1)


# Operators on integers


def integers_conv(c, x, x_parameters, out_channels, in_channels, kernel, y_parameters, bias=True, w_zero=None,
                  **attributes):
    values = c.filters(out_channels, in_channels // attributes.get("group", 1), kernel)
    scale = np.abs(values).max(axis=(1, 2, 3)) / np.float32(127)
    inputs = [x, *x_parameters, np.rint(values / scale.reshape(-1, 1, 1, 1)).astype(S8), scale,
              np.zeros(out_channels, S8) if w_zero is None else w_zero, *y_parameters]
    if bias:
        inputs.append(np.rint(c.uniform(out_channels) / scale / 0.02).astype(np.int32))
    return c.add("QLinearConv", *inputs, **attributes)


@case((2, 3, 9, 8), opset=12, microsoft=True)
def quantised_network_of_operators_on_integers(c):
    # Those of resnet50-v1-12-int8.onnx.
    q = Quantised(c)
    p0, p1, p2, p3 = q.parameters(0.009), q.parameters(0.02, 0), q.parameters(0.03), q.parameters(0.035, 0)
    x = c.add("QuantizeLinear", "input", *p0)
    a = integers_conv(c, x, p0, 16, 3, 3, p1, pads=[1, 1, 1, 1])
    a = c.add("MaxPool", a, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    b = integers_conv(c, a, p1, 16, 16, 3, p2, pads=[1, 1, 1, 1], group=4)
    s = c.add("QLinearAdd", a, *p1, b, *p2, *p3, domain="com.microsoft")
    p4 = q.parameters(0.02, 0)
    g = c.add("QLinearGlobalAveragePool", s, *p3, *p4, channels_last=0, domain="com.microsoft")
    g = c.add("Reshape", c.add("Flatten", g), c.int64(-1, 16))
    weights = c.random.integers(-127, 128, (16, 10)).astype(S8)
    p5, p6 = q.parameters(0.04), q.parameters(0.045)
    y = c.add("QLinearMatMul", g, *p4, weights, scalar(c, 0.004), scalar(c, 0, S8), *p5)
    bias = c.random.integers(0, 256, (10,)).astype(U8)
    y = c.add("QLinearAdd", y, *p5, bias, scalar(c, 0.01), scalar(c, 128, U8), *p6, domain="com.microsoft")
    return c.add("DequantizeLinear", y, *p6)


@case((1, 3, 8, 9), microsoft=True)
def quantised_operators_of_com_microsoft(c):
    q = Quantised(c)
    p0, p1, p2 = q.parameters(0.009), q.parameters(0.02, 100), q.parameters(1 / 255, 0)
    x = c.add("QuantizeLinear", "input", *p0)
    a = integers_conv(c, x, p0, 8, 3, 1, p1, bias=False)
    s = c.add("QLinearSigmoid", a, *p1, *p2, domain="com.microsoft")
    p3, p4, p5 = q.parameters(0.015, 60), q.parameters(0.014, 50), q.parameters(0.018, 70)
    m = c.add("QLinearMul", a, *p1, s, *p2, *p3, domain="com.microsoft")
    k = c.add("QLinearLeakyRelu", m, *p3, *p4, alpha=0.2, domain="com.microsoft")
    j = c.add("QLinearConcat", *p5, m, *p3, k, *p4, axis=1, domain="com.microsoft")
    v = c.add("QLinearAveragePool", j, *p5, *p5, kernel_shape=[3, 3], strides=[2, 2], domain="com.microsoft")
    p6, p7 = q.parameters(0.01, 80), q.parameters(0.02)
    g = c.add("QLinearGlobalAveragePool", c.add("Transpose", v, perm=[0, 2, 3, 1]), *p5, *p6, channels_last=1,
              domain="com.microsoft")
    weights = c.random.integers(-127, 128, (16, 5)).astype(S8)
    bias = c.random.integers(-9999, 10000, (5,)).astype(np.int32)
    y = c.add("QGemm", c.add("Flatten", g), *p6, weights, scalar(c, 0.004), scalar(c, 0, S8), bias, *p7,
              domain="com.microsoft")
    return c.add("DequantizeLinear", y, *p7)


def bottleneck(c, x, x_parameters, channels, inside, outside, strides, scales):
    """A block of ResNet-50 on integers. scales: of the three convolutions, of the shortcut where it is one, of the sum.
    Returns the sum and its parameters."""
    q = Quantised(c)
    a, b, y, shortcut, total = (q.parameters(scale, 0 if rectified else None) if scale else None
                                for scale, rectified in zip(scales, (True, True, False, False, True)))
    v = integers_conv(c, x, x_parameters, inside, channels, 1, a)
    v = integers_conv(c, v, a, inside, inside, 3, b, pads=[1, 1, 1, 1], strides=strides)
    v = integers_conv(c, v, b, outside, inside, 1, y)
    if shortcut:
        x, x_parameters = integers_conv(c, x, x_parameters, outside, channels, 1, shortcut, strides=strides), shortcut
    return c.add("QLinearAdd", v, *y, x, *x_parameters, *total, domain="com.microsoft"), total


@case((2, 3, 19, 18), opset=12, microsoft=True,
      watch=("quantizelinear_0", "qlinearconv_1", "maxpool_2", "qlinearadd_7", "qlinearglobalaveragepool_17", "flatten_18",
             "qlinearmatmul_19"))
def quantised_residual_network_of_operators_on_integers(c):
    """resnet50-v1-12-int8.onnx in small: its operators in their order, a block of each kind."""
    q = Quantised(c)
    p0, p1 = q.parameters(0.009, 114), q.parameters(0.019, 0)
    x = integers_conv(c, c.add("QuantizeLinear", "input", *p0), p0, 12, 3, 7, p1, pads=[3, 3, 3, 3], strides=[2, 2])
    x = c.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x, p = bottleneck(c, x, p1, 12, 6, 20, [1, 1], (0.013, 0.011, 0.017, 0.016, 0.015))
    x, p = bottleneck(c, x, p, 20, 6, 20, [1, 1], (0.012, 0.014, 0.018, None, 0.017))
    x, p = bottleneck(c, x, p, 20, 10, 24, [2, 2], (0.013, 0.012, 0.019, 0.015, 0.018))
    g, y, z = q.parameters(0.011, 0), q.parameters(0.023), q.parameters(0.027)
    x = c.add("QLinearGlobalAveragePool", x, *p, *g, channels_last=0, domain="com.microsoft")
    weights = c.random.integers(-127, 128, (24, 10)).astype(S8)
    x = c.add("QLinearMatMul", c.add("Flatten", x), *g, weights, scalar(c, 0.003), scalar(c, 0, S8), *y)
    bias = c.random.integers(0, 256, (10,)).astype(U8)
    x = c.add("QLinearAdd", x, *y, bias, scalar(c, 0.006), scalar(c, 128, U8), *z, domain="com.microsoft")
    return c.add("DequantizeLinear", x, *z)


@case((1, 3, 9, 8), microsoft=True)
def quantised_channels_whose_scales_share_a_zero_point(c):
    q = Quantised(c)
    p0, p1, p2 = q.parameters(0.009), q.parameters(0.02, 0), q.parameters(0.03)
    x = c.add("QuantizeLinear", "input", *p0)
    x = integers_conv(c, x, p0, 8, 3, 3, p1, w_zero=scalar(c, 0, S8))
    x = integers_conv(c, x, p1, 6, 8, 1, p2, w_zero=c.constant([0], S8))
    return c.pooled(c.add("DequantizeLinear", x, *p2))


@case((1, 3, 9, 8), microsoft=True)
def quantised_channels_whose_scales_share_a_zero_point_that_is_not_0(c):
    q = Quantised(c)
    p0, p1 = q.parameters(0.009), q.parameters(0.02)
    x = integers_conv(c, c.add("QuantizeLinear", "input", *p0), p0, 8, 3, 3, p1, w_zero=scalar(c, 5, S8))
    return c.pooled(c.add("DequantizeLinear", x, *p1))
