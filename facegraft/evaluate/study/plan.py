"""How many votes and raters a study needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from facegraft.core.errors import BadInputError
from facegraft.evaluate.study.statistics import design_effect, votes_needed


@dataclass(frozen=True)
class SampleSize:
    """What `plan_votes` finds.

    Attributes:
        independent_votes: For one pair of conditions, if no two votes resembled each other.
        design_effect: Factor for votes of one cluster (one stimulus, or one rater).
        votes_per_pair: Both together.
        pairs: Pairs of conditions.
        alpha: Level of each test, after the correction for as many tests as there are pairs.
        raters: Who give `trials` votes each.
    """

    independent_votes: int
    design_effect: float
    votes_per_pair: int
    pairs: int
    votes: int
    raters: int
    trials: int
    alpha: float


def plan_votes(
    conditions: int,
    effect: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    per_cluster: int = 10,
    correlation: float | int = 0.1,
    trials: int = 30,
    corrected: bool = False,
) -> SampleSize:
    """Votes to find, in each pair of conditions, that a share of `effect` prefers one.

    Args:
        conditions: How many are compared, each with each.
        effect: True preference, 0..1, other than one half.
        power: Chance to find it in one pair.
        alpha: Two-sided.
        per_cluster: Votes on one pair that come from one stimulus; methods' papers use 10.
        correlation: Within such a cluster, 0..1; .05 to .15 is usual.
        trials: Counted votes of one rater.
        corrected: Divide alpha by the number of pairs, the strictest step of Holm's correction.

    Raises:
        BadInputError: A number out of its range.
    """
    if conditions < 2:
        raise BadInputError(f"--conditions: expected 2 or more, found {conditions}")
    if per_cluster < 1 or trials < 1:
        raise BadInputError(f"--per-stimulus and --trials: expected 1 or more, found {per_cluster} and {trials}")
    if not 0 <= correlation <= 1:
        raise BadInputError(f"--rho: expected 0 to 1, found {correlation:g}")
    pairs = math.comb(conditions, 2)
    level = alpha / pairs if corrected else alpha
    independent = votes_needed(effect, power, level)
    factor = design_effect(per_cluster, correlation)
    per_pair = math.ceil(independent * factor - 1e-9)
    votes = per_pair * pairs
    return SampleSize(independent, factor, per_pair, pairs, votes, math.ceil(votes / trials), trials, level)
