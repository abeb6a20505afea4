"""Colour, light and sharpness of one face carried over to another.

Light multiplies: the ratio of two faces' smooth parts, in linear light, is the change of lamp and skin tone together
(the quotient image). With a pure power law between light and pixel values, that ratio to the power 1/2.2 is
the factor for the pixel values themselves, so full-size pictures never leave 8-bit encoding.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.types import Frame, Mask
from facegraft.runtime.texture import smooth_where

GAMMA = 2.2
GAIN_LIMIT = 3.5
"""Largest factor on pixel values: beyond it, noise and compression would show."""


def gain_field(texture: Frame, goal: Frame, weight: Mask, sigma: float) -> Float32[np.ndarray, "h w 3"]:
    """Factors on pixel values that give `texture` the smooth light and colour of `goal`.

    Args:
        texture: The identity's face, on a coarse grid.
        goal: The attribute frame on the same grid.
        weight: Where both show bare skin.
        sigma: How smooth the light is taken to be, in cells.

    Returns:
        One factor per cell and channel; continued smoothly to where there is no skin.
    """
    bright = goal.max(axis=2) < 250  # clipped pixels do not say how bright they were
    weight = weight * bright
    wide_texture = _low(texture, weight, 3 * sigma)
    wide_goal = _low(goal, weight, 3 * sigma)
    near_texture = _low(texture, weight, sigma)
    near_goal = _low(goal, weight, sigma)
    support = cv2.GaussianBlur(weight, (0, 0), max(sigma, 0.5))[..., None]
    trust = np.clip(support / 0.25, 0, 1)
    wide, near = wide_goal / wide_texture, near_goal / near_texture
    factor = np.exp(trust * np.log(near) + (1 - trust) * np.log(wide)) ** np.float32(1 / GAMMA)
    return np.clip(factor, 1 / GAIN_LIMIT, GAIN_LIMIT).astype(np.float32)


def _low(image: Frame, weight: Mask, sigma: float) -> Float32[np.ndarray, "h w 3"]:
    linear = _LINEAR[image]
    return smooth_where(linear, weight, max(sigma, 0.5)) + np.float32(0.002)


_LINEAR = ((np.arange(256) / 255.0) ** GAMMA).astype(np.float32)


def match_sharpness(texture: Frame, goal: Frame, weight: Mask) -> Frame:
    """Blurs the identity's face where it has clearly more fine detail than the frame it goes into.

    The fine detail is the spread of what a small blur removes; a blurred, compressed clip has little of it.
    """
    detail_texture, detail_goal = _detail(texture, weight), _detail(goal, weight)
    ratio = detail_goal / max(detail_texture, 1e-3)
    if ratio >= 0.8:
        return texture
    # a Gaussian of sigma s leaves about 1 / (1 + 2 s^2) of detail at this scale (measured on skin)
    sigma = float(np.sqrt(max(1 / max(ratio, 0.2) - 1, 0) / 2))
    return np.asarray(cv2.GaussianBlur(texture, (0, 0), min(sigma, 1.6)))


def _detail(image: Frame, weight: Mask) -> float:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.2))
    return float((fine * weight).sum() / max(float(weight.sum()), 1e-6))
