"""Scales from pairwise votes: Bradley-Terry and Thurstone case V in JOD, with intervals by bootstrap over raters.

Both are maximum likelihood of the same kind, `P(i over j) = F(q_i - q_j)`, and differ in F:
Bradley and Terry (1952): logistic. Thurstone's case V as Perez-Ortiz and Mantiuk (arXiv:1712.03686) use it:
`F(d) = Phi(d / 1.4826)`, so that a difference of 1 JOD (just objectionable difference) means that 75 % prefer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Link = Literal["bt", "jod"]
Wins = Float[np.ndarray, "*batch k k"]
"""[i, j]: votes for i over j; a tie is half a vote for each."""
Scale = Float[np.ndarray, "*batch k"]

JOD_SIGMA = 1 / NormalDist().inv_cdf(0.75)
"""sqrt(2) * sigma of the case V: 1.4826."""
VIRTUAL_WINS = 0.5
"""Added to both sides of every pair where some condition never lost or never won: its place would be infinite."""
_STEPS, _LONGEST_STEP = 200, 1.0
_erfc = np.vectorize(math.erfc, otypes=[float])


@dataclass(frozen=True)
class Scaled:
    """Places of conditions on one scale, in the order of the wins; their sum is 0."""

    place: Float[np.ndarray, "k"]
    low: Float[np.ndarray, "k"]
    high: Float[np.ndarray, "k"]
    draws: Float[np.ndarray, "draws k"]
    regularised: bool
    """The votes alone left a place open, so virtual wins were added."""


def preference(link: Link, difference: float | int) -> float:
    """Share of votes for a condition that stands this much higher."""
    if link == "bt":
        return 1 / (1 + math.exp(-difference))
    return 0.5 * math.erfc(-difference / JOD_SIGMA / math.sqrt(2))


def bootstrap_tail(raters: int, level: float = 0.95) -> float:
    """Share to cut off either end of a bootstrap over so many raters for an interval of this level.

    Plain percentiles are too narrow for few raters; these are widened as Student's t is against the normal
    (Hesterberg, arXiv:1411.5279, section 3.3).
    """
    if raters < 2:
        return (1 - level) / 2
    z, freedom = NormalDist().inv_cdf(0.5 + level / 2), raters - 1
    student = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return NormalDist().cdf(-math.sqrt(raters / freedom) * student)


def fit_scale(wins: Wins, link: Link) -> Scale:
    """Maximum-likelihood places, sum 0, by Fisher scoring; virtual wins are added where they are needed.

    Bradley-Terry's answer is that of the update w_i <- W_i / sum_j n_ij/(w_i+w_j) (Hunter 2004), in fewer steps.
    """
    batch, count = wins.shape[:-2], wins.shape[-1]
    flat = wins.reshape(-1, count, count).copy()
    flat[:, np.arange(count), np.arange(count)] = 0
    flat += np.where(strongly_connected(flat), 0, VIRTUAL_WINS)[:, None, None] * (1 - np.eye(count))
    i, j = np.triu_indices(count, 1)
    won, lost = flat[:, i, j], flat[:, j, i]
    design = np.zeros((len(i), count))
    design[np.arange(len(i)), i], design[np.arange(len(i)), j] = 1, -1
    place = np.zeros((len(flat), count))
    for _ in range(_STEPS):
        slope, weight = _slopes(link, place @ design.T, won, lost)
        information = np.einsum("bp,pi,pj->bij", weight, design, design) + 1.0 / count  # fixes the sum, which is free
        step = np.linalg.solve(information, (slope @ design)[..., None])[..., 0]
        longest = np.abs(step).max(-1, keepdims=True)
        step *= np.minimum(1, _LONGEST_STEP / np.maximum(longest, 1e-12))
        place += step
        if longest.max(initial=0) < 1e-7:
            break
    return (place - place.mean(-1, keepdims=True)).reshape(*batch, count)


def scale_raters(
    wins: Float[np.ndarray, "raters k k"], link: Link, rng: np.random.Generator, draws: int = 1000
) -> Scaled:
    """Places with 95 % intervals: whole raters are drawn anew, as votes of one rater belong together."""
    raters, count, _ = wins.shape
    total = wins.sum(0)
    place = fit_scale(total, link)
    times = rng.multinomial(raters, np.full(raters, 1 / raters), size=draws).astype(float)
    samples = fit_scale((times @ wins.reshape(raters, -1)).reshape(draws, count, count), link)
    tail = bootstrap_tail(raters)
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    regularised = not bool(strongly_connected(total[None])[0])
    return Scaled(place, np.minimum(low, place), np.maximum(high, place), samples, regularised)


def covariance(wins: Float[np.ndarray, "k k"], place: Float[np.ndarray, "k"], link: Link) -> Float[np.ndarray, "k k"]:
    """Of the places given the votes and a prior of variance 4 around 0 (Laplace's approximation)."""
    i, j = np.triu_indices(len(place), 1)
    _, weight = _slopes(link, (place[i] - place[j])[None], wins[i, j][None], wins[j, i][None])
    information = np.eye(len(place)) / 4
    for at, (first, second) in enumerate(zip(i, j, strict=True)):
        information[[first, second], [first, second]] += weight[0, at]
        information[[first, second], [second, first]] -= weight[0, at]
    return np.linalg.inv(information)


def strongly_connected(wins: Float[np.ndarray, "b k k"]) -> Bool[np.ndarray, "b"]:
    """Whether every condition beat every other, directly or by a chain: only then have all places finite values."""
    count = wins.shape[-1]
    reach = ((wins > 0) | np.eye(count, dtype=bool)).astype(np.float32)
    for _ in range(max(1, math.ceil(math.log2(max(count, 2))))):
        reach = (np.matmul(reach, reach) > 0).astype(np.float32)
    return np.asarray(reach.all(axis=(-1, -2)))


def _slopes(
    link: Link,
    difference: Float[np.ndarray, "b p"],
    won: Float[np.ndarray, "b p"],
    lost: Float[np.ndarray, "b p"],
) -> tuple[Float[np.ndarray, "b p"], Float[np.ndarray, "b p"]]:
    """First derivative of the log likelihood by the difference, and the expected information."""
    if link == "bt":
        share = 1 / (1 + np.exp(-np.clip(difference, -500, 500)))
        return won - (won + lost) * share, (won + lost) * share * (1 - share) + 1e-12
    z = np.clip(difference / JOD_SIGMA, -12, 12)
    above = 0.5 * _erfc(-z / math.sqrt(2))
    below = 0.5 * _erfc(z / math.sqrt(2))
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) / JOD_SIGMA
    slope = density * (won / above - lost / below)
    return slope, (won + lost) * density**2 / (above * below) + 1e-12
