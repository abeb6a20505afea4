"""Colours of skin: sRGB to CIELAB, the Monk scale, the individual typology angle."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float32

MONK_SWATCHES = (
    "#f6ede4", "#f3e7db", "#f7ead0", "#eadaba", "#d7bd96",
    "#a07e56", "#825c43", "#604134", "#3a312a", "#292420",
)  # fmt: skip
"""The Monk Skin Tone scale, tones 1 to 10: Ellis Monk with Google, 2022, https://skintone.google (CC-BY 4.0)."""
ITA_BANDS = (
    ("very light", 55.0), ("light", 41.0), ("intermediate", 28.0), ("tan", 10.0), ("brown", -30.0), ("dark", -math.inf),
)  # fmt: skip
"""Name and least angle: Chardon, Cretois, Hourseau, Skin colour typology and suntanning pathways (1991)."""
_XYZ_OF_LINEAR = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                           [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
"""sRGB primaries, white D65 (IEC 61966-2-1)."""
_WHITE = _XYZ_OF_LINEAR.sum(axis=1)


def to_linear(values: Float[np.ndarray, "*any"]) -> Float32[np.ndarray, "*any"]:
    """Values of sRGB, 0..255, to linear light 0..1 (IEC 61966-2-1)."""
    coded = np.asarray(values, np.float32) / np.float32(255)
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4).astype(np.float32)


def lab_of_linear(linear: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
    """Linear sRGB 0..1 to CIELAB under D65 (CIE 15:2004, eq. 8.3 to 8.11); L is 0..100."""
    ratio = np.asarray(linear, np.float64) @ _XYZ_OF_LINEAR.T / _WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def monk_lab() -> Float[np.ndarray, "10 3"]:
    """The ten tones in CIELAB."""
    rgb = np.array([[int(swatch[at : at + 2], 16) for at in (1, 3, 5)] for swatch in MONK_SWATCHES], np.float32)
    return lab_of_linear(to_linear(rgb))


def nearest_monk(lab: Float[np.ndarray, "3"]) -> int:
    """The tone, 1..10, at the least distance in CIELAB (CIE76)."""
    return 1 + int(np.linalg.norm(monk_lab() - lab, axis=1).argmin())


def individual_typology_angle(lab: Float[np.ndarray, "3"]) -> float:
    """arctan((L - 50) / b) in degrees: the larger, the lighter. Chardon et al. (1991)."""
    return math.degrees(math.atan2(float(lab[0]) - 50, max(float(lab[2]), 1e-6)))


def ita_band(angle: float | int) -> str:
    """The name of the band that an angle lies in."""
    return next(name for name, least in ITA_BANDS if angle > least)
