"""Beards: shells over the lower face. Masks are drawn on the unshaped body, see `hair.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.data.synth.hair import RADIUS, comb_uvs
from facegraft.data.synth.patch import Patch, patch_proxy
from facegraft.data.synth.proxy import Proxy
from facegraft.data.synth.strands import TILE_DM

BEARDS = ("stubble", "moustache", "goatee", "strap", "full", "long")
LIPS = np.array([(0.27, 6.61), (0.15, 6.70), (0.08, 6.715), (0, 6.70), (0.06, 6.475), (0.14, 6.49)])
"""Outline of the left half of the mouth, x and y, from its corner over the upper to the lower lip."""
MOUSTACHE = np.array([(0.0, 6.752), (0.08, 6.757), (0.17, 6.735), (0.25, 6.68), (0.305, 6.60), (0.315, 6.54)])
CHEEK = np.array(
    [(0.0, 6.81), (0.16, 6.81), (0.25, 6.70), (0.45, 6.60), (0.68, 6.62), (0.85, 6.74), (0.94, 6.95), (1.0, 7.2)]
)
"""Upper edge of a full beard: length around the head from the front, height."""


def _segments(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Distance of points (n, d) from a line through `line` (m, d)."""
    a, b = line[:-1], line[1:]
    along = np.einsum("nmd,md->nm", points[:, None] - a, b - a) / ((b - a) ** 2).sum(1)
    foot = a + np.clip(along, 0, 1)[..., None] * (b - a)
    return np.asarray(np.linalg.norm(points[:, None] - foot, axis=2).min(1))


def _folded(place: np.ndarray) -> np.ndarray:
    """Length around the head from the front (left and right alike), and height."""
    phi = np.arctan2(np.abs(place[:, 0]), np.maximum(place[:, 2] - 0.55, 1e-3))
    return np.stack([phi * RADIUS, place[:, 1]], 1)


def lip_distance(place: np.ndarray) -> np.ndarray:
    """Distance from the edge of the lips (decimetres; negative on them)."""
    here = np.stack([np.abs(place[:, 0]), place[:, 1]], 1)
    upper = np.interp(here[:, 0], LIPS[[3, 2, 1, 0], 0], LIPS[[3, 2, 1, 0], 1])
    lower = np.interp(here[:, 0], LIPS[[4, 5, 0], 0], LIPS[[4, 5, 0], 1])
    outline = np.concatenate([[(0.0, LIPS[4, 1])], LIPS[[4, 5, 0, 1, 2, 3]]])
    inside = (here[:, 1] < upper) & (here[:, 1] > lower) & (here[:, 0] < LIPS[0, 0])
    far = _segments(here, outline)
    return np.where(inside & (place[:, 2] > 1.1), -far, far)


def beard_distance(place: np.ndarray, style: str) -> np.ndarray:
    """How far inside the beard (decimetres, negative outside) points of the unshaped body lie."""
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    front = np.stack([x, y], 1)
    moustache = np.where(z > 1.1, 2.2 * (0.056 - _segments(front, MOUSTACHE)), -0.5)
    around = _folded(place)
    cheek = (np.interp(around[:, 0], CHEEK[:, 0], CHEEK[:, 1]) - y) * 0.8
    neck = (z - (0.98 - 1.0 * np.clip(y - 6.15, 0, 0.5))) * 0.8 + 0.06 * (y > 6.3)
    rear = 1.10 - around[:, 0]
    jaw = np.minimum(np.minimum(cheek, np.maximum(neck, y - 6.42)), np.minimum(rear, y - 6.02))
    chin = np.minimum.reduce([0.23 - x, 6.47 - y, z - 1.12])
    corners = np.where(
        z > 1.0, 1.6 * (0.05 - _segments(front, np.array([(0.31, 6.60), (0.29, 6.45), (0.21, 6.32)]))), -0.5
    )
    edge = np.array([(1.03, 7.05), (0.98, 6.80), (0.90, 6.58), (0.62, 6.38), (0.30, 6.25), (0.0, 6.20)])
    strap = np.minimum(0.10 - _segments(around, edge), jaw + 0.05)
    shapes = {
        "moustache": moustache,
        "goatee": np.maximum.reduce([moustache, chin, corners]),
        "strap": np.maximum(strap, np.minimum(chin, 6.40 - y)),
        "full": np.maximum(jaw, moustache),
        "long": np.maximum(jaw, moustache),
        "stubble": np.maximum(jaw, moustache),
    }
    return np.asarray(np.minimum(shapes[style], 3 * (lip_distance(place) - 0.004)))


@dataclass(frozen=True)
class _Kind:
    shells: int
    thickness: Callable[[np.ndarray], np.ndarray]
    droop: Callable[[np.ndarray], np.ndarray]
    """How far the outermost layer hangs below where it grows, decimetres."""
    texture: str
    soft: float
    top_share: float


def _chin(place: np.ndarray) -> np.ndarray:
    return np.clip((6.45 - place[:, 1]) / 0.25, 0, 1) * np.clip((place[:, 2] - 1.05) / 0.25, 0, 1)


def _none(place: np.ndarray) -> np.ndarray:
    return np.zeros(len(place))


_KINDS = {
    "stubble": _Kind(2, lambda p: np.full(len(p), 0.010), _none, "stubble", 0.16, 0.30),
    "moustache": _Kind(5, lambda p: np.full(len(p), 0.055), lambda p: np.full(len(p), 0.02), "beard", 0.05, 0.35),
    "goatee": _Kind(5, lambda p: 0.045 + 0.05 * _chin(p), lambda p: 0.02 + 0.05 * _chin(p), "beard", 0.06, 0.35),
    "strap": _Kind(4, lambda p: np.full(len(p), 0.035), _none, "beard", 0.06, 0.40),
    "full": _Kind(4, lambda p: 0.05 + 0.06 * _chin(p), lambda p: 0.02 + 0.07 * _chin(p), "beard", 0.10, 0.35),
    "long": _Kind(5, lambda p: 0.07 + 0.12 * _chin(p), lambda p: 0.03 + 0.55 * _chin(p), "beard", 0.11, 0.40),
}


def shell_beard(patch: Patch, style: str) -> tuple[Proxy, ...]:
    """The layers of a beard, innermost first.

    Args:
        patch: The lower face, with a margin.
        style: One of BEARDS.

    Raises:
        BadInputError: There is no such beard.
    """
    if style not in _KINDS:
        raise BadInputError(f"no beard is called {style!r}; expected one of {', '.join(BEARDS)}")
    kind, inside = _KINDS[style], beard_distance(patch.place, style)
    thin = np.clip(0.15 + inside / 0.12, 0.15, 1)
    thickness, droop = kind.thickness(patch.place) * thin, kind.droop(patch.place) * np.clip(inside / 0.15, 0, 1)
    uvs = np.stack([_signed_around(patch.place), np.linalg.norm(patch.place - (0, 7.0, 1.2), axis=1)], 1)
    dots, _ = comb_uvs(patch, "none", TILE_DM["stubble"])
    layers = []
    for i in range(kind.shells):
        level = i / (kind.shells - 1)
        texture, soft = (kind.texture, kind.soft) if i else ("stubble", kind.soft + 0.05)
        cut = 0.12 + level * (0.88 - kind.top_share) + 0.8 * np.clip(1 - (inside + 0.03 * (i == 0)) / soft, 0, 6)
        layers.append(
            patch_proxy(
                patch,
                f"beard-{style}",
                0.011 + thickness * level,
                inside > -0.04,
                uvs=dots if texture == "stubble" else (uvs - (0, 0.03 * level)) / TILE_DM[texture],
                offset=np.stack([0 * droop, -droop * level**1.3, 0.12 * droop * level], 1),
                cut=cut,
                shade=np.full(len(cut), 0.6 + 0.4 * level),
                texture=texture,
                part="beard",
                region="beard",
                layer="alpha",
                sharpness=4.0,
            )
        )
    return tuple(layers)


def _signed_around(place: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(place[:, 0]) * _folded(place)[:, 0])
