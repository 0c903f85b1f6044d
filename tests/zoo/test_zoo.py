#!/usr/bin/env python3
"""`saccade infer` against ONNX Runtime, on whole networks: torchvision's exports and the default model.

    SACCADE=build/saccade python3 tests/zoo/test_zoo.py -v

Environment:
    SACCADE          the program to test; required
    ZOO_DIRECTORY    where exported models are kept (default: a temporary directory, so that each run exports)
    ZOO_PYTHON       a Python with torch and torchvision, for export.py (default: /usr/bin/python3)

Needs numpy and onnxruntime here. What is missing is skipped, and said. The largest difference may be 1e-4 of the
largest reference value, at batch 1 and 3, in each instruction set that the machine has (oneDNN reads
ONEDNN_MAX_CPU_ISA).
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    np, onnxruntime, MISSING = None, None, f"{error.name} is missing here"
else:
    MISSING = None

HERE = pathlib.Path(__file__).resolve().parent
DEFAULT_MODEL = HERE.parent.parent / "models" / "efficientnet-lite0"
BATCHES = (1, 3)
TOLERANCE = 1e-4
TIMEOUT_S = 300


def instruction_sets():
    """Values for ONEDNN_MAX_CPU_ISA that differ on this machine; None leaves it to oneDNN."""
    sets = [None]
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    except OSError:
        flags = []
    if "avx2" in flags:
        sets.append("AVX2")
    if "avx512bw" in flags:
        sets.append("AVX512_CORE")
    return sets


def pictures(batch):
    """[N, 3, 224, 224]: noise over a gradient, each image with another contrast, so that mixing them up shows."""
    random = np.random.default_rng(7)
    ramp = np.linspace(-1, 1, 224, dtype=np.float32)
    images = random.standard_normal((batch, 3, 224, 224), np.float32)
    for index in range(batch):
        images[index] = images[index] * (0.5 + 0.5 * index) + ramp[:, None] * (1 - index) + ramp * index
    return images


class Zoo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if MISSING:
            raise unittest.SkipTest(MISSING)
        if "SACCADE" not in os.environ:
            raise unittest.SkipTest("SACCADE does not name the program to test")
        cls.program = str(pathlib.Path(os.environ["SACCADE"]).resolve())
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.scratch = pathlib.Path(cls.temporary.name)
        cls.zoo = pathlib.Path(os.environ.get("ZOO_DIRECTORY", cls.scratch))

    def exported(self, name):
        path = self.zoo / f"{name}.onnx"
        if path.exists():
            return path
        python = os.environ.get("ZOO_PYTHON", "/usr/bin/python3")
        try:
            subprocess.run([python, "-c", "import torch, torchvision"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest(f"{python} has no torch and torchvision (Debian: python3-torch, python3-torchvision)")
        subprocess.run([python, str(HERE / "export.py"), str(self.zoo), name], check=True, stdout=subprocess.DEVNULL)
        return path

    def infer(self, model, x, isa):
        paths = [self.scratch / name for name in ("x.npy", "y.npy")]
        np.save(paths[0], x)
        paths[1].unlink(missing_ok=True)
        environment = {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"}
        if isa:
            environment["ONEDNN_MAX_CPU_ISA"] = isa
        command = [self.program, "infer", "--model", str(model), "--input", str(paths[0]), "--output", str(paths[1])]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
        self.assertEqual(result.returncode, 0, result.stderr)
        return np.load(paths[1])

    def check(self, model, onnx):
        session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
        for batch in BATCHES:
            x = pictures(batch)
            (reference,) = session.run(None, {session.get_inputs()[0].name: x})
            for isa in instruction_sets():
                with self.subTest(batch=batch, isa=isa or "as detected"):
                    y = self.infer(model, x, isa)
                    self.assertEqual(y.shape, reference.shape)
                    self.assertEqual(y.dtype, np.float32)
                    difference = float(np.abs(y - reference).max() / np.abs(reference).max())
                    message = f"{onnx.parent.name}/{onnx.name} batch {batch} {isa or 'as detected'}: {difference:.1e}"
                    print(message, file=sys.stderr, flush=True)
                    self.assertLessEqual(difference, TOLERANCE)

    def check_exported(self, name):
        path = self.exported(name)
        self.check(path, path)

    def test_default_model_equals_onnxruntime(self):
        self.check(DEFAULT_MODEL, DEFAULT_MODEL / "model.onnx")

    def test_resnet18_equals_onnxruntime(self):
        self.check_exported("resnet18")

    def test_resnet18_with_batch_norm_nodes_equals_onnxruntime(self):
        self.check_exported("resnet18_batch_norm")

    def test_resnet50_equals_onnxruntime(self):
        self.check_exported("resnet50")

    def test_mobilenet_v2_equals_onnxruntime(self):
        self.check_exported("mobilenet_v2")

    def test_mobilenet_v2_with_batch_norm_nodes_equals_onnxruntime(self):
        self.check_exported("mobilenet_v2_batch_norm")


if __name__ == "__main__":
    unittest.main()
