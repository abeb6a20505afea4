"""What of an attribute face is in view: the rest (hair, glasses, hands, things) stays as it is in the frame."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.geometry import sample
from facegraft.core.types import Face, Frame, Mask, Matrix
from facegraft.faces.layers import LAYER_SCALE, MARK, pack, to_pixels, with_features
from facegraft.faces.mediapipe import draw_hand
from facegraft.faces.mesh import grid_over, interpolate, rasterise
from facegraft.faces.parse import skin_likeness
from facegraft.faces.topology import Topology

MASK_CELLS = 128
"""Along the longer side of a face: the mask is made there and enlarged."""


def visible_face(
    image: Frame,
    uv: Float32[np.ndarray, "h w 2"],
    topology: Topology,
    hands: list[Float32[np.ndarray, "21 3"]],
    to_image: Matrix,
) -> Mask:
    """1 where the face itself is seen.

    Args:
        image: The box around the face, on the plan's grid.
        uv: Place of each cell in the unrolled face.
        topology: The mesh's facts.
        hands: Hands found near the face, in frame pixels.
        to_image: From the frame to `image`.
    """
    packed = pack(LAYER_SCALE, "sure", "safe", "skin", "drawn")
    at = to_pixels(uv, topology, LAYER_SCALE)
    sure, safe, skin, drawn = cv2.split(sample(packed, at, border=cv2.BORDER_CONSTANT))
    held = np.zeros(image.shape[:2], np.float32)
    for hand in hands:
        draw_hand(held, hand, to_image)
    free = (1 - cv2.GaussianBlur(held, (0, 0), 1.0)).astype(np.float32)
    cells = _cells_per_unit(uv)
    like = skin_likeness(image, sure * free, safe, mark_px=round(MARK * cells))
    seen = with_features(like.skin * free, skin, drawn * free, cells)
    return np.asarray(cv2.GaussianBlur(seen, (0, 0), 0.8))


def _cells_per_unit(uv: Float32[np.ndarray, "h w 2"]) -> float:
    """Grid cells per outer-eye distance, from the middle of the face."""
    row, column = uv.shape[0] // 2, uv.shape[1] // 2
    step = float(np.linalg.norm(uv[row, min(column + 2, uv.shape[1] - 1)] - uv[row, max(column - 2, 0)])) / 4
    return 1 / max(step, 1e-3)


def visible_mask(
    frame: Frame, face: Face, topology: Topology, hands: list[Float32[np.ndarray, "21 3"]] | None = None
) -> Mask:
    """The part of a face that is in view, over the whole frame: 1 = face, 0 = hair, glasses, hands, background.

    Args:
        frame: The frame.
        face: One of its faces.
        topology: The mesh's facts.
        hands: Hands near it, as `Analyser.hands` finds them.
    """
    low, high = np.floor(face.dense[:, :2].min(axis=0)).astype(int), np.ceil(face.dense[:, :2].max(axis=0)).astype(int)
    left, top = np.maximum(low, 0).tolist()
    right, bottom = np.minimum(high, [frame.shape[1], frame.shape[0]]).tolist()
    mask = np.zeros(frame.shape[:2], np.float32)
    if right - left < 8 or bottom - top < 8:
        return mask
    grid = grid_over((left, top, right, bottom), MASK_CELLS)
    raster = rasterise(face.dense, topology.triangles, grid)
    uv = interpolate(raster, face.dense, topology.uv, topology.triangles)
    small = cv2.resize(frame[top:bottom, left:right], grid.size_wh, interpolation=cv2.INTER_AREA)
    seen = visible_face(small, uv, topology, hands or [], grid.to_grid()) * raster.covered()
    mask[top:bottom, left:right] = cv2.resize(seen, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    return mask
