"""How evaluation sees: one pass of our own networks over a picture, each result made when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from facegraft.core.geometry import warp
from facegraft.core.types import Face, Frame, Mask, Matrix
from facegraft.faces.align import alignment
from facegraft.faces.analyse import Analyser
from facegraft.faces.attributes import AttributeReader, FaceAttributes
from facegraft.faces.embed import CHIP_SIZE, chip_matrix
from facegraft.faces.topology import LEFT_EYE, OVAL, RIGHT_EYE

GREY = 127
FARTHEST = 0.6
"""Sides of the box of the face looked for, within which a face is taken for that one."""


@runtime_checkable
class Judge(Protocol):
    """A recogniser that measures; `faces.recognisers.OnnxRecogniser` is one."""

    @property
    def size_px(self) -> int: ...

    def embed(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n d"]: ...


@runtime_checkable
class FaceFeature(Protocol):
    """A network whose inner features tell faces from what only looks like them at first sight; see features.py."""

    size_px: int

    def maps(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n c h w"]: ...


@dataclass(frozen=True, eq=False)
class Eyes:
    """The networks that evaluation looks through. One instance serves one thread.

    Attributes:
        analyser: Finds faces, places points, sees what is covered.
        reader: Pose, gaze, openings, expression.
        judges: Name -> recogniser, none of which the judged method was trained with.
        feature: For realism and likeness; None = those metrics are left out, and the report says so.
    """

    analyser: Analyser
    reader: AttributeReader
    judges: dict[str, Judge]
    feature: FaceFeature | None = None

    def look(self, frame: Frame, near: Face | None = None) -> Seen:
        """Looks at a picture. Of several faces the largest counts, or the one nearest to `near`."""
        return Seen(self, frame, near)


class Seen:
    """What is seen in one picture. Everything is None, or empty, where no face is found."""

    def __init__(self, eyes: Eyes, frame: Frame, near: Face | None = None) -> None:
        self.eyes, self.frame, self._near = eyes, frame, near

    @cached_property
    def face(self) -> Face | None:
        """The face that counts; with `near` none that lies elsewhere, or a bystander would stand in for a lost face."""
        faces = self.eyes.analyser.analyse(self.frame, thorough=False)
        if not len(faces):
            faces = self.eyes.analyser.analyse(self.frame)
        if not len(faces):
            return None
        if self._near is None:
            return faces[0]
        middle = self._near.points5.mean(0)
        away = [float(np.linalg.norm(face.points5.mean(0) - middle)) for face in faces]
        best = int(np.argmin(away))
        size = float((self._near.box_xyxy[2:] - self._near.box_xyxy[:2]).max())
        return faces[best] if away[best] <= FARTHEST * size else None

    @cached_property
    def attributes(self) -> FaceAttributes | None:
        """Pose, gaze, openings, expression, light."""
        if self.face is None:
            return None
        return self.eyes.reader.read(self.frame, self.eyes.analyser.crop_around(self.face.dense))

    @cached_property
    def visible(self) -> Mask | None:
        """1 where the inner face is in view, over the whole frame."""
        return None if self.face is None else self.eyes.analyser.visible(self.frame, self.face)

    @cached_property
    def embeddings(self) -> dict[str, Float32[np.ndarray, "d"]]:
        """Judge -> unit vector; of the crop and its mirror image together."""
        return {} if self.face is None else {name: self._embed(judge) for name, judge in self.eyes.judges.items()}

    @cached_property
    def inner_embeddings(self) -> dict[str, Float32[np.ndarray, "d"]]:
        """The same of the inner face alone: all else is grey, so hair, ears and background tell nothing."""
        if self.face is None:
            return {}
        return {name: self._embed(judge, inner=True) for name, judge in self.eyes.judges.items()}

    @cached_property
    def map(self) -> Float32[np.ndarray, "c h w"] | None:
        """The face feature of the face brought upright, where there is a feature."""
        feature, face = self.eyes.feature, self.face
        if feature is None or face is None:
            return None
        matrix = alignment(face.points5, "arcface_112_v2", feature.size_px)
        crop = warp(self.frame, matrix, (feature.size_px, feature.size_px))
        found: Float32[np.ndarray, "c h w"] = feature.maps(crop[None])[0]
        return found

    @cached_property
    def hull(self) -> UInt8[np.ndarray, "h w"]:
        """1 within the face's oval, over the whole frame."""
        inside = np.zeros(self.frame.shape[:2], np.uint8)
        if self.face is not None:
            points = np.rint(self.face.dense[list(OVAL), :2] - 0.5).astype(np.int32)
            cv2.fillConvexPoly(inside, cv2.convexHull(points), 1)
        return inside

    def crop(self, matrix: Matrix, side_px: int) -> Frame:
        """A part of the picture: `matrix` takes the frame to the unit square."""
        to_pixels = (matrix * np.float32(side_px)).astype(np.float32)
        return np.asarray(warp(self.frame, to_pixels, (side_px, side_px)), np.uint8)

    def _embed(self, judge: Judge, *, inner: bool = False) -> Float32[np.ndarray, "d"]:
        face = self.face
        if face is None:
            raise ValueError("no face to embed")
        side = judge.size_px
        matrix = chip_matrix(face.dense) if side == CHIP_SIZE else alignment(face.points5, "arcface_112_v2", side)
        frame = self.frame
        if inner:
            frame = np.where(self.hull[..., None] > 0, frame, np.uint8(GREY))
        crop = warp(frame, matrix, (side, side))
        both = judge.embed(np.stack([crop, crop[:, ::-1]])).sum(0)
        return np.asarray(both / max(float(np.linalg.norm(both)), 1e-12), np.float32)


@dataclass(frozen=True, eq=False)
class Views:
    """What is seen in the four pictures of an answered case; `truth` where there is one."""

    identity: Seen
    attribute: Seen
    swapped: Seen
    truth: Seen | None = None


def outer_eye_distance(face: Face) -> float:
    """Pixels between the outer eye corners in space, so it does not shrink as a head turns; at least 1."""
    left, right = face.dense[[LEFT_EYE[0], RIGHT_EYE[0]]].astype(np.float64)
    return max(1.0, float(np.linalg.norm(left - right)))
