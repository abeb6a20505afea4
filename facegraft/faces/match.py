"""Which face of this frame is which of the last: distances between dense points, best pairs, and cuts."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from facegraft.core.geometry import fit_similarity, transform
from facegraft.core.types import Face, Frame
from facegraft.faces.smooth import face_size

THUMBNAIL_WH = (32, 18)
CUT_CHANGE = 10.0
"""Mean change of brightness (0..255) that a cut exceeds; neighbouring frames of our clips differ by at most 5."""
CUT_LIKENESS = 0.75
"""Correlation of brightness that a cut stays below; a flash keeps it high, neighbouring frames are above 0.94."""
CLEAR_YAW, CLEAR_PITCH = 35.0, 30.0
CLEAR_SIZE = 48.0
"""Pixels: smaller faces do not show whose they are."""


def is_clear(face: Face) -> bool:
    """Whether a face shows enough to know a person by: not turned far away, not tiny."""
    yaw, pitch, _ = np.abs(face.pose_degrees)
    return bool(yaw < CLEAR_YAW and pitch < CLEAR_PITCH and face_size(face.dense) >= CLEAR_SIZE)


def path_distance(expected: Float32[np.ndarray, "k 3"], found: Float32[np.ndarray, "k 3"]) -> float:
    """How far a face is from where it should be: middle to middle in face sizes, plus the log of the size's change."""
    size, other = face_size(expected), face_size(found)
    shift = np.linalg.norm(found[:, :2].mean(axis=0) - expected[:, :2].mean(axis=0)) / max(size, other)
    return float(shift + abs(np.log(other / size)))


def shape_distance(one: Float32[np.ndarray, "k 3"], other: Float32[np.ndarray, "k 3"]) -> float:
    """Mean distance of the points, in face sizes, once one face is moved, turned and scaled onto the other."""
    moved = transform(fit_similarity(one[:, :2], other[:, :2]), one[:, :2])
    return float(np.linalg.norm(moved - other[:, :2], axis=1).mean() / face_size(other))


def same_place(one: Float32[np.ndarray, "k 3"], other: Float32[np.ndarray, "k 3"]) -> bool:
    """Whether two sets of points lie on one face."""
    apart = np.linalg.norm(one[:, :2] - other[:, :2], axis=1).mean()
    return bool(apart < 0.35 * max(face_size(one), face_size(other)))


def assign(costs: Float64[np.ndarray, "n m"]) -> list[tuple[int, int]]:
    """Pairs (row, column) with the smallest sum of costs; an infinite cost is no pair.

    As many pairs as possible first, then the cheapest: the Hungarian method with potentials (Kuhn 1955).
    """
    if 0 in costs.shape:
        return []
    if costs.shape[0] > costs.shape[1]:
        return sorted((row, column) for column, row in assign(costs.T))
    finite = costs[np.isfinite(costs)]
    forbidden = (float(np.abs(finite).sum()) + 1.0) * 2 if finite.size else 1.0
    filled = np.where(np.isfinite(costs), costs, forbidden)
    owner = _hungarian(filled)
    pairs = [(int(row), column) for column, row in enumerate(owner) if row >= 0]
    return sorted((row, column) for row, column in pairs if np.isfinite(costs[row, column]))


def _hungarian(costs: Float64[np.ndarray, "n m"]) -> list[int]:
    """The row that owns each column (-1: none); n <= m. Shortest augmenting paths, O(n^2 m)."""
    rows, columns = costs.shape
    row_potential, column_potential = np.zeros(rows + 1), np.zeros(columns + 1)
    owner, previous = np.full(columns + 1, rows), np.zeros(columns + 1, int)  # the last column is the path's start
    for row in range(rows):
        owner[columns], column = row, columns
        slack, used = np.full(columns + 1, np.inf), np.zeros(columns + 1, bool)
        while owner[column] != rows:
            used[column] = True
            current = owner[column]
            reduced = costs[current] - row_potential[current] - column_potential[:columns]
            better = ~used[:columns] & (reduced < slack[:columns])
            slack[:columns][better], previous[:columns][better] = reduced[better], column
            following = int(np.argmin(np.where(used[:columns], np.inf, slack[:columns])))
            delta = slack[following]
            row_potential[owner[used]] += delta
            column_potential[used] -= delta
            slack[:columns][~used[:columns]] -= delta
            column = following
        while column != columns:
            owner[column], column = owner[previous[column]], previous[column]
        owner[columns] = rows
    return [int(row) if row < rows else -1 for row in owner[:columns]]


def thumbnail(frame: Frame) -> UInt8[np.ndarray, "18 32"]:
    """The frame's brightness, tiny: enough to see that the scene changed."""
    step = max(1, min(frame.shape[0] // 72, frame.shape[1] // 128))
    small = cv2.resize(frame[::step, ::step], THUMBNAIL_WH, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def is_doubtful(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]) -> bool:
    """Whether so much changed that it may have been a cut between two scenes that look alike."""
    a, b = before.astype(np.float64), after.astype(np.float64)
    return bool(np.abs(a - b).mean() > CUT_CHANGE / 2) or likeness(a, b) < (1 + CUT_LIKENESS) / 2


def is_cut(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]) -> bool:
    """Whether the scene changed between two thumbnails: much change, and little likeness."""
    a, b = before.astype(np.float64), after.astype(np.float64)
    if np.abs(a - b).mean() < CUT_CHANGE:
        return False
    return likeness(a, b) < CUT_LIKENESS


def likeness(a: Float[np.ndarray, "h w"], b: Float[np.ndarray, "h w"]) -> float:
    """Correlation, -1..1; 0 where one is flat."""
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 1e-9 else 0.0
