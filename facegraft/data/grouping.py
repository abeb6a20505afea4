"""Faces of many pictures grouped into people by their embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def group_people_of_clips(
    embeddings: Float32[np.ndarray, "n d"],
    weights: Float[np.ndarray, "n"],
    apart: Sequence[tuple[int, int]],
    clips: Sequence[str],
    same_person: float | int,
    same_in_clip: float | int,
) -> list[list[int]]:
    """As `group_people`, but the rows of one clip are grouped first, by a threshold of their own.

    A clip shows few people, in one light: what is enough to tell them apart is not enough among thousands.

    Args:
        embeddings: Unit vectors.
        weights: How much each row counts, above 0.
        apart: Pairs of rows that cannot be one person.
        clips: Of each row; "" is none.
        same_person: Mean cosine from which groups of different clips and pictures are one person.
        same_in_clip: The same within a clip.
    """
    parts: list[list[int]] = []
    for clip in sorted(set(clips)):
        rows = [row for row, name in enumerate(clips) if name == clip]
        place = {row: number for number, row in enumerate(rows)}
        inner = [(place[one], place[other]) for one, other in apart if one in place and other in place]
        found = (
            group_people(embeddings[rows], weights[rows], inner, same_in_clip)
            if clip
            else [[n] for n in place.values()]
        )
        parts += [[rows[number] for number in group] for group in found]
    parts.sort()
    part_of = {row: number for number, part in enumerate(parts) for row in part}
    sums = np.stack([(embeddings[part] * weights[part, None]).sum(axis=0) for part in parts]) if parts else embeddings
    totals = np.array([weights[part].sum() for part in parts], np.float64)
    means = (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    between = [(part_of[one], part_of[other]) for one, other in apart]
    groups = group_people(means, totals, between, same_person)
    return sorted(sorted(row for number in group for row in parts[number]) for group in groups)


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
