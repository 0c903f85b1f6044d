#!/usr/bin/env python3
"""Makes docs/models.md: every classifier of torchvision, exported and compared with ONNX Runtime.

    python3 tests/zoo/models.py                                     some two hours: exports each, and deletes it again
    python3 tests/zoo/models.py --directory DIR --keep              keeps the files: the next run takes 25 minutes
    python3 tests/zoo/models.py --directory DIR --keep swin_t ...   these anew, the others as they were

One network after another: export (export.py), `saccade infer` at batch 1 and 4 with the instruction set that the CPU
has and with AVX2, and both engines by turns for the time of one picture on one thread. Results are kept in
DIR/results.json; a run that was interrupted goes on where it stopped, and results of another build are made again.
Needs numpy and onnxruntime here, torch and torchvision in ZOO_PYTHON (default: /usr/bin/python3).
"""
import argparse
import contextlib
import hashlib
import json
import math
import pathlib
import re
import sys
import tempfile
import time

import numpy as np
import onnxruntime

import zoo

ROOT = zoo.HERE.parent.parent
BATCHES = (1, 4)
TIMING_ROUNDS = 3
TIMING_S = 0.4
DEGENERATE = 0.01  # scores of two pictures that differ by less than this of the largest score say little


def reference_session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])


class Measurement:
    """One network; the result is a dictionary for results.json and the table."""

    def __init__(self, exported, program, isas, scratch):
        self.exported, self.program, self.isas, self.scratch = exported, program, isas, scratch
        self.facts = exported.facts
        self.lazy_session = None

    def session(self):
        self.lazy_session = self.lazy_session or reference_session(self.exported.path)
        return self.lazy_session

    def references(self):
        """ONNX Runtime's outputs by batch, kept beside the exported file."""
        path = self.exported.directory / f"{self.exported.name}.reference.npz"
        if not path.exists():
            outputs = {}
            for batch in BATCHES:
                (outputs[str(batch)],) = self.session().run(None, {"input": zoo.pictures(batch, self.facts["side"])})
            np.savez(path, **outputs)
        with np.load(path) as outputs:
            return {batch: outputs[str(batch)] for batch in BATCHES}

    def load_s(self):
        """Seconds to read the model, plan it and say so; the least of two where that is not long."""
        times = []
        while len(times) < 2 and sum(times) < 5:
            start = time.monotonic()
            zoo.run([self.program, "inspect", str(self.exported.path)])
            times.append(time.monotonic() - start)
        return min(times)

    def differences(self, isa, references):
        found = {}
        for batch in BATCHES:
            x = zoo.pictures(batch, self.facts["side"])
            y = zoo.infer(self.program, self.exported.path, x, isa, self.scratch)
            found[str(batch)] = zoo.relative_difference(y, references[batch])
        return found

    def times(self):
        """Least milliseconds of (ONNX Runtime, saccade) for one picture on one thread."""
        x = zoo.pictures(1, self.facts["side"])
        theirs, ours = [], []
        self.session().run(None, {"input": x})
        for _ in range(TIMING_ROUNDS):
            output = zoo.run([self.program, "bench", "--model", str(self.exported.path), "--threads", "1", "--batch", "1",
                              "--seconds", str(TIMING_S), "--json"])
            ours.append(json.loads(output.splitlines()[-1])["min_ms"])
            end, runs = time.monotonic() + TIMING_S, 0
            while time.monotonic() < end or runs < 3:
                start = time.monotonic()
                self.session().run(None, {"input": x})
                theirs.append((time.monotonic() - start) * 1e3)
                runs += 1
        return min(theirs), min(ours)

    def take(self):
        result = {**self.facts, "differences": {}, "errors": {}}
        references = self.references()
        largest = max(float(np.abs(y).max()) for y in references.values())
        four = references[max(BATCHES)]
        result["spread"] = float(np.abs(four[0] - four[1]).max()) / largest
        try:
            result["load_s"] = self.load_s()
        except zoo.Failure as failure:
            result["errors"]["load"] = self.words(failure)
            return result
        for label, isa in self.isas.items():
            try:
                result["differences"][label] = self.differences(isa, references)
            except zoo.Failure as failure:
                result["errors"][label] = self.words(failure)
        return result

    def add_times(self, result):
        if not result["errors"]:
            result["reference_ms"], result["saccade_ms"] = self.times()

    def words(self, failure):
        """The error without the paths of this machine."""
        return re.sub(r"\S*/", "", str(failure))


def measure(name, options, isas, scratch, known):
    """known: a result of this build that lacks nothing but times, or None."""
    exported = zoo.Exported(options.directory, name)
    started = time.monotonic()
    try:
        measurement = Measurement(exported.make(options.python), options.program, isas, scratch)
        result = dict(known) if known else measurement.take()
        if not options.no_times:
            measurement.add_times(result)
    except zoo.Failure as failure:
        result = {"not_exported": str(failure)}
    finally:
        if not options.keep:
            for file in exported.files():
                file.unlink(missing_ok=True)
    result["took_s"] = time.monotonic() - started + (known or {}).get("took_s", 0)
    return result


# ---- the table ----


def passes(name, differences):
    return all(differences[str(batch)] <= zoo.tolerance(name) for batch in BATCHES)


def difference_cells(name, result, isas):
    cells = []
    for label in isas:
        differences = result["differences"].get(label)
        for batch in BATCHES:
            if not differences:
                cells.append("fails")
                continue
            value = differences[str(batch)]
            cells.append(f"{value:.1e}" if value <= zoo.tolerance(name) else f"**{value:.1e}**")
    return cells


def row(name, result, isas):
    if "not_exported" in result:
        return [name, "", "", "not exported"] + [""] * (len(isas) * len(BATCHES) + 2)
    loads = f"{result['load_s']:.2f} s" if "load_s" in result else "fails"
    cells = [name, f"{result['side']}", f"{result['opset']}", loads, *difference_cells(name, result, isas)]
    if "saccade_ms" in result:
        cells += [f"{result['saccade_ms']:.1f} ms", f"{result['reference_ms'] / result['saccade_ms']:.2f}"]
    else:
        cells += ["", ""]
    return cells


def table(results, isas):
    head = ["model", "pixels", "opset", "loads in"]
    head += [f"{label}, batch {batch}" for label in isas for batch in BATCHES]
    head += ["one picture", "ONNX Runtime / saccade"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(row(name, result, isas)) + " |" for name, result in results.items()]
    return lines


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def summary(results, n_names, isas):
    exported = {name: result for name, result in results.items() if "not_exported" not in result}
    parts = [f"{n_names} names, {len(exported)} exported"]
    if len(results) < n_names:
        parts[0] += f", {n_names - len(results)} not tried yet"
    parts.append(f"{sum('load_s' in result for result in exported.values())} load")
    for label in isas:
        n = sum(label in result["differences"] and passes(name, result["differences"][label])
                for name, result in exported.items())
        parts.append(f"{n} equal ONNX Runtime on {label}")
    ratios = [result["reference_ms"] / result["saccade_ms"] for result in exported.values() if "saccade_ms" in result]
    if ratios:
        parts.append(f"ONNX Runtime / saccade {geometric_mean(ratios):.2f} in the geometric mean, "
                     f"{min(ratios):.2f} to {max(ratios):.2f}")
    return "**" + "; ".join(parts) + ".**"


def notes(results):
    lines = []
    for name, result in results.items():
        if "not_exported" in result:
            lines.append(f"* {name} was not exported: {result['not_exported']}")
        for what, error in result.get("errors", {}).items():
            lines.append(f"* {name}, {what}: {error}")
        if result.get("spread", 1) < DEGENERATE:
            lines.append(f"* {name}: the scores of two pictures differ by only {result['spread']:.1e}")
    return lines


def versions(python):
    return zoo.run([python, "-c", "import torch, torchvision; print(torchvision.__version__, torch.__version__)"]).split()


def write_document(path, results, names, isas, python):
    torchvision, torch = versions(python)
    text = ["# torchvision's classifiers", ""]
    text += [summary(results, len(names), isas), ""]
    text += [
        f"Every name of `torchvision.models.list_models(module=torchvision.models)` (torchvision {torchvision}, torch "
        f"{torch}), exported by",
        "[export.py](../tests/zoo/export.py) with random weights and an open batch axis, in opsets 11 to 17 by turns. "
        "Made by [models.py](../tests/zoo/models.py).",
        "",
        "* **pixels**: of a side; the smallest picture for which torchvision has weights.",
        "* **loads in**: start of the program, reading, planning for one picture, and its end.",
        "* **batch 1, batch 4**: the largest difference to ONNX Runtime "
        f"{onnxruntime.__version__}, for each picture in units of its largest score. At most {zoo.TOLERANCE_TRANSFORMER:g} is asked of "
        f"{', '.join(zoo.TRANSFORMERS[:-1])} and {zoo.TRANSFORMERS[-1]}, {zoo.TOLERANCE:g} of the others.",
        "* **one picture**: the least time of one run on one thread with the first instruction set; and how many times as "
        "long ONNX Runtime takes, measured by turns.",
        "* torch 1.13 cannot write `Tensor.zero_()`, by which Swin v2 clears the bias of its keys: export.py tells it how. "
        "MaxViT needs opset 12 (Einsum). The exports of RegNetY-128GF and ViT-H/14 exceed protobuf's 2 GiB: their weights "
        "are external data.",
        "",
    ]
    text += table(results, isas)
    remarks = notes(results)
    if remarks:
        text += ["", *remarks]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(text) + "\n")


# ---- the story ----


def instruction_sets(program):
    """Column labels and their values for ONEDNN_MAX_CPU_ISA."""
    detected = json.loads(zoo.run([program, "inspect", "--json"]).splitlines()[-1])["isa"]
    isas = {detected: None}
    if "avx2" in zoo.cpu_flags() and detected != "AVX2":
        isas["AVX2"] = "AVX2"
    return isas


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="to be measured anew; all others stay as they are")
    parser.add_argument("--directory", type=pathlib.Path, help="of exported files and results (default: a temporary one)")
    parser.add_argument("--keep", action="store_true", help="do not delete exported files")
    parser.add_argument("--only-exported", action="store_true", help="leave out what is not in the directory")
    parser.add_argument("--only-write", action="store_true", help="measure nothing, write what results.json has")
    parser.add_argument("--no-times", action="store_true", help="compare only; a later run adds the times")
    parser.add_argument("--program", default=str(ROOT / "build" / "cli" / "saccade"))
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs" / "models.md")
    options = parser.parse_args()
    options.python = zoo.export_python()
    if not options.python:
        parser.error("no Python with torch and torchvision (Debian: python3-torch, python3-torchvision); see ZOO_PYTHON")
    return options


def main():
    options = parse_options()
    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        options.directory = options.directory or scratch
        options.directory.mkdir(parents=True, exist_ok=True)
        results_path = options.directory / "results.json"
        known = json.loads(results_path.read_text()) if results_path.exists() else {}
        build = hashlib.sha256(pathlib.Path(options.program).read_bytes()).hexdigest()[:12]
        names = zoo.run([options.python, str(zoo.HERE / "export.py"), "--list"]).split()
        isas = instruction_sets(options.program)
        unknown = set(options.names) - set(names)
        if unknown:
            sys.exit(f"unknown: {', '.join(sorted(unknown))}")

        for name in [] if options.only_write else options.names or names:
            fresh = known.get(name) if known.get(name, {}).get("build") == build and not options.names else None
            if fresh and (options.no_times or "saccade_ms" in fresh or "not_exported" in fresh or fresh["errors"]):
                continue
            if options.only_exported and not (options.directory / f"{name}.json").exists():
                continue
            known[name] = {**measure(name, options, isas, scratch, fresh), "build": build}
            results_path.write_text(json.dumps(known, indent=1) + "\n")
            print(" | ".join(row(name, known[name], isas)), f"| {known[name]['took_s']:.0f} s", flush=True)
        results = {name: known[name] for name in names if name in known}
        write_document(options.output, results, names, isas, options.python)
        print(f"{options.output}: {summary(results, len(names), isas)}")
        ok = all(not result.get("errors") and all(passes(name, d) for d in result["differences"].values())
                 for name, result in results.items() if "not_exported" not in result)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
