"""What transformers are made of, as exporters write it out, and near-misses that must not be taken for it. See
make_vectors.py; test_fusion.c says which steps must come out of each."""
import math

import numpy as np

from onnx_case import case

# Rows


def rows(c, value="input", perm=(0, 2, 3, 1)):
    """[N, C, H, W] with the channels last."""
    return c.add("Transpose", value, perm=list(perm))


def layer_norm(c, value, k, square="Pow", axes=(-1,), epsilon=np.float32(1e-5), gamma=None, beta=None):
    """As PyTorch writes it until opset 16. Returns the result, x - mean and the mean."""
    mean = c.add("ReduceMean", value, axes=list(axes))
    centred = c.add("Sub", value, mean)
    squared = c.add("Pow", centred, np.float32(2)) if square == "Pow" else c.add("Mul", centred, centred)
    variance = c.add("ReduceMean", squared, axes=list(axes))
    root = c.add("Sqrt", c.add("Add", variance, epsilon))
    scaled = c.add("Mul", c.add("Div", centred, root), c.uniform(k, low=0.5, high=1.5) if gamma is None else gamma)
    return c.add("Add", scaled, c.uniform(k) if beta is None else beta), centred, mean


def linear(c, value, k, n, bias=True):
    weight = c.uniform(k, n) * np.float32(math.sqrt(3 / k))
    product = c.add("MatMul", value, weight)
    return c.add("Add", c.uniform(n), product) if bias else product


def gelu(c, value):
    erf = c.add("Erf", c.add("Div", value, np.float32(math.sqrt(2))))
    return c.add("Mul", c.add("Mul", value, c.add("Add", erf, np.float32(1))), np.float32(0.5))


@case((2, 21, 3, 4), opset=14)
def layer_norm_written_out(c):
    return layer_norm(c, rows(c), 21)[0]


@case((1, 70, 3, 2), opset=14, low=9.0, high=11.0)
def layer_norm_with_a_square_as_a_product(c):
    return layer_norm(c, rows(c), 70, square="Mul")[0]


@case((2, 5, 3, 4), opset=17)
def layer_normalization_of_opset_17(c):
    return c.add("LayerNormalization", rows(c), c.uniform(5, low=0.5, high=1.5), c.uniform(5), axis=-1, epsilon=1e-3)


@case((2, 5, 3, 4), opset=17)
def layer_normalization_of_opset_17_over_two_dimensions(c):
    return c.add("LayerNormalization", "input", c.uniform(3, 4, low=0.5, high=1.5), c.uniform(3, 4), axis=2)


@case((2, 8, 3, 4), opset=14)
def layer_norm_over_channels_that_are_not_last(c):
    gamma, beta = c.uniform(8, 1, 1, low=0.5, high=1.5), c.uniform(8, 1, 1)
    return layer_norm(c, "input", 8, axes=(1,), gamma=gamma, beta=beta)[0]


@case((2, 8, 3, 4), opset=14)
def layer_norm_whose_difference_is_read_elsewhere(c):
    value, centred, _ = layer_norm(c, rows(c), 8)
    return c.add("Add", value, centred)


@case((2, 8, 3, 4), opset=14)
def layer_norm_whose_mean_is_read_elsewhere(c):
    value, _, mean = layer_norm(c, rows(c), 8)
    return c.add("Mul", value, mean)


@case((2, 8, 3, 4), opset=14)
def layer_norm_with_an_epsilon_for_each_row(c):
    return layer_norm(c, rows(c), 8, epsilon=c.uniform(3, 4, 1, low=0.1, high=1.0))[0]


@case((2, 8, 3, 8), opset=14)
def layer_norm_whose_gamma_is_not_along_the_row(c):
    return layer_norm(c, rows(c), 8, gamma=c.uniform(8, 1))[0]


@case((2, 8, 3, 4), opset=14)
def layer_norm_of_a_power_of_4(c):
    value = rows(c)
    centred = c.add("Sub", value, c.add("ReduceMean", value, axes=[-1]))
    variance = c.add("ReduceMean", c.add("Pow", centred, np.float32(4)), axes=[-1])
    root = c.add("Sqrt", c.add("Add", variance, np.float32(1e-5)))
    return c.add("Add", c.add("Mul", c.add("Div", centred, root), c.uniform(8)), c.uniform(8))


# Gelu


@case((2, 6, 5, 4), low=-5.0, high=5.0)
def gelu_as_pytorch_writes_it(c):
    return gelu(c, "input")


@case((2, 6, 5, 4), low=-5.0, high=5.0)
def gelu_with_the_half_first(c):
    erf = c.add("Erf", c.add("Mul", "input", np.float32(math.sqrt(0.5))))
    return c.add("Mul", c.add("Mul", np.float32(0.5), "input"), c.add("Add", np.float32(1), erf))


@case((2, 6, 5, 4), low=-5.0, high=5.0)
def gelu_with_the_half_at_the_sum(c):
    erf = c.add("Erf", c.add("Div", "input", np.float32(math.sqrt(2))))
    return c.add("Mul", "input", c.add("Mul", c.add("Add", erf, np.float32(1)), np.float32(0.5)))


@case((2, 6, 5, 4), low=-5.0, high=5.0)
def gelu_with_another_divisor(c):
    erf = c.add("Erf", c.add("Div", "input", np.float32(1.5)))
    return c.add("Mul", c.add("Mul", "input", c.add("Add", erf, np.float32(1))), np.float32(0.5))


@case((2, 6, 5, 4), low=-5.0, high=5.0)
def gelu_with_another_factor(c):
    erf = c.add("Erf", c.add("Div", "input", np.float32(math.sqrt(2))))
    return c.add("Mul", c.add("Mul", "input", c.add("Add", erf, np.float32(1))), np.float32(0.4))


@case((2, 6, 5, 4), low=-5.0, high=5.0)
def gelu_of_one_value_times_another(c):
    erf = c.add("Erf", c.add("Div", "input", np.float32(math.sqrt(2))))
    other = c.add("Abs", "input")
    return c.add("Mul", c.add("Mul", other, c.add("Add", erf, np.float32(1))), np.float32(0.5))


@case((2, 6, 5, 4), low=-5.0, high=5.0)
def gelu_whose_erf_is_read_elsewhere(c):
    erf = c.add("Erf", c.add("Div", "input", np.float32(math.sqrt(2))))
    value = c.add("Mul", c.add("Mul", "input", c.add("Add", erf, np.float32(1))), np.float32(0.5))
    return c.add("Sub", value, erf)


# Products


@case((2, 12, 3, 5))
def product_with_bias_gelu_and_residual(c):
    value = rows(c)
    return c.add("Add", value, linear(c, gelu(c, linear(c, value, 12, 40)), 40, 12))


@case((1, 12, 3, 5))
def product_of_few_rows(c):
    return linear(c, rows(c), 12, 7)


@case((2, 12, 3, 5))
def product_whose_sum_has_a_bias_for_each_row(c):
    return c.add("Add", linear(c, rows(c), 12, 5, bias=False), c.uniform(5, 1))


@case((2, 12, 3, 5))
def product_read_before_and_after_its_bias(c):
    product = linear(c, rows(c), 12, 7, bias=False)
    return c.add("Mul", product, c.add("Add", product, c.uniform(7)))


@case((2, 12, 3, 6))
def product_flattened_around_a_gemm(c):
    flat = c.add("Reshape", rows(c), c.int64(-1, 12))
    value = c.add("Gemm", flat, c.uniform(7, 12), c.uniform(7), transB=1)
    return c.add("Reshape", value, c.int64(-1, 3, 6, 7))


@case((2, 12, 4, 6))
def product_in_another_order_of_rows_with_residual(c):
    # As nn.MultiheadAttention has it: the first two dimensions change places before the product and after it.
    value = c.add("Reshape", rows(c), c.int64(-1, 24, 12))
    moved = c.add("Transpose", value, perm=[1, 0, 2])
    flat = c.add("Reshape", linear(c, moved, 12, 8), c.int64(-1, 8))
    value_2 = c.add("Gemm", flat, c.uniform(12, 8), c.uniform(12), transB=1)
    moved_back = c.add("Transpose", c.add("Reshape", value_2, c.int64(24, -1, 12)), perm=[1, 0, 2])
    return c.add("Add", value, moved_back)


@case((2, 6, 4, 5))
def product_of_columns_is_not_one_of_rows(c):
    # The last dimension before the product is the width.
    return linear(c, c.add("Transpose", "input", perm=[0, 2, 1, 3]), 5, 7)


# ConvNeXt


def convnext_block(c, value, channels, scale=(1, 1)):
    inner = c.conv(value, channels, channels, 7, bias=True, group=channels, pads=[3, 3, 3, 3])
    inner = layer_norm(c, rows(c, inner), channels)[0]
    inner = linear(c, gelu(c, linear(c, inner, channels, 4 * channels)), 4 * channels, channels)
    inner = rows(c, inner, (0, 3, 1, 2))
    return c.add("Add", c.add("Mul", c.uniform(channels, *scale), inner), value)


@case((2, 3, 16, 20), opset=14)
def convnext_of_two_blocks_batch_2(c):
    value = rows(c, c.conv("input", 8, 3, 4, bias=True, strides=[4, 4]))
    value = rows(c, layer_norm(c, value, 8)[0], (0, 3, 1, 2))
    value = convnext_block(c, convnext_block(c, value, 8), 8)
    value = rows(c, layer_norm(c, rows(c, value), 8)[0], (0, 3, 1, 2))
    value = convnext_block(c, c.conv(value, 16, 8, 2, bias=True, strides=[2, 2]), 16)
    return layer_norm(c, rows(c, c.add("GlobalAveragePool", value)), 16)[0]


@case((1, 8, 5, 8))
def layer_scale_that_is_along_the_height(c):
    value = rows(c, linear(c, rows(c), 8, 8), (0, 3, 1, 2))
    return c.add("Mul", value, c.uniform(5, 1))


@case((1, 8, 5, 8))
def layer_scale_of_a_product_that_is_read_elsewhere(c):
    value = linear(c, rows(c), 8, 8)
    return c.add("Add", c.add("Mul", value, c.uniform(8)), value)


# Attention


def attention(c, q, k, v, scale=None, addends=(), factor=None):
    """q, v [..., L, d], k [..., d, L]; scale: of q; factor: of the products."""
    products = c.add("MatMul", q if scale is None else c.add("Mul", q, np.float32(scale)), k)
    if factor is not None:
        products = c.add("Div", products, np.float32(factor))
    for addend in addends:
        products = c.add("Add", products, addend)
    return c.add("MatMul", c.add("Softmax", products, axis=-1), v)


def tokens(c, channels, length):
    """[N, length, channels] of the input."""
    return c.add("Reshape", rows(c), c.int64(-1, length, channels))


@case((2, 16, 5, 7), low=-2.0, high=2.0)
def attention_of_vit_batch_2(c):
    # Queries, keys and values are slices of one product with the tokens first.
    value = tokens(c, 16, 35)
    qkv = linear(c, c.add("Transpose", value, perm=[1, 0, 2]), 16, 48)
    parts = []
    for i in range(3):
        part = c.add("Slice", qkv, c.int64(16 * i), c.int64(16 * i + 16), c.int64(-1))
        parts.append(c.add("Reshape", part, c.int64(35, -1, 8)))
    q = c.add("Div", c.add("Transpose", parts[0], perm=[1, 0, 2]), np.float32(math.sqrt(8)))
    k = c.add("Transpose", parts[1], perm=[1, 2, 0])
    v = c.add("Transpose", parts[2], perm=[1, 0, 2])
    value_2 = c.add("Transpose", attention(c, q, k, v), perm=[1, 0, 2])
    value_2 = c.add("Gemm", c.add("Reshape", value_2, c.int64(-1, 16)), c.uniform(16, 16), c.uniform(16), transB=1)
    value_2 = c.add("Transpose", c.add("Reshape", value_2, c.int64(35, -1, 16)), perm=[1, 0, 2])
    return c.add("Add", value_2, value)


def heads(c, value, length, n, perm):
    return c.add("Transpose", c.add("Reshape", value, c.int64(0, length, n, -1)), perm=list(perm))


@case((2, 18, 5, 8), low=-2.0, high=2.0)
def attention_of_three_products_with_odd_sizes(c):
    # 6 channels a head are no multiple of 4, 40 queries no multiple of a vector.
    value = tokens(c, 18, 40)
    q, k, v = (linear(c, value, 18, 18) for _ in range(3))
    q, v = (heads(c, part, 40, 3, (0, 2, 1, 3)) for part in (q, v))
    k = heads(c, k, 40, 3, (0, 2, 3, 1))
    value = c.add("Transpose", attention(c, q, k, v, factor=math.sqrt(6)), perm=[0, 2, 1, 3])
    return linear(c, c.add("Reshape", value, c.int64(0, 40, 18)), 18, 18)


def qkv_of(c, value, length, n, depth):
    """Queries, keys and values as timm has them: [N, L, 3, heads, depth] and a Gather of each."""
    qkv = linear(c, value, n * depth, 3 * n * depth)
    qkv = c.add("Reshape", qkv, c.int64(-1, length, 3, n, depth))
    qkv = c.add("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    q, k, v = (c.add("Gather", qkv, np.int64(i), axis=0) for i in range(3))
    return q, c.add("Transpose", k, perm=[0, 1, 3, 2]), v


@case((2, 16, 4, 5), low=-2.0, high=2.0)
def attention_with_gathered_heads_and_a_bias(c):
    q, k, v = qkv_of(c, tokens(c, 16, 20), 20, 2, 8)
    value = attention(c, q, k, v, scale=8**-0.5, addends=[c.uniform(1, 2, 20, 20)])
    return c.add("Reshape", c.add("Transpose", value, perm=[0, 2, 1, 3]), c.int64(0, 20, 16))


@case((2, 8, 6, 9), low=-2.0, high=2.0)
def attention_in_windows_with_bias_and_mask_batch_2(c):
    # Windows of 3 x 3, as Swin cuts them, each with a mask of its own.
    value = c.add("Reshape", rows(c), c.int64(-1, 2, 3, 3, 3, 8))
    value = c.add("Reshape", c.add("Transpose", value, perm=[0, 1, 3, 2, 4, 5]), c.int64(-1, 9, 8))
    q, k, v = qkv_of(c, value, 9, 2, 4)
    products = c.add("MatMul", c.add("Mul", q, np.float32(0.5)), k)
    products = c.add("Add", products, c.uniform(1, 2, 9, 9))
    products = c.add("Reshape", products, c.int64(-1, 6, 2, 9, 9))
    products = c.add("Add", products, c.uniform(1, 6, 1, 9, 9, low=-5, high=0))
    products = c.add("Reshape", products, c.int64(-1, 2, 9, 9))
    value = c.add("MatMul", c.add("Softmax", products, axis=-1), v)
    value = c.add("Reshape", c.add("Transpose", value, perm=[0, 2, 1, 3]), c.int64(-1, 9, 8))
    value = c.add("Reshape", linear(c, value, 8, 8), c.int64(-1, 2, 3, 3, 3, 8))
    value = c.add("Transpose", value, perm=[0, 1, 3, 2, 4, 5])
    return c.add("Add", c.add("Reshape", value, c.int64(-1, 6, 9, 8)), rows(c))


@case((1, 8, 6, 6), low=-2.0, high=2.0)
def attention_in_a_grid_of_a_convolution(c):
    # MaxViT: pixels 2 apart see each other; channels come to the end and go back.
    value = c.conv("input", 8, 8, 1)
    grid = c.add("Reshape", value, c.int64(-1, 8, 3, 2, 3, 2))
    grid = c.add("Reshape", c.add("Transpose", grid, perm=[0, 3, 5, 2, 4, 1]), c.int64(-1, 9, 8))
    q, k, v = qkv_of(c, layer_norm(c, grid, 8)[0], 9, 2, 4)
    inner = c.add("Transpose", attention(c, q, k, v, scale=0.5), perm=[0, 2, 1, 3])
    grid = c.add("Add", grid, linear(c, c.add("Reshape", inner, c.int64(-1, 9, 8)), 8, 8))
    grid = c.add("Transpose", c.add("Reshape", grid, c.int64(-1, 2, 2, 3, 3, 8)), perm=[0, 5, 3, 1, 4, 2])
    return c.conv(c.add("Reshape", grid, c.int64(-1, 8, 6, 6)), 4, 8, 3)


@case((2, 8, 4, 5), low=-2.0, high=2.0)
def attention_of_fewer_queries_than_keys(c):
    value = tokens(c, 8, 20)
    first = c.add("Slice", value, c.int64(0), c.int64(3), c.int64(1))
    q = heads(c, linear(c, first, 8, 8), 3, 2, (0, 2, 1, 3))
    k = heads(c, linear(c, value, 8, 8), 20, 2, (0, 2, 3, 1))
    v = heads(c, linear(c, value, 8, 12), 20, 2, (0, 2, 1, 3))
    value = c.add("Transpose", attention(c, q, k, v), perm=[0, 2, 1, 3])
    return c.add("Reshape", value, c.int64(0, 3, 12))


@case((2, 8, 4, 5), low=-2.0, high=2.0)
def attention_whose_softmax_is_read_elsewhere(c):
    q, k, v = qkv_of(c, tokens(c, 8, 20), 20, 2, 4)
    softmax = c.add("Softmax", c.add("MatMul", q, k), axis=-1)
    return c.add("Add", c.add("MatMul", softmax, v), c.add("ReduceMean", softmax, axes=[-1]))


@case((2, 8, 4, 5), low=-2.0, high=2.0)
def attention_whose_softmax_is_over_queries(c):
    q, k, v = qkv_of(c, tokens(c, 8, 20), 20, 2, 4)
    softmax = c.add("Softmax", c.add("MatMul", q, k), axis=2)
    return c.add("MatMul", softmax, v)


@case((2, 8, 4, 5), low=-2.0, high=2.0)
def attention_scaled_after_its_bias(c):
    q, k, v = qkv_of(c, tokens(c, 8, 20), 20, 2, 4)
    products = c.add("Add", c.add("MatMul", q, k), c.uniform(1, 2, 20, 20))
    return c.add("MatMul", c.add("Softmax", c.add("Mul", products, np.float32(0.5)), axis=-1), v)


@case((2, 8, 4, 5), low=-2.0, high=2.0)
def attention_with_a_bias_for_each_key_alone(c):
    q, k, v = qkv_of(c, tokens(c, 8, 20), 20, 2, 4)
    return attention(c, q, k, v, addends=[c.uniform(20)])


@case((2, 8, 4, 5), low=-2.0, high=2.0)
def attention_with_an_addend_that_is_computed(c):
    q, k, v = qkv_of(c, tokens(c, 8, 20), 20, 2, 4)
    addend = c.add("ReduceMean", "input", axes=[1, 2, 3])
    return attention(c, q, k, v, addends=[addend])


@case((1, 8, 4, 5), low=-30.0, high=30.0)
def attention_of_large_products(c):
    # Without the maximum, exp would overflow.
    q, k, v = qkv_of(c, tokens(c, 8, 20), 20, 1, 8)
    return attention(c, q, k, v)


@case((1, 8, 4, 6), low=-2.0, high=2.0)
def attention_by_einsum(c):
    # As torch.einsum is exported.
    q, k, v = (heads(c, linear(c, tokens(c, 8, 24), 8, 8), 24, 2, (0, 2, 1, 3)) for _ in range(3))
    products = c.add("Einsum", c.add("Mul", q, np.float32(0.5)), k, equation="b h i d, b h j d -> b h i j")
    softmax = c.add("Softmax", c.add("Add", products, c.uniform(2, 24, 24)), axis=-1)
    return c.add("Einsum", softmax, v, equation="bhij,bhjd->bhid")


@case((1, 8, 4, 4), low=-2.0, high=2.0)
def attention_by_an_einsum_of_another_order(c):
    # The second sum is over the queries.
    q, k, v = (heads(c, linear(c, tokens(c, 8, 16), 8, 8), 16, 2, (0, 2, 1, 3)) for _ in range(3))
    softmax = c.add("Softmax", c.add("Einsum", q, k, equation="bhid,bhjd->bhij"), axis=-1)
    return c.add("Einsum", softmax, v, equation="bhji,bhjd->bhid")


@case((2, 8, 5, 6), low=-2.0, high=2.0)
def pad_of_nothing_and_pad_that_moves(c):
    value = c.add("Pad", rows(c), c.int64(0, 0, 0, 0, 0, 0, 0, 0))
    value = c.add("Pad", linear(c, value, 8, 8), c.int64(0, 0, 1, 0, 0, 0, 1, 0))
    return linear(c, value, 8, 8)


# Rearrangements


@case((2, 6, 4, 5))
def transposes_that_cancel_around_an_activation(c):
    value = c.add("Transpose", c.add("Relu", c.add("Transpose", "input", perm=[1, 3, 2, 0])), perm=[3, 0, 2, 1])
    return c.add("Sub", value, np.float32(0.25))


@case((2, 6, 4, 5))
def transposes_that_do_not_cancel(c):
    value = c.add("Transpose", c.add("Relu", c.add("Transpose", "input", perm=[0, 2, 3, 1])), perm=[0, 2, 3, 1])
    return c.add("Sub", value, np.float32(0.25))


@case((2, 6, 4, 4))
def sum_of_a_value_and_its_transpose(c):
    value = c.add("Relu", "input")
    return c.add("Add", c.add("Transpose", value, perm=[0, 1, 3, 2]), value)


@case((2, 6, 4, 4))
def sum_of_two_transposes(c):
    left, right = (c.add("Transpose", c.add(op, "input"), perm=[0, 1, 3, 2]) for op in ("Relu", "Abs"))
    return c.add("Add", left, right)


@case((2, 6, 4, 5))
def transpose_read_by_a_row_product_and_an_activation(c):
    value = rows(c, c.conv("input", 8, 6, 1))
    return c.add("Add", linear(c, value, 8, 8), c.add("Relu", value))


@case((1, 4, 6, 5))
def gather_and_slice_of_rows_before_a_product(c):
    value = c.add("Slice", rows(c), c.int64(1), c.int64(5), c.int64(1))
    value = c.add("Gather", value, np.int64(-2), axis=2)
    return c.add("Add", linear(c, c.add("Slice", rows(c), c.int64(1), c.int64(5), c.int64(1)), 4, 4),
                 c.add("Unsqueeze", value, c.int64(2)))
