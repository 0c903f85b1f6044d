"""A short way to write small ONNX models, for make_vectors.py and make_bad_models.py."""
import zlib

import numpy as np
from onnx import TensorProto, helper, numpy_helper

CASES = {}


def case(shape=(1, 4, 7, 9), opset=13, low=-1.0, high=1.0, name=None, **options):
    """Registers a function (Case) -> name of the output value, under the function's own name or another one. The input
    has the given shape and lies between low and high; external names a file for the weights, labels writes a
    config.json with so many, watch names nodes whose outputs are references too; other options go to Case.model()."""

    def register(build):
        CASES[name or build.__name__] = (build, shape, opset, low, high, options)
        return build

    return register


def tensor(name, values, raw=True):
    """An initializer. raw=False: typed data fields instead of raw_data, as some exporters write them."""
    values = np.asarray(values)
    if raw:
        return numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    return helper.make_tensor(name, kind, values.shape, values.flatten().tolist())


class Case:
    """One model under construction. Values are named after their nodes; random numbers depend on the case's name
    alone, so that adding a case changes no other."""

    def __init__(self, name):
        self.name = name
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes = []
        self.initializers = []
        self.others = []  # values that become outputs beside the scores

    def uniform(self, *shape, low=-1.0, high=1.0):
        return self.random.uniform(low, high, shape).astype(np.float32)

    def constant(self, values, dtype=None, raw=True):
        """Adds an initializer, returns its name."""
        values = np.asarray(values, dtype)
        if values.dtype == np.float64:
            values = values.astype(np.float32)
        name = f"initializer_{len(self.initializers)}"
        self.initializers.append(tensor(name, values, raw))
        return name

    def add(self, operator, *inputs, outputs=1, **attributes):
        """Adds a node, returns its first output. An input may be an array: it becomes an initializer."""
        inputs = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        name = f"{operator.lower()}_{len(self.nodes)}"
        names = [name] + [f"{name}_{index}" for index in range(1, outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, **attributes))
        return name

    def filters(self, out_channels, in_channels, kernel):
        """[O, I, H, W], scaled so that the output is about as large as the input."""
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        fan_in = in_channels * kernel[0] * kernel[1]
        return self.uniform(out_channels, in_channels, *kernel) * np.float32(np.sqrt(3 / fan_in))

    def conv(self, value, out_channels, in_channels, kernel, bias=False, group=1, **attributes):
        weight = self.filters(out_channels, in_channels // group, kernel)
        inputs = [value, weight] + ([self.uniform(out_channels)] if bias else [])
        if group != 1:
            attributes["group"] = group
        return self.add("Conv", *inputs, **attributes)

    def batch_norm(self, value, channels, **attributes):
        scale = self.uniform(channels, low=0.5, high=1.5)
        bias, mean = self.uniform(channels), self.uniform(channels)
        variance = self.uniform(channels, low=0.2, high=2.0)
        return self.add("BatchNormalization", value, scale, bias, mean, variance, **attributes)

    def pooled(self, value="input"):
        """[N, C, H, W] to [N, C]."""
        return self.add("Flatten", self.add("GlobalAveragePool", value))

    def int64(self, *values):
        return self.constant(values, np.int64)

    def move_weights(self, path):
        """Moves the initializers' bytes into a file of their own, each at an offset that is a multiple of 64."""
        data = b""
        for initializer in self.initializers:
            data += bytes(-len(data) % 64)
            where = {"location": path.name, "offset": len(data), "length": len(initializer.raw_data)}
            for key, value in where.items():
                initializer.external_data.add(key=key, value=str(value))
            data += initializer.raw_data
            initializer.ClearField("raw_data")
            initializer.data_location = TensorProto.EXTERNAL
        path.write_bytes(data)

    def model(self, output, input_shape, opset=13, ir_version=None, batch="N", listed_inputs=False,
              open_size=False, others_after=False, microsoft=False):
        """The finished model; output is the value that becomes the graph's output "output", of unknown shape. self.others
        are outputs before it, or after it."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    if name == output:
                        names[index] = "output"
        size = ["height", "width"] if open_size else input_shape[2:]
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, input_shape[1], *size])]
        if listed_inputs:
            inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.initializers]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.others]
        outputs.insert(0 if others_after else len(outputs), helper.make_tensor_value_info("output", TensorProto.FLOAT, None))
        graph = helper.make_graph(
            self.nodes,
            self.name,
            inputs,
            outputs,
            self.initializers,
        )
        return helper.make_model(
            graph,
            producer_name="saccade tests",
            ir_version=ir_version or 7,
            opset_imports=[helper.make_opsetid("", opset)] + [helper.make_opsetid("com.microsoft", 1)] * microsoft,
        )
