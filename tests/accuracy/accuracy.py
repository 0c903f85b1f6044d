#!/usr/bin/env python3
"""Top-1 and top-5 of `saccade classify` on the 250 test photographs, with DCT scaling and without (--exact).

    SACCADE=build/saccade python3 tests/accuracy/accuracy.py [--images DIRECTORY] [--model PATH]

The directory has labels.tsv: class index, tab, file name. The photographs are test data kept beside the project
(../shared/images), no part of it: where they are missing, this says so and exits with 0. It exits with 1 where
fewer are right than required. The reference for the default model is the float32 network that it was made from, 224
and 244 of 250: ONNX Runtime, with Pillow's decoding and resize. Needs nothing but Python.
"""
import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys

IMAGES = pathlib.Path(__file__).resolve().parents[3] / "shared" / "images"
TIMEOUT_S = 300


def read_labels(directory):
    with open(directory / "labels.tsv", newline="", encoding="utf-8") as file:
        return {name: int(label) for label, name in csv.reader(file, delimiter="\t")}


def classify(program, model, paths, exact, precision="auto", isa="ALL"):
    """File name -> class indices, most probable first."""
    command = [program, "classify", "--json", "--top-k", "5"]
    command += ["--exact"] if exact else []
    command += ["--precision", precision]
    command += ["--model", model] if model else []
    result = subprocess.run(command + [str(path) for path in paths], capture_output=True, text=True, timeout=TIMEOUT_S,
                            env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa})
    if result.returncode != 0:
        sys.exit(f"saccade classify failed with {result.returncode}: {result.stderr}")
    answers = {}
    for entry in json.loads(result.stdout)["results"]:
        if "error" in entry:
            sys.exit(f"{entry.get('filename')}: {entry['error']}")
        answers[pathlib.Path(entry["filename"]).name] = [p["class_id"] for p in entry["predictions"]]
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=pathlib.Path, default=pathlib.Path(os.environ.get("IMAGES", IMAGES)))
    parser.add_argument("--model", help="instead of the default model")
    parser.add_argument("--top-1", type=int, default=223, help="right answers required (default: %(default)s)")
    parser.add_argument("--top-5", type=int, default=243, help="right answers required (default: %(default)s)")
    options = parser.parse_args()
    if not (options.images / "labels.tsv").exists():
        print(f"skipped: no photographs at {options.images}")
        return 0
    if "SACCADE" not in os.environ:
        parser.error("set SACCADE to the program to test")

    labels = read_labels(options.images)
    enough = True
    for exact in (False, True):
        paths = [options.images / name for name in labels]
        answers = classify(os.environ["SACCADE"], options.model, paths, exact)
        if set(answers) != set(labels):
            sys.exit(f"{len(answers)} answers to {len(labels)} photographs")
        top_1 = sum(answers[name][0] == label for name, label in labels.items())
        top_5 = sum(label in answers[name][:5] for name, label in labels.items())
        how = "without DCT scaling (--exact)" if exact else "with DCT scaling"
        print(f"{how}: {top_1} top-1, {top_5} top-5 of {len(labels)}", flush=True)
        enough = enough and top_1 >= options.top_1 and top_5 >= options.top_5
    if not enough:
        print(f"required: {options.top_1} top-1, {options.top_5} top-5", file=sys.stderr)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
