"""What a model takes of the machine: the peak of memory, and what happens when its file changes under a server."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from process import BOUND_S, ROOT, Server, wait_until

sys.path.insert(0, str(ROOT / "tests"))
from onnx_writer import classifier  # noqa: E402

SACCADE = os.environ["SACCADE"]
MIB = 1 << 20
SANITIZED = {"ASAN_OPTIONS", "TSAN_OPTIONS"} & set(os.environ)


class WithModel(unittest.TestCase):
    def write(self, **options):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = pathlib.Path(directory.name) / "model.onnx"
        path.write_bytes(classifier(**options))
        return path


def peak_bytes(*words):
    """The largest resident size that a run of saccade had: asked for until it ends, since what wait() tells includes
    the process that this one was before it became saccade."""
    process = subprocess.Popen([SACCADE, *words], stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1]) * 1024
        time.sleep(0.005)
    if process.returncode != 0:
        raise AssertionError(f"{words}: exit status {process.returncode}")
    return peak


@unittest.skipIf(SANITIZED, "a sanitizer has memory of its own")
class Peak(WithModel):
    """Weights are never there twice: neither as the file has them beside the packed ones, nor before and after a
    BatchNormalization has gone into them."""

    def check(self, path, least_bytes):
        plan = json.loads(subprocess.run([SACCADE, "inspect", str(path), "--threads", "1", "--json"], check=True,
                                         capture_output=True, timeout=BOUND_S).stdout)
        needed = plan["weight_bytes"] + plan["arena_bytes"]
        self.assertGreaterEqual(plan["weight_bytes"], least_bytes)
        peak = peak_bytes("bench", "--model", str(path), "--threads", "1", "--seconds", "0.1")
        self.assertLessEqual(peak, 1.25 * needed + 30 * MIB)

    def test_of_convolutions(self):
        self.check(self.write(layers=20), 80 * MIB)

    def test_of_convolutions_with_batch_normalization(self):
        self.check(self.write(layers=20, batch_norm=True), 80 * MIB)

    def test_of_one_large_matrix(self):
        self.check(self.write(layers=1, channels=5120), 100 * MIB)


class FileThatChanges(WithModel):
    def check(self, change):
        path = self.write(layers=4)
        with Server("--model", str(path)) as server:
            before = server.classify().json()
            change(path)
            # Plans for batches may be made still, and may fail; what is ready goes on.
            wait_until(lambda: any(e["event"] == "measured" for e in server.log()), "the end of measuring")
            after = server.classify()
            self.assertEqual(after.status, 200)
            self.assertEqual(after.json()["results"], before["results"])
            self.assertEqual(after.json()["model"], before["model"])
            self.assertIsNone(server.process.poll())

    def test_truncated(self):
        self.check(lambda path: os.truncate(path, 1000))

    def test_written_over(self):
        self.check(lambda path: path.write_bytes(bytes(path.stat().st_size)))

    def test_deleted(self):
        self.check(lambda path: path.unlink())


if __name__ == "__main__":
    unittest.main()
