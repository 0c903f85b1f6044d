#!/usr/bin/env python3
"""What models take of memory and of time until they are ready, as a Markdown table.

    SACCADE=build/cli/saccade STARTUP=build/tests/bench/startup tests/bench/memory.py [--rounds N] [--image JPEG]
        MODEL.onnx...

Peak: the resident size (VmHWM) of `saccade bench` with one thread, batch 1, beside the packed weights and activations
that `saccade inspect` tells. Served (with --image): from the start of `saccade serve` to the first answer, and the
proportional set size after SERVED answers, two threads. Quantised files run in int8. Start: the least of some rounds, each in a process of its own (startup.c says what the
columns are); "read + pack" is what must be done at least. Build startup by `meson compile -C build startup`.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.request

from serving.servers import start_saccade

MIB = 1 << 20
SACCADE = os.environ.get("SACCADE", "build/cli/saccade")
SERVED = 50
STARTUP = os.environ.get("STARTUP", "build/tests/bench/startup")


def peak_mib(model):
    process = subprocess.Popen([SACCADE, "bench", "--model", model, "--threads", "1", "--seconds", "0.3"],
                               stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1]) / 1024
        time.sleep(0.005)
    if process.returncode != 0:
        raise SystemExit(f"{model}: saccade bench ended with {process.returncode}")
    return peak


def served(model, image):
    """Milliseconds to the first answer, and MiB after some."""
    with tempfile.TemporaryDirectory() as scratch:
        options = argparse.Namespace(saccade=SACCADE, threads=2, tune_cache=pathlib.Path(scratch), isa_environment={})
        server = start_saccade(options, "saccade", "saccade", model, "auto", pathlib.Path(scratch))
        try:
            first_s = server.wait(image)
            for _ in range(SERVED):
                request = urllib.request.Request(server.url(), image, {"Content-Type": "image/jpeg"})
                with urllib.request.urlopen(request) as response:
                    response.read()
            return f"{first_s * 1000:.0f}", f"{server.memory_mib():.0f}"
        finally:
            server.stop()


def output_of(*words):
    return json.loads(subprocess.run(words, check=True, capture_output=True).stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--image", type=pathlib.Path)
    parser.add_argument("models", nargs="+")
    arguments = parser.parse_args()
    print("| model | precision | file MB | first answer ms | served MiB | weights MiB | arena MiB (bound) | peak MiB "
          "| of 1.25 x both + 30 | read ms | parse | pack | plan | ready | of read + pack | version |")
    print("|---" * 16 + "|")
    for model in arguments.models:
        plan = output_of(SACCADE, "inspect", model, "--threads", "1", "--json")
        weights, arena, bound = (plan[key] / MIB for key in ("weight_bytes", "arena_bytes", "arena_bound_bytes"))
        peak = peak_mib(model)
        rounds = [output_of(STARTUP, model) for _ in range(arguments.rounds)]
        least = {key: min(r[key] for r in rounds) for key in rounds[0]}
        file_mb = os.path.getsize(model) / 1e6
        first_ms, served_mib = served(model, arguments.image.read_bytes()) if arguments.image else ("-", "-")
        print(f"| {plan['model']} | {plan['precision']} | {file_mb:.2f} | {first_ms} | {served_mib} | {weights:.1f} "
              f"| {arena:.1f} ({bound:.1f}) | {peak:.0f} | {peak / (1.25 * (weights + arena) + 30):.2f} | {least['read_ms']:.1f} | {least['parse_ms']:.1f} "
              f"| {least['pack_ms']:.1f} | {least['plan_ms']:.1f} | {least['ready_ms']:.1f} "
              f"| {least['ready_ms'] / (least['read_ms'] + least['pack_ms']):.2f} | {least['hash_ms']:.1f} |",
              flush=True)


if __name__ == "__main__":
    main()
