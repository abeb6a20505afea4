"""What people and programs get of an evaluation: a page and a JSON file in a folder, and a table in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path
from facegraft.evaluate.comparison import compare_methods
from facegraft.evaluate.plots import digits_of, shown_name, written
from facegraft.evaluate.protocol import CLIP_PROTOCOL, Metric
from facegraft.evaluate.results import Report, Result, save
from facegraft.evaluate.stats import Comparison

PAGE, RESULTS = "report.html", "results.json"
MOST_STRIPS = 24
"""Cases that the page shows."""
PER_METRIC = ("worst", "median", "best")


@dataclass(frozen=True)
class Against:
    """One method of this report or another, and what others are compared with it.

    Attributes:
        name: Of the method that all are compared with.
        tests: Method -> primary metric -> that method minus this one.
    """

    name: str
    tests: dict[str, dict[str, Comparison]]


@dataclass(frozen=True)
class Shown:
    """A case to look at: "worst" by a metric, and the value."""

    key: str
    place: str
    metric: Metric
    value: float


def write_report(report: Report, folder: Path, against: Against | None = None) -> None:
    """Writes report.html and results.json, each whole or not at all; the numbers come last.

    Args:
        report: Of `evaluate`.
        folder: Is made where it is missing.
        against: Paired tests; None = against the first method that is no floor, or else the first.

    Raises:
        OutputError: A file cannot be written.
    """
    from facegraft.evaluate.report_page import page

    folder.mkdir(parents=True, exist_ok=True)
    text = page(report, compare_with(report) if against is None else against)
    with atomic_path(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    save(report, folder / RESULTS)


def compare_with(report: Report, base: str | None = None, other: Report | None = None, *, seed: int = 0) -> Against:
    """All methods of a report against one of it, or of another report.

    Args:
        report: Whose methods are compared.
        base: The method to compare with; None = `first_of` the report that has it.
        other: The report that has it; None = the same.
        seed: Of the tests.

    Raises:
        BadInputError: No such method, or the reports do not compare.
    """
    holder = report if other is None else other
    name = first_of(holder) if base is None else base
    if name not in holder.methods:
        raise BadInputError(f"expected a method of {', '.join(holder.methods)}; found {name!r}")
    tests = {
        method: compare_methods(report, method, holder, name, seed=seed)
        for method in report.methods
        if other is not None or method != name
    }
    return Against(name, tests)


def first_of(report: Report) -> str:
    """The first method that is neither floor nor ceiling; without one, the first floor, or just the first."""
    kinds: tuple[set[str], ...] = ({"method", "folder"}, {"floor"}, {"ceiling"})
    return next(name for wanted in kinds for name, one in report.methods.items() if one.kind in wanted)


def best_of(report: Report, metric: Metric) -> str | None:
    """Who has the best figure: of the methods that swap where there are two or more, else of all but the ceiling."""
    swapping = [name for name, one in report.methods.items() if one.kind in ("method", "folder")]
    able = swapping if len(swapping) > 1 else [name for name, one in report.methods.items() if one.kind != "ceiling"]
    found = {
        name: report.methods[name].overall[metric.name].value
        for name in able
        if metric.name in report.methods[name].overall
    }
    known = {name: value for name, value in found.items() if math.isfinite(value)}
    if len(known) < 2:
        return None
    return (max if metric.better == "high" else min)(known, key=lambda name: known[name])


def as_table(report: Report) -> str:
    """The primary metrics as text, of clips all: one row each, one column per method; a star marks the best."""
    header = ["", *report.methods]
    lines = [header]
    every = [metric for metric in report.metrics.values() if report.measured(metric.name)]
    for metric in every if report.protocol == CLIP_PROTOCOL else report.primary():
        best = best_of(report, metric)
        arrow = "↑" if metric.better == "high" else "↓"
        unit = f", {metric.unit}" if metric.unit else ""
        digits = digits_of([one.overall[metric.name] for one in report.methods.values() if metric.name in one.overall])
        cells = [f"{_cell(one, metric, digits)}{'*' if name == best else ' '}" for name, one in report.methods.items()]
        lines.append([f"{shown_name(metric)}{unit} {arrow}", *cells])
    lines.append(["failed cases", *(f"{int(one.failed.sum())} " for one in report.methods.values())])
    lines.append(["ms per case", *(f"{_milliseconds(one)} " for one in report.methods.values())])
    return _aligned(lines)


def _cell(result: Result, metric: Metric, digits: int) -> str:
    if metric.name not in result.overall:
        return "-"
    value, interval = written(result.overall[metric.name], digits)
    return f"{value} [{interval.replace(' … ', ', ')}]" if interval else value


def _milliseconds(result: Result) -> str:
    return f"{float(np.median(result.milliseconds)):.0f}" if len(result.milliseconds) else "-"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = []
    for first, *rest in lines:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        rows.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(rows)


def summary(report: Report, against: Against | None = None) -> dict[str, object]:
    """What a program wants to know: primary figures per method, failures, tests."""
    names = [metric.name for metric in report.primary()]
    found: dict[str, object] = {
        "protocol": report.protocol,
        "set": report.name,
        "cases": report.of,
        "methods": {
            name: {
                **{metric: _plain(result.overall[metric].value) for metric in names if metric in result.overall},
                "failed": int(result.failed.sum()),
            }
            for name, result in report.methods.items()
        },
        "left_out": list(report.left_out),
    }
    if report.clips is not None:
        found["clips"] = summary(report.clips)
    if against is not None and against.tests:
        found["against"] = {"name": against.name, "tests": _plain_tests(against.tests)}
    return found


def _plain_tests(tests: Mapping[str, Mapping[str, Comparison]]) -> dict[str, dict[str, list[float | None]]]:
    """Method -> metric -> [difference, p]."""
    return {
        method: {name: [_plain(one.difference.value), _plain(one.p)] for name, one in found.items()}
        for method, found in tests.items()
    }


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def cases_to_show(report: Report, method: str) -> list[Shown]:
    """Worst, median and best of a method by primary metrics; suites take turns; no case twice."""
    values = report.methods[method].values
    found: list[Shown] = []
    used: set[str] = set()
    for metric in turns(report):
        if metric.name not in values or len(found) + len(PER_METRIC) > MOST_STRIPS:
            continue
        column = values[metric.name]
        known = [row for row in np.argsort(column, kind="stable").tolist() if math.isfinite(column[row])]
        ranked = known if metric.better == "high" else known[::-1]  # worst first
        for place, row in three(ranked, report.keys, used):
            used.add(report.keys[row])
            found.append(Shown(report.keys[row], place, metric, float(column[row])))
    return found


def three(ranked: Sequence[int], keys: Sequence[str], used: set[str]) -> list[tuple[str, int]]:
    """The nearest rows to the worst, the middle and the best place whose cases were not shown yet."""
    chosen: list[tuple[str, int]] = []
    taken = set(used)
    for place, wanted in zip(PER_METRIC, (0, len(ranked) // 2, len(ranked) - 1), strict=True):
        by_distance = sorted(range(len(ranked)), key=lambda at: abs(at - wanted))
        free = [at for at in by_distance if keys[ranked[at]] not in taken]
        if free:
            taken.add(keys[ranked[free[0]]])
            chosen.append((place, ranked[free[0]]))
    return chosen


def turns(report: Report) -> list[Metric]:
    """Primary metrics: the first of each suite, then the second of each."""
    primary = {metric.name: metric for metric in report.primary()}
    lists = [[primary[name] for name in names if name in primary] for names in report.suites.values()]
    longest = max((len(one) for one in lists), default=0)
    return [one[turn] for turn in range(longest) for one in lists if turn < len(one)]
