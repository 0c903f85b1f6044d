#!/usr/bin/env python3
"""What elastic threads do to latency and throughput, alone and beside a process that burns a CPU.

    SACCADE=build/cli/saccade python3 tests/bench/elastic.py [--model PATH] [--seconds 4] [--rounds 3] [--json FILE]

`saccade serve --elastic on` lets an image that is alone run on all CPUs, and images that have company on one each;
`--elastic off` gives each image one CPU. Each is measured with 1 client and with as many as there are CPUs, each
asking again as soon as it has its answer, and again while another process computes without pause. A team of threads
that waits by spinning would collapse beside such a neighbour; the last column compares with the median of one image
on one CPU of the idle machine.
"""
import argparse
import http.client
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
START_S = 120


def burn(stop):
    x = 1.0
    while not stop.is_set():
        for _ in range(100000):
            x = x * 1.0000001


class Server:
    def __init__(self, program, model, elastic):
        self.directory = tempfile.TemporaryDirectory()
        port_file = pathlib.Path(self.directory.name) / "port"
        command = [program, "serve", "--listen", "127.0.0.1:0", "--port-file", str(port_file), "--elastic", elastic]
        command += ["--tune", "off", "--log-level", "error", "--max-batch", "1"]
        if model:
            command += ["--model", model]
        self.process = subprocess.Popen(command)
        end = time.monotonic() + START_S
        while not (port_file.exists() and port_file.read_text().endswith("\n") and self.ready(port_file)):
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit("saccade serve did not start")
            self.process_wait(0.02)

    def process_wait(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass

    def ready(self, port_file):
        self.port = int(port_file.read_text())
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()


def load(port, picture, clients, seconds):
    """(median ms, 99th percentile ms, images/s) of clients that ask in a closed loop."""
    times, lock, end = [], threading.Lock(), time.monotonic() + seconds

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        mine = []
        while time.monotonic() < end:
            start = time.perf_counter()
            connection.request("POST", "/v1/classify?top_k=1", picture, {"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                sys.exit(f"status {answer.status}")
            mine.append(1e3 * (time.perf_counter() - start))
        with lock:
            times.extend(mine)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - started
    times.sort()
    return statistics.median(times), times[int(0.99 * (len(times) - 1))], len(times) / elapsed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--picture", type=pathlib.Path, default=ROOT / "docs" / "cat.jpg")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if "SACCADE" not in os.environ:
        parser.error("set SACCADE to the program to measure")
    program, picture = os.environ["SACCADE"], options.picture.read_bytes()
    cpus = len(os.sched_getaffinity(0))

    servers = {elastic: Server(program, options.model, elastic) for elastic in ("on", "off")}
    results = {}
    try:
        for server in servers.values():
            load(server.port, picture, 1, 1)
        for _ in range(options.rounds):
            for burning in (False, True):
                stop = multiprocessing.Event()
                burner = multiprocessing.Process(target=burn, args=(stop,), daemon=True)
                if burning:
                    burner.start()
                for elastic, server in servers.items():
                    for clients in (1, cpus):
                        key = (elastic, clients, burning)
                        results.setdefault(key, []).append(load(server.port, picture, clients, options.seconds))
                if burning:
                    stop.set()
                    burner.join()
    finally:
        for server in servers.values():
            server.stop()

    rows = {key: [statistics.median(column) for column in zip(*values)] for key, values in results.items()}
    base = rows[("off", 1, False)][0]
    print("| elastic | clients | neighbour burns a CPU | median ms | p99 ms | images/s | median / one CPU alone |")
    print("|---|---|---|---|---|---|---|")
    for (elastic, clients, burning), (median, p99, rate) in sorted(rows.items(), key=lambda row: row[0][::-1]):
        print(f"| {elastic} | {clients} | {'yes' if burning else 'no'} | {median:.1f} | {p99:.1f} | {rate:.1f} "
              f"| {median / base:.2f} |")
    if options.json:
        options.json.write_text(json.dumps([
            {"elastic": key[0], "clients": key[1], "burner": key[2], "median_ms": row[0], "p99_ms": row[1],
             "images_per_s": row[2]} for key, row in rows.items()], indent=1) + "\n")


if __name__ == "__main__":
    main()
