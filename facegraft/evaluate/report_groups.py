"""Pictures of a report by stratum and by group: the worst, median and best answer of each, for a metric."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from facegraft.evaluate.plots import shown_name, written
from facegraft.evaluate.protocol import Metric
from facegraft.evaluate.report import three, turns
from facegraft.evaluate.results import STRATUM, Report
from facegraft.evaluate.stats import Figure

MOST_BYTES = 800_000
"""Of JPEG: about one metric of each suite, for all groups of exact-1k."""


@dataclass(frozen=True)
class _Look:
    place: str
    value: float
    key: str
    jpeg: bytes


def looks_by_group(report: Report, method: str, most_bytes: int) -> str:
    """A folded part per grouping: of each group the worst, median and best answer, identity and attribute beside it.

    Args:
        report: With pictures.
        method: Whose answers are shown.
        most_bytes: Of JPEG, and never more than `MOST_BYTES`; as many primary metrics are shown as fit, suites take
            turns.
    """
    shown: list[tuple[Metric, dict[str, dict[str, list[_Look]]]]] = []
    left, without = min(most_bytes, MOST_BYTES), []
    for metric in turns(report):
        found = {grouping: _looks(report, method, metric, grouping) for grouping in report.groups}
        size = sum(len(one.jpeg) for groups in found.values() for looks in groups.values() for one in looks)
        if not size:
            continue
        if size > left:
            without.append(shown_name(metric))
            continue
        left -= size
        shown.append((metric, found))
    parts = [
        _part(grouping, method, [(metric, found[grouping]) for metric, found in shown]) for grouping in report.groups
    ]
    if without and shown:
        parts.append(f'<p class="note">By group, no room for pictures of: {escape(", ".join(without))}.</p>')
    return "".join(parts)


def _looks(report: Report, method: str, metric: Metric, grouping: str) -> dict[str, list[_Look]]:
    """Group -> worst, median and best."""
    column = report.methods[method].values.get(metric.name)
    labels = np.asarray(report.groups[grouping])
    groups = sorted(set(labels.tolist()) - {""})
    if column is None or len(groups) < 2:
        return {}
    return {group: _three_of(report, method, metric, column, np.flatnonzero(labels == group)) for group in groups}


def _three_of(report: Report, method: str, metric: Metric, column: np.ndarray, rows: np.ndarray) -> list[_Look]:
    known = [
        row
        for row in rows[np.argsort(column[rows], kind="stable")].tolist()
        if math.isfinite(column[row]) and method in report.strips[report.keys[row]].row
    ]
    ranked = known if metric.better == "high" else known[::-1]  # worst first
    chosen = (
        three(ranked, report.keys, set()) if len(ranked) > 2 else list(zip(("worst", "best"), ranked, strict=False))
    )
    return [
        _Look(place, float(column[row]), report.keys[row], report.strips[report.keys[row]].row[method])
        for place, row in chosen
    ]


def _part(grouping: str, method: str, found: Sequence[tuple[Metric, dict[str, list[_Look]]]]) -> str:
    body = "".join(_metric(metric, groups) for metric, groups in found if groups)
    if not body:
        return ""
    title = "stratum" if grouping == STRATUM else f"{grouping} of the identity"
    note = f"Identity, attribute picture, and the answer of {method}."
    return (
        f"<details><summary>Worst, median, best by {escape(title)}</summary>"
        f'<p class="note">{escape(note)}</p>{body}</details>'
    )


def _metric(metric: Metric, groups: dict[str, list[_Look]]) -> str:
    lines = "".join(
        f'<p>{escape(group)}</p><div class="strip">{"".join(_figure(one, metric) for one in looks)}</div>'
        for group, looks in groups.items()
        if looks
    )
    return f'<h3>{escape(shown_name(metric))}</h3><div class="case">{lines}</div>'


def _figure(look: _Look, metric: Metric) -> str:
    value = written(Figure(look.value, math.nan, math.nan, 1, 1))[0]
    image = f'<img alt="{escape(look.key)}" src="data:image/jpeg;base64,{base64.b64encode(look.jpeg).decode()}">'
    unit = f" {escape(metric.unit)}" if metric.unit else ""
    return f'<figure class="row">{image}<figcaption>{look.place}: {value}{unit}</figcaption></figure>'
