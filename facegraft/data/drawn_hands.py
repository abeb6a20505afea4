"""Hands drawn from capsules: the back of a hand that its owner, or somebody else, holds before a face.

A hand is two dozen tapered capsules seen from above. Their heights are merged softly, the merged relief is lit, and
nails, creases and blotches are painted on. Lengths are in widths of the face (about 14 cm).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32

from facegraft.data.site import Layer, Site, crop_around, lit, uncropped

_METACARPAL = (0.55, 0.62, 0.64, 0.60, 0.55)
_FINGER = (0.47, 0.50, 0.56, 0.52, 0.41)
_PHALANGES = ((0.0, 0.55, 0.45), (0.50, 0.29, 0.21), (0.50, 0.30, 0.20), (0.49, 0.30, 0.21), (0.47, 0.29, 0.24))
_RADIUS = (0.072, 0.060, 0.063, 0.060, 0.052)
_FAN_DEGREES = (-46.0, -17.0, -3.0, 10.0, 22.0)
_SOFTNESS = 0.018
_STEEPEST = 0.96


class Part(NamedTuple):
    """A capsule from a to b (x, y, height) with radii; `finger` -1 = palm or arm, `bone` counts from the knuckle."""

    a: tuple[float, float, float]
    b: tuple[float, float, float]
    radius_a: float
    radius_b: float
    finger: int = -1
    bone: int = -1


@dataclass(frozen=True)
class Look:
    """Linear colours of a hand: skin, painted nails or None, sleeve or None and where on the arm it starts (0..1)."""

    skin: Float[np.ndarray, "3"]
    polish: Float[np.ndarray, "3"] | None
    cloth: Float[np.ndarray, "3"] | None
    sleeve_from: float


def hand(site: Site, rng: np.random.Generator) -> Layer:
    """A hand that enters from below or from the side, its fingers somewhere on the face."""
    aim = (
        site.points[rng.choice([2, 4, 8, 12, 14, 30, 33, 36, 45, 48, 54, 57, 62])] + rng.normal(0, 0.06, 2) * site.width
    )
    side = 1.0 if aim @ site.across > site.points[30] @ site.across else -1.0
    side = side if rng.random() < 0.8 else -side
    # From the aim to the wrist: downwards and outwards, as an arm that hangs from a shoulder comes.
    angle = math.radians(rng.uniform(38, 95))
    to_wrist = np.array([math.cos(angle) * side, math.sin(angle)])
    parts = _parts(rng, thumb_side=-side if rng.random() < 0.75 else side)
    scale = site.width * rng.uniform(0.92, 1.12)
    reach = rng.uniform(0.45, 1.05) * scale
    look = _draw_look(site, rng)
    return drawn_hand(site, rng, parts, look, wrist_xy=aim + to_wrist * reach, towards=-to_wrist, scale=scale)


def grip(
    site: Site, rng: np.random.Generator, edge_xy: Float[np.ndarray, "2"], along: Float[np.ndarray, "2"], inwards: float
) -> tuple[Layer, Layer]:
    """A hand that holds a thing from behind: fingers that come round its edge, and what is seen beyond the edge.

    Args:
        site: Where.
        rng: Chooses lengths and skin.
        edge_xy: Middle of the fingers on the edge, in pixels.
        along: Unit vector along the edge.
        inwards: Sign of the fingers' direction against `along` turned by +90 degrees.

    Returns:
        Fingers, for in front of the thing; palm and arm, for behind it.
    """
    pointing = np.array([-along[1], along[0]]) * inwards
    lower = along if along[1] > 0 else -along
    fingers = []
    for number in range(4):
        root = lower * (number - 1.5) * 0.113 - pointing * 0.13
        tip = root + pointing * (_FINGER[number + 1] * rng.uniform(0.62, 0.78) + 0.02) + lower * rng.normal(0, 0.01)
        bend = root + (tip - root) * 0.56 + lower * 0.008
        radius = _RADIUS[number + 1]
        fingers.append(Part((*root, -0.03), (*bend, 0.035), radius, radius * 0.95, number + 1, 1))
        fingers.append(Part((*bend, 0.035), (*tip, -0.01), radius * 0.95, radius * 0.78, number + 1, 2))
    heel = lower * 0.12 - pointing * 0.24
    elbow = heel + np.array([-pointing[0] * rng.uniform(0.2, 1.0), 2.4])
    palm = [
        Part((*(-lower * 0.12 - pointing * 0.08), 0.0), (*(lower * 0.16 - pointing * 0.10), 0.0), 0.10, 0.13),
        Part((*(-pointing * 0.08), 0.0), (*heel, -0.02), 0.16, 0.15),
        Part((*heel, -0.02), (*elbow, -0.05), 0.14, 0.25),
    ]
    look = _draw_look(site, rng)
    up, bare = np.array([0.0, -1.0]), replace(look, cloth=None)
    front = drawn_hand(site, rng, fingers, bare, wrist_xy=edge_xy, towards=up, scale=site.width)
    return front, drawn_hand(site, rng, palm, look, wrist_xy=edge_xy, towards=up, scale=site.width)


def drawn_hand(
    site: Site,
    rng: np.random.Generator,
    parts: list[Part],
    look: Look,
    *,
    wrist_xy: Float[np.ndarray, "2"],
    towards: Float[np.ndarray, "2"],
    scale: float,
) -> Layer:
    """Draws capsules in the frame of a hand: the wrist at 0, fingers along -y.

    Args:
        site: Where.
        rng: Chooses blotches.
        parts: In units of `scale`; the last one is the arm if it belongs to no finger.
        look: Skin, nails, sleeve.
        wrist_xy: In pixels.
        towards: Unit vector in the picture that the fingers follow.
        scale: Pixels per unit.
    """
    turn = np.array([[-towards[1], -towards[0]], [towards[0], -towards[1]]])
    ends = np.array([[part.a, part.b] for part in parts])
    radii = np.array([[part.radius_a, part.radius_b] for part in parts]) * scale
    flat = wrist_xy + ends[..., :2] * scale @ turn
    box = crop_around(flat.reshape(-1, 2), float(radii.max()) + 3, site.size_hw)
    if box is None:
        return Layer.nothing(site.size_hw)
    relief = _relief(box, flat, ends[..., 2] * scale, radii, scale)
    albedo, shine = _paint(relief, parts, look, radii, rng, scale)
    colour = lit(site, relief.height, albedo, softness=(0.45, 0.28, 0.2), shine=shine, occlusion_px=0.07 * scale)
    return uncropped(Layer(colour, relief.alpha), box, site.size_hw)


@dataclass(frozen=True)
class _Relief:
    """Per pixel of the crop: height, coverage, nearest part, place along (0..1) and across (-1..1) of it."""

    height: Float32[np.ndarray, "h w"]
    alpha: Float32[np.ndarray, "h w"]
    part: np.ndarray
    along: Float32[np.ndarray, "h w"]
    across: Float32[np.ndarray, "h w"]


def _relief(
    box: tuple[int, int, int, int], flat: np.ndarray, heights: np.ndarray, radii: np.ndarray, scale: float
) -> _Relief:
    left, top, right, bottom = box
    x = np.arange(left, right, dtype=np.float32) + 0.5
    y = np.arange(top, bottom, dtype=np.float32) + 0.5
    height = np.full((bottom - top, right - left), -1e3, np.float32)
    inside = np.full_like(height, -1e3)
    part = np.full(height.shape, -1, np.int16)
    along, across = np.zeros_like(height), np.zeros_like(height)
    softness = np.float32(_SOFTNESS * scale)
    highest = np.full_like(height, -1e3)
    for number, ((a, b), (za, zb), (ra, rb)) in enumerate(zip(flat, heights, radii, strict=True)):
        reach = max(ra, rb) + 2 * softness
        rows = _span(float(a[1]), float(b[1]), reach, top, len(y))
        columns = _span(float(a[0]), float(b[0]), reach, left, len(x))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        axis = b - a
        length2 = max(float(axis @ axis), 1e-6)
        px, py = x[None, columns] - np.float32(a[0]), y[rows, None] - np.float32(a[1])
        t = np.clip((px * np.float32(axis[0]) + py * np.float32(axis[1])) / np.float32(length2), 0, 1)
        dx, dy = px - t * np.float32(axis[0]), py - t * np.float32(axis[1])
        distance = np.sqrt(dx * dx + dy * dy)
        radius = np.float32(ra) + t * np.float32(rb - ra)
        share = np.minimum(distance / radius, _STEEPEST)
        beyond = np.maximum(distance - radius * _STEEPEST, 0)
        z = np.float32(za) + t * np.float32(zb - za) + radius * np.sqrt(1 - share * share) - 3 * beyond
        old = height[rows, columns]
        # Soft maximum, two at a time: log(exp(a) + exp(b)) in units of the softness.
        larger = np.maximum(old, z)
        height[rows, columns] = larger + softness * np.log1p(np.exp(-np.abs(old - z) / softness))
        inside[rows, columns] = np.maximum(inside[rows, columns], radius - distance)
        front = z > highest[rows, columns]
        highest[rows, columns] = np.maximum(highest[rows, columns], z)
        part[rows, columns] = np.where(front, number, part[rows, columns])
        along[rows, columns] = np.where(front, t, along[rows, columns])
        signed = np.sign(px * np.float32(axis[1]) - py * np.float32(axis[0])) * distance / radius
        across[rows, columns] = np.where(front, signed, across[rows, columns])
    return _Relief(height, np.clip(inside + 0.5, 0, 1), part, along, across)


def _span(a: float, b: float, reach: float, start: int, count: int) -> slice:
    """Rows or columns of a crop that a capsule may reach."""
    low, high = math.floor(min(a, b) - reach) - start, math.ceil(max(a, b) + reach) - start
    return slice(min(max(low, 0), count), min(max(high, 0), count))


def _parts(rng: np.random.Generator, *, thumb_side: float) -> list[Part]:
    """A hand in its own frame: wrist at 0, fingers up (-y), thumb towards `thumb_side` x."""
    parts: list[Part] = []
    spread = rng.uniform(0.35, 1.15)
    pose = rng.choice(["open", "relaxed", "pointing", "two", "flat"], p=[0.25, 0.35, 0.15, 0.1, 0.15])
    for finger in range(5):
        fan = math.radians(_FAN_DEGREES[finger] * (spread if finger else 1.0) + rng.normal(0, 2.5))
        direction = np.array([math.sin(fan) * -thumb_side, -math.cos(fan)])
        root = np.array([-thumb_side * (finger - 2.2) * 0.075, -0.03])
        knuckle = root + direction * _METACARPAL[finger] * (0.45 if finger == 0 else 1.0)
        if finger:
            knuckle[0] = -thumb_side * (finger - 2.35) * 0.125 * (0.9 + 0.1 * spread)
        palm = 0.115 if finger else 0.095
        parts.append(Part((*root, -0.02), (*knuckle, 0.012), palm, _RADIUS[finger] * 1.18, -1, 0))
        curl = _curl(pose, finger, rng)
        parts += _finger(finger, knuckle, direction, curl, rng, sideways=-thumb_side)
    parts.append(Part((0.02, -0.10, -0.05), (0.0, 0.16, -0.05), 0.17, 0.15))
    parts.append(Part((0.0, 0.12, -0.05), (rng.normal(0, 0.1), 2.6, -0.05), 0.150, 0.26))
    return parts


def _curl(pose: str, finger: int, rng: np.random.Generator) -> float:
    """0 stretched .. 1 folded away."""
    if pose == "open":
        return float(rng.uniform(0, 0.2))
    if pose == "flat":
        return 0.05
    if pose == "relaxed":
        return float(np.clip(rng.normal(0.3 + 0.06 * finger, 0.1), 0, 0.7))
    stretched = (0, 1) if pose == "pointing" else (1, 2)
    return float(rng.uniform(0, 0.15) if finger in stretched else rng.uniform(0.85, 1.0))


def _finger(
    finger: int, knuckle: np.ndarray, direction: np.ndarray, curl: float, rng: np.random.Generator, *, sideways: float
) -> list[Part]:
    """Phalanges, foreshortened and lowered by the curl."""
    parts = []
    at, height = knuckle, 0.012
    bend = rng.normal(0, 0.05) + (0.25 * sideways if finger == 0 else 0.0)
    for bone, share in enumerate(_PHALANGES[finger]):
        if share == 0:
            continue
        pitch = curl * (0.9 + 0.75 * bone)
        turned = direction + np.array([-direction[1], direction[0]]) * bend * bone
        turned = turned / np.linalg.norm(turned)
        end = at + turned * _FINGER[finger] * share * math.cos(min(pitch, 1.9))
        low = height - _FINGER[finger] * share * math.sin(min(pitch, 1.9)) * 0.5
        thick = _RADIUS[finger] * (1.0, 0.93, 0.84)[bone]
        thin = _RADIUS[finger] * (0.93, 0.84, 0.72)[bone]
        parts.append(Part((*at, height), (*end, low), thick, thin, finger, bone))
        at, height = end, low
    return parts


def _draw_look(site: Site, rng: np.random.Generator) -> Look:
    """Skin within 12 % of the face's."""
    skin = site.skin * (1 + np.clip(rng.normal(0, 0.05) + rng.normal(0, 0.02, 3), -0.12, 0.12))
    cloth = (rng.uniform(0.02, 0.5) * np.exp(rng.normal(0, 0.3, 3))).clip(0.01, 0.8) * site.light
    return Look(
        skin=skin,
        polish=rng.uniform((0.15, 0.01, 0.02), (0.5, 0.12, 0.15)) * site.light if rng.random() < 0.08 else None,
        cloth=cloth if rng.random() < 0.55 else None,
        sleeve_from=float(rng.uniform(0.06, 0.25)),
    )


def _paint(
    relief: _Relief, parts: list[Part], look: Look, radii: np.ndarray, rng: np.random.Generator, scale: float
) -> tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]:
    """Albedo in linear light and shine: skin, redder at joints and tips, with creases, nails, perhaps a sleeve."""
    shape = relief.height.shape
    albedo = np.broadcast_to(look.skin.astype(np.float32), (*shape, 3)).copy()
    shine = np.full(shape, 0.035, np.float32)
    bone = np.array([part.bone for part in parts], np.int8)[relief.part]
    finger = np.array([part.finger for part in parts], np.int8)[relief.part]
    radius = radii.mean(1).astype(np.float32)[relief.part]
    lengths = np.array([math.dist(part.a[:2], part.b[:2]) for part in parts], np.float32) * np.float32(scale)
    along = relief.along * lengths[relief.part] / radius
    joint = (finger >= 0) & (bone > 0)
    knuckle = np.exp(-((along / 0.55) ** 2)) * joint
    last = (finger >= 0) & (bone == 2)
    tip = np.clip((relief.along - 0.45) * 2, 0, 1) * last
    red = np.clip(0.5 * knuckle + 0.6 * tip, 0, 1)[..., None]
    albedo *= 1 + red * np.array([0.06, -0.10, -0.10], np.float32)
    wiggle = along + 0.12 * np.sin(relief.across * 2.3 + rng.uniform(0, 6))
    creases = (np.exp(-(((wiggle + 0.02) / 0.085) ** 2)) + np.exp(-(((wiggle - 0.30) / 0.085) ** 2))) * joint
    albedo *= 1 - (0.22 * creases * (np.abs(relief.across) < 0.85))[..., None]
    blotch = cv2.resize(rng.normal(size=(14, 14)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), 0.7)
    albedo *= np.clip(1 + 0.03 * blotch + 0.05 * fine, 0.7, 1.3)[..., None]
    from_tip = (1 - relief.along) * lengths[relief.part] / radius
    _paint_nails(albedo, shine, relief.across, from_tip, last, look)
    if look.cloth is not None and parts[-1].finger < 0:
        arm = relief.part == len(parts) - 1
        cuff = arm & (relief.along > look.sleeve_from)
        folds = cv2.resize(rng.normal(size=(9, 5)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
        albedo[cuff] = (look.cloth * np.clip(1 + 0.22 * folds, 0.4, 1.6)[cuff][:, None]).astype(np.float32)
        albedo[arm & (np.abs(relief.along - look.sleeve_from) < 0.006)] *= 0.45
        shine[cuff] = 0
    return albedo, shine


def _paint_nails(
    albedo: np.ndarray, shine: np.ndarray, across: np.ndarray, from_tip: np.ndarray, last: np.ndarray, look: Look
) -> None:
    oval = ((from_tip - 0.25) / 0.85) ** 2 + (across / 0.66) ** 2
    nail = np.clip((1 - oval) * 3, 0, 1) * last
    edge = np.exp(-(((oval - 1) / 0.22) ** 2)) * last
    plain = look.skin * [1.14, 1.06, 1.08] + 0.015
    colour = (plain if look.polish is None else look.polish).astype(np.float32)
    albedo *= (1 - 0.25 * edge)[..., None]
    share = (nail * (0.75 if look.polish is None else 1.0))[..., None].astype(np.float32)
    albedo[...] = albedo * (1 - share) + colour * share
    shine += (nail * (0.09 if look.polish is None else 0.16)).astype(np.float32)
