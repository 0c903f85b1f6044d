"""Load for the benchmarks of the metrics: requests over kept connections, each with what its answer said of it.

Standard library only. It takes CPU time from the server that it measures, about 0.1 ms a request: enough for comparing a
server's metrics with what its clients saw, not for measuring how fast it is.
"""
import contextlib
import math
import os
import pathlib
import random
import re
import socket
import sys
import threading
import time
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "http"))
TIMEOUT_S = 120
STAGE = re.compile(r"([a-z]+);dur=([0-9.]+)")


class Sample(typing.NamedTuple):
    sent: float  # time.time()
    latency_ms: float  # to the last byte of the answer
    status: int
    request_id: str
    stages_ms: dict  # of Server-Timing; empty where it was refused


class Connection:
    def __init__(self, port, body, query):
        self.request = (f"POST /v1/classify{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: image/jpeg\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        self.port, self.socket = port, None

    def ask(self):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent, begun = time.time(), time.perf_counter()
        self.socket.sendall(self.request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        size = int(fields["content-length"]) - len(body)
        while size > 0:
            size -= len(self.receive())
        latency_ms = 1e3 * (time.perf_counter() - begun)
        if fields.get("connection", "").lower() == "close":
            self.close()
        stages = {name: float(ms) for name, ms in STAGE.findall(fields.get("server-timing", ""))}
        return Sample(sent, latency_ms, int(lines[0].split()[1]), fields["x-request-id"], stages)

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def run(clients, work):
    """Calls work(index) in as many threads, raises what one of them raised."""
    errors = []

    def guarded(index):
        try:
            work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def closed_loop(port, clients, seconds, body, query=""):
    """Each client sends its next request when it has its answer. Returns all samples."""
    samples, end = [], time.perf_counter() + seconds

    def work(_):
        with contextlib.closing(Connection(port, body, query)) as connection:
            while time.perf_counter() < end:
                samples.append(connection.ask())

    run(clients, work)
    return samples


def open_loop(port, per_s, seconds, body, query="", clients=400):
    """Arrivals at random (Poisson's), whatever has been answered. Returns all samples."""
    source, at, times = random.Random(1), 0.0, []
    while at < seconds:
        at += source.expovariate(per_s)
        times.append(at)
    samples, lock, begun = [], threading.Lock(), time.perf_counter()

    def work(_):
        with contextlib.closing(Connection(port, body, query)) as connection:
            while True:
                with lock:
                    if not times:
                        return
                    due = begun + times.pop(0)
                    time.sleep(max(0, due - time.perf_counter()))
                samples.append(connection.ask())

    run(clients, work)
    return samples


def quantile(values, q):
    """The smallest value that at least a share q of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(q * len(ordered)), 1) - 1]


def raise_priority():
    """So that clients see their answers when these come; where it is not allowed they see them a little later."""
    with contextlib.suppress(OSError):
        os.nice(-5)
