#!/usr/bin/env python3
"""Prints "PASSED FAILED SKIPPED" for a meson test log: the cases of every test that counts them, else one a test."""
import json
import re
import sys

COUNTED = re.compile(r"^(?:(\d+) skipped\n)?(\d+) passed, (\d+) failed$", re.MULTILINE)


def cases(test):
    """(passed, failed, skipped) of one test."""
    is_ok = test["result"] in ("OK", "EXPECTEDFAIL", "SKIP")
    counted = COUNTED.findall(test.get("stdout", ""))
    if not counted and test["result"] == "SKIP":
        return 0, 0, 1
    if not counted:
        return (1, 0, 0) if is_ok else (0, 1, 0)
    skipped, passed, failed = (int(number or 0) for number in counted[-1])
    if not is_ok and failed == 0:  # died after, or in spite of, its own count
        failed = 1
    return passed, failed, skipped


def main():
    with open(sys.argv[1], encoding="utf-8") as log:
        results = [cases(json.loads(line)) for line in log if line.strip()]
    print(*(sum(result[at] for result in results) for at in range(3)))


if __name__ == "__main__":
    main()
