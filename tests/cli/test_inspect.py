"""`saccade inspect --profile`, `--graph` and `saccade infer --dump`: what they print, draw and write."""
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

SACCADE = os.environ["SACCADE"]
VECTORS = pathlib.Path(__file__).resolve().parent.parent / "engine" / "vectors"
CHAIN = VECTORS / "watch_values_inside_fused_chains"  # nodes conv_0, batchnormalization_1, relu_2, conv_3, add_5, ...
PHOTOGRAPHS_MODEL = VECTORS.parents[2] / "models" / "efficientnet-lite0"
SVG = "{http://www.w3.org/2000/svg}"
TIMEOUT = 60
HOSTILE = b'<"&\xff\\\x1b'  # as long as conv_0


def run(*words, **environment):
    env = {key: value for key, value in os.environ.items() if not key.startswith("SACCADE") and key != "COLUMNS"}
    env.update(LC_ALL="C.UTF-8", SACCADE_TUNE="off")
    return subprocess.run([SACCADE, *map(str, words)], capture_output=True, timeout=TIMEOUT, env={**env, **environment})


def read_npy(path):
    """Shape and values of a float32 array, version 1."""
    data = path.read_bytes()
    length = struct.unpack("<H", data[8:10])[0]
    header = data[10:10 + length].decode()
    shape = tuple(int(n) for n in re.search(r"\(([^)]*)\)", header).group(1).split(",") if n.strip())
    return shape, struct.unpack(f"<{(len(data) - 10 - length) // 4}f", data[10 + length:])


class WithDirectory(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)

    def hostile_model(self):
        """The chain, its first convolution having a name that is markup, no UTF-8 and an escape sequence."""
        path = self.directory / "hostile.onnx"
        path.write_bytes((CHAIN / "model.onnx").read_bytes().replace(b"conv_0", HOSTILE))
        return path

    def check(self, result, status=0):
        self.assertEqual(result.returncode, status, result.stderr)
        return result


class Profile(WithDirectory):
    """Of the embedded model."""

    @classmethod
    def setUpClass(cls):
        result = run("inspect", "--json", "--profile", "--threads", "2")
        cls.model = json.loads(result.stdout)

    def test_classes_add_up_to_the_steps(self):
        steps, classes = self.model["steps"], self.model["by_class"]
        self.assertEqual(sum(c["steps"] for c in classes), len(steps))
        self.assertAlmostEqual(sum(c["share"] for c in classes), 1, places=3)
        for c in classes:
            members = [step for step in steps if step["class"] == c["class"]]
            self.assertEqual(len(members), c["steps"])
            self.assertAlmostEqual(sum(step["ms"] for step in members), c["ms"], delta=0.01 + 1e-3 * c["ms"])
            self.assertAlmostEqual(sum(step["flop"] for step in members) / 1e6, c["flop"] / 1e6, delta=0.1)

    def test_classes_are_those_of_efficientnet_lite0(self):
        steps = self.model["steps"]
        classes = {c["class"] for c in self.model["by_class"]}
        self.assertLessEqual({"1x1 convolution", "3x3 convolution", "depthwise convolution", "matrix product"}, classes)
        convolutions = [step for step in steps if step["op"].startswith("QConv")]
        self.assertEqual([step["class"] for step in convolutions[:2]], ["3x3 convolution", "depthwise convolution"])
        self.assertEqual(convolutions[-1]["class"], "1x1 convolution")
        self.assertEqual(steps[-1]["class"], "matrix product")

    def test_share_of_the_peak_follows_from_rate_and_peak(self):
        self.assertGreater(self.model["peak_gflop_per_s"], 1)
        for step in self.model["steps"]:
            self.assertAlmostEqual(step["peak_share"] * self.model["peak_gflop_per_s"], step["gflop_per_s"],
                                   delta=1e-3 * step["gflop_per_s"] + 1e-9)
            if step["ms"] > 0:
                self.assertAlmostEqual(step["flop"] / step["ms"] / 1e6, step["gflop_per_s"],
                                       delta=1e-3 * step["gflop_per_s"] + 1e-9)

    def test_peak_is_that_of_all_threads_and_follows_onednn(self):
        def peak(isa, threads):
            result = run("inspect", "--json", "--profile", "--threads", threads, ONEDNN_MAX_CPU_ISA=isa)
            return json.loads(self.check(result).stdout)["peak_gflop_per_s"]

        if "avx2" not in pathlib.Path("/proc/cpuinfo").read_text().split():
            self.skipTest("no AVX2 here")
        avx2 = peak("AVX2", 1)
        self.assertGreater(avx2, 1.5 * peak("SSE41", 1))
        self.assertAlmostEqual(peak("AVX2", 2) / avx2, 2, delta=0.6)

    def test_steps_read_earlier_steps_and_all_but_the_last_are_read(self):
        steps = self.model["steps"]
        self.assertEqual(steps[0]["reads"], [])
        read = set()
        for index, step in enumerate(steps[1:], 1):
            self.assertTrue(step["reads"], step)
            self.assertLess(max(step["reads"]), index)
            read.update(step["reads"])
        self.assertEqual(read, set(range(len(steps) - 1)))
        # A residual sum reads the convolution before it and the block's input.
        self.assertEqual({len(step["reads"]) for step in steps if "Add" in step["op"]}, {2})

    def test_what_slices_of_a_concatenation_hold_is_read(self):
        for path in sorted(VECTORS.glob("*concat*")):
            steps = json.loads(self.check(run("inspect", path, "--json")).stdout)["steps"]
            read = {source for step in steps for source in step["reads"]}
            self.assertEqual(read, set(range(len(steps) - 1)), path)

    def test_memory_adds_up(self):
        model = self.model
        self.assertAlmostEqual(model["arena_bytes"] / model["arena_bound_bytes"], model["arena_ratio"], places=3)
        self.assertGreaterEqual(model["weight_bytes"], model["packed_weight_bytes"])
        self.assertGreater(model["weight_bytes"], model["parameters"] * 0.95)  # a byte each

    def test_lines_fit_into_120_columns_or_what_is_asked_for(self):
        for words, environment, width in (([], {}, 120), (["--profile"], {}, 120), ([], {"COLUMNS": "90"}, 90)):
            text = self.check(run("inspect", *words, LC_ALL="C.UTF-8", **environment)).stdout.decode()
            rows = [line for line in text.splitlines() if re.match(r" *\d+  \S", line)]
            self.assertGreater(len(rows), len(self.model["steps"]) - 1)
            self.assertLessEqual(max(map(len, rows)), width)
        self.assertRegex(text, r"(?m)^reorders +\d+ of \d+ steps")

    def test_each_reorder_says_why_it_is_there(self):
        n_reorders = 0
        for path in sorted(VECTORS.iterdir()):
            model = json.loads(self.check(run("inspect", path, "--json", "--threads", "1")).stdout)
            moved = [step for step in model["steps"] if step["class"] == "reorder"]
            self.assertEqual(model["reorders"], len(moved))
            n_reorders += len(moved)
            for step in moved:
                pattern = r" takes [\w ]+, .* gives [\w ]+| overwrites it, and it is read| needs it in a slice of"
                self.assertRegex(step["why"], pattern)
            for step in model["steps"]:
                self.assertEqual("why" in step, step["class"] in ("reorder", "conversion"), step)
            if n_reorders > 20:
                return
        self.assertGreater(n_reorders, 0)

    def test_each_conversion_says_why_it_is_there(self):
        path = VECTORS / "quantised_softmax_and_batch_normalization_stay_in_float"
        model = json.loads(self.check(run("inspect", path, "--json", "--threads", "1")).stdout)
        conversions = [step for step in model["steps"] if step["class"] == "conversion"]
        self.assertEqual(model["conversions"], len(conversions))
        self.assertGreater(len(conversions), 0)
        for step in conversions:
            self.assertRegex(step["why"], " (gives|takes) float32")
        text = self.check(run("inspect", path)).stdout.decode()
        self.assertRegex(text, r"(?m)^conversions +\d+ of \d+ steps")


class DividedBatch(WithDirectory):
    def test_steps_are_those_of_a_part_and_the_run_is_whole(self):
        def profile(batch):
            return json.loads(self.check(run("inspect", "--json", "--profile", "--threads", 2, "--batch", batch)).stdout)

        one, four = profile(1), profile(4)
        if not four["part_batch"]:
            self.skipTest("batches are not divided among threads here")
        self.assertEqual(4 % four["part_batch"], 0)
        self.assertAlmostEqual(four["flop"] / one["flop"], 4, places=4)
        self.assertAlmostEqual(sum(step["flop"] for step in four["steps"]) / four["flop"], four["part_batch"] / 4, places=4)
        # A step has one thread there, while the run has both.
        self.assertAlmostEqual(four["run_peak_share"] * 2 * four["peak_gflop_per_s"] * four["run_ms"] * 1e6,
                               four["flop"], delta=0.01 * four["flop"])


class Graph(WithDirectory):
    def draw(self, model, name="plan.svg", *words):
        path = self.directory / name
        self.check(run("inspect", model, "--graph", path, *words))
        return path.read_bytes()

    def steps(self, model):
        return json.loads(self.check(run("inspect", model, "--json")).stdout)["steps"]

    def test_svg_has_a_box_for_each_step_and_nothing_overlaps(self):
        for model in (CHAIN, PHOTOGRAPHS_MODEL, *sorted(VECTORS.glob("*concat*"))):
            steps = self.steps(model)
            root = ElementTree.fromstring(self.draw(model))
            groups = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}title") is not None]
            self.assertEqual(len(groups), len(steps))
            boxes = []
            for group, step in zip(groups, steps):
                self.assertIn(step["node"], group.find(f"{SVG}title").text)
                rect = group.find(f"{SVG}rect")
                x, y, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
                self.assertTrue(0 <= x and x + width <= float(root.get("width")))
                self.assertTrue(0 <= y and y + height <= float(root.get("height")))
                boxes.append((x, y, width, height))
            for i, (x, y, width, height) in enumerate(boxes):
                for other_x, other_y, _, _ in boxes[:i]:
                    self.assertTrue(abs(x - other_x) >= width or abs(y - other_y) >= height, (i, boxes))
            for bend in root.iter(f"{SVG}path"):
                where = re.fullmatch(r"M([\d.]+) ([\d.]+)V([\d.]+)", bend.get("d"))
                for x, y, width, height in boxes if where else ():
                    bend_x, top, bottom = map(float, where.groups())
                    self.assertTrue(not x < bend_x < x + width or bottom <= y or top >= y + height)
            for step, (_, y, _, _) in zip(steps, boxes):
                self.assertTrue(all(boxes[source][1] < y for source in step["reads"]))

    def test_svg_with_a_profile_shows_the_times(self):
        texts = ElementTree.fromstring(self.draw(PHOTOGRAPHS_MODEL, "p.svg", "--profile")).iter(f"{SVG}text")
        times = [text.text for text in texts if re.fullmatch(r"[\d.]+ ms, [\d.]+ %", text.text or "")]
        self.assertEqual(len(times), len(self.steps(PHOTOGRAPHS_MODEL)))

    def test_dot_has_nodes_and_edges(self):
        steps = self.steps(CHAIN)
        text = self.draw(CHAIN, "plan.dot").decode()
        self.assertEqual(len(re.findall(r"(?m)^ +s\d+ \[", text)), len(steps))
        edges = {(int(a), int(b)) for a, b in re.findall(r"s(\d+) -> s(\d+);", text)}
        self.assertEqual(edges, {(source, i) for i, step in enumerate(steps) for source in step["reads"]})

    def test_hostile_names_stay_text(self):
        model = self.hostile_model()
        root = ElementTree.fromstring(self.draw(model))  # fails where markup or bytes got through
        self.assertIn('<"&?\\?', "".join(text.text or "" for text in root.iter(f"{SVG}text")))
        dot = self.draw(model, "plan.dot")
        dot.decode()  # UTF-8
        self.assertIn(rb'<\"&?\\?', dot)
        self.assertNotIn(b"\x1b", dot)

    def test_graphviz_reads_it(self):
        if not shutil.which("dot"):
            self.skipTest("Graphviz's dot is missing here")
        for model in (CHAIN, self.hostile_model()):
            self.draw(model, "plan.dot")
            result = subprocess.run(["dot", "-Tsvg", self.directory / "plan.dot"], capture_output=True, timeout=TIMEOUT)
            self.assertEqual((result.returncode, result.stderr), (0, b""))

    def test_other_names_are_refused(self):
        result = self.check(run("inspect", CHAIN, "--graph", self.directory / "plan.png"), 2)
        self.assertIn(b"must end in .svg or .dot", result.stderr)
        result = self.check(run("inspect", CHAIN, "--graph", self.directory / "none" / "plan.svg"), 1)
        self.assertIn(b"No such file or directory", result.stderr)
        self.assertEqual(os.listdir(self.directory), [])


class Dump(WithDirectory):
    def infer(self, *words, status=0, model=CHAIN):
        result = subprocess.run([SACCADE, "infer", "--model", str(model), "--input", str(CHAIN / "input.npy"),
                                 *map(str, words)], capture_output=True, timeout=TIMEOUT, cwd=self.directory)
        return self.check(result, status)

    def assert_equal_files(self, path, reference):
        (shape, values), (expected_shape, expected) = read_npy(path), read_npy(reference)
        self.assertEqual(shape, expected_shape)
        largest = max(map(abs, expected))
        self.assertLessEqual(max(abs(a - b) for a, b in zip(values, expected)), 1e-5 * largest)

    def test_values_equal_onnxruntime_and_the_output_is_the_same(self):
        self.infer("--output", "plain.npy")
        result = self.infer("--output", "y.npy", "--dump", "conv_0", "--dump", "add_5=sum.npy", "--dump",
                            "batchnormalization_1=norm.npy", "--threads", "1")
        self.assertEqual(result.stdout.decode().splitlines(),
                         ["conv_0.npy: conv_0 [2, 8, 9, 8]", "sum.npy: add_5 [2, 8, 9, 8]",
                          "norm.npy: batchnormalization_1 [2, 8, 9, 8]"])
        self.assert_equal_files(self.directory / "conv_0.npy", CHAIN / "watched_conv_0.npy")
        self.assert_equal_files(self.directory / "sum.npy", CHAIN / "watched_add_5.npy")
        self.assert_equal_files(self.directory / "norm.npy", CHAIN / "watched_batchnormalization_1.npy")
        for name in ("y.npy", "plain.npy"):
            self.assert_equal_files(self.directory / name, CHAIN / "output.npy")

    def test_output_may_be_left_out(self):
        self.infer("--dump", "relu_2")
        self.assertEqual(os.listdir(self.directory), ["relu_2.npy"])

    def test_initializers_and_the_input_have_names_too(self):
        self.infer("--dump", "initializer_0=w.npy", "--dump", "input=x.npy")
        self.assertEqual(read_npy(self.directory / "w.npy")[0], (8, 6, 3, 3))
        self.assert_equal_files(self.directory / "x.npy", CHAIN / "input.npy")

    def test_names_with_equals_signs_and_slashes(self):
        model = self.directory / "named.onnx"
        model.write_bytes((CHAIN / "model.onnx").read_bytes().replace(b"conv_0", b"/./=v/"))
        self.infer("--dump", "/./=v/", "--dump", "/./=v/=other.npy", model=model)
        self.assertEqual(sorted(os.listdir(self.directory)), ["named.onnx", "other.npy", "v_.npy"])
        self.assert_equal_files(self.directory / "v_.npy", CHAIN / "watched_conv_0.npy")

    def test_hostile_name_is_neither_a_path_nor_a_control_sequence(self):
        result = self.infer("--dump", os.fsdecode(HOSTILE), model=self.hostile_model())
        self.assertNotIn(b"\x1b", result.stdout)
        self.assertEqual(sorted(os.listdir(self.directory)), ["hostile.onnx", "node.npy"])

    def test_unknown_name_is_refused_with_the_nearest(self):
        result = self.infer("--dump", "conv_1", status=1)
        self.assertRegex(result.stderr.decode(), "no node or value is called 'conv_1'; the nearest: .*'conv_[03]'")
        self.assertEqual(os.listdir(self.directory), [])

    def test_two_dumps_into_one_file_are_refused(self):
        for words in (["--dump", "conv_0=x.npy", "--dump", "conv_3=x.npy"],
                      ["--dump", "conv_0=y.npy", "--output", "y.npy"], ["--dump", "=y.npy"]):
            result = self.infer(*words, status=2)
            self.assertRegex(result.stderr, b"is written already|name is missing")
        self.assertEqual(os.listdir(self.directory), [])


if __name__ == "__main__":
    unittest.main()
