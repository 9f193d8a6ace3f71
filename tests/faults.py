#!/usr/bin/env python3
"""The table of docs/faults.md with what a run of scripts/test said: faults.py FOLDER-OF-LOGS.

A row held if all of its tests ran and did; the time is the longest that one of them measured until all was well again. Exit
status 1 if a row failed, 2 if one did not run.
"""

import collections
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
said = collections.defaultdict(dict)  # by log and row: whether all of its checks held
took = collections.defaultdict(list)
suites = {}  # by folder: nothing, or what failed

for log in pathlib.Path(sys.argv[1]).glob("*.log"):
    if log.stem.endswith("-in-company"):
        continue  # ran once more
    text = log.read_text(errors="replace")
    if re.search("^(All tests passed|test cases: )", text, re.M) and log.stem.startswith("test_"):
        suites[log.stem.removeprefix("test_")] = "" if re.search("^All tests passed", text, re.M) else text
    for result, rows in re.findall(r"^(ok|not ok) row ([0-9, ]+):", text, re.M):
        for row in rows.split(", "):
            said[log.stem][row] = said[log.stem].get(row, True) and result == "ok"
    for rows, ms in re.findall(r"^# row ([0-9, ]+): ([0-9]+) ms", text, re.M):
        for row in rows.split(", "):
            took[row].append(int(ms))


def of_scenario(row, test):
    """Of a script that others source what the logs of any of them say, but for scripts that the row names itself."""
    stem = test.removesuffix(".sh").replace("/", "-")
    logs = [stem] if "/" in test else [log for log in said if root.joinpath("tests", log.replace("-", "/", 1) + ".sh").exists()]
    results = [said[log][row] for log in logs if row in said.get(log, {})]
    return all(results) if results else None


def of_suite(row, test):
    """A suite that failed names its cases; those that it does not name held."""
    folder, _, _ = test.rpartition("/")
    text = suites.get(folder or "ike")
    if text is None:
        return None
    name = rf"row [0-9, ]*\b{row}\b[0-9, ]*:" if folder else rf"{test}\b"
    return not re.search("^" + name, text, re.M)


status = 0
for line in (root / "docs/faults.md").read_text().splitlines():
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if not line.startswith("|") or not cells[0].isdigit():
        continue
    row, fault, _, tests = cells
    results = {test: (of_scenario if test.endswith(".sh") else of_suite)(row, test) for test in tests.split(", ")}
    if False in results.values():
        result, status = "FAILED", 1
    elif None in results.values():
        result, status = "did not run", status or 2
    else:
        result = "holds"
    seconds = f"{max(took[row]) / 1000:8.2f} s" if took[row] else " " * 10
    marks = {True: "", False: " FAILED", None: " did not run"}
    print(f"{row:>4}  {result:<12}{seconds}  {fault}: " + ", ".join(test + marks[held] for test, held in results.items()))
sys.exit(status)
