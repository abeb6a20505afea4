"""Single frames of an answered clip against the true swap's: the suite `truth`, on every eighth frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import islice

import numpy as np

from facegraft.evaluate import truth
from facegraft.evaluate.clips import ClipCase
from facegraft.evaluate.look import Seen, Views
from facegraft.evaluate.protocol import Case, Values, worst_of

EVERY = 8
"""One frame in so many is measured, from the first on."""
METRICS = tuple(
    dataclasses.replace(metric, primary=metric.name == "psnr_inside")
    for metric in truth.METRICS
    if metric.name != "psnr_toned"
)
"""No clip has true swaps in the attribute's colour. One is shown first: clips are about time."""


def truths_of(clip: ClipCase, frames: Sequence[Seen]) -> dict[int, tuple[Case, Seen]]:
    """Number of a frame -> the case that it is, and what is seen in its truth; empty without truths."""
    if clip.truths is None:
        return {}
    cases = enumerate(clip.cases())
    return {
        at: (_with_change(case), frames[at].eyes.look(clip.truths[at], frames[at].face))
        for at, case in islice(cases, 0, None, EVERY)
        if frames[at].face is not None
    }


def truth_values(
    known: dict[int, tuple[Case, Seen]], identity: Seen, frames: Sequence[Seen], answers: Sequence[Seen | None]
) -> Values:
    """Means over the frames of `METRICS`; NaN where there is no truth. A frame without an answer gets the worst.

    Args:
        known: Of `truths_of`.
        identity: What is seen in the identity picture.
        frames: In the attribute clip.
        answers: In the answer; None = there is none.
    """
    rows = [_values(case, true, identity, frames[at], answers[at]) for at, (case, true) in known.items()]
    found: Values = {}
    for metric in METRICS:
        column = [row[metric.name] for row in rows if np.isfinite(row[metric.name])]
        found[metric.name] = float(np.mean(column)) if column else float("nan")
    return found


def _values(case: Case, true: Seen, identity: Seen, attribute: Seen, answer: Seen | None) -> Values:
    told = truth.values(case, Views(identity, attribute, attribute if answer is None else answer, true))
    if answer is not None:
        return told
    return {name: float("nan") if np.isnan(told[name]) else worst for name, worst in worst_of(METRICS).items()}


def _with_change(case: Case) -> Case:
    """The case with where its truth differs from the attribute picture."""
    if case.truth is None:
        return case
    changed = np.asarray(255 * np.any(case.truth != case.attribute, axis=2), np.uint8)
    return dataclasses.replace(case, exact=dataclasses.replace(case.exact, changed=changed))
