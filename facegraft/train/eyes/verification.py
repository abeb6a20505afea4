"""Same person or not: the figures of a recogniser over labelled pairs. A score is any number; larger = more alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Z_95 = 1.959964
"""Standard deviations to either side that hold 95 % of a normal distribution."""
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Verification:
    """What a recogniser reaches over pairs.

    Attributes:
        pairs: How many.
        accuracy: Share of right answers, 0..1, each fold judged by the threshold of the other folds.
        interval: 95 % (Wilson) of the accuracy.
        by_fold: Accuracy of each fold, in the order of their numbers.
        thresholds: What each fold was judged by.
        tar: Share of one person's pairs above the threshold that `far` of the strangers' pairs pass.
        tar_interval: 95 % (bootstrap over pairs) of it.
        far: False accept rate that `tar` is stated for.
    """

    pairs: int
    accuracy: float
    interval: tuple[float, float]
    by_fold: tuple[float, ...]
    thresholds: tuple[float, ...]
    tar: float
    tar_interval: tuple[float, float]
    far: float


def verify(
    scores: Float[np.ndarray, "n"], same: Bool[np.ndarray, "n"], folds: Int[np.ndarray, "n"], far: float = 1e-2
) -> Verification:
    """LFW's View 2 protocol (Huang et al., 2007), over as many folds as there are; two or more.

    Raises:
        ValueError: One fold, or only one kind of pair.
    """
    numbers = np.unique(folds)
    if len(numbers) < 2 or same.all() or not same.any():
        raise ValueError(f"verify: expected two or more folds of both kinds of pairs, found {len(numbers)} fold(s)")
    right = np.zeros(len(scores), bool)
    thresholds = []
    for number in numbers:
        here = folds == number
        thresholds.append(best_threshold(scores[~here], same[~here]))
        right[here] = (scores[here] > thresholds[-1]) == same[here]
    return Verification(
        pairs=len(scores),
        accuracy=float(right.mean()),
        interval=wilson(int(right.sum()), len(right)),
        by_fold=tuple(float(right[folds == number].mean()) for number in numbers),
        thresholds=tuple(thresholds),
        tar=tar_at_far(scores, same, far),
        tar_interval=_bootstrap_tar(scores, same, far),
        far=far,
    )


def best_threshold(scores: Float[np.ndarray, "n"], same: Bool[np.ndarray, "n"]) -> float:
    """The threshold (same = above it) with the most right answers: the middle of the first such gap between scores."""
    order = np.argsort(scores, kind="stable")
    ranked, truth = scores[order].astype(np.float64), same[order]
    right = np.concatenate([[0], np.cumsum(~truth)]) + truth.sum() - np.concatenate([[0], np.cumsum(truth)])
    edges = np.concatenate([[ranked[0] - 1], ranked, [ranked[-1] + 1]])
    right = np.where(np.diff(edges) > 0, right, -1)  # equal scores cannot be parted
    best = int(right.argmax())
    return float((edges[best] + edges[best + 1]) / 2)


def tar_at_far(scores: Float[np.ndarray, "n"], same: Bool[np.ndarray, "n"], far: float) -> float:
    """Share of one person's pairs above the lowest threshold that at most `far` of the strangers' pairs pass."""
    strangers = np.sort(scores[~same])[::-1]
    allowed = math.floor(far * len(strangers) + 1e-9)
    threshold = strangers[allowed] if allowed < len(strangers) else -np.inf
    return float((scores[same] > threshold).mean())


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927); 0..1."""
    share, z2 = hits / trials, Z_95**2 / trials
    middle = (share + z2 / 2) / (1 + z2)
    half = Z_95 / (1 + z2) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials))
    return middle - half, middle + half


def _bootstrap_tar(scores: np.ndarray, same: np.ndarray, far: float) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    positive, negative = scores[same], scores[~same]
    kinds = np.repeat([True, False], [len(positive), len(negative)])
    found = [
        tar_at_far(
            np.concatenate([rng.choice(positive, len(positive)), rng.choice(negative, len(negative))]), kinds, far
        )
        for _ in range(BOOTSTRAPS)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
