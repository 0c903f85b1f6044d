"""`--precision`: what runs and why, what is refused, bfloat16 against float32, and no reference kernel unnoticed."""
import hashlib
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest

from test_inspect import VECTORS, read_npy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import float_model  # noqa: E402

SACCADE = os.environ["SACCADE"]
PHOTOGRAPH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "cat.jpg"
TIMEOUT = 120

# bfloat16 has 8 bits of a number: each of the roundings on the way to a score, one for each map and one for the
# weights of each layer, is off by up to 2^-9 of what it rounds. They are independent: after n of them the error is
# some sqrt(n) * 2^-9 of the largest score where layers pass it on as it is. Noise is no picture: its scores are small
# beside the activations that they are sums of, which makes that up to six times as much. Eight times is an error.
UNIT = 2 ** -9
LAYERS = 50
DEFAULT_BOUND = 8 * (2 * LAYERS) ** 0.5 * UNIT
VECTOR_BOUND = 8 * UNIT  # of one or two layers


def run(*words, **environment):
    env = {key: value for key, value in os.environ.items() if not key.startswith("SACCADE")}
    env.update(LC_ALL="C.UTF-8", SACCADE_TUNE="off", SACCADE_TUNE_CACHE="none")
    return subprocess.run([SACCADE, *map(str, words)], capture_output=True, timeout=TIMEOUT, env={**env, **environment})


def isas():
    """What ONEDNN_MAX_CPU_ISA may be, for plans of different kernels."""
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    return ["AVX2", "ALL"] if "avx512bw" in flags else ["ALL"]


def has_bf16():
    return "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text().split()


def inspect(*words, **environment):
    result = run("inspect", "--json", "--threads", 1, *words, **environment)
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode())
    return json.loads(result.stdout)


def setUpModule():
    """FLOAT: the default model in float32."""
    global FLOAT
    temporary = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(temporary.cleanup)
    FLOAT = float_model.write(pathlib.Path(temporary.name) / "float")


class Choice(unittest.TestCase):
    def test_a_float_model_stays_float32_and_says_why(self):
        half = VECTORS / "cast_from_float16_weights"
        for path, words, why in ((FLOAT, [], "the file is float32"), (half, [], "float16"),
                                 (half, ["--precision", "auto"], "float16"),
                                 (FLOAT, ["--precision", "f32"], "float32 was asked for")):
            model = inspect(path, *words)
            self.assertEqual(model["precision"], "f32")
            self.assertIn(why, model["precision_why"])

    def test_the_default_model_is_int8_where_there_is_avx2(self):
        for isa in ("SSE41", *isas()):
            model = inspect(ONEDNN_MAX_CPU_ISA=isa)
            if isa == "SSE41":
                self.assertEqual((model["precision"], "no AVX2" in model["precision_why"]), ("f32", True))
            else:
                self.assertEqual((model["precision"], "is quantised" in model["precision_why"]), ("int8", True))

    def test_a_bfloat16_file_takes_what_the_cpu_has(self):
        path = VECTORS / "cast_from_bfloat16_weights"
        for isa in isas():
            model = inspect(path, ONEDNN_MAX_CPU_ISA=isa)
            if has_bf16() and isa != "AVX2":
                self.assertEqual((model["precision"], "which this CPU computes in" in model["precision_why"]),
                                 ("bf16", True))
            else:
                self.assertEqual((model["precision"], "has no instructions" in model["precision_why"]), ("f32", True))

    def test_what_was_measured_to_be_faster_is_remembered_and_taken(self):
        if not has_bf16():
            self.skipTest("this CPU has no AVX512_BF16: there is nothing to choose from")
        path = VECTORS / "cast_from_bfloat16_weights"
        with tempfile.TemporaryDirectory() as cache:
            taken = inspect(path, "--tune", "fast", "--tune-cache", cache)["precision"]
            (file,) = pathlib.Path(cache).iterdir()
            answer = re.search(r"(?m)^precision\t(\w+)$", file.read_text())
            self.assertIsNotNone(answer, file.read_text())
            self.assertEqual(answer.group(1), taken)
            model = inspect(path, "--tune-cache", cache)
            self.assertEqual(model["precision"], taken)
            self.assertEqual(any(" bf16 " in step["shape"] for step in model["steps"]), taken == "bf16")
            self.assertIn("measured" if taken == "f32" else "computes in", model["precision_why"])

    def test_text_says_it_too(self):
        self.assertRegex(run("inspect", "--precision", "f32").stdout.decode(),
                         r"(?m)^precision +f32: float32 was asked for$")

    def refused(self, model, precision, say, **environment):
        with tempfile.NamedTemporaryFile(suffix=".npy") as array:
            header = repr({"descr": "<f4", "fortran_order": False, "shape": (1, 3, 224, 224)}).encode() + b"\n"
            array.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(4 * 3 * 224 * 224))
            array.flush()
            for words in (["bench"], ["inspect"], ["classify", PHOTOGRAPH], ["serve", "--listen", "127.0.0.1:0"],
                          ["infer", "--input", array.name, "--output", "/dev/null"]):
                given = [] if model is None else [model] if words == ["inspect"] else ["--model", model]
                result = run(*words, *given, "--precision", precision, **environment)
                self.assertEqual((result.returncode, result.stdout), (1, b""), words)
                self.assertIn(say, result.stderr.decode())

    def test_int8_of_a_model_that_is_not_quantised(self):
        self.refused(FLOAT, "int8", "the model is not quantised; `saccade quantize` makes one that is")

    def test_int8_that_the_instruction_set_lacks(self):
        self.refused(None, "int8", "it takes AVX2, and this CPU gives SSE4.1; ask for f32 or auto",
                     ONEDNN_MAX_CPU_ISA="SSE41")

    def test_bf16_that_the_instruction_set_lacks(self):
        self.refused(FLOAT, "bf16", "this CPU gives AVX2 (ONEDNN_MAX_CPU_ISA=AVX2); ask for f32 or auto",
                     ONEDNN_MAX_CPU_ISA="AVX2")
        if "avx512_vnni" in pathlib.Path("/proc/cpuinfo").read_text().split():
            self.refused(FLOAT, "bf16", "it takes AVX512_BF16 or AMX", ONEDNN_MAX_CPU_ISA="AVX512_CORE_VNNI")


class Quantised(unittest.TestCase):
    MODEL = VECTORS / "quantised_network_of_onnxruntime"

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.cache = pathlib.Path(temporary.name)

    def answer(self, precision):
        """Makes the tuning file say so, whatever was measured."""
        (file,) = self.cache.iterdir()
        lines = re.sub(r"(?m)^precision\t\w+$", f"precision\t{precision}", file.read_text()).split("sha256 ")[0]
        file.write_text(f"{lines}sha256 {hashlib.sha256(lines.encode()).hexdigest()}\n")

    def output(self, *words):
        path = self.cache.parent / (self.cache.name + ".npy")
        self.addCleanup(path.unlink, missing_ok=True)
        result = run("infer", "--model", self.MODEL, "--input", self.MODEL / "input.npy", "--output", path, *words)
        self.assertEqual(result.returncode, 0, result.stderr)
        return read_npy(path)

    def test_auto_is_int8_unless_float32_was_measured_to_be_faster(self):
        model = inspect(self.MODEL)
        self.assertEqual((model["precision"], "is quantised, and runs in integers" in model["precision_why"]),
                         ("int8", True))
        self.assertIn(inspect(self.MODEL, "--tune", "fast", "--tune-cache", self.cache)["precision"], ("int8", "f32"))
        for precision, why in (("f32", "float32 was measured to be faster"), ("int8", "runs in integers")):
            self.answer(precision)
            model = inspect(self.MODEL, "--tune-cache", self.cache)
            self.assertEqual(model["precision"], precision)
            self.assertIn(why, model["precision_why"])
            self.assertEqual(self.output("--tune-cache", self.cache), self.output("--precision", precision))

    def test_asked_for_is_not_measured(self):
        inspect(self.MODEL, "--tune", "fast", "--tune-cache", self.cache)
        self.answer("f32")
        model = inspect(self.MODEL, "--precision", "int8", "--tune-cache", self.cache)
        self.assertEqual((model["precision"], model["precision_why"]), ("int8", "int8 was asked for"))

    def test_bf16_is_refused(self):
        result = run("inspect", self.MODEL, "--precision", "bf16")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"the model is quantised; ask for int8, f32 or auto", result.stderr)


class Bfloat16(unittest.TestCase):
    def setUp(self):
        if not has_bf16():
            self.skipTest("this CPU has no AVX512_BF16")
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)

    def infer(self, precision, model, input_path, threads):
        path = self.directory / f"{precision}.npy"
        result = run("infer", "--model", model, "--precision", precision, "--input", input_path, "--output", path,
                     "--threads", threads)
        self.assertEqual(result.returncode, 0, result.stderr)
        return read_npy(path)[1]

    def difference(self, model, input_path, threads=1):
        expected, got = (self.infer(p, model, input_path, threads) for p in ("f32", "bf16"))
        self.assertNotEqual(expected, got, "bfloat16 has rounded nothing")
        return max(abs(a - b) for a, b in zip(expected, got)) / max(map(abs, expected))

    def noise(self, shape):
        state, values = 1, []
        for _ in range(shape[0] * shape[1] * shape[2] * shape[3]):
            state = (state * 1664525 + 1013904223) % 2 ** 32
            values.append((state >> 8) / 2 ** 23 - 1)
        header = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode() + b"\n"
        path = self.directory / "x.npy"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header +
                         struct.pack(f"<{len(values)}f", *values))
        return path

    def test_default_model_is_within_the_error_of_its_roundings(self):
        for batch, threads in ((1, 1), (1, 2), (3, 2)):
            self.assertLess(self.difference(FLOAT, self.noise((batch, 3, 224, 224)), threads), DEFAULT_BOUND)

    def test_photograph_gets_the_same_label(self):
        labels = [json.loads(run("classify", "--json", "--top-k", 1, "--model", FLOAT, "--precision", precision,
                                 PHOTOGRAPH).stdout)
                  ["results"][0]["predictions"][0] for precision in ("f32", "bf16")]
        self.assertEqual(labels[0]["label"], labels[1]["label"])
        self.assertAlmostEqual(labels[0]["probability"], labels[1]["probability"], delta=0.05)

    def test_layers_of_all_kinds_are_within_it(self):
        n = 0
        for path in sorted(VECTORS.iterdir()):
            input_path = path / "input.npy"
            if not path.name.startswith(("conv_", "cnn_", "concat", "residual", "gemm_", "max_pool")) or \
                    not input_path.exists():
                continue
            result = run("infer", "--model", path, "--input", input_path, "--output", self.directory / "f32.npy",
                         "--precision", "bf16")
            if result.returncode != 0:
                self.assertIn(b"quantised", result.stderr)
                continue
            expected, got = (self.infer(p, path, input_path, 1) for p in ("f32", "bf16"))
            largest = max(map(abs, expected))
            with self.subTest(path.name):
                self.assertLessEqual(max(abs(a - b) for a, b in zip(expected, got)), VECTOR_BOUND * largest + 1e-6)
            n += 1
        self.assertGreater(n, 20)

    def test_activations_stay_bfloat16_between_layers(self):
        model = inspect(FLOAT, "--precision", "bf16")
        self.assertEqual(model["precision"], "bf16")
        steps = model["steps"]
        for step in steps:
            if step["op"].startswith(("Conv", "Input")):
                self.assertIn(" bf16 ", step["shape"], step)
        # The mean of the last maps is float32, and rounded for the product that gives the scores.
        self.assertEqual([step["op"] for step in steps if step["class"] == "reorder"], ["Reorder"])
        self.assertNotIn("bf16", steps[-1]["shape"])


class References(unittest.TestCase):
    def test_none_is_in_the_plan_of_the_default_model(self):
        for isa in isas():
            for given, precision in (([], "int8"), ([FLOAT], "f32"), ([FLOAT], "bf16")):
                if precision == "bf16" and not (has_bf16() and isa != "AVX2"):
                    continue
                model = inspect(*given, "--precision", precision, ONEDNN_MAX_CPU_ISA=isa)
                self.assertEqual(model["reference_steps"], 0, (isa, precision))
                self.assertFalse([step for step in model["steps"] if step["kernel"].startswith(("ref", "simple")) or
                                  step["kernel"].endswith("ref")])

    def test_one_is_flagged(self):
        path = VECTORS / "softmax_of_opset_13_runs_over_its_axis_alone"
        model = inspect(path)
        flagged = [step for step in model["steps"] if step.get("reference")]
        self.assertEqual((model["reference_steps"], [step["op"] for step in flagged]), (1, ["Softmax"]))
        text = run("inspect", path).stdout.decode()
        self.assertRegex(text, r"! ref:any")
        self.assertRegex(text, r"(?m)^! reference +1 of \d+ steps run code of oneDNN's that is for no CPU")
        self.assertNotIn("! reference", run("inspect").stdout.decode())
