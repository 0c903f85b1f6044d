"""The default model on the test photographs: what accuracy.py prints, held to its least figures."""
import os
import pathlib
import unittest

import accuracy

LEAST_TOP_1, LEAST_TOP_5 = 223, 243  # of 250; ONNX Runtime in float32 with Pillow's decoding and resize: 224 and 244


class DefaultModel(unittest.TestCase):
    def setUp(self):
        self.images = pathlib.Path(os.environ.get("IMAGES", accuracy.IMAGES))
        if not (self.images / "labels.tsv").exists():
            self.skipTest(f"no photographs at {self.images}")

    def check(self, exact):
        labels = accuracy.read_labels(self.images)
        answers = accuracy.classify(os.environ["SACCADE"], None, [self.images / name for name in labels], exact)
        self.assertEqual(set(answers), set(labels))
        self.assertGreaterEqual(sum(answers[name][0] == label for name, label in labels.items()), LEAST_TOP_1)
        self.assertGreaterEqual(sum(label in answers[name][:5] for name, label in labels.items()), LEAST_TOP_5)

    def test_enough_photographs_are_right_with_dct_scaling(self):
        self.check(exact=False)

    def test_enough_photographs_are_right_without_dct_scaling(self):
        self.check(exact=True)


if __name__ == "__main__":
    unittest.main()
