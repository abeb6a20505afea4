"""Leaderboards: the newest results of every method, per cases, protocol and networks. Sorted by identity alone.

One number never says which swap is better: a method that changes nothing has the best attributes, a pasted photo the
best identity. So the tables are sorted by the identity gap, and everything stands beside it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from facegraft.evaluate.comparison import SAME_SET
from facegraft.evaluate.identity import JUDGES, spearman
from facegraft.evaluate.page_style import STYLE
from facegraft.evaluate.plots import digits_of, shown_name, written
from facegraft.evaluate.protocol import CLIP_PROTOCOL, PROTOCOL, Metric
from facegraft.evaluate.report_cost import markdown, section
from facegraft.evaluate.report_page import NOWHERE, group_plots, headline, legend, planes
from facegraft.evaluate.results import CASES, Network, Report, Result, compact, load
from facegraft.evaluate.run import SUITES, all_of, load_suites
from facegraft.evaluate.temporal import ALL_METRICS

SORTED_BY = ("identity_gap_dlib", "identity_gap_second")
"""The first of these that any method of a board has."""
FRONT = "eval--"
"""Of the names of files in a history."""
ABOUT = (
    "Every number is a mean over the cases in whose attribute picture a face is found, with its 95 % interval over "
    "people; a face that is not found in an answer costs the worst value. Sorted by the identity gap, ranked by "
    "nothing: read no column without the identity beside it. Floors and the right answer are there to compare with. "
    "Numbers compare within one board alone: another board of the same set has other cases, rules or networks."
)
JUDGES_ABOUT = (
    "Nothing here is trained with dlib, nor with second where it is the network of VGGFace2 that is fetched. On boards "
    "where second and the face feature are one file, second is our own recogniser: methods learned with it until "
    "2026-11-29, and its answers taught what the losses of later ones look through, so there only dlib's word is "
    "independent. The face feature (perceptual inside, frechet face, kid face) is ours on all boards."
)
AGREE_IN = ("identity_cosine", "identity_gap", "top1")
"""Metrics of both judges whose orders of the methods are compared."""
FEWEST_TO_ORDER = 3
PRIMARY = {
    protocol.rpartition("-")[0]: {metric.name: metric.primary for metric in metrics}
    for protocol, metrics in (
        (PROTOCOL, [metric for module in load_suites(SUITES) for metric in all_of(module)]),
        (CLIP_PROTOCOL, ALL_METRICS),
    )
}
"""Protocol without its number -> what is primary today."""


@dataclass(frozen=True, eq=False)
class Board:
    """All methods on one set by one protocol; as one report, and where each of them comes from.

    Attributes:
        report: Methods in the order of the board, without single cases.
        made: Method -> date and commit of its numbers.
        cases: Method -> how many it was asked.
        machines: Method -> where its time was taken.
        within: Over the cases of methods, how alike the judges order cosines, as each report has it (Spearman).
    """

    report: Report
    made: dict[str, str]
    cases: dict[str, int]
    machines: dict[str, str]
    within: tuple[float, ...] = ()


def _set(report: Report) -> tuple[str, ...]:
    """What has to be the same for numbers to compare, but for the judges."""
    return report.name, report.protocol, *(report.set_facts.get(fact, "") for fact in SAME_SET)


def _cases(report: Report) -> str:
    """Which cases of the set: means and galleries of others do not compare."""
    return report.set_facts.get(CASES, "")


def _title(report: Report) -> str:
    pictures = report.set_facts.get("pictures")
    shown = f"{report.name}, {report.of} cases{f', {pictures} pixels' if pictures else ''}"
    return f"{shown}, protocol {report.protocol}"


def history_name(report: Report) -> str:
    """The name of a report's file in a history: its set, its methods that are no floors, and digits of its board.

    So the same methods anew take the place of what they had on the same board alone.
    """
    methods = [name for name, one in report.methods.items() if one.kind in ("method", "folder")] or ["floors"]
    board = hashlib.sha256("|".join(_board_of(report)).encode()).hexdigest()[:6]
    parts = (re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-") for part in (report.name, "+".join(methods), board))
    return f"{FRONT}{'--'.join(parts)}.json"


def read_history(folder: Path) -> list[Report]:
    """All compact results of a history, `*/eval--*.json`.

    Raises:
        BadInputError: One is damaged.
    """
    return [compact(load(path)) for path in sorted(folder.glob(f"*/{FRONT}*.json"))]


def with_clips(report: Report) -> list[Report]:
    """The report and, where clips were judged as well, theirs."""
    if report.clips is None:
        return [report]
    return [dataclasses.replace(report, clips=None), dataclasses.replace(report.clips, made=report.made)]


def boards(reports: Iterable[Report]) -> list[Board]:
    """One board per set, its cases, protocol and judging networks; of each method its newest. Clips are their own sets.

    In the order of the sets' names, and of one name, by whatever protocol, the board with the newest result first.
    """
    groups: dict[tuple[str, ...], list[Report]] = {}
    for report in (part for whole in reports for part in with_clips(whole)):
        groups.setdefault(_board_of(report), []).append(report)
    newest_first = sorted(groups.values(), key=lambda found: max(map(_date, found)), reverse=True)
    return [_board(sorted(found, key=_date)) for found in sorted(newest_first, key=lambda found: found[0].name)]


def current(found: Iterable[Board]) -> list[Board]:
    """Without the boards of which all methods stand on newer boards of the same cases, by other rules or judges.

    Args:
        found: As `boards` gives them.
    """
    told: dict[tuple[str, ...], set[str]] = {}
    kept = []
    for board in found:
        report = board.report
        facts = (report.set_facts.get(fact, "") for fact in SAME_SET)
        newer = told.setdefault((report.name, _cases(report), str(report.of), *facts), set())
        if not report.methods.keys() <= newer:
            kept.append(board)
        newer.update(report.methods)
    return kept


def _board_of(report: Report) -> tuple[str, ...]:
    return (*_set(report), _cases(report), _eyes(report.networks))


def agreement_line(board: Board) -> str:
    """Whether the two judges order the methods of a board alike; "" where fewer than three have both's words."""
    shown, of = [], {}
    for metric in AGREE_IN:
        pairs = {name: _by_both(result, metric) for name, result in board.report.methods.items()}
        known = {name: pair for name, pair in pairs.items() if all(map(math.isfinite, pair))}
        swapping = [pair for name, pair in known.items() if board.report.methods[name].kind in ("method", "folder")]
        if len(known) >= FEWEST_TO_ORDER:
            inner = f" ({_rho(swapping)})" if len(swapping) >= FEWEST_TO_ORDER else ""
            shown.append(f"{metric.replace('_', ' ')} {_rho(list(known.values()))}{inner}")
            of = {"all": len(known), "swapping": len(swapping)}
    if not shown:
        return ""
    few = f" (of the {of['swapping']} that swap)" if of["swapping"] >= FEWEST_TO_ORDER else ""
    inside = f" Over the cases of one method, of the cosine: {_range(board.within)}." if board.within else ""
    return (
        f"Do {' and '.join(JUDGES)} agree? Spearman's rank correlation of the means of {of['all']} methods{few}: "
        f"{', '.join(shown)}.{inside}"
    )


def _by_both(result: Result, metric: str) -> tuple[float, float]:
    first, second = (result.overall.get(f"{metric}_{judge}", NOWHERE).value for judge in JUDGES)
    return first, second


def _rho(pairs: Sequence[tuple[float, float]]) -> str:
    return f"{spearman(*np.array(pairs, np.float64).T):.2f}"


def _range(values: Sequence[float]) -> str:
    low, high = (f"{value:.2f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def as_markdown(found: Sequence[Board], command: str) -> str:
    """The boards as a document.

    Args:
        found: Of `boards`.
        command: What makes the document anew.
    """
    lines = [
        "# Leaderboard",
        "",
        ABOUT,
        "",
        JUDGES_ABOUT,
        "",
        f"Made by `{command}` from `benchmarks/history`; boards whose methods all stand on newer ones are there alone.",
        "",
    ]
    for board in found:
        report = board.report
        lines += [f"## {_title(report)}", "", f"Judged by {_eyes(report.networks)}.", ""]
        agree = agreement_line(board)
        lines += [agree, ""] if agree else []
        lines += _markdown_table(board)
        lines += _cost_table(board)
    return "\n".join(lines).rstrip() + "\n"


def as_page(found: Sequence[Board]) -> str:
    """The boards as one HTML page that needs nothing else.

    Plots are drawn of each set's newest board alone, those by group without floors: the page has a limit.
    """
    sections = []
    drawn: set[str] = set()
    for board in found:
        report = board.report
        title = escape(_title(report))
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{board.cases[name]} cases</td><td>{escape(board.made[name])}</td>"
            f"<td>{escape(board.machines[name])}</td></tr>"
            for name in report.methods
        )
        plots = "" if report.name in drawn else f"{planes(report)}{group_plots(report, floors=False)}"
        drawn.add(report.name)
        sections.append(
            f"<section><h2>{title}</h2>{legend(report)}{headline(report)}{_note(agreement_line(board))}{plots}"
            f"<h3>Cost</h3>{section(report)}"
            f'<h3>Where the numbers come from</h3><div class="scroll"><table class="facts"><tbody>{rows}</tbody>'
            f'</table></div><p class="note">Judged by {escape(_eyes(report.networks))}.</p></section>'
        )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Leaderboard</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f"<h1>Leaderboard</h1><p>{escape(ABOUT)}</p><p>{escape(JUDGES_ABOUT)}</p>{''.join(sections)}</body></html>\n"
    )


def _note(line: str) -> str:
    return f'<p class="note">{escape(line)}</p>' if line else ""


def _board(reports: Sequence[Report]) -> Board:
    """Reports from the oldest to the newest; a later one replaces a method's earlier numbers."""
    holders = {name: report for report in reports for name in report.methods}
    metrics = {
        name: _as_shown(metric, report.protocol) for report in reports for name, metric in report.metrics.items()
    }
    suites: dict[str, tuple[str, ...]] = {}
    for report in reports:
        for suite, names in report.suites.items():
            suites[suite] = tuple(dict.fromkeys((*suites.get(suite, ()), *names)))
    merged = dataclasses.replace(
        reports[-1],
        metrics=metrics,
        suites=suites,
        methods={name: holder.methods[name] for name, holder in holders.items()},
        left_out=(),
        thresholds={},
        agreement=None,
    )
    by = next((name for name in SORTED_BY if merged.measured(name)), "")
    order = sorted(merged.methods, key=lambda name: -_value(merged, name, by))
    return Board(
        report=dataclasses.replace(merged, methods={name: merged.methods[name] for name in order}),
        made={name: _made(holders[name]) for name in order},
        cases={name: holders[name].of for name in order},
        machines={name: holders[name].made.get("machine", "") for name in order},
        within=_within(holders.values()),
    )


def _as_shown(metric: Metric, protocol: str) -> Metric:
    """What is primary now is so in old results too."""
    family = protocol.rpartition("-")[0]
    return dataclasses.replace(metric, primary=PRIMARY.get(family, {}).get(metric.name, metric.primary))


def _within(holders: Iterable[Report]) -> tuple[float, ...]:
    told = {id(one): one.agreement.cases for one in holders if one.agreement is not None}
    return tuple(value for value in told.values() if math.isfinite(value))


def _value(report: Report, method: str, metric: str) -> float:
    """For sorting; what was not measured comes last."""
    value = report.methods[method].overall.get(metric, NOWHERE).value
    return value if math.isfinite(value) else -math.inf


def _markdown_table(board: Board) -> list[str]:
    report = board.report
    by = [report.metrics[name] for name in SORTED_BY if name in report.metrics and report.measured(name)][:1]
    metrics = list(dict.fromkeys([*by, *report.primary()]))
    names = ["method", "cases", *(_column(metric) for metric in metrics), "failed", "made"]
    lines = [_line(names), _line(["---"] * len(names))]
    digits = {
        metric.name: digits_of([one.overall.get(metric.name, NOWHERE) for one in report.methods.values()])
        for metric in metrics
    }
    for name, result in report.methods.items():
        kind = "" if result.kind in ("method", "folder") else f" ({result.kind})"
        cells = [written(result.overall.get(metric.name, NOWHERE), digits[metric.name]) for metric in metrics]
        shown = [f"{value} [{interval.replace(' … ', ', ')}]" if interval else value for value, interval in cells]
        failed = str(int(result.failed.sum()))
        lines.append(_line([f"{name}{kind}", str(board.cases[name]), *shown, failed, board.made[name]]))
    return [*lines, ""]


def _cost_table(board: Board) -> list[str]:
    table = markdown(board.report)
    machines = sorted({board.machines[name] for name, one in board.report.methods.items() if one.cost is not None})
    return [*table, "", f"Timed on {'; '.join(machines)}.", ""] if table else []


def _column(metric: Metric) -> str:
    unit = f", {metric.unit}" if metric.unit else ""
    return f"{shown_name(metric)}{unit} {'↑' if metric.better == 'high' else '↓'}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _eyes(networks: Sequence[Network]) -> str:
    """Names and short hashes of the networks that are files."""
    known = sorted(f"{one.name} {one.sha256[:8]}" for one in networks if one.sha256)
    return ", ".join(known) or "networks that are not known"


def _date(report: Report) -> str:
    return report.made.get("date", "")


def _made(report: Report) -> str:
    return " ".join(part for part in (_date(report)[:10], report.made.get("commit", "")) if part)
