#!/usr/bin/env python3
"""Is what Prometheus computes from the histograms what the clients saw?

    SACCADE=build/cli/saccade python3 tests/bench/prometheus.py [--seconds 60] [--prometheus PATH]

Starts saccade and a Prometheus that scrapes it (Debian: prometheus), puts load on it in three phases (1, 8 and 32
clients, --seconds together), and compares histogram_quantile() with the quantiles of the clients' own latencies, and with
those of the totals in Server-Timing, which know nothing of the network. They agree where they lie in the same bucket or in
neighbouring ones. Counts must be equal, no scrape may have failed, and exemplars must lead to requests that were made.
Prints a Markdown table; exits with 1 where something disagrees.
"""
import argparse
import bisect
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import metrics_load

from process import Server, wait_until  # tests/http

ROOT = metrics_load.ROOT
CLIENTS = [1, 8, 32]
QUANTILES = [0.5, 0.9, 0.99]
BY_CLIENTS = 'saccade_request_duration_seconds_bucket{handler="classify"}'
BY_STAGE = 'saccade_stage_duration_seconds_bucket{stage="total"}'


class Prometheus:
    def __init__(self, program, target_port, interval_s):
        self.program, self.target_port, self.interval_s = program, target_port, interval_s

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        directory = pathlib.Path(self.directory.name)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        (directory / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {self.interval_s}s}}\nscrape_configs:\n- job_name: saccade\n"
            f"  static_configs: [{{targets: ['127.0.0.1:{self.target_port}']}}]\n")
        self.log_path = directory / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [self.program, f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=exemplar-storage"],
                stdout=log, stderr=log, env={**os.environ, "GOMAXPROCS": "1"})
        try:
            wait_until(lambda: self.value("up") == 1, "the first scrape", 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as response:
            return json.load(response)["data"]

    def value(self, expression, at=None):
        """Of an expression with one series; None where there is none."""
        if self.process.poll() is not None:
            raise AssertionError(f"Prometheus ended: {self.log_path.read_text()[-2000:]}")
        with contextlib.suppress(OSError):
            result = self.ask("query", query=expression, time=time.time() if at is None else at)["result"]
            return float(result[0]["value"][1]) if result else None
        return None

    def settle(self):
        """Until everything that has happened was scraped, twice."""
        now = time.time()
        wait_until(lambda: (self.value("timestamp(up)") or 0) > now + self.interval_s, "two more scrapes", 60)


def bounds(server):
    """Upper bounds of the buckets, in seconds."""
    lines = server.request("GET", "/metrics").body.decode().splitlines()
    return [float(line.partition('le="')[2].partition('"')[0].replace("+Inf", "inf")) for line in lines
            if line.startswith('saccade_request_duration_seconds_bucket{handler="classify"')]


def measure(prometheus, server, clients, seconds, body):
    """One phase: the samples, and what Prometheus says of the time."""
    before = server.metric('saccade_requests_total{handler="classify",code="200"}')
    wait_until(lambda: prometheus.value('saccade_requests_total{handler="classify",code="200"}') == before, "idle", 60)
    prometheus.settle()
    begun = time.time()
    samples = metrics_load.closed_loop(server.port, clients, seconds, body)
    prometheus.settle()
    now = time.time()
    window = f"{int(now - begun + 1.5 * prometheus.interval_s)}s"
    told = {(series, q): 1e3 * prometheus.value(f"histogram_quantile({q}, sum by (le) (increase({series}[{window}])))", now)
            for series in (BY_CLIENTS, BY_STAGE) for q in QUANTILES}
    counted = prometheus.value('saccade_requests_total{handler="classify",code="200"}', now) - before
    return samples, told, counted, (begun, now)


def check_exemplars(prometheus, samples, times):
    """How many exemplars of the phase there are, and how many name no request of ours."""
    known = {sample.request_id for sample in samples}
    found = prometheus.ask("query_exemplars", query=BY_CLIENTS, start=times[0], end=times[1])
    ids = {exemplar["labels"]["request_id"] for series in found for exemplar in series["exemplars"]}
    return len(ids), len(ids - known)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--interval", type=int, default=1, help="seconds between scrapes")
    parser.add_argument("--image", type=pathlib.Path, default=ROOT / "docs" / "cat.jpg")
    parser.add_argument("--prometheus", default=shutil.which("prometheus"))
    options = parser.parse_args()
    if not options.prometheus:
        parser.error("no prometheus in the path (Debian: apt-get install prometheus)")
    if "SACCADE" not in os.environ:
        parser.error("set SACCADE to the program to measure")
    return options


def main():
    options = parse_arguments()
    body = options.image.read_bytes()
    metrics_load.raise_priority()
    faults = []
    print("| clients | quantile | clients saw ms | Prometheus ms | buckets apart | Server-Timing ms | Prometheus ms | buckets apart |")
    print("|---|---|---|---|---|---|---|---|")
    with Server() as server, Prometheus(options.prometheus, server.port, options.interval) as prometheus:
        metrics_load.closed_loop(server.port, 4, 1, body)
        upper = bounds(server)
        n_requests = n_exemplars = 0
        for clients in CLIENTS:
            samples, told, counted, times = measure(prometheus, server, clients, options.seconds / len(CLIENTS), body)
            saw = {BY_CLIENTS: [sample.latency_ms for sample in samples],
                   BY_STAGE: [sample.stages_ms["total"] for sample in samples]}
            for q in QUANTILES:
                cells = []
                for series in (BY_CLIENTS, BY_STAGE):
                    ours, theirs = metrics_load.quantile(saw[series], q), told[series, q]
                    apart = abs(bisect.bisect_left(upper, ours / 1e3) - bisect.bisect_left(upper, theirs / 1e3))
                    cells += [f"{ours:.2f}", f"{theirs:.2f}", str(apart)]
                    if apart > 1:
                        faults.append(f"{clients} clients, quantile {q}: {ours:.2f} ms and {theirs:.2f} ms")
                print(f"| {clients} | {q} | {' | '.join(cells)} |")
            if counted != len(samples):
                faults.append(f"{clients} clients made {len(samples)} requests, Prometheus counted {counted:.0f}")
            n, strangers = check_exemplars(prometheus, samples, times)
            if n == 0 or strangers > 0:
                faults.append(f"{clients} clients: {n} exemplars, {strangers} of them lead nowhere")
            n_requests, n_exemplars = n_requests + len(samples), n_exemplars + n
        if prometheus.value("min_over_time(up[1h])") != 1:
            faults.append("a scrape failed")
        n_scrapes = prometheus.value("count_over_time(up[1h])")
    print(f"\n{n_requests} requests in {options.seconds} s, {n_scrapes:.0f} scrapes every {options.interval} s, "
          f"{n_exemplars} exemplars.")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
