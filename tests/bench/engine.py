#!/usr/bin/env python3
"""Inference alone: `saccade bench` and ONNX Runtime by turns, so that both meet the same weather.

    SACCADE=build/saccade python3 tests/bench/engine.py [--threads 1] [--batch 1] [--rounds 5] [MODEL...]

MODEL: an .onnx file or a model directory; without one, the default model. Prints a Markdown table: the median over the
rounds of each round's median, and the median of the rounds' ratios (ONNX Runtime's time / saccade's: above 1 saccade
is faster) with the lowest and highest. With --at-least R exits with 1 where a ratio is lower.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
DEFAULT_MODEL = HERE.parent.parent / "models" / "efficientnet-lite0"
STARTING_S = 120  # for loading and for the least number of runs, beyond the seconds asked for


def last_line(command, seconds):
    """The JSON object in the last line of a command's output."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=STARTING_S + 10 * seconds)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {result.returncode}\n{result.stderr}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def measure(program, model, options):
    onnx = model / "model.onnx" if model.is_dir() else model
    numbers = [str(options.threads), str(options.batch), str(options.seconds)]
    saccade = [program, "bench", "--model", str(model), "--threads", numbers[0], "--batch", numbers[1]]
    saccade += ["--seconds", numbers[2], "--precision", options.precision, "--json"]
    peer = [sys.executable, str(HERE / "peers" / "ort_engine.py"), str(onnx), *numbers]
    rounds = []
    for index in range(options.rounds):
        # Every other round the other way round: what runs second meets warmer caches and a hotter core.
        first, second = (saccade, peer) if index % 2 == 0 else (peer, saccade)
        results = [last_line(command, options.seconds) for command in (first, second)]
        rounds.append(results if index % 2 == 0 else results[::-1])
    return rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=pathlib.Path, metavar="MODEL", default=[DEFAULT_MODEL])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each engine in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--at-least", type=float, metavar="R")
    options = parser.parse_args()
    if "SACCADE" not in os.environ:
        parser.error("set SACCADE to the program to measure")
    program = str(pathlib.Path(os.environ["SACCADE"]).resolve())

    lowest = float("inf")
    print("| model | threads | batch | precision | ISA | saccade ms | ONNX Runtime ms | ratio | lowest to highest |")
    print("|---|---|---|---|---|---|---|---|---|")
    for model in options.models:
        rounds = measure(program, model, options)
        ours = statistics.median(saccade["median_ms"] for saccade, _ in rounds)
        theirs = statistics.median(peer["median_ms"] for _, peer in rounds)
        ratios = sorted(peer["median_ms"] / saccade["median_ms"] for saccade, peer in rounds)
        ratio = statistics.median(ratios)
        lowest = min(lowest, ratio)
        saccade = rounds[0][0]
        cells = [model.stem, options.threads, options.batch, saccade["precision"], saccade["isa"], f"{ours:.2f}"]
        cells += [f"{theirs:.2f}", f"{ratio:.2f}", f"{ratios[0]:.2f} to {ratios[-1]:.2f}"]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print(f"\nONNX Runtime {rounds[0][1]['version']}, {options.rounds} rounds of {options.seconds:g} s each.")
    if options.at_least is not None and lowest < options.at_least:
        print(f"lowest ratio {lowest:.2f}, required {options.at_least:g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
