"""int8 is exact: weights and activations that saturate a fast kernel's int16 (make_vectors.py), with all instructions
and held to AVX2, equal plain integer arithmetic to the last bit."""
import array
import ast
import json
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
    def run_program(self, *arguments, isa=None):
        environment = {**os.environ, **({"ONEDNN_MAX_CPU_ISA": isa} if isa else {})}
        result = subprocess.run([PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def check(self, precision, isa):
        cases = sorted(VECTORS.iterdir())
        self.assertTrue(cases)
        for case in cases:
            with self.subTest(case.name), tempfile.TemporaryDirectory() as scratch:
                output = pathlib.Path(scratch) / "y.npy"
                self.run_program("infer", "--model", str(case / "model.onnx"), "--input", str(case / "input.npy"),
                                 "--output", str(output), "--precision", precision, isa=isa)
                shape, values = read_npy(output)
                expected_shape, expected = read_npy(case / "output.npy")
                self.assertEqual(shape, expected_shape)
                different = [index for index, (a, b) in enumerate(zip(values, expected)) if a != b]
                at = different[0] if different else 0
                self.assertFalse(different, f"{len(different)} of {len(values)}, the first at {at}: {values[at]} instead "
                                            f"of {expected[at]}")

    def kernels(self, isa):
        """What runs the layers of all cases."""
        kernels = set()
        for case in sorted(VECTORS.iterdir()):
            with self.subTest(case.name):
                steps = self.steps(case, isa)
                layers = [step for step in steps if step["node"] == "layer" and step["op"] != "Reorder"]
                self.assertEqual([step["op"] for step in layers],
                                 ["QInnerProduct" if case.name.startswith("inner_product") else "QConv"], steps)
                self.assertIn(" u8 ", layers[0]["source"] + " ")
                kernels.add(layers[0]["kernel"])
        return kernels

    def steps(self, case, isa):
        result = self.run_program("inspect", "--json", "--precision", "int8", str(case / "model.onnx"), isa=isa)
        return json.loads(result.stdout)["steps"]

    def test_layers_run_in_integers_with_all_instructions(self):
        for kernel in self.kernels(None):
            self.assertRegex(kernel, "^native_(dot|bytes_depthwise):(avx512_vnni|avx2)$")

    def test_layers_run_in_integers_held_to_avx2(self):
        self.assertEqual(self.kernels("AVX2"), {"native_dot:avx2", "native_bytes_depthwise:avx2"})

    def test_int8_with_all_instructions(self):
        self.check("int8", None)

    def test_int8_held_to_avx2(self):
        self.check("int8", "AVX2")

    def test_the_file_in_float32(self):
        self.check("f32", None)


if __name__ == "__main__":
    unittest.main()
