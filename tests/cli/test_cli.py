"""The real binary (SACCADE) from a shell's side: exit statuses, streams, help, answers. Standard library only."""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

SACCADE = os.environ["SACCADE"]
MAN_PAGE = os.environ.get("MAN_PAGE")
COMMANDS = ["serve", "classify", "infer", "bench", "inspect", "quantize", "top"]
PHOTOGRAPH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "cat.jpg"
TIMEOUT = 120


def environment(**changes):
    base = {k: v for k, v in os.environ.items() if not k.startswith("SACCADE_") and k != "OMP_WAIT_POLICY"}
    base.update({"LC_ALL": "C.UTF-8", "COLUMNS": "80", "SACCADE_TUNE": "off"})
    base.update(changes)
    return base


def run(*words, stdin=b"", env=None, **kwargs):
    return subprocess.run([SACCADE, *words], input=stdin, env=env or environment(), capture_output=True,
                          timeout=TIMEOUT, **kwargs)


def npy(shape, value=0.0):
    count = 1
    for dim in shape:
        count *= dim
    header = repr({"descr": "<f4", "fortran_order": False, "shape": tuple(shape)}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack("<f", value) * count


class WithDirectory(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="saccade-cli-"))
        self.addCleanup(shutil.rmtree, self.directory)


class Help(unittest.TestCase):
    def test_overview_names_every_command_and_exits_0(self):
        for words in (["--help"], ["help"], ["-h"]):
            result = run(*words)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            for command in COMMANDS:
                self.assertRegex(result.stdout.decode(), rf"(?m)^  {command} +\S")

    def test_nothing_to_do_is_wrong_usage_on_stderr(self):
        result = run()
        self.assertEqual((result.returncode, result.stdout), (2, b""))
        self.assertIn(b"Usage: saccade COMMAND", result.stderr)

    def test_each_command_has_a_description_options_and_an_example(self):
        for command in COMMANDS:
            result = run(command, "--help")
            text = result.stdout.decode()
            self.assertEqual((result.returncode, result.stderr), (0, b""), command)
            self.assertTrue(text.startswith(f"Usage: saccade {command} "))
            self.assertRegex(text, rf"(?s)\nExample\n.*  saccade {command}")
            self.assertEqual(text, run("help", command).stdout.decode())

    def test_options_are_aligned_and_no_line_is_longer_than_the_terminal(self):
        for command in COMMANDS:
            for columns in (60, 80):
                text = run(command, "--help", env=environment(COLUMNS=str(columns))).stdout.decode()
                options = text.split("\nOptions\n")[1].split("\n\nExample")[0].splitlines()
                starts = {re.match(r"  --[a-z-]+( \S+)? +", line).end() for line in options if line.startswith("  --")}
                self.assertEqual(len(starts), 1, f"{command}: {starts}")
                for line in options:
                    self.assertLessEqual(len(line), columns, line)

    def test_no_escape_sequence_goes_into_a_pipe(self):
        for command in COMMANDS:
            self.assertNotIn(b"\x1b", run(command, "--help").stdout)

    def test_version(self):
        result = run("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, rb"\Asaccade \d+\.\d+\.\d+\n\Z")

    @unittest.skipUnless(MAN_PAGE, "no MAN_PAGE")
    def test_man_page_has_every_option_of_every_command(self):
        page = pathlib.Path(MAN_PAGE).read_text().replace("\\-", "-")
        for command in COMMANDS:
            section = re.search(rf"(?ms)^\.SS {command}$(.*?)(?=^\.S[SH] )", page)
            self.assertIsNotNone(section, command)
            text = section.group(1)
            options = re.findall(r"(?m)^  (--[a-z-]+)", run(command, "--help").stdout.decode())
            for option in set(options) - {"--config", "--help"}:
                self.assertRegex(text, rf"\.BR?I? {option}\b", f"{command} {option}")
            for option in re.findall(r"(?m)^\.BR?I? (--[a-z-]+)", text):
                self.assertIn(option, options, f"{command}: only in the man page")


class WrongUsage(WithDirectory):
    def check(self, *words, say, **kwargs):
        result = run(*words, **kwargs)
        self.assertEqual((result.returncode, result.stdout), (2, b""), result.stderr)
        self.assertIn(say, result.stderr.decode())

    def test_unknown_command(self):
        self.check("clasify", say="did you mean saccade classify?")
        self.check("zebra", say="saccade --help lists them")
        self.check("help", "zebra", say="saccade --help lists them")

    def test_unknown_option(self):
        self.check("classify", "--topk", "3", "x.jpg", say="did you mean --top-k?")

    def test_bad_value(self):
        for value in ("0", "-1", "abc", "99999", ""):
            self.check("classify", "--top-k", value, "x.jpg", say=f"--top-k '{value}'")

    def test_missing_operand_or_option(self):
        self.check("classify", say="IMAGE... is missing")
        self.check("infer", "--input", "x.npy", say="--output is missing")
        self.check("infer", "--output", "x.npy", say="--input is missing")
        self.check("inspect", "a", "b", say="'b' is one argument too many")

    def test_precision_that_there_is_none_of(self):
        for command in (["serve"], ["bench"], ["inspect"], ["classify", "x.jpg"]):
            self.check(*command, "--precision", "f16", say="expected one of auto, f32, bf16, int8")

    def test_listen_and_model_of_serve(self):
        self.check("serve", "--listen", "8080", say="write HOST:PORT, such as 127.0.0.1:8080")
        self.check("serve", "--listen", "::1:8080", say="an IPv6 address needs brackets")
        self.check("serve", "--model", "a b=c", say="a name has 1 to")
        self.check("serve", "--model", "a=", say="a path must follow '='")
        self.check("serve", "--model", "a=x", "--model", "a=y", say="the name a is given twice")

    def test_stdin_twice(self):
        self.check("classify", "-", "-", say="stdin can be read only once")

    def test_config_file(self):
        path = self.directory / "config.json"
        path.write_text('{"topk": 3}')
        self.check("classify", "--config", str(path), "x.jpg", say='"topk" is no option; did you mean "top-k"?')
        path.write_text('{"top-k": 3')
        self.check("classify", "x.jpg", env=environment(SACCADE_CONFIG=str(path)), say="no valid JSON near line 1")
        self.check("classify", "--config", str(path) + "x", "x.jpg", say="No such file")

    def test_environment(self):
        self.check("classify", "x.jpg", env=environment(SACCADE_TOP_K="0"), say="SACCADE_TOP_K '0'")


class Streams(WithDirectory):
    def test_full_disk_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([SACCADE, "--help"], stdout=full, stderr=subprocess.PIPE, env=environment(),
                                    timeout=TIMEOUT)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"No space left on device", result.stderr)

    def test_reader_that_went_away_is_a_failure_not_a_signal(self):
        reader, writer = os.pipe()
        os.close(reader)
        result = subprocess.run([SACCADE, "--help"], stdout=writer, stderr=subprocess.PIPE, env=environment(),
                                timeout=TIMEOUT)
        os.close(writer)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"Broken pipe", result.stderr)

    def test_closed_stdout_is_a_failure(self):
        result = subprocess.run(["sh", "-c", 'exec "$0" --version >&-', SACCADE], stderr=subprocess.PIPE,
                                env=environment(), timeout=TIMEOUT)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"could not be written", result.stderr)


class WaitPolicy(unittest.TestCase):
    """A process that waits for stdin shows its environment in /proc."""

    def environment_of(self, env, argv0=None):
        process = subprocess.Popen([argv0 or SACCADE, "infer", "--input", "-", "--output", "/dev/null"],
                                   executable=SACCADE, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=env)
        try:
            found = b""
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                # In this order: what waits for stdin is not executed again any more.
                blocked = pathlib.Path(f"/proc/{process.pid}/wchan").read_text()
                found = pathlib.Path(f"/proc/{process.pid}/environ").read_bytes()
                if b"OMP_WAIT_POLICY" in found or "pipe" in blocked:
                    break
            return dict(v.split(b"=", 1) for v in found.split(b"\0") if b"=" in v)
        finally:
            process.stdin.close()
            process.wait(TIMEOUT)

    def test_idle_threads_sleep_unless_the_user_chose(self):
        chosen = self.environment_of(environment())
        self.assertEqual(chosen[b"OMP_WAIT_POLICY"], b"PASSIVE")
        self.assertEqual(chosen[b"GOMP_SPINCOUNT"], b"2000")
        own = self.environment_of(environment(OMP_WAIT_POLICY="active"))
        self.assertEqual(own[b"OMP_WAIT_POLICY"], b"active")
        self.assertNotIn(b"_SACCADE_EXECUTED_AGAIN", own)

    def test_it_is_executed_again_whatever_its_name_and_only_once(self):
        self.assertEqual(self.environment_of(environment(), argv0="/nonexistent/name")[b"OMP_WAIT_POLICY"], b"PASSIVE")
        result = run("inspect", "/nonexistent", env=environment(_SACCADE_EXECUTED_AGAIN="1"))
        self.assertEqual(result.returncode, 1)

    def test_started_by_the_dynamic_loader_it_still_runs(self):
        loader = "/lib64/ld-linux-x86-64.so.2"
        if not os.path.exists(loader):
            self.skipTest(f"no {loader}")
        result = subprocess.run([loader, SACCADE, "inspect", "/nonexistent"], capture_output=True, env=environment(),
                                timeout=TIMEOUT)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"saccade inspect: /nonexistent", result.stderr)


class Engine(WithDirectory):
    """With the embedded model."""

    def test_inspect_json_adds_up(self):
        result = run("inspect", "--json", "--profile", "--batch", "2", "--threads", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        model = json.loads(result.stdout)
        self.assertEqual((model["batch"], model["threads"], model["precision"]), (2, 1, "int8"))
        self.assertRegex(model["version"], r"\A[0-9a-f]{12}\Z")
        self.assertGreaterEqual(model["arena_bytes"], model["arena_bound_bytes"])
        self.assertGreater(len(model["steps"]), 0)
        self.assertAlmostEqual(sum(step["share"] for step in model["steps"]), 1, places=3)
        self.assertAlmostEqual(sum(step["ms"] for step in model["steps"]), model["total_ms"], delta=0.01)

    def test_inspect_table_has_a_row_for_each_step(self):
        steps = json.loads(run("inspect", "--json").stdout)["steps"]
        text = run("inspect").stdout.decode()
        rows = re.findall(r"(?m)^ *(\d+)  \S", text)
        self.assertEqual([int(row) for row in rows], list(range(len(steps))))
        self.assertNotIn("\x1b", text)

    def test_bench_ends_with_one_object(self):
        result = run("bench", "--seconds", "0.2", "--batch", "2", "--threads", "1", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        bench = json.loads(result.stdout.decode().splitlines()[-1])
        self.assertLessEqual({"model", "precision", "isa", "threads", "batch", "median_ms", "min_ms", "mean_ms", "p99_ms",
                              "images_per_s", "runs"}, set(bench))
        self.assertEqual((bench["threads"], bench["batch"]), (1, 2))
        self.assertLessEqual(bench["min_ms"], bench["median_ms"])
        self.assertLessEqual(bench["median_ms"], bench["p99_ms"])
        self.assertAlmostEqual(bench["images_per_s"] * bench["mean_ms"], 2000, delta=1)
        self.assertGreaterEqual(bench["runs"], 3)

    def test_bench_isa_follows_onednn(self):
        result = run("bench", "--seconds", "0.01", "--json", env=environment(ONEDNN_MAX_CPU_ISA="SSE41"))
        self.assertEqual(json.loads(result.stdout.decode().splitlines()[-1])["isa"], "SSE4.1")

    def test_infer_takes_the_batch_from_the_file(self):
        model = json.loads(run("inspect", "--json").stdout)
        size = [model["input"][key] for key in ("channels", "height", "width")]
        (self.directory / "x.npy").write_bytes(npy([3, *size]))
        result = run("infer", "--input", str(self.directory / "x.npy"), "--output", str(self.directory / "y.npy"))
        self.assertEqual((result.returncode, result.stdout), (0, b""), result.stderr)
        header = (self.directory / "y.npy").read_bytes()
        self.assertIn(f"'shape': (3, {model['classes']})".encode(), header[:128])
        size = 4 * model["classes"]
        self.assertEqual(header[-size:], header[-2 * size:-size], "the same image thrice has the same answer")

    def test_infer_refuses_what_does_not_fit_and_says_what_would(self):
        source, target = self.directory / "x.npy", self.directory / "y.npy"
        for shape, say in (([3, 224, 224], "add the batch"), ([1, 3, 7, 7], "takes [N, 3, 224, 224]"),
                           ([0, 3, 224, 224], "a batch of 0")):
            source.write_bytes(npy(shape))
            result = run("infer", "--input", str(source), "--output", str(target))
            self.assertEqual(result.returncode, 1)
            self.assertIn(say, result.stderr.decode())
        source.write_bytes(b"no array")
        self.assertIn(b"not a .npy file", run("infer", "--input", str(source), "--output", str(target)).stderr)
        self.assertEqual(os.listdir(self.directory), ["x.npy"])

    def test_missing_model_is_a_failure(self):
        for words in (["inspect", "/nonexistent"], ["bench", "--model", "/nonexistent"],
                      ["classify", "--model", "/nonexistent", "x.jpg"], ["serve", "--model", "/nonexistent"]):
            result = run(*words)
            self.assertEqual((result.returncode, result.stdout), (1, b""), words)
            self.assertIn(b"/nonexistent", result.stderr)


class Classify(WithDirectory):
    @classmethod
    def setUpClass(cls):
        if not PHOTOGRAPH.exists():
            raise unittest.SkipTest(f"no {PHOTOGRAPH}")

    def test_json_has_an_entry_for_each_image_in_their_order(self):
        broken = self.directory / "broken.jpg"
        broken.write_bytes(PHOTOGRAPH.read_bytes()[:2000])
        paths = [str(PHOTOGRAPH), str(broken), "/nonexistent.jpg", "-"]
        result = run("classify", "--json", "--top-k", "3", *paths, stdin=PHOTOGRAPH.read_bytes())
        self.assertEqual(result.returncode, 1)
        results = json.loads(result.stdout)["results"]
        self.assertEqual([r["filename"] for r in results], paths)
        self.assertEqual([r["id"] for r in results], ["0", "1", "2", "3"])
        self.assertEqual(["error" in r for r in results], [False, True, True, False])
        self.assertEqual(results[0]["predictions"], results[3]["predictions"])
        probabilities = [p["probability"] for p in results[0]["predictions"]]
        self.assertEqual(len(probabilities), 3)
        self.assertEqual(probabilities, sorted(probabilities, reverse=True))
        self.assertIn("cat", results[0]["predictions"][0]["label"])
        for path in paths[1:3]:
            self.assertIn(path, result.stderr.decode())

    def test_table_is_aligned_and_has_bars_of_the_locale(self):
        for locale, block in (("C.UTF-8", "\u2588"), ("C", "#")):
            text = run("classify", str(PHOTOGRAPH), env=environment(LC_ALL=locale)).stdout.decode()
            lines = text.splitlines()
            self.assertIn(str(PHOTOGRAPH), lines[0])
            self.assertEqual(len(lines), 6)
            self.assertEqual(len({line.index("%") for line in lines[1:]}), 1)
            self.assertIn(block, lines[1])
            self.assertNotIn("\x1b", text)

    def test_top_k_from_flag_environment_and_file(self):
        config = self.directory / "config.json"
        config.write_text('{"top-k": 2, "json": true}')

        def count(*words, **env):
            result = run("classify", "--config", str(config), *words, str(PHOTOGRAPH), env=environment(**env))
            self.assertEqual(result.returncode, 0, result.stderr)
            return len(json.loads(result.stdout)["results"][0]["predictions"])

        self.assertEqual(count(), 2)
        self.assertEqual(count(SACCADE_TOP_K="3"), 3)
        self.assertEqual(count("--top-k", "4", SACCADE_TOP_K="3"), 4)

    def test_colours_on_a_terminal_only_without_no_color(self):
        for changes, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            master, slave = pty.openpty()
            env = {k: v for k, v in environment(TERM="xterm").items() if k != "NO_COLOR"}
            process = subprocess.Popen([SACCADE, "classify", str(PHOTOGRAPH)], stdout=slave, stderr=subprocess.PIPE,
                                       env={**env, **changes})
            os.close(slave)
            text = b""
            while select.select([master], [], [], TIMEOUT)[0]:
                try:
                    data = os.read(master, 4096)
                except OSError:  # EIO: the other side is closed
                    break
                if not data:
                    break
                text += data
            os.close(master)
            process.communicate(timeout=TIMEOUT)
            self.assertEqual(process.returncode, 0)
            self.assertIn(b"cat", text)
            self.assertEqual(b"\x1b[" in text, coloured, changes)

    def test_bench_images_measures_decoding_too(self):
        shutil.copy(PHOTOGRAPH, self.directory / "a.jpg")
        (self.directory / "notes.txt").write_text("no image")
        result = run("bench", "--images", str(self.directory), "--seconds", "0.3", "--batch", "2", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        bench = json.loads(result.stdout.decode().splitlines()[-1])
        self.assertEqual((bench["files"], bench["batch"]), (1, 2))
        self.assertGreater(bench["decode_ms"], 0)
        self.assertLess(2 * bench["decode_ms"], bench["mean_ms"])  # of both images, of the batch

    def test_bench_images_in_one_stream_does_one_after_another(self):
        shutil.copy(PHOTOGRAPH, self.directory / "a.jpg")
        result = run("bench", "--images", str(self.directory), "--seconds", "0.3", "--streams", "1", "--batch", "2", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        bench = json.loads(result.stdout.decode().splitlines()[-1])
        self.assertAlmostEqual(bench["images_per_s"] * bench["mean_ms"], 2000, delta=1)

    def test_bench_images_needs_images(self):
        result = run("bench", "--images", str(self.directory))
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"no JPEG in it", result.stderr)


if __name__ == "__main__":
    unittest.main()
