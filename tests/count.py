#!/usr/bin/env python3
"""Prints "PASSED FAILED" for a meson test log: the cases of every test that counts them, else one a test.

Skipped tests count as neither.
"""
import json
import re
import sys

COUNTED = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)


def cases(test):
    """(passed, failed) of one test."""
    if test["result"] == "SKIP":
        return 0, 0
    is_ok = test["result"] in ("OK", "EXPECTEDFAIL")
    counted = COUNTED.findall(test.get("stdout", ""))
    if not counted:
        return (1, 0) if is_ok else (0, 1)
    passed, failed = map(int, counted[-1])
    if not is_ok and failed == 0:  # died after, or in spite of, its own count
        failed = 1
    return passed, failed


def main():
    with open(sys.argv[1], encoding="utf-8") as log:
        results = [cases(json.loads(line)) for line in log if line.strip()]
    print(sum(r[0] for r in results), sum(r[1] for r in results))


if __name__ == "__main__":
    main()
