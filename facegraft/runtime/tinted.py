"""Photos in coloured light: where it leaves next to nothing of a channel, what is left is no colour of the person's.

Brought to white light such a channel is mostly noise, and draws stains of green, blue and orange around eyes and mouth.
So faces take their brightness alone from such places, and colours that skin has.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.types import Frame, Mask
from facegraft.faces.layers import smoothstep

RED_TO_GREEN, GREEN_TO_BLUE = (0.0, 0.7), (-0.1, 0.65)
"""Logarithms of ratios of pixel values that skin of any tone has by day, by lamps, and in pictures without colour."""
FAR = (0.1, 0.3)
"""How far outside of those a place is in coloured light a little, and wholly."""
REACH, WIDE = 0.2, 0.5
"""Over which colours are averaged first, in outer-eye distances; and how far around skin speaks for what is none, such
as brows and sockets."""
LEAST = 0.25
"""Share of such a circle that has to be known skin."""
SKIN = np.array([1.22, 0.97, 0.81], np.float32)
"""Of pixel values: what grey is multiplied by. The frame's own tone replaces it; it only has to look like skin."""
HAIR = np.array([1.04, 1.0, 0.96], np.float32)
"""The same for brows."""
COLD = (0.02, 0.12)
"""Share by which green exceeds red, or blue either of them, where brows have a colour that hair has not, a little and
wholly."""
FLOOR = np.float32(4)


def without_tint(photo: Frame, even: Frame, factors: Float32[np.ndarray, "h w 3"], skin: Mask, scale: int) -> Frame:
    """The texture in even light, without colours where the photo's light leaves none.

    Args:
        photo: A texture as its photo shows it.
        even: The same brought to even light.
        factors: The logarithms that did that.
        skin: Where bare skin is seen, 0..1.
        scale: Texture pixels per outer-eye distance.
    """
    tinted = in_coloured_light(photo, skin, scale)
    if not tinted.any():
        return even
    grey = photo.astype(np.float32).mean(axis=2, keepdims=True) * np.exp(factors.mean(axis=2, keepdims=True))
    share = tinted[..., None]
    return np.clip(np.rint(even * (1 - share) + SKIN * grey * share), 0, 255).astype(np.uint8)


def natural_brows(even: Frame, brows: Mask) -> Frame:
    """The texture with brows in a colour that hair has: brown, red, fair or grey, never green or blue.

    Dark hair takes the colour that a photographer gave to shadows, or that of coloured hair around it.

    Args:
        even: A texture in even light.
        brows: Where brows are, 0..1.
    """
    levels = even.astype(np.float32)
    red, green, blue = cv2.split(levels)
    mean = (red + green + blue) / 3
    cold = np.maximum(np.maximum(green - red, blue - green), blue - red) / (mean + FLOOR)
    share = (smoothstep(cold, *COLD) * brows)[..., None]
    if not share.any():
        return even
    return np.clip(np.rint(levels + share * (HAIR * mean[..., None] - levels)), 0, 255).astype(np.uint8)


def in_coloured_light(photo: Frame, skin: Mask, scale: int) -> Mask:
    """1 where skin has a colour that no skin has in white light or lamps'."""
    sigma = REACH * scale
    small_wh = (max(2, round(photo.shape[1] / max(sigma / 4, 1))), max(2, round(photo.shape[0] / max(sigma / 4, 1))))
    weight = cv2.resize(skin, small_wh, interpolation=cv2.INTER_AREA)
    values = cv2.resize(photo.astype(np.float32) * skin[..., None], small_wh, interpolation=cv2.INTER_AREA)
    sums = cv2.GaussianBlur(np.dstack([values, weight]), (0, 0), min(sigma, 4.0))
    log = np.log(sums[..., :3] / np.maximum(sums[..., 3:], 1e-3) + FLOOR)
    outside = [
        np.maximum(low - (log[..., one] - log[..., two]), (log[..., one] - log[..., two]) - high)
        for one, two, (low, high) in ((0, 1, RED_TO_GREEN), (1, 2, GREEN_TO_BLUE))
    ]
    far = smoothstep(np.maximum(*outside).astype(np.float32), *FAR)
    known = smoothstep(sums[..., 3], LEAST / 2, LEAST)
    wide = cv2.GaussianBlur(np.dstack([far * known, known]), (0, 0), min(WIDE / REACH * sigma, WIDE / REACH * 4))
    far = known * far + (1 - known) * wide[..., 0] / np.maximum(wide[..., 1], np.float32(1e-2))
    return np.asarray(cv2.resize(far, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)
