#!/usr/bin/env python3
"""saccade, ONNX Runtime, OpenVINO and MNN by turns on the same models: one table, one chart.

    export SACCADE=build/cli/saccade
    venv/bin/python tests/bench/compare.py --models DIRECTORY --threads 1 2 --batch 1 8 --rounds 5 --output docs

--threads and --batch go in pairs: here one thread at batch 1, and two threads at batch 8. MODEL is an .onnx file, a
directory of them, or a model's directory; tests/zoo/export.py makes them. Needs onnx and numpy beside the peers; a peer
that is not installed is left out, and said. Writes NAME.md, NAME.svg and NAME.json into --output.

How it is measured, so that all meet the same:

* Every engine runs in a fresh process in every round, on the same CPUs: the last ones of this process's affinity mask,
  as many as there are threads (--cpus names others). Each has as many threads as CPUs.
* One engine after the other, never two at once. Every other round goes the other way round, and pairs of rounds begin
  with another engine each.
* The same input: the noise that `saccade bench` runs, normalised as torchvision does. saccade normalises within the
  time that is measured, the peers get what is normalised already.
* A round's time is the median of its runs, an engine's time the median of the rounds. The ratio is that of a round
  (best peer of this model / saccade, the best by the medians), and its median over the rounds is given. --statistic min
  takes the fastest run of all rounds instead: where other work disturbs the machine.
* Each engine's answer is compared with ONNX Runtime's before anything is timed. saccade measures its kernels then, as
  `saccade bench` does when it first sees a model, and remembers the answers for as long as this script runs.

--isa AVX2 holds saccade and OpenVINO to AVX2 by ONEDNN_MAX_CPU_ISA (both are built on oneDNN; a few of OpenVINO's own
kernels do not obey). ONNX Runtime and MNN choose by the CPU alone: where it has more, they are not comparable then.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import compare_report

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = {"ort": ("onnxruntime", "ONNX Runtime"), "openvino": ("openvino", "OpenVINO"), "mnn": ("MNN", "MNN")}
STARTING_S = 600  # for loading, converting and tuning, beyond what is asked for
LARGEST_DIFFERENCE = 1e-2  # of the largest reference value; beyond it an engine computes something else
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's ImageNet
OPEN_SIDE = 224  # where the file leaves height or width open, as saccade has it without a preprocessor_config.json


def common_parser(description, name):
    """What a comparison by turns asks for, whatever it compares; settle() completes what was given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", nargs="+", type=int, default=[1], metavar="N")
    parser.add_argument("--batch", nargs="+", type=int, default=[1], metavar="N")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each engine in each round")
    parser.add_argument("--statistic", choices=("median", "min"), default="median")
    parser.add_argument("--cpus", help="CPUs to run on, such as 0,2 (default: the last ones)")
    parser.add_argument("--isa", help="value for ONEDNN_MAX_CPU_ISA, such as AVX2")
    parser.add_argument("--output", type=pathlib.Path, help="directory for NAME.md, NAME.svg, NAME.json")
    parser.add_argument("--name", default=name)
    parser.add_argument("--bench-option", action="append", default=[], metavar="OPTION=VALUE",
                        help="more for `saccade bench` and `infer`, such as winograd=off")
    return parser


def settle(parser):
    options = parser.parse_args()
    if len(options.threads) != len(options.batch):
        parser.error("--threads and --batch go in pairs: give as many of one as of the other")
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    if "SACCADE" not in os.environ:
        parser.error("set SACCADE to the program to measure")
    options.saccade = str(pathlib.Path(os.environ["SACCADE"]).resolve())
    cpus = [int(cpu) for cpu in options.cpus.split(",")] if options.cpus else sorted(os.sched_getaffinity(0))
    if max(options.threads) > len(cpus):
        parser.error(f"{max(options.threads)} threads on {len(cpus)} CPUs")
    options.cpus = cpus
    return options


def arguments():
    parser = common_parser(__doc__, "performance-engine")
    parser.add_argument("--models", nargs="+", type=pathlib.Path, metavar="MODEL", required=True)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--at-least", type=float, metavar="R", help="exit with 1 where a geometric mean is lower")
    return settle(parser)


def find_models(paths):
    """(name, what saccade is given, the .onnx file)"""
    models = []
    for path in paths:
        if (path / "model.onnx").exists():
            models.append((path.resolve().name, path, path / "model.onnx"))
        elif path.is_dir():
            models += [(file.stem, file, file) for file in sorted(path.glob("*.onnx"))]
        else:
            models.append((path.stem, path, path))
    if not models:
        sys.exit("no .onnx file in " + ", ".join(map(str, paths)))
    return models


def input_shape(path, batch):
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    dims = next(value for value in graph.input if value.name not in constants).type.tensor_type.shape.dim
    return (batch, dims[1].dim_value, *(dim.dim_value or OPEN_SIDE for dim in dims[2:]))


def write_noise(path, shape):
    """What `saccade bench` runs: the same pixels, normalised."""
    import numpy as np

    n, channels, height, width = shape
    state, pixels = 1, bytearray(n * height * width * channels)
    for index in range(len(pixels)):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        pixels[index] = state >> 24
    x = np.frombuffer(pixels, np.uint8).reshape(n, height, width, channels) / 255.0
    if channels == len(MEAN):
        x = (x - MEAN) / DEVIATION
    np.save(path, np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32))


class Failure(Exception):
    """An engine that cannot run a model; its words are for the table."""


class Bench:
    """Everything that a turn needs: where the files are, which CPUs, which environment."""

    def __init__(self, options, scratch):
        self.options, self.scratch = options, scratch
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(scratch / "cache")}
        self.more = ["--" + option for option in options.bench_option]
        if options.isa:
            self.environment["ONEDNN_MAX_CPU_ISA"] = options.isa

    def run(self, command, threads, seconds):
        cpus = self.options.cpus[-threads:]
        limit = STARTING_S + 10 * seconds
        try:
            result = subprocess.run([str(word) for word in command], env=self.environment, text=True, timeout=limit,
                                    capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        except subprocess.TimeoutExpired as expired:
            raise Failure(f"not done after {limit:g} s") from expired
        if result.returncode != 0:
            words = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
            raise Failure(words[-1][:300])
        return result.stdout

    def noise(self, shape):
        path = self.scratch / ("x" + "x".join(map(str, shape)) + ".npy")
        if not path.exists():
            write_noise(path, shape)
        return path

    def saccade_command(self, model, threads, batch, precision):
        command = [self.options.saccade, "bench", "--model", model[1], "--threads", threads, "--batch", batch]
        return [*command, "--seconds", self.options.seconds, "--precision", precision, "--json", *self.more]

    def peer_command(self, peer, model, threads, batch, output, *more):
        name, _, onnx_file = model
        command = [sys.executable, HERE / "peers" / "engine.py", peer, onnx_file, "--threads", threads]
        command += ["--seconds", self.options.seconds, "--input", self.noise(input_shape(onnx_file, batch))]
        return [*command, "--mnn", self.scratch / f"{name}.mnn", *(["--output", output] if output else []), *more]

    def turn(self, engine, model, threads, batch, output=None):
        """One engine, once: its line of JSON."""
        if engine == "saccade":
            command = self.saccade_command(model, threads, batch, "f32")
        else:
            command = self.peer_command(engine, model, threads, batch, output)
        return json.loads(self.run(command, threads, self.options.seconds).strip().splitlines()[-1])

    def saccade_answer(self, model, threads, batch, output, precision):
        x = self.noise(input_shape(model[2], batch))
        command = [self.options.saccade, "infer", "--model", model[1], "--input", x, "--output", output]
        self.run([*command, "--threads", threads, "--tune", "fast", "--precision", precision, *self.more], threads, 1)

    def answer(self, engine, model, threads, batch):
        """[N, classes] for the noise; a short turn that also shows whether the engine runs the model at all."""
        import numpy as np

        output = self.scratch / "y.npy"
        output.unlink(missing_ok=True)
        if engine == "saccade":
            self.saccade_answer(model, threads, batch, output, "f32")
        else:
            seconds, self.options.seconds = self.options.seconds, 0
            try:
                self.turn(engine, model, threads, batch, output)
            finally:
                self.options.seconds = seconds
        return np.load(output).reshape(batch, -1)


def check_answers(bench, engines, model, threads, batch):
    """The largest difference of each engine to the first peer's answer, and what failed: two dictionaries."""
    import numpy as np

    reference, differences, failures = None, {}, {}
    for engine in sorted(engines, key=lambda engine: engine != "ort"):
        try:
            answer = bench.answer(engine, model, threads, batch)
        except Failure as failure:
            failures[engine] = str(failure)
            continue
        reference = answer if reference is None else reference
        if answer.shape != reference.shape:
            failures[engine] = f"an answer of shape {answer.shape} instead of {reference.shape}"
            continue
        differences[engine] = float(np.abs(answer - reference).max() / np.abs(reference).max())
        if not differences[engine] <= LARGEST_DIFFERENCE:
            failures[engine] = f"its answer differs by {differences[engine]:.1e}"
    return differences, failures


def order_of(engines, index):
    """Turned by one every other round, and the rounds between are the other way round."""
    turn = index // 2 % len(engines)
    turned = engines[turn:] + engines[:turn]
    return turned if index % 2 == 0 else turned[::-1]


def measure_rounds(bench, engines, model, threads, batch, failures):
    """[{engine: its line of JSON}]; empty where saccade fails. An engine that fails is noted, and left out from then."""
    rounds = []
    for index in range(bench.options.rounds):
        results = {}
        for engine in order_of(engines, index):
            if engine in failures or "saccade" in failures:
                continue
            progress(f"{model[0]}, {threads}x{batch}: round {index + 1}, {engine}")
            try:
                results[engine] = bench.turn(engine, model, threads, batch)
            except Failure as failure:
                failures[engine] = str(failure)
        rounds.append(results)
    return [] if "saccade" in failures else rounds


def compare(bench, engines, model, threads, batch):
    """One row of the results."""
    differences, failures = check_answers(bench, engines, model, threads, batch)
    rounds = measure_rounds(bench, engines, model, threads, batch, failures)
    running = [engine for engine in engines if engine not in failures]
    progress("")

    row = {"model": model[0], "threads": threads, "batch": batch, "differences": differences, "failures": failures}
    if not rounds:
        return row
    key, of_rounds = ("min_ms", min) if bench.options.statistic == "min" else ("median_ms", statistics.median)
    row["rounds_ms"] = {engine: [results[engine][key] for results in rounds] for engine in running}
    row["ms"] = {engine: of_rounds(times) for engine, times in row["rounds_ms"].items()}
    row["isa"] = rounds[0]["saccade"]["isa"]
    row["versions"] = {engine: rounds[0][engine]["version"] for engine in running if engine != "saccade"}
    peers = [engine for engine in running if engine != "saccade"]
    if peers:
        best = min(peers, key=row["ms"].get)
        ratios = [theirs / ours for ours, theirs in zip(row["rounds_ms"]["saccade"], row["rounds_ms"][best])]
        ratio = row["ms"][best] / row["ms"]["saccade"] if key == "min_ms" else statistics.median(ratios)
        row.update(best=best, ratio=ratio, ratios=ratios)
    return row


def progress(words):
    if sys.stderr.isatty():
        print(f"\r{words:79}\r", end="", file=sys.stderr, flush=True)


def said_by(command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def describe(options, peers):
    """What one needs to know to read the figures."""
    cpu = re.search(r"(?m)^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text())
    changed = "-dirty" if said_by(["git", "status", "--porcelain", "--untracked-files=no"]) else ""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu.group(1) if cpu else "unknown",
        "n_cpus": os.cpu_count(),
        "saccade": said_by([options.saccade, "--version"]).removeprefix("saccade "),
        "commit": said_by(["git", "rev-parse", "--short", "HEAD"]) + changed,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "statistic": options.statistic,
        "limit_isa": options.isa,
        "bench_options": options.bench_option,
        "engines": ["saccade", *peers],
        "titles": {"saccade": "saccade", **{peer: PEERS[peer][1] for peer in PEERS}},
        "missing": [PEERS[peer][1] for peer in options.peers if peer not in peers],
    }


def has_module(name):
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True).returncode == 0


def write(options, facts, rows, report=compare_report):
    results = {**facts, "rows": rows}
    options.output.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("md", report.markdown(results, f"{options.name}.svg")), ("svg", report.chart(results)),
                         ("json", json.dumps(results, indent=1) + "\n")):
        (options.output / f"{options.name}.{suffix}").write_text(text, encoding="utf-8")


def main():
    options = arguments()
    models = find_models(options.models)
    peers = [peer for peer in options.peers if has_module(PEERS[peer][0])]
    facts = describe(options, peers)
    for title in facts["missing"]:
        print(f"{title} is not installed for {sys.executable}: left out", file=sys.stderr)

    rows = []
    with tempfile.TemporaryDirectory(prefix="saccade-compare-") as scratch:
        bench = Bench(options, pathlib.Path(scratch))
        for threads, batch in zip(options.threads, options.batch):
            for model in models:
                rows.append(compare(bench, facts["engines"], model, threads, batch))
                print(compare_report.line(rows[-1], facts), flush=True)
                if options.output:
                    write(options, facts, rows)
    means = [compare_report.summary(part)[0] for part in compare_report.settings(rows).values()]
    print("\n" + compare_report.markdown({**facts, "rows": rows}))
    if options.at_least is not None and min(means) < options.at_least:
        sys.exit(f"the geometric mean {min(means):.3f} is below {options.at_least}")


if __name__ == "__main__":
    main()
