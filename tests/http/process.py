"""Starts and ends the real program for a test. Standard library only.

The binary comes from the environment variable SACCADE. Each server takes a free port at 127.0.0.1; nothing sleeps for a
fixed time: a condition is waited for, within a bound.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAT = (ROOT / "docs" / "cat.jpg").read_bytes()
LABEL = r'[a-z_]+="(?:[^"\\\n]|\\.)*"'
SAMPLE = re.compile(rf"(?m)^([a-z_]+)(?:\{{((?:{LABEL},?)*)\}})? (\S+)$")
BOUND_S = 60  # a wait that takes longer than this has failed; the machine may be busy


def wait_until(condition, what, bound_s=BOUND_S):
    """Returns the first true value of condition()."""
    end = time.monotonic() + bound_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {bound_s} s: {what}")
        time.sleep(0.01)


class Server:
    """with Server("--queue-images", "4") as server: server.request("GET", "/livez")"""

    def __init__(self, *arguments, ready=True, host="127.0.0.1", environment=None):
        # Plans that are replaced while a test compares answers would differ from each other in the last bits.
        self.arguments = arguments if "--tune" in arguments else ("--tune", "off", *arguments)
        self.environment = {**os.environ, **(environment or {})}
        self.ready = ready
        self.host = host

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        port_file = pathlib.Path(self.directory.name) / "port"
        self.log_path = pathlib.Path(self.directory.name) / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [os.environ["SACCADE"], "serve", "--listen", f"[{self.host}]:0" if ":" in self.host else f"{self.host}:0",
                 "--port-file", str(port_file), "--log-format", "json", *self.arguments], stdout=log, stderr=log,
                env=self.environment)
        try:
            wait_until(lambda: port_file.exists() or self.process.poll() is not None, "the port file")
            if not port_file.exists():
                raise AssertionError(f"saccade ended with {self.process.returncode}: {self.log_path.read_text()}")
            self.port = int(port_file.read_text())
            if self.ready:
                wait_until(lambda: self.request("GET", "/readyz").status == 200, "readiness")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.directory.cleanup()

    def connect(self):
        """with server.connect() as connection: ..."""
        return contextlib.closing(http.client.HTTPConnection(self.host, self.port, timeout=BOUND_S))

    def request(self, method, path, body=None, headers=None):
        with self.connect() as connection:
            return fetch(connection, method, path, body, headers)

    def classify(self, body=CAT, query="", headers=None):
        return self.request("POST", "/v1/classify" + query, body, {"Content-Type": "image/jpeg", **(headers or {})})

    def raw(self, data, read_all=True):
        """Sends bytes as they are, and returns all that comes back until the server closes."""
        with socket.create_connection((self.host, self.port), BOUND_S) as connection:
            connection.sendall(data)
            answer = b""
            while read_all and (chunk := connection.recv(65536)):
                answer += chunk
            return answer

    def metric(self, series, absent=None):
        """The sum of all samples that have this name and at least these labels; some appear with their first event."""
        name, _, labels = series.rstrip("}").partition("{")
        wanted = set(re.findall(LABEL, labels))
        values = [float(value) for sample, given, value in SAMPLE.findall(self.request("GET", "/metrics").body.decode())
                  if sample == name and wanted <= set(re.findall(LABEL, given))]
        if values:
            return sum(values)
        if absent is None:
            raise AssertionError(f"no metric {series}")
        return absent

    def resident_bytes(self):
        """When the server has nothing left to do but wait: it measures larger batches after it is ready."""
        wait_until(lambda: any(e["event"] == "measured" for e in self.log()), "the end of measuring")
        return int(self.metric("process_resident_memory_bytes"))

    def log(self):
        """All events so far. What is not a line yet is left out: a reader may see a part of what is being written."""
        text = self.log_path.read_text()
        try:
            return [json.loads(line) for line in text.split("\n")[:-1]]
        except json.JSONDecodeError as error:  # a sanitizer's report, say
            raise AssertionError(f"the log is not lines of JSON:\n{text}") from error

    def terminate(self, sent=signal.SIGTERM):
        self.process.send_signal(sent)

    def wait(self, bound_s=BOUND_S):
        return self.process.wait(bound_s)


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


def fetch(connection, method, path, body=None, headers=None, **options):
    connection.request(method, path, body, headers or {}, **options)
    return Answer(connection.getresponse())


class Clients:
    """with Clients(server, 4) as clients: ...

    n clients that ask for the cat's classes again and again meanwhile, each on a connection of its own. answers is what
    note() keeps of each, as they come; failures what clients ended with instead.
    """

    def __init__(self, server, n, query="", note=lambda answer: answer.status):
        self.server, self.query, self.note = server, query, note
        self.answers, self.failures, self.stop = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(n)]

    def ask(self):
        try:
            with self.server.connect() as connection:
                while not self.stop.is_set():
                    answer = fetch(connection, "POST", "/v1/classify" + self.query, CAT, {"Content-Type": "image/jpeg"})
                    self.answers.append(self.note(answer))
        except Exception as error:
            self.failures.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def multipart(*files, boundary="cut"):
    """Content type and body of a form with files of (filename, bytes)."""
    body = b""
    for filename, data in files:
        body += (f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{filename}"\r\n'
                 "Content-Type: image/jpeg\r\n\r\n").encode() + data + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()
