#!/usr/bin/env python3
"""Writes the seeds of corpus/graph: small models of what exporters write, for the mutator to take apart and recombine.

    python3 make_graph_corpus.py    writes corpus/graph/*.onnx, beside what fuzzing has found (found-*)

Needs onnx and numpy.
"""
import pathlib
import sys

import numpy as np
from onnx import helper

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "engine"))
from onnx_case import Case, tensor  # noqa: E402

SHAPE = (1, 4, 8, 8)
SEEDS = {}


def seed(opset=13):
    def register(build):
        SEEDS[build.__name__] = (build, opset)
        return build

    return register


@seed()
def residual_block(c):
    x = c.add("Relu", c.conv("input", 4, 4, 3, pads=[1, 1, 1, 1]))
    x = c.add("Relu", c.add("Add", c.conv(x, 4, 4, 3, pads=[1, 1, 1, 1]), "input"))
    return c.add("Gemm", c.pooled(x), c.uniform(3, 4), c.uniform(3), transB=1)


@seed()
def batch_norms(c):
    x = c.add("Relu", c.batch_norm(c.conv("input", 8, 4, 1), 8))
    return c.batch_norm(c.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 8)


@seed()
def inverted_residual_with_squeeze(c):
    x = c.add("HardSigmoid", c.conv("input", 8, 4, 1))
    x = c.add("Clip", c.conv(x, 8, 8, 3, group=8, pads=[1, 1, 1, 1]), c.constant(0.0), c.constant(6.0))
    s = c.add("Sigmoid", c.conv(c.add("Relu", c.conv(c.add("GlobalAveragePool", x), 2, 8, 1)), 8, 2, 1))
    return c.add("Add", c.conv(c.add("Mul", x, s), 4, 8, 1), "input")


@seed()
def silu_and_mean(c):
    x = c.conv("input", 6, 4, 3, strides=[2, 2])
    x = c.add("Mul", x, c.add("Sigmoid", x))
    return c.add("Softmax", c.add("ReduceMean", x, axes=[2, 3], keepdims=0), axis=1)


@seed()
def dense_block(c):
    x = c.add("Concat", "input", c.conv("input", 2, 4, 1), axis=1)
    x = c.add("Concat", "input", x, c.conv(x, 3, 6, 3, pads=[1, 1, 1, 1]), axis=1)
    return c.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])


@seed()
def channel_shuffle(c):
    n = c.add("Gather", c.add("Shape", "input"), c.constant(0, np.int64), axis=0)
    n = c.add("Unsqueeze", n, c.int64(0))
    shape = c.add("Concat", n, c.int64(2), c.int64(2), c.int64(8), c.int64(8), axis=0)
    x = c.add("Transpose", c.add("Reshape", "input", shape), perm=[0, 2, 1, 3, 4])
    return c.add("Reshape", x, c.int64(0, 4, 8, 8))


@seed()
def shape_arithmetic(c):
    shape = c.add("Shape", "input")
    front = c.add("Slice", shape, c.int64(0), c.int64(1), c.int64(0))
    rest = c.add("Slice", shape, c.int64(1), c.int64(2**63 - 1), c.int64(0))
    product = c.add("Mul", c.add("Gather", rest, c.int64(0)), c.add("Gather", rest, c.int64(1)))
    product = c.add("Mul", product, c.add("Cast", c.add("Gather", rest, c.int64(2)), to=7))
    return c.add("Reshape", "input", c.add("Concat", front, product, axis=0))


@seed()
def constants(c):
    filled = c.add("ConstantOfShape", c.int64(4, 4, 1, 1), value=tensor("value", np.ones(1, np.float32)))
    shift = c.add("Constant", value_floats=[1.0, 2.0, 3.0, 4.0])
    x = c.add("Conv", "input", filled, shift)
    return c.add("Flatten", c.add("Sub", x, c.add("Constant", value_float=0.5)), axis=1)


@seed()
def pads(c):
    x = c.add("Pad", "input", c.int64(0, 0, 1, 1, 0, 0, 1, 1), c.constant(0.0))
    x = c.add("Conv", x, c.filters(4, 1, 3), group=4)
    return c.add("Pad", x, c.int64(0, 0, 2, 0, 0, 0, 0, 1))


@seed(opset=11)
def old_opset(c):
    x = c.add("Unsqueeze", c.pooled(c.add("Dropout", "input")), axes=[2])
    x = c.add("Squeeze", c.add("Softmax", c.add("LeakyRelu", x, alpha=0.1), axis=1), axes=[2])
    return c.add("Elu", x, alpha=0.5)


@seed(opset=17)
def attention(c):
    x = c.add("Transpose", c.add("Reshape", "input", c.int64(0, 4, 64)), perm=[0, 2, 1])
    q = c.add("Add", c.add("MatMul", x, c.uniform(4, 4)), c.uniform(4))
    k = c.add("Transpose", c.add("MatMul", x, c.uniform(4, 4)), perm=[0, 2, 1])
    a = c.add("Softmax", c.add("Div", c.add("MatMul", q, k), c.constant(2.0)), axis=-1)
    return c.add("Gather", c.add("MatMul", a, x), c.constant(0, np.int64), axis=1)


@seed(opset=17)
def layer_norm_in_parts(c):
    x = c.add("Reshape", "input", c.int64(0, 4, 64))
    d = c.add("Sub", x, c.add("ReduceMean", x, axes=[-1]))
    v = c.add("ReduceMean", c.add("Pow", d, c.constant(2.0)), axes=[-1])
    x = c.add("Div", d, c.add("Sqrt", c.add("Add", v, c.constant(1e-5))))
    return c.add("Add", c.add("Mul", x, c.uniform(64)), c.uniform(64))


@seed(opset=17)
def gelu(c):
    x = c.conv("input", 4, 4, 1, bias=True)
    e = c.add("Add", c.add("Erf", c.add("Div", x, c.constant(1.4142135))), c.constant(1.0))
    return c.add("Mul", c.add("Mul", x, e), c.constant(0.5))


@seed()
def elementwise(c):
    x = c.add("Tanh", c.add("Exp", c.add("Abs", c.add("HardSigmoid", "input"))))
    return c.add("Log", c.add("Sqrt", c.add("Sigmoid", x)))


@seed(opset=14)
def hard_swish_and_broadcast(c):
    x = c.add("HardSwish", c.add("Mul", "input", c.uniform(4, 1, 1)))
    return c.add("GlobalMaxPool", c.add("Identity", x))


@seed(opset=13)
def windows_rolled(c):
    x = c.add("Concat", c.add("Slice", "input", c.int64(3), c.int64(8), c.int64(2)),
              c.add("Slice", "input", c.int64(0), c.int64(3), c.int64(2)), axis=2)
    x = c.add("Transpose", c.add("Reshape", x, c.int64(0, 4, 2, 4, 2, 4)), perm=[0, 2, 4, 3, 5, 1])
    return c.add("ReduceMean", c.add("Reshape", x, c.int64(-1, 16, 4)), axes=[1], keepdims=0)


@seed(opset=13)
def split_and_expand(c):
    parts = [c.add("Split", "input", c.int64(2, 2), axis=1, outputs=2)]
    x = c.add("Mul", parts[0], parts[0] + "_1")
    return c.add("Add", x, c.add("Expand", c.constant(1.0), c.int64(1, 2, 8, 8)))


@seed(opset=13)
def resize(c):
    return c.add("Resize", "input", "", c.constant([1.0, 1.0, 2.0, 2.0], np.float32), mode="nearest")


@seed(opset=13)
def grouped_and_dilated(c):
    x = c.conv("input", 8, 4, 3, group=2, dilations=[2, 2], auto_pad="SAME_UPPER")
    return c.add("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2], count_include_pad=1,
                 ceil_mode=1)


@seed(opset=13)
def external_data(c):
    x = c.conv("input", 4, 4, 1)
    weight = c.initializers[-1]
    weight.ClearField("raw_data")
    weight.data_location = 1
    for key, value in {"location": "data", "offset": "64", "length": "64"}.items():
        weight.external_data.add(key=key, value=value)
    return x


@seed(opset=13)
def quantised(c):
    scale, zero = c.constant(0.02), c.constant(np.array(3, np.int8))
    x = c.add("DequantizeLinear", c.add("QuantizeLinear", "input", scale, zero), scale, zero)
    weight = c.constant(np.arange(-8, 8).reshape(4, 4, 1, 1).astype(np.int8))
    return c.add("Conv", x, c.add("DequantizeLinear", weight, scale))


def main():
    corpus = HERE / "corpus" / "graph"
    corpus.mkdir(parents=True, exist_ok=True)
    total = 0
    for name, (build, opset) in SEEDS.items():
        case = Case(name)
        data = case.model(build(case), SHAPE, opset).SerializeToString(deterministic=True)
        (corpus / f"{name}.onnx").write_bytes(data)
        total += len(data)
    print(f"{len(SEEDS)} seeds, {total} bytes")


if __name__ == "__main__":
    main()
