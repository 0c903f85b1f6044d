#!/usr/bin/env python3
"""Makes quantised models from a float one, in the forms in which exporters write them.

    python3 make_models.py MODEL.onnx DIRECTORY [--images FOLDER] [--forms FORM...] [--name NAME]

writes DIRECTORY/NAME-FORM.onnx for each form; MODEL may be a model's directory, whose preprocessor_config.json is then
obeyed and copied. Needs numpy, onnx and onnxruntime; pillow for --images. Without --images the activation ranges come
from noise. All weights have 8 bits. The forms:

    qdq             ONNX Runtime's quantize_static: QuantizeLinear and DequantizeLinear around each operator, weights
                    int8 per channel, activations uint8 with a zero point, bias int32
    qdq-s8          the same with symmetric int8 activations
    qdq-tensor      the same as qdq with one scale for all channels of a weight
    qdq-u8u8        uint8 weights with a zero point, one scale for all channels
    qoperator       ONNX Runtime's QuantFormat.QOperator: QLinearConv and its like
    nncf            as NNCF (OpenVINO) writes: weights remain float32 and pass QuantizeLinear and DequantizeLinear, bias
                    remains float32, a network's output is not quantised
    fake-quant      as PyTorch's fake quantisation is exported: like nncf, every scale and zero point is a Constant node,
                    and each consumer has a pair of its own
    zoo             qoperator with the operators of ONNX's model zoo's resnet50-v1-12-int8.onnx (zoo_form.py)
"""
import argparse
import pathlib
import shutil
import tempfile

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import pictures
import zoo_form

DEFAULT_SIDE = 224
OLDEST_OPSET = 13
NNCF = {"AddQDQPairToWeight": True, "QuantizeBias": False, "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]}
PER_CHANNEL = {"per_channel": True, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
FORMS = {
    "qdq": PER_CHANNEL,
    "qdq-s8": {**PER_CHANNEL, "activation_type": QuantType.QInt8, "extra_options": {"ActivationSymmetric": True}},
    "qdq-tensor": {**PER_CHANNEL, "per_channel": False},
    "qdq-u8u8": {**PER_CHANNEL, "per_channel": False, "weight_type": QuantType.QUInt8,
                 "extra_options": {"WeightSymmetric": False}},
    "qoperator": {**PER_CHANNEL, "quant_format": QuantFormat.QOperator},
    "nncf": {**PER_CHANNEL, "extra_options": NNCF},
    "fake-quant": {**PER_CHANNEL, "extra_options": {**NNCF, "DedicatedQDQPair": True}},
    "zoo": {**PER_CHANNEL, "quant_format": QuantFormat.QOperator},
}


def folded(path, target):
    """Casts of weights and BatchNormalization are folded, as every tool does it before it quantises. Scales per channel
    came with opset 13."""
    model = onnx.load(str(path))
    if next(opset.version for opset in model.opset_import if not opset.domain) < OLDEST_OPSET:
        model = onnx.version_converter.convert_version(model, OLDEST_OPSET)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return target


class Reader(CalibrationDataReader):
    def __init__(self, name, inputs):
        self.inputs = iter([{name: x[None]} for x in inputs])

    def get_next(self):
        return next(self.inputs, None)


def noise(n, shape):
    """What tests/zoo/export.py took the statistics of its networks from."""
    random = np.random.default_rng(11)
    return (random.standard_normal(shape, np.float32) for _ in range(n))


def constants_as_nodes(path):
    """Scales and zero points become Constant nodes, as torch.onnx.export leaves them."""
    model = onnx.load(str(path))
    graph = model.graph
    wanted = {name for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")
              for name in node.input[1:]}
    moved = [tensor for tensor in graph.initializer if tensor.name in wanted]
    nodes = [onnx.helper.make_node("Constant", [], [tensor.name], name=f"Constant_{index}", value=tensor)
             for index, tensor in enumerate(moved)]
    kept = [tensor for tensor in graph.initializer if tensor.name not in wanted]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, str(path))


def make(source, target, form, inputs):
    """Quantises the folded model at source into target; inputs: float32 [C, H, W] to take the ranges from."""
    name = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"]).get_inputs()[0].name
    model = onnx.load(str(source))
    if form == "zoo":
        zoo_form.split_gemm(model)
    quantize_static(model, str(target), Reader(name, inputs), **FORMS[form])
    if form == "fake-quant":
        constants_as_nodes(target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--name", help="default: the model's own")
    parser.add_argument("--images", type=pathlib.Path, help="folder of photographs to take activation ranges from")
    parser.add_argument("--count", type=int, default=50, help="so many of them, evenly spread (default: %(default)s)")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=["qdq"], metavar="FORM")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    directory = options.model if options.model.is_dir() else None
    name = options.name or options.model.resolve().with_suffix("").name
    if options.images:
        preprocessing = pictures.Preprocessing.of(options.model)
        paths = pictures.spread(pictures.files(options.images), options.count)
        inputs = [preprocessing.read(path) for path in paths]
    else:
        inputs = list(noise(options.count, (3, DEFAULT_SIDE, DEFAULT_SIDE)))

    with tempfile.TemporaryDirectory() as scratch:
        source = folded(directory / "model.onnx" if directory else options.model, pathlib.Path(scratch) / "folded.onnx")
        for form in options.forms:
            target = options.directory / f"{name}-{form}.onnx"
            if directory:  # what lies beside a model says how pictures become its input, and what its classes are
                target = options.directory / f"{name}-{form}" / "model.onnx"
                target.parent.mkdir(exist_ok=True)
                for beside in directory.glob("*.json"):
                    shutil.copyfile(beside, target.parent / beside.name)
            make(source, target, form, inputs)
            print(f"{target}: {target.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
