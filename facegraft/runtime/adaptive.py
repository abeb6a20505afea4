"""GHOST's adaptive mask: how a result is put back depends on which of the two faces is wider (Groshev et al., 2022).

Where the result is narrower than the face that it replaces, a mask as wide as either would show two outlines, so it
keeps away from the result's edge; where the result is wider, it reaches beyond. Which of the four ways it is, the first
frame of a face decides, for as long as it is seen: else the edge would jump.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.types import Mask
from facegraft.faces.topology import LANDMARKS_68, LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE

LEFT_SIDE, RIGHT_SIDE = (
    (LANDMARKS_68[2], LANDMARKS_68[3], LANDMARKS_68[4]),
    tuple(LANDMARKS_68[n] for n in (12, 13, 14)),
)
"""Three points of the jaw at the left and at the right of the frame, at the height of the mouth and above."""
LOWER_LIDS = (LEFT_EYE[1:8], RIGHT_EYE[1:8])
"""The first half of an eye's ring, without its corners."""
CELLS = 128
"""Side of the mask; it is smooth, so larger crops get it enlarged."""

Points = Float32[np.ndarray, "468 d"]


@dataclass(frozen=True)
class Edge:
    """One way to end a mask; lengths in shares of the crop's side (published for 224 pixels).

    Attributes:
        least: Of `narrowing`, from which on it is taken.
        grow: Width of the square by which the face's hull is widened; negative: narrowed.
        blur: Sigma across and along.
        brow: How far brows are pushed up, in half distances from brow to lower lid.
    """

    least: float
    grow: float
    blur: tuple[float, float]
    brow: float


EDGES = (
    Edge(6 / 224, -15 / 224, (15 / 224, 10 / 224), 2.7),
    Edge(3 / 224, -10 / 224, (10 / 224, 8 / 224), 2.0),
    Edge(-3 / 224, -5 / 224, (5 / 224, 5 / 224), 2.0),
    Edge(-np.inf, 5 / 224, (5 / 224, 10 / 224), 0.5),
)
"""The more the result is narrower, the earlier in this list."""


def narrowing(attribute: Points, swapped: Points, side: int) -> float:
    """How much narrower the result is than the face that it replaces, in shares of the crop's side.

    Args:
        attribute: Mesh of the face in the crop, pixels.
        swapped: Mesh of the result.
        side: Of the crop, pixels.

    Returns:
        Sum over three points of what the result's lie inside the other's; the larger of the two sides.
    """
    left = (swapped[list(LEFT_SIDE), 0] - attribute[list(LEFT_SIDE), 0]).sum()
    right = (attribute[list(RIGHT_SIDE), 0] - swapped[list(RIGHT_SIDE), 0]).sum()
    return float(max(left, right)) / side


def edge_number(narrower: float) -> int:
    """Which of `EDGES`."""
    return next(number for number, edge in enumerate(EDGES) if narrower > edge.least or edge is EDGES[-1])


def adaptive_mask(swapped: Points, side: int, number: int) -> Mask:
    """What to take of a result: its face up to above the brows, ending as `EDGES[number]` says; 0..1.

    Args:
        swapped: Mesh of the result, in pixels of the crop.
        side: Of the crop.
        number: Of `edge_number`.
    """
    edge = EDGES[number]
    points = swapped[:, :2] * np.float32(CELLS / side) - np.float32(0.5)  # OpenCV draws between cell centres
    outline = points[list(LANDMARKS_68)]  # jaw and brows: the mesh would add the forehead
    hull = cv2.convexHull(np.concatenate([outline, *_raised(points, edge.brow)]).astype(np.float32))
    face = np.zeros((CELLS, CELLS), np.float32)
    cv2.fillConvexPoly(face, np.rint(hull * 16).astype(np.int32), 1.0, cv2.LINE_AA, 4)
    square = np.ones((max(1, round(abs(edge.grow) * CELLS)),) * 2, np.uint8)
    mask = cv2.dilate(face, square) if edge.grow > 0 else cv2.erode(face, square)
    across, along = (sigma * CELLS for sigma in edge.blur)
    rim = round(2 * along)
    mask[:rim] = mask[-rim:] = mask[:, :rim] = mask[:, -rim:] = 0
    soft = cv2.GaussianBlur(mask, (0, 0), across, sigmaY=along, borderType=cv2.BORDER_CONSTANT)
    return np.clip(cv2.resize(soft, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1).astype(np.float32)


def _raised(points: Float32[np.ndarray, "468 2"], factor: float) -> list[Float32[np.ndarray, "n 2"]]:
    """Both brows, moved away from the lower lids."""
    raised = []
    for brow, lid in zip((LEFT_BROW, RIGHT_BROW), LOWER_LIDS, strict=True):
        lower = points[list(lid)].mean(axis=0)
        raised.append(points[list(brow)] + np.float32(factor * 0.5) * (points[list(brow)].mean(axis=0) - lower))
    return raised
