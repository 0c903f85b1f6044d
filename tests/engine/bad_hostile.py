"""Files that ask for too much, contradict themselves or reach for what is not theirs: cases of make_bad_models.py."""
import numpy as np
from onnx import AttributeProto, TensorProto, helper

from bad_case import bad, external, good, good_with_conv, good_with_nodes, with_second_node
from onnx_case import tensor

RELU = helper.make_node("Relu", ["input"], ["output"], name="relu")


def attribute(name, **fields):
    """An attribute whose type and fields need not agree."""
    return AttributeProto(name=name, **fields)


def relu_with(*attributes, operator="Relu", inputs=("input",)):
    node = helper.make_node(operator, list(inputs), ["output"], name="odd")
    node.attribute.extend(attributes)
    return good_with_nodes(node)


def input_of(*dims, kind=TensorProto.FLOAT):
    def change(model):
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", kind, list(dims)))

    return good(change)


def filled(name, *dims):
    """A constant of many bytes, made of few."""
    shape = helper.make_node("Constant", [], [f"{name}_shape"], value_ints=list(dims))
    return [shape, helper.make_node("ConstantOfShape", [f"{name}_shape"], [name], name=name)]


# Names


@bad("twice")
def attribute_given_twice():
    values = [attribute("alpha", type=AttributeProto.FLOAT, f=value) for value in (1, 2)]
    return relu_with(*values, operator="LeakyRelu")


@bad("64")
def attributes_without_end():
    return relu_with(*(attribute(f"a{index}", type=AttributeProto.INT, i=1) for index in range(65)))


@bad("weight")
def output_named_as_an_initializer():
    def change(model):
        model.graph.node[0].output[0] = "weight"
        model.graph.node[1].input[0] = "weight"

    return good(change)


@bad("twice")
def node_with_one_name_for_two_outputs():
    return good_with_nodes(helper.make_node("Split", ["input"], ["twice", "twice"], axis=1, name="halves"),
                           helper.make_node("Relu", ["twice"], ["output"]))


@bad("second_input")
def two_inputs_of_a_name_each():
    def change(model):
        model.graph.input.append(helper.make_tensor_value_info("second_input", TensorProto.FLOAT, [1, 4, 7, 7]))

    return good(change)


@bad("no name")
def input_without_a_name():
    return good(lambda model: model.graph.input[0].ClearField("name"))


@bad("cycle")
def long_cycle():
    nodes = [helper.make_node("Add", ["input", "v99"], ["v0"], name="first")]
    nodes += [helper.make_node("Relu", [f"v{index}"], [f"v{index + 1}"]) for index in range(99)]
    return good_with_nodes(*nodes, helper.make_node("Relu", ["v99"], ["output"]))


@bad("out of order")
def nodes_out_of_order():
    return good_with_nodes(helper.make_node("Relu", ["later"], ["output"], name="last"),
                           helper.make_node("Relu", ["input"], ["later"], name="first"))


# Attributes of the wrong type


@bad("alpha")
def alpha_of_an_integer():
    return relu_with(attribute("alpha", type=AttributeProto.INT, i=1), operator="LeakyRelu")


@bad("axis")
def axis_of_a_float():
    return with_second_node("Softmax", axis=1.5)


@bad("perm")
def perm_of_floats():
    return with_second_node("Transpose", perm=[0.0, 1.0, 2.0, 3.0])


@bad("auto_pad")
def auto_pad_of_an_integer():
    return good_with_conv(auto_pad=1)


@bad("kernel_shape")
def kernel_shape_of_one_integer():
    return with_second_node("MaxPool", kernel_shape=2)


@bad("strides")
def strides_of_a_string():
    return good_with_conv(strides="two")


@bad("to")
def cast_to_a_word():
    return with_second_node("Cast", to="float")


@bad("value")
def constant_of_a_tensor_that_is_missing():
    odd = helper.make_node("Constant", [], ["odd"], name="constant")
    odd.attribute.append(attribute("value", type=AttributeProto.TENSOR))
    return good_with_nodes(odd, helper.make_node("Add", ["input", "odd"], ["output"]))


@bad("constant")
def constant_of_a_graph():
    body = helper.make_graph([RELU], "body", [], [])
    odd = helper.make_node("Constant", [], ["odd"], name="constant", value=body)
    return good_with_nodes(odd, helper.make_node("Add", ["input", "odd"], ["output"]))


@bad("axis")
def attribute_without_a_type():
    return relu_with(attribute("axis", i=1), operator="Softmax")


# Shapes


@bad("channels")
def input_of_negative_channels():
    return input_of(1, -4, 7, 7)


@bad("input")
def input_of_too_many_channels():
    return input_of(1, 1 << 40, 7, 7)


@bad("input")
def input_too_high():
    return input_of(1, 4, 1 << 62, 7)


@bad("input")
def input_of_rank_5():
    return input_of(1, 4, 7, 7, 1)


@bad("input")
def input_of_integers():
    return input_of(1, 4, 7, 7, kind=TensorProto.INT64)


@bad("input")
def input_of_a_sequence():
    def change(model):
        kind = helper.make_tensor_sequence_value_info("input", TensorProto.FLOAT, [1, 4, 7, 7])
        model.graph.input[0].CopyFrom(kind)

    return good(change)


@bad("second")
def reshape_by_a_negative_dimension():
    return with_second_node("Reshape", np.array([1, -8, -25], np.int64))


@bad("second")
def expand_beyond_all_memory():
    return with_second_node("Expand", np.array([1 << 40, 8, 5, 5], np.int64))


@bad("second")
def expand_by_a_negative_dimension():
    return with_second_node("Expand", np.array([-1, 8, 5, 5], np.int64))


@bad("second")
def tile_that_overflows():
    return with_second_node("Tile", np.array([1 << 62, 1 << 62, 1, 1], np.int64))


@bad("activations")
def pad_to_gigabytes():
    return with_second_node("Pad", np.array([0, 0, 0, 0, 0, 0, 16000, 16000], np.int64))


@bad("second")
def pad_that_overflows():
    return with_second_node("Pad", np.array([0, 0, (1 << 63) - 1, 0, 0, 0, (1 << 63) - 1, 0], np.int64))


@bad("filled")
def constant_of_a_negative_shape():
    return good_with_nodes(*filled("filled", -1, 4), helper.make_node("Relu", ["input"], ["output"]))


@bad("filled")
def constant_of_an_overflowing_shape():
    return good_with_nodes(*filled("filled", 1 << 33, 1 << 33), helper.make_node("Relu", ["input"], ["output"]))


@bad("made from others")
def constants_doubled_without_end():
    nodes = [helper.make_node("Concat", [f"v{index}"] * 2, [f"v{index + 1}"], axis=0) for index in range(30)]
    return good_with_nodes(*filled("v0", 1000), *nodes, helper.make_node("Relu", ["input"], ["output"]))


@bad("reading and writing")
def constants_walked_without_end():
    nodes = [helper.make_node("ReduceSum", ["big"], [f"v{index}"], keepdims=0) for index in range(40)]
    return good_with_nodes(*filled("big", 1 << 23), *nodes, helper.make_node("Relu", ["input"], ["output"]))


@bad("machine code")
def convolution_of_a_kernel_as_wide_as_no_image():
    return good_with_nodes(*filled("wide", 1, 4, 1, 60000),
                           helper.make_node("Conv", ["input", "wide"], ["output"], pads=[0, 30000, 0, 30000]))


@bad("operations")
def products_without_end():
    nodes = [helper.make_node("Reshape", ["input", "rows"], ["v0"])]
    nodes += [helper.make_node("Concat", ["v0"] * 64, ["v1"], axis=0)]
    nodes += [helper.make_node("Concat", ["v1"] * 32, ["v2"], axis=0)]
    nodes += [helper.make_node("MatMul", ["v2", "wide"], ["w0"])]
    nodes += [helper.make_node("MatMul", [f"w{index}", "square"], [f"w{index + 1}"]) for index in range(10)]
    rows = helper.make_node("Constant", [], ["rows"], value_ints=[-1, 49])
    return good_with_nodes(rows, *filled("wide", 49, 2048), *filled("square", 2048, 2048), *nodes,
                           helper.make_node("Relu", ["w10"], ["output"]))


# External data


@bad("leaves the model's directory")
def external_data_of_the_directory_itself():
    return external("./expected.tsv")


@bad("leaves the model's directory")
def external_data_in_an_empty_folder():
    return external("folder//expected.tsv")


@bad("link")
def external_data_by_a_link():
    return external("link", length="1152")


@bad("'up' is no directory")
def external_data_by_a_link_to_a_directory():
    return external("up/onnx_case.py", length="1152")


@bad("not a regular file")
def external_data_that_is_a_directory():
    return external("folder", length="1152")


@bad("number")
def external_data_at_a_negative_offset():
    return external("expected.tsv", offset="-4", length="1152")


@bad("number")
def external_data_at_an_offset_beyond_64_bits():
    return external("expected.tsv", offset="99999999999999999999999999", length="1152")


@bad("need")
def external_data_of_another_length():
    return external("expected.tsv", length="4")


@bad("weight")
def typed_values_fewer_than_the_shape():
    def change(model):
        model.graph.initializer[0].CopyFrom(tensor("weight", np.ones((8, 4, 3, 3), np.float32), raw=False))
        del model.graph.initializer[0].float_data[10:]

    return good(change)
