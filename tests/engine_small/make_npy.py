"""Writes the vectors of test_npy.c and the seeds of the fuzzer: python3 make_npy.py (needs NumPy).

numpy.save() is the reference for the format; the broken files are made from what it wrote.
"""
import io
import pathlib

import numpy as np

here = pathlib.Path(__file__).parent
vectors = here / "npy"
corpus = here.parent / "fuzz" / "corpus" / "npy"
for folder in (vectors, corpus):
    folder.mkdir(parents=True, exist_ok=True)


def saved(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


values = [0.0, 1.0, -2.5, 65504.0, 6e-8, 100.0]
array = np.array(values).reshape(2, 3)
good = {
    "f4": saved(array.astype("<f4")),
    "f4_v2": saved(array.astype("<f4"), (2, 0)),
    "f4_v3": saved(array.astype("<f4"), (3, 0)),
    "f2": saved(array.astype("<f2")),
    "f8": saved(array.astype("<f8")),
    "i4": saved(np.array([[0, 1, -2], [2147483647, -2147483648, 100]], "<i4")),
    "i8": saved(np.array([[0, 1, -2], [1 << 40, -(1 << 40), 100]], "<i8")),
    "u1": saved(np.array([[0, 1, 2], [127, 128, 255]], "|u1")),
    "scalar": saved(np.array(7, "<f4")),
    "vector": saved(np.array([1, 2, 3], "<f4")),
    "empty": saved(np.zeros((0, 3, 2), "<f4")),
    "rank8": saved(np.zeros((1,) * 8, "<f4")),
    "special_f2": saved(np.array([np.inf, -np.inf, np.nan, -0.0, 2.0**-24, 2.0**-14], "<f2")),
}
f4 = good["f4"]
broken = {
    "big_endian": saved(array.astype(">f4")),
    "fortran": saved(np.asfortranarray(array.astype("<f4"))),
    "complex": saved(array.astype("<c8")),
    "structured": saved(np.zeros(2, [("a", "<f4"), ("b", "<i4")])),
    "rank9": saved(np.zeros((1,) * 9, "<f4")),
    "truncated": f4[:-1],
    "longer": f4 + b"\0",
    "header_cut": f4[:40],
    "overflow": f4.replace(b"(2, 3), }  ", b"(9223372036854775807, 9), }")[: len(f4)],
    "negative": f4.replace(b"(2, 3), } ", b"(-2, 3), }"),
    "repeated_key": f4.replace(b"'fortran_order': False", b"'descr': '<f4', 'x': 1"),
    "unclosed": f4.replace(b"}", b" "),
    "version9": f4[:6] + b"\x09" + f4[7:],
    "header_huge": f4[:6] + b"\x02\x00\xff\xff\xff\x7f" + f4[12:],
}
for name, data in good.items():
    (vectors / f"{name}.npy").write_bytes(data)
    (corpus / name).write_bytes(data)
for name, data in broken.items():
    (vectors / f"{name}.npy").write_bytes(data)
    (corpus / name).write_bytes(data)
