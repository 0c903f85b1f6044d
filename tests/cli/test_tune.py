"""--tune and where its results are kept."""
import json

from test_cli import WithDirectory, run


class Tune(WithDirectory):
    def bench(self, *words):
        result = run("bench", "--threads", "1", "--seconds", "0.01", "--json", "--tune-cache",
                     str(self.directory / "cache"), *words)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        self.assertGreater(json.loads(result.stdout.splitlines()[-1])["median_ms"], 0)
        return result.stderr.decode()

    def files(self):
        return sorted((self.directory / "cache").glob("*"))

    def test_results_are_kept_and_used_again(self):
        self.assertEqual(self.bench("--tune", "fast"), "")
        (path,) = self.files()
        before = path.read_bytes()
        self.assertTrue(before.startswith(b"saccade tuning 1\n"))
        # Measured again it would be written again, with other winners among equals.
        stamp = path.stat().st_mtime_ns
        self.assertEqual(self.bench("--tune", "fast"), "")
        self.assertEqual((path.read_bytes(), path.stat().st_mtime_ns), (before, stamp))

    def test_off_measures_and_writes_nothing(self):
        self.assertEqual(self.bench("--tune", "off"), "")
        self.assertEqual(self.files(), [])

    def test_damaged_results_are_a_warning_and_are_replaced(self):
        self.bench("--tune", "fast")
        (path,) = self.files()
        for damaged in (path.read_bytes()[:-5], b"", b"\0" * 100, path.read_bytes().replace(b"oneDNN", b"twoDNN")):
            path.write_bytes(damaged)
            self.assertIn(str(path), self.bench("--tune", "fast"))
            self.assertEqual(self.bench("--tune", "fast"), "")

    def test_a_cache_that_cannot_be_written_is_a_warning(self):
        (self.directory / "cache").write_text("a file in its place")
        self.assertIn("Not a directory", self.bench("--tune", "fast"))
