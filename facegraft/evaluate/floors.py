"""What every method is compared with: the right answer, and answers that need no skill.

A method that is not clearly better than pasting has learned nothing; one whose attributes are no worse than the copy's
while its identity is no better has changed nothing. None of these needs a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.errors import NoFaceError
from facegraft.core.geometry import fit_similarity, sample, transform, warp
from facegraft.core.types import Face, Frame, Mask
from facegraft.evaluate.protocol import Case
from facegraft.faces.align import alignment
from facegraft.faces.analyse import Analyser
from facegraft.faces.mesh import Grid, interpolate, rasterise
from facegraft.faces.topology import OVAL

FLOORS = ("true-swap", "copy", "paste", "mean-face")
"""Names for users; the first is a ceiling."""
CEILING = FLOORS[0]
SOFT_EDGE = 0.08
"""Width of the edge over which a pasted face fades, in widths of its oval."""
MEAN_SIDE = 192
MOST_AVERAGED = 40
"""Faces of people in the mean face; more change nothing that can be seen."""


@dataclass(frozen=True, eq=False)
class Floor:
    """A method that may look at all of a case.

    Attributes:
        about: One line for a report.
        answer: Case -> frame, or None where it has none.
    """

    about: str
    answer: Callable[[Case], Frame | None]


def floors(analyser: Analyser, identities: Callable[[], Iterable[Frame]]) -> dict[str, Floor]:
    """All of `FLOORS`, in that order.

    Args:
        analyser: Finds the faces.
        identities: Called once, when the mean face is first needed: pictures of the people of the set.
    """
    mean = MeanFace(analyser, identities)
    return {
        "true-swap": Floor("the right answer, as rendered: the ceiling", lambda case: case.truth),
        "copy": Floor("the attribute picture as it is: keeps everything, swaps nobody", lambda case: case.attribute),
        "paste": Floor(
            "the identity's face, turned and scaled onto the other by five points, with a soft edge",
            lambda case: paste_face(analyser, case.identity, case.attribute),
        ),
        "mean-face": Floor(
            "the mean of the set's faces warped onto the points of the attribute picture: nobody's identity",
            lambda case: mean.onto(case.attribute),
        ),
    }


def paste_face(analyser: Analyser, identity: Frame, attribute: Frame) -> Frame:
    """The identity's oval by the similarity from its five points to the attribute's; no colour is matched.

    Raises:
        NoFaceError: A picture shows no face.
    """
    giving, taking = face_of(analyser, identity), face_of(analyser, attribute)
    matrix = fit_similarity(giving.points5, taking.points5)
    height, width = attribute.shape[:2]
    moved = warp(identity, matrix, (width, height))
    return blend(attribute, moved, soft_oval(transform(matrix, giving.dense[list(OVAL), :2]), (height, width)))


class MeanFace:
    """The mean of people's faces, brought to the same points before they are averaged; made when first needed."""

    def __init__(self, analyser: Analyser, identities: Callable[[], Iterable[Frame]]) -> None:
        self._analyser, self._identities = analyser, identities
        self._points: Float32[np.ndarray, "k 3"] | None = None
        self._picture = np.zeros((MEAN_SIDE, MEAN_SIDE, 3), np.float32)

    def onto(self, attribute: Frame) -> Frame:
        """The mean face on the attribute's points.

        Raises:
            NoFaceError: The attribute picture shows no face, or none of the identities does.
        """
        if self._points is None:
            self._points = self._average()
        face = face_of(self._analyser, attribute)
        height, width = attribute.shape[:2]
        moved = self._moved(self._picture, self._points, face.dense, (height, width))
        mask = soft_oval(face.dense[list(OVAL), :2], (height, width))
        return blend(attribute, moved, mask)

    def _average(self) -> Float32[np.ndarray, "k 3"]:
        """Fills the picture, and returns where its points are."""
        crops, points = self._aligned()
        mean = np.mean(points, axis=0).astype(np.float32)
        side = (MEAN_SIDE, MEAN_SIDE)
        pictures = [self._moved(crop, own, mean, side) for crop, own in zip(crops, points, strict=True)]
        self._picture = np.mean(pictures, axis=0).astype(np.float32)
        return mean

    def _aligned(self) -> tuple[list[Frame], list[Float32[np.ndarray, "k 3"]]]:
        crops, points = [], []
        for frame in self._identities():
            faces = self._analyser.analyse(frame, thorough=False)
            if len(faces):
                matrix = alignment(faces[0].points5, "ffhq", MEAN_SIDE)
                scale = np.float32(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
                crops.append(warp(frame, matrix, (MEAN_SIDE, MEAN_SIDE)))
                points.append(np.column_stack([transform(matrix, faces[0].dense[:, :2]), faces[0].dense[:, 2] * scale]))
            if len(crops) == MOST_AVERAGED:
                break
        if not crops:
            raise NoFaceError("mean face: no face found in any identity picture of the set")
        return crops, points

    def _moved(
        self,
        picture: Float[np.ndarray, "a a 3"] | Frame,
        points: Float32[np.ndarray, "k 3"],
        onto: Float32[np.ndarray, "k 3"],
        size_hw: tuple[int, int],
    ) -> Float32[np.ndarray, "h w 3"]:
        """A picture whose points go to other points, by the triangles of the mesh."""
        triangles = self._analyser.topology.triangles
        height, width = size_hw
        raster = rasterise(onto, triangles, Grid((0.0, 0.0), (width, height), (1.0, 1.0)))
        at = interpolate(raster, onto, points[:, :2], triangles) - np.float32(0.5)
        return np.asarray(sample(picture.astype(np.float32), at.astype(np.float32)), np.float32)


def face_of(analyser: Analyser, frame: Frame) -> Face:
    """The largest face of a picture.

    Raises:
        NoFaceError: There is none.
    """
    faces = analyser.analyse(frame, thorough=False)
    if not len(faces):
        faces = analyser.analyse(frame)
    if not len(faces):
        raise NoFaceError("no face found to paste or to paste over")
    return faces[0]


def soft_oval(points: Float[np.ndarray, "n 2"], size_hw: tuple[int, int]) -> Mask:
    """1 within the hull of the points but for its edge, where it falls to 0 inwards of the hull's border."""
    filled = np.zeros(size_hw, np.uint8)
    hull = cv2.convexHull(np.rint((points - 0.5) * 16).astype(np.int32))
    cv2.fillConvexPoly(filled, hull, 1, cv2.LINE_8, 4)
    depth = cv2.distanceTransform(filled, cv2.DIST_L2, 5)
    edge_px = max(1.0, SOFT_EDGE * float(np.ptp(points[:, 0])))
    return np.asarray(np.clip(depth / edge_px, 0, 1), np.float32)


def blend(under: Frame, over: Float[np.ndarray, "h w 3"] | Frame, mask: Mask) -> Frame:
    """`over` where the mask is 1, `under` where it is 0."""
    weight = mask[..., None]
    mixed = under * (1 - weight) + over * weight
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)
