"""Where things are on the face, as soft maps 0..1 over the atlas: beard, gloss, make-up, freckles, redness.

Coordinates are decimetres on the mean adult around the middle of the eyes; see `wrinkles` for fixed points.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from facegraft.data.synth.skin_space import SkinSpace

Field = Float32[np.ndarray, "h w"]
_CHEEK_LINE = ((0.0, 0.20, 0.27, 0.34, 0.46, 0.57, 0.63, 0.68), (-0.455, -0.47, -0.56, -0.62, -0.55, -0.38, -0.12, 0.1))
"""|x| -> y of a beard's upper edge: moustache, cheek line, sideburn."""


def _soft(value: Float32[np.ndarray, "..."], width: float) -> Float32[np.ndarray, "..."]:
    """0 below -width, 1 above width, smooth between."""
    t = np.clip(value / (2 * width) + 0.5, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def beard_region(space: SkinSpace, lips: Field) -> dict[str, Field]:
    """Where each style of beard grows; the keys are those of `Beard.style` but for "none"."""
    x, y, z = np.abs(space.places[0]), space.places[1], space.places[2]
    top = np.interp(x, *_CHEEK_LINE).astype(np.float32)
    whole = _soft(top - y, 0.05) * _soft(y + 1.22 + 0.15 * x, 0.10) * _soft(z + 0.78, 0.10) * space.head
    whole *= 1 - np.clip(1.4 * lips, 0, 1)
    upper = whole * _soft(y + 0.66, 0.02) * _soft(0.29 - x, 0.04)
    chin = whole * _soft(-0.76 - y, 0.05) * _soft(0.25 - x, 0.05) * _soft(y + 1.12, 0.06)
    beside = whole * _soft(0.31 - x, 0.03) * _soft(x - 0.20, 0.03) * _soft(-0.60 - y, 0.03) * _soft(y + 0.9, 0.05)
    below_lip = 0.25 + 0.75 * np.clip(_soft(x - 0.16, 0.05) * 0.3 + _soft(-0.86 - y, 0.04) + upper, 0, 1)
    goatee = np.clip(upper + np.maximum(chin, beside), 0, 1)
    whole = np.where(y < -0.7, whole * np.maximum(below_lip, _soft(x - 0.2, 0.05)), whole)
    return {"stubble": whole, "full": whole, "long": whole, "moustache": upper, "goatee": goatee}


def gloss(space: SkinSpace, lips: Field) -> Field:
    """Where skin is oily: forehead, nose, upper cheeks, chin, lips."""
    spots = (
        ((0.0, 0.45, 0.0), (0.30, 0.17, 0.5), 0.75),
        ((0.0, -0.30, 0.28), (0.09, 0.09, 0.2), 1.0),
        ((0.0, -0.10, 0.17), (0.06, 0.20, 0.2), 0.7),
        ((0.38, -0.20, -0.05), (0.15, 0.11, 0.3), 0.6),
        ((-0.38, -0.20, -0.05), (0.15, 0.11, 0.3), 0.6),
        ((0.0, -0.95, 0.08), (0.14, 0.09, 0.2), 0.5),
    )
    out = np.full(space.size_hw, 0.22, np.float32)
    for centre, radius, strength in spots:
        out = np.maximum(out, strength * space.blob(np.array(centre), radius))
    return np.maximum(out, 0.8 * lips)


def under_eyes(space: SkinSpace) -> Field:
    """The thin skin below the eyes and at their inner corners."""
    out = np.zeros(space.size_hw, np.float32)
    for side in (-1, 1):
        out = np.maximum(out, space.blob(np.array((side * 0.27, -0.105, 0.05)), (0.15, 0.050, 0.3)))
        out = np.maximum(out, 0.8 * space.blob(np.array((side * 0.175, -0.055, 0.04)), (0.045, 0.06, 0.2)))
    return out * space.head


def blush(space: SkinSpace) -> Field:
    """Make-up on the cheekbones, rising to the ears."""
    out = np.zeros(space.size_hw, np.float32)
    for side in (-1, 1):
        for x, y, weight in ((0.36, -0.32, 0.8), (0.44, -0.26, 1.0), (0.53, -0.19, 0.7)):
            out = np.maximum(out, weight * space.blob(np.array((side * x, y, -0.15)), (0.13, 0.10, 0.5)))
    return out * space.head


def flush(space: SkinSpace) -> Field:
    """Where blood shows: cheeks, nose, chin, ears."""
    out = np.zeros(space.size_hw, np.float32)
    for side in (-1, 1):
        out = np.maximum(out, space.blob(np.array((side * 0.36, -0.30, 0.0)), (0.19, 0.17, 0.5)))
        out = np.maximum(out, 0.8 * space.blob(np.array((side * 0.72, -0.10, -0.9)), (0.14, 0.25, 0.3)))
    out = np.maximum(out, 0.9 * space.blob(np.array((0.0, -0.30, 0.25)), (0.12, 0.11, 0.25)))
    return np.maximum(out, 0.4 * space.blob(np.array((0.0, -0.95, 0.05)), (0.15, 0.12, 0.3))) * space.head


def eye_shadow(space: SkinSpace) -> Field:
    """The upper lid and a fading band up to the fold above it."""
    return _above_lids(space, 0.150) ** 1.3


def eyeliner(space: SkinSpace) -> Field:
    """A thin line along the upper lid's edge, stronger towards the outer corner."""
    out = np.zeros(space.size_hw, np.float32)
    width = max(0.008, 0.6 * space.texel_dm)
    for rows in ((39, 38, 37, 36), (42, 43, 44, 45)):
        lid = space.landmarks[list(rows)]
        line = np.concatenate([0.6 * lid[:1] + 0.4 * lid[1:2], lid[1:]])
        numbers, distance, along = space.along(line, 4 * width)
        painted = 0.8 * _soft(width - distance.astype(np.float32), 0.8 * width) * (0.35 + 0.65 * along)
        out.reshape(-1)[numbers] = np.maximum(out.reshape(-1)[numbers], painted * np.clip(6 * (1 - along), 0, 1))
    return out


def _above_lids(space: SkinSpace, reach_dm: float) -> Field:
    out = np.zeros(space.size_hw, np.float32)
    for rows, side in (((36, 37, 38, 39), -1), ((42, 43, 44, 45), 1)):
        lid = space.landmarks[list(rows)]
        edge = np.interp(space.places[0], lid[:, 0], lid[:, 1]).astype(np.float32)
        distance = space.away_from(lid, reach_dm)
        band = (1 - distance / reach_dm) * _soft(space.places[1] - edge + 0.006, 0.012)
        out = np.maximum(out, band * (side * space.places[0] > 0.10))
    return out


def freckle_density(space: SkinSpace) -> Field:
    """Chance of a freckle: nose and cheeks first, then forehead, a little elsewhere on the front."""
    spots = (
        ((0.33, -0.22, 0.0), (0.22, 0.13, 0.5), 1.0),
        ((-0.33, -0.22, 0.0), (0.22, 0.13, 0.5), 1.0),
        ((0.0, -0.20, 0.2), (0.14, 0.13, 0.4), 0.9),
        ((0.0, 0.40, 0.0), (0.45, 0.20, 0.5), 0.35),
    )
    out = np.full(space.size_hw, 0.05, np.float32)
    for centre, radius, strength in spots:
        out = np.maximum(out, strength * space.blob(np.array(centre), radius))
    return out * bare_front(space)


def bare_front(space: SkinSpace) -> Field:
    """The front of the face without eyes and lips: where moles, scars and spots may be."""
    x, y, z = np.abs(space.places[0]), space.places[1], space.places[2]
    out = _soft(z + 0.75, 0.08) * _soft(0.72 - y, 0.05) * _soft(y + 1.4, 0.1) * space.head
    eyes = _soft(0.46 - x, 0.02) * _soft(x - 0.13, 0.02) * _soft(0.10 - np.abs(y + 0.01), 0.02)
    mouth = _soft(1 - (x / 0.25) ** 2 - ((y + 0.665) / 0.125) ** 2, 0.1)
    return out * (1 - eyes) * (1 - mouth)
