"""int8 is exact: weights and activations that saturate a fast kernel's int16 (make_vectors.py), with all instructions
and held to AVX2, equal plain integer arithmetic to the last bit."""
import array
import ast
import os
import pathlib
import subprocess
import tempfile
import unittest

VECTORS = pathlib.Path(__file__).resolve().parent / "vectors"
PROGRAM = os.environ["SACCADE"]
TIMEOUT_S = 120


def read_npy(path):
    """(shape, values) of a float32 array in C order."""
    data = path.read_bytes()
    end = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:end].decode())
    assert header["descr"] == "<f4" and not header["fortran_order"], header
    return header["shape"], array.array("f", data[end:])


class Saturation(unittest.TestCase):
    def check(self, precision, isa):
        environment = {**os.environ, **({"ONEDNN_MAX_CPU_ISA": isa} if isa else {})}
        cases = sorted(VECTORS.iterdir())
        self.assertTrue(cases)
        for case in cases:
            with self.subTest(case.name), tempfile.TemporaryDirectory() as scratch:
                output = pathlib.Path(scratch) / "y.npy"
                command = [PROGRAM, "infer", "--model", str(case / "model.onnx"), "--input", str(case / "input.npy"),
                           "--output", str(output), "--precision", precision]
                result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
                self.assertEqual(result.returncode, 0, result.stderr)
                shape, values = read_npy(output)
                expected_shape, expected = read_npy(case / "output.npy")
                self.assertEqual(shape, expected_shape)
                different = [index for index, (a, b) in enumerate(zip(values, expected)) if a != b]
                at = different[0] if different else 0
                self.assertFalse(different, f"{len(different)} of {len(values)}, the first at {at}: {values[at]} instead "
                                            f"of {expected[at]}")

    def test_int8_with_all_instructions(self):
        self.check("int8", None)

    def test_int8_held_to_avx2(self):
        self.check("int8", "AVX2")

    def test_the_file_in_float32(self):
        self.check("f32", None)


if __name__ == "__main__":
    unittest.main()
