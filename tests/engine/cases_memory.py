"""Weights of more than 32 KiB, which stay in their file until they are packed (engine/origin.h). See
make_vectors.py."""
import numpy as np

from onnx_case import case


@case((2, 130, 2, 3))
def large_float16_filters_are_cast_and_scaled_by_batch_normalization(c):
    weight = c.add("Cast", c.constant(c.filters(128, 130, 1), np.float16), to=1)
    return c.batch_norm(c.add("Conv", "input", weight), 128)


@case((2, 128, 2, 3))
def large_typed_matrix_times_alpha(c):
    return c.add("Gemm", c.pooled(), c.constant(c.uniform(65, 128), raw=False), transB=1, alpha=0.5)


@case((2, 65, 2, 3), external="weights.bin")
def large_filters_in_a_file_of_their_own(c):
    return c.conv("input", 128, 65, 1, bias=True)


@case((2, 128, 2, 3))
def large_matrix_is_reshaped_and_transposed(c):
    weight = c.add("Reshape", c.uniform(65 * 128), c.int64(65, 128))
    return c.add("Gemm", c.pooled(), c.add("Transpose", weight, perm=[1, 0]), transB=0)
