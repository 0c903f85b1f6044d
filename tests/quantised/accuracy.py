#!/usr/bin/env python3
"""What int8 costs in accuracy: saccade, ONNX Runtime and OpenVINO on the same quantised model and photographs.

    SACCADE=build/cli/saccade venv/bin/python accuracy.py MODEL --images FOLDER [--by ort|saccade] [--calibrate N] [--swap]

MODEL is the float network, an .onnx file or a model's directory. FOLDER has labels.tsv (class index, tab, file name). It
is quantised on N of the photographs, evenly spread, and measured on all others; --swap quantises on those others and
measures on the N. --by ort: ONNX Runtime's standard recipe (make_models.py, --form names another of its forms); --by
saccade: `saccade quantize` with its default settings; --quantised FILE: it is there already, and measured on all.
Without labels.tsv's classes being the network's (random weights), --agreement-only leaves the accuracy out.

All engines get the same float32 input, made by Pillow and NumPy, one picture at a time on one thread. "exact" is ONNX
Runtime without graph optimisations: each operator by itself, in exact arithmetic. A step is the scale of the last
quantised layer, the smallest difference that it can tell. Writes a Markdown table to stdout. Exits with 1 where saccade's
int8 misses what is required: --agreement percent with exact, and accuracy within --images-apart pictures of it.
"""
import argparse
import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

import make_models
import pictures

HERE = pathlib.Path(__file__).resolve().parent
ENGINE = HERE.parent / "bench" / "peers" / "engine.py"
TIMEOUT_S = 1800
INFER_BATCH = 25  # pictures in a run of `saccade infer`
HELD = "AVX2"


def rows_of(by_float):
    """(name, engine, precision, instructions): None for all that the CPU has."""
    rows = [("float32, ONNX Runtime", "ort", "f32", None)] if by_float else []
    rows += [("exact: ONNX Runtime, no optimisations", "ort", "exact", None), ("saccade f32", "saccade", "f32", None)]
    for isa in (None, HELD):
        rows += [("saccade int8", "saccade", "int8", isa), ("OpenVINO", "openvino", "own", isa)]
    return rows + [("ONNX Runtime", "ort", "own", None)]


class Failure(Exception):
    """An engine that cannot run the model; its words are for the table."""


def run(command, isa):
    environment = {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"}
    if isa:
        environment["ONEDNN_MAX_CPU_ISA"] = isa
    result = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True,
                            timeout=TIMEOUT_S)
    if result.returncode != 0:
        raise Failure((result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1])
    return result.stdout


def saccade_scores(model, x, precision, isa, scratch):
    """[N, classes], and the milliseconds of `saccade bench`."""
    program = os.environ["SACCADE"]
    outputs = []
    for start in range(0, len(x), INFER_BATCH):
        np.save(scratch / "x.npy", x[start : start + INFER_BATCH])
        run([program, "infer", "--model", model, "--input", scratch / "x.npy", "--output", scratch / "y.npy",
             "--threads", 1, "--precision", precision, "--tune", "fast"], isa)
        outputs.append(np.load(scratch / "y.npy").reshape(len(x[start : start + INFER_BATCH]), -1))
    line = run([program, "bench", "--model", model, "--threads", 1, "--batch", 1, "--seconds", 1, "--precision", precision,
                "--json"], isa).strip().splitlines()[-1]
    return np.concatenate(outputs), json.loads(line)["median_ms"]


def peer_scores(engine, model, x, precision, isa, scratch):
    np.save(scratch / "x.npy", x)
    file = model / "model.onnx" if model.is_dir() else model
    line = run([sys.executable, ENGINE, engine, file, "--input", scratch / "x.npy", "--output", scratch / "y.npy", "--each",
                "--precision", precision], isa).strip().splitlines()[-1]
    return np.load(scratch / "y.npy"), json.loads(line)["median_ms"]


def last_step(path):
    """The scale of the DequantizeLinear (or com.microsoft operator) that gives the scores; None where they are float."""
    graph = onnx.load(str(path / "model.onnx" if path.is_dir() else path)).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = node.attribute[0].t
    producer = {name: node for node in graph.node for name in node.output}
    node = producer[graph.output[0].name]
    while node.op_type in ("Reshape", "Flatten", "Squeeze", "Identity"):
        node = producer[node.input[0]]
    if node.op_type != "DequantizeLinear":
        return None
    return float(numpy_helper.to_array(constants[node.input[1]]).max())


def quantise(options, folder, scratch):
    """The quantised model of the photographs in folder."""
    if options.by == "saccade":
        target = scratch / "quantised"
        run([os.environ["SACCADE"], "quantize", "--model", options.model, "--calibrate", folder, "--output", target,
             *options.quantize_option], None)
        return target / "model.onnx"
    preprocessing = pictures.Preprocessing.of(options.model)
    file = options.model / "model.onnx" if options.model.is_dir() else options.model
    target = scratch / "quantised.onnx"
    make_models.make(make_models.folded(file, scratch / "folded.onnx"), target, options.form,
                     [preprocessing.read(path) for path in pictures.files(folder)])
    return target


def beside(model, quantised, directory):
    """The quantised file with the float model's settings beside it."""
    directory.mkdir()
    shutil.copyfile(quantised, directory / "model.onnx")
    for file in model.glob("*.json") if model.is_dir() else ():
        shutil.copyfile(file, directory / file.name)
    return directory


def table(options, quantised, paths, labels, scratch):
    """Prints the table; returns saccade's int8 misses in words."""
    preprocessing = pictures.Preprocessing.of(options.model)
    x = np.stack([preprocessing.read(path) for path in paths])
    truth = np.array([labels[path.name] for path in paths])
    step = last_step(quantised)
    exact, misses, reference_right = None, [], None
    print(f"| engine | instructions | {'' if options.agreement_only else 'top-1 right | '}agrees with exact | largest "
          "difference, steps | ms |")
    print("|---|---|" + "---:|" * (3 if options.agreement_only else 4), flush=True)
    for name, engine, precision, isa in rows_of(True):
        model = options.model if name.startswith("float32") else quantised
        title = f"| {name} | {isa or 'all'} | "
        try:
            if engine == "saccade":
                scores, ms = saccade_scores(model, x, precision, isa, scratch)
            else:
                scores, ms = peer_scores(engine, model, x, precision, isa, scratch)
        except Failure as failure:
            print(f"{title}fails: {failure} |" + " |" * (2 if options.agreement_only else 3), flush=True)
            if name == "saccade int8":
                misses.append(f"{name} on {isa or 'all'}: {failure}")
            continue
        exact = scores if precision == "exact" else exact
        right = int((scores.argmax(1) == truth).sum())
        reference_right = right if precision == "exact" else reference_right
        cells = [] if options.agreement_only else [f"{right} of {len(x)}"]
        if exact is None or precision == "exact":
            cells += ["", ""]
        else:
            agreed = int((scores.argmax(1) == exact.argmax(1)).sum())
            difference = np.abs(scores - exact).max()
            cells += [f"{agreed} of {len(x)}", f"{difference / step:.2f}" if step else f"{difference:.2g} (absolute)"]
            if name == "saccade int8" and 100 * agreed < options.agreement * len(x):
                misses.append(f"{name} on {isa or 'all'} agrees with exact on {agreed} of {len(x)} only")
            if name == "saccade int8" and not options.agreement_only and abs(right - reference_right) > options.images_apart:
                misses.append(f"{name} on {isa or 'all'} has {right} right, exact arithmetic {reference_right}")
        print(title + " | ".join([*cells, f"{ms:.2f}"]) + " |", flush=True)
    return misses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--by", choices=("ort", "saccade"), default="ort")
    parser.add_argument("--form", choices=make_models.FORMS, default="qdq")
    parser.add_argument("--quantize-option", action="append", default=[], metavar="OPTION=VALUE", help="for saccade quantize")
    parser.add_argument("--quantised", type=pathlib.Path, help="measure this file on all photographs")
    parser.add_argument("--calibrate", type=int, default=50)
    parser.add_argument("--swap", action="store_true")
    parser.add_argument("--agreement-only", action="store_true")
    parser.add_argument("--agreement", type=float, default=99.0, help="percent (default: %(default)s)")
    parser.add_argument("--images-apart", type=int, default=2, help="(default: %(default)s)")
    options = parser.parse_args()
    if "SACCADE" not in os.environ:
        parser.error("set SACCADE to the program to test")
    options.model = options.model.resolve()
    options.quantize_option = [f"--{option}" for option in options.quantize_option]
    with open(options.images / "labels.tsv", newline="", encoding="utf-8") as file:
        labels = {name: int(label) for label, name in csv.reader(file, delimiter="\t")}
    paths = pictures.files(options.images)
    calibrating = [] if options.quantised else pictures.spread(paths, options.calibrate)
    measuring = [path for path in paths if path not in calibrating]
    if options.swap:
        calibrating, measuring = measuring, calibrating

    with tempfile.TemporaryDirectory(prefix="saccade-accuracy-") as scratch:
        scratch = pathlib.Path(scratch)
        if options.quantised:
            quantised = options.quantised / "model.onnx" if options.quantised.is_dir() else options.quantised
        else:
            folder = scratch / "calibrate"
            folder.mkdir()
            for path in calibrating:
                (folder / path.name).symlink_to(path.resolve())
            try:
                quantised = quantise(options, folder, scratch)
            except Failure as failure:
                sys.exit(f"saccade quantize: {failure}")
        who = "saccade quantize" if options.by == "saccade" else f"ONNX Runtime, form {options.form}"
        who = "given" if options.quantised else f"by {who}, from {len(calibrating)} photographs"
        print(f"{options.model.name}, quantised {who}; measured on {len(measuring)}; {quantised.stat().st_size} bytes\n")
        misses = table(options, beside(options.model, quantised, scratch / "model"), measuring, labels, scratch)
    for miss in misses:
        print(f"required: {miss}", file=sys.stderr)
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
