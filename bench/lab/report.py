"""The table: every contender's median, then ours by the better one of the others."""

import statistics

RATE = "1/s"  # figures whose names end so are better when larger


def since(moment, started):
    return None if moment is None else moment - started


def worst(values):
    return None if None in values else max(values)


def median(values, lost):
    """A figure that never came is worse than any."""
    return statistics.median_low(sorted(lost if v is None else v for v in values))


def shown(value, lost):
    return "never" if value == lost else f"{value:.4g}"


def report(case, results):
    print(f"\n{case}: median of {len(next(iter(results.values())))}")
    names = list(results)
    print(f"  {'':34}" + "".join(f"{name:>12}" for name in names) + f"{'ratio':>10}")
    for figure in next(iter(results.values()))[0]:
        rate = figure.endswith(RATE)
        lost = 0 if rate else float("inf")
        medians = {name: median([run[figure] for run in results[name]], lost) for name in names}
        others = [m for name, m in medians.items() if name != "aronet"]
        ratio = ""
        if "aronet" in medians and others:
            best = max(others) if rate else min(others)
            ratio = f"{medians['aronet'] / best:.2f}" if 0 < best < float("inf") else "-"
        print(f"  {figure:34}" + "".join(f"{shown(medians[n], lost):>12}" for n in names) + f"{ratio:>10}", flush=True)


def run_cases(cases, contenders, runs):
    """cases: functions by name; contenders by name; they take turns."""
    for name, case in cases.items():
        results = {contender: [] for contender in contenders}
        for _ in range(runs):
            for contender, kind in contenders.items():
                results[contender].append(case(kind))
        report(name, results)
