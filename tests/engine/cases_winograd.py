"""3x3 convolutions of stride 1 with enough channels for Winograd's filtering, and what is fused into them. Tiles stick
out, channels do not fill vectors, batches are 3. See make_vectors.py."""
import numpy as np

from onnx_case import case


@case((1, 16, 12, 12))
def winograd_whole_tiles(c):
    return c.conv("input", 32, 16, 3, bias=True, pads=[1, 1, 1, 1])


@case((3, 17, 7, 11))
def winograd_tiles_stick_out_and_channels_fill_no_vector(c):
    return c.add("Relu", c.conv("input", 19, 17, 3, bias=True, pads=[1, 1, 1, 1]))


@case((2, 16, 9, 6))
def winograd_without_padding_clipped(c):
    return c.add("Clip", c.conv("input", 24, 16, 3), np.float32(-1), np.float32(6))


@case((1, 18, 8, 9))
def winograd_padded_on_two_sides_only(c):
    return c.conv("input", 16, 18, 3, bias=True, pads=[1, 0, 0, 1])


@case((1, 16, 5, 5))
def winograd_padded_beyond_the_kernel(c):
    return c.conv("input", 16, 16, 3, bias=True, pads=[3, 2, 3, 2])


@case((3, 16, 7, 7))
def winograd_residual_then_relu(c):
    value = c.add("Relu", c.conv("input", 16, 16, 3, bias=True, pads=[1, 1, 1, 1]))
    return c.add("Relu", c.add("Add", c.conv(value, 16, 16, 3, bias=True, pads=[1, 1, 1, 1]), "input"))


@case((2, 16, 6, 10))
def winograd_residual_that_is_read_again(c):
    shortcut = c.add("Relu", c.conv("input", 16, 16, 1, bias=True))
    total = c.add("Add", c.conv(shortcut, 16, 16, 3, bias=True, pads=[1, 1, 1, 1]), shortcut)
    return c.add("Mul", total, shortcut)


@case((2, 16, 5, 9))
def winograd_parts_of_a_concatenation(c):
    first = c.add("Relu", c.conv("input", 21, 16, 3, bias=True, pads=[1, 1, 1, 1]))
    second = c.conv("input", 16, 16, 3, pads=[1, 1, 1, 1])
    return c.conv(c.add("Concat", first, second, axis=1), 16, 37, 3, bias=True, pads=[1, 1, 1, 1])


@case((1, 16, 6, 6))
def winograd_takes_no_dilation(c):
    return c.conv("input", 16, 16, 3, bias=True, pads=[2, 2, 2, 2], dilations=[2, 2])


@case((1, 16, 6, 6))
def winograd_takes_no_activation_but_clipping(c):
    value = c.conv("input", 16, 16, 3, bias=True, pads=[1, 1, 1, 1])
    return c.add("Mul", value, c.add("Sigmoid", value))
