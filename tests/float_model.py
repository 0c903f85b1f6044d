#!/usr/bin/env python3
"""The default model as the float32 network that it is without the roundings of its values, for tests that need a
trained one: it gives photographs their labels as well.

    float_model.py FOLDER      writes the folder

The file's pairs of QuantizeLinear and DequantizeLinear go; its weights become the float32 numbers that they mean. Where
rounding to integers from zero on did the work of ReLU6, a Clip does it.
"""
import array
import pathlib
import shutil
import sys

from onnx_writer import FLOAT, field

DEFAULT_MODEL = pathlib.Path(__file__).resolve().parents[1] / "models" / "efficientnet-lite0"

# Fields of onnx.proto: ModelProto.graph, GraphProto.node and .initializer, NodeProto, TensorProto.
MODEL_GRAPH, GRAPH_NODE, GRAPH_INITIALIZER = 7, 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_TYPE = 1, 2, 4
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW = 1, 2, 8, 9
CODES = {FLOAT: "f", 2: "B", 3: "b", 6: "i"}  # TensorProto.DataType to array's


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """[(number, value)]: an int for a varint, bytes for the rest."""
    at, found = 0, []
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = varint(data, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            value, at = data[at : at + size], at + size
        found.append((tag >> 3, value))
    return found


class Node:
    def __init__(self, data):
        self.data = fields(data)
        self.inputs = [value for key, value in self.data if key == NODE_INPUT]
        (self.output,) = [value for key, value in self.data if key == NODE_OUTPUT]
        (self.type,) = [value for key, value in self.data if key == NODE_TYPE]

    def bytes(self):
        rest = b"".join(field(key, value) for key, value in self.data if key not in (NODE_INPUT, NODE_OUTPUT))
        return b"".join(field(NODE_INPUT, name) for name in self.inputs) + field(NODE_OUTPUT, self.output) + rest


class Tensor:
    def __init__(self, data):
        values = dict(fields(data))
        self.dims = [value for key, value in fields(data) if key == TENSOR_DIMS]
        self.name, self.type = values[TENSOR_NAME], values[TENSOR_TYPE]
        self.raw = values[TENSOR_RAW]

    def values(self):
        return array.array(CODES[self.type], self.raw)

    def bytes(self):
        return (b"".join(field(TENSOR_DIMS, size) for size in self.dims) + field(TENSOR_TYPE, self.type) +
                field(TENSOR_NAME, self.name) + field(TENSOR_RAW, self.raw))


def dequantise(tensor, scales):
    """Weights lie around zero, with a scale for all or for each of the first axis."""
    values, scales = tensor.values(), scales.values()
    per = len(values) // len(scales)
    out = array.array("f")
    for index, scale in enumerate(scales):
        out.extend(value * scale for value in values[index * per : (index + 1) * per])
    tensor.type, tensor.raw = FLOAT, out.tobytes()


def scalar(name, value):
    raw = array.array("f", [value]).tobytes()
    return Tensor(field(TENSOR_TYPE, FLOAT) + field(TENSOR_NAME, name) + field(TENSOR_RAW, raw))


def clip_of(node, tensors):
    """What a QuantizeLinear does beside rounding, where its integers begin with zero: cut off."""
    scale, *zero_point = (tensors[name].values()[0] for name in node.inputs[1:] if name)
    if any(zero_point):
        return None
    for name, value in ((b".low", 0.0), (b".high", 255 * scale)):
        tensors[node.output + name] = scalar(node.output + name, value)
    return Node(field(NODE_INPUT, node.inputs[0]) + field(NODE_INPUT, node.output + b".low") +
                field(NODE_INPUT, node.output + b".high") + field(NODE_OUTPUT, node.output) + field(NODE_TYPE, b"Clip"))


def convert(onnx):
    model = fields(onnx)
    (graph,) = [fields(value) for key, value in model if key == MODEL_GRAPH]
    nodes = [Node(value) for key, value in graph if key == GRAPH_NODE]
    tensors = {}
    for key, value in graph:
        if key == GRAPH_INITIALIZER:
            tensor = Tensor(value)
            tensors[tensor.name] = tensor

    instead, kept = {}, []  # name of a value -> of the one that it was rounded from
    convolved = {node.output for node in nodes if node.type == b"Conv"}
    for node in nodes:
        clip = clip_of(node, tensors) if node.type == b"QuantizeLinear" and node.inputs[0] in convolved else None
        if clip:
            kept.append(clip)
            instead[node.output] = node.output
        elif node.type == b"QuantizeLinear":
            instead[node.output] = instead.get(node.inputs[0], node.inputs[0])
        elif node.type == b"DequantizeLinear" and node.inputs[0] in tensors:
            dequantise(tensors[node.inputs[0]], tensors[node.inputs[1]])
            instead[node.output] = node.inputs[0]
        elif node.type == b"DequantizeLinear":
            instead[node.output] = instead[node.inputs[0]]
        else:
            node.inputs = [instead.get(name, name) for name in node.inputs]
            kept.append(node)
    last = nodes[-1].output
    for node in kept:
        node.output = last if node.output == instead.get(last) else node.output
    used = {name for node in kept for name in node.inputs}

    data = b"".join(field(GRAPH_NODE, node.bytes()) for node in kept)
    data += b"".join(field(GRAPH_INITIALIZER, tensor.bytes()) for tensor in tensors.values() if tensor.name in used)
    data += b"".join(field(key, value) for key, value in graph if key not in (GRAPH_NODE, GRAPH_INITIALIZER))
    return b"".join(field(key, data if key == MODEL_GRAPH else value) for key, value in model)


def write(folder):
    """Writes a model's folder, and returns it."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in DEFAULT_MODEL.glob("*.json"):
        shutil.copyfile(path, folder / path.name)
    (folder / "model.onnx").write_bytes(convert((DEFAULT_MODEL / "model.onnx").read_bytes()))
    return folder


if __name__ == "__main__":
    write(sys.argv[1])
