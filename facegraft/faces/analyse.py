"""`analyse(frame) -> Faces`: find faces, place dense points on each, derive the rest. READ FIRST.

The steps, in order: look for faces in views of the frame (whole, then tiles for small faces, then turned
views for lying heads); bring each to an upright square; place dense points, twice, the second time on
the crop that the first points give; drop what is no face or a face seen twice; five points and head pose follow
from the dense points.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.errors import BadInputError
from facegraft.core.geometry import invert, keep_best, transform
from facegraft.core.types import Face, Faces, Frame, Mask, Matrix, no_faces
from facegraft.faces.own import OwnNetworks
from facegraft.faces.shading import Shading
from facegraft.faces.topology import NARROW, Topology, eyes_openness, five_points, head_pose, load_topology
from facegraft.faces.visible import Uncovered, visible_mask

MIN_SCORE = 0.5
"""Of the detector; no picture without faces that training held out reaches more than 0.54, in whole or in tiles."""
PART_SCORE = 0.65
"""The same where only part of a picture is looked at, or all of it turned: hair, ears and wheels reach 0.63 there."""
HEAD = 1.5
"""Sides of a head in sides of its face: a face found in a tile, smaller by as much and within it, is a part of it."""
SURE_SCORE = 0.65
"""Where no upright face reaches this, turned views are tried too: an upside-down face is often half seen."""
MIN_PRESENCE, SURE_PRESENCE = 0.5, 0.9
"""What the points' network must say of a face that is followed, and of a new one. No face of the held-out portraits or
the test clips has less than 0.97; letters of a title that look a little like one reach 0.87."""
CROP_MARGIN = 1.5
"""Side of the crop that the mesh network expects, in sides of the box around the face's points."""
SEEN_MARGIN = 1.2
"""Side of the crop over which the networks say what is uncovered, in the same sides."""
LIT_MARGIN = 1.35
"""Side of the crop over which the networks say what light does, in the same sides (`frozen.shading.CROP_MARGIN`)."""
TILE_MIN_SIDE = 240
"""Smaller tiles of a frame cannot hold more than the whole frame shows."""


@runtime_checkable
class FaceNetworks(Protocol):
    """What analysis needs of its networks; see `faces/own.py` for the units. The first two points are the eyes."""

    dense_points: int

    def detect(
        self, frame: Frame, view: Matrix, view_side: float, *, near: bool, min_score: float
    ) -> tuple[Float32[np.ndarray, "n 4"], Float32[np.ndarray, "n"], Float32[np.ndarray, "n p 2"]]: ...

    def mesh(self, frame: Frame, crop: Matrix) -> tuple[Float32[np.ndarray, "k 3"], float]: ...

    def irises(self, frame: Frame, crop: Matrix) -> Float32[np.ndarray, "2"]: ...

    def uncovered(self, frame: Frame, crop: Matrix) -> tuple[Mask, Mask]: ...

    def glasses(self, frame: Frame, crop: Matrix) -> Mask: ...

    def shading(self, frame: Frame, crop: Matrix) -> Float32[np.ndarray, "s s 3"]: ...


@dataclass(frozen=True)
class Candidate:
    """Where a face may be: middle, side and roll (radians, clockwise) of an upright square around it."""

    middle: Float32[np.ndarray, "2"]
    side: float
    roll: float
    score: float

    def box(self) -> Float32[np.ndarray, "4"]:
        half = np.float32(self.side / 2)
        return np.concatenate([self.middle - half, self.middle + half]).astype(np.float32)

    def is_part_of(self, other: Candidate) -> bool:
        """Smaller than the other face and within its head."""
        away = float(np.abs(self.middle - other.middle).max())
        return self.side * HEAD < other.side and away < HEAD * other.side / 2

    def crop(self, margin: float = CROP_MARGIN) -> Matrix:
        """From the frame to the unit square, turned so that the eyes are level; `margin` times as wide as the face."""
        scale = 1 / (self.side * margin)
        cos, sin = np.cos(self.roll) * scale, np.sin(self.roll) * scale
        turn = np.array([[cos, sin], [-sin, cos]])
        return np.column_stack([turn, 0.5 - turn @ self.middle]).astype(np.float32)


class Analyser:
    """Holds the networks. One instance serves one thread."""

    def __init__(self, networks: FaceNetworks | None = None, *, min_score: float = MIN_SCORE) -> None:
        if networks is None:
            networks = OwnNetworks()
        self.networks = networks
        self.min_score = min_score
        self.topology: Topology = load_topology()

    def analyse(self, frame: Frame, *, thorough: bool = True) -> Faces:
        """All faces of a frame, numbered from 0, the one that takes most of the frame first.

        Args:
            frame: RGB, upright.
            thorough: Also look into tiles (small faces) and, where nothing is found, at turned views (heads lying
                or upside down). False looks once at the whole frame: what a video does at most frames.

        Returns:
            Faces without embeddings; empty where there are none.
        """
        check_frame(frame)
        placed = self._placed(frame, self._upright(frame, thorough=thorough), passes=2 if thorough else 1)
        if thorough and max((score for _, score in placed), default=0.0) < SURE_SCORE:
            placed += self._placed(frame, self._turned(frame), passes=2)
        faces = self._faces(placed)
        faces = faces.take(keep_best(faces.boxes_xyxy, faces.scores, overlap=0.4, containment=0.7))
        order: list[int] = np.argsort(-sizes_in_frame(faces.boxes_xyxy, frame), kind="stable").tolist()
        return _renumbered(faces.take(order))

    def refine(self, frame: Frame, dense: Float32[np.ndarray, "n k 3"]) -> Faces:
        """Follows faces from where their points were in the frame before: no detection, one mesh each.

        Args:
            frame: The next frame.
            dense: Points of the faces in the last frame.

        Returns:
            One row per input face, in its order; `scores` holds the mesh's presence: a face scoring under
            `MIN_PRESENCE` is lost.
        """
        if len(dense) == 0:
            return no_faces(self.networks.dense_points)
        crops = [self._candidate_of(points).crop() for points in dense]
        return self._faces([self.networks.mesh(frame, crop) for crop in crops])

    def uncovered(self, frame: Frame, face: Face, margin: float = SEEN_MARGIN) -> Uncovered:
        """Where the networks see the face itself: no hair, glasses, hands or things before it.

        Args:
            frame: The frame.
            face: One of its faces.
            margin: How far to look, in sides of the box around its points.
        """
        crop = self._candidate_of(face.dense).crop(margin)
        share, mouth = self.networks.uncovered(frame, crop)
        return Uncovered(share, (crop * np.float32(len(share))).astype(np.float32), mouth=mouth)

    def irises(self, frame: Frame, face: Face) -> Float32[np.ndarray, "2"] | None:
        """Chance that the left and the right iris is in view; None where both eyes are wide open: nobody looked."""
        if min(eyes_openness(face.dense)) >= NARROW[1]:
            return None
        return self.networks.irises(frame, self.crop_around(face.dense))

    def looked_closely(self, frame: Frame, face: Face) -> Uncovered:
        """As `uncovered`, and where there are glasses: for a photo of a person, which is looked at once."""
        glasses = self.networks.glasses(frame, self._candidate_of(face.dense).crop(SEEN_MARGIN))
        return dataclasses.replace(self.uncovered(frame, face), glasses=glasses)

    def shading(self, frame: Frame, face: Face) -> Shading:
        """What the light does to a face, as the networks see it."""
        crop = self._candidate_of(face.dense).crop(LIT_MARGIN)
        factors = self.networks.shading(frame, crop)
        return Shading(factors, (crop * np.float32(len(factors))).astype(np.float32))

    def visible(self, frame: Frame, face: Face) -> Mask:
        """The part of a face that is in view, over the whole frame; see `faces/visible.py`."""
        return visible_mask(frame, face, self.topology, self.uncovered(frame, face))

    def crop_around(self, dense: Float32[np.ndarray, "k 3"], margin: float = CROP_MARGIN) -> Matrix:
        """From the frame to the unit square around known points, eyes level: what networks of single faces look at."""
        return self._candidate_of(dense).crop(margin)

    def _upright(self, frame: Frame, *, thorough: bool) -> list[Candidate]:
        found = self._look(frame, whole_view(frame, 0), near=False, min_score=self.min_score)
        if thorough or not found:
            found += self._look(frame, whole_view(frame, 0), near=True, min_score=self.min_score)
        if thorough:
            whole = list(found)
            for view in tile_views(frame):
                seen = self._look(frame, view, near=False, min_score=max(self.min_score, PART_SCORE))
                found += [candidate for candidate in seen if not any(candidate.is_part_of(face) for face in whole)]
        return _distinct(found)

    def _turned(self, frame: Frame) -> list[Candidate]:
        """Lying and upside-down heads."""
        views = [whole_view(frame, quarter) for quarter in (1, 3, 2)]
        least = max(self.min_score, PART_SCORE)
        return _distinct(
            [
                candidate
                for view in views
                for near in (False, True)
                for candidate in self._look(frame, view, near=near, min_score=least)
            ]
        )

    def _look(self, frame: Frame, view: tuple[Matrix, float], *, near: bool, min_score: float) -> list[Candidate]:
        matrix, side = view
        boxes, scores, points = self.networks.detect(frame, matrix, side, near=near, min_score=min_score)
        rows = keep_best(boxes, scores, overlap=0.3)
        back = invert(matrix)
        zoom = float(np.sqrt(abs(np.linalg.det(back[:, :2]))))
        middles = transform(back, (boxes[:, :2] + boxes[:, 2:]) / 2)
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) * zoom
        return [
            Candidate(middles[row], float(sides[row]), _roll(points[row, 0], points[row, 1]), float(scores[row]))
            for row in rows
        ]

    def _placed(
        self, frame: Frame, candidates: list[Candidate], passes: int
    ) -> list[tuple[Float32[np.ndarray, "k 3"], float]]:
        """Points and score of each candidate that is a face; one may be there twice."""
        kept: list[tuple[Float32[np.ndarray, "k 3"], float]] = []
        for candidate in candidates:
            dense, presence = self.networks.mesh(frame, candidate.crop())
            for _ in range(passes - 1):
                if presence >= MIN_PRESENCE:
                    dense, presence = self.networks.mesh(frame, self._candidate_of(dense).crop())
            if presence >= SURE_PRESENCE and np.isfinite(dense).all():
                kept.append((dense, candidate.score))
        return kept

    def _candidate_of(self, dense: Float32[np.ndarray, "k 3"]) -> Candidate:
        """The square around known points, as the mesh network wants it for the next pass."""
        left, right = five_points(self.topology, dense)[:2]
        roll = _roll(left, right)
        cos, sin = np.cos(roll), np.sin(roll)
        turn = np.array([[cos, sin], [-sin, cos]], np.float32)
        upright = dense[:, :2] @ turn.T
        low, high = upright.min(axis=0), upright.max(axis=0)
        middle = turn.T @ ((low + high) / 2)
        return Candidate(middle.astype(np.float32), float((high - low).max()), roll, 1.0)

    def _faces(self, measured: list[tuple[Float32[np.ndarray, "k 3"], float]]) -> Faces:
        if not measured:
            return no_faces(self.networks.dense_points)
        dense = np.stack([points for points, _ in measured])
        boxes = np.concatenate([dense[:, :, :2].min(axis=1), dense[:, :, :2].max(axis=1)], axis=1)
        return Faces(
            numbers=np.arange(len(measured), dtype=np.int64),
            boxes_xyxy=boxes.astype(np.float32),
            scores=np.array([score for _, score in measured], np.float32),
            points5=np.stack([five_points(self.topology, points) for points in dense]),
            dense=dense,
            pose_degrees=np.stack([head_pose(self.topology, points) for points in dense]),
        )


def analyse(frame: Frame) -> Faces:
    """All faces of a frame, largest first. Loads the networks anew: keep an `Analyser` for many frames."""
    return Analyser().analyse(frame)


def check_frame(frame: np.ndarray) -> None:
    """Refuses what this project does not call a frame.

    Raises:
        BadInputError: Not height x width x 3, uint8.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise BadInputError(f"a frame must be height x width x 3, uint8, RGB; got {frame.dtype} of shape {frame.shape}")


def whole_view(frame: Frame, quarter_turns: int) -> tuple[Matrix, float]:
    """The whole frame in the middle of a square, turned clockwise by quarters; the matrix and the square's side."""
    height, width = frame.shape[:2]
    side = float(max(height, width))
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter_turns % 4]
    turn = np.array([[cos, -sin], [sin, cos]], np.float64)
    shift = side / 2 - turn @ [width / 2, height / 2]
    return np.column_stack([turn, shift]).astype(np.float32), side


def tile_views(frame: Frame) -> Iterator[tuple[Matrix, float]]:
    """Overlapping squares for small faces: side about 0.6, then 0.36, then 0.2 of the frame's shorter side."""
    height, width = frame.shape[:2]
    for side in dict.fromkeys(max(share * min(height, width), TILE_MIN_SIDE) for share in (0.6, 0.36, 0.2)):
        if side >= max(height, width):
            continue
        columns, rows = (max(1, int(np.ceil((length - side) / (0.7 * side))) + 1) for length in (width, height))
        for top in np.linspace(0, max(height - side, 0), rows):
            for left in np.linspace(0, max(width - side, 0), columns):
                yield np.array([[1, 0, -left], [0, 1, -top]], np.float32), float(side)


def _roll(left_eye: Float[np.ndarray, "2"], right_eye: Float[np.ndarray, "2"]) -> float:
    across = right_eye - left_eye
    return float(np.arctan2(across[1], across[0]))


def _distinct(candidates: list[Candidate]) -> list[Candidate]:
    """One candidate per place; of two, the one that scores better. A small box inside a big one is the same face."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda item: -item.score):
        apart = [float(np.linalg.norm(candidate.middle - other.middle)) for other in kept]
        if all(gap >= 0.4 * max(candidate.side, other.side) for gap, other in zip(apart, kept, strict=True)):
            kept.append(candidate)
    return kept


def sizes_in_frame(boxes: Float32[np.ndarray, "n 4"], frame: Frame) -> Float32[np.ndarray, "n"]:
    """Sides of the squares that have the area of what of the boxes lies in the frame; pixels.

    Somebody who stands half outside is not who a picture is of, however large.
    """
    height, width = frame.shape[:2]
    sides = boxes[:, 2:].clip(max=(width, height)) - boxes[:, :2].clip(min=0)
    return np.sqrt(sides.clip(min=0).prod(axis=1)).astype(np.float32)


def _renumbered(faces: Faces) -> Faces:
    return Faces(
        numbers=np.arange(len(faces), dtype=np.int64),
        boxes_xyxy=faces.boxes_xyxy,
        scores=faces.scores,
        points5=faces.points5,
        dense=faces.dense,
        pose_degrees=faces.pose_degrees,
        embeddings=faces.embeddings,
    )
