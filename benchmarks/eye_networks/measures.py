"""Figures with their 95 % intervals: errors over faces that may not have been found, shares, ratios, times.

Pictures of one person are not independent of each other, so whole people are resampled (Efron 1979), not pictures.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from synth_pictures import bootstrap, rounded, wilson

FEWEST_PEOPLE = 5
"""Of fewer no interval is given: there is nothing to resample."""
WARM_UP = 5


@dataclass(frozen=True)
class Figure:
    """A figure and what it stands on.

    Attributes:
        value: NaN where nothing could be measured.
        low: End of the 95 % interval; None = too few people for one.
        high: The other end.
        of: How many pictures, pairs or runs, those without a face among them.
        found: Share of the pictures in which the face was found, and its interval; None = nothing was looked for.
    """

    value: float
    low: float | None
    high: float | None
    of: int
    found: tuple[float, float, float] | None = None


def mean_error(errors: np.ndarray, people: Sequence[str], *, looked: bool = True) -> Figure:
    """Mean over the faces that were found.

    Args:
        errors: One per picture; NaN = not found, or not known.
        people: Who is shown, one per picture.
        looked: NaN says that the face was not found, and the share found is given.
    """
    errors = np.asarray(errors, np.float64)
    known = np.isfinite(errors)
    found = _share(int(known.sum()), len(errors)) if looked and len(errors) else None
    if not known.any():
        return Figure(float("nan"), None, None, len(errors), found)
    of = len(errors) if looked else int(known.sum())
    return Figure(*_ratio_over_people(np.where(known, errors, 0), known.astype(float), people, known), of, found)


def percentage(hits: np.ndarray) -> Figure:
    """Percentage of the pictures that are hits; what was not found must be none."""
    if not len(hits):
        return nothing()
    return Figure(*(100 * value for value in _share(int(np.sum(hits)), len(hits))), len(hits))


def ratio(ours: np.ndarray, theirs: np.ndarray, people: Sequence[str]) -> Figure:
    """Mean of our errors over the mean of theirs, on the faces that both found."""
    both = np.isfinite(ours) & np.isfinite(theirs)
    if not both.any():
        return Figure(float("nan"), None, None, len(both), _share(0, len(both)) if len(both) else None)
    over, under = np.where(both, ours, 0.0), np.where(both, theirs, 0.0)
    return Figure(*_ratio_over_people(over, under, people, both), len(both), _share(int(both.sum()), len(both)))


def pooled(over: np.ndarray, under: np.ndarray, people: Sequence[str]) -> Figure:
    """Sum over all pictures by sum over all pictures, as of pixels."""
    shown = np.asarray(under) > 0
    if not shown.any():
        return nothing()
    return Figure(*_ratio_over_people(np.asarray(over), np.asarray(under), people, shown), int(shown.sum()))


def median(values: Sequence[float]) -> Figure:
    """Of independent runs."""
    array = np.asarray(values, np.float64)
    found = bootstrap(len(array), lambda rows: float(np.median(array[rows])))
    return Figure(found["value"], found["low"], found["high"], len(array))


def nothing() -> Figure:
    """Where there is nothing to measure on."""
    return Figure(float("nan"), None, None, 0)


def alternating(
    calls: Mapping[str, Callable[[], object]], rounds: int = 100
) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """Median milliseconds of calls that take turns in this process, so that what else the machine does meets all.

    Returns:
        Of the processor, which hardly grow where others use it too, and of the clock.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    passed: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + WARM_UP):
        for name, call in calls.items():
            began, began_clock = time.process_time(), time.perf_counter()
            call()
            if turn >= WARM_UP:
                spent[name].append((time.process_time() - began) * 1e3)
                passed[name].append((time.perf_counter() - began_clock) * 1e3)
    return {name: median(values) for name, values in spent.items()}, {n: median(v) for n, v in passed.items()}


def group_masks(labels: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """The group "all", then every group that a picture is labelled with, by name -> which pictures are in it."""
    names = sorted({name for own in labels for name in own})
    masks = {"all": np.ones(len(labels), bool)}
    return masks | {name: np.array([name in own for own in labels], bool) for name in names}


def yaw_masks(yaw_degrees: np.ndarray, edges: Sequence[int]) -> dict[str, np.ndarray]:
    """Groups "yaw 15 to 30" and so on -> which pictures' faces are turned so far to either side."""
    away = np.abs(np.asarray(yaw_degrees, np.float64))
    return {f"yaw {low} to {high}": (away >= low) & (away < high) for low, high in itertools.pairwise(edges)}


def chosen(people: Sequence[str], mask: np.ndarray) -> list[str]:
    """The people of the pictures of a group."""
    return [person for person, is_in in zip(people, mask, strict=True) if is_in]


def degrees_apart(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute difference of angles in degrees, 0 to 180."""
    return np.abs((np.asarray(found, np.float64) - truth + 180) % 360 - 180)


def _share(hits: int, count: int) -> tuple[float, float, float]:
    told = wilson(hits, count)
    return float(told["value"]), float(told["low"]), float(told["high"])


def _ratio_over_people(
    over: np.ndarray, under: np.ndarray, people: Sequence[str], known: np.ndarray
) -> tuple[float, float | None, float | None]:
    """Sum of `over` by sum of `under`, and its interval."""
    names, numbers = np.unique(np.asarray(people)[known], return_inverse=True)
    overs, unders = (np.bincount(numbers, values[known], len(names)) for values in (over, under))
    if len(names) < FEWEST_PEOPLE:
        return rounded(overs.sum() / unders.sum()), None, None
    found = bootstrap(len(names), lambda rows: float(overs[rows].sum() / unders[rows].sum()))
    return found["value"], found["low"], found["high"]
