"""Who meets whom in reversed swaps (reverse.py): a pure function of the photographs, a seed and a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.data.dataset import Dataset
from facegraft.data.item import Row

DONOR_DEGREES, HOST_DEGREES = 25.0, 40.0
"""How far the yaw of whose face is put on, and of whom the person is put on, may be from the photograph's."""
MIRRORED = 0.5
"""Share of people who are mirrored before they are put on another photograph."""
_TRIES = 40


@dataclass(frozen=True)
class Meeting:
    """Who meets whom in one pair.

    Attributes:
        truth: The photograph: the right answer, and all but the face of the attribute image.
        donor: Whose face is put on it.
        host: On whom its person is put for the identity image; None: on nobody.
        other: Another photo of the person; it is the identity image, or what is put on the host.
        mirrored: The identity's photo is mirrored first.
    """

    truth: Row
    donor: Row
    host: Row | None
    other: Row | None
    mirrored: bool


def usable(dataset: Dataset) -> list[Row]:
    """Photographs that can be answers: their pose is known, so their points are too.

    Raises:
        BadInputError: No split holds two people.
    """
    rows = [row for row in dataset.rows if row.role == "picture" and row.pose_degrees is not None]
    groups = by_split(rows)
    if not any(len({_who(row) for row in group}) > 1 for group in groups.values()):
        raise BadInputError(
            f"dataset {dataset.card.name!r}: expected photographs of two people with known poses, found "
            f"{len(rows)} such pictures; make it by `facegraft ingest`"
        )
    return [row for row in rows if len({_who(other) for other in groups[row.split]}) > 1]


def meeting(splits: dict[str, list[Row]], number: int, *, seed: int, plain: float) -> Meeting:
    """Who meets whom in pair `number`.

    Args:
        splits: Usable photographs, `by_split`.
        number: From 0.
        seed: Other seeds have other meetings.
        plain: Share of meetings whose identity image is not swapped.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number])))
    every = [row for split in sorted(splits) for row in splits[split]]
    truth = every[int(rng.integers(len(every)))]
    rows = splits[truth.split]
    donor = _stranger(rng, rows, truth, DONOR_DEGREES)
    unswapped = rng.random() < plain
    host = None if unswapped else _stranger(rng, rows, truth, HOST_DEGREES)
    others = [row for row in rows if row.key != truth.key and truth.person and row.person == truth.person]
    other = others[int(rng.integers(len(others)))] if others and rng.random() < 0.5 else None
    # Nothing but another photo may go in as it is: the answer itself would reward copying.
    mirrored = other is None and (unswapped or rng.random() < MIRRORED)
    return Meeting(truth, donor, host, other, mirrored)


def _stranger(rng: np.random.Generator, rows: Sequence[Row], like: Row, window_degrees: float) -> Row:
    """Somebody else who looks about the same way, if one is soon found."""
    for _ in range(_TRIES):
        row = rows[int(rng.integers(len(rows)))]
        if _who(row) != _who(like) and abs(_yaw(row) - _yaw(like)) <= window_degrees:
            return row
    left = [row for row in rows if _who(row) != _who(like)]
    return min(left, key=lambda row: abs(_yaw(row) - _yaw(like)))


def _who(row: Row) -> str:
    """Whoever is in one clip may be one person."""
    return row.person or row.clip or row.key


def _yaw(row: Row) -> float:
    return 0.0 if row.pose_degrees is None else row.pose_degrees[0]


def by_split(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Photographs of each split."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.split, []).append(row)
    return groups
