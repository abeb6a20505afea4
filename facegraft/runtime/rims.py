"""Glasses taken off an unrolled photo: thin rims are painted over with the skin beside them.

A swap keeps the attribute frame's glasses and should not bring the photo's. Where rims simply count as not shown, the
frame's own skin is seen through them, and leaves pale rings on a face that is otherwise the person's.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool

from facegraft.core.types import Frame, Mask
from facegraft.faces.layers import LAYER_SCALE, layers

SURE, MAYBE = 0.6, 0.25
"""Chances of glasses: a rim begins where it is sure, and runs on where it may be."""
THICK = 0.26
"""What is wider, in outer-eye distances, are dark lenses, behind which nothing is known."""
FRINGE = 0.025
"""Beside a rim so much is painted over too, in the same unit: shadow and blur."""
PAINT_REACH = 0.06
"""How far away skin is taken from."""


def without_rims(texture: Frame, free: Mask, glasses: Mask, scale: int) -> tuple[Frame, Mask]:
    """The texture without rims of glasses, and where nothing lies before the face then.

    Args:
        texture: An unrolled photo.
        free: Where the networks see the face itself, 0..1.
        glasses: The chance of glasses, 0..1.
        scale: Texture pixels per outer-eye distance.
    """
    rim = rims(glasses, scale)
    if not rim.any():
        return texture, free
    painted = cv2.inpaint(texture, rim.astype(np.uint8), max(PAINT_REACH * scale, 1.0), cv2.INPAINT_TELEA)
    around = cv2.morphologyEx(free, cv2.MORPH_CLOSE, _disc(THICK * scale))
    return np.asarray(painted, np.uint8), np.where(rim, np.maximum(free, around), free).astype(np.float32)


def rims(glasses: Mask, scale: int) -> Bool[np.ndarray, "h w"]:
    """Thin parts of glasses, with their fringe."""
    maybe = (glasses > MAYBE).astype(np.uint8)
    _, parts = cv2.connectedComponents(maybe)
    begun = np.unique(parts[glasses > SURE])
    worn = np.isin(parts, begun[begun > 0]).astype(np.uint8)
    lenses = cv2.dilate(cv2.morphologyEx(worn, cv2.MORPH_OPEN, _disc(THICK * scale)), _disc(0.5 * THICK * scale))
    thin = cv2.dilate(cv2.subtract(worn, lenses), _disc(2 * FRINGE * scale))
    lids = np.maximum(layers(LAYER_SCALE)["left_lids"], layers(LAYER_SCALE)["right_lids"])
    eyes = cv2.resize(lids, (thin.shape[1], thin.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(thin, bool) & (eyes < 0.5)


def _disc(diameter: float) -> np.ndarray:
    side = 2 * round(diameter / 2) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
