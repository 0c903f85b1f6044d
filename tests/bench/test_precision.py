"""precision.py and its report, with contenders that take the time they are told to."""
import types
import unittest
import unittest.mock
import xml.etree.ElementTree as ElementTree

import precision
import precision_report

SVG = "{http://www.w3.org/2000/svg}"
CONTENDERS = list(precision.CONTENDERS)
FACTS = {"date": "2026-01-01", "cpu": 'A "CPU" <x>', "n_cpus": 2, "saccade": "1", "commit": "abc", "rounds": 2, "seconds": 1,
         "statistic": "median", "limit_isa": None, "bench_options": [], "instructions": ["avx2"], "contenders": CONTENDERS,
         "comparable": CONTENDERS, "titles": {"ort": "ONNX Runtime", "openvino": "OpenVINO"}}
TIMES = {"saccade int8": [10, 20], "saccade bf16": [18, 22], "saccade f32": [40, 40], "ONNX Runtime f32": [50, 60],
         "ONNX Runtime int8": [15, 24], "OpenVINO int8": [12, 30]}


class FakeBench:
    def __init__(self, rounds):
        self.rounds = {contender: iter(times) for contender, times in rounds.items()}
        self.options = types.SimpleNamespace(rounds=2, statistic="median")

    def turn(self, contender, model, threads, batch):
        ms = next(self.rounds[contender])
        return {"median_ms": ms, "min_ms": ms, "isa": "AVX2", "version": "9"}


def row_of(failures={}, comparable=CONTENDERS):
    with unittest.mock.patch.object(precision, "check_answers", return_value=({}, dict(failures))):
        return precision.measure(FakeBench(TIMES), CONTENDERS, ("net", None, None), 1, 1, comparable)


class Ratios(unittest.TestCase):
    def test_ratios_are_of_rounds_and_the_best_peer_is_that_by_medians(self):
        ratios = row_of()["ratios"]
        self.assertEqual(ratios["int8 : ONNX Runtime f32"], (4.0, [5.0, 3.0]))
        self.assertEqual(ratios["int8 : best int8 peer"][1], [1.5, 1.2])  # medians: ONNX Runtime 19.5, OpenVINO 21
        self.assertEqual(ratios["int8 : f32"][1], [4.0, 2.0])

    def test_who_is_not_comparable_is_no_peer(self):
        row = row_of(comparable=[c for c in CONTENDERS if not c.startswith("ONNX")])
        self.assertEqual(row["ratios"]["int8 : best int8 peer"][1], [1.2, 1.5])
        self.assertNotIn("int8 : ONNX Runtime f32", row["ratios"])
        facts = {**FACTS, "limit_isa": "AVX2", "comparable": [c for c in CONTENDERS if not c.startswith("ONNX")]}
        text = precision_report.markdown({**facts, "rows": [row]})
        self.assertIn("held to AVX2", text)
        self.assertIn("Not comparable: ONNX Runtime f32 and ONNX Runtime int8", text)

    def test_what_fails_is_named_and_has_no_ratio(self):
        row = row_of({"saccade bf16": "no such instruction"})
        self.assertNotIn("bf16 : f32", row["ratios"])
        text = precision_report.markdown({**FACTS, "rows": [row]})
        self.assertIn("fails (1)", text)
        self.assertIn("(1) net, saccade bf16: no such instruction", text)

    def test_an_answer_that_is_another_fails(self):
        class Bench:
            def answer(self, contender, *_):
                import numpy as np

                scores = np.linspace(-1, 1, 10)[None]
                return -scores if contender == "saccade int8" else scores

        try:
            import numpy  # noqa: F401
        except ImportError:
            self.skipTest("needs numpy")
        _, failures = precision.check_answers(Bench(), CONTENDERS, ("net", None, None), 1, 1)
        self.assertEqual(list(failures), ["saccade int8"])


class Report(unittest.TestCase):
    def test_the_table_has_times_and_ratios(self):
        text = precision_report.markdown({**FACTS, "rows": [row_of()]}, "chart.svg")
        self.assertIn("| net | 15.00 | 20.00 | 40.00 | 55.00 | 19.50 | 21.00 | **4.00** (3.00 to 5.00) |", text)
        self.assertIn("(chart.svg)", text)

    def test_the_chart_has_a_bar_a_contender_of_its_speed(self):
        root = ElementTree.fromstring(precision_report.chart({**FACTS, "rows": [row_of()]}))
        widths = [float(rect.get("width")) for rect in root.iter(SVG + "rect") if rect.get("width") != "100%"]
        self.assertEqual(len(widths), len(CONTENDERS))
        self.assertEqual(max(widths), precision_report.PLOT)
        self.assertAlmostEqual(widths[0] / widths[3], 55 / 15, 2)
