#!/usr/bin/env python3
"""Builds and runs the tests of a meson build directory and closes with 'N passed, N failed[, N skipped]'.

    run_meson.py BUILD [ARGUMENT of meson test]...

Counts cases, not programs: each TAP line of a program that speaks TAP, one for any other. A program that crashes,
times out or fails outside its cases counts as one more failure. Exit status 0 needs a case that passed and none
that failed.
"""
import json
import pathlib
import re
import subprocess
import sys

TAP_CASE = re.compile(r"^(not )?ok\b[^#\n]*(#\s*SKIP\b.*)?", re.IGNORECASE | re.MULTILINE)
GOOD = {"OK", "SKIP", "EXPECTEDFAIL"}


def count(record):
    """(passed, failed, skipped) of one line of meson's testlog.json."""
    passed = failed = skipped = 0
    for case in TAP_CASE.finditer(record.get("stdout") or ""):
        if case.group(1):
            failed += 1
        elif case.group(2):
            skipped += 1
        else:
            passed += 1
    if passed + failed + skipped == 0 and record["result"] in GOOD:
        return (0, 0, 1) if record["result"] == "SKIP" else (1, 0, 0)
    if record["result"] not in GOOD and failed == 0:
        failed = 1
    return passed, failed, skipped


def failures(record):
    """What a program that failed said of its cases: those that failed, and the comments that follow them."""
    lines, shown = [], False
    for line in (record.get("stdout") or "").splitlines():
        shown = line.startswith("not ok") or (shown and line.startswith("#"))
        if shown:
            lines.append(line)
    return lines


def meson(build, command, *arguments):
    return subprocess.run(["meson", command, "-C", str(build), *arguments], stdin=subprocess.DEVNULL).returncode


def main():
    build, arguments = pathlib.Path(sys.argv[1]), sys.argv[2:]
    log = build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    # meson test alone would build what the tests need, and leave out the rest.
    status = meson(build, "compile") or meson(build, "test", "--no-rebuild", "--print-errorlogs", *arguments)

    total = [0, 0, 0]
    if log.exists():
        with log.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                total = [a + b for a, b in zip(total, count(record))]
                for failure in failures(record):
                    print(failure)
    passed, failed, skipped = total
    if status != 0 and failed == 0:
        failed = 1  # the build, or meson itself
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
