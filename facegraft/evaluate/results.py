"""A finished evaluation: figures with intervals, every case's numbers, what they were made with. JSON in and out."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path, read_bytes, shown
from facegraft.evaluate.identity import Agreement, Threshold
from facegraft.evaluate.method_cost import Cost, as_plain, from_plain
from facegraft.evaluate.protocol import Metric, Scores
from facegraft.evaluate.stats import Figure, mean

VERSION = 1
"""Of the file's layout."""
STRATUM = "stratum"
"""The grouping that every set has."""
CASES = "cases (SHA-256)"
"""Of a set's facts: which cases, in order."""
QUANTILES = 11
"""Of times, that a compact report keeps."""
Kind = Literal["method", "folder", "floor", "ceiling"]
Figures = dict[str, Figure]
"""Metric -> figure."""


@dataclass(frozen=True)
class Network:
    """A network that looked.

    Attributes:
        name: What it is called in metrics: "dlib", "landmarks".
        role: What it is for.
        file: Its file's name; "" = handed in by a program, not known.
        sha256: Of the file.
    """

    name: str
    role: str
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Result:
    """What one method got.

    Attributes:
        kind: "method": it was called here; "folder": its answers were made elsewhere; "floor" and "ceiling" as in
            floors.py.
        about: One line; "" = nothing to say.
        overall: Metric -> figure.
        by: Grouping -> group -> metric -> figure. The grouping "stratum" is always there.
        values: Metric -> one number per case, in the order of `Report.keys`; empty in a compact report.
        failed: 1 per case without a face or answer, else 0; in a compact report their number alone.
        milliseconds: Of each call, or their quantiles in a compact report; empty where nothing was called here.
        cost: Of its networks; None = not known, or no method that was called here.
    """

    kind: Kind
    about: str
    overall: Figures
    by: dict[str, dict[str, Figures]]
    values: dict[str, np.ndarray]
    failed: np.ndarray
    milliseconds: np.ndarray
    cost: Cost | None = None


@dataclass(frozen=True, eq=False)
class Strip:
    """The pictures of one case as small JPEGs; `swapped` by method, without those that gave no answer.

    `row` has identity, attribute and answer side by side, smaller still.
    """

    identity: bytes
    attribute: bytes
    truth: bytes | None
    swapped: dict[str, bytes] = field(default_factory=dict)
    row: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Report:
    """An evaluation of methods on one set.

    Attributes:
        protocol: Numbers of two reports are compared only where this is the same.
        name: Of the set.
        set_facts: What its card says: digests, command, seed.
        made: When, with what, on which machine.
        networks: What looked.
        suites: Suite -> names of its metrics, in order.
        metrics: Name -> metric.
        of: How many cases there were.
        keys: Of the cases; empty in a compact report, as `people` and `groups`.
        people: Who was replaced, one per case.
        groups: Grouping -> one group per case; "stratum" among them.
        methods: Name -> result.
        seconds: Where time went.
        left_out: What was not measured, and why; one line each.
        clips: The same of clips, where clips were judged.
        thresholds: Judge of identity -> above which cosine two pictures show one person to it.
        agreement: Of the judges of identity; None = there are not two.
        strips: Key -> pictures; not saved with the numbers.
    """

    protocol: str
    name: str
    set_facts: dict[str, str]
    made: dict[str, str]
    networks: tuple[Network, ...]
    suites: dict[str, tuple[str, ...]]
    metrics: dict[str, Metric]
    of: int
    keys: tuple[str, ...]
    people: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]
    methods: dict[str, Result]
    seconds: dict[str, float]
    left_out: tuple[str, ...] = ()
    clips: Report | None = None
    thresholds: dict[str, Threshold] = field(default_factory=dict)
    agreement: Agreement | None = None
    strips: Mapping[str, Strip] = field(default_factory=dict)

    def primary(self) -> list[Metric]:
        """What is shown first: primary metrics that any method has a figure of."""
        return [metric for metric in self.metrics.values() if metric.primary and self.measured(metric.name)]

    def measured(self, metric: str) -> bool:
        """Whether any method has a figure of it."""
        return any(
            metric in result.overall and math.isfinite(result.overall[metric].value) for result in self.methods.values()
        )


def summarise(
    scores: Scores, kind: Kind, about: str, set_figures: Mapping[str, Figure], *, seed: int = 0, timed: bool = True
) -> Result:
    """Figures of everything a method got.

    Args:
        scores: Per case.
        kind: See `Result`.
        about: One line.
        set_figures: Figures of the whole set, as SET_METRICS have them.
        seed: Of the intervals.
        timed: Whether its calls were timed here.
    """
    rows = np.arange(len(scores))
    by: dict[str, dict[str, Figures]] = {}
    for grouping, labels in grouped(scores).items():
        named = np.asarray(labels)
        groups = sorted(set(labels) - {""})
        by[grouping] = {group: _figures(scores, np.flatnonzero(named == group), seed) for group in groups}
    return Result(
        kind=kind,
        about=about,
        overall={**_figures(scores, rows, seed), **set_figures},
        by=by,
        values=dict(scores.values),
        failed=scores.failed,
        milliseconds=scores.milliseconds if timed else np.zeros(0),
    )


def with_cost(report: Report, costs: Mapping[str, Cost]) -> Report:
    """A report that also says what these of its methods cost."""
    methods = {name: dataclasses.replace(one, cost=costs.get(name, one.cost)) for name, one in report.methods.items()}
    return dataclasses.replace(report, methods=methods)


def with_left_out(report: Report, missing: Sequence[str]) -> Report:
    """What no method has a figure of was not measured: the set or a network lacks what it needs."""
    lines = list(missing)
    for suite, names in report.suites.items():
        without = [name for name in names if not report.measured(name)]
        if without:
            lines.append(
                f"{suite}: {', '.join(without)}: no case of this set has what it needs, or a network is missing"
            )
    return dataclasses.replace(report, left_out=tuple(lines))


def grouped(scores: Scores) -> dict[str, tuple[str, ...]]:
    """All groupings of the cases; the stratum first."""
    return {STRATUM: scores.strata, **dict(scores.groups)}


def _figures(scores: Scores, rows: np.ndarray, seed: int) -> Figures:
    people = [scores.people[row] for row in rows]
    return {name: mean(values[rows], people, seed=seed) for name, values in scores.values.items()}


def hashes(networks: Sequence[Network]) -> dict[str, str]:
    """Network -> SHA-256, of those that are files."""
    return {network.name: network.sha256 for network in networks if network.sha256}


def compact(report: Report) -> Report:
    """Without numbers and names of single cases, and by groups primary metrics alone: for a history of results."""
    primary = {name for name, metric in report.metrics.items() if metric.primary}
    methods = {name: _compact(result, primary) for name, result in report.methods.items()}
    clips = None if report.clips is None else compact(report.clips)
    return dataclasses.replace(report, keys=(), people=(), groups={}, methods=methods, clips=clips, strips={})


def _compact(result: Result, primary: Set[str]) -> Result:
    by = {
        grouping: {
            group: {name: one for name, one in figures.items() if name in primary} for group, figures in groups.items()
        }
        for grouping, groups in result.by.items()
    }
    times = result.milliseconds
    return dataclasses.replace(
        result,
        by=by,
        values={},
        failed=np.array([int(result.failed.sum())]),
        milliseconds=np.quantile(times, np.linspace(0, 1, QUANTILES)) if len(times) > QUANTILES else times,
    )


def save(report: Report, path: Path) -> None:
    """Writes the JSON file whole or not at all; NaN becomes null.

    Raises:
        OutputError: It cannot be written.
    """
    text = json.dumps(as_dict(report), separators=(",", ":"), allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def load(path: Path) -> Report:
    """Reads what `save` wrote.

    Raises:
        BadInputError: No such file, damaged, or of another version.
    """
    try:
        found = json.loads(read_bytes(path))
        version = found["facegraft_results"]
    except (ValueError, LookupError, TypeError) as error:
        raise BadInputError(f"{shown(path)}: expected results of `facegraft eval`, found none") from error
    if version != VERSION:
        raise BadInputError(f"{shown(path)}: expected version {VERSION}, found {version!r}; judge again")
    try:
        return from_dict(found)
    except (ValueError, LookupError, TypeError) as error:
        raise BadInputError(f"{shown(path)}: damaged results ({error}); judge again") from error


def as_dict(report: Report) -> dict[str, Any]:
    """Plain JSON of all but the pictures."""
    plain = ("protocol", "name", "set_facts", "made", "suites", "of", "keys", "people", "groups", "left_out")
    return {
        "facegraft_results": VERSION,
        **{name: getattr(report, name) for name in plain},
        "networks": [dataclasses.asdict(network) for network in report.networks],
        "metrics": [_metric_dict(metric) for metric in report.metrics.values()],
        "seconds": {name: _number(value) for name, value in report.seconds.items()},
        "methods": {name: _result_dict(result) for name, result in report.methods.items()},
        "clips": None if report.clips is None else as_dict(report.clips),
        "thresholds": {judge: [_number(one.cosine), one.pairs] for judge, one in report.thresholds.items()},
        "agreement": None if report.agreement is None else [*map(_number, dataclasses.astuple(report.agreement))],
    }


def from_dict(found: Mapping[str, Any]) -> Report:
    """What `as_dict` made.

    Raises:
        LookupError, TypeError, ValueError: Something is missing or of another kind.
    """
    earlier: dict[str, Any] = {"thresholds": {}, "agreement": None, **found}  # the first files lack these
    metrics = [Metric(**{**facts, "worst": _or_nan(facts["worst"])}) for facts in found["metrics"]]
    return Report(
        protocol=str(found["protocol"]),
        name=str(found["name"]),
        set_facts=dict(found["set_facts"]),
        made=dict(found["made"]),
        networks=tuple(Network(**facts) for facts in found["networks"]),
        suites={suite: tuple(names) for suite, names in found["suites"].items()},
        metrics={metric.name: metric for metric in metrics},
        of=int(found["of"]),
        keys=tuple(found["keys"]),
        people=tuple(found["people"]),
        groups={grouping: tuple(labels) for grouping, labels in found["groups"].items()},
        methods={name: _result(facts) for name, facts in found["methods"].items()},
        seconds={name: _or_nan(value) for name, value in found["seconds"].items()},
        left_out=tuple(found["left_out"]),
        clips=None if found["clips"] is None else from_dict(found["clips"]),
        thresholds={name: Threshold(_or_nan(cosine), int(of)) for name, (cosine, of) in earlier["thresholds"].items()},
        agreement=None if earlier["agreement"] is None else Agreement(*map(_or_nan, earlier["agreement"])),
    )


def _metric_dict(metric: Metric) -> dict[str, Any]:
    return {**dataclasses.asdict(metric), "worst": _number(metric.worst)}


def _result_dict(result: Result) -> dict[str, Any]:
    return {
        "kind": result.kind,
        "about": result.about,
        "overall": _figures_dict(result.overall),
        "by": {
            grouping: {group: _figures_dict(figures) for group, figures in groups.items()}
            for grouping, groups in result.by.items()
        },
        "values": {name: [_number(value) for value in values] for name, values in result.values.items()},
        "failed": [int(failed) for failed in result.failed],
        "milliseconds": [_number(value) for value in result.milliseconds],
        "cost": as_plain(result.cost),
    }


def _result(facts: Mapping[str, Any]) -> Result:
    return Result(
        kind=facts["kind"],
        about=str(facts["about"]),
        overall=_figures_of(facts["overall"]),
        by={
            grouping: {group: _figures_of(figures) for group, figures in groups.items()}
            for grouping, groups in facts["by"].items()
        },
        values={name: np.array([_or_nan(value) for value in row]) for name, row in facts["values"].items()},
        failed=np.array(facts["failed"], np.int64),
        milliseconds=np.array([_or_nan(value) for value in facts["milliseconds"]]),
        cost=from_plain(facts.get("cost")),
    )


def _figures_dict(figures: Figures) -> dict[str, list[float | int | None]]:
    return {
        name: [
            *(_number(one.value), _number(one.low), _number(one.high), one.of, one.people),
            *([_number(one.median)] if math.isfinite(one.median) else []),
        ]
        for name, one in figures.items()
    }


def _figures_of(found: Mapping[str, Sequence[Any]]) -> Figures:
    return {
        name: Figure(_or_nan(value), _or_nan(low), _or_nan(high), int(of), int(people), *median)
        for name, (value, low, high, of, people, *median) in found.items()
    }


def _number(value: float) -> float | None:
    """Six digits, which is more than any metric has; None = not known."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
