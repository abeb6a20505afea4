"""Puts cases to methods and collects what the suites say of each answer.

A suite is a module of this folder with METRICS and `values(case, views) -> Values`, which has all of them. It may have
features(case, views): rows kept for what needs the whole set; rows named "swapped..." are of the answer;
LATE_METRICS and late_values(scores) -> name -> column: of single cases too, but known only with the whole set;
SET_METRICS and set_figures(scores) -> name -> Figure: one number for the whole set.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from facegraft.core.errors import FacegraftError
from facegraft.core.types import Frame
from facegraft.evaluate.look import Eyes, Seen, Views
from facegraft.evaluate.protocol import Case, Metric, Scores, SwapPair, Swaps, Values, worst_of

logger = logging.getLogger(__name__)

Answer = Callable[[Case], Frame | None]
"""A case -> the swapped frame, or None where there is no answer."""
Progress = Callable[[int, int], None]
"""Cases done, cases in all."""


@dataclass(eq=False)
class _Column:
    """What one method got so far."""

    values: list[Values] = field(default_factory=list)
    features: list[dict[str, np.ndarray]] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)


def score(
    methods: Mapping[str, Answer],
    cases: Iterable[Case],
    eyes: Eyes,
    suites: Sequence[ModuleType],
    *,
    of: int = 0,
    progress: Progress = lambda _done, _of: None,
    keep: Callable[[str, Case, Views], None] = lambda _name, _case, _views: None,
) -> dict[str, Scores]:
    """Scores methods on cases; each case is read and looked at once for all methods.

    Args:
        methods: Name -> answer to a case. One that raises a FacegraftError has failed on that case, and it goes on.
        cases: In order; only one is held at a time.
        eyes: The networks that look.
        suites: Modules with `METRICS` and `values(case, views)`, and perhaps `features(case, views)`.
        of: How many cases there are, for `progress`.
        progress: Called after each case.
        keep: Called with each answered case, for pictures in a report.

    Returns:
        Method -> scores.
    """
    columns = {name: _Column() for name in methods}
    seen_cases: list[Case] = []
    not_asked = 0
    for done, case in enumerate(cases):
        identity, attribute = eyes.look(case.identity), eyes.look(case.attribute)
        truth = None if case.truth is None else eyes.look(case.truth, attribute.face)
        not_asked += attribute.face is None
        for name, answer in methods.items():
            began = time.perf_counter()
            swapped = _answer(name, answer, case)
            columns[name].milliseconds.append(1000 * (time.perf_counter() - began))
            seen = None if swapped is None else eyes.look(swapped, attribute.face)
            _judge(columns[name], name, case, seen, (identity, attribute, truth), suites, keep)
        seen_cases.append(_without_pictures(case))
        progress(done + 1, of)
    return {name: _with_late(_scores(name, column, seen_cases, not_asked), suites) for name, column in columns.items()}


def answer_of(method: SwapPair | Swaps) -> Answer:
    """A method that sees the pictures and nothing else."""
    if not isinstance(method, Swaps):
        return lambda case: method(case.identity, case.attribute)

    def answer(case: Case) -> Frame | None:
        if case.more and method.several is not None:
            return method.several(case.identities, case.attribute)
        return method.pair(case.identity, case.attribute)

    return answer


def metrics_of(suites: Sequence[ModuleType]) -> list[Metric]:
    """All metrics of single cases, in order."""
    return [metric for suite in suites for metric in (*suite.METRICS, *getattr(suite, "LATE_METRICS", ()))]


def _answer(name: str, answer: Answer, case: Case) -> Frame | None:
    try:
        swapped = answer(case)
    except FacegraftError as error:
        logger.info("%s failed on %s: %s", name, case.key, error)
        return None
    if swapped is not None and (swapped.shape != case.attribute.shape or swapped.dtype != np.uint8):
        found = f"{swapped.dtype} {swapped.shape}"
        logger.info("%s failed on %s: expected uint8 %s, found %s", name, case.key, case.attribute.shape, found)
        return None
    return swapped


def _judge(
    column: _Column,
    name: str,
    case: Case,
    seen: Seen | None,
    others: tuple[Seen, Seen, Seen | None],
    suites: Sequence[ModuleType],
    keep: Callable[[str, Case, Views], None],
) -> None:
    identity, attribute, truth = others
    asked = attribute.face is not None  # else nobody can say what should have been replaced, and nothing counts
    faceless = seen is None or seen.face is None
    column.failed.append(faceless and asked)
    # What an answer without a face looks like is still judged by the suites that need no face; see their `values`.
    views = Views(identity, attribute, attribute if seen is None else seen, truth)
    values: Values = {}
    features: dict[str, np.ndarray] = {}
    for suite in suites:
        told = suite.values(case, views) if asked else dict.fromkeys((m.name for m in suite.METRICS), np.nan)
        values |= told if seen is not None else _worst_where_known(told, suite.METRICS)
        if asked and hasattr(suite, "features"):
            made: dict[str, np.ndarray] = suite.features(case, views)
            features |= _blank_answer(made) if faceless else made
    column.values.append(values)
    column.features.append(features)
    keep(name, case, views)


def _worst_where_known(told: Values, metrics: Sequence[Metric]) -> Values:
    """What no answer costs: nothing where a metric does not apply to the case, or its network is missing."""
    return {name: np.nan if np.isnan(told[name]) else worst for name, worst in worst_of(metrics).items()}


def _blank_answer(made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without what stands for the answer: rows named "swapped..." are NaN."""
    return {name: np.full_like(row, np.nan) if name.startswith("swapped") else row for name, row in made.items()}


def _without_pictures(case: Case) -> Case:
    """What the scores need of a case, so that a thousand fit into memory."""
    nothing = np.zeros((1, 1, 3), np.uint8)
    return Case(
        case.key, nothing, nothing, case.identity_person, case.attribute_person, case.stratum, groups=case.groups
    )


def _scores(name: str, column: _Column, cases: Sequence[Case], not_asked: int) -> Scores:
    return Scores(
        method=name,
        keys=tuple(case.key for case in cases),
        people=tuple(case.attribute_person for case in cases),
        strata=tuple(case.stratum for case in cases),
        groups=_groups(cases),
        values=_columns(column.values),
        failed=np.array(column.failed, bool),
        milliseconds=np.array(column.milliseconds),
        features=_stacked(column.features),
        identities=tuple(case.identity_person for case in cases),
        not_asked=not_asked,
    )


def _with_late(scores: Scores, suites: Sequence[ModuleType]) -> Scores:
    late: dict[str, np.ndarray] = {}
    for suite in suites:
        if hasattr(suite, "late_values"):
            late |= suite.late_values(scores)
    return dataclasses.replace(scores, values={**scores.values, **late})


def _groups(cases: Sequence[Case]) -> dict[str, tuple[str, ...]]:
    names = sorted({name for case in cases for name in case.groups})
    return {name: tuple(case.groups.get(name, "unknown") for case in cases) for name in names}


def _columns(rows: Sequence[Values]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}


def _stacked(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Name -> one row per case; a case that lacks a feature has NaN."""
    shapes = {name: row[name] for row in rows for name in row}
    return {
        name: np.stack([row.get(name, np.full_like(example, np.nan)) for row in rows])
        for name, example in shapes.items()
    }
