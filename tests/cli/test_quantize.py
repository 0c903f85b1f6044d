"""`saccade quantize`: what it writes, that it is read again and by ONNX Runtime, and what it refuses."""
import array
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import float_model  # noqa: E402

SACCADE = os.path.abspath(os.environ["SACCADE"])
PHOTOGRAPH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "cat.jpg"
TIMEOUT = 250
INT8_MAX_BYTES = 6 << 20  # the network has 4.7 million weights


def write_near_ties(path):
    """A network whose three classes are A, A + d and A - d, d being far below a step of eight bits: the best is never
    the first, and in eight bits, where all are alike, always is."""
    field, graph = float_model.field, b""
    for node_type, inputs, output in ((b"Conv", (b"x", b"w"), b"a"), (b"GlobalAveragePool", (b"a",), b"b"),
                                      (b"Flatten", (b"b",), b"y")):
        node = b"".join(field(float_model.NODE_INPUT, name) for name in inputs)
        graph += field(float_model.GRAPH_NODE, node + field(float_model.NODE_OUTPUT, output) +
                       field(float_model.NODE_TYPE, node_type))
    weights = array.array("f", [1, 1, 1, 1.001, 1, 0.999, 0.999, 1, 1.001])
    graph += field(float_model.GRAPH_INITIALIZER,
                   b"".join(field(float_model.TENSOR_DIMS, size) for size in (3, 3, 1, 1)) +
                   field(float_model.TENSOR_TYPE, float_model.FLOAT) + field(float_model.TENSOR_NAME, b"w") +
                   field(float_model.TENSOR_RAW, weights.tobytes()))
    for key, name, dims in ((11, b"x", (1, 3, 32, 32)), (12, b"y", (1, 3))):  # GraphProto.input, .output
        shape = b"".join(field(1, field(1, size)) for size in dims)
        graph += field(key, field(1, name) + field(2, field(1, field(1, float_model.FLOAT) + field(2, shape))))
    path.write_bytes(field(1, 8) + field(8, field(2, 13)) + field(float_model.MODEL_GRAPH, field(2, b"ties") + graph))
    return path


def no_large_file():
    """As on a full disk: a file that would get more than 64 bytes gets an error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


def run(*words, **settings):
    base = {k: v for k, v in os.environ.items() if not k.startswith("SACCADE_") and k != "OMP_WAIT_POLICY"}
    base.update({"LC_ALL": "C.UTF-8", "COLUMNS": "80", "SACCADE_TUNE": "off"})
    return subprocess.run([SACCADE, *map(str, words)], env=base, capture_output=True, timeout=TIMEOUT,
                          **settings)


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
        os.mkfifo(cls.images / "pipe.jpg")  # which nobody writes to
        cls.float = float_model.write(cls.directory / "float")
        cls.ties = write_near_ties(cls.directory / "ties.onnx")
        cls.output = cls.directory / "int8"
        cls.result = run("quantize", "--model", cls.float, "--calibrate", cls.images, "--output", cls.output, "--estimator", "minmax",
                         "--max-drop", "100", "--threads", "2")

    def test_writes_a_model_directory_with_a_report(self):
        self.assertEqual(self.result.returncode, 0, self.result.stderr)
        names = {path.name for path in self.output.iterdir()}
        self.assertEqual(names, {"model.onnx", "config.json", "preprocessor_config.json", "report.md", "report.svg"})
        self.assertLess((self.output / "model.onnx").stat().st_size, INT8_MAX_BYTES)
        self.assertIn("| depthwise |", (self.output / "report.md").read_text())
        self.assertTrue((self.output / "report.svg").read_text().endswith("</svg>\n"))

    def test_counts_what_cannot_be_decoded_and_warns_of_few_images(self):
        self.assertIn(b"1 of 2 images could not be decoded and is left out", self.result.stderr)
        self.assertIn(b"1 image says little", self.result.stderr)
        self.assertIn(b"\n1 image: 1 with float32's best class", self.result.stdout)

    def test_the_file_is_read_again_and_knows_the_cat(self):
        result = run("classify", "--model", self.output, "--json", "--top-k", "3", PHOTOGRAPH)
        self.assertEqual(result.returncode, 0, result.stderr)
        predictions = json.loads(result.stdout)["results"][0]["predictions"]
        self.assertTrue({281, 282} & {prediction["class_id"] for prediction in predictions}, predictions)

    def test_gives_the_same_bytes_on_any_number_of_threads(self):
        other = self.directory / "again"
        result = run("quantize", "--model", self.float, "--calibrate", self.images, "--output", other, "--estimator", "minmax",
                     "--max-drop", "100", "--threads", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual((self.output / "model.onnx").read_bytes(), (other / "model.onnx").read_bytes())

    def test_the_report_has_the_speed_of_the_network_and_its_layers(self):
        report = (self.output / "report.md").read_text()
        times = re.search(r"One image on one thread .*: ([\d.]+) ms in float32, ([\d.]+) ms as model.onnx", report)
        float_ms, int8_ms = map(float, times.groups())
        self.assertGreater(min(float_ms, int8_ms), 0)
        rows = [[cell.strip() for cell in line.split("|")] for line in report.splitlines() if "depthwise |" in line]
        self.assertEqual(len(rows), 16)
        # In float32 two convolutions may be one step, which is neither's.
        self.assertTrue(any(cells[7] for cells in rows))
        for cells in rows:
            self.assertLess(float(cells[7] or 0), float_ms)
            self.assertGreater(float(cells[8]), 0)
            self.assertLess(float(cells[8]), int8_ms)

    def test_one_image_of_few_is_more_than_the_budget_and_the_closing_line_says_so(self):
        self.assertNotIn(b"one image is", self.result.stdout)
        result = run("quantize", "--model", self.float, "--calibrate", self.images, "--output", self.directory / "few",
                     "--estimator", "minmax", "--threads", "2")
        self.assertIn(b"--max-drop 0.5: one image is 100 percentage points, so that none may differ", result.stdout)
        self.assertIn("One image is 100.00 percentage points", (self.directory / "few" / "report.md").read_text())

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

    def test_a_model_of_an_older_operator_set_becomes_one_that_checks_and_means_the_same(self):
        try:
            import numpy
            import onnx
            import onnxruntime
        except ImportError as error:
            self.skipTest(f"{error.name} is not installed")
        helper, random = onnx.helper, numpy.random.default_rng(3)
        weights = {"w": random.normal(0, 0.2, (8, 3, 3, 3)), "v": random.normal(0, 0.5, (10, 8, 1, 1))}
        nodes = [helper.make_node("Pad", ["x"], ["padded"], pads=[0, 0, 1, 1, 0, 0, 1, 1]),
                 helper.make_node("Conv", ["padded", "w"], ["a"], kernel_shape=[3, 3], strides=[2, 2]),
                 helper.make_node("Clip", ["a"], ["b"], min=0.0, max=6.0),
                 helper.make_node("Conv", ["b", "v"], ["c"], kernel_shape=[1, 1]),
                 helper.make_node("GlobalAveragePool", ["c"], ["d"]),
                 helper.make_node("Squeeze", ["d"], ["y"], axes=[2, 3])]
        graph = helper.make_graph(
            nodes, "old", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 32, 32])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 10])],
            [onnx.numpy_helper.from_array(w.astype("f4"), name) for name, w in weights.items()])
        old = self.directory / "old.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4), old)
        output = self.directory / "new"
        result = run("quantize", "--model", old, "--calibrate", self.images, "--output", output, "--max-drop", "100")
        self.assertEqual(result.returncode, 0, result.stderr)
        new = onnx.load(str(output / "model.onnx"))
        onnx.checker.check_model(new, full_check=True)
        self.assertEqual(new.opset_import[0].version, 13)
        x = random.uniform(-1, 1, (1, 3, 32, 32)).astype("f4")
        before, after = (onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
                         for path in (old, output / "model.onnx"))
        self.assertLess(numpy.abs(before - after).max(), 0.1 * numpy.abs(before).max())

    def test_refuses_what_is_quantised_already(self):
        # Before it looks for images.
        result = run("quantize", "--model", self.output, "--calibrate", self.directory / "nowhere", "--output",
                     self.directory / "twice")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"quantised already; give the float32 one", result.stderr)
        self.assertNotIn(b"FakeQuantize", result.stderr)
        self.assertFalse((self.directory / "twice").exists())

    def test_the_model_must_be_named(self):
        result = run("quantize", "--calibrate", self.images, "--output", self.directory / "none")
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"--model is missing", result.stderr)
        self.assertNotIn(b"default: the embedded", run("quantize", "--help").stdout)

    def test_a_budget_that_only_float32_meets_is_exit_status_1_and_the_model_is_there(self):
        output = self.directory / "unmet"
        result = run("quantize", "--model", self.ties, "--calibrate", self.images, "--output", output)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(b"is met only with all layers in float32", result.stderr)
        self.assertTrue((output / "model.onnx").exists())

    def test_labels_and_equalisation_when_asked_for(self):
        answer = run("classify", "--model", self.float, "--json", "--top-k", "1", PHOTOGRAPH)
        best = json.loads(answer.stdout)["results"][0]["predictions"][0]["class_id"]
        labels, output = self.directory / "right.tsv", self.directory / "equalised"
        labels.write_text(f"{best}\ta.jpg\n")
        result = run("quantize", "--model", self.float, "--calibrate", self.images, "--output", output, "--estimator", "minmax",
                     "--equalise", "on", "--labels", labels, "--max-drop", "100")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, rb"\n1 labelled: [01] right, float32 1\n")
        report = (output / "report.md").read_text()
        self.assertRegex(report, r"Channels between [1-9]\d* pairs of convolutions .* it is done")
        self.assertRegex(report, r"\(float32: 1\)")

    def test_a_model_is_replaced_only_when_asked_for(self):
        output = self.directory / "there"
        output.mkdir()
        (output / "model.onnx").write_bytes(b"another")
        words = ["quantize", "--model", self.ties, "--calibrate", self.images, "--output", output, "--max-drop", "100"]
        result = run(*words)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"model.onnx is there already", result.stderr)
        self.assertIn(b"--force", result.stderr)
        self.assertEqual((output / "model.onnx").read_bytes(), b"another")
        result = run(*words, "--force")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertGreater((output / "model.onnx").stat().st_size, len(b"another"))

    def test_the_float_model_is_never_replaced(self):
        before = (self.float / "model.onnx").read_bytes()
        other = self.directory / "link"
        other.symlink_to(self.float)
        hard = self.directory / "hard"
        hard.mkdir()
        os.link(self.float / "model.onnx", hard / "model.onnx")
        result = run("quantize", "--model", "model.onnx", "--calibrate", self.images, "--output", ".", cwd=self.float)
        self.assertIn(b"has the float32 model itself", result.stderr)
        for model, output in ((self.float, self.float), (self.float / "model.onnx", self.float), (self.float, other),
                              (self.float, self.float / ".." / "float"), (self.float, hard)):
            result = run("quantize", "--model", model, "--calibrate", self.images, "--output", output, "--force")
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"has the float32 model itself", result.stderr)
        self.assertEqual((self.float / "model.onnx").read_bytes(), before)

    def test_what_cannot_be_written_whole_changes_nothing_and_says_why(self):
        old, new = self.directory / "old", self.directory / "new-one"
        old.mkdir()
        (old / "model.onnx").write_bytes(b"another")
        for output in (old, new):
            result = run("quantize", "--model", self.ties, "--calibrate", self.images, "--output", output, "--max-drop", "100",
                         "--force", preexec_fn=no_large_file)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertRegex(result.stderr, rb"/report\.md: File too large\n\Z")
        self.assertEqual([path.name for path in old.iterdir()], ["model.onnx"])
        self.assertEqual((old / "model.onnx").read_bytes(), b"another")
        self.assertFalse(new.exists())

    def test_says_why_images_are_needed(self):
        result = run("quantize", "--model", self.ties, "--output", self.directory / "none")
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"--calibrate is missing: eight bits", result.stderr)

    def test_a_folder_without_images_is_an_error_that_says_what_to_give(self):
        empty = self.directory / "empty"
        empty.mkdir()
        result = run("quantize", "--model", self.float, "--calibrate", empty, "--output", self.directory / "none")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"no image in it", result.stderr)
        self.assertFalse((self.directory / "none").exists())

    def test_a_line_of_labels_that_is_none_is_named(self):
        labels = self.directory / "labels.tsv"
        labels.write_text("281\ta.jpg\ncat a.jpg\n")
        result = run("quantize", "--model", self.float, "--calibrate", self.images, "--output", self.directory / "none",
                     "--labels", labels)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"labels.tsv:2: a class, a tabulator", result.stderr)


if __name__ == "__main__":
    unittest.main()
