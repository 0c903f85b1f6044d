"""What the ONNX project's node tests (tests/conformance) leave out of operators on data. See make_vectors.py."""
import numpy as np
from onnx import TensorProto

from onnx_case import case, tensor


def rows(c, rank):
    """The input [1, 4, 3, 5] as a tensor of 2 or 3 dimensions."""
    return c.add("Reshape", "input", np.array({2: [4, 15], 3: [4, 3, 5]}[rank]))


# Products


@case((1, 4, 3, 5))
def matmul_by_a_vector(c):
    return c.add("MatMul", rows(c, 3), c.uniform(5))


@case((1, 4, 3, 5))
def matmul_of_a_vector(c):
    return c.add("MatMul", c.uniform(3), rows(c, 3))


@case((1, 4, 3, 5))
def matmul_broadcasts_both_batches(c):
    return c.add("MatMul", c.add("Reshape", "input", np.array([2, 1, 2, 3, 5])), c.uniform(3, 1, 5, 4))


@case((1, 4, 3, 5))
def matmul_of_one_matrix_for_all_batches(c):
    return c.add("MatMul", c.uniform(2, 3), rows(c, 3))


@case((1, 4, 3, 5))
def matmul_of_computed_matrices(c):
    x = rows(c, 3)
    return c.add("MatMul", x, c.add("Transpose", c.add("Relu", x), perm=[0, 2, 1]))


@case((1, 4, 3, 5))
def gemm_of_computed_matrices_with_a_matrix_added(c):
    x = rows(c, 2)
    return c.add("Relu", c.add("Gemm", x, c.add("Relu", x), c.uniform(15, 15), transA=1, alpha=0.5, beta=2.0))


@case((1, 4, 3, 5))
def gemm_with_a_column_added(c):
    return c.add("Gemm", rows(c, 2), c.uniform(15, 6), c.uniform(4, 1))


@case((1, 4, 3, 5))
def einsum_of_attention(c):
    x = c.add("Reshape", "input", np.array([1, 2, 2, 3, 5]))
    return c.add("Einsum", c.add("Einsum", x, c.add("Relu", x), equation="bghid,bghjd->bghij"), x,
                 equation="b g h i j, b g h j d -> b g h i d")


@case((1, 4, 3, 5))
def einsum_that_permutes_all(c):
    return c.add("Einsum", rows(c, 3), c.uniform(5, 4, 2), equation="aij,jak->kia")


@case((1, 4, 3, 5))
def einsum_that_transposes(c):
    return c.add("Einsum", rows(c, 3), equation="abc->cab")


@case((1, 4, 5, 5))
def einsum_of_diagonals_after_dots(c):
    return c.add("Einsum", c.add("Relu", "input"), equation="...ii->...i")


@case((1, 4, 3, 5))
def einsum_that_sums_over_one_of_two(c):
    return c.add("Einsum", rows(c, 3), c.uniform(4, 7), equation="aij,ak->ik")


# Reductions


@case((2, 4, 3, 5), low=-90.0, high=90.0)
def reduce_log_sum_exp_of_large_values(c):
    return c.add("ReduceLogSumExp", "input", axes=[1, 3], keepdims=0)


@case((2, 4, 3, 5))
def reduce_mean_of_the_first_and_the_last_dimension(c):
    return c.add("ReduceMean", "input", axes=[0, -1])


@case((2, 4, 3, 5))
def reduce_max_of_the_middle(c):
    return c.add("ReduceMax", "input", axes=[1, 2], keepdims=0)


# Moving data


@case((1, 4, 3, 5))
def pad_reflect(c):
    return c.add("Pad", "input", np.array([0, 1, 2, 3, 0, 2, 1, 4]), mode="reflect")


@case((1, 4, 3, 5))
def pad_edge_and_crop(c):
    return c.add("Pad", "input", np.array([0, -1, 2, -2, 0, 3, -1, 4]), mode="edge")


@case((1, 4, 3, 5))
def slice_backwards_of_data(c):
    return c.add("Slice", c.add("Relu", "input"), np.array([-1, 4]), np.array([-100, 0]), np.array([1, 3]),
                 np.array([-2, -3]))


@case((1, 4, 3, 5))
def split_of_data_into_parts_of_which_one_is_not_used(c):
    first = c.add("Split", c.add("Relu", "input"), np.array([1, 2, 2]), outputs=3, axis=3)
    return c.add("Concat", first + "_2", first, axis=3)


@case((1, 4, 3, 5))
def gather_of_data_by_a_matrix_of_indices(c):
    return c.add("Gather", "input", np.array([[1, -1], [0, 1]]), axis=1)


@case((1, 4, 3, 5))
def expand_of_data_in_the_middle(c):
    return c.add("Expand", c.add("ReduceMax", "input", axes=[2]), np.array([2, 4, 6, 1]))


@case((1, 4, 3, 5))
def tile_of_data(c):
    return c.add("Tile", "input", np.array([2, 1, 3, 2]))


@case((1, 4, 3, 5))
def where_takes_from_data_and_a_constant(c):
    condition = c.random.uniform(size=(3, 5)) > 0.5
    return c.add("Where", condition, c.add("Relu", "input"), np.float32(-7))


@case((1, 4, 3, 5))
def scatter_nd_into_data(c):
    return c.add("ScatterND", c.add("Relu", "input"), np.array([[0, 1], [0, 3]]), c.uniform(2, 3, 5))


@case((1, 6, 4, 4))
def shuffle_of_channels_of_five_dimensions(c):
    x = c.add("Reshape", "input", np.array([1, 2, 3, 4, 4]))
    return c.add("Reshape", c.add("Transpose", x, perm=[0, 2, 1, 3, 4]), np.array([0, -1, 4, 4], np.int64))


# Functions


@case((1, 4, 3, 5), low=0.1, high=3.0)
def pow_by_a_half_and_by_data(c):
    return c.add("Pow", c.add("Pow", "input", np.float32(0.5)), c.add("Mul", "input", np.float32(2)))


@case((1, 4, 3, 5), low=-3.0, high=3.0)
def division_by_data_that_is_broadcast(c):
    return c.add("Div", np.float32(1) + c.uniform(5), c.add("Exp", "input"))


@case((1, 4, 3, 5), opset=17)
def layer_normalization_without_bias_of_two_dimensions(c):
    return c.add("LayerNormalization", "input", c.uniform(3, 5), axis=2, epsilon=1e-3)


@case((2, 4, 3, 5))
def mean_variance_normalization_of_the_middle(c):
    return c.add("MeanVarianceNormalization", c.add("Relu", "input"), axes=[1, 3])


@case((1, 4, 3, 5), opset=17)
def dropout_of_training_that_drops_nothing(c):
    return c.add("Dropout", c.add("Relu", "input"), np.float32(0), np.array(True))


@case((1, 4, 3, 5))
def max_of_three_that_are_broadcast(c):
    return c.add("Max", "input", c.uniform(5), c.add("ReduceMean", "input", axes=[3]))


# Constants


@case((1, 4, 6, 6))
def cast_from_float64_weights(c):
    doubles = c.add("Constant", value=tensor("doubles", c.filters(8, 4, 3).astype(np.float64)))
    weight = c.add("Cast", doubles, to=TensorProto.FLOAT)
    return c.add("Conv", "input", weight, kernel_shape=[3, 3])


@case((1, 4, 3, 5))
def integer_division_and_modulo_of_negative_shapes(c):
    """-7 / 2 is -3, -7 modulo 4 is 1, and -3 where the sign is the dividend's."""
    minus_7 = c.constant([-7], np.int64)
    quotient = c.add("Div", minus_7, c.constant([2], np.int64))
    rest = c.add("Mod", minus_7, c.constant([4], np.int64))
    remainder = c.add("Mod", minus_7, c.constant([4], np.int64), fmod=1)
    last = c.add("Add", remainder, c.constant([23], np.int64))
    return c.add("Reshape", "input", c.add("Concat", rest, c.add("Neg", quotient), last, axis=0))
