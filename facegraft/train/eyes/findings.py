"""What a detector finds, held against what there is: recall, average precision, false faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from facegraft.core.geometry import box_containment, box_overlap, keep_best

SAME = 0.5
"""Overlap from which on a box shows the face it is held against."""
APART = 0.4
"""Boxes that overlap a better one by this much are dropped."""


@dataclass(frozen=True)
class Found:
    """Faces found in one picture, best first."""

    boxes: Float32[np.ndarray, "n 4"]
    scores: Float32[np.ndarray, "n"]
    points: Float32[np.ndarray, "n 5 2"]


@dataclass(frozen=True)
class Judged:
    """One picture's findings beside the truth.

    Attributes:
        right: Which findings show a face, each another one.
        counts: Which findings count: all but those on faces that are ignored.
        scores: Of the findings.
        found_at: Score at which each true face is found; 0 = never.
        finding: Row of the finding that shows it; -1 = none.
    """

    right: Bool[np.ndarray, "n"]
    counts: Bool[np.ndarray, "n"]
    scores: Float32[np.ndarray, "n"]
    found_at: Float32[np.ndarray, "m"]
    finding: np.ndarray


def select(
    boxes: Float32[np.ndarray, "n 4"],
    scores: Float32[np.ndarray, "n"],
    points: Float32[np.ndarray, "n 5 2"],
    *,
    min_score: float = 0.02,
    most: int = 200,
) -> Found:
    """The findings of one picture without those that overlap a better one."""
    rows = np.flatnonzero(scores >= min_score)
    rows = rows[np.argsort(-scores[rows], kind="stable")][:most]
    kept = rows[keep_best(boxes[rows], scores[rows], APART)]
    return Found(boxes[kept], scores[kept], points[kept])


def judge(found: Found, truth: Float32[np.ndarray, "m 4"], ignored: Float32[np.ndarray, "i 4"]) -> Judged:
    """Best findings first, each takes the free face that it overlaps most, if by `SAME` or more."""
    right, counts = np.zeros(len(found.scores), bool), np.ones(len(found.scores), bool)
    found_at, finding = np.zeros(len(truth), np.float32), np.full(len(truth), -1)
    for row, box in enumerate(found.boxes):
        overlaps = box_overlap(box, truth) * (finding < 0) if len(truth) else np.zeros(1)
        best = int(overlaps.argmax())
        if overlaps[best] >= SAME:
            right[row], found_at[best], finding[best] = True, found.scores[row], row
        elif len(ignored) and max(box_overlap(box, ignored).max(), box_containment(box, ignored).max()) >= SAME:
            counts[row] = False
    return Judged(right, counts, found.scores, found_at, finding)


def average_precision(judged: Sequence[Judged]) -> float:
    """Area below precision over recall, precision made monotone, over all points (PASCAL VOC 2010 and later).

    Returns:
        0..1; nan where there is no face.
    """
    faces = sum(len(one.found_at) for one in judged)
    if faces == 0:
        return float("nan")
    scores = np.concatenate([one.scores[one.counts] for one in judged])
    right = np.concatenate([one.right[one.counts] for one in judged])[np.argsort(-scores, kind="stable")]
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((precision * right).sum() / faces)


def threshold_for(scores: Sequence[Float32[np.ndarray, "_n"]], false_faces: int) -> float:
    """The lowest score threshold at which pictures without faces show at most this many.

    Args:
        scores: Of all findings, one array per picture.
        false_faces: Allowed over all of them.

    Returns:
        Just above the score of the finding that would be one too many; 0 where there are not that many.
    """
    ranked = np.sort(np.concatenate([*scores, np.zeros(0, np.float32)]))[::-1]
    return float(np.nextafter(ranked[false_faces], np.float32(2))) if len(ranked) > false_faces else 0.0


def wilson(hits: int, tries: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share at 95 % (Wilson, 1927); (0, 1) where nothing was tried."""
    if tries == 0:
        return 0.0, 1.0
    share = hits / tries
    middle = (share + z * z / (2 * tries)) / (1 + z * z / tries)
    half = z / (1 + z * z / tries) * float(np.sqrt(share * (1 - share) / tries + z * z / (4 * tries * tries)))
    return max(0.0, middle - half), min(1.0, middle + half)


def point_errors(
    points: Float[np.ndarray, "k 5 2"], truth: Float[np.ndarray, "k 5 2"], boxes: Float[np.ndarray, "k 4"]
) -> Float[np.ndarray, "k"]:
    """Mean distance of five points, in shares of the box's longer side."""
    side = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(1), 1)
    return np.linalg.norm(points - truth, axis=2).mean(1) / side
