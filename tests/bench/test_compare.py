"""compare.py and its report, with engines that take the time they are told to."""
import collections
import re
import types
import unittest
import unittest.mock
import xml.etree.ElementTree as ElementTree

import compare
import compare_report

ENGINES = ["saccade", "ort", "openvino", "mnn"]
SVG = "{http://www.w3.org/2000/svg}"
FACTS = {"date": "2026-01-01", "cpu": 'A "CPU" <x>', "n_cpus": 2, "saccade": "1", "commit": "abc", "rounds": 3, "seconds": 1,
         "statistic": "median", "limit_isa": None, "bench_options": [], "engines": ENGINES, "missing": [],
         "titles": {"saccade": "saccade", "ort": "ONNX Runtime", "openvino": "OpenVINO", "mnn": "MNN"}}


class FakeBench:
    """rounds: {engine: the milliseconds of each round}"""

    def __init__(self, rounds, statistic="median"):
        self.rounds = {engine: iter(times) for engine, times in rounds.items()}
        self.options = types.SimpleNamespace(rounds=3, statistic=statistic)
        self.turns = []

    def turn(self, engine, model, threads, batch):
        self.turns.append(engine)
        ms = next(self.rounds[engine])
        return {"median_ms": ms, "min_ms": ms - 1, "isa": "AVX2", "version": "9"}


def row_of(rounds, failures={}, statistic="median"):
    bench = FakeBench(rounds, statistic)
    with unittest.mock.patch.object(compare, "check_answers", return_value=({}, dict(failures))):
        return compare.compare(bench, ENGINES, ("net", None, None), 1, 1), bench


class Compare(unittest.TestCase):
    def test_the_best_peer_by_medians_is_compared_round_by_round(self):
        row, _ = row_of({"saccade": [10, 20, 10], "ort": [50, 11, 60], "openvino": [30, 30, 30], "mnn": [12, 30, 13]})
        self.assertEqual(row["best"], "mnn")
        self.assertEqual(row["ms"], {"saccade": 10, "ort": 50, "openvino": 30, "mnn": 13})
        self.assertEqual(row["ratios"], [1.2, 1.5, 1.3])
        self.assertEqual(row["ratio"], 1.3)

    def test_minima_are_compared_where_asked_for(self):
        row, _ = row_of({"saccade": [11, 21, 31], "ort": [50, 7, 60], "openvino": [30, 30, 30], "mnn": [12, 30, 13]},
                        statistic="min")
        self.assertEqual((row["best"], row["ratio"]), ("ort", 6 / 10))

    def test_an_engine_that_fails_is_left_out_and_named(self):
        row, bench = row_of({"saccade": [10] * 3, "ort": [20] * 3, "openvino": [15] * 3}, {"mnn": "no such operator"})
        self.assertNotIn("mnn", bench.turns)
        self.assertEqual(row["best"], "openvino")
        text = compare_report.markdown({**FACTS, "rows": [row]})
        self.assertIn("| fails (1) |", text)
        self.assertIn("(1) net, MNN: no such operator", text)

    def test_nothing_is_measured_where_saccade_fails(self):
        row, bench = row_of({}, {"saccade": "no such operator"})
        self.assertEqual(bench.turns, [])
        self.assertNotIn("ratio", row)
        self.assertIn("no ratio", compare_report.chart({**FACTS, "rows": [row]}))

    def test_every_engine_meets_every_place_in_the_order(self):
        orders = [compare.order_of(ENGINES, index) for index in range(8)]
        for order in orders:
            self.assertEqual(sorted(order), sorted(ENGINES))
        for place in range(len(ENGINES)):
            self.assertEqual(set(collections.Counter(order[place] for order in orders).values()), {2})
        followers = {pair for order in orders for pair in zip(order, order[1:])}
        self.assertEqual(len(followers), 8)  # each neighbour from both sides


class Report(unittest.TestCase):
    ROWS = [{"model": name, "threads": threads, "batch": 1, "failures": {}, "differences": {"mnn": 2e-3}, "isa": "AVX2", "versions": {"ort": "1.2"},
             "ms": {"saccade": 10.0, "ort": 10 * ratio, "openvino": 99.0, "mnn": 99.0}, "best": "ort", "ratio": ratio,
             "ratios": [ratio - 0.1, ratio]} for threads, name, ratio in ((1, "a", 0.5), (1, "<b>", 2.0), (2, "a", 1.21))]

    def test_summary(self):
        parts = compare_report.settings(self.ROWS)
        self.assertEqual([compare_report.summary(rows)[1:] for rows in parts.values()], [(0.5, "a"), (1.21, "a")])
        self.assertAlmostEqual(compare_report.summary(parts[1, 1])[0], 1)

    def test_markdown(self):
        text = compare_report.markdown({**FACTS, "rows": self.ROWS}, "x.svg")
        self.assertIn("| a | 10.00 | 5.00 | 99.00 | 99.00 (1) | ONNX Runtime | **0.50** | 0.40 to 0.50 |", text)
        self.assertIn("## 2 threads, batch 1", text)
        self.assertIn("Geometric mean **1.000**, lowest 0.500 (a).", text)
        self.assertIn("![Ratio of each model](x.svg)", text)
        self.assertIn("ONNX Runtime 1.2", text)
        self.assertIn("(1) a, MNN: its answer differs by 2.0e-03 of the largest value", text)

    def test_bars_are_as_long_as_their_ratios(self):
        root = ElementTree.fromstring(compare_report.chart({**FACTS, "rows": self.ROWS}))
        bars = [float(rect.get("width")) for rect in root.iter(f"{SVG}rect") if rect.get("rx")]
        self.assertEqual(len(bars), 3)
        self.assertAlmostEqual(bars[1] / bars[0], 4, places=2)
        self.assertAlmostEqual(bars[2] / bars[0], 2.42, places=2)
        words = [text.text for text in root.iter(f"{SVG}text")]
        self.assertIn("<b>", words)
        self.assertTrue(any(re.fullmatch("geometric mean 1.21", word) for word in words))

    def test_what_is_limited_or_missing_is_said(self):
        text = compare_report.markdown({**FACTS, "rows": self.ROWS, "limit_isa": "AVX2", "missing": ["MNN"]})
        self.assertIn("held to AVX2; ONNX Runtime and MNN cannot be", text)
        self.assertIn("Not installed, left out: MNN.", text)


if __name__ == "__main__":
    unittest.main()
