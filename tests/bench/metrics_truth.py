#!/usr/bin/env python3
"""Are saccade_queue_wait_estimate_seconds and saccade_saturation_ratio right enough to steer by?

    SACCADE=build/cli/saccade python3 tests/bench/metrics_truth.py [--seconds 8] [--model PATH] [-- SERVE_OPTION...]

Puts load on a server, closed loops and arrivals at random below, at and above what it can do, and reads both gauges every
20 ms meanwhile. Then

* each request's estimate, the last one read before it was sent, is compared with the wait that its answer reports
  (`queue` of Server-Timing);
* the saturation is compared with Little's law: images in the server (their number is the time that all of them spent in
  decode, queue and infer, over the time that passed) for each CPU. An image that is alone may have all CPUs, so that the
  gauge says 1 where the law says 1 / CPUs.

Prints a Markdown table. With --at-most R it exits with 1 where, in a row with a mean wait of 10 ms or more, the mean
estimate is off by more than the factor R.
"""
import argparse
import bisect
import os
import pathlib
import statistics
import sys
import threading
import time

import metrics_load

from process import Server  # tests/http

ROOT = metrics_load.ROOT
READ_EVERY_S = 0.02
QUERY = "?timeout_ms=60000"  # nothing is refused for its deadline
WAIT_WORTH_MS = 10


class Reader:
    """Reads the gauges beside the load."""

    def __init__(self, server):
        self.server, self.done = server, threading.Event()
        self.times, self.waits_ms, self.saturations = [], [], []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with self.server.connect() as connection:
            while not self.done.wait(READ_EVERY_S):
                connection.request("GET", "/metrics")
                values = {}
                for line in connection.getresponse().read().decode().splitlines():
                    name, _, value = line.partition(" ")
                    if name.startswith("saccade_queue_wait_estimate") or name.startswith("saccade_saturation"):
                        values[name] = float(value)
                self.times.append(time.time())
                self.waits_ms.append(1e3 * values["saccade_queue_wait_estimate_seconds"])
                self.saturations.append(values["saccade_saturation_ratio"])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def estimate_ms(self, at):
        """The last one before, or None."""
        index = bisect.bisect_right(self.times, at) - 1
        return self.waits_ms[index] if index >= 0 else None


def row(name, server, cpus, load):
    begun = time.time()
    with Reader(server) as reader:
        samples = load()
    seconds = time.time() - begun
    answered = [sample for sample in samples if sample.status == 200]
    pairs = [(reader.estimate_ms(sample.sent), sample.stages_ms["queue"]) for sample in answered]
    pairs = [(estimate, wait) for estimate, wait in pairs if estimate is not None]
    inside = sum(sample.stages_ms[stage] for sample in answered for stage in ("decode", "queue", "infer"))
    wait_ms = statistics.fmean(wait for _, wait in pairs)
    estimate_ms = statistics.fmean(estimate for estimate, _ in pairs)
    errors = [abs(estimate - wait) for estimate, wait in pairs]
    print(f"| {name} | {len(answered) / seconds:.0f} | {len(samples) - len(answered)} | {wait_ms:.1f} | {estimate_ms:.1f} "
          f"| {metrics_load.quantile(errors, 0.5):.1f} | {metrics_load.quantile(errors, 0.9):.1f} "
          f"| {inside / 1e3 / seconds / cpus:.2f} | {statistics.fmean(reader.saturations):.2f} |", flush=True)
    if wait_ms < WAIT_WORTH_MS:
        return 1.0
    return max(wait_ms, estimate_ms) / max(min(wait_ms, estimate_ms), 1e-3)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8, help="for each row")
    parser.add_argument("--image", type=pathlib.Path, default=ROOT / "docs" / "cat.jpg")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 2, 4, 8, 32, 128])
    parser.add_argument("--loads", type=float, nargs="*", default=[0.5, 0.8, 1.2], help="shares of the capacity")
    parser.add_argument("--at-most", type=float, metavar="R")
    parser.add_argument("--model", help="default: the embedded one")
    parser.add_argument("serve_options", nargs="*", help="further options of saccade serve, after --")
    options = parser.parse_args()
    if "SACCADE" not in os.environ:
        parser.error("set SACCADE to the program to measure")
    return options


def main():
    options = parse_arguments()
    body = options.image.read_bytes()
    metrics_load.raise_priority()
    words = ["--queue-images", "512", *(["--model", options.model] if options.model else []), *options.serve_options]
    print("| load | answers/s | refused | mean wait ms | mean estimate ms | median error ms | p90 error ms "
          "| images in the server / CPUs | saturation |")
    print("|---|---|---|---|---|---|---|---|---|")
    with Server(*words) as server:
        cpus = server.metric("saccade_cpus")
        warm = metrics_load.closed_loop(server.port, 8, 2, body, QUERY)
        capacity = len([sample for sample in warm if sample.status == 200]) / 2
        worst = 1.0
        for clients in options.clients:
            worst = max(worst, row(f"{clients} clients", server, cpus, lambda: metrics_load.closed_loop(
                server.port, clients, options.seconds, body, QUERY)))
        for share in options.loads:
            worst = max(worst, row(f"{share:g} of {capacity:.0f}/s", server, cpus, lambda: metrics_load.open_loop(
                server.port, share * capacity, options.seconds, body, QUERY)))
    print(f"\nLargest factor between mean wait and mean estimate, where that is {WAIT_WORTH_MS} ms or more: {worst:.2f}")
    if options.at_most is not None and worst > options.at_most:
        print(f"allowed is {options.at_most:g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
