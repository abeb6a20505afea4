"""Figures with their 95 % intervals, and the test of one method against another, by people.

Cases of one person are not independent of each other, so whole people are resampled (Efron, 1979), never cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

RESAMPLES = 2000
FEWEST_PEOPLE = 5
"""Of fewer no interval is given: there is nothing to resample."""
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Figure:
    """A figure and what it stands on.

    Attributes:
        value: NaN where nothing could be measured.
        low: End of the 95 % interval; NaN = too few people for one.
        high: The other end.
        of: How many cases.
        people: How many people were replaced in them.
        median: Of the cases, beside a mean; NaN where the value is no mean of cases.
    """

    value: float
    low: float
    high: float
    of: int
    people: int
    median: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """One method minus another on the same cases.

    Attributes:
        difference: Of the means, with its interval.
        p: Two-sided, that signs of people's mean differences are chance; NaN with fewer than five people.
        of: Cases that both answered.
    """

    difference: Figure
    p: float
    of: int


def mean(values: Float[np.ndarray, "n"], people: Sequence[str], *, seed: int = 0) -> Figure:
    """Mean over the cases where it is known (not NaN), as `figure` gives it, but fast; and their median."""
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    if not known.any():
        return Figure(math.nan, math.nan, math.nan, 0, 0)
    _, who = np.unique(np.asarray(people)[known], return_inverse=True)
    sums, counts = np.bincount(who, values[known]), np.bincount(who)
    value, of, median = float(sums.sum() / counts.sum()), int(known.sum()), float(np.median(values[known]))
    if len(sums) < FEWEST_PEOPLE:
        return Figure(value, math.nan, math.nan, of, len(sums), median)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5])
    return Figure(value, float(low), float(high), of, len(sums), median)


def figure(
    statistic: Callable[[Int[np.ndarray, "k"]], float],
    people: Sequence[str],
    known: Bool[np.ndarray, "n"] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Figure:
    """Any statistic of a set of cases, and its percentile interval over resampled people.

    Args:
        statistic: Rows of cases, perhaps with repeats -> a number.
        people: One per case.
        known: Cases that count; None = all.
        resamples: How often people are drawn anew.
        seed: Of the draws.
    """
    rows = np.arange(len(people)) if known is None else np.flatnonzero(known)
    if not len(rows):
        return Figure(math.nan, math.nan, math.nan, 0, 0)
    names, who = np.unique(np.asarray(people)[rows], return_inverse=True)
    value = statistic(rows)
    if len(names) < FEWEST_PEOPLE:
        return Figure(value, math.nan, math.nan, len(rows), len(names))
    order = np.argsort(who, kind="stable")
    of_person = np.split(rows[order], np.cumsum(np.bincount(who))[:-1])
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([of_person[person] for person in rng.integers(0, len(names), len(names))]))
        for _ in range(resamples)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(value, float(low), float(high), len(rows), len(names))


def share(hits: Bool[np.ndarray, "n"]) -> Figure:
    """Share of independent tries with its Wilson interval, 0..1."""
    n, k = len(hits), int(np.sum(hits))
    if not n:
        return Figure(math.nan, math.nan, math.nan, 0, 0)
    p, z2 = k / n, Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Figure(p, max(0.0, middle - half), min(1.0, middle + half), n, n)


def compare(
    first: Float[np.ndarray, "n"], second: Float[np.ndarray, "n"], people: Sequence[str], *, seed: int = 0
) -> Comparison:
    """First minus second, paired by case; the test flips the signs of whole people's differences at random.

    Args:
        first: One value per case; NaN = not known.
        second: The other method's, of the same cases.
        people: Who was replaced, one per case.
        seed: Of the draws.
    """
    apart = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    known = np.isfinite(apart)
    difference = mean(apart, people, seed=seed)
    if difference.people < FEWEST_PEOPLE:
        return Comparison(difference, math.nan, difference.of)
    _, who = np.unique(np.asarray(people)[known], return_inverse=True)
    sums = np.bincount(who, apart[known])
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (RESAMPLES * 5, len(sums)))
    by_chance = np.abs(signs @ sums)
    p = (1 + int(np.sum(by_chance >= abs(sums.sum()) - 1e-12))) / (1 + len(by_chance))
    return Comparison(difference, float(p), difference.of)
