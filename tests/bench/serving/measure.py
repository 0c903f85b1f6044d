"""What is measured, and in which order: every contender by turns within each round, so that a machine that changes
from minute to minute changes for all of them."""
import contextlib
import json
import pathlib
import statistics
import subprocess
import threading
import time

from serving import load, servers

CAPACITY_CLIENTS = 32     # of the closed loop whose throughput is called capacity
FACTORS = (0.5, 0.8, 1, 2, 4)
BURST_FACTORS = (0.5, 0.8, 1, 2)
TURNS_A_CLIENT = 1.5      # at least, of a closed loop
DEADLINE_FACTOR = 10      # times the latency of one client
LARGE_KINDS = ("baseline", "progressive")
LARGE_BODY_BYTES = 5_000_000
OVERLOADS = ((2, None, False), (4, None, False), (2, LARGE_BODY_BYTES, False), (4, LARGE_BODY_BYTES, False),
             (2, LARGE_BODY_BYTES, True))  # times capacity, bytes of a body, read late
OBEDIENT_CLIENTS = 4
LIMIT = "limit "          # before a contender's name: `saccade bench --images` with its model and precision


def median(rounds, *path):
    """Of one figure in each round; nan where no round has it."""
    values = []
    for value in rounds:
        for key in path:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        if isinstance(value, (int, float)):
            values.append(value)
    return statistics.median(values) if values else float("nan")


def turns(names, index):
    """names in another order each round: by turns forwards and backwards, begun elsewhere."""
    start = index // 2 % len(names)
    order = names[start:] + names[:start]
    return order if index % 2 == 0 else order[::-1]


class Contest:
    """One model: saccade in its precisions and the peers, all up, one at a time asked."""

    def __init__(self, options, model, stack, scratch):
        self.options, self.model = options, model
        self.images = options.images
        self.first = next(path for path in sorted(self.images.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg"))
        self.servers, self.facts = {}, {}
        self.precisions = {}  # saccade's contenders: (path, --precision)
        self.results = {}
        self.troubles = []  # requests of closed loops that were not answered with 200
        self.start_all(stack, scratch)

    def say(self, words):
        servers.warn(f"  {self.model.name}: {words}")

    def start_all(self, stack, scratch):
        """One after another: the time to the first answer is each one's own."""
        for name, path, precision in self.model.contenders():
            # What the tuner finds is kept, for the server and for the limit alike.
            load.limit(self.options, path, precision, self.images, 0.1)
            server = servers.start_saccade(self.options, name, name, path, precision, scratch)
            self.add(stack, name, server)
            self.precisions[name] = (path, precision)
            self.facts[name]["precision"] = servers.ask(server.url("/v1/models"))["models"][0]["precision"]
        for name in self.options.peers_wanted:
            self.add(stack, name, servers.start_peer(self.options, name, self.model.path, scratch))

    def add(self, stack, name, server):
        stack.callback(server.stop)
        first_s = server.wait(self.first.read_bytes())
        server.settle()
        self.servers[name] = server
        self.facts[name] = {"title": server.title, "first_answer_s": first_s, "rest_mib": server.memory_mib()}
        self.say(f"{server.title} is up after {first_s:.2f} s")

    def ours(self):
        return list(self.precisions)

    def limits(self):
        return [LIMIT + name for name in self.precisions]

    def note(self, part, key, name, answer):
        self.results.setdefault(part, {}).setdefault((key, name), []).append(answer)
        shown = answer.get("throughput", answer.get("images_per_s", 0))
        trouble = load.unclean(answer) if answer.get("loop") == "closed" else ""
        if trouble:
            self.troubles.append(f"{part}, {key}, {name}: {trouble}")
        self.say(f"{part} {key} {name}: {shown:.1f}/s {trouble}")
        return answer

    def rounds(self, part, key, name):
        return self.results.get(part, {}).get((key, name), [])

    def limit(self, name, images=None, **kind):
        path, precision = self.precisions[name.removeprefix(LIMIT)]
        return load.limit(self.options, path, precision, images or self.images, self.options.seconds, **kind)

    # ---- closed loop ----

    def closed(self, clients_list):
        speeds = {}  # images/s so far, by contender
        for name, server in self.servers.items():
            speeds[name] = load.run(self.options, server, self.images, clients=2, seconds=1)["throughput"]
        for clients in clients_list:
            for index in range(self.options.rounds):
                for name in turns(self.limits() + list(self.servers), index):
                    if not name.startswith(LIMIT):
                        answer = load.run(self.options, self.servers[name], self.images, clients=clients,
                                          seconds=self.long_enough(clients, speeds[name]))
                        speeds[name] = max(speeds[name], self.note("closed", clients, name, answer)["throughput"])
                    elif clients == 1:
                        self.alone(name)
                    elif clients <= CAPACITY_CLIENTS:
                        self.note("closed", clients, name, self.limit(name))
        for name, server in self.servers.items():
            self.facts[name]["load_mib"] = server.memory_mib()

    def long_enough(self, clients, speed):
        """Seconds of a closed loop in which most clients get a second answer: the first ones came in a rush."""
        return max(self.options.seconds, TURNS_A_CLIENT * clients / max(speed, 1))

    def alone(self, name):
        """One image at a time, on one CPU and on all: what one client could get at best."""
        ways = [self.limit(name, streams=1, threads=threads) for threads in sorted({1, self.options.threads})]
        self.note("alone", 1, name, min(ways, key=lambda way: way["median_ms"]))

    # ---- open loop ----

    def closed_or_now(self, clients, name, body_bytes):
        """The rounds of a closed loop; one is measured now where there is none."""
        if not body_bytes and self.rounds("closed", clients, name):
            return self.rounds("closed", clients, name)
        key = (clients, body_bytes)
        if not self.rounds("before", key, name):
            self.note("before", key, name, load.run(self.options, self.servers[name], self.images, clients=clients,
                                                          seconds=self.options.seconds, body_bytes=body_bytes))
        return self.rounds("before", key, name)

    def load_of(self, name, body_bytes=None):
        """Capacity and deadline, of bodies of that size: larger ones take more CPU to send and to receive."""
        capacity = median(self.closed_or_now(CAPACITY_CLIENTS, name, body_bytes), "throughput")
        deadline_ms = DEADLINE_FACTOR * median(self.closed_or_now(1, name, body_bytes), "accepted", "p50_ms")
        if not body_bytes:
            self.facts[name].update(capacity=capacity, deadline_ms=deadline_ms)
        return capacity, deadline_ms

    def open(self, arrivals):
        loads = {name: self.load_of(name) for name in self.servers}
        for arrival in arrivals:
            for factor in FACTORS if arrival == "constant" else BURST_FACTORS:
                for index in range(self.options.open_rounds):
                    for name in turns(list(self.servers), index):
                        capacity, deadline_ms = loads[name]
                        server = self.servers[name]
                        self.note("open", (arrival, factor), name, load.run(
                            self.options, server, self.images, rate=factor * capacity, arrival=arrival, seconds=self.options.seconds,
                            deadline_ms=deadline_ms, seed=index + 1))
                        server.settle()
        for name, server in self.servers.items():
            self.facts[name]["overload_mib"] = server.memory_mib()

    # ---- refusals ----

    def overload(self):
        """saccade alone, at several times its capacity: how it refuses, whom, and what it holds meanwhile."""
        for name in self.ours()[:1]:
            server = self.servers[name]
            for factor, body_bytes, read_late in OVERLOADS:
                capacity, deadline_ms = self.load_of(name, body_bytes)
                with peak_memory(server) as peak:
                    kind = {"rate": factor * capacity, "deadline_ms": deadline_ms, "seconds": self.options.seconds}
                    answer, obedient = self.beside(server, kind, body_bytes, read_late)
                answer.update(obedient=obedient, peak_mib=peak["mib"], capacity=capacity)
                self.note("overload", (factor, body_bytes or 0, read_late), name, answer)
                server.settle()

    def beside(self, server, kind, body_bytes, read_late):
        """An overload, and a few clients that do what Retry-After says beside it."""
        obedient = subprocess.Popen(load.command_of(self.options, server, self.images, clients=OBEDIENT_CLIENTS, obey=True,
                                                    seconds=kind["seconds"] + 2, deadline_ms=kind["deadline_ms"], warm_up=0, grace=2),
                                    stdout=subprocess.PIPE, text=True)
        answer = load.run(self.options, server, self.images, body_bytes=body_bytes, read_late=read_late, **kind)
        output = obedient.communicate()[0]
        return answer, json.loads(output.splitlines()[-1])

    # ---- photographs as phones send them ----

    def large(self, folders):
        for kind, folder in folders.items():
            for index in range(self.options.rounds):
                for name in turns(self.limits() + list(self.servers), index):
                    if name.startswith(LIMIT):
                        self.note("large", kind, name, self.limit(name, images=folder))
                    else:
                        self.note("large", kind, name, load.run(
                            self.options, self.servers[name], folder, clients=8, seconds=self.options.seconds))


@contextlib.contextmanager
def peak_memory(server, every_s=0.1):
    """The largest memory that was seen meanwhile: {"mib": ...}"""
    peak, over = {"mib": server.resident_mib()}, threading.Event()

    def watch():
        while not over.wait(every_s):
            peak["mib"] = max(peak["mib"], server.resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def enlarged(options, scratch):
    """{kind: folder} of photographs of 12 megapixels, made now."""
    folders = {}
    for kind in LARGE_KINDS:
        folders[kind] = scratch / kind
        folders[kind].mkdir()
        script = pathlib.Path(__file__).with_name("enlarge.py")
        subprocess.run([options.python, script, options.images, folders[kind], str(options.large_images), kind], check=True)
    return folders


# ---- soak ----


def slope(points):
    """Of y over x by least squares; points: [(x, y)]. nan of fewer than two."""
    if len(points) < 2:
        return float("nan")
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else float("nan")


def soak(options, contest, name, minutes):
    """0.9 of capacity for so long: memory, descriptors and latencies by time. Capacity is measured at the start."""
    server = contest.servers[name]
    rate = 0.9 * contest.load_of(name)[0]
    every_s = max(1.0, min(15.0, minutes * 60 / 40))
    command = load.command_of(options, server, contest.images, rate=rate, arrival="constant", seconds=minutes * 60, warm_up=0,
                              interval=every_s)
    samples, began = [], time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            answer = json.loads(line)
            if "second" not in answer:
                final = answer
                continue
            samples.append({"second": answer["second"], "p50_ms": answer["accepted"].get("p50_ms"),
                            "p99_ms": answer["accepted"].get("p99_ms"), "throughput": answer["throughput"],
                            "statuses": answer["statuses"], "broken": answer["broken"],
                            "resident_mib": server.resident_mib(), "descriptors": server.descriptors()})
            servers.warn(f"  soak {time.monotonic() - began:.0f} s: {answer['throughput']:.1f}/s, "
                         f"p99 {answer['accepted'].get('p99_ms', 0):.1f} ms, {samples[-1]['resident_mib']:.1f} MiB")
    if process.returncode != 0:
        server.fail("the load generator failed")
    # The last interval is cut off by the end; the first tenth is where pools and caches fill.
    settled = [s for s in samples[:-1] if s["second"] > minutes * 6 and s["p99_ms"] is not None] or samples
    trends = {key: slope([(s["second"] / 60, s[key]) for s in settled if s[key] is not None])
              for key in ("resident_mib", "descriptors", "p50_ms", "p99_ms")}
    return {"model": contest.model.name, "name": name, "minutes": minutes, "rate": rate, "samples": samples, "trends": trends,
            "final": final, "precision": contest.facts[name]["precision"]}
