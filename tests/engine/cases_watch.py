"""Values in the middle of networks, which a plan must be able to keep. See make_vectors.py: watch names the nodes whose
first outputs ONNX Runtime gives as well, as watched_NODE.npy; tests/engine/test_watch.c compares them."""
import numpy as np

from onnx_case import case


@case((2, 6, 9, 8), watch=("conv_0", "batchnormalization_1", "relu_2", "conv_3", "add_5", "flatten_8"))
def watch_values_inside_fused_chains(c):
    # Unwatched, one kernel runs the first three, another one the second convolution, the Add and the Relu.
    x = c.add("Relu", c.batch_norm(c.conv("input", 8, 6, 3, pads=[1, 1, 1, 1]), 8))
    y = c.conv(x, 8, 8, 3, bias=True, pads=[1, 1, 1, 1])
    z = c.add("Relu", c.add("Add", y, c.conv(x, 8, 8, 1)))
    return c.add("Softmax", c.pooled(z), axis=1)


@case((1, 5, 6, 7), watch=("conv_0", "sigmoid_1", "mul_2", "hardsigmoid_3", "mul_4"))
def watch_factors_of_activations(c):
    # Sigmoid and Mul become one Silu, and the Mul that follows may work in place: not on what is watched.
    x = c.conv("input", 16, 5, 3, bias=True)
    x = c.add("Mul", x, c.add("Sigmoid", x))
    return c.add("Relu", c.add("Mul", x, c.add("HardSigmoid", x)))


@case((2, 4, 5, 6), watch=("pad_0", "maxpool_1", "dropout_2", "identity_3", "averagepool_4"))
def watch_what_fusion_and_simplification_remove(c):
    x = c.add("Pad", "input", c.int64(0, 0, 1, 1, 0, 0, 1, 1), c.constant(0.0, np.float32))
    x = c.add("MaxPool", x, kernel_shape=[2, 2])
    x = c.add("Identity", c.add("Dropout", x))
    x = c.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    return c.add("Abs", x)


@case((3, 4, 5, 6), watch=("shape_0", "gather_1", "unsqueeze_2", "concat_3", "reshape_4", "initializer_1"))
def watch_shapes_that_are_folded_to_constants(c):
    size = c.add("Gather", c.add("Shape", "input"), c.constant(0, np.int64), axis=0)
    shape = c.add("Concat", c.add("Unsqueeze", size, c.int64(0)), c.int64(-1), axis=0)
    return c.add("Relu", c.add("Reshape", "input", shape))
