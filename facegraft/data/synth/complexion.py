"""How faces differ in colour: brows, eye sockets, cheeks, the shadow of a beard, as measured on portraits.

Painted skins alone vary less than people do. `complexion.safetensors` (made by `tools/complexion.py`, see
`complexion.md`) holds the mean difference between portraits and our renders, what sex and age change beyond what they
change in our renders, and the directions in which people of one sex and age differ from each other beyond what light
and expression do to one person, on the left half of the face of the quarter-size head rectangle (see `skin_space`);
faces are mirrored.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64
from safetensors.numpy import load
from scipy.spatial import cKDTree

from facegraft.data.synth.parts import Skin
from facegraft.data.synth.skin_space import FULL_HW, SkinSpace

FILE = "complexion.safetensors"
SCALE = 0.25
GRID_HW = (round(FULL_HW[0] * SCALE), round(FULL_HW[1] * SCALE))
SOFT_PX = 1.0
TIED = 3
"""So many coefficients, the first ones, follow from sex and age; the others are anybody's."""
MIDDLE_AGE, AGE_UNIT, AGE_RANGE = 45.0, 20.0, (-1.3, 1.7)
CENTRE = (0.5, 0.1)
"""Share of women and age, in `AGE_UNIT` from `MIDDLE_AGE`, at which the mean is taken."""
BEARD_LIMIT = -0.10
"""Faces without a beard's shadow are darkened by no more than this where beards grow."""
MUZZLE_DM, SOFT_DM, LIPS_PX = 0.6, 0.3, 31
FRONT_DM, UNDER_NOSE_DM = -0.5, -0.35
"""Around the mouth, from the middle between the eyes: how far to the side, back and up; the lips' hole is closed."""


@dataclass(frozen=True)
class Learned:
    """Log colour (linear light) on texels of the left half: `mean` (t, 3), `parts` (k, t, 3) of unit coefficients.

    The first `TIED` parts are the effects of sex, age and both together; see `tied`.
    """

    texels: Int64[np.ndarray, "t"]
    mean: Float32[np.ndarray, "t 3"]
    parts: Float32[np.ndarray, "k t 3"]


@functools.cache
def read_learned() -> Learned:
    """The file, decoded: 8-bit numbers with a scale per direction. Read-only: callers share the arrays."""
    data = load(resources.files("facegraft.data.synth").joinpath(FILE).read_bytes())
    parts = data["parts"].astype(np.float32) * data["part_scales"][:, None, None]
    mean = data["mean"].astype(np.float32) * data["mean_scale"]
    return Learned(data["texels"].astype(np.int64), mean, parts)


@functools.cache
def facts() -> dict[str, str | int]:
    """Which pictures it was learned from, under which licences, by which command."""
    text = resources.files("facegraft.data.synth").joinpath("complexion.json").read_text(encoding="utf-8")
    found: dict[str, str | int] = json.loads(text)
    return found


def count() -> int:
    """How many coefficients a person has."""
    return int(facts()["parts"])


def tied(female: float | int, age: float | int) -> tuple[float, float, float]:
    """The coefficients that follow from sex (0 male .. 1 female) and age in years: sex, age, their product.

    All are 0 at `CENTRE`. Ages are cut at 19 and 79 years, beyond which nothing was learned.
    """
    old = float(np.clip((age - MIDDLE_AGE) / AGE_UNIT, *AGE_RANGE))
    return float(female) - CENTRE[0], old - CENTRE[1], female * old - CENTRE[0] * CENTRE[1]


class Complexions:
    """Paints complexions on the head rectangle of a `SkinBaker`."""

    def __init__(self, coarse: SkinSpace, beard: Float32[np.ndarray, "h w"]) -> None:
        learned = read_learned()
        places = coarse.places.reshape(3, -1).T
        face = np.flatnonzero(coarse.head.reshape(-1) & (places[:, 0] < 0.02) & (places[:, 2] > -0.9))
        left = places[learned.texels]
        distance, twins = cKDTree(places[face]).query(left * (-1, 1, 1))
        near = distance < 3 * coarse.texel_dm
        self._texels = np.concatenate([learned.texels, face[twins[near]]])
        self._rows = np.concatenate([np.arange(len(left)), np.flatnonzero(near)])
        self._learned = learned
        covered = np.zeros(GRID_HW, np.float32)
        covered.reshape(-1)[self._texels] = 1
        self._covered: Bool[np.ndarray, "h w"] = covered > 0
        self._around = cv2.GaussianBlur(covered, (0, 0), SOFT_PX)
        self._beard = cv2.resize(beard, GRID_HW[::-1], interpolation=cv2.INTER_AREA)
        self._muzzle, self._cheeks = muzzle(coarse, self._beard), cheeks(coarse) & self._covered

    def paint(self, skin: Skin) -> Float32[np.ndarray, "3 h w"]:
        """Log colour to add, on the quarter-size grid; all zero for a skin without coefficients."""
        out = np.zeros((GRID_HW[0] * GRID_HW[1], 3), np.float32)
        if not skin.complexion:
            return out.T.reshape(3, *GRID_HW)
        weights = np.array(skin.complexion, np.float32)
        field = self._learned.mean + np.tensordot(weights, self._learned.parts[: len(weights)], 1)
        out[self._texels] = field[self._rows]
        grid: Float32[np.ndarray, "h w 3"] = out.reshape(*GRID_HW, 3)
        soft = cv2.GaussianBlur(grid, (0, 0), SOFT_PX) / np.maximum(self._around, 0.3)[..., None]
        grid = np.where(self._covered[..., None], grid, soft).astype(np.float32)
        if skin.stubble_shadow == 0:
            grid = self._beardless(grid)
        return np.ascontiguousarray(grid.transpose(2, 0, 1), np.float32)

    def _beardless(self, grid: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
        """Neither the shadow of a beard, nor skin around the mouth that is paler on average than the cheeks.

        The effect of being a man was learned against renders with painted beards: without one it is a pale muzzle.
        """
        grid = grid + self._beard[..., None] * (np.maximum(grid, BEARD_LIMIT) - grid)
        around = (self._muzzle * self._covered)[..., None]
        paler = (grid * around).sum((0, 1)) / max(float(around.sum()), 1e-6) - grid[self._cheeks].mean(0)
        return np.asarray(grid - self._muzzle[..., None] * np.maximum(paler, 0), np.float32)


def muzzle(space: SkinSpace, beard: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Share, 0..1, of what lies around the mouth and on the chin, lips included."""
    across = np.clip((MUZZLE_DM - np.abs(space.places[0])) / SOFT_DM, 0, 1)
    closed = cv2.morphologyEx(beard, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (LIPS_PX, LIPS_PX)))
    front = space.head & (space.places[2] > FRONT_DM) & (space.places[1] < UNDER_NOSE_DM)
    return np.asarray(cv2.GaussianBlur(closed * across * front, (0, 0), SOFT_PX), np.float32)


def cheeks(space: SkinSpace) -> Bool[np.ndarray, "h w"]:
    """Skin beside the nose, below the eyes."""
    x, y, _ = np.abs(space.places)
    return np.asarray((x > 0.3) & (x < 0.65) & (y > 0.18) & (y < 0.42) & (space.places[1] < 0))
