"""tests/bench/serve: what it makes of figures, and its load generator against servers that are told what to do."""
import http.server
import json
import math
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import types
import unittest
import xml.etree.ElementTree as ElementTree

from serving import measure, plot, report, servers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BENCH_LOAD = pathlib.Path(os.environ["SACCADE"]).resolve().parent.parent / "tests" / "bench" / "load" / "bench_load"
SVG = "{http://www.w3.org/2000/svg}"


def answer(throughput, p50, p99, **more):
    return {"throughput": throughput, "goodput": throughput, "seconds": 1, "server_cpu_s": 1.0, "statuses": {"200": 100, "429": 100},
            "scheduled": 200, "answers": 200, "broken": 0, "unanswered": 0, "refused": {"n": 100, "p50_ms": 1, "p99_ms": 5, "max_ms": 6},
            "accepted": {"n": 100, "p50_ms": p50, "p99_ms": p99, "p999_ms": p99}, **more}


class FakeContest(measure.Contest):
    def __init__(self, results):
        self.model = types.SimpleNamespace(name="default", path=None)
        self.servers = {"saccade best": None, "saccade f32": None, "fastapi": None, "mosec": None}
        self.precisions = {"saccade best": (None, "int8"), "saccade f32": (None, "f32")}
        self.facts = {name: {"title": name, "precision": name.split()[-1].replace("best", "int8"), "first_answer_s": 1, "rest_mib": 2,
                             "capacity": 100, "deadline_ms": 80} for name in self.servers}
        self.results, self.troubles = {}, []
        for part, cells in results.items():
            for (key, name), rounds in cells.items():
                for found in rounds:
                    self.note(part, key, name, found)

    def say(self, words):
        pass


def closed_contest():
    """Two rounds of everything, some better than what must hold and some worse."""
    rounds = {}
    for clients in (1, 8, 32, 128):
        rounds[clients, "limit saccade best"] = [{"images_per_s": 200}, {"images_per_s": 400}]
        rounds[clients, "limit saccade f32"] = [{"images_per_s": 100}] * 2
        rounds[clients, "saccade best"] = [answer(198, 8, 20), answer(388, 8, 20)]
        rounds[clients, "saccade f32"] = [answer(90, 9, 40)] * 2
        rounds[clients, "fastapi"] = [answer(50, 9, 60)] * 2
        rounds[clients, "mosec"] = [answer(60, 9, 90)] * 2
    alone = {(1, "limit saccade best"): [{"median_ms": 7.6}], (1, "limit saccade f32"): [{"median_ms": 8.1}]}
    return FakeContest({"closed": rounds, "alone": alone})


class Statements(unittest.TestCase):
    def test_rounds_are_compared_with_the_limit_of_the_same_round(self):
        self.assertAlmostEqual(report.ratio_to_limit(closed_contest(), 8, "saccade best"), 0.98)

    def test_what_holds_holds_and_what_does_not_does_not(self):
        held = {s.words: (round(s.value, 3), s.holds) for s in report.closed_statements(closed_contest(), (1.6, 2.2))}
        self.assertEqual(held["default, saccade int8: throughput of 8 clients, of the pipeline limit"], (0.98, True))
        self.assertEqual(held["default, saccade f32: throughput of 8 clients, of the pipeline limit"], (0.9, False))
        self.assertEqual(held["default, saccade int8: p50 of one client above decoding and inference alone"], (0.4, True))
        self.assertEqual(held["default, saccade f32: p50 of one client above decoding and inference alone"], (0.9, False))
        self.assertEqual(held["default, saccade f32: throughput of 32 clients, of the best peer's"], (1.5, False))
        self.assertEqual(held["default, saccade f32: p99 of 32 clients, of the best peer's"], (0.667, False))
        self.assertEqual(held["default, saccade int8: p99 of 32 clients, of the best peer's"], (0.333, True))

    def test_a_soak_that_grows_is_told(self):
        samples = [{"second": 60 * i, "p50_ms": 5, "p99_ms": 10} for i in range(20)]
        result = {"model": "default", "precision": "int8", "minutes": 20, "rate": 9, "samples": samples,
                  "final": {"statuses": {"200": 99, "504": 1}, "broken": 0, "unanswered": 0},
                  "trends": {"resident_mib": 0.06, "descriptors": 0.0, "p50_ms": 0, "p99_ms": 0.04}}
        found = [(round(s.value, 3), s.holds) for s in report.soak_statements(result)]
        self.assertEqual(found, [(1.2, False), (0, True), (0.08, True), (1, False)])
        self.assertIn("memory +61.4 KiB a minute", "".join(report.soaked(result)))

    def test_what_was_not_measured_does_not_hold(self):
        self.assertFalse(report.Statement("x", math.nan, 1).holds)
        self.assertFalse(report.Statement("x", math.nan, 1, at_most=True).holds)


class Figures(unittest.TestCase):
    def test_everybody_comes_first_and_last(self):
        names = ["a", "b", "c"]
        orders = [measure.turns(names, index) for index in range(6)]
        for order in orders:
            self.assertEqual(sorted(order), names)
        self.assertEqual({order[0] for order in orders}, set(names))
        self.assertEqual({order[-1] for order in orders}, set(names))

    def test_medians_leave_out_rounds_without_the_figure(self):
        rounds = [{"a": {"b": 1}}, {"a": {}}, {"a": {"b": 5}}, {}]
        self.assertEqual(measure.median(rounds, "a", "b"), 3)
        self.assertTrue(math.isnan(measure.median(rounds, "c")))

    def test_slope_is_that_of_a_line_with_noise_around_it(self):
        points = [(x, 3 * x + 7 + (-1) ** x) for x in range(100)]
        self.assertAlmostEqual(measure.slope(points), 3, places=2)
        self.assertTrue(math.isnan(measure.slope(points[:1])))

    def test_peers_are_found_under_both_namings(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "fastapi_ort.py").touch()
            (folder / "mosec_server.py").touch()
            self.assertEqual({name: path.name for name, path in servers.peer_files(folder).items()},
                             {"fastapi": "fastapi_ort.py", "mosec": "mosec_server.py"})


class Document(unittest.TestCase):
    def test_a_part_is_written_anew_and_the_rest_stays(self):
        text = "# Performance\n\nBy hand.\n"
        text = report.replace_block(text, "closed", ["old"])
        text = report.replace_block(text, "open", ["other"])
        again = report.replace_block(text, "closed", [r"new \1"])
        self.assertTrue(again.startswith("# Performance\n\nBy hand.\n"))
        self.assertIn("other", again)
        self.assertNotIn("old", again)
        self.assertEqual(again.count(r"new \1"), 1)

    def test_the_tables_have_medians(self):
        text = "\n".join(report.closed([closed_contest()]))
        self.assertIn("| 8 | saccade int8 | 293.0 | 198.0 to 388.0 | 8.0 | 20.0 | 20.0 | 5.0 |", text)
        self.assertIn("| 8 | pipeline limit, f32 | 100.0 |", text)
        rounds = {(("constant", factor), name): [answer(90, 9, 40)] for factor in measure.FACTORS for name in FakeContest({}).servers}
        contest = FakeContest({"open": rounds})
        self.assertIn("| 2, constant | saccade f32 | 90.0 | 90.0 | 90 | 9.0 | 40.0 | 40.0 | 50 | 5.0 | 0 |",
                      "\n".join(report.opened([contest])))
        for chart in (report.open_chart([contest], ["<caption>"]), report.closed_chart([closed_contest()], ["<caption>"])):
            root = ElementTree.fromstring(chart)
            self.assertIn("<caption>", [text.text for text in root.iter(SVG + "text")])

    def test_a_closed_loop_that_was_not_answered_is_told(self):
        rounds = [answer(0, 0, 0, loop="closed", statuses={"503": 3}, accepted={"n": 0}), answer(9, 9, 9, loop="closed", statuses={"200": 9})]
        text = "\n".join(report.closed([FakeContest({"closed": {(128, "mosec"): rounds}})]))
        self.assertIn("Not every request was answered: closed, 128, mosec: status 503: 3, no answer within 1 s.", text)

    def test_the_overload_table_counts_attempts(self):
        obedient = {"statuses": {"200": 10, "429": 15}}
        contest = FakeContest({"overload": {((2, 5000000, True), "saccade f32"): [answer(95, 9, 40, obedient=obedient, peak_mib=70, broken=1, capacity=100)]}})
        self.assertIn("| 2 | 5 MB | late | saccade f32 | 100.0 | 95 | 1.0 | 5.0 | 6.0 | 1 | 0 | 2.5 | 70 |", "\n".join(report.overload([contest])))
        self.assertEqual([s.holds for s in report.overload_statements(contest)], [False])

    def test_lines_go_through_their_points(self):
        panel = plot.Panel("p", "x", [plot.Series("s", [(0, 1), (1, 10), (2, math.nan), (3, 100)], "#000000")], list("abcd"), log_y=True)
        root = ElementTree.fromstring(plot.chart([[panel]], []))
        ys = [float(point.split(",")[1]) for point in root.find(SVG + "polyline").get("points").split()]
        self.assertEqual(len(ys), 3)
        self.assertAlmostEqual(ys[0] - ys[1], ys[1] - ys[2], delta=0.11)  # decades are equally high

    def test_ticks_are_round(self):
        self.assertEqual(plot.ticks(0, 100), [0, 20, 40, 60, 80, 100])
        self.assertEqual(plot.log_ticks(1, 20), [1, 2, 5, 10, 20])


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by what the server is told: a list of (status, headers) for each request in turn, the last one for all others."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.targets.append(self.path)
            status, headers = self.server.plan.pop(0) if len(self.server.plan) > 1 else self.server.plan[0]
        if status is None:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass


@unittest.skipUnless(BENCH_LOAD.exists(), "bench_load was not built")
class LoadGenerator(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        shutil.copy(ROOT / "docs" / "cat.jpg", self.folder / "cat.jpg")

    def run_load(self, *arguments, url):
        command = [BENCH_LOAD, "--images", self.folder, "--warm-up", "0", *arguments, url]
        return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)

    def against(self, plan, *arguments, query=""):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.plan, server.targets, server.lock = plan, [], threading.Lock()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        result = self.run_load(*arguments, url=f"http://127.0.0.1:{server.server_address[1]}/x{query}")
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()], server

    def test_an_open_loop_sends_what_it_scheduled(self):
        (found,), server = self.against([(200, {})], "--rate", 50, "--seconds", 0.5, "--deadline", 60000, "--send-deadline", query="?top_k=1")
        self.assertEqual(found["scheduled"], 25)
        self.assertEqual(found["statuses"], {"200": 25})
        self.assertEqual(found["answers"], 25)
        self.assertEqual(found["accepted"]["n"], sum(n for _, n in found["accepted"]["histogram"]))
        self.assertEqual(set(server.targets), {"/x?top_k=1&timeout_ms=60000"})

    def test_a_closed_loop_keeps_its_connections(self):
        lines, server = self.against([(200, {})], "--clients", 3, "--seconds", 0.6, "--interval", 0.2)
        found = lines[-1]
        self.assertEqual(found["generator"]["connections_opened"], 3)
        self.assertEqual(found["broken"], 0)
        self.assertGreater(found["throughput"], 0)
        self.assertGreaterEqual(len(lines), 3)
        self.assertLessEqual(sum(line["statuses"].get("200", 0) for line in lines[:-1]), len(server.targets))

    def test_statuses_are_told_apart(self):
        (found,), _ = self.against([(429, {"Retry-After": 1}), (503, {}), (504, {}), (422, {}), (200, {})], "--rate", 20, "--seconds", 0.5)
        self.assertEqual(found["statuses"], {"429": 1, "503": 1, "504": 1, "422": 1, "200": 6})
        self.assertEqual((found["accepted"]["n"], found["refused"]["n"]), (6, 2))
        self.assertEqual(found["retries"]["got_through"], 0)

    def test_retry_after_is_obeyed(self):
        (found,), server = self.against([(429, {"Retry-After": 1}), (200, {})], "--rate", 2, "--seconds", 0.5, "--obey-retry-after")
        self.assertEqual(len(server.targets), 2)
        self.assertEqual(found["retries"], {"got_through": 1, "max_attempts": 2, "left": 0})
        self.assertGreaterEqual(found["accepted"]["p50_ms"], 1000)
        self.assertLess(found["refused"]["p50_ms"], 1000)

    def test_a_connection_that_ends_without_an_answer_is_broken(self):
        (found,), _ = self.against([(None, {}), (200, {})], "--rate", 20, "--seconds", 0.5)
        self.assertEqual(found["broken"], 1)
        self.assertEqual(found["statuses"], {"200": 9})

    def test_a_request_waits_for_a_connection_on_its_own_time(self):
        """One connection to a server that never answers: all others are unanswered, none is lost."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            result = self.run_load("--rate", 20, "--seconds", 0.5, "--grace", 0.2, "--connections", 1,
                                   url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        found = json.loads(result.stdout)
        self.assertEqual((found["scheduled"], found["unanswered"], found["statuses"]), (10, 10, {}))

    def test_bodies_are_filled_up_and_read_late(self):
        """A server that answers before it reads, and closes: who looks first gets the answer, who sends first breaks."""
        def refuse(listener):
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.sendall(b"HTTP/1.1 429 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                connection.recv(1000)
                connection.close()

        for late, broken in ((False, 0), (True, 1)):
            with self.subTest(late=late), socket.create_server(("127.0.0.1", 0)) as listener:
                thread = threading.Thread(target=refuse, args=(listener,), daemon=True)
                thread.start()
                result = self.run_load("--rate", 2, "--seconds", 0.5, "--grace", 5, "--body-bytes", 20_000_000,
                                       *(["--read-late"] if late else []), url=f"http://127.0.0.1:{listener.getsockname()[1]}/")
                found = json.loads(result.stdout)
                self.assertEqual((found["broken"], found["statuses"].get("429", 0)), (broken, 1 - broken))
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()

    def test_only_the_loopback_is_asked(self):
        for url in ("http://10.0.0.1:80/", "http://example.org:80/", "https://127.0.0.1:80/", "http://127.0.0.1:80", "http://127.0.0.1:0/"):
            result = self.run_load(url=url)
            self.assertEqual(result.returncode, 2, url)
            self.assertIn("loopback only", result.stderr)

    def test_wrong_usage(self):
        for arguments in (["--rate", "x"], ["--rate", 1, "--clients", 1], ["--arrival", "never"], ["--send-deadline"], ["--nonsense"]):
            self.assertEqual(self.run_load(*arguments, url="http://127.0.0.1:1/").returncode, 2, arguments)
        (self.folder / "cat.jpg").unlink()
        result = self.run_load(url="http://127.0.0.1:1/")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no file named", result.stderr)


if __name__ == "__main__":
    unittest.main()
