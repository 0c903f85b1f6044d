"""What make_bad_models.py and its parts share: a registry of files that must be refused, and models to be spoilt."""
import numpy as np
from onnx import TensorProto, helper

from onnx_case import Case, tensor

SHAPE = (1, 4, 7, 7)
BAD = {}


def bad(expected):
    """Registers a function () -> bytes of a file whose error text must contain expected."""

    def register(build):
        BAD[build.__name__] = (build, expected)
        return build

    return register


def good(change=None, opset=13):
    """A model of a convolution "conv" with the initializer "weight" and a Relu "relu"; change(model) spoils it."""
    c = Case("good")
    c.nodes.append(helper.make_node("Conv", ["input", "weight"], ["features"], name="conv", kernel_shape=[3, 3]))
    c.nodes.append(helper.make_node("Relu", ["features"], ["activation"], name="relu"))
    c.initializers.append(tensor("weight", c.filters(8, 4, 3)))
    model = c.model("activation", SHAPE, opset)
    if change:
        change(model)
    return model.SerializeToString(deterministic=True)


def good_with_nodes(*nodes, opset=13):
    """A model of the given nodes alone."""

    def change(model):
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    return good(change, opset)


def good_with_conv(channels=8, weight=(8, 4, 3, 3), **attributes):
    def change(model):
        node = helper.make_node("Conv", ["input", "weight"], ["features"], name="conv", **attributes)
        model.graph.node[0].CopyFrom(node)
        model.graph.initializer[0].CopyFrom(tensor("weight", np.ones(weight, np.float32)))

    return good(change)


def weight(**fields):
    def change(model):
        initializer = model.graph.initializer[0]
        for name, value in fields.items():
            if isinstance(value, list):
                initializer.ClearField(name)
                getattr(initializer, name).extend(value)
            else:
                setattr(initializer, name, value)

    return good(change)


def external(location, **extra):
    def change(model):
        initializer = model.graph.initializer[0]
        initializer.ClearField("raw_data")
        initializer.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **extra}.items():
            entry = initializer.external_data.add()
            entry.key, entry.value = key, value

    return good(change)


def with_second_node(operator, *values, opset=13, **attributes):
    """features -> operator "second" with the values as initializers."""

    def change(model):
        names = [f"values_{index}" if index else "values" for index in range(len(values))]
        node = helper.make_node(operator, ["features"] + names, ["output"], name="second", **attributes)
        model.graph.node[1].CopyFrom(node)
        model.graph.initializer.extend(map(tensor, names, values))

    return good(change, opset)
