#!/usr/bin/env python3
"""Runs a folder of unittest modules and reports in TAP, so that meson counts each case.

    run_unittest.py FOLDER [WORD]...     only cases whose name holds one of the words

The modules are FOLDER/test_*.py; the program to test is the path in the environment variable SACCADE. The last
line is a comment, '# N passed, N failed[, N skipped]'.
"""
import os
import pathlib
import sys
import tempfile
import traceback
import unittest


class TapResult(unittest.TestResult):
    """A line a case; what went wrong follows as comments."""

    def __init__(self):
        super().__init__()
        self.n_passed = self.n_failed = self.n_skipped = 0

    def _report(self, word, test, note="", details=""):
        number = self.n_passed + self.n_failed + self.n_skipped
        print(f"{word} {number} - {describe(test)}{note}")
        for line in details.splitlines():
            print(f"# {line}")
        sys.stdout.flush()

    def _fail(self, test, error):
        self.n_failed += 1
        self._report("not ok", test, details="".join(traceback.format_exception(*error)))

    def addSuccess(self, test):
        self.n_passed += 1
        self._report("ok", test)

    def addSkip(self, test, reason):
        self.n_skipped += 1
        self._report("ok", test, note=" # SKIP " + " ".join(reason.split()))

    def addError(self, test, error):
        super().addError(test, error)
        self._fail(test, error)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._fail(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._fail(subtest, error)

    def addExpectedFailure(self, test, error):
        self.addSuccess(test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.n_failed += 1
        self._report("not ok", test, details="was expected to fail")


def describe(test):
    """'test_http: an empty body is refused' of test_http.TestErrors.test_an_empty_body_is_refused."""
    module, _, _ = test.id().partition(".")
    words = test.id().replace("#", "no. ")
    if isinstance(test, unittest.TestCase) and hasattr(test, "_testMethodName"):
        words = words.rsplit(".test_", 1)[-1].replace("_", " ")
        return f"{module}: {words}"
    return words


def cases(suite):
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from cases(entry)
        else:
            yield entry


def main():
    folder, words = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    if "SACCADE" in os.environ:
        os.environ["SACCADE"] = str(pathlib.Path(os.environ["SACCADE"]).resolve())
    sys.dont_write_bytecode = True
    # What programs under test remember goes here, not to the user's own cache.
    cache = tempfile.TemporaryDirectory()
    os.environ["XDG_CACHE_HOME"] = cache.name

    suite = unittest.defaultTestLoader.discover(str(folder), pattern="test_*.py", top_level_dir=str(folder))
    if words:
        suite = unittest.TestSuite(case for case in cases(suite) if any(word in case.id() for word in words))
    n_cases = suite.countTestCases()
    if n_cases == 0:
        print(f"Bail out! no case in {folder}")
        return 1

    result = TapResult()
    suite.run(result)
    n_reported = result.n_passed + result.n_failed + result.n_skipped
    print(f"1..{n_reported}")
    print(
        f"# {result.n_passed} passed, {result.n_failed} failed"
        + (f", {result.n_skipped} skipped" if result.n_skipped else "")
    )
    return 1 if result.n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
