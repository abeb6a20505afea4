"""Lines of figures, as Markdown for people and as JSON for the history."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eye_networks.measures import Figure
from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path

OURS = "ours"


@dataclass(frozen=True)
class Line:
    """One measure on one group of pictures.

    Attributes:
        network: Which is measured.
        measure: What, with its unit.
        group: Of the pictures.
        figures: Who -> figure; `OURS` first where there is one.
        aim: What the issue asks for; lines that have one make the first table.
    """

    network: str
    measure: str
    group: str
    figures: dict[str, Figure]
    aim: str = ""


@dataclass(frozen=True)
class Result:
    """What was measured of one network, and what could not be, in words."""

    lines: list[Line] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def time_lines(network: str, what: str, timed: tuple[dict[str, Figure], dict[str, Figure]], aim: str) -> list[Line]:
    """What `alternating` measured; the aim is on the processor's time. None of nothing."""
    spent, passed = timed
    measure = f"ms of {what}, 1 thread"
    lines = [Line(network, measure, "of the processor", spent, aim), Line(network, measure, "of the clock", passed)]
    return lines if spent else []


def cell(figure: Figure | None) -> str:
    """`5.44 [5.12, 5.79], found 98.9 %`. A value of no pictures of ours is somebody else's."""
    if figure is None:
        return "not measured"
    if math.isnan(figure.value):
        text = "none"
    else:
        unknown = "too few people" if figure.of else "published"
        ends = unknown if figure.low is None or figure.high is None else _ends(figure.low, figure.high)
        text = f"{number(figure.value)} [{ends}]"
    return text if figure.found is None else f"{text}, found {100 * figure.found[0]:.1f} %"


def number(value: float) -> str:
    """Three digits, and no more than is known of a share near 100."""
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def _ends(low: float, high: float) -> str:
    return f"{number(low)}, {number(high)}"


def summary(lines: Sequence[Line]) -> str:
    """The lines that the issue asks for."""
    rows = ["| network | measure | aim | ours | beside it |", "|---|---|---|---|---|"]
    for line in lines:
        if line.aim:
            others = "; ".join(f"{who} {cell(figure)}" for who, figure in line.figures.items() if who != OURS)
            own = cell(line.figures.get(OURS))
            rows.append(f"| {line.network} | {line.measure}, {line.group} | {line.aim} | {own} | {others or '-'} |")
    return "\n".join(rows)


def details(lines: Sequence[Line]) -> str:
    """Every line, a table per measure."""
    tables: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        tables.setdefault((line.network, line.measure), []).append(line)
    return "\n\n".join(_table(f"{network}: {measure}", some) for (network, measure), some in tables.items())


def _table(title: str, lines: Sequence[Line]) -> str:
    who = list(dict.fromkeys(name for line in lines for name in line.figures))
    rows = [f"### {title}", "", f"| group | n | {' | '.join(who)} |", "|---|---|" + "---|" * len(who)]
    for line in lines:
        count = max((figure.of for figure in line.figures.values()), default=0)
        rows.append(f"| {line.group} | {count} | {' | '.join(cell(line.figures.get(name)) for name in who)} |")
    return "\n".join(rows)


def report(results: Sequence[Result], facts: dict[str, Any]) -> str:
    """The whole page."""
    lines = [line for result in results for line in result.lines]
    said = [("Missing", [one for result in results for one in result.missing])]
    said += [("How it was measured", [one for result in results for one in result.notes])]
    head = ", ".join(f"{name} {value}" for name, value in facts.items() if isinstance(value, str | int))
    parts = ["# Our own eyes", f"Brackets: 95 % intervals. {head}", summary(lines)]
    for title, words in said:
        listed = "\n".join(f"- {one}" for one in dict.fromkeys(words)) or "- nothing"
        parts.append(f"## {title}\n\n{listed}")
    return "\n\n".join([*parts, "## In detail", details(lines)]) + "\n"


def append_run(path: Path, facts: dict[str, Any], results: Sequence[Result]) -> int:
    """Adds a run to the history; returns how many it holds then.

    Raises:
        BadInputError: The file is something else.
        OutputError: It cannot be written.
    """
    runs = _runs(path) if path.exists() else []
    lines = [line for result in results for line in result.lines]
    missing = list(dict.fromkeys(one for result in results for one in result.missing))
    notes = list(dict.fromkeys(one for result in results for one in result.notes))
    runs.append(facts | {"missing": missing, "notes": notes, "lines": [as_json(line) for line in lines]})
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text('{"runs": [\n' + ",\n".join(_compact(run) for run in runs) + "\n]}\n", encoding="utf-8")
    return len(runs)


def as_json(line: Line) -> dict[str, Any]:
    """A figure is value, low, high, how many, and where faces were looked for the share found, low, high."""
    figures = {
        who: [_plain(v) for v in (figure.value, figure.low, figure.high, figure.of, *(figure.found or ()))]
        for who, figure in line.figures.items()
    }
    named = {"network": line.network, "measure": line.measure, "group": line.group, **figures}
    return named | ({"aim": line.aim} if line.aim else {})


def _plain(value: float | None) -> float | int | None:
    return None if value is None or math.isnan(value) else value


def _runs(path: Path) -> list[dict[str, Any]]:
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
        return [dict(run) for run in runs]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path.name}: expected runs of this benchmark; name another file with --json") from error


def _compact(run: dict[str, Any]) -> str:
    """One line of text per fact and per line of figures: the file stays small and a change of it readable."""
    lines = ",\n  ".join(json.dumps(line, ensure_ascii=False) for line in run["lines"])
    rest = ",\n ".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in run.items() if k != "lines")
    return f'{{{rest},\n "lines": [\n  {lines}\n ]}}'
