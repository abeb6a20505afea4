"""Faces of many pictures grouped into people by their embeddings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.errors import BadInputError

MOST_FACES = 30_000
"""The table of all likenesses grows with the square: 3.6 GB at this many."""


def group_people(
    embeddings: Float32[np.ndarray, "n d"],
    weights: Float[np.ndarray, "n"],
    apart: Iterable[tuple[int, int]],
    same_person: float | int,
) -> list[list[int]]:
    """Average-linkage clustering, as `faces/people.py` defines it, in time that grows with the square.

    The two nearest groups are joined until none are near enough. Chains of nearest neighbours find the same groups
    without sorting all pairs, because a group that was joined is never nearer to a third than the nearer of its
    parts was (Murtagh, A survey of recent advances in hierarchical clustering algorithms, 1983).

    Args:
        embeddings: Unit vectors.
        weights: How much each row counts, above 0.
        apart: Pairs of rows that cannot be one person.
        same_person: Mean cosine between two groups from which they are joined.

    Returns:
        Rows of each group, sorted; groups in order of their first row.

    Raises:
        BadInputError: More rows than memory can hold the table for.
    """
    count = len(embeddings)
    if count > MOST_FACES:
        raise BadInputError(
            f"grouping by looks: expected at most {MOST_FACES} faces and tracks, found {count}; "
            "sort them into folders (--people folder) or name people in a manifest"
        )
    likeness = (embeddings @ embeddings.T).astype(np.float32)
    np.fill_diagonal(likeness, -np.inf)
    for one, other in apart:
        likeness[one, other] = likeness[other, one] = -np.inf
    size = np.asarray(weights, np.float64).copy()
    members: dict[int, list[int]] = {row: [row] for row in range(count)}
    finished: list[list[int]] = []
    chain: list[int] = []
    while members:
        chain = chain or [min(members)]
        last = chain[-1]
        nearest = int(likeness[last].argmax())
        if len(chain) > 1 and likeness[last, chain[-2]] >= likeness[last, nearest]:
            nearest = chain[-2]
        if likeness[last, nearest] < same_person:
            finished.append(sorted(members.pop(chain.pop())))
            _remove(likeness, last)
        elif len(chain) > 1 and nearest == chain[-2]:
            del chain[-2:]
            _join(likeness, size, last, nearest)
            members[last] += members.pop(nearest)
        else:
            chain.append(nearest)
    return sorted(finished)


def _join(likeness: Float32[np.ndarray, "n n"], size: Float[np.ndarray, "n"], one: int, other: int) -> None:
    """Row `one` becomes the weighted mean of both; row `other` is nobody's neighbour any more."""
    total = size[one] + size[other]
    mean = (likeness[one] * size[one] + likeness[other] * size[other]) / total
    mean[one] = -np.inf
    likeness[one], likeness[:, one] = mean, mean
    size[one] = total
    _remove(likeness, other)


def _remove(likeness: Float32[np.ndarray, "n n"], row: int) -> None:
    likeness[row] = likeness[:, row] = -np.inf
