"""Spectacles that sit on the bridge of the nose and on the ears; rigid, drawn in eye distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.data.synth.ground import Ground, hang_on
from facegraft.data.synth.proxy import Proxy
from facegraft.data.synth.wrap import join, tube

BRIDGE, BROWS = 28, (24, 19)
"""Landmarks that carry the rims: skin that moves with the skull (BROWS only set how far forward they stand)."""
ON_NOSE = (0.8, 0.1, 0.1)
EARS = (7577, 872)
"""Vertices of base.obj where the left and the right ear's upper edge meets the head."""
TEMPLES = ((7440, 11848, 12004), (717, 5239, 5405))
"""Vertices of the skin below the left and the right arm, from the eye to the ear."""
ALONG = ((0.4, 0.0, 0.6), (0.15, 0.15, 0.7), (0.0, 0.5, 0.5))
"""How far the arm follows bridge, ear and skin there."""
CLEAR = 0.03
"""Between the middle of the arm and the skin, decimetres."""
COLUMNS = 26
Piece = tuple[np.ndarray, np.ndarray]
"""Points and triangles."""


@dataclass(frozen=True)
class Frame:
    half_width: float
    half_height: float
    power: float
    """Of the superellipse: 2 round, more is squarer."""
    radius: float
    """Thickness of the rim, decimetres."""
    flare: float = 0.0
    """How much the upper outer corner is drawn outwards and up."""
    drop: float = 0.0
    """How much the lower outer corner is drawn down."""
    upper_only: bool = False
    rimless: bool = False
    double_bridge: bool = False


FRAMES = {
    "round": Frame(0.385, 0.365, 2.0, 0.013),
    "square": Frame(0.43, 0.335, 4.5, 0.021),
    "rectangle": Frame(0.435, 0.25, 4.0, 0.016),
    "browline": Frame(0.42, 0.325, 2.8, 0.011, upper_only=True),
    "cat-eye": Frame(0.42, 0.315, 2.5, 0.019, flare=0.13),
    "rimless": Frame(0.40, 0.27, 3.0, 0.006, rimless=True),
    "aviator": Frame(0.46, 0.42, 2.3, 0.010, drop=0.10, double_bridge=True),
}
"""In eye distances but for the rim's radius."""


def glasses(ground: Ground, variant: str) -> tuple[Proxy, ...]:
    """Frame (part "colour"), metal parts ("colour2") where there are any, lenses ("lens", in front of the eyes).

    Raises:
        BadInputError: There is no such frame.
    """
    if variant not in FRAMES:
        raise BadInputError(f"no glasses are called {variant!r}; expected one of {', '.join(FRAMES)}")
    frame, marks = FRAMES[variant], ground.usual[ground.landmarks]
    eyes = np.stack([marks[42:48].mean(0), marks[36:42].mean(0)])
    iod = float(np.linalg.norm(eyes[0] - eyes[1])) * 0.985
    front = float(max(marks[17:27, 2].max(), marks[27, 2])) + 0.035
    solid: list[Piece] = []
    metal: list[Piece] = []
    lenses, hinges = [], []
    for eye, sign in zip(eyes, (1.0, -1.0), strict=True):
        rim = _rim(frame, eye, sign, iod, front)
        lenses.append(_lens(rim))
        thin = frame.upper_only or frame.double_bridge or frame.rimless
        (metal if thin else solid).append(tube(rim, frame.radius, 5, closed=True))
        if frame.upper_only:
            brow = rim[np.sort(_upper(rim))]
            solid.append(tube(brow + np.array([0, 0.01, 0.005]), 0.026, 6, closed=False))
        hinges.append(rim[np.argmax(sign * rim[:, 0] + 0.5 * rim[:, 1])])
    metal += _bridges(frame, eyes, iod, front)
    out = []
    for name, parts, part in (("frame", solid, "colour"), ("metal", metal, "colour2"), ("lens", lenses, "lens")):
        if parts:
            out.append(_on_nose(ground, f"{variant}-{name}", parts, part))
    return (*out, _arms(ground, variant, hinges, frame))


def _rim(frame: Frame, eye: np.ndarray, sign: float, iod: float, front: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, COLUMNS, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    x = np.sign(c) * np.abs(c) ** (2 / frame.power) * frame.half_width
    y = np.sign(s) * np.abs(s) ** (2 / frame.power) * frame.half_height
    outer, upper = np.clip(c, 0, 1), np.clip(s, 0, 1)
    x = x + frame.flare * 0.6 * outer * upper
    y = y + frame.flare * outer * upper - frame.drop * np.clip(-s, 0, 1) * np.clip(c + 0.3, 0, 1)
    y = y * np.where(s > 0, 0.92, 1.0) - 0.05
    x = eye[0] * 1.05 + sign * x * iod
    z = front - 0.10 * (np.abs(x) / iod) ** 2 + 0.06 * (y - 0.1) * iod
    return np.stack([x, eye[1] + y * iod, z], 1)


def _upper(rim: np.ndarray) -> np.ndarray:
    return np.flatnonzero(rim[:, 1] > rim[:, 1].mean() - 0.01)


def _lens(rim: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A slightly domed disc."""
    middle = rim.mean(0)
    inner = middle + 0.55 * (rim - middle) + [0, 0, 0.018]
    count, around = len(rim), np.arange(len(rim))
    after = (around + 1) % count
    fan = np.stack([around + count, after + count, np.full(count, 2 * count)], 1)
    ring = np.concatenate(
        [np.stack([around, after, after + count], 1), np.stack([around, after + count, around + count], 1)]
    )
    return np.concatenate([rim, inner, middle[None] + [0, 0, 0.026]]), np.concatenate([ring, fan])


def _bridges(frame: Frame, eyes: np.ndarray, iod: float, front: float) -> list[tuple[np.ndarray, np.ndarray]]:
    inner = abs(eyes[0, 0]) * 1.05 - frame.half_width * 0.97 * iod
    t = np.linspace(-1, 1, 7)
    out = []
    heights = (0.10, 0.27) if frame.double_bridge else (0.06,)
    for height in heights:
        reach = inner if height < 0.2 else inner + 0.08 * iod
        bow = 0.05 * (1 - t**2) if height < 0.2 else 0 * t
        points = np.stack([t * reach, eyes[:, 1].mean() + height * iod + bow, front + 0.03 * (1 - t**2)], 1)
        out.append(tube(points, max(frame.radius, 0.010), 5, closed=False))
    return out


def _on_nose(ground: Ground, name: str, parts: list[tuple[np.ndarray, np.ndarray]], part: str) -> Proxy:
    points, triangles = join(parts)
    carriers = ground.landmarks[[BRIDGE, *BROWS]]
    index = np.tile(carriers, (len(points), 1))
    weight = np.tile(ON_NOSE, (len(points), 1))
    layer = "alpha" if part == "lens" else "opaque"
    uvs = points[:, :2]
    return hang_on(ground, name, points, triangles, index, weight, part=part, region="glasses", uvs=uvs, layer=layer)


def _arms(ground: Ground, variant: str, hinges: list[np.ndarray], frame: Frame) -> Proxy:
    """From the rims along the skin of the temples to behind the ears: each part stays with what it touches."""
    parts, index, weight = [], [], []
    bridge, brows = ground.landmarks[BRIDGE], ground.landmarks[list(BROWS)]
    for hinge, sign, ear, sides in zip(hinges, (1.0, -1.0), EARS, TEMPLES, strict=True):
        skin, root = ground.usual[list(sides)], ground.usual[ear]
        end = root + np.array([sign * 0.025, 0.02, 0.0])
        share = ((hinge[2] - skin[:, 2]) / (hinge[2] - end[2]))[:, None]
        along = hinge + (end - hinge) * share
        along[:, 0] = sign * np.maximum(np.abs(along[:, 0]), np.abs(skin[:, 0]) + CLEAR)
        corner = hinge + np.array([sign * 0.015, 0.0, -0.05])
        tip = root + np.array([sign * -0.005, -0.16, -0.32])
        path = np.stack([hinge, corner, *along, end, tip])
        parts.append(tube(path, max(frame.radius * 0.9, 0.010), 5, closed=False))
        on_nose, on_ear = [bridge, *brows], [bridge, ear, ear]
        index += [on_nose, on_nose, *([bridge, ear, side] for side in sides), on_ear, on_ear]
        weight += [ON_NOSE, ON_NOSE, *ALONG, (0.0, 1.0, 0.0), (0.0, 1.0, 0.0)]
    points, triangles = join(parts)
    part = "colour2" if frame.rimless or frame.double_bridge else "colour"
    carriers, shares = np.repeat(np.array(index), 5, 0), np.repeat(np.array(weight), 5, 0)
    return hang_on(ground, f"{variant}-arms", points, triangles, carriers, shares, part=part, region="glasses")
