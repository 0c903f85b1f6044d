"""`saccade quantize`: what it writes, that it is read again and by ONNX Runtime, and what it refuses."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SACCADE = os.environ["SACCADE"]
PHOTOGRAPH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "cat.jpg"
TIMEOUT = 250
INT8_MAX_BYTES = 6 << 20  # the embedded network has 4.7 million weights


def run(*words):
    base = {k: v for k, v in os.environ.items() if not k.startswith("SACCADE_") and k != "OMP_WAIT_POLICY"}
    base.update({"LC_ALL": "C.UTF-8", "COLUMNS": "80", "SACCADE_TUNE": "off"})
    return subprocess.run([SACCADE, *map(str, words)], env=base, capture_output=True, timeout=TIMEOUT)


class Quantize(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="saccade-quantize-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.images = cls.directory / "images"
        cls.images.mkdir()
        shutil.copy(PHOTOGRAPH, cls.images / "a.jpg")
        (cls.images / "broken.jpg").write_bytes(PHOTOGRAPH.read_bytes()[:2000])
        (cls.images / "notes.txt").write_text("no image\n")
        cls.output = cls.directory / "int8"
        cls.result = run("quantize", "--calibrate", cls.images, "--output", cls.output, "--estimator", "minmax",
                         "--max-drop", "100", "--threads", "2")

    def test_writes_a_model_directory_with_a_report(self):
        self.assertEqual(self.result.returncode, 0, self.result.stderr)
        names = {path.name for path in self.output.iterdir()}
        self.assertEqual(names, {"model.onnx", "config.json", "preprocessor_config.json", "report.md", "report.svg"})
        self.assertLess((self.output / "model.onnx").stat().st_size, INT8_MAX_BYTES)
        self.assertIn("| depthwise |", (self.output / "report.md").read_text())
        self.assertTrue((self.output / "report.svg").read_text().endswith("</svg>\n"))

    def test_counts_what_cannot_be_decoded_and_warns_of_few_images(self):
        self.assertIn(b"1 of 2 images could not be decoded", self.result.stderr)
        self.assertIn(b"1 image say little", self.result.stderr)

    def test_the_file_is_read_again_and_knows_the_cat(self):
        result = run("classify", "--model", self.output, "--json", "--top-k", "3", PHOTOGRAPH)
        self.assertEqual(result.returncode, 0, result.stderr)
        predictions = json.loads(result.stdout)["results"][0]["predictions"]
        self.assertTrue({281, 282} & {prediction["class_id"] for prediction in predictions}, predictions)

    def test_gives_the_same_bytes_on_any_number_of_threads(self):
        other = self.directory / "again"
        result = run("quantize", "--calibrate", self.images, "--output", other, "--estimator", "minmax",
                     "--max-drop", "100", "--threads", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        for name in ("model.onnx", "report.md", "report.svg"):
            self.assertEqual((self.output / name).read_bytes(), (other / name).read_bytes(), name)

    def test_onnxruntime_gives_the_same_answers(self):
        try:
            import numpy
            import onnx
            import onnxruntime
        except ImportError as error:
            self.skipTest(f"{error.name} is not installed")
        path = str(self.output / "model.onnx")
        onnx.checker.check_model(path, full_check=True)
        x = numpy.random.default_rng(1).uniform(-1, 1, (2, 3, 224, 224)).astype("f4")
        numpy.save(self.directory / "x.npy", x)
        result = run("infer", "--model", self.output, "--precision", "f32", "--input", self.directory / "x.npy",
                     "--output", self.directory / "y.npy")
        self.assertEqual(result.returncode, 0, result.stderr)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (theirs,) = session.run(None, {session.get_inputs()[0].name: x})
        mine = numpy.load(self.directory / "y.npy")
        # A rounding that falls on another side moves what follows by some steps.
        self.assertLess(numpy.abs(mine - theirs).max(), 0.1 * numpy.abs(theirs).max())

    def test_refuses_what_is_quantised_already(self):
        result = run("quantize", "--model", self.output, "--calibrate", self.images, "--output",
                     self.directory / "twice")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"quantised already", result.stderr)

    def test_says_why_images_are_needed(self):
        result = run("quantize", "--output", self.directory / "none")
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"--calibrate is missing: eight bits", result.stderr)

    def test_a_folder_without_images_is_an_error_that_says_what_to_give(self):
        empty = self.directory / "empty"
        empty.mkdir()
        result = run("quantize", "--calibrate", empty, "--output", self.directory / "none")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"no image in it", result.stderr)

    def test_a_line_of_labels_that_is_none_is_named(self):
        labels = self.directory / "labels.tsv"
        labels.write_text("281\ta.jpg\ncat a.jpg\n")
        result = run("quantize", "--calibrate", self.images, "--output", self.directory / "none", "--labels", labels)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"labels.tsv:2: a class, a tabulator", result.stderr)


if __name__ == "__main__":
    unittest.main()
