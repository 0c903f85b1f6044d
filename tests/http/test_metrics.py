#!/usr/bin/env python3
"""/metrics: what it counts is what happened, in a form that Prometheus takes without a complaint."""
import concurrent.futures
import re
import shutil
import subprocess
import time
import unittest

from process import BOUND_S, CAT, ROOT, Server, multipart, wait_until

STAGES = ["receive", "decode", "queue", "infer", "encode"]
SAMPLE = re.compile(r'^([a-z_]+)(\{([a-z_]+="[^"\\\n]*",?)*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$')


# OpenMetrics 1.0, "Exemplars".
EXEMPLAR = re.compile(r'^\{request_id="([^"\\]*)"(,trace_id="([0-9a-f]{32})")?\} ([0-9.e-]+) ([0-9]+\.[0-9]+)$')


class Metrics(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())

    def scrape(self, accept="*/*"):
        answer = self.server.request("GET", "/metrics", headers={"Accept": accept})
        self.assertEqual(answer.status, 200)
        return answer

    def test_promtool_has_no_complaint_under_load(self):
        if not shutil.which("promtool"):
            self.skipTest("no promtool here (Debian: prometheus)")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            load = [pool.submit(self.server.classify) for _ in range(40)]
            for _ in range(5):
                done = subprocess.run(["promtool", "check", "metrics"], input=self.scrape().body, capture_output=True,
                                      timeout=BOUND_S)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
            for answer in load:
                self.assertEqual(answer.result().status, 200)

    def test_both_formats_are_well_formed(self):
        self.server.classify()
        for accept, kind in [("*/*", "text/plain; version=0.0.4; charset=utf-8"),
                             ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
                              "application/openmetrics-text; version=1.0.0; charset=utf-8")]:
            answer = self.scrape(accept)
            self.assertEqual(answer.headers["Content-Type"], kind)
            lines = answer.body.decode().splitlines()
            openmetrics = kind.startswith("application")
            self.assertEqual(lines[-1] == "# EOF", openmetrics)
            types = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))
            self.assertEqual(len(types), len([line for line in lines if line.startswith("# TYPE")]))
            seen = set()
            for line in lines:
                if line.startswith("#"):
                    continue
                line, _, exemplar = line.partition(" # ")
                if exemplar:
                    self.assertTrue(openmetrics)
                    self.assertRegex(line, r"_bucket\{")
                    self.assertRegex(exemplar, EXEMPLAR)
                self.assertRegex(line, SAMPLE)
                self.assertNotIn(line.rpartition(" ")[0], seen)
                seen.add(line.rpartition(" ")[0])
                name = SAMPLE.match(line)[1]
                family = name if name in types else re.sub("_(total|bucket|sum|count)$", "", name)
                self.assertIn(family, types)
                if types[family] == "counter" and openmetrics:
                    self.assertFalse(family.endswith("_total"))

    def test_an_exemplar_leads_to_a_request_of_its_bucket(self):
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        for i in range(3):
            answer = self.server.classify(headers={"X-Request-ID": f"mine-{i}", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        self.assertEqual(answer.headers["X-Request-ID"], "mine-2")
        wait_until(lambda: self.server.metric('saccade_request_duration_seconds_count{handler="classify"}') == 3,
                   "the counts", 10)
        histograms = ['saccade_request_duration_seconds_bucket{handler="classify"',
                      *(f'saccade_stage_duration_seconds_bucket{{stage="{stage}"' for stage in [*STAGES, "total"])]
        lines = self.scrape("application/openmetrics-text").body.decode().splitlines()
        for histogram in histograms:
            lower, found = 0, 0
            for line in lines:
                if not line.startswith(histogram):
                    continue
                line, _, exemplar = line.partition(" # ")
                upper = float(re.search(r'le="([^"]+)"', line)[1].replace("+Inf", "inf"))
                if exemplar:
                    request_id, _, trace_id, value, time_s = EXEMPLAR.match(exemplar).groups()
                    self.assertIn(request_id, ["mine-0", "mine-1", "mine-2"])
                    self.assertEqual(trace_id, trace)
                    self.assertTrue(lower < float(value) <= upper, line)
                    self.assertAlmostEqual(float(time_s), time.time(), delta=600)
                    found += 1
                lower = upper
            self.assertTrue(1 <= found <= 3, f"{histogram}: {found} exemplars")

    def test_every_metric_is_described_for_its_reader(self):
        families = set(re.findall(r"(?m)^# TYPE (\S+)", self.scrape().body.decode()))
        table = set(re.findall(r"(?m)^\| `([a-z_]+)[`{]", (ROOT / "docs" / "metrics.md").read_text()))
        self.assertEqual(table, families)

    def test_counts_are_what_happened(self):
        for _ in range(3):
            self.server.classify()
        self.server.classify(b"text")
        self.server.classify(CAT[:9000])
        kind, body = multipart(("a.jpg", CAT), ("b.jpg", CAT), ("c.jpg", b"text"))
        self.server.classify(body, headers={"Content-Type": kind})
        self.server.request("GET", "/nothing")
        expected = {
            'saccade_requests_total{handler="classify",code="200"}': 4,
            'saccade_requests_total{handler="classify",code="415"}': 1,
            'saccade_requests_total{handler="classify",code="422"}': 1,
            'saccade_requests_total{handler="other",code="404"}': 1,
            'saccade_images_total{model="efficientnet-lite0",outcome="ok"}': 5,
            'saccade_images_total{model="efficientnet-lite0",outcome="unsupported_image"}': 2,
            'saccade_images_total{model="efficientnet-lite0",outcome="broken_image"}': 1,
            'saccade_request_duration_seconds_count{handler="classify"}': 6,
            'saccade_stage_duration_seconds_count{stage="infer"}': 5,
            'saccade_stage_duration_seconds_count{stage="decode"}': 8,
            'saccade_stage_duration_seconds_count{stage="total"}': 6,
            "saccade_batch_size_sum": 5,
            "saccade_queue_images": 0,
            "saccade_inflight_requests": 0,
            "saccade_saturation_ratio": 0,
        }
        # An answer is counted when it has been sent, which its reader may be ahead of.
        wait_until(lambda: {name: self.server.metric(name, 0) for name in expected} == expected, "the counts", 10)

    def test_stages_add_up_to_the_total(self):
        for _ in range(20):
            self.server.classify()
        sums = {stage: self.server.metric(f'saccade_stage_duration_seconds_sum{{stage="{stage}"}}')
                for stage in STAGES + ["total"]}
        self.assertAlmostEqual(sum(sums[stage] for stage in STAGES), sums["total"], delta=0.05 * sums["total"])

    def test_the_process_is_described(self):
        cpu = self.server.metric("process_cpu_seconds_total")
        self.assertGreater(self.server.metric("process_resident_memory_bytes"), 1 << 20)
        self.assertGreater(self.server.metric("process_virtual_memory_bytes"), 1 << 20)
        self.assertGreater(self.server.metric("process_max_fds"), self.server.metric("process_open_fds"))
        self.assertGreater(self.server.metric("process_start_time_seconds"), 1e9)
        for _ in range(5):
            self.server.classify()
        self.assertGreater(self.server.metric("process_cpu_seconds_total"), cpu)


class SlowLog(unittest.TestCase):
    def slow_events(self, server):
        return [event for event in server.log() if event["event"] == "slow request"]

    def test_a_slow_request_is_logged_with_what_its_answer_says(self):
        with Server("--slow-log", "1ms") as server:
            answer = server.classify(headers={"X-Request-ID": "slow-1"})
            latency = answer.json()["latency_ms"]
            wait_until(lambda: self.slow_events(server), "the event", 10)
            event, = self.slow_events(server)
            self.assertEqual(event["level"], "warn")
            self.assertEqual((event["id"], event["model"], event["status"]), ("slow-1", "efficientnet-lite0", 200))
            self.assertEqual((event["images"], event["batch_size"], event["image_size"], event["body_bytes"]),
                             (1, 1, "451x300", len(CAT)))
            for stage in STAGES[:-1]:
                self.assertAlmostEqual(event[f"{stage}_ms"], latency[stage], delta=0.002)
            self.assertAlmostEqual(event["total_ms"], latency["total"] + event["encode_ms"], delta=0.002)
            self.assertEqual(server.metric("saccade_slow_requests_total"), 1)

    def test_a_fast_one_is_not(self):
        with Server("--slow-log", "60m") as server:
            server.classify()
            server.terminate()
            self.assertEqual(server.wait(), 0)
            self.assertEqual(self.slow_events(server), [])

    def test_a_storm_is_bounded_and_counted(self):
        with Server("--slow-log", "1ms", "--log-level", "warn") as server:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                for answer in pool.map(lambda _: server.classify(query="?timeout_ms=60000"), range(60)):
                    self.assertEqual(answer.status, 200)
            server.terminate()
            self.assertEqual(server.wait(), 0)
            events = server.log()
            seconds = {}
            for event in self.slow_events(server):
                seconds[event["time"][:19]] = seconds.get(event["time"][:19], 0) + 1
            # The clock's seconds are not those that the bound counts in: two of these may touch one of those.
            self.assertLessEqual(max(seconds.values()), 20)
            self.assertEqual(len(self.slow_events(server)) + sum(event.get("left_out", 0) for event in events), 60)


if __name__ == "__main__":
    unittest.main()
