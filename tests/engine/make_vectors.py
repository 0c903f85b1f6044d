#!/usr/bin/env python3
"""Makes tests/engine/vectors: for each case a small ONNX model, an input, and ONNX Runtime's output for it.

    python3 make_vectors.py            writes vectors/CASE/{model.onnx,input.npy,output.npy}
    python3 make_vectors.py CASE...    writes these only

Needs onnx, onnxruntime and numpy. Made with onnxruntime 1.32, graph optimisations off (the plain operators, one after
another). Models have the input "input" [N, C, H, W] and the output "output"; the batch is open unless a case says
otherwise. A case's name says what must hold; a trap (a fusion that would be wrong) says so in a comment.
"""
import pathlib
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

import cases_convolution  # noqa: F401  (importing registers the cases)
import cases_elementwise  # noqa: F401
import cases_file  # noqa: F401
import cases_shape  # noqa: F401
from onnx_case import CASES, Case


def write_case(name, directory):
    build, shape, opset, low, high, options = CASES[name]
    c = Case(name)
    output = build(c)
    model = c.model(output, shape, opset, **options)
    x = c.uniform(*shape, low=low, high=high)
    session_options = onnxruntime.SessionOptions()
    session_options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session_options.log_severity_level = 3
    session_options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), session_options, ["CPUExecutionProvider"])
    (y,) = session.run(["output"], {"input": x})
    if not np.isfinite(y).all() or np.abs(y).max() < 1e-3:
        raise ValueError(f"{name}: the output says nothing")

    # Only now is the output's shape known; its first axis is open as the input's is.
    rows = y.shape[0] if "batch" in options else "N" if y.shape[0] == shape[0] else "rows"
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("output", TensorProto.FLOAT, [rows, *y.shape[1:]]))
    onnx.checker.check_model(model, full_check=True)

    directory = directory / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    np.save(directory / "input.npy", x)
    np.save(directory / "output.npy", y)


def main():
    directory = pathlib.Path(__file__).resolve().parent / "vectors"
    names = sys.argv[1:] or list(CASES)
    if not sys.argv[1:]:
        shutil.rmtree(directory, ignore_errors=True)
    for name in names:
        write_case(name, directory)
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    print(f"{len(names)} cases, {size} bytes in {directory}")


if __name__ == "__main__":
    main()
