#!/usr/bin/env python3
"""/metrics: what it counts is what happened, in a form that Prometheus takes without a complaint."""
import concurrent.futures
import re
import shutil
import subprocess
import unittest

from process import BOUND_S, CAT, Server, multipart, wait_until

STAGES = ["receive", "decode", "queue", "infer", "encode"]
SAMPLE = re.compile(r'^([a-z_]+)(\{([a-z_]+="[^"\\\n]*",?)*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$')


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
                self.assertRegex(line, SAMPLE)
                self.assertNotIn(line.rpartition(" ")[0], seen)
                seen.add(line.rpartition(" ")[0])
                name = SAMPLE.match(line)[1]
                family = name if name in types else re.sub("_(total|bucket|sum|count)$", "", name)
                self.assertIn(family, types)
                if types[family] == "counter" and openmetrics:
                    self.assertFalse(family.endswith("_total"))

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


if __name__ == "__main__":
    unittest.main()
