"""What of an attribute face is in view: the rest (hair, glasses, hands, things) stays as it is in the frame."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.geometry import sample
from facegraft.core.types import Frame, Mask, Matrix
from facegraft.faces.mediapipe import draw_hand
from facegraft.faces.parse import skin_likeness
from facegraft.faces.topology import Topology
from facegraft.runtime.texture import LAYER_SCALE, MARK, layers, to_pixels, with_features


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
    at = to_pixels(uv, topology, LAYER_SCALE)
    fixed = layers(LAYER_SCALE)

    def layer(name: str) -> Mask:
        return sample(fixed[name], at, border=cv2.BORDER_CONSTANT)

    held = np.zeros(image.shape[:2], np.float32)
    for hand in hands:
        draw_hand(held, hand, to_image)
    free = (1 - cv2.GaussianBlur(held, (0, 0), 1.0)).astype(np.float32)
    cells = _cells_per_unit(uv)
    like = skin_likeness(image, layer("sure") * free, layer("safe"), mark_px=round(MARK * cells))
    seen = with_features(like.skin * free, layer("skin"), layer("drawn") * free, cells)
    return np.asarray(cv2.GaussianBlur(seen, (0, 0), 0.8))


def _cells_per_unit(uv: Float32[np.ndarray, "h w 2"]) -> float:
    """Grid cells per outer-eye distance, from the middle of the face."""
    row, column = uv.shape[0] // 2, uv.shape[1] // 2
    step = float(np.linalg.norm(uv[row, min(column + 2, uv.shape[1] - 1)] - uv[row, max(column - 2, 0)])) / 4
    return 1 / max(step, 1e-3)
