"""The servers that are measured: saccade and its peers as child processes, their memory and their CPU time."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent.parent
STARTING_S = 180
STOPPING_S = 20
SETTLING_S = 120
POLL_S = 0.02
IDLE_S, IDLE_SHARE = 0.5, 0.04  # idle is who uses less than this share of a CPU for so long
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """A server did not do what it had to."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(url, body=None, content_type="image/jpeg", timeout=60):
    request = urllib.request.Request(url, body, {"Content-Type": content_type} if body else {})
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return json.load(response)


class Server:
    """A child process with its own process group, which is what is measured and what stop() ends."""

    def __init__(self, name, title, command, path, environment=None, port=None, port_file=None, tells_deadline=False):
        self.name, self.title, self.path, self.port, self.port_file = name, title, path, port, port_file
        self.tells_deadline = tells_deadline  # understands timeout_ms
        self.log = tempfile.TemporaryFile()
        self.started = time.monotonic()
        self.process = subprocess.Popen([str(part) for part in command], env={**os.environ, **(environment or {})},
                                        stdout=self.log, stderr=self.log, start_new_session=True)

    def fail(self, why):
        self.log.seek(0)
        raise Failure(f"{self.title}: {why}\n{self.log.read().decode(errors='replace')[-4000:]}")

    def url(self, path=None):
        return f"http://127.0.0.1:{self.port}{path or self.path}"

    def find_port(self):
        if self.port is None and self.port_file.exists():
            text = self.port_file.read_text()
            self.port = int(text) if text.endswith("\n") else None
        return self.port is not None

    def wait(self, image):
        """Seconds from start to the first answer."""
        while time.monotonic() - self.started < STARTING_S:
            if self.process.poll() is not None:
                self.fail(f"ended with {self.process.returncode}")
            if self.find_port():
                with contextlib.suppress(urllib.error.URLError, ConnectionError):
                    ask(self.url(), image)
                    return time.monotonic() - self.started
            time.sleep(POLL_S)
        return self.fail(f"no answer within {STARTING_S} s")

    def group(self):
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry.name)) == self.process.pid:
                    yield entry

    def memory_mib(self):
        """Proportional set size of all its processes."""
        total_kib = 0
        for entry in self.group():
            with contextlib.suppress(OSError):
                for line in (entry / "smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total_kib += int(line.split()[1])
        return total_kib / 1024

    def cpu_s(self):
        """User and system time of all its processes so far."""
        ticks = 0
        for entry in self.group():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_A_SECOND

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_mib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0

    def settle(self):
        """Waits until it computes nothing: what it measures after its start, or still has to do, is done."""
        end, before, since = time.monotonic() + SETTLING_S, self.cpu_s(), time.monotonic()
        while time.monotonic() < end:
            time.sleep(IDLE_S)
            now, cpu_s = time.monotonic(), self.cpu_s()
            if cpu_s - before <= IDLE_SHARE * (now - since):
                return
            before, since = cpu_s, now
        self.fail(f"still busy after {SETTLING_S} s")

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


def start_saccade(options, name, title, model, precision, scratch, extra=()):
    port_file = scratch / f"port-{name.replace(' ', '-')}-{time.monotonic_ns()}"
    command = [options.saccade, "serve", "--threads", options.threads, "--precision", precision, "--log-level", "warn"]
    command += ["--listen", "127.0.0.1:0", "--port-file", port_file, "--tune-cache", options.tune_cache, *extra]
    if model:
        command += ["--model", model]
    return Server(name, title, command, "/v1/classify", options.isa_environment, port_file=port_file, tells_deadline=True)


def peer_files(folder):
    """The programs of a folder of peers, whichever of two namings it has: {name: file}"""
    found = {}
    for name, files in {"fastapi": ("fastapi_server.py", "fastapi_ort.py"), "mosec": ("mosec_server.py", "mosec_ort.py")}.items():
        for file in files:
            if (folder / file).exists():
                found[name] = folder / file
    return found


def start_peer(options, name, model, scratch):
    """model: a directory or an ONNX file."""
    port, file = free_port(), peer_files(options.peers)[name]
    environment = {"PEER_MODEL": str(model), "PEER_THREADS": str(options.threads), "PEER_DECODERS": str(options.threads),
                   "PYTHONDONTWRITEBYTECODE": "1"}
    if file.name.endswith("_ort.py"):
        # Those take the file, and know two ways to normalise.
        environment["PEER_NORM"] = "tf" if (model / "preprocessor_config.json").exists() else "imagenet"
        environment["PEER_MODEL"] = str(model / "model.onnx" if model.is_dir() else model)
    address = ["127.0.0.1", "--port", port]
    if name == "mosec":
        command = [options.python, file, "--address", *address, "--timeout", "60000", "--path", scratch / f"mosec-{port}"]
        return Server(name, "mosec", command, "/inference", environment, port)
    command = [options.python, "-m", "uvicorn", "--app-dir", file.parent, "--log-level", "warning", f"{file.stem}:app"]
    return Server(name, "FastAPI", [*command, "--host", *address], "/v1/classify", environment, port)


def peer_versions(python, names):
    """'onnxruntime 1.2, ...' of the interpreter that the peers run on; None where one is not installed."""
    packages = ["onnxruntime", "pillow", "numpy"] + {"fastapi": ["fastapi", "uvicorn"], "mosec": ["mosec"]}.get(names[0], [])
    for name in names[1:]:
        packages += {"fastapi": ["fastapi", "uvicorn"], "mosec": ["mosec"]}[name]
    code = "import importlib.metadata as m, sys; print(', '.join(p + ' ' + m.version(p) for p in sys.argv[1:]))"
    result = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else None


def warn(words):
    print(words, file=sys.stderr, flush=True)
