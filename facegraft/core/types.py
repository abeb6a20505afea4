"""What flows through facegraft: frames, faces, patches. Order and range are fixed here, once.

Frames are RGB, height x width x 3, uint8 (uint16 for deep pictures), upright as a person sees them.
Points are x, y in pixels of the frame; the centre of the first pixel is (0.5, 0.5). Masks are 0..1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int64, UInt8, UInt16

Frame = UInt8[np.ndarray, "_h _w 3"]
"""RGB, 0..255."""
DeepFrame = UInt16[np.ndarray, "_h _w 3"]
"""RGB, 0..65535."""
Mask = Float32[np.ndarray, "_h _w"]
"""0..1; 1 = face, or whatever the name says."""
Matrix = Float32[np.ndarray, "2 3"]
"""Affine transform: column vector (x, y, 1) to (x', y')."""


@dataclass(frozen=True)
class Face:
    """One face of a frame. See `Faces` for units."""

    number: int
    box_xyxy: Float32[np.ndarray, "4"]
    score: float
    points5: Float32[np.ndarray, "5 2"]
    dense: Float32[np.ndarray, "k 3"]
    pose_degrees: Float32[np.ndarray, "3"]
    embedding: Float32[np.ndarray, "d"] | None = None


@dataclass(frozen=True)
class Faces:
    """The faces of one frame, largest first, one row each.

    Attributes:
        numbers: 0, 1, 2 ... in a picture; the track's id in a video, which stays with a person.
        boxes_xyxy: Left, top, right, bottom in pixels; may reach outside the frame.
        scores: Detector's confidence, 0..1.
        points5: Left eye, right eye (as seen in the frame), nose tip, left and right mouth corner.
        dense: x, y in pixels and z in the same unit, smaller = nearer; order as `faces/topology.py` says.
        pose_degrees: Yaw (positive: the face looks to the frame's right), pitch (positive: up),
            roll (positive: clockwise in the frame).
        embeddings: Unit vectors of a recogniser, or None where nobody asked for them.
    """

    numbers: Int64[np.ndarray, "n"]
    boxes_xyxy: Float32[np.ndarray, "n 4"]
    scores: Float32[np.ndarray, "n"]
    points5: Float32[np.ndarray, "n 5 2"]
    dense: Float32[np.ndarray, "n k 3"]
    pose_degrees: Float32[np.ndarray, "n 3"]
    embeddings: Float32[np.ndarray, "n d"] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, row: int) -> Face:
        embedding = None if self.embeddings is None else self.embeddings[row]
        return Face(
            number=int(self.numbers[row]),
            box_xyxy=self.boxes_xyxy[row],
            score=float(self.scores[row]),
            points5=self.points5[row],
            dense=self.dense[row],
            pose_degrees=self.pose_degrees[row],
            embedding=embedding,
        )

    def __iter__(self) -> Iterator[Face]:
        return (self[row] for row in range(len(self)))

    def take(self, rows: list[int]) -> Faces:
        """The faces of these rows, in this order."""
        index = np.asarray(rows, dtype=np.int64)
        return Faces(
            numbers=self.numbers[index],
            boxes_xyxy=self.boxes_xyxy[index],
            scores=self.scores[index],
            points5=self.points5[index],
            dense=self.dense[index],
            pose_degrees=self.pose_degrees[index],
            embeddings=None if self.embeddings is None else self.embeddings[index],
        )

    def with_embeddings(self, embeddings: Float32[np.ndarray, "n d"]) -> Faces:
        return replace(self, embeddings=embeddings)


def no_faces(dense_points: int) -> Faces:
    """An empty `Faces`."""
    return Faces(
        numbers=np.zeros(0, np.int64),
        boxes_xyxy=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        points5=np.zeros((0, 5, 2), np.float32),
        dense=np.zeros((0, dense_points, 3), np.float32),
        pose_degrees=np.zeros((0, 3), np.float32),
    )


@dataclass(frozen=True)
class Patch:
    """What a swap adds to a frame, so that only the face's box is ever touched.

    Attributes:
        left: Column of the frame where the patch starts; the patch lies wholly inside the frame.
        top: Row of the frame where it starts.
        delta: Swapped minus original, RGB in units of an 8-bit frame, already weighed by the blend
            mask: exactly 0 where the frame must stay as it is.
    """

    left: int
    top: int
    delta: Float32[np.ndarray, "h w 3"]


def paste(frame: Frame | DeepFrame, patches: list[Patch]) -> None:
    """Adds patches to a frame in place; an 8-bit or 16-bit frame, rounded and clipped."""
    top_value = 255 if frame.dtype == np.uint8 else 65535
    for patch in patches:
        height, width = patch.delta.shape[:2]
        region = frame[patch.top : patch.top + height, patch.left : patch.left + width]
        mixed = region + patch.delta * np.float32(top_value / 255)
        region[...] = np.clip(np.rint(mixed), 0, top_value).astype(frame.dtype)
