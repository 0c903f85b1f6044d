#!/usr/bin/env python3
"""Makes tests/engine/vectors_bad: ONNX files that must be refused, and what the refusal must name.

    python3 make_bad_models.py    writes vectors_bad/*.onnx, vectors_bad/expected.tsv and seeds for the fuzzer

expected.tsv has two columns: the file, and a part of the error text (the node, tensor or operator at fault).
Needs onnx and numpy. Nothing here was asked of ONNX Runtime: each file breaks a rule of the ONNX specification, of
protobuf, or asks for an operator that does not exist.
"""
import os
import pathlib
import shutil

import numpy as np
from onnx import TensorProto, helper

import bad_hostile  # noqa: F401, registers its cases
import bad_quantised  # noqa: F401
from bad_case import BAD, bad, external, good, good_with_conv, good_with_nodes, weight, with_second_node
from onnx_case import tensor

HERE = pathlib.Path(__file__).resolve().parent


# Files


@bad("ONNX")
def empty_file():
    return b""


@bad("ONNX")
def text_file():
    # What a clone without Git LFS leaves in the model's place.
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 102576593\n"


@bad("ONNX")
def truncated_file():
    return good()[:-700]


@bad("ONNX")
def varint_that_never_ends():
    return b"\x08" + b"\xff" * 64


@bad("ONNX")
def length_beyond_the_file():
    return b"\x08\x07\x3a\xff\xff\xff\xff\x07"


def nested(wrap, core, depth):
    for _ in range(depth):
        core = wrap(core)
    return core


def counted(number, payload):
    """One length-delimited protobuf field."""
    size, out = len(payload), bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2]) + bytes(out) + bytes([size]) + payload


@bad("nest")
def subgraphs_nested_too_deep(depth=5000):
    # A reader that recurses without a bound runs out of stack: graph -> node -> attribute -> graph.
    return b"\x08\x07" + counted(7, nested(lambda graph: counted(1, counted(5, counted(6, graph))), b"", depth))


@bad("nest")
def types_nested_too_deep(depth=5000):
    # graph -> input -> type -> sequence of type -> ...
    kind = nested(lambda inner: counted(4, counted(1, inner)), b"", depth)
    return b"\x08\x07" + counted(7, counted(11, counted(1, b"input") + counted(2, kind)))


@bad("graph")
def model_without_a_graph():
    return good(lambda model: model.ClearField("graph"))


@bad("output")
def graph_without_nodes():
    return good(lambda model: model.graph.ClearField("node"))


@bad("input")
def graph_without_inputs():
    return good(lambda model: model.graph.ClearField("input"))


@bad("output")
def graph_without_outputs():
    return good(lambda model: model.graph.ClearField("output"))


@bad("opset")
def no_opset():
    return good(lambda model: model.ClearField("opset_import"))


@bad("99")
def opset_of_the_future():
    return good(opset=99)


# Graphs


@bad("cycle")
def cycle():
    return good_with_nodes(
        helper.make_node("Add", ["input", "b"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["output"], name="last"),
    )


@bad("cycle")
def node_that_reads_itself():
    return good_with_nodes(
        helper.make_node("Add", ["input", "a"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["output"], name="last"),
    )


@bad("nowhere")
def missing_tensor():
    return good_with_nodes(helper.make_node("Add", ["input", "nowhere"], ["output"], name="sum"))


@bad("nowhere")
def missing_output():
    def change(model):
        model.graph.output[0].name = "nowhere"

    return good(change)


@bad("twice")
def duplicate_value_name():
    return good_with_nodes(
        helper.make_node("Relu", ["input"], ["twice"], name="first"),
        helper.make_node("Sigmoid", ["input"], ["twice"], name="second"),
        helper.make_node("Relu", ["twice"], ["output"], name="last"),
    )


@bad("weight")
def duplicate_initializer():
    return good(lambda model: model.graph.initializer.append(model.graph.initializer[0]))


@bad("input")
def value_named_as_the_input():
    return good_with_nodes(
        helper.make_node("Relu", ["input"], ["input"], name="first"),
        helper.make_node("Relu", ["input"], ["output"], name="last"),
    )


@bad("Frobnicate")
def unknown_operator():
    return good_with_nodes(helper.make_node("Frobnicate", ["input"], ["output"], name="odd"))


@bad("com.example")
def unknown_domain():
    return good_with_nodes(helper.make_node("Relu", ["input"], ["output"], name="odd", domain="com.example"))


@bad("odd")
def too_many_inputs():
    return good_with_nodes(helper.make_node("Relu", ["input", "input"], ["output"], name="odd"))


@bad("odd")
def too_few_inputs():
    return good_with_nodes(helper.make_node("Add", ["input"], ["output"], name="odd"))


@bad("branch")
def operator_with_subgraphs():
    body = helper.make_graph([helper.make_node("Relu", ["input"], ["x"])], "body", [], [])
    node = helper.make_node("If", ["input"], ["output"], name="branch", then_branch=body, else_branch=body)
    return good_with_nodes(node)


@bad("input")
def two_inputs_without_values():
    def change(model):
        model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1, 8, 5, 5]))
        model.graph.node[1].CopyFrom(helper.make_node("Add", ["features", "second"], ["output"], name="relu"))

    return good(change)


# Tensors


@bad("weight")
def raw_data_too_short():
    return weight(raw_data=bytes(100))


@bad("weight")
def raw_data_too_long():
    return weight(raw_data=bytes(8 * 4 * 9 * 4 + 4))


@bad("weight")
def float_data_too_short():
    return weight(raw_data=b"", float_data=[1.0, 2.0])


@bad("weight")
def negative_dimension():
    return weight(dims=[8, -4, 3, 3])


@bad("weight")
def dimensions_whose_product_overflows():
    return weight(dims=[1 << 32, 1 << 32, 3, 3])


@bad("weight")
def dimensions_whose_product_wraps_to_the_right_size():
    # 288 elements modulo 2^64.
    return weight(dims=[(1 << 62) + 72, 4, 1, 1])


@bad("weight")
def dimensions_far_beyond_the_data():
    return weight(dims=[1 << 20, 1 << 20, 3, 3])


@bad("weight")
def rank_of_a_thousand():
    return weight(dims=[1] * 996 + [8, 4, 3, 3])


@bad("weight")
def unknown_data_type():
    return weight(data_type=77)


@bad("weight")
def weight_of_strings():
    return weight(data_type=TensorProto.STRING, raw_data=b"")


@bad("weight")
def external_data_that_leaves_the_directory():
    return external("../vectors/conv_plain/input.npy")


@bad("weight")
def external_data_that_leaves_the_directory_by_a_detour():
    return external("a/../../vectors/conv_plain/input.npy")


@bad("weight")
def external_data_with_an_absolute_path():
    return external("/etc/hostname")


@bad("weight")
def external_data_that_is_missing():
    return external("missing.bin")


@bad("weight")
def external_data_beyond_its_file():
    return external("expected.tsv", offset="18446744073709551000", length="1152")


@bad("weight")
def external_data_longer_than_its_file():
    return external("expected.tsv", offset="16", length="1152000")


@bad("weight")
def external_data_without_a_location():
    return external("")


# Shapes and attributes


@bad("conv")
def conv_weight_for_other_channels():
    return good_with_conv(weight=(8, 5, 3, 3))


@bad("conv")
def conv_weight_of_rank_3():
    return good_with_conv(weight=(8, 4, 9))


@bad("conv")
def conv_kernel_shape_other_than_the_weight():
    return good_with_conv(kernel_shape=[5, 5])


@bad("conv")
def conv_group_that_does_not_divide():
    return good_with_conv(weight=(8, 1, 3, 3), group=3)


@bad("conv")
def conv_group_of_zero():
    return good_with_conv(group=0)


@bad("conv")
def conv_kernel_larger_than_the_padded_input():
    return good_with_conv(weight=(8, 4, 9, 9))


@bad("conv")
def conv_stride_of_zero():
    return good_with_conv(strides=[0, 1])


@bad("conv")
def conv_negative_dilation():
    return good_with_conv(dilations=[-1, 1])


@bad("conv")
def conv_pads_of_the_wrong_count():
    return good_with_conv(pads=[1, 1, 1])


@bad("conv")
def conv_pads_that_overflow():
    return good_with_conv(pads=[(1 << 63) - 1] * 4)


@bad("conv")
def conv_padding_beyond_all_memory():
    return good_with_conv(pads=[1 << 30] * 4)


@bad("conv")
def conv_negative_pads():
    return good_with_conv(pads=[-4, -4, -4, -4])


@bad("conv")
def conv_auto_pad_of_another_word():
    return good_with_conv(auto_pad="SAME_MIDDLE")


@bad("conv")
def conv_attribute_of_the_wrong_type():
    return good_with_conv(group="two")


@bad("sum")
def add_of_shapes_that_do_not_broadcast():
    def change(model):
        model.graph.node[1].CopyFrom(helper.make_node("Add", ["features", "input"], ["output"], name="sum"))

    return good(change)


@bad("second")
def reshape_to_another_number_of_elements():
    return with_second_node("Reshape", np.array([3, 7], np.int64))


@bad("second")
def reshape_with_two_unknowns():
    return with_second_node("Reshape", np.array([-1, -1], np.int64))


@bad("made from others")
def constants_of_gigabytes_in_a_few_bytes():
    nodes = [helper.make_node("Constant", [], ["shape"], value_ints=[1 << 24])]
    nodes += [helper.make_node("ConstantOfShape", ["shape"], [f"filled_{index}"]) for index in range(3)]
    return good_with_nodes(*nodes, helper.make_node("Relu", ["input"], ["output"]))


@bad("opsets")
def opsets_without_end():
    def change(model):
        model.opset_import.extend(helper.make_opsetid(f"domain {index}", 1) for index in range(100))

    return good(change)


@bad("training_mode")
def dropout_that_trains():
    training = helper.make_node("Constant", [], ["training"], value=tensor("true", np.array(True)))
    return good_with_nodes(training, helper.make_node("Dropout", ["input", "", "training"], ["output"]))


@bad("second")
def reshape_that_overflows():
    return with_second_node("Reshape", np.array([1 << 32, 1 << 32, 200], np.int64))


@bad("second")
def transpose_with_a_repeated_axis():
    return with_second_node("Transpose", perm=[0, 1, 1, 3])


@bad("second")
def flatten_axis_beyond_the_rank():
    return with_second_node("Flatten", axis=9)


@bad("second")
def concat_axis_beyond_the_rank():
    return with_second_node("Concat", axis=-7)


@bad("second")
def max_pool_without_kernel_shape():
    return with_second_node("MaxPool")


@bad("second")
def max_pool_kernel_of_zero():
    return with_second_node("MaxPool", kernel_shape=[0, 0])


@bad("second")
def max_pool_kernel_larger_than_its_input():
    return with_second_node("MaxPool", kernel_shape=[99, 99])


@bad("second")
def pad_with_the_wrong_number_of_pads():
    return with_second_node("Pad", np.array([1, 1], np.int64))


@bad("second")
def pad_that_removes_everything():
    return with_second_node("Pad", np.array([0, 0, -9, 0, 0, 0, -9, 0], np.int64))


@bad("second")
def matmul_of_shapes_that_do_not_fit():
    return with_second_node("MatMul", np.ones((7, 3), np.float32))


@bad("second")
def gemm_of_rank_4():
    return with_second_node("Gemm", np.ones((5, 3), np.float32))


@bad("second")
def squeeze_of_an_axis_that_is_not_1():
    return with_second_node("Squeeze", np.array([1], np.int64))


@bad("second")
def batch_norm_without_parameters():
    return with_second_node("BatchNormalization")


@bad("second")
def cast_to_a_type_that_does_not_exist():
    return with_second_node("Cast", to=99)


# Operators that pick, move and compare: what their constants ask for must exist


@bad("second")
def gather_of_an_index_beyond_the_data():
    return with_second_node("Gather", np.array([3, 8], np.int64), axis=1)


@bad("second")
def gather_elements_of_indices_larger_than_the_data():
    return with_second_node("GatherElements", np.zeros((2, 9, 9, 9), np.int64), axis=1)


@bad("second")
def gather_nd_deeper_than_the_data():
    return with_second_node("GatherND", np.zeros((1, 5), np.int64))


@bad("second")
def scatter_nd_of_updates_that_do_not_fit():
    return with_second_node("ScatterND", np.array([[0, 1]], np.int64), np.ones((3, 3), np.float32))


@bad("second")
def split_into_parts_of_other_sum():
    return with_second_node("Split", np.array([9], np.int64), axis=1)


@bad("second")
def split_of_a_negative_size():
    return with_second_node("Split", np.array([-8], np.int64), axis=1)


@bad("second")
def expand_to_what_does_not_broadcast():
    return with_second_node("Expand", np.array([1, 3, 5, 5], np.int64))


@bad("second")
def expand_beyond_all_limits():
    return with_second_node("Expand", np.array([2**40, 2**40, 1, 1, 1, 1], np.int64))


@bad("second")
def tile_of_overflowing_repeats():
    return with_second_node("Tile", np.array([2**62, 4, 1, 1], np.int64))


@bad("second")
def slice_of_step_0():
    zero, one = np.array([0], np.int64), np.array([1], np.int64)
    return with_second_node("Slice", zero, one, one, zero)


@bad("second")
def where_of_a_condition_that_is_no_bool():
    return with_second_node("Where", np.ones((1, 8, 5, 5), np.float32), np.ones((1,), np.float32))


@bad("second")
def reduce_of_an_axis_beyond_the_rank():
    return with_second_node("ReduceMax", axes=[4])


@bad("second")
def einsum_of_another_rank():
    return with_second_node("Einsum", equation="abc->abc")


@bad("second")
def einsum_of_a_label_from_nowhere():
    return with_second_node("Einsum", equation="abcd->abcz")


@bad("second")
def einsum_of_more_letters_than_dimensions_can_be():
    return with_second_node("Einsum", equation="abcdefghijklmnop->a")


@bad("second")
def resize_by_a_negative_scale():
    return with_second_node("Resize", np.zeros(0, np.float32), np.array([1, 1, -2, 1], np.float32))


@bad("second")
def resize_beyond_all_limits():
    return with_second_node("Resize", np.zeros(0, np.float32), np.array([1, 1, 1e30, 1], np.float32))


@bad("second")
def top_k_of_more_than_there_is():
    return with_second_node("TopK", np.array([99], np.int64))


@bad("second")
def layer_normalization_of_a_scale_that_does_not_fit():
    return with_second_node("LayerNormalization", np.ones((4,), np.float32), opset=17)


@bad("second")
def transposed_convolution_of_other_channels():
    return with_second_node("ConvTranspose", np.ones((7, 2, 3, 3), np.float32))


@bad("second")
def pool_whose_padding_exceeds_its_kernel():
    return with_second_node("MaxPool", kernel_shape=[2, 2], pads=[3, 3, 3, 3])


@bad("second")
def depth_to_space_of_blocks_that_do_not_divide():
    return with_second_node("DepthToSpace", blocksize=3)


@bad("'input' is not a tensor")
def input_that_is_a_sequence():
    def change(model):
        kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [1, 4, 7, 7]))
        model.graph.input[0].type.CopyFrom(kind)

    return good(change)


def write_seeds(files):
    """Small files of both kinds for the fuzzer: it starts where the reader has been."""
    corpus = HERE.parent / "fuzz" / "corpus" / "onnx"
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    shallow = {build.__name__: build(depth=30) for build in (subgraphs_nested_too_deep, types_nested_too_deep)}
    for name, data in (files | shallow).items():
        if data:
            (corpus / name).write_bytes(data)
    for path in sorted((HERE / "vectors").glob("*/model.onnx")):
        if path.stat().st_size < 1000:
            (corpus / path.parent.name).write_bytes(path.read_bytes())
    return sum(path.stat().st_size for path in corpus.iterdir())


def main():
    directory = HERE / "vectors_bad"
    files = {name: build() for name, (build, _) in BAD.items()}
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for name, data in files.items():
        (directory / f"{name}.onnx").write_bytes(data)
    (directory / "folder").mkdir()
    (directory / "folder" / "data").write_bytes(bytes(4))
    os.symlink("expected.tsv", directory / "link")
    os.symlink("..", directory / "up")
    rows = [f"{name}.onnx\t{expected}\n" for name, (_, expected) in BAD.items()]
    (directory / "expected.tsv").write_text("".join(rows))
    print(f"{len(files)} files, {sum(map(len, files.values()))} bytes; seeds {write_seeds(files)} bytes")


if __name__ == "__main__":
    main()
