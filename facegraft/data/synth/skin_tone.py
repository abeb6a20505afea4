"""From pigment to colour: the mean cheek colour of a skin, in linear light."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from facegraft.data.synth.parts import Colour, Skin

_RAMP = (
    (0.00, (0.640, 0.455, 0.375)),
    (0.15, (0.570, 0.378, 0.288)),
    (0.35, (0.455, 0.272, 0.184)),
    (0.55, (0.315, 0.172, 0.105)),
    (0.75, (0.172, 0.090, 0.055)),
    (0.90, (0.093, 0.050, 0.033)),
    (1.00, (0.056, 0.033, 0.024)),
)
"""Melanin -> reflectance of cheeks, chosen by eye to span the ten swatches of the Monk scale as skin shows them."""
MELANIN = np.array((0.55, 0.95, 1.35), np.float32)
"""Relative absorption of pigment in red, green and blue."""
BLOOD = np.array((0.05, 0.80, 0.55), np.float32)
"""Relative absorption of blood."""


def pigment_colour(melanin: float | int) -> Float32[np.ndarray, "3"]:
    """Cheek colour of this much pigment (0..1), interpolated in log space."""
    places = [place for place, _ in _RAMP]
    logs = np.log([colour for _, colour in _RAMP])
    return np.exp([np.interp(melanin, places, logs[:, c]) for c in range(3)]).astype(np.float32)


def skin_tone(skin: Skin) -> Colour:
    """Mean linear colour of a person's cheeks: pigment, then blood, then undertone.

    Dark skin hides blood, so redness counts less there.
    """
    shown = 1 - 0.6 * skin.melanin
    colour = pigment_colour(skin.melanin) * np.exp(-0.20 * shown * skin.redness * (BLOOD - BLOOD.mean()))
    colour *= np.exp(0.06 * skin.warmth * np.array((0.0, 0.3, -1.0), np.float32))
    red, green, blue = (float(c) for c in colour)
    return red, green, blue
