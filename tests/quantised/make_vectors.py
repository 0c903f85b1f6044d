#!/usr/bin/env python3
"""Makes tests/quantised/vectors: small quantised networks whose weights and activations drive the pair sums of a fast
u8 x s8 instruction (vpmaddubsw) beyond int16, with the answer of plain integer arithmetic.

    python3 make_vectors.py       writes vectors/CASE/{model.onnx,input.npy,output.npy}; needs numpy and onnx

The input is float32 and takes every quantised value exactly; all scales are powers of two, so that sums below 2^24 have
one float32 each, and rounding halves has one answer. What saturates, or is rounded on the way, differs.
"""
import pathlib
import shutil
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
X_SCALE, W_SCALE = 2.0**-4, 2.0**-5
SIDE = 6
CASES = {
    # name: channels, outputs, kernel, groups, stride, zero point, shift of the outputs' scale (None: float32 outputs)
    "pointwise": (64, 24, 1, 1, 1, 0, None),
    "pointwise_of_channels_that_fill_no_block": (37, 19, 1, 1, 1, 128, None),
    "window": (12, 20, 3, 1, 1, 0, None),
    "window_of_padding_that_is_not_0": (12, 20, 3, 1, 2, 77, None),
    "window_of_a_picture": (3, 20, 3, 1, 2, 114, None),
    "groups": (24, 16, 3, 2, 1, 255, None),
    "depthwise": (24, 24, 3, 24, 1, 0, None),
    "depthwise_5x5": (24, 24, 5, 24, 2, 128, None),
    "window_to_bytes": (12, 20, 3, 1, 1, 3, 14),
    "depthwise_to_bytes": (24, 24, 3, 24, 1, 3, 11),
    "inner_product": (96, 40, 0, 1, 1, 0, None),
    "inner_product_to_bytes": (96, 40, 0, 1, 1, 128, 14),
}


def weights_of(random, outputs, n):
    """int8 [outputs, n]: what saturates by much, by one step, in one direction alone, only in places, or not at all."""
    w = random.integers(-127, 128, (outputs, n))
    edges = [[127], [-127], [-128], [127, -127], [127, 127, -128, -128], [127, 1], [127, 2], [-128, -1], [-128, 0],
             [64, 65], [64, 64], [-64, -65], [127, 127, 1, 1], [0, 0, 0, 127, 127]]
    for row, pattern in enumerate(edges[: outputs - 2]):
        w[row] = np.resize(pattern, n)
    return w.astype(np.int8)


def pictures_of(random, channels, side):
    """uint8 [3, C, side, side]: 255 everywhere, only the ends, everything."""
    shape = (channels, side, side)
    return np.stack([np.full(shape, 255), random.choice([0, 255], shape), random.integers(0, 256, shape)]).astype(np.uint8)


def sums(q, zero, w, kernel, groups, stride):
    """int64 [N, O, H, W]: the definition of a convolution, padding is the value 0, that is q = zero."""
    pad = kernel // 2
    x = np.pad(q.astype(np.int64) - zero, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    n, channels, height, width = q.shape
    size = [(side + 2 * pad - kernel) // stride + 1 for side in (height, width)]
    outputs, taken = w.shape[0], channels // groups
    y = np.zeros((n, outputs, *size), np.int64)
    for o in range(outputs):
        group = x[:, o // (outputs // groups) * taken :][:, :taken]
        for row in range(size[0]):
            for column in range(size[1]):
                window = group[:, :, row * stride : row * stride + kernel, column * stride : column * stride + kernel]
                y[:, o, row, column] = (window * w[o].astype(np.int64)).sum((1, 2, 3))
    return y


def write(name, directory):
    channels, outputs, kernel, groups, stride, zero, shift = CASES[name]
    random = np.random.default_rng(zlib.crc32(name.encode()))
    q = pictures_of(random, channels, SIDE if kernel else 1)
    w = weights_of(random, outputs, channels // groups * max(kernel, 1) ** 2)
    w = w.reshape(outputs, channels // groups, max(kernel, 1), max(kernel, 1))
    y = sums(q, zero, w, max(kernel, 1), groups, stride)
    assert np.abs(y).max() < 1 << 24

    tensors = [("x_scale", np.float32(X_SCALE)), ("x_zero", np.uint8(zero)), ("w", w if kernel else w[:, :, 0, 0]),
               ("w_scale", np.full(outputs, W_SCALE, np.float32)), ("w_zero", np.zeros(outputs, np.int8))]
    nodes = [helper.make_node("QuantizeLinear", ["input", "x_scale", "x_zero"], ["x_q"]),
             helper.make_node("DequantizeLinear", ["x_q", "x_scale", "x_zero"], ["x"]),
             helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_real"], axis=0)]
    last = "output" if shift is None else "y_real"
    if kernel:
        nodes.append(helper.make_node("Conv", ["x", "w_real"], [last], group=groups, strides=[stride] * 2,
                                      pads=[kernel // 2] * 4, name="layer"))
    else:
        nodes += [helper.make_node("Flatten", ["x"], ["flat"]),
                  helper.make_node("Gemm", ["flat", "w_real"], [last], transB=1, name="layer")]
    answer = y.astype(np.float64) * (X_SCALE * W_SCALE)
    if shift is not None:
        scale = X_SCALE * W_SCALE * 2.0**shift
        tensors += [("y_scale", np.float32(scale)), ("y_zero", np.uint8(128))]
        nodes += [helper.make_node("QuantizeLinear", ["y_real", "y_scale", "y_zero"], ["y_q"]),
                  helper.make_node("DequantizeLinear", ["y_q", "y_scale", "y_zero"], ["output"])]
        steps = np.clip(np.rint(answer / scale) + 128, 0, 255)
        assert len(np.unique(steps)) > 20
        answer = (steps - 128) * scale
    answer = answer.astype(np.float32) if kernel else answer.astype(np.float32)[:, :, 0, 0]

    dims = list(answer.shape[1:])
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *q.shape[1:]])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", *dims])],
        [numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)), key) for key, values in tensors])
    model = helper.make_model(graph, producer_name="saccade tests", ir_version=7,
                              opset_imports=[helper.make_opsetid("", 13)])
    directory = directory / name
    directory.mkdir(parents=True)
    onnx.checker.check_model(model, full_check=True)
    (directory / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    np.save(directory / "input.npy", ((q.astype(np.float64) - zero) * X_SCALE).astype(np.float32))
    np.save(directory / "output.npy", np.ascontiguousarray(answer))


def main():
    directory = HERE / "vectors"
    shutil.rmtree(directory, ignore_errors=True)
    for name in CASES:
        write(name, directory)
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    print(f"{len(CASES)} cases, {size} bytes in {directory}")


if __name__ == "__main__":
    main()
