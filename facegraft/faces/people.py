"""Who appears in a clip or in many pictures: faces grouped into people."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.geometry import box_around, warp
from facegraft.core.types import Face, Faces, Frame
from facegraft.faces.smooth import face_size

SAME_IN_CLIP = 0.945
"""Cosine from which two tracks of one clip are one person; one person listed twice is better than two as one.

For pictures from here and there use `embed.SAME_PERSON`.
"""
THUMBNAIL_SIDE = 192
THUMBNAIL_MARGIN = 1.7
"""Side of the thumbnail, in sides of the box around the face's points."""


@dataclass
class Sighting:
    """All that was seen of one track, or of one face of one picture."""

    number: int
    first_s: float
    seconds: float = 0.0
    views: int = 0
    quality: float = -1.0
    thumbnail: Frame = field(default_factory=lambda: np.zeros((THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3), np.uint8))
    embedding: Float32[np.ndarray, "d"] | None = None


@dataclass(frozen=True)
class Person:
    """One person.

    Attributes:
        tracks: Numbers of the tracks that show this person.
        first_s: Time of the first frame.
        seconds: How long they are seen.
        embedding: Mean, unit length; None without a recogniser.
        thumbnail: The sharpest, most frontal, largest view.
    """

    tracks: tuple[int, ...]
    first_s: float
    seconds: float
    thumbnail: Frame
    embedding: Float32[np.ndarray, "d"] | None


class Sightings:
    """Gathers faces over the frames of a clip, or over pictures, until `people` is asked for."""

    def __init__(self) -> None:
        self._sightings: dict[int, Sighting] = {}
        self._together: set[tuple[int, int]] = set()

    def add(self, frame: Frame, faces: Faces, *, time_s: float = 0.0, duration_s: float = 0.0) -> None:
        """Takes in one frame. `faces.numbers` must be track ids; for pictures use `add_picture`."""
        numbers = [int(number) for number in faces.numbers]
        self._together.update(itertools.combinations(sorted(numbers), 2))
        for face in faces:
            sighting = self._sightings.setdefault(face.number, Sighting(face.number, time_s))
            sighting.seconds += duration_s
            sighting.views += 1
            if face.embedding is not None:
                sighting.embedding = face.embedding
            hopeful = 1.5 * view_quality(face) > sighting.quality
            if hopeful and (quality := view_quality(face) * sharpness(frame, face)) > sighting.quality:
                sighting.quality, sighting.thumbnail = quality, cut_thumbnail(frame, face)

    def add_picture(self, frame: Frame, faces: Faces) -> None:
        """Takes in one picture of many: its faces are of different people, and get new numbers."""
        start = max(self._sightings, default=-1) + 1
        numbers = np.arange(start, start + len(faces), dtype=np.int64)
        renumbered = faces.take(list(range(len(faces))))
        self.add(frame, Faces(**{**vars(renumbered), "numbers": numbers}))

    def people(self, same_person: float = SAME_IN_CLIP) -> list[Person]:
        """The people, longest seen first. Without embeddings every track is a person of its own."""
        tracks = sorted(self._sightings.values(), key=lambda sighting: sighting.number)
        known = [sighting for sighting in tracks if sighting.embedding is not None]
        unknown = [sighting for sighting in tracks if sighting.embedding is None]
        groups = [[sighting] for sighting in unknown]
        if known:
            embeddings = np.stack([sighting.embedding for sighting in known if sighting.embedding is not None])
            weights = np.array([sighting.views for sighting in known], np.float64)
            rows = {sighting.number: row for row, sighting in enumerate(known)}
            apart = [(rows[a], rows[b]) for a, b in self._together if a in rows and b in rows]
            groups += [[known[row] for row in rows] for rows in cluster(embeddings, weights, apart, same_person)]
        people = [_person(group) for group in groups]
        return sorted(people, key=lambda person: (-person.seconds, person.first_s, person.tracks))


def cluster(
    embeddings: Float32[np.ndarray, "n d"],
    weights: np.ndarray,
    apart: Iterable[tuple[int, int]],
    same_person: float,
) -> list[list[int]]:
    """Groups rows of one person: the two nearest groups are joined until no two are near enough.

    Args:
        embeddings: Unit vectors.
        weights: How much each row counts.
        apart: Pairs of rows that cannot be one person, as they were seen at the same time.
        same_person: Mean cosine between two groups from which they are joined.

    Returns:
        Rows of each group, in order of each group's first row.
    """
    groups: list[list[int]] = [[row] for row in range(len(embeddings))]
    forbidden = np.zeros((len(groups), len(groups)), bool)
    for a, b in apart:
        forbidden[a, b] = forbidden[b, a] = True
    # Mean likeness over all pairs, not that of the means: means of several strangers are more alike than strangers.
    counts = np.asarray(weights, np.float64)
    vectors = embeddings.astype(np.float64)
    totals = (vectors @ vectors.T) * np.outer(counts, counts)
    while len(groups) > 1:
        likeness = np.where(forbidden, -np.inf, totals / np.outer(counts, counts))
        np.fill_diagonal(likeness, -np.inf)
        first, second = sorted(divmod(int(likeness.argmax()), len(groups)))
        if likeness[first, second] < same_person:
            break
        groups[first] += groups.pop(second)
        for table, join in ((totals, np.add), (forbidden, np.logical_or)):
            table[first] = join(table[first], table[second])
            table[:, first] = join(table[:, first], table[:, second])
        counts[first] += counts[second]
        totals, forbidden = (np.delete(np.delete(table, second, 0), second, 1) for table in (totals, forbidden))
        counts = np.delete(counts, second)
    return [sorted(group) for group in groups]


def _person(group: list[Sighting]) -> Person:
    best = max(group, key=lambda sighting: sighting.quality)
    total = sum((s.embedding * np.float32(s.views) for s in group if s.embedding is not None), np.float32(0))
    embedding = None
    if isinstance(total, np.ndarray):
        embedding = (total / max(float(np.linalg.norm(total)), 1e-12)).astype(np.float32)
    return Person(
        tracks=tuple(sorted(sighting.number for sighting in group)),
        first_s=min(sighting.first_s for sighting in group),
        seconds=sum(sighting.seconds for sighting in group),
        thumbnail=best.thumbnail,
        embedding=embedding,
    )


def view_quality(face: Face) -> float:
    """How well a face shows who it is, 0..1: frontal and large is good. Blur is not looked at."""
    yaw, pitch, _ = np.radians(face.pose_degrees.astype(np.float64))
    frontal = max(0.0, np.cos(yaw)) ** 2 * max(0.0, np.cos(pitch)) ** 2
    return float(face.score * frontal * min(1.0, face_size(face.dense) / 160.0))


def sharpness(frame: Frame, face: Face) -> float:
    """0.5 (blurred) .. 1.5 (sharp): the fine detail of the face at 96 pixels a side."""
    small = cv2.cvtColor(_square(frame, face, 1.0, 96), cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = float(cv2.Laplacian(small, cv2.CV_32F).std()) / max(float(small.std()), 4.0)
    return 0.5 + detail / (detail + 0.3)


def cut_thumbnail(frame: Frame, face: Face) -> Frame:
    """The face with some of its surroundings, upright as in the frame."""
    return _square(frame, face, THUMBNAIL_MARGIN, THUMBNAIL_SIDE)


def _square(frame: Frame, face: Face, margin: float, side: int) -> Frame:
    box = box_around(face.dense[:, :2])
    middle, length = (box[:2] + box[2:]) / 2, max(1.0, float((box[2:] - box[:2]).max())) * margin
    scale = side / length
    shift = side / 2 - scale * middle
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    return np.ascontiguousarray(warp(frame, matrix, (side, side)))
