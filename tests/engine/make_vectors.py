#!/usr/bin/env python3
"""Makes tests/engine/vectors: for each case a small ONNX model, an input, and ONNX Runtime's output for it.

    python3 make_vectors.py            writes vectors/CASE/{model.onnx,input.npy,output.npy,watched_*.npy}
    python3 make_vectors.py CASE...    writes these only

Needs onnx, onnxruntime and numpy. Made with onnxruntime 1.32, graph optimisations off (the plain operators, one after
another). Models have the input "input" [N, C, H, W] and the output "output"; the batch is open unless a case says
otherwise. A case's name says what must hold; a trap (a fusion that would be wrong) says so in a comment.
"""
import json
import pathlib
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

import cases_cnn  # noqa: F401
import cases_convolution  # noqa: F401  (importing registers the cases)
import cases_elementwise  # noqa: F401
import cases_file  # noqa: F401
import cases_memory  # noqa: F401
import cases_models  # noqa: F401
import cases_operators  # noqa: F401
import cases_precision  # noqa: F401
import cases_quantised  # noqa: F401
import cases_quantised_maps  # noqa: F401
import cases_shape  # noqa: F401
import cases_transformer  # noqa: F401
import cases_watch  # noqa: F401
import cases_winograd  # noqa: F401
from onnx_case import CASES, Case


def reference(path, x):
    """ONNX Runtime's outputs by name, the operators one after another as the file has them."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"input": x})))


def watched(path, names, x):
    """What ONNX Runtime gives for values that the file does not declare as outputs."""
    model = onnx.load(str(path))
    for name in names:
        model.graph.output.append(helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return zip(names, session.run(list(names), {"input": x}))


def write_case(name, directory):
    build, shape, opset, low, high, options = CASES[name]
    directory = directory / name
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "model.onnx"
    c = Case(name)
    output = build(c)
    options = dict(options)
    external = options.pop("external", None)
    watch = options.pop("watch", ())
    labels = options.pop("labels", None)
    if labels:
        config = {"id2label": {str(index): f"class {index}" for index in range(labels)}}
        (directory / "config.json").write_text(json.dumps(config) + "\n")
    if external:
        c.move_weights(directory / external)
    model = c.model(output, shape, opset, **options)
    path.write_bytes(model.SerializeToString(deterministic=True))
    x = c.uniform(*shape, low=low, high=high)
    outputs = reference(path, x)
    y = outputs["output"]
    if not np.isfinite(y).all() or np.abs(y).max() < 1e-3:
        raise ValueError(f"{name}: the output says nothing")

    # Only now are the outputs' shapes known; their first axis is open as the input's is.
    for output in model.graph.output:
        dims = outputs[output.name].shape
        rows = dims[0] if "batch" in options else "N" if dims[0] == shape[0] else "rows"
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, [rows, *dims[1:]]))
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path), full_check=True)
    for name, value in watched(path, watch, x):
        np.save(directory / f"watched_{name}.npy", value.astype(np.float32))
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
