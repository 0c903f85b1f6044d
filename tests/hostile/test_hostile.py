"""Small model files that ask for much: memory, time, depth. Each is under 256 KiB; each must be answered, or refused by
an error that says what is too much, within bounds that engine/allowance.h adds up. The standard library only."""
import math
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest

from onnx_bytes import FLOAT, INT64, field, fields, floats, integers, model, node, tensor

SACCADE = os.environ["SACCADE"]
FILE_BYTES = 256 << 10
PEAK_BYTES = 1280 << 20  # ALLOWANCE_SMALL_FILE_BYTES of engine/allowance.h
SECONDS = 120  # a busy machine and a sanitizer are slow; nothing here may take minutes


def name(number):
    """Short names: a chain of many nodes must fit into the file."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return digits[number // 1296] + digits[number // 36 % 36] + digits[number % 36]


def chain(count, link, start="input"):
    """Nodes made by link(input, output), one after the other; returns them and the last output."""
    nodes = []
    for index in range(count):
        nodes.append(link(start, name(index)))
        start = name(index)
    return nodes, start


def filled(output, *dims):
    """A constant of many bytes made of few."""
    return [node("Constant", [], [output + "_shape"], value_ints=list(dims)),
            node("ConstantOfShape", [output + "_shape"], [output])]


# name -> (function that makes the file, text of the error or None where it may run, shape of the input if unusual)
CASES = {}


def case(expected=None, *shape):
    def register(build):
        CASES[build.__name__] = (build, expected, *shape)
        return build
    return register


@case("made from others")
def constants_of_shape_without_end():
    nodes = [node("Constant", [], ["s"], value_ints=[1 << 24])]
    nodes += [node("ConstantOfShape", ["s"], [name(i)]) for i in range(2000)]
    return model([*nodes, node("Relu", ["input"], ["y"])], "y")


@case("made from others")
def constants_doubled_by_concat():
    nodes, last = chain(40, lambda x, y: node("Concat", [x, x], [y], axis=0), "seed")
    return model([*nodes, node("Add", ["input", last], ["y"])], "y", [floats("seed", 64)])


@case("made from others")
def constants_expanded():
    return model([node("Expand", ["seed", "shape"], ["a"]), node("Add", ["input", "a"], ["y"])], "y",
                 [floats("seed", 1), integers("shape", 1 << 15, 1 << 15)])


@case("elements")
def constants_tiled():
    return model([node("Tile", ["seed", "repeats"], ["a"]), node("Add", ["input", "a"], ["y"])], "y",
                 [floats("seed", 64, 64), integers("repeats", 1 << 20, 1 << 20)])


@case("activations")
def maps_tiled():
    return model([node("Tile", ["input", "repeats"], ["y"])], "y", [integers("repeats", 1, 1, 1 << 10, 1 << 10)])


@case("made from others")
def counted_without_end():
    values = [tensor(name, INT64, [], struct.pack("<q", value)) for name, value in
              (("start", 0), ("limit", 1 << 24), ("delta", 1))]
    return model([node("Range", ["start", "limit", "delta"], ["a"]), node("Relu", ["input"], ["y"])], "y", values)


@case()
def gathers_of_nothing():
    """No element in the result, 2^30 rows to walk for it."""
    nodes = [node("Gather", ["empty", "none"], [name(i)], axis=1) for i in range(5000)]
    nodes.append(node("Identity", [name(0)], ["kept"]))
    return model([*nodes, node("Relu", ["input"], ["y"])], "y",
                 [tensor("empty", FLOAT, [1 << 30, 0], b""), tensor("none", INT64, [0], b"")])


@case("made from others")
def constants_reshaped_again_and_again():
    nodes = filled("big", 1 << 22)
    nodes += [node("Reshape", ["big", "s"], [name(i)]) for i in range(6000)]
    return model([*nodes, node("Relu", ["input"], ["y"])], "y", [integers("s", 1 << 11, 1 << 11)])


@case("reading and writing")
def constants_reduced_again_and_again():
    nodes = filled("big", 1 << 23)
    nodes += [node("ReduceSum", ["big"], [name(i)], keepdims=0) for i in range(5000)]
    return model([*nodes, node("Relu", ["input"], ["y"])], "y")


@case("attributes")
def attributes_without_end():
    """Each of 30,000 values of one attribute would be looked up among 50,000 others."""
    many = b"".join(field(5, field(1, "a")) for _ in range(30000))
    values = field(5, field(1, "value_ints") + field(8, b"") + field(20, 7) + b"\x40\x01" * 40000)
    return model([field(2, "c") + field(4, "Constant") + many + values, node("Relu", ["input"], ["y"])], "y")


@case("activations")
def pad_to_gigabytes():
    return model([node("Pad", ["input", "p"], ["y"])], "y", [integers("p", 0, 0, 0, 0, 0, 0, 20000, 20000)])


@case("activations")
def maps_doubled_by_concat():
    nodes, last = chain(22, lambda x, y: node("Concat", [x, x], [y], axis=2))
    return model(nodes, last)


@case("activations")
def concat_of_large_maps_held_together():
    """No map is large, all of them are needed at the end."""
    nodes = [node("Pad", ["input", "p"], [name(i)]) for i in range(64)]
    nodes.append(node("Concat", [name(i) for i in range(64)], ["y"], axis=1))
    return model(nodes, "y", [integers("p", 0, 0, 0, 0, 0, 0, 1000, 1000)])


@case("activations")
def convolution_padded_beyond_memory():
    return model([node("Conv", ["input", "w"], ["y"], pads=[20000, 0, 20000, 0])], "y", [floats("w", 256, 3, 1, 1)])


@case()
def convolution_dilated():
    return model([node("Conv", ["input", "w"], ["y"], pads=[4096, 4096, 4096, 4096], dilations=[4095, 4095])], "y",
                 [floats("w", 2, 3, 3, 3)])


@case()
def convolution_of_many_channels():
    return model([node("Conv", ["input", "w"], ["y"])], "y", [floats("w", 20000, 3, 1, 1)])


@case()
def convolution_of_many_groups():
    nodes = [*filled("w", 65536, 3, 1, 1), *filled("v", 65536, 1, 3, 3), node("Conv", ["input", "w"], ["a"]),
             node("Conv", ["a", "v"], ["y"], group=65536, pads=[1, 1, 1, 1])]
    return model(nodes, "y")


@case("machine code")
def convolution_with_a_wide_kernel():
    return model([*filled("w", 1, 3, 1, 60000), node("Conv", ["input", "w"], ["y"], pads=[0, 30000, 0, 30000])], "y")


@case("machine code")
def convolutions_with_wide_kernels():
    nodes = filled("w", 16, 16, 1, 512) + filled("v", 16, 3, 1, 1)
    nodes.append(node("Conv", ["input", "v"], ["first"]))
    more, last = chain(2000, lambda x, y: node("Conv", [x, "w"], [y], pads=[0, 256, 0, 256]), "first")
    return model(nodes + more, last)


@case("machine code")
def convolutions_without_end():
    """Each of another shape, so that none shares its machine code."""
    nodes = filled("w", 3, 3, 3, 3)
    more, last = chain(4000, lambda x, y: node("Conv", [x, "w"], [y], pads=[1, 1, 1, 2]))
    return model(nodes + more, last)


@case("machine code")
def operators_without_end():
    nodes, last = chain(10000, lambda x, y: node("Relu", [x], [y]))
    return model(nodes, last)


@case(None, (1, 64, 8, 8))
def weights_in_blocks_of_channels():
    """Where kernels want blocks of channels, one takes the place of 8 or 16."""
    nodes = filled("w", 1, 64, 40, 40)
    nodes += [node("Conv", ["input", "w"], [name(i)], pads=[20, 20, 20, 20 + i]) for i in range(60)]
    nodes.append(node("Concat", [name(i) for i in range(60)], ["y"], axis=3))
    return model(nodes, "y", shape=("N", 64, 8, 8))


@case("operations")
def pool_of_a_wide_window():
    return model([node("MaxPool", ["input"], ["y"], kernel_shape=[60000, 60000], pads=[30000] * 4)], "y")


@case()
def pools_over_long_rows():
    nodes = [node("Pad", ["input", "p"], ["a"]), node("GlobalAveragePool", ["a"], ["b"]),
             node("GlobalMaxPool", ["a"], ["c"]), node("ReduceMean", ["a"], ["d"], axes=[2, 3]),
             node("Add", ["b", "c"], ["e"]), node("Add", ["e", "d"], ["y"])]
    return model(nodes, "y", [integers("p", 0, 0, 0, 0, 0, 0, 0, 1000000)])


@case()
def identities_without_end():
    nodes, last = chain(11000, lambda x, y: node("Identity", [x], [y]))
    return model([*nodes, node("Relu", [last], ["y"])], "y")


@case()
def own_code_without_end():
    """A chain of steps that are no kernels of oneDNN."""
    nodes, last = chain(12000, lambda x, y: node("Sign", [x], [y]))
    return model(nodes, last)


@case()
def views_without_end():
    nodes, last = chain(11000, lambda x, y: node("Transpose", [x], [y]))
    return model(nodes, last)


@case(None, (1, 1, 1, 8))
def split_into_thousands():
    parts = [name(i) for i in range(40000)]
    nodes = [node("Tile", ["input", "r"], ["a"]), node("Split", ["a"], parts, axis=3), node("Sum", parts[:8], ["y"])]
    return model(nodes, "y", [integers("r", 1, 1, 1, 5000)], shape=("N", 1, 1, 8))


@case()
def sum_of_thousands():
    return model([node("Sum", ["input"] * 25000, ["y"])], "y")


@case()
def initializers_without_end():
    return model([node("Relu", ["input"], ["y"])], "y", [tensor(name(i), FLOAT, [0], b"") for i in range(15000)])


@case("inputs")
def concat_of_thousands():
    return model([node("Concat", ["input"] * 25000, ["y"], axis=1)], "y")


@case("activations")
def broadcast_to_gigabytes():
    nodes = filled("column", 1, 3, 1 << 13, 1) + filled("row", 1, 1, 1, 1 << 14)
    nodes += [node("GlobalAveragePool", ["input"], ["g"]), node("Add", ["g", "column"], ["a"]),
              node("Add", ["a", "row"], ["y"])]
    return model(nodes, "y")


@case("activations")
def product_of_a_column_and_a_row():
    nodes = filled("row", 1, 1 << 20)
    nodes += [node("Reshape", ["input", "s"], ["a"]), node("MatMul", ["a", "row"], ["y"])]
    return model(nodes, "y", [integers("s", -1, 1)])


@case("operations")
def work_without_end():
    """Little memory, but each product is of 4096 by 4096."""
    nodes = filled("w", 2048, 2048) + filled("v", 192, 2048)
    nodes += [node("Flatten", ["input"], ["f"]), node("MatMul", ["f", "v"], ["row"])]
    nodes += [node("Concat", ["row"] * 64, ["a64"], axis=0), node("Concat", ["a64"] * 64, ["start"], axis=0)]
    more, last = chain(400, lambda x, y: node("MatMul", [x, "w"], [y]), "start")
    return model(nodes + more, last)


@case("runs to copy")
def pieces_picked_one_by_one():
    """The table of what to pick is as large as the result."""
    nodes = filled("zero", 1 << 20)
    nodes += [node("Cast", ["zero"], ["indices"], to=INT64), node("Gather", ["input", "indices"], ["y"], axis=3)]
    return model(nodes, "y")


@case("tables")
def tables_of_pieces_without_end():
    nodes = filled("zero", 100000)
    nodes.append(node("Cast", ["zero"], ["indices"], to=INT64))
    more = [node("Gather", ["input", "indices"], [name(i)], axis=3) for i in range(60)]
    more += [node("ReduceMax", [name(i)], ["R" + name(i)]) for i in range(60)]
    more.append(node("Sum", ["R" + name(i) for i in range(60)], ["y"]))
    return model(nodes + more, "y")


@case("activations", (1024, 3, 64, 64))
def batch_fixed_at_a_thousand():
    nodes, last = chain(4, lambda x, y: node("Concat", [x, x], [y], axis=1))
    return model(nodes, last, shape=(1024, 3, 64, 64))


@case("twice")
def names_of_one_hash():
    """Names made to collide in glibc's hash table."""
    pairs = [bytes([0x41 + i, 0x7A - 16 * i]) for i in range(3)]
    names = [b""]
    for _ in range(8):
        names = [old + pair for old in names for pair in pairs]
    return model([fields(2, names) + field(1, "input") + field(4, "Split"), node("Relu", ["input"], ["input"])], "y")


@case("nested")
def graphs_nested_without_end():
    inner = b""
    for _ in range(3000):
        inner = field(1, field(5, field(1, "g") + field(6, inner) + field(20, 5)))
    return field(1, 7) + field(7, inner) + field(8, field(2, 13))


@case("unpack")
def messages_of_two_bytes():
    return field(1, 7) + field(7, b"\x0a\x00" * 60000) + field(7, b"\x0a\x00") * 20000


@case("along an axis", (1, 1, 1, 8))
def resize_to_a_line():
    return model([node("Resize", ["input", "", "s"], ["y"], mode="nearest")], "y",
                 [tensor("s", FLOAT, [4], struct.pack("<4f", 1, 1, 1, 2000000))], shape=("N", 1, 1, 8))


@case("activations")
def resize_by_thousands():
    return model([node("Resize", ["input", "", "s"], ["y"], mode="nearest")], "y",
                 [tensor("s", FLOAT, [4], struct.pack("<4f", 1, 1, 1000, 1000))])


class Hostile(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="saccade-hostile-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def infer(self, data, shape=(1, 3, 8, 8)):
        """Loads, plans and runs the model on images of shape. Returns status, text of the error and peak bytes."""
        path, image = self.directory / "model.onnx", self.directory / "input.npy"
        path.write_bytes(data)
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
        values = bytes(4 * math.prod(shape))
        image.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values)
        words = [SACCADE, "infer", "--model", path, "--input", image, "--output", self.directory / "output.npy"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SACCADE_")}
        with open(self.directory / "stderr", "wb") as stderr:
            process = subprocess.Popen(words, stderr=stderr, stdout=subprocess.DEVNULL, env=environment)
        signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.alarm(SECONDS)
        _, status, usage = os.wait4(process.pid, 0)
        signal.alarm(0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, (self.directory / "stderr").read_text("utf-8", "replace"), usage.ru_maxrss << 10


def sanitised():
    with open(SACCADE, "rb") as file:
        return b"__asan_" in file.read()


def add_case(title, build, expected, *shape):
    def test(self):
        data = build()
        self.assertLess(len(data), FILE_BYTES)
        status, error, peak = self.infer(data, *shape)
        self.assertIn(status, (0, 1), f"ended by a signal, or after {SECONDS} s: {error[-2000:]}")
        if expected:
            self.assertEqual(status, 1)
            self.assertIn(expected, error)
        if status == 1:
            self.assertRegex(error, r"^saccade infer: .")
        if not sanitised():  # a sanitizer keeps what is freed, and shadows of all
            self.assertLess(peak, PEAK_BYTES)
    setattr(Hostile, "test_" + title, test)


for title, case_ in CASES.items():
    add_case(title, *case_)
