#!/usr/bin/env python3
"""The table of docs/faults.md with what a run of scripts/test said: faults.py FOLDER-OF-LOGS.

A row held if all of its tests ran and did: of a suite each case that has the row's number, of a script that others source each
of those that come by its checks of the row. The time is the longest that one of them measured until all was well again. Exit
status 1 if a row failed, 2 if one did not run.
"""

import collections
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
said = collections.defaultdict(dict)  # by log and row: whether all of its checks held
took = collections.defaultdict(list)
suites = collections.defaultdict(dict)  # by folder and case: whether it held
# Those that others source, and those that are scenarios.
shared = {path.name: path.read_text() for path in root.glob("tests/*.sh")}
scenarios = {f"{path.parent.name}-{path.stem}": path.read_text() for path in root.glob("tests/*/*.sh")}


def learn_suite(folder, text):
    """Each case says its name behind how long it took; one that failed has said it before, in lines of 80 columns; one that was
    left out ran as if it had not."""
    before = ""
    for line in text.splitlines():
        if ended := re.match(r" *[0-9.]+ s: (.+)", line):
            name = ended[1].strip()
            if not before.startswith("left out: "):
                failed = re.search(f"^-{{79}}\n{re.escape(name[:60])}", text, re.M)
                suites[folder][name] = suites[folder].get(name, True) and not failed
        before = line


for log in pathlib.Path(sys.argv[1]).glob("*.log"):
    if log.stem.endswith("-in-company"):
        continue  # ran once more
    text = log.read_text(errors="replace")
    if log.stem.startswith("test_"):
        learn_suite(log.stem.removeprefix("test_").partition("-")[0], text)
    for result, rows in re.findall(r"^(ok|not ok) row ([0-9, ]+):", text, re.M):
        for row in rows.split(", "):
            said[log.stem][row] = said[log.stem].get(row, True) and result == "ok"
    for rows, ms in re.findall(r"^# row ([0-9, ]+): ([0-9]+) ms", text, re.M):
        for row in rows.split(", "):
            took[row].append(int(ms))


def functions(text):
    long = re.findall(r"^(\w+)\(\) \{(?:  #[^\n]*)?\n(.*?)^\}$", text, re.M | re.S)
    return dict(long + re.findall(r"^(\w+)\(\) \{ (.*) \}$", text, re.M))


def speak_of(row, script):
    """The functions in which a shared script checks a row, and all that call them."""
    bodies = {name: body for text in shared.values() for name, body in functions(text).items()}
    found = {name for name, body in functions(shared[script]).items() if re.search(rf"row [0-9, ]*\b{row}\b[0-9, ]*: ", body)}
    while more := {name for name in bodies if name not in found and calls(bodies[name], found)}:
        found |= more
    return found


def calls(text, names):
    return any(re.search(rf"\b{name}\b", re.sub("^ *#.*", "", text, flags=re.M)) for name in names)


def of_scenario(row, test):
    names = [test.removesuffix(".sh").replace("/", "-")]
    if "/" not in test:
        speakers = speak_of(row, test)
        names = [name for name, text in scenarios.items() if f"/{test}\"" in text and (not speakers or calls(text, speakers))]
    results = [said[name].get(row) for name in names]
    return None if None in results or not results else all(results)


def of_suite(row, test):
    """Of the cases in this very file: another of the suite may have the row as well."""
    text = root.joinpath("tests", test + ".cpp").read_text()
    names = ["".join(re.findall(r'"([^"]*)"', name)) for name in re.findall(r'TEST_CASE\(((?:\s*"[^"]*")+)', text)]
    cases = [name for name in names if re.match(rf"([A-C][0-9]+, )*row [0-9, ]*\b{row}\b[0-9, ]*: ", name)]
    results = [suites[test.partition("/")[0]].get(case) for case in cases]
    return False if False in results else None if None in results or not results else True


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
