#!/usr/bin/env python3
"""int8, bfloat16 and float32 of saccade by turns with ONNX Runtime and OpenVINO: one table, one chart.

    export SACCADE=build/cli/saccade
    venv/bin/python tests/bench/precision.py --models resnet50.onnx:resnet50-qdq.onnx ... \\
        --threads 1 2 --batch 1 8 --rounds 5 --output docs

A model is the float file and the quantised one, each an .onnx file or a model's directory; tests/quantised/make_models.py
makes the second from the first. The contenders:

    saccade int8, OpenVINO int8, ONNX Runtime int8      the quantised file; OpenVINO without a hint of precision
    saccade bf16                                        the float file, where the CPU has the instructions
    saccade f32, ONNX Runtime f32                       the float file

How it is measured: as compare.py does it, whose head says how. Before anything is timed, each contender's answer is
compared with ONNX Runtime's in float32: where the error is not small beside the scores (RELATIVE_ERROR), it computes
something else, and fails. How exact int8 is, tests/quantised/accuracy.py measures.

--isa AVX2 holds saccade and OpenVINO to AVX2. ONNX Runtime chooses by the CPU alone: where that has more, its figures are
not comparable, and it is no peer of the ratios.
"""
import json
import pathlib
import statistics
import sys
import tempfile

import compare
import precision_report

CONTENDERS = {  # engine, whether it runs the quantised file, precision
    "saccade int8": ("saccade", True, "int8"),
    "saccade bf16": ("saccade", False, "bf16"),
    "saccade f32": ("saccade", False, "f32"),
    "ONNX Runtime f32": ("ort", False, "f32"),
    "ONNX Runtime int8": ("ort", True, "own"),
    "OpenVINO int8": ("openvino", True, "own"),
}
REFERENCE = "ONNX Runtime f32"
RELATIVE_ERROR = 0.5  # root mean square of the error, of that of the scores; a network of random weights reaches 0.3
# quotient: (numerator, denominator), either the fastest of several
RATIOS = {
    "int8 : ONNX Runtime f32": (("saccade int8",), ("ONNX Runtime f32",)),
    "int8 : best int8 peer": (("saccade int8",), ("ONNX Runtime int8", "OpenVINO int8")),
    "int8 : f32": (("saccade int8",), ("saccade f32",)),
    "bf16 : f32": (("saccade bf16",), ("saccade f32",)),
}


class PrecisionBench(compare.Bench):
    """Engines are contenders, models are pairs of what compare.find_models() gives: float and quantised."""

    def turn(self, engine, model, threads, batch, output=None):
        kind, quantised, precision = CONTENDERS[engine]
        file = model[2] if quantised else model[1]
        if kind == "saccade":
            command = self.saccade_command(file, threads, batch, precision)
        else:
            command = self.peer_command(kind, file, threads, batch, output, "--precision", precision)
        return json.loads(self.run(command, threads, self.options.seconds).strip().splitlines()[-1])

    def answer(self, engine, model, threads, batch):
        import numpy as np

        output = self.scratch / "y.npy"
        output.unlink(missing_ok=True)
        kind, quantised, precision = CONTENDERS[engine]
        if kind == "saccade":
            self.saccade_answer(model[2] if quantised else model[1], threads, batch, output, precision)
        else:
            seconds, self.options.seconds = self.options.seconds, 0
            try:
                self.turn(engine, model, threads, batch, output)
            finally:
                self.options.seconds = seconds
        return np.load(output).reshape(batch, -1).astype(np.float64)


def check_answers(bench, contenders, model, threads, batch):
    """Each one's error against the reference, and what failed: two dictionaries."""
    import numpy as np

    reference, errors, failures = None, {}, {}
    for contender in sorted(contenders, key=lambda contender: contender != REFERENCE):
        compare.progress(f"{model[0]}, {threads}x{batch}: answer of {contender}")
        try:
            answer = bench.answer(contender, model, threads, batch)
        except compare.Failure as failure:
            failures[contender] = str(failure)
            continue
        reference = answer if reference is None else reference
        if answer.shape != reference.shape:
            failures[contender] = f"an answer of shape {answer.shape} instead of {reference.shape}"
            continue
        errors[contender] = float(np.sqrt(np.square(answer - reference).mean() / np.square(reference).mean()))
        if not errors[contender] <= RELATIVE_ERROR:
            failures[contender] = f"its answer is another: relative error {errors[contender]:.2f}"
    return errors, failures


def ratios_of(rounds_ms, comparable):
    """{name of the ratio: (median, [each round's])}: how many times as fast the first is."""
    found = {}
    for name, sides in RATIOS.items():
        ours, theirs = ([c for c in side if c in rounds_ms and c in comparable] for side in sides)
        if not ours or not theirs:
            continue
        best = min(theirs, key=lambda contender: statistics.median(rounds_ms[contender]))
        of_rounds = [b / a for a, b in zip(rounds_ms[ours[0]], rounds_ms[best])]
        found[name] = (statistics.median(of_rounds), of_rounds)
    return found


def measure(bench, contenders, model, threads, batch, comparable):
    """One row of the results."""
    errors, failures = check_answers(bench, contenders, model, threads, batch)
    rounds = compare.measure_rounds(bench, contenders, model, threads, batch, failures)
    compare.progress("")
    running = [contender for contender in contenders if contender not in failures]
    key, of_rounds = ("min_ms", min) if bench.options.statistic == "min" else ("median_ms", statistics.median)
    rounds_ms = {contender: [results[contender][key] for results in rounds] for contender in running}
    return {
        "model": model[0], "threads": threads, "batch": batch, "errors": errors, "failures": failures,
        "rounds_ms": rounds_ms,
        "ms": {contender: of_rounds(times) for contender, times in rounds_ms.items()},
        "ratios": ratios_of(rounds_ms, comparable),
        "isa": next((rounds[0][c]["isa"] for c in running if CONTENDERS[c][0] == "saccade"), None),
        "versions": {CONTENDERS[c][0]: rounds[0][c]["version"] for c in running if CONTENDERS[c][0] != "saccade"},
    }


def cpu_has(*flags):
    found = set(pathlib.Path("/proc/cpuinfo").read_text().split())
    return any(flag in found for flag in flags)


def choose(options):
    """Those that can run here, and those of them that may be compared under --isa."""
    contenders = []
    for name, (engine, _, precision) in CONTENDERS.items():
        if engine != "saccade" and not compare.has_module(compare.PEERS[engine][0]):
            print(f"{name} is not installed for {sys.executable}: left out", file=sys.stderr)
        elif precision == "bf16" and (options.isa or not cpu_has("avx512_bf16", "amx_bf16")):
            print(f"{name}: not with these instructions, left out", file=sys.stderr)
        else:
            contenders.append(name)
    held = options.isa and cpu_has("avx512f")
    return contenders, [c for c in contenders if not held or CONTENDERS[c][0] != "ort"]


def find_pairs(words):
    pairs = []
    for word in words:
        sides = [compare.find_models([pathlib.Path(side)]) for side in word.split(":")]
        if len(sides) != 2 or any(len(side) != 1 for side in sides):
            sys.exit(f"{word}: give one float and one quantised model, as FLOAT:QUANTISED")
        pairs.append((sides[0][0][0], sides[0][0], sides[1][0]))
    return pairs


def main():
    parser = compare.common_parser(__doc__, "performance-precision")
    parser.add_argument("--models", nargs="+", metavar="FLOAT:QUANTISED", required=True)
    options = compare.settle(parser)
    options.peers = ["ort", "openvino"]
    pairs = find_pairs(options.models)
    contenders, comparable = choose(options)
    facts = {**compare.describe(options, options.peers), "contenders": contenders, "comparable": comparable,
             "instructions": [flag for flag in ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8")
                              if cpu_has(flag)]}
    rows = []
    with tempfile.TemporaryDirectory(prefix="saccade-precision-") as scratch:
        bench = PrecisionBench(options, pathlib.Path(scratch))
        for threads, batch in zip(options.threads, options.batch):
            for model in pairs:
                rows.append(measure(bench, contenders, model, threads, batch, comparable))
                print(precision_report.line(rows[-1]), flush=True)
                if options.output:
                    compare.write(options, facts, rows, precision_report)
    print("\n" + precision_report.markdown({**facts, "rows": rows}))


if __name__ == "__main__":
    main()
