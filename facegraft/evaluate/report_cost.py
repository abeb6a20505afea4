"""What a report says of costs and of its judges of identity: a section of the page, and lines of text."""

from __future__ import annotations

from html import escape

import numpy as np

from facegraft.evaluate.method_cost import THREADS, Cost
from facegraft.evaluate.results import Report, Result

OF_NETWORKS = ("parameters", "MACs", "bytes")
ASKED_FOR = (*(f"ms with {count} thread{'' if count == 1 else 's'}" for count in THREADS), "MB of memory at most")
TITLES = (*OF_NETWORKS, "ms, median", "ms, 90th percentile", "ms, slowest", *ASKED_FOR)
FEWEST_PAIRS = 1000
"""Of strangers; with fewer the threshold is the highest of their cosines."""
WITHOUT = {"folder": "pictures made elsewhere", "floor": "a floor", "ceiling": "the right answer"}
"""Kinds of methods that have no cost, in words."""


def section(report: Report) -> str:
    """Costs as HTML: a table of the methods that were called here, and what is to be known of it."""
    notes = "".join(f'<p class="note">{escape(line)}</p>' for line in _notes(report))
    head, *rows = _table(report)
    if not rows:
        return notes
    heads = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("", *head[1:]))
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, *cells in rows
    )
    table = f'<table class="figures"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>{notes}'


def markdown(report: Report) -> list[str]:
    """The table's lines; none where no cost is known."""
    if all(one.cost is None for one in report.methods.values()):
        return []
    head, *rows = _table(report)
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in (head, ["---"] * len(head), *rows)]


def cost_lines(report: Report) -> list[str]:
    """For the terminal, one line per method whose cost is known."""
    lines = []
    for name, one in report.methods.items():
        if one.cost is not None:
            cells = _cells(one)
            said = [f"{cells[title]} {title}" for title in (*OF_NETWORKS, *ASKED_FOR) if title in cells]
            lines.append(f"cost of {name}: {', '.join(said)} ({_networks(one.cost)})")
            lines += [f"cost of {name} lacks {lack}" for lack in one.cost.lacks]
    return lines


def judge_lines(report: Report) -> list[str]:
    """What is to be known of the judges of identity."""
    lines = []
    for judge, one in report.thresholds.items():
        stands = "exceeded by 0.1 %" if one.pairs >= FEWEST_PAIRS else "the highest"
        known = f"verified above a cosine of {one.cosine:.3f}, {stands} of {one.pairs:,} pairs of strangers"
        lines.append(f"{judge}: {known if one.pairs else 'no threshold, since the set has no strangers'}")
    if report.agreement is not None:
        methods, cases = (f"{rho:.2f}" for rho in (report.agreement.methods, report.agreement.cases))
        over = "fewer than three methods" if methods == "nan" else f"{methods} over methods"
        within = "too few cases" if cases == "nan" else f"{cases} over the cases of a method"
        lines.append(f"agreement of the judges: {over}, {within} (Spearman; 1 = they order alike, 0 = no relation)")
    return lines


def time_line(report: Report) -> str:
    """Where and how long."""
    seconds = "; ".join(f"{name} {value:.1f} s" for name, value in report.seconds.items())
    machine = report.made.get("machine", "a machine that is not known")
    return f"Times are of one picture after another, identity included, on {machine}. This evaluation took: {seconds}."


def _table(report: Report) -> list[list[str]]:
    """Head and rows; only columns that some method has a number in."""
    rows = {name: _cells(one) for name, one in report.methods.items() if one.kind == "method"}
    titles = [title for title in TITLES if any(title in cells for cells in rows.values())]
    body = [[name, *(cells.get(title, "-") for title in titles)] for name, cells in rows.items() if cells]
    return [["cost", *titles], *body]


def _cells(one: Result) -> dict[str, str]:
    """Title -> what is known."""
    found: dict[str, str] = {}
    if one.cost is not None:
        graphs = one.cost.graphs
        numbers = zip(OF_NETWORKS, (graphs.parameters, graphs.macs, graphs.bytes), strict=True)
        found |= {title: _short(number) for title, number in numbers if number is not None}
        timed = zip(ASKED_FOR, (one.cost.timings.get(count) for count in THREADS), strict=False)
        found |= {title: f"{timing.median:.0f}" for title, timing in timed if timing is not None}
        found |= {ASKED_FOR[-1]: f"{one.cost.memory.peak:.0f}"} if one.cost.memory is not None else {}
    if len(one.milliseconds):
        times = np.percentile(one.milliseconds, (50, 90, 100))
        found |= {title: f"{value:.0f}" for title, value in zip(TITLES[3:6], times, strict=True)}
    return found


def _short(number: int) -> str:
    """Three digits: "4.44 M"."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            value = number / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {letter}"
    return str(number)


def _networks(cost: Cost) -> str:
    return f"{', '.join(cost.networks)}; each once" if cost.networks else "no networks"


def _notes(report: Report) -> list[str]:
    lines = []
    for name, one in report.methods.items():
        if one.kind not in WITHOUT and one.cost is not None:
            lines.append(f"{name} runs {_networks(one.cost)}, for a frame of one face.")
            lines += [f"{name} lacks {lack}." for lack in one.cost.lacks]
    unknown = [name for name, one in report.methods.items() if one.kind not in WITHOUT and one.cost is None]
    lines += [f"Networks not known, so only the time: {', '.join(unknown)}."] if unknown else []
    none = [f"{name} ({WITHOUT[one.kind]})" for name, one in report.methods.items() if one.kind in WITHOUT]
    return [*lines, f"No cost: {', '.join(none)}."] if none else lines
