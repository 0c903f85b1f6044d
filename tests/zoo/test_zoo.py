#!/usr/bin/env python3
"""`saccade infer` against ONNX Runtime on whole networks: the default model, and one of each family of torchvision.

    SACCADE=build/cli/saccade python3 tests/zoo/test_zoo.py -v

models.py does the same for all 80, and writes docs/models.md.

Environment:
    SACCADE          the program to test; required
    ZOO_DIRECTORY    where exported models are kept (default: a temporary directory, so that each run exports)
    ZOO_PYTHON       a Python with torch and torchvision, for export.py (default: /usr/bin/python3)

Needs numpy and onnxruntime here. What is missing is skipped, and said. zoo.py says which difference is allowed, at
batch 1 and 3, with the instruction set that the CPU has and with AVX2 (oneDNN reads ONEDNN_MAX_CPU_ISA).
"""
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import float_model  # noqa: E402

try:
    import onnxruntime

    import zoo
except ImportError as error:
    zoo, MISSING = None, f"{error.name} is missing here"
else:
    MISSING = None

BATCHES = (1, 3)

# The smallest of each family, and two that keep BatchNormalization as nodes of their own.
NAMES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v2_batch_norm", "mobilenet_v3_small", "regnet_x_400mf",
    "regnet_y_400mf", "resnet18", "resnet18_batch_norm", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_32", "wide_resnet50_2",
)


class Zoo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if MISSING:
            raise unittest.SkipTest(MISSING)
        if "SACCADE" not in os.environ:
            raise unittest.SkipTest("SACCADE does not name the program to test")
        cls.program = str(pathlib.Path(os.environ["SACCADE"]).resolve())
        cls.python = zoo.export_python()
        cls.isas = [None, "AVX2"] if zoo.cpu_flags() & {"avx512bw"} else [None]
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.scratch = pathlib.Path(cls.temporary.name)
        cls.directory = pathlib.Path(os.environ.get("ZOO_DIRECTORY", cls.scratch))

    def check(self, name, model, onnx, side):
        options = onnxruntime.SessionOptions()
        # The operators as the file has them: what 1.20 makes of Inception differs by half of its largest score.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
        for batch in BATCHES:
            x = zoo.pictures(batch, side)
            (reference,) = session.run(None, {session.get_inputs()[0].name: x})
            for isa in self.isas:
                with self.subTest(batch=batch, isa=isa or "as detected"):
                    y = zoo.infer(self.program, model, x, isa, self.scratch)
                    difference = zoo.relative_difference(y, reference)
                    message = f"{name} batch {batch} {isa or 'as detected'}: {difference:.1e}"
                    print(message, file=sys.stderr, flush=True)
                    self.assertLessEqual(difference, zoo.tolerance(name))

    def check_references(self, name, model):
        """oneDNN's kernels for no CPU in particular are in no plan, of any precision that there is here."""
        precisions = ["f32", "bf16"] if "avx512_bf16" in zoo.cpu_flags() else ["f32"]
        for isa in self.isas:
            for precision in precisions if isa is None else ["f32"]:
                with self.subTest("reference kernels", isa=isa or "as detected", precision=precision):
                    flagged = zoo.reference_steps(self.program, model, precision, isa)
                    self.assertEqual(flagged, [], name)

    def check_exported(self, name):
        exported = zoo.Exported(self.directory, name)
        if not self.python and not exported.facts_path.exists():
            self.skipTest("no Python with torch and torchvision (Debian: python3-torch, python3-torchvision)")
        exported.make(self.python)
        try:
            self.check(name, exported.path, exported.path, exported.facts["side"])
            self.check_references(name, exported.path)
        finally:
            if self.directory == self.scratch:
                for file in exported.files():
                    file.unlink()

    def test_default_model_in_float32_equals_onnxruntime(self):
        """In int8 a rounding that falls on another side moves all that follows: tests/accuracy holds that."""
        model = float_model.write(self.scratch / "default")
        self.check("default model", model, model / "model.onnx", 224)


def add_test(name):
    setattr(Zoo, f"test_{name}_equals_onnxruntime", lambda self: self.check_exported(name))


for network in NAMES:
    add_test(network)


if __name__ == "__main__":
    unittest.main()
