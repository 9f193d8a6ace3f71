#!/usr/bin/env python3
"""The table of docs/faults.md with what a run of scripts/test said: faults.py FOLDER-OF-LOGS.

A row held if all its checks did; the time is the longest of those that waited for all to be well again.
"""

import collections
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
good, bad, took = (collections.defaultdict(list) for _ in range(3))
suites, passed = set(), set()
for log in pathlib.Path(sys.argv[1]).glob("*.log"):
    text = log.read_text(errors="replace")
    if log.stem.startswith("test_"):
        suites.add(log.stem[5:])
        passed |= {log.stem[5:]} if re.search("^All tests passed", text, re.M) else set()
    for said, rows in re.findall(r"^(ok|not ok) row ([0-9, ]+):", text, re.M):
        for row in rows.split(", "):
            (good if said == "ok" else bad)[row].append(log.stem)
    for rows, ms in re.findall(r"^# row ([0-9, ]+): ([0-9]+) ms", text, re.M):
        for row in rows.split(", "):
            took[row].append(int(ms))

for line in (root / "docs/faults.md").read_text().splitlines():
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if not line.startswith("|") or not cells[0].isdigit():
        continue
    row, fault, _, tests = cells
    tests = [test.strip() for test in tests.split(",")]
    pure = [test for test in tests if not test.endswith(".sh") and test != "open"]
    of = {test.split("/")[0] if "/" in test else "ike" for test in pure}
    if tests == ["open"]:
        result = "open"
    elif bad[row] or of & suites - passed:
        result = "FAILED"
    elif good[row] or of & passed:
        result = "holds"
    else:
        result = "did not run"
    seconds = f"{max(took[row]) / 1000:8.2f} s" if took[row] else " " * 10
    print(f"{row:>4}  {result:<12}{seconds}  {fault}")
