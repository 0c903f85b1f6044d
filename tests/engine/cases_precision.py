"""What one step does in place of oneDNN's reference code, and what bfloat16 was measured on. See make_vectors.py."""
import numpy as np

from onnx_case import case


@case((2, 3, 7, 6), opset=13)
def hard_swish_by_hard_sigmoid(c):
    x = c.conv("input", 18, 3, 3, bias=True)
    x = c.add("Mul", x, c.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))
    x = c.conv(x, 18, 18, 1)
    return c.add("Mul", c.add("HardSigmoid", x, alpha=1 / 6, beta=0.5), x)


@case((2, 3, 7, 6), opset=13)
def hard_sigmoid_of_another_slope_is_no_hard_swish(c):
    x = c.conv("input", 18, 3, 3, bias=True)
    return c.add("Mul", x, c.add("HardSigmoid", x, alpha=0.2, beta=0.5))


@case((2, 3, 5, 8))
def concat_of_rows_of_which_one_is_transposed(c):
    # As ViT's token in front of its patches: oneDNN has its reference alone for that.
    patches = c.add("Transpose", c.add("Reshape", c.conv("input", 16, 3, 1), c.int64(0, 16, 40)), perm=[0, 2, 1])
    token = c.add("Abs", c.add("ReduceMean", patches, axes=[1], keepdims=1))
    return c.add("Relu", c.add("Concat", token, patches, axis=1))
