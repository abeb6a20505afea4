"""Which part of a face is in view: skin and features, without hair, hands, glasses or things held before it.

A colour model of this very face, fitted on places that are almost always bare skin, tells what does not look like
its skin. It refines what the networks say, and cannot tell hands, which look like skin too.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.types import Frame, Mask

SURE_QUANTILE = 0.12
"""Share of darkest and brightest sure-skin pixels that the fit leaves out: shadows, shine."""
TOLERANCE = 4.0
"""Distance from the skin model (in its standard deviations) at which a pixel counts as half skin."""
SAFE_TOLERANCE = 3.0
"""Added to it where skin is most likely anyway: a shadow on a cheek is no hair."""
FIT_PIXELS = 400
CHANNEL_NOISE = np.array([0.14, 0.035, 0.035], np.float32)
"""Least standard deviations of light, red-green and blue-yellow (log units): cameras, pores, redness."""
BEARD_CHROMA = 7.0
"""A beard is darker than skin but not of another colour by more standard deviations than this."""


@dataclass(frozen=True)
class SkinModel:
    """A Gaussian of (light, red-green, blue-yellow) after a smooth change of light over the face is taken out."""

    slope: Float32[np.ndarray, "6 3"]
    spread: Float32[np.ndarray, "3"]


@dataclass(frozen=True)
class Likeness:
    """How much each pixel looks like the face's skin, and how much like a beard on it; both 0..1."""

    skin: Mask
    beard: Mask


def skin_likeness(image: Frame, sure: Mask, safe: Mask, mark_px: int = 0) -> Likeness:
    """Compares a face with its own skin.

    Args:
        image: The face, small (about 100 px).
        sure: 0..1, how likely the mesh says bare skin is: cheeks, nose, middle of the forehead.
        safe: 0..1, where nothing but a hand or a thing held would cover it: `SAFE_TOLERANCE` applies.
        mark_px: Spots of other colour no wider and no higher than this are moles and blemishes, part of the skin.

    Returns:
        `skin` is 1 everywhere where `sure` is too small to fit a model.
    """
    colour = _log_opponent(image)
    terms = _light_terms(image.shape[0], image.shape[1])
    rows = np.flatnonzero(safe * sure > 0.5)
    if len(rows) < FIT_PIXELS // 4:
        rows = np.flatnonzero(sure > 0.5)
    if len(rows) < 60:
        return Likeness(np.ones(image.shape[:2], np.float32), np.zeros(image.shape[:2], np.float32))
    rows = rows[:: max(1, len(rows) // FIT_PIXELS)]
    model = _fit(colour.reshape(-1, 3)[rows], terms.reshape(-1, 6)[rows])
    off = (colour - terms @ model.slope) / model.spread
    darker, chroma = -off[..., 0], np.hypot(off[..., 1], off[..., 2])
    beard = np.clip(darker, 0, 1) * np.clip(BEARD_CHROMA - chroma, 0, 1)
    # bright spots are shine on skin: light above the model counts half
    distance = np.hypot(np.where(darker < 0, darker * 0.5, darker), chroma)
    half = TOLERANCE + SAFE_TOLERANCE * safe
    likely = (1 / (1 + np.exp(np.minimum((distance - half) * 1.6, 30)))).astype(np.float32)
    if mark_px:
        likely = _without_marks(likely, mark_px)
    return Likeness(guided(likely, colour[..., 0], radius=3, smooth=0.02), beard.astype(np.float32))


def _without_marks(likely: Mask, mark_px: int) -> Mask:
    """Fills small islands of what is not like skin."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((likely < 0.5).astype(np.uint8), connectivity=8)
    small = (stats[:, cv2.CC_STAT_WIDTH] <= mark_px) & (stats[:, cv2.CC_STAT_HEIGHT] <= mark_px)
    small[0] = False
    islands = cv2.dilate(small[labels].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.where(islands, np.maximum(likely, 1), likely).astype(np.float32)


def _log_opponent(image: Frame) -> Float32[np.ndarray, "h w 3"]:
    """Log light and two log colour ratios: a change of light moves the first only."""
    red, green, blue = cv2.split(cv2.LUT(cv2.GaussianBlur(image, (3, 3), 0), _LOG))
    return np.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], axis=2)


_LOG = np.log(np.arange(256) + 8).astype(np.float32)


def _light_terms(height: int, width: int) -> Float32[np.ndarray, "h w 6"]:
    """Quadratic polynomial over the crop: the smooth change of light that a fit may explain."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=2).astype(np.float32)


def _fit(colour: Float32[np.ndarray, "n 3"], terms: Float32[np.ndarray, "n 6"]) -> SkinModel:
    """Least squares, twice, the second time without the worst quarter of pixels."""
    keep = np.ones(len(colour), bool)
    low, high = np.quantile(colour[:, 0], [SURE_QUANTILE, 1 - SURE_QUANTILE])
    keep &= (colour[:, 0] >= low) & (colour[:, 0] <= high)
    ridge = np.diag([0, 1, 1, 2, 2, 2]).astype(np.float32) * 0.02 * len(colour)
    slope = np.zeros((6, 3), np.float32)
    spread = CHANNEL_NOISE
    for _ in range(2):
        a, b = terms[keep], colour[keep]
        slope = np.linalg.solve(a.T @ a + ridge, a.T @ b).astype(np.float32)
        rest = colour - terms @ slope
        spread = np.maximum(1.4826 * np.median(np.abs(rest[keep]), axis=0), CHANNEL_NOISE)
        distance = ((rest / spread) ** 2).sum(axis=1)
        keep = distance <= max(float(np.quantile(distance, 0.75)), 3.0)
    return SkinModel(slope, spread.astype(np.float32))


def guided(mask: Mask, guide: Mask, radius: int, smooth: float) -> Mask:
    """Edge-keeping smoothing (He et al. 2010, eq. 5-8): the mask becomes locally linear in the guide."""
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(image: Mask) -> Mask:
        return np.asarray(cv2.blur(image, size))

    mean_guide, mean_mask = mean(guide), mean(mask)
    slope = (mean(guide * mask) - mean_guide * mean_mask) / (mean(guide * guide) - mean_guide**2 + np.float32(smooth))
    shift = mean_mask - slope * mean_guide
    return np.clip(mean(slope) * guide + mean(shift), 0, 1).astype(np.float32)
