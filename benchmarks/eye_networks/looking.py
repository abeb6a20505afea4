"""Faces as analysis finds them: a detector, then points on each face, twice; ours and the teacher's the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.core.errors import MissingPartError
from facegraft.core.geometry import box_around, box_overlap, transform, warp
from facegraft.core.types import Frame, Mask, Matrix
from facegraft.faces.analyse import Analyser
from facegraft.faces.mediapipe import MediaPipeNetworks, Network
from facegraft.faces.own import DENSE_POINTS, Landmarks, OwnNetworks
from facegraft.faces.topology import EYE_CENTRES

SAME_FACE = 0.4
"""Least overlap of the boxes around found and true points."""
PRESENT = 0.5
IRIS_SIDE, IRIS_MARGIN = 64, 2.3
"""Of the teacher's crop of an eye: pixels, and in widths of the eye."""


@dataclass(frozen=True)
class Seen:
    """One face that was found.

    Attributes:
        dense: 468 points, x, y in pixels of the frame and z in the same unit.
        irises: The one at the left of an upright face, the other one; None = nobody says.
    """

    dense: np.ndarray
    irises: np.ndarray | None


Look = Callable[[Frame], list[Seen]]
"""All faces of a frame, largest first."""


class OurEyes:
    """Our points network behind a detector, as `FaceNetworks`; keeps what was said of the faces of one frame."""

    dense_points = DENSE_POINTS

    def __init__(self, detector: Any, points: OwnNetworks) -> None:
        self._detector, self._points = detector, points
        self.told: list[Landmarks] = []

    def detect(self, frame: Frame, view: Matrix, view_side: float, *, near: bool, min_score: float) -> Any:
        return self._detector.detect(frame, view, view_side, near=near, min_score=min_score)

    def mesh(self, frame: Frame, crop: Matrix) -> tuple[np.ndarray, float]:
        self.told.append(self._points.landmarks(frame, crop))
        return self.told[-1].points[:DENSE_POINTS], self.told[-1].presence

    def irises(self, frame: Frame, crop: Matrix) -> np.ndarray:
        raise MissingPartError("irises are not asked for here")

    def uncovered(self, frame: Frame, crop: Matrix) -> tuple[Mask, Mask]:
        raise MissingPartError("what covers a face is not asked for here")

    def glasses(self, frame: Frame, crop: Matrix) -> Mask:
        raise MissingPartError("glasses are not asked for here")

    def shading(self, frame: Frame, crop: Matrix) -> np.ndarray:
        raise MissingPartError("what light does to a face is not asked for here")


def our_look(detector: Any, points: OwnNetworks) -> Look:
    """Analysis with our points network."""
    eyes = OurEyes(detector, points)
    analyser = Analyser(eyes)

    def look(frame: Frame) -> list[Seen]:
        eyes.told.clear()
        faces = analyser.analyse(frame)
        told = [next(t for t in eyes.told if np.array_equal(t.points[:DENSE_POINTS], dense)) for dense in faces.dense]
        return [Seen(one.points[:DENSE_POINTS], one.points[-2:, :2]) for one in told]

    return look


def teacher_look(networks: MediaPipeNetworks, irises: IrisTeacher | None) -> Look:
    """Analysis with MediaPipe's networks, and its irises where its network for them is there."""
    analyser = Analyser(networks)

    def look(frame: Frame) -> list[Seen]:
        return [Seen(dense, irises(frame, dense) if irises else None) for dense in analyser.analyse(frame).dense]

    return look


class IrisTeacher:
    """MediaPipe's iris network (`iris_landmark.tflite`, Apache-2.0): the middle of each iris from the mesh's eyes.

    The crop is a square of 2.3 widths of the eye, its corners level; the eye at the right is shown to it mirrored.
    """

    def __init__(self, path: Path) -> None:
        self._network = Network(path, 1)

    def __call__(self, frame: Frame, dense: np.ndarray) -> np.ndarray:
        return np.stack([self._iris(frame, dense, ring, mirrored=n == 1) for n, ring in enumerate(EYE_CENTRES)])

    def _iris(self, frame: Frame, dense: np.ndarray, ring: Sequence[int], *, mirrored: bool) -> np.ndarray:
        left, right = dense[ring[0], :2].astype(np.float64), dense[ring[3], :2].astype(np.float64)
        across = right - left
        zoom = IRIS_SIDE / (IRIS_MARGIN * max(float(np.linalg.norm(across)), 1e-6))
        cos, sin = across / max(float(np.linalg.norm(across)), 1e-6) * zoom
        turn = np.array([[cos, sin], [-sin, cos]])
        if mirrored:
            turn[0] *= -1
        matrix = np.column_stack([turn, IRIS_SIDE / 2 - turn @ ((left + right) / 2)]).astype(np.float32)
        crop = warp(frame, matrix, (IRIS_SIDE, IRIS_SIDE))
        iris = min(self._network(crop.astype(np.float32) / np.float32(255)), key=len).reshape(5, 3)[0, :2]
        back = np.linalg.inv(np.vstack([matrix.astype(np.float64), [0, 0, 1]]))[:2].astype(np.float32)
        return transform(back, iris[None])[0]


def nearest(faces: Sequence[Seen], truth: np.ndarray) -> Seen | None:
    """The face that is meant; None where none overlaps it by `SAME_FACE`."""
    if not faces:
        return None
    boxes = np.stack([box_around(face.dense[:, :2]) for face in faces])
    overlaps = box_overlap(box_around(truth[:, :2]), boxes)
    best = int(overlaps.argmax())
    return faces[best] if overlaps[best] >= SAME_FACE else None


def at_crop(networks: Any, frame: Frame, crop: Matrix) -> np.ndarray | None:
    """The mesh in one look at a crop that is right, no detector asked; None where the network sees no face."""
    dense, presence = networks.mesh(frame, crop)
    return dense if presence >= PRESENT else None
