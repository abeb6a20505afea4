"""Whether somebody wears glasses, by where in the crop the parser sees some, brows, eyes and the face itself.

Dark brows and sockets look like rims to it, above all in hard light; a pair of glasses goes around both eyes. So places
are weighed, and the weights are learnt from portraits that were looked at (`tools/glasses.py`).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.types import Mask
from facegraft.faces.layers import smoothstep

Pattern = Float32[np.ndarray, "4 8 16"]

CELLS, ROWS = 16, slice(2, 10)
"""Cells along the crop, and the rows of them that count: from the forehead to the lips."""
WEARS = (0.0, 1.0)
"""Scores at which somebody may wear glasses, and surely does. Of held-out portraits on which the parser sees some, 96 %
of those with glasses lie above 0, and 99 % of the others below."""


@dataclass(frozen=True)
class Look:
    """What the parser says over the square around a face, chances 0..1.

    Attributes:
        glasses: Frames and dark lenses.
        brow: Brows.
        eye: Eyeballs.
        visible: The face itself, nothing before it.
    """

    glasses: Mask
    brow: Mask
    eye: Mask
    visible: Mask


def worn(look: Look) -> float:
    """How surely glasses are worn, 0..1."""
    return float(smoothstep(np.array([score(pattern(look))]), *WEARS)[0])


def score(seen: Pattern) -> float:
    """Above 0 for a pair of glasses, the more the surer."""
    weights, bias = _weights()
    return float((seen * weights).sum()) + bias


def pattern(look: Look) -> Pattern:
    """Mean chances of each cell: glasses, brow, eye, visible."""
    parts = (look.glasses, look.brow, look.eye, look.visible)
    return np.stack([cv2.resize(part, (CELLS, CELLS), interpolation=cv2.INTER_AREA)[ROWS] for part in parts])


@functools.lru_cache(maxsize=1)
def _weights() -> tuple[Pattern, float]:
    text = resources.files("facegraft.faces").joinpath("glasses.json").read_text(encoding="utf-8")
    told = json.loads(text)
    return np.array(told["weights"], np.float32), float(told["bias"])
