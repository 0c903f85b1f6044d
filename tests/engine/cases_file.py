"""Fully connected layers, Softmax, and the ways in which files say things. See make_vectors.py."""
import numpy as np
from onnx import TensorProto, helper

from onnx_case import case, tensor

# Fully connected


@case((2, 20, 3, 3))
def gemm_with_transposed_weight(c):
    return c.add("Gemm", c.pooled(), c.uniform(10, 20), c.uniform(10), transB=1)


@case((2, 20, 3, 3))
def gemm_with_plain_weight(c):
    return c.add("Gemm", c.pooled(), c.uniform(20, 10), c.uniform(10))


@case((2, 20, 3, 3))
def gemm_with_alpha_and_beta(c):
    return c.add("Gemm", c.pooled(), c.uniform(10, 20), c.uniform(10), transB=1, alpha=0.5, beta=2.0)


@case((1, 20, 3, 3))
def gemm_without_bias(c):
    return c.add("Gemm", c.pooled(), c.uniform(10, 20), transB=1, alpha=1.5)


@case((3, 20, 3, 3))
def gemm_with_a_single_bias_batch_3(c):
    return c.add("Gemm", c.pooled(), c.uniform(10, 20), c.uniform(1), transB=1)


@case((3, 20, 3, 3))
def gemm_with_a_bias_of_one_row_batch_3(c):
    return c.add("Gemm", c.pooled(), c.uniform(10, 20), c.uniform(1, 10), transB=1, beta=0.5)


@case((2, 20, 3, 3))
def gemm_then_relu_then_gemm(c):
    value = c.add("Relu", c.add("Gemm", c.pooled(), c.uniform(17, 20), c.uniform(17), transB=1))
    return c.add("Gemm", value, c.uniform(5, 17), c.uniform(5), transB=1)


@case((2, 8, 3, 3))
def gemm_on_a_flattened_convolution(c):
    value = c.add("Relu", c.conv("input", 16, 8, 3, pads=[1, 1, 1, 1]))
    return c.add("Gemm", c.add("Flatten", value), c.uniform(10, 144), c.uniform(10), transB=1)


@case((2, 20, 3, 3))
def matmul_plus_add(c):
    return c.add("Add", c.add("MatMul", c.pooled(), c.uniform(20, 10)), c.uniform(10))


@case((2, 20, 3, 3))
def matmul_of_one_row_a_pixel(c):
    value = c.add("Transpose", "input", perm=[0, 2, 3, 1])
    return c.add("MatMul", value, c.uniform(20, 6))


@case((2, 20, 3, 3), low=-9.0, high=9.0)
def softmax_after_gemm(c):
    return c.add("Softmax", c.add("Gemm", c.pooled(), c.uniform(10, 20), transB=1), axis=1)


@case((2, 4, 3, 5), opset=11, low=-3.0, high=3.0)
def softmax_of_opset_11_runs_over_all_axes_from_its_own(c):
    return c.add("Softmax", "input", axis=1)


@case((2, 4, 3, 5), low=-3.0, high=3.0)
def softmax_of_opset_13_runs_over_its_axis_alone(c):
    return c.add("Softmax", "input", axis=1)


@case((2, 4, 3, 5), low=-3.0, high=3.0)
def softmax_of_opset_13_default_axis_is_the_last(c):
    return c.add("Softmax", "input")


# What surrounds the arithmetic: how files say it


@case((1, 4, 5, 5))
def identity_between_nodes(c):
    value = c.add("Identity", c.conv(c.add("Identity", "input"), 8, 4, 3))
    return c.add("Identity", c.add("Relu", value))


@case((1, 8, 5, 5))
def identity_of_a_shared_weight(c):
    weight = c.constant(c.filters(8, 8, 1))
    bias = c.constant(c.uniform(8))
    value = c.add("Conv", "input", weight, bias)
    return c.add("Conv", value, c.add("Identity", weight), c.add("Identity", bias))


@case((2, 8, 5, 5))
def dropout_does_nothing(c):
    value = c.add("Dropout", c.pooled(), np.float32(0.5), c.constant(False))
    return c.add("Gemm", value, c.uniform(6, 8), transB=1)


@case((2, 8, 5, 5), opset=10)
def dropout_of_opset_10_with_a_ratio(c):
    return c.add("Relu", c.add("Dropout", "input", ratio=0.3))


@case((1, 8, 6, 6))
def cast_from_float16_weights(c):
    def half(values):
        return c.add("Cast", c.constant(values.astype(np.float16)), to=TensorProto.FLOAT)

    value = c.add("Conv", "input", half(c.filters(16, 8, 3)), half(c.uniform(16)))
    value = c.batch_norm(value, 16)
    return c.add("Gemm", c.pooled(value), half(c.uniform(10, 16)), c.uniform(10), transB=1)


@case((1, 8, 6, 6))
def cast_from_bfloat16_weights(c):
    bits = (c.filters(16, 8, 3).view(np.uint32) >> 16).astype(np.uint16)
    weight = helper.make_tensor("weight", TensorProto.BFLOAT16, bits.shape, bits.tobytes(), raw=True)
    c.initializers.append(weight)
    return c.add("Conv", "input", c.add("Cast", "weight", to=TensorProto.FLOAT))


@case((1, 4, 6, 6))
def constant_nodes_hold_the_weights(c):
    weight = c.add("Constant", value=tensor("value", c.filters(8, 4, 3)))
    bias = c.add("Constant", value_floats=[float(value) for value in c.uniform(8)])
    return c.add("Mul", c.add("Conv", "input", weight, bias), c.add("Constant", value_float=0.5))


@case((2, 4, 3, 3))
def constant_nodes_of_integers(c):
    return c.add("Reshape", "input", c.add("Constant", value_ints=[0, -1]))


@case((1, 4, 5, 5))
def typed_data_instead_of_raw_data(c):
    weight, bias = c.constant(c.filters(8, 4, 3), raw=False), c.constant(c.uniform(8), raw=False)
    value = c.add("Conv", "input", weight, bias)
    return c.add("Reshape", value, c.constant([0, -1], np.int64, raw=False))


@case((1, 4, 5, 5))
def typed_data_of_float16(c):
    weight = c.constant(c.filters(8, 4, 3).astype(np.float16), raw=False)
    return c.add("Conv", "input", c.add("Cast", weight, to=TensorProto.FLOAT))


@case((1, 4, 6, 6), opset=8, ir_version=3, listed_inputs=True)
def initializers_listed_as_inputs(c):
    value = c.add("Relu", c.batch_norm(c.conv("input", 8, 4, 3, bias=True), 8))
    return c.add("Gemm", c.pooled(value), c.uniform(5, 8), c.uniform(5), transB=1)


@case((1, 4, 6, 6))
def nodes_without_names(c):
    value = c.add("Relu", c.conv("input", 8, 4, 3, bias=True))
    value = c.add("Flatten", value)
    for node in c.nodes:
        node.ClearField("name")
    return value


@case((1, 8, 6, 6))
def a_value_that_nothing_reads(c):
    value = c.conv("input", 8, 8, 3)
    c.add("Sigmoid", value)
    return c.add("Relu", value)


@case((3, 3, 12, 12))
def classifier_of_five_layers_batch_3(c):
    value = c.add("Relu", c.batch_norm(c.conv("input", 8, 3, 3, pads=[1, 1, 1, 1], strides=[2, 2]), 8))
    value = c.add("MaxPool", value, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    inner = c.add("Relu", c.batch_norm(c.conv(value, 8, 8, 3, pads=[1, 1, 1, 1]), 8))
    value = c.add("Relu", c.add("Add", c.batch_norm(c.conv(inner, 8, 8, 3, pads=[1, 1, 1, 1]), 8), value))
    return c.add("Gemm", c.pooled(value), c.uniform(10, 8), c.uniform(10), transB=1)


@case((1, 4, 6, 6), external="weights.bin")
def external_data_beside_the_model(c):
    value = c.add("Relu", c.conv("input", 8, 4, 3, bias=True))
    return c.add("Gemm", c.pooled(value), c.uniform(5, 8), c.uniform(5), transB=1)
