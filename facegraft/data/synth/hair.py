"""Shell hair: many thin copies of the scalp, on which strands show where they are long enough.

Masks are drawn on the unshaped body (base.obj), so they are the same for everybody: the head's middle is x = 0, its
ears are at z .35 to .6, the eyes at y 7.29, the top at 8.43. A shell is a copy of the scalp, raised by part of the
hair's thickness; it shows where the strand texture is higher than the shell (Lengyel et al. 2001, "Real-time fur over
arbitrary surfaces").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from facegraft.core.errors import BadInputError
from facegraft.data.synth.patch import Patch, patch_proxy
from facegraft.data.synth.proxy import Proxy
from facegraft.data.synth.strands import TILE_DM

RADIUS = 0.75
"""Of the head about its upright axis, decimetres: turns angles into lengths."""
AXIS_Z = 0.5
CROWN = np.array([0.0, 8.33, -0.02])
_SIDE = {
    58: 7.60,
    64: 7.36,
    69: 7.08,
    73: 7.02,
    80: 7.02,
    82: 7.22,
    84: 7.35,
    94: 7.39,
    103: 7.30,
    108: 7.02,
    116: 6.78,
    140: 6.66,
    180: 6.62,
}
HAIRLINES: dict[str, dict[int, float]] = {
    "round": {0: 7.89, 18: 7.91, 32: 7.88, 44: 7.76, **_SIDE},
    "square": {0: 7.84, 18: 7.84, 34: 7.85, 42: 7.82, 48: 7.68, **_SIDE},
    "peak": {0: 7.82, 9: 7.89, 20: 7.98, 32: 7.96, 45: 7.78, **_SIDE},
    "receding": {0: 7.93, 12: 7.97, 22: 8.12, 31: 8.18, 40: 8.06, 50: 7.84, **_SIDE},
}
"""Angle from the front about the upright axis (degrees) -> height of the hairline (decimetres)."""


def hairline_distance(place: np.ndarray, line: str) -> np.ndarray:
    """How far inside the hairline (decimetres along the scalp; negative outside) points of the unshaped body lie."""
    name = "receding" if line == "crown" else line
    angles = np.arange(0, 180.5, 1.0)
    heights = PchipInterpolator(list(HAIRLINES[name]), list(HAIRLINES[name].values()))(angles)
    along = np.radians(angles) * RADIUS
    phi = np.degrees(np.arctan2(np.abs(place[:, 0]), place[:, 2] - AXIS_Z))
    here = np.stack([np.radians(phi) * RADIUS, place[:, 1]], 1)
    curve = np.stack([along, heights], 1)
    far = np.linalg.norm(here[:, None] - curve[None], axis=2).min(1)
    inside = np.where(place[:, 1] > np.interp(phi, angles, heights), far, -far)
    if line == "crown":
        spot = np.linalg.norm(place - CROWN, axis=1) - 0.50
        inside = np.minimum(inside, spot)
    return np.asarray(inside)


@dataclass(frozen=True)
class ShellStyle:
    shells: int
    thickness: Callable[[np.ndarray], np.ndarray]
    """Points on the unshaped body -> decimetres."""
    comb: str
    """"none", "whorl", "back" or "side": where the strands run."""
    texture: str
    top_share: float
    """Part of the outermost shell that is covered."""
    slant: float
    """How far the strands' tips lie from their roots along the comb, decimetres."""
    soft: float = 0.16
    """Width of the thinning edge, decimetres."""
    root: float = 0.45
    """Brightness of the lowest shell."""
    coil: float = 0.0
    """Radius of the curls, decimetres."""
    solid: float = 0.0
    """Up to this height (0..1) nothing shows through."""


def _top(place: np.ndarray) -> np.ndarray:
    """0 at the sides of the head, 1 on top."""
    return np.clip((place[:, 1] - 7.75) / 0.45, 0, 1)


def _on_ear(place: np.ndarray) -> np.ndarray:
    return np.asarray((np.abs(place[:, 0]) > 0.72) & (place[:, 2] < 0.66) & (place[:, 1] < 7.40))


def _front(place: np.ndarray) -> np.ndarray:
    return np.clip((place[:, 2] - 0.3) / 0.8, 0, 1)


SHELLS: dict[str, ShellStyle] = {
    "buzz": ShellStyle(4, lambda p: np.full(len(p), 0.028), "none", "stubble", 0.55, 0.02, 0.18, 0.6),
    "crop": ShellStyle(8, lambda p: 0.04 + 0.13 * _top(p), "whorl", "straight", 0.35, 0.12),
    "brushed": ShellStyle(8, lambda p: 0.07 + 0.13 * _top(p) * (1 + 0.8 * _front(p)), "side", "straight", 0.40, 0.16),
    "slicked": ShellStyle(5, lambda p: 0.05 + 0.05 * _top(p), "back", "straight", 0.55, 0.03, 0.11, 0.55),
    "curly": ShellStyle(
        8, lambda p: 0.13 + 0.12 * _top(p), "none", "curl", 0.30, 0.0, 0.15, 0.30, coil=0.035, solid=0.35
    ),
    "afro": ShellStyle(
        8, lambda p: 0.40 + 0.16 * _top(p), "none", "frizz", 0.30, 0.0, 0.18, 0.40, coil=0.05, solid=0.6
    ),
}


def shell_hair(patch: Patch, style: str) -> tuple[Proxy, ...]:
    """Shell hair as one proxy, innermost layer first.

    Args:
        patch: The scalp, with a margin.
        style: Like "crop-peak": a key of SHELLS and one of HAIRLINES or "crown".

    Raises:
        BadInputError: There is no such style.
    """
    name, _, line = style.partition("-")
    if name not in SHELLS or line not in (*HAIRLINES, "crown"):
        raise BadInputError(f"no hair is called {style!r}; expected a name of HAIR_STYLES in data/synth/wear.py")
    kind = SHELLS[name]
    inside = hairline_distance(patch.place, line)
    uvs, step = comb_uvs(patch, kind.comb, TILE_DM[kind.texture])
    thickness = kind.thickness(patch.place) * np.clip(0.12 + inside / (0.25 + kind.thickness(patch.place)), 0.12, 1)
    layers = [scalp_shadow(patch, style, inside)]
    for i in range(kind.shells):
        level = i / (kind.shells - 1)
        height = max(level - kind.solid, 0.0) / (1 - kind.solid)
        cut = height * (1 - kind.top_share) + 1.15 * np.clip(1 - inside / kind.soft, 0, 4)
        cut = np.where(inside > kind.soft, cut - 0.6 * (height == 0), cut)
        layers.append(
            patch_proxy(
                patch,
                style,
                0.008 + thickness * level,
                inside > -0.02,
                uvs=uvs - (step * kind.slant * level + _curl(kind.coil, i)) / TILE_DM[kind.texture],
                cut=cut,
                shade=np.full(len(cut), kind.root + (1 - kind.root) * level),
                texture=kind.texture,
                part="hair",
                region="hair",
                layer="alpha",
                sharpness=5.0,
            )
        )
    return tuple(layers)


def _curl(radius: float, layer: int) -> np.ndarray:
    """Where a curled strand is at this layer, against its root."""
    return radius * np.array([np.cos(1.9 * layer), np.sin(1.9 * layer)])


def scalp_shadow(patch: Patch, name: str, inside: np.ndarray) -> Proxy:
    """Sparse short strands that thin out beyond the hairline: skin shows through, so the edge is soft."""
    uvs, _ = comb_uvs(patch, "none", TILE_DM["stubble"])
    return patch_proxy(
        patch,
        name + "-shadow",
        np.full(len(inside), 0.006),
        (inside > -0.05) & ~_on_ear(patch.place),
        uvs=uvs,
        cut=0.3 + 4.5 * np.clip(0.12 - inside, 0, 2) + 2.0 * _on_ear(patch.place),
        texture="stubble",
        part="shadow",
        region="hair",
        layer="alpha",
        sharpness=2.5,
    )


def comb_uvs(patch: Patch, comb: str, tile: float) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates of each quad's corners (q, 4, 2), strands along v, in repeats; and the comb's direction."""
    corner = patch.place[patch.quads]
    ahead = np.array([0.0, 1.0])
    if comb == "none":
        return _boxed(corner, patch.normal[patch.quads].mean(1)) / tile, np.array([0.6, 0.8])
    if comb == "whorl":
        away = corner - CROWN
        around = np.arctan2(away[..., 0], away[..., 2])
        around = _unwrapped(around) * (round(4.6 / tile) * tile / (2 * np.pi))
        out = np.stack([around, np.linalg.norm(away, axis=-1)], -1)
    else:
        pole = corner - np.array([0.0, 7.0, 0.45])
        first, second = (0, 2) if comb == "back" else (2, 0)
        turn = np.arctan2(pole[..., 1], pole[..., second])
        size = np.linalg.norm(pole, axis=-1)
        out = np.stack([np.arcsin(np.clip(pole[..., first] / size, -1, 1)) * 1.1, turn * 1.1], -1)
    return out / tile, ahead


def _boxed(corner: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Seen along the axis that the quad faces; the breaks between the sides do not show in a texture of dots."""
    axis = np.abs(normal).argmax(1)
    pairs = np.array([[2, 1], [0, 2], [0, 1]])[axis]
    return np.stack([np.take_along_axis(corner, pairs[:, None, None, i], 2)[..., 0] for i in range(2)], -1)


def _unwrapped(angle: np.ndarray) -> np.ndarray:
    first = angle[:, :1]
    return first + (angle - first + np.pi) % (2 * np.pi) - np.pi
