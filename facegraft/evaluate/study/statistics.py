"""Closed forms and resampling that studies are scored with: intervals, tests, rank correlations, sample sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from facegraft.core.errors import BadInputError

Values = Float[np.ndarray, "_n"]
_NORMAL = NormalDist()


def wilson(hits: int | float, trials: int | float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, 0..1; the whole range where nothing was tried."""
    if trials <= 0:
        return 0.0, 1.0
    z = _NORMAL.inv_cdf(0.5 + level / 2)
    share = hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def votes_needed(preference: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Independent votes that a two-sided binomial test needs to find a true preference of 0..1 (normal approximation).

    Raises:
        BadInputError: A preference of one half, which no number of votes tells from itself, or a number out of range.
    """
    if not 0 < preference < 1 or preference == 0.5:
        raise BadInputError(f"effect: expected a share between 0 and 1 other than 0.5, found {preference:g}")
    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise BadInputError(f"{name}: expected a share between 0 and 1, found {value:g}")
    of_chance = _NORMAL.inv_cdf(1 - alpha / 2) * 0.5
    of_truth = _NORMAL.inv_cdf(power) * math.sqrt(preference * (1 - preference))
    return math.ceil(((of_chance + of_truth) / (preference - 0.5)) ** 2)


def design_effect(votes_in_cluster: int | float, correlation: float | int) -> float:
    """Factor by which votes must grow because those of one rater or one stimulus resemble each other: 1+(m-1)*rho."""
    return 1 + (votes_in_cluster - 1) * correlation


def raters_for_mean(half_width: float, deviation: float = 0.9) -> int:
    """Ratings per stimulus for a 95 % interval of this half width, in grades; `deviation` between raters."""
    if half_width <= 0 or deviation <= 0:
        raise BadInputError(f"half width: expected numbers above 0, found {half_width:g} and {deviation:g}")
    return math.ceil((_NORMAL.inv_cdf(0.975) * deviation / half_width) ** 2)


def holm(chances: Sequence[float]) -> list[float]:
    """Holm's corrected p values, in the order given; at most 1."""
    order = sorted(range(len(chances)), key=lambda at: chances[at])
    corrected = [0.0] * len(chances)
    worst = 0.0
    for rank, at in enumerate(order):
        worst = max(worst, min(1.0, (len(chances) - rank) * chances[at]))
        corrected[at] = worst
    return corrected


def sign_flip_chance(differences: Values, rng: np.random.Generator, draws: int = 10_000) -> float:
    """Two-sided p value that numbers, one per rater, are symmetric around 0.

    Votes of one rater belong together, so whole raters change sign, not votes. Up to 12 raters all signs are tried.
    """
    used = differences[differences != 0]
    if len(used) == 0:
        return 1.0
    if len(used) <= 12:
        codes = np.arange(2 ** len(used))
        signs = 1 - 2 * (codes[:, None] >> np.arange(len(used)) & 1)
        return float(np.mean(np.abs(signs @ used) >= abs(used.sum()) - 1e-9))
    signs = 1 - 2 * rng.integers(0, 2, (draws, len(used)))
    extreme = np.count_nonzero(np.abs(signs @ used) >= abs(used.sum()) - 1e-9)
    return float((extreme + 1) / (draws + 1))


def ranks(values: Values) -> Values:
    """Ranks from 1 on; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(first: Values, second: Values) -> float:
    """Spearman's rank correlation; not a number where one side does not vary."""
    return pearson(ranks(first), ranks(second))


def pearson(first: Values, second: Values) -> float:
    """Correlation; not a number where one side does not vary."""
    if len(first) == 0:
        return math.nan
    a, b = first - first.mean(), second - second.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else math.nan


def kendall(first: Values, second: Values) -> float:
    """Kendall's tau-b; not a number where one side does not vary."""
    upper = np.triu_indices(len(first), 1)
    a, b = (np.sign(side[:, None] - side[None, :])[upper] for side in (first, second))
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else math.nan


def kendall_w(scores: Float[np.ndarray, "raters conditions"]) -> float:
    """Kendall's coefficient of concordance, corrected for ties: 0 no agreement, 1 all raters rank alike."""
    raters, conditions = scores.shape
    if raters < 2 or conditions < 2:
        return math.nan
    rows = np.stack([ranks(row) for row in scores])
    spread = float(((rows.sum(0) - rows.sum() / conditions) ** 2).sum())
    ties = 0.0
    for row in rows:
        _, counts = np.unique(row, return_counts=True)
        ties += float((counts.astype(float) ** 3 - counts).sum())
    scale = raters**2 * (conditions**3 - conditions) - raters * ties
    return 12 * spread / scale if scale > 0 else math.nan
