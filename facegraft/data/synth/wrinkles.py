"""Wrinkles as grooves along curves of the face: those that expressions make, and those that stay with age.

Curves are drawn in the frontal view of the mean adult, decimetres around the middle of the eyes, and laid onto the
surface; the eyes' outer corners lie at (+-.42, .02), the mouth's at (+-.23, -.65), the chin at (0, -1.04).
"""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float, Float32

from facegraft.data.synth.skin_space import SkinSpace

KINDS = ("forehead lines", "frown lines", "crow's feet and lower lids", "nose-to-mouth folds and nose bridge")
Groove = tuple[tuple[tuple[float, float], ...], float, float]
"""Points (x >= 0 is mirrored unless all x are near 0), half width and depth, decimetres."""


def _forehead() -> list[Groove]:
    """Five wavy lines from temple to temple, each in uneven pieces."""
    rng = np.random.default_rng(41)
    grooves: list[Groove] = []
    for row, y in enumerate((0.33, 0.41, 0.49, 0.57, 0.65)):
        edges = np.array([-0.46, -0.17, 0.12, 0.46]) * (1 - 0.06 * row) + 0.04 * rng.normal(size=4)
        for left, right in itertools.pairwise(edges):
            x = np.linspace(left - 0.03, right + 0.03, 6)
            height = y - 0.10 * x**2 + 0.012 * rng.normal() + 0.006 * rng.normal(size=6)
            points = tuple((float(a), float(b)) for a, b in zip(x, height, strict=True))
            grooves.append((points, 0.017, float(rng.uniform(0.0035, 0.0065))))
    return grooves


_FROWN: list[Groove] = [
    (((0.075, 0.30), (0.062, 0.22), (0.070, 0.13), (0.085, 0.09)), 0.016, 0.0075),
    (((0.130, 0.27), (0.122, 0.21), (0.140, 0.15)), 0.014, 0.0040),
    (((-0.010, 0.27), (-0.014, 0.20), (-0.012, 0.14)), 0.012, 0.0025),
    (((-0.06, 0.055), (0.0, 0.045), (0.06, 0.055)), 0.014, 0.0040),
    (((-0.05, 0.005), (0.0, -0.005), (0.05, 0.005)), 0.012, 0.0025),
]
_EYES: list[Groove] = [
    (((0.445, 0.035), (0.500, 0.070), (0.555, 0.120)), 0.013, 0.0045),
    (((0.450, 0.018), (0.510, 0.030), (0.580, 0.050)), 0.013, 0.0055),
    (((0.448, 0.000), (0.510, -0.018), (0.575, -0.030)), 0.013, 0.0055),
    (((0.440, -0.020), (0.495, -0.060), (0.555, -0.105)), 0.013, 0.0045),
    (((0.400, -0.070), (0.460, -0.115), (0.510, -0.165)), 0.013, 0.0030),
    (((0.175, -0.055), (0.240, -0.085), (0.320, -0.080), (0.390, -0.045)), 0.013, 0.0045),
    (((0.170, -0.070), (0.215, -0.125), (0.300, -0.150), (0.385, -0.115)), 0.017, 0.0050),
    (((0.215, -0.065), (0.270, -0.105), (0.345, -0.100)), 0.010, 0.0025),
]
_FOLDS: list[Groove] = [
    (((0.135, -0.325), (0.185, -0.400), (0.255, -0.500), (0.300, -0.600), (0.305, -0.680)), 0.026, 0.0105),
    (((0.330, -0.520), (0.365, -0.600), (0.360, -0.690)), 0.020, 0.0040),
    (((0.045, -0.060), (0.070, -0.100), (0.080, -0.145)), 0.011, 0.0035),
    (((0.060, -0.030), (0.095, -0.075), (0.105, -0.125)), 0.011, 0.0030),
    (((0.025, -0.090), (0.045, -0.130), (0.050, -0.170)), 0.010, 0.0025),
]
_AGE: list[Groove] = [
    (((0.245, -0.665), (0.275, -0.740), (0.285, -0.830)), 0.018, 0.0045),
    (((0.165, -0.860), (0.090, -0.838), (0.0, -0.832), (-0.090, -0.838), (-0.165, -0.860)), 0.022, 0.0050),
    *(
        (((x, -0.505), (x * 1.04, -0.545), (x * 1.06, -0.572)), 0.009, 0.0022)
        for x in (0.035, 0.075, 0.115, 0.155, 0.19)
    ),
    (((0.46, -0.25), (0.50, -0.36), (0.50, -0.48)), 0.016, 0.0030),
    (((0.40, -0.28), (0.435, -0.40), (0.43, -0.52)), 0.014, 0.0025),
]


def expression_wrinkles(space: SkinSpace) -> Float32[np.ndarray, "4 h w"]:
    """Heights (decimetres) at full strength, in the order of `KINDS`."""
    kinds = (_forehead(), _FROWN, _EYES, _FOLDS)
    return np.stack([_paint(space, grooves) for grooves in kinds])


def age_lines(space: SkinSpace) -> Float32[np.ndarray, "h w"]:
    """Heights of lines that come with age only: chin, upper lip, cheeks."""
    return _paint(space, _AGE)


def _paint(space: SkinSpace, grooves: list[Groove]) -> Float32[np.ndarray, "h w"]:
    out = np.zeros(space.size_hw[0] * space.size_hw[1], np.float32)
    for points, width, depth in grooves:
        line = np.array(points)
        sides = (line, line * (-1, 1)) if line[:, 0].min() > 0.02 else (line,)
        for side in sides:
            _carve(space, out, side, width, depth)
    return out.reshape(space.size_hw)


def _carve(
    space: SkinSpace, out: Float32[np.ndarray, "t"], line: Float[np.ndarray, "n 2"], width: float, depth: float
) -> None:
    """A groove with soft banks that fades at both ends; the deeper of two crossing grooves wins."""
    numbers, distance, along = space.along(space.on_face(line), 3.2 * width)
    wide = max(width, 0.9 * space.texel_dm)
    near = distance / wide
    profile = -np.exp(-(near**2)) + 0.30 * np.exp(-(((near - 1.9) / 0.8) ** 2))
    fade = np.sin(np.pi * (0.04 + 0.92 * along)) ** 0.6
    carved = (depth * width / wide * profile * fade).astype(np.float32)
    out[numbers] = np.where(np.abs(carved) > np.abs(out[numbers]), carved, out[numbers])
