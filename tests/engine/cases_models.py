"""What exporters make of a classifier: the order of the input's axes, the ends, several outputs, each opset. See
make_vectors.py; test_classifier.c says of some of these models what else must hold."""
import numpy as np

from onnx_case import case

TO_CHANNELS_FIRST, TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def scores(c, value, channels, classes=10):
    return c.add("Gemm", c.pooled(value), c.uniform(classes, channels), c.uniform(classes), transB=1)


# [N, H, W, C], as TensorFlow's exporters write it


@case((2, 9, 7, 3))
def nhwc_transposed_at_the_entry(c):
    value = c.add("Transpose", "input", perm=TO_CHANNELS_FIRST)
    return scores(c, c.add("Relu", c.conv(value, 8, 3, 3, pads=[1, 1, 1, 1])), 8)


@case((2, 9, 7, 3))
def nhwc_transposed_for_two_readers(c):
    one = c.conv(c.add("Transpose", "input", perm=TO_CHANNELS_FIRST), 8, 3, 3, strides=[2, 2])
    two = c.add("Transpose", "input", perm=TO_CHANNELS_FIRST)
    two = c.conv(c.add("MaxPool", two, kernel_shape=[3, 3], strides=[2, 2]), 8, 3, 1)
    return scores(c, c.add("Add", one, two), 8)


@case((2, 9, 7, 3))
def nhwc_normalised_before_the_transpose(c):
    value = c.add("Sub", c.add("Mul", "input", np.float32(2.0)), c.uniform(3))
    value = c.add("Transpose", value, perm=TO_CHANNELS_FIRST)
    return scores(c, c.conv(value, 8, 3, 3), 8)


@case((2, 9, 7, 3))
def nhwc_without_a_transpose(c):
    return c.add("MatMul", c.add("Reshape", "input", c.int64(-1, 189)), c.uniform(189, 5))


@case((3, 12, 12, 3))
def nhwc_mobilenet_as_tf2onnx_writes_it_batch_3(c):
    """Pixels of 0 to 255 scaled inside, padding as a node of its own on the side where TensorFlow pads, there and back
    again around what stayed in TensorFlow's order."""
    value = c.add("Sub", c.add("Div", "input", np.float32(127.5)), np.float32(1.0))
    value = c.add("Transpose", value, perm=TO_CHANNELS_FIRST)
    value = c.add("Pad", value, c.int64(0, 0, 0, 0, 0, 0, 1, 1))
    value = c.batch_norm(c.conv(value, 8, 3, 3, strides=[2, 2]), 8)
    value = c.add("Clip", value, np.float32(0), np.float32(6))
    value = c.add("Transpose", value, perm=TO_CHANNELS_LAST)
    value = c.add("Mul", value, c.uniform(8, low=0.5))
    value = c.add("Transpose", value, perm=TO_CHANNELS_FIRST)
    value = c.conv(value, 8, 8, 3, group=8, auto_pad="SAME_UPPER", strides=[2, 2])
    value = c.add("Transpose", c.add("GlobalAveragePool", value), perm=TO_CHANNELS_LAST)
    value = c.add("Squeeze", value, c.int64(1, 2))
    value = c.add("Add", c.add("MatMul", value, c.uniform(8, 10)), c.uniform(10))
    return c.add("Softmax", value, axis=-1)


@case((2, 4, 5, 6))
def transposes_between_convolutions_and_one_reader_of_the_middle(c):
    value = c.conv("input", 8, 4, 3, pads=[1, 1, 1, 1])
    last = c.add("Transpose", value, perm=TO_CHANNELS_LAST)
    last = c.add("Add", last, c.uniform(8))
    first = c.add("Transpose", c.add("Relu", last), perm=TO_CHANNELS_FIRST)
    value = c.add("Add", c.conv(first, 8, 8, 1), value)
    return c.add("Add", c.add("Transpose", value, perm=TO_CHANNELS_LAST), last)


# A picture of another size than usual, and a batch that the file fixes


@case((2, 3, 29, 17), batch=2)
def batch_of_two_fixed_by_the_file(c):
    value = c.add("Relu", c.conv("input", 8, 3, 3, strides=[2, 2]))
    value = c.add("Reshape", value, c.int64(2, -1))
    return c.add("MatMul", value, c.uniform(8 * 14 * 8, 5))


@case((1, 3, 29, 17), batch=1)
def batch_of_one_fixed_by_the_file(c):
    value = c.add("Relu", c.conv("input", 8, 3, 3, strides=[2, 2]))
    value = c.add("Reshape", value, c.int64(1, -1))
    return c.add("MatMul", value, c.uniform(8 * 14 * 8, 5))


@case((2, 3, 29, 17), open_size=True)
def height_and_width_left_open_by_the_file(c):
    return scores(c, c.add("Relu", c.conv("input", 8, 3, 3, strides=[2, 2])), 8)


# Logits and probabilities


@case((2, 6, 3, 3))
def ends_in_logits(c):
    return scores(c, "input", 6)


@case((2, 6, 3, 3))
def ends_in_softmax_over_channels_then_squeeze(c):
    value = c.conv(c.add("GlobalAveragePool", "input"), 10, 6, 1)
    return c.add("Squeeze", c.add("Softmax", value, axis=1), c.int64(2, 3))


@case((2, 6, 3, 3), opset=11)
def ends_in_softmax_of_opset_11_over_several_axes(c):
    value = c.conv(c.add("GlobalAveragePool", "input"), 10, 6, 1)
    return c.add("Identity", c.add("Reshape", c.add("Softmax", value), c.int64(0, -1)))


@case((2, 6, 3, 3))
def ends_in_softmax_between_transposes(c):
    value = c.add("Transpose", scores(c, "input", 6), perm=[1, 0])
    return c.add("Transpose", c.add("Softmax", value, axis=0), perm=[1, 0])


@case((2, 6, 3, 3))
def ends_in_softmax_over_the_batch_which_gives_no_probabilities(c):
    return c.add("Softmax", scores(c, "input", 6), axis=0)


@case((2, 6, 3, 3))
def ends_in_softmax_and_then_a_product(c):
    return c.add("Mul", c.add("Softmax", scores(c, "input", 6), axis=1), np.float32(7))


@case((2, 6, 3, 3))
def ends_in_sigmoid(c):
    return c.add("Sigmoid", scores(c, "input", 6))


# Several outputs: the scores are not always the first one


@case((2, 6, 3, 3), others_after=True)
def outputs_of_training_heads_after_the_scores(c):
    c.others = [scores(c, c.conv("input", 4, 6, 3), 4)]
    return scores(c, "input", 6)


@case((2, 6, 3, 3), labels=10)
def outputs_of_features_before_the_scores(c):
    c.others = [c.pooled()]
    return scores(c, "input", 6)


# Opsets 11 to 17: what changed between them, as an exporter of that opset writes it


def classifier_of(opset):
    @case((2, 3, 12, 10), opset=opset, name=f"classifier_of_opset_{opset}")
    def build(c):
        value = c.batch_norm(c.conv("input", 8, 3, 3, strides=[2, 2]), 8)
        value = c.add("Clip", value, np.float32(0), np.float32(6))
        if opset >= 14:
            value = c.add("HardSwish", value)
        else:
            value = c.add("Mul", value, c.add("HardSigmoid", value, alpha=1 / 6, beta=0.5))
        value = c.add("Pad", value, c.int64(0, 0, 0, 1, 0, 0, 1, 0))
        value = c.conv(value, 8, 8, 3, group=8)
        # The shape comes from the value itself, as torch writes x.flatten(1) for an open batch axis.
        pooled = c.add("ReduceMean", value, axes=[2, 3], keepdims=1)
        shape = c.add("Gather", c.add("Shape", pooled), c.constant(0, np.int64), axis=0)
        if opset >= 13:
            shape = c.add("Unsqueeze", shape, c.int64(0))
            gate = c.add("Squeeze", pooled, c.int64(2, 3))
        else:
            shape = c.add("Unsqueeze", shape, axes=[0])
            gate = c.add("Squeeze", pooled, axes=[2, 3])
        value = c.add("Reshape", pooled, c.add("Concat", shape, c.int64(-1), axis=0))
        value = c.add("Mul", value, c.add("Sigmoid", gate))
        value = c.add("Dropout", value, c.constant(np.float32(0.2)), c.constant(False)) if opset >= 12 else c.add(
            "Dropout", value, ratio=0.2)
        return c.add("Softmax", c.add("Gemm", value, c.uniform(10, 8), c.uniform(10), transB=1), axis=1)

    return build


for opset in range(11, 18):
    classifier_of(opset)
