"""Which pair to show next: the one whose vote is expected to tell most about the scale.

After ASAP (Mikhailiuk et al., arXiv:2004.05691), with a Gaussian by Laplace in the place of its message passing: the
gain is the mutual information between a vote and the difference of two places. A rater gets a random pair of the
spanning tree with the largest gains, so that raters who vote at the same time do not all get the same pair.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from facegraft.evaluate.study.scale import covariance, fit_scale

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


def expected_gain(wins: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """Nats that one more vote on a pair is expected to bring; symmetric, 0 on the diagonal."""
    place = fit_scale(wins, "bt") if wins.any() else np.zeros(len(wins))
    spread = covariance(wins, place, "bt")
    mean = place[:, None] - place[None, :]
    own = np.diag(spread)
    variance = np.maximum(own[:, None] + own[None, :] - 2 * spread, 0)
    nodes = mean[..., None] + np.sqrt(variance)[..., None] * _NODES
    share = 1 / (1 + np.exp(-nodes))
    weights = _WEIGHTS / _WEIGHTS.sum()
    gain = _entropy(share @ weights) - _entropy(share) @ weights
    np.fill_diagonal(gain, 0)
    return np.maximum(gain, 0)


def choose_pair(wins: Float[np.ndarray, "k k"], rng: np.random.Generator) -> tuple[int, int]:
    """A random pair of the spanning tree with the largest gains."""
    gain = expected_gain(wins)
    count = len(wins)
    first, second = np.triu_indices(count, 1)
    value = gain[first, second] * (1 + 1e-6 * rng.random(len(first)))  # equal gains: in random order
    group = list(range(count))
    tree: list[tuple[int, int]] = []
    for at in np.argsort(-value):
        i, j = int(first[at]), int(second[at])
        if group[i] != group[j]:
            tree.append((i, j))
            old = group[j]
            group = [group[i] if label == old else label for label in group]
    return tree[int(rng.integers(len(tree)))]


def _entropy(share: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    inside = np.clip(share, 1e-12, 1 - 1e-12)
    return -inside * np.log(inside) - (1 - inside) * np.log1p(-inside)
