#!/usr/bin/env python3
"""Whole servers: saccade and peers by turns under wrk, closed loop, on the loopback.

    SACCADE=build/saccade python3 tests/bench/serve.py --images DIRECTORY [--clients 1 8 32] [--peers mosec fastapi]

All servers have the same model, threads and pre-processing, and are up all the time; one at a time is asked. Prints
Markdown tables: the median over the rounds of images/s and latencies, the ratio saccade / peer, and for each server the
time to its first answer and its memory (proportional set size of all its processes) at rest and after the load.
A refused or failed request ends the measurement. With --at-least R exits with 1 where a ratio over a peer is lower.
"""
import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STARTING_S = 60
STOPPING_S = 20
POLL_S = 0.01


class Server:
    """A child process with its own process group, which is what stop() ends."""

    def __init__(self, name, command, path, environment=None, port=None, port_file=None):
        self.name, self.path, self.port, self.port_file = name, path, port, port_file
        self.log = tempfile.TemporaryFile()
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def fail(self, why):
        self.log.seek(0)
        sys.exit(f"{self.name}: {why}\n{self.log.read().decode(errors='replace')[-4000:]}")

    def url(self):
        return f"http://127.0.0.1:{self.port}{self.path}"

    def find_port(self):
        if self.port is None and self.port_file.exists():
            text = self.port_file.read_text().strip()
            self.port = int(text) if text else None
        return self.port is not None

    def wait(self, image):
        """Seconds from start to the first answer."""
        while time.monotonic() - self.started < STARTING_S:
            if self.process.poll() is not None:
                self.fail(f"ended with {self.process.returncode}")
            if self.find_port():
                with contextlib.suppress(urllib.error.URLError, ConnectionError):
                    request = urllib.request.Request(self.url(), image, {"Content-Type": "image/jpeg"})
                    with urllib.request.urlopen(request, timeout=STARTING_S) as response:
                        json.load(response)
                    return time.monotonic() - self.started
            time.sleep(POLL_S)
        return self.fail(f"no answer within {STARTING_S} s")

    def memory_mib(self):
        total_kib = 0
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry.name)) == self.process.pid:
                    for line in (entry / "smaps_rollup").read_text().splitlines():
                        if line.startswith("Pss:"):
                            total_kib += int(line.split()[1])
        return total_kib / 1024

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOPPING_S)
        # Workers that outlived the first process, or all of them where it did not end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_saccade(model, threads, scratch):
    port_file = scratch / "port"
    command = [str(pathlib.Path(os.environ["SACCADE"]).resolve()), "serve", "--model", str(model)]
    command += ["--threads", str(threads), "--listen", "127.0.0.1:0", "--port-file", str(port_file)]
    return Server("saccade", command, "/v1/classify", port_file=port_file)


def start_peer(name, model, threads, scratch):
    port = free_port()
    environment = {"PEER_MODEL": str(model), "PEER_THREADS": str(threads), "PEER_DECODERS": str(threads)}
    address = ["127.0.0.1", "--port", str(port)]
    if name == "mosec":
        command = [sys.executable, str(HERE / "peers" / "mosec_server.py"), "--address", *address]
        command += ["--timeout", "60000", "--path", str(scratch / "mosec")]
        return Server(name, command, "/inference", environment, port)
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE / "peers"), "--log-level", "warning"]
    return Server(name, [*command, "fastapi_server:app", "--host", *address], "/v1/classify", environment, port)


def load(server, clients, seconds, image_list):
    """One run of wrk: images/s and latencies."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", str(HERE / "classify.lua")]
    environment = {**os.environ, "WRK_IMAGES": str(image_list)}
    command.append(server.url())
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60)
    if result.returncode != 0:
        server.fail(f"wrk failed: {result.stderr}")
    answer = json.loads(result.stdout.strip().splitlines()[-1])
    if answer["status_errors"] or answer["socket_errors"] or not answer["requests"]:
        server.fail(f"not every request was answered: {answer}")
    answer["images_per_s"] = answer["requests"] / answer["seconds"]
    return answer


def measure(servers, options, image_list):
    """{(clients, server's name): the rounds}"""
    results = {}
    for server in servers:
        load(server, 2, 1, image_list)
    for clients in options.clients:
        for index in range(options.rounds):
            for server in servers if index % 2 == 0 else servers[::-1]:
                results.setdefault((clients, server.name), []).append(
                    load(server, clients, options.seconds, image_list)
                )
    return results


def median(rounds, key):
    return statistics.median(result[key] for result in rounds)


def print_results(servers, options, results):
    """The table; returns the lowest ratio."""
    lowest = float("inf")
    print("| clients | server | images/s | lowest to highest | p50 ms | p99 ms | saccade / it |")
    print("|---|---|---|---|---|---|---|")
    for clients in options.clients:
        ours = results[clients, "saccade"]
        for server in servers:
            rounds = results[clients, server.name]
            speeds = [result["images_per_s"] for result in rounds]
            ratio = statistics.median(a["images_per_s"] / b["images_per_s"] for a, b in zip(ours, rounds))
            if server.name != "saccade":
                lowest = min(lowest, ratio)
            print(
                f"| {clients} | {server.name} | {median(rounds, 'images_per_s'):.1f}"
                f" | {min(speeds):.1f} to {max(speeds):.1f} | {median(rounds, 'p50_ms'):.1f}"
                f" | {median(rounds, 'p99_ms'):.1f} | {'' if server.name == 'saccade' else f'{ratio:.2f}'} |"
            )
    return lowest


def versions(names):
    packages = ["onnxruntime", "pillow", *names]
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=pathlib.Path, help="directory of JPEG files (default: docs/cat.jpg alone)")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models" / "efficientnet-lite0")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--peers", nargs="+", choices=["mosec", "fastapi"], default=["mosec", "fastapi"])
    parser.add_argument("--seconds", type=int, default=8, help="for each server in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-least", type=float, metavar="R")
    options = parser.parse_args()
    if "SACCADE" not in os.environ:
        parser.error("set SACCADE to the program to measure")
    options.model = options.model.resolve()
    return options


def main():
    options = parse_arguments()
    images = [ROOT / "docs" / "cat.jpg"]
    if options.images:
        images = sorted(path for path in options.images.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not images:
        sys.exit(f"no JPEG files in {options.images}")

    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        image_list = scratch / "images"
        image_list.write_text("".join(f"{path.resolve()}\n" for path in images))
        servers, costs = [], {}
        # One after another: the time to the first answer is each one's own.
        for name in ["saccade", *options.peers]:
            start = start_saccade if name == "saccade" else lambda *rest, name=name: start_peer(name, *rest)
            server = start(options.model, options.threads, scratch)
            stack.callback(server.stop)
            costs[name] = [server.wait(images[0].read_bytes()), server.memory_mib()]
            servers.append(server)
        results = measure(servers, options, image_list)
        for server in servers:
            costs[server.name].append(server.memory_mib())

    lowest = print_results(servers, options, results)
    print("\n| server | first answer s | MiB at rest | MiB after the load |\n|---|---|---|---|")
    for name, (first_s, rest_mib, load_mib) in costs.items():
        print(f"| {name} | {first_s:.2f} | {rest_mib:.0f} | {load_mib:.0f} |")
    print(f"\n{options.model.stem}, {options.threads} threads, {len(images)} photographs, {options.rounds} rounds of "
          f"{options.seconds} s each; {versions(options.peers)}.")
    if options.at_least is not None and lowest < options.at_least:
        print(f"lowest ratio {lowest:.2f}, required {options.at_least:g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
