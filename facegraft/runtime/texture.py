"""A person's face unrolled: one texture per photo, in the coordinates of the mean face's cylinder.

Parts that a photo does not show are filled from its mirrored half, relit to match.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from facegraft.core.geometry import fit_rigid3, sample
from facegraft.core.types import Face, Frame, Mask
from facegraft.faces.parse import skin_likeness
from facegraft.faces.topology import (
    LEFT_BROW,
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    OVAL,
    RIGHT_BROW,
    RIGHT_EYE,
    Topology,
)
from facegraft.runtime.mesh import Raster, facing, interpolate, rasterise

MARGIN = 0.03
"""Border around the unrolled face, in outer-eye distances."""
MIN_SCALE, MAX_SCALE = 96, 320
"""Texture pixels per outer-eye distance."""
LAYER_SCALE = 96
NEIGHBOURHOOD = 0.12
"""A brow, eye or lip is in view where the skin this far around it is (outer-eye distances)."""
MARK = 0.16
"""Largest mole or blemish, in outer-eye distances."""


@dataclass(frozen=True)
class Atlas:
    """The unrolled mean face at one scale, in pixels per outer-eye distance."""

    scale: int
    raster: Raster
    size_wh: tuple[int, int]


@dataclass(frozen=True)
class View:
    """One photo of a person, unrolled.

    Attributes:
        levels: Textures, each half the size of the one before; RGB.
        scales: Their pixels per outer-eye distance.
        trust: 0..1 where the texture comes from the photo or its mirror half, at `LAYER_SCALE`.
        shape: Points on the mean face's axes, in outer-eye distances.
        pose_degrees: Yaw, pitch, roll of the photo.
    """

    levels: list[UInt8[np.ndarray, "_h _w 3"]]
    scales: list[float]
    trust: Mask
    shape: Float32[np.ndarray, "k 3"]
    pose_degrees: Float32[np.ndarray, "3"]


@functools.lru_cache(maxsize=8)
def atlas(scale: int) -> Atlas:
    """The triangle map of the unrolled face; it depends on nothing but the scale."""
    from facegraft.faces.topology import load_topology

    topology = load_topology()
    low, high = topology.uv.min(axis=0) - MARGIN, topology.uv.max(axis=0) + MARGIN
    width, height = (int(np.ceil(length * scale)) for length in high - low)
    flat = np.column_stack([topology.uv, np.zeros(len(topology.uv))])
    raster = rasterise(flat, topology.triangles, (float(low[0]), float(low[1])), (width, height), 1 / scale)
    return Atlas(scale, raster, (width, height))


def to_pixels(uv: Float[np.ndarray, "*any 2"], topology: Topology, scale: float | int) -> Float32[np.ndarray, "*any 2"]:
    """Places of the unrolled face in texture pixels, counted between pixel centres as OpenCV's remap does."""
    shift = (topology.uv_low - MARGIN) * scale + 0.5
    return uv * np.float32(scale) - shift.astype(np.float32)


def canonical(topology: Topology, dense: Float32[np.ndarray, "k 3"]) -> Float32[np.ndarray, "k 3"]:
    """Points turned, scaled and shifted onto the mean face, fitted on the parts that expressions move least."""
    weights = rigid_weights(topology)
    scale, rotation, shift = fit_rigid3(dense.astype(np.float64), topology.xyz.astype(np.float64), weights)
    return (scale * dense @ rotation.T + shift).astype(np.float32)


@functools.cache
def _rigid_mask() -> tuple[int, ...]:
    moving = {*LIPS_INNER, *LIPS_OUTER, *LEFT_EYE, *RIGHT_EYE, *LEFT_BROW, *RIGHT_BROW}
    return tuple(sorted(moving))


def rigid_weights(topology: Topology) -> Float[np.ndarray, "k"]:
    """1 for the upper face and nose, little for lips, lids, brows and jaw."""
    weights = np.where(topology.xyz[:, 1] > 0.55, 0.1, 1.0)
    weights[list(_rigid_mask())] = 0.1
    return weights


def unroll(frame: Frame, face: Face, topology: Topology) -> View:
    """A photo's texture, and how far each part of it can be trusted."""
    eye_distance = float(np.linalg.norm(face.dense[33] - face.dense[263]))
    scale = int(np.clip(eye_distance, MIN_SCALE, MAX_SCALE))
    sheet = atlas(scale)
    position = interpolate(sheet.raster, topology.uv, face.dense[:, :2], topology.triangles)
    texture = _sample(frame, position, eye_distance / scale)
    seen = _seen(face, topology, sheet)
    own = seen * cv2.resize(_bare(texture), sheet.size_wh, interpolation=cv2.INTER_LINEAR)
    texture, trust = _mirror_filled(texture, own.astype(np.float32), scale)
    levels, scales = [texture], [float(scale)]
    while scales[-1] > 40:
        levels.append(cv2.pyrDown(levels[-1]))
        scales.append(scales[-1] * levels[-1].shape[1] / levels[-2].shape[1])
    layer_wh = atlas(LAYER_SCALE).size_wh
    small_trust = cv2.resize(trust, layer_wh, interpolation=cv2.INTER_AREA)
    return View(levels, scales, small_trust, canonical(topology, face.dense), face.pose_degrees)


def _sample(frame: Frame, position: Float32[np.ndarray, "h w 2"], shrink: float) -> Frame:
    """Picture values at positions (pixels), from a picture first reduced where it has more detail than the texture."""
    if shrink > 1.3:
        small_wh = (max(1, round(frame.shape[1] / shrink)), max(1, round(frame.shape[0] / shrink)))
        position = position * np.array(small_wh, np.float32) / np.array(frame.shape[1::-1], np.float32)
        frame = cv2.resize(frame, small_wh, interpolation=cv2.INTER_AREA)
    centred = (position - 0.5).astype(np.float32)
    return sample(frame, centred, interpolation=cv2.INTER_CUBIC)


def _seen(face: Face, topology: Topology, sheet: Atlas) -> Mask:
    """1 where the photo looks straight enough at the surface and nothing of the face lies before it."""
    points = face.dense.astype(np.float64)
    a, b, c = (points[topology.triangles[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    ahead = normal[:, 2] / np.maximum(np.linalg.norm(normal, axis=1), 1e-9)
    ahead[_hidden(face, topology)] = -1
    total, count = np.zeros(len(points)), np.zeros(len(points))
    for corner in range(3):
        np.add.at(total, topology.triangles[:, corner], ahead)
        np.add.at(count, topology.triangles[:, corner], 1)
    per_point = (total / np.maximum(count, 1))[:, None]
    value = interpolate(sheet.raster, topology.uv, per_point, topology.triangles)[..., 0]
    return np.asarray(cv2.GaussianBlur(_smoothstep(value, 0.08, 0.35), (0, 0), sheet.scale * 0.05))


def _hidden(face: Face, topology: Topology) -> Bool[np.ndarray, "t"]:
    """Triangles whose middle another, clearly nearer triangle covers (the nose over the far cheek)."""
    eye_distance = float(np.linalg.norm(face.dense[33] - face.dense[263]))
    cell = eye_distance / 48
    left, top = face.dense[:, :2].min(axis=0)
    right, bottom = face.dense[:, :2].max(axis=0)
    size_wh = (int((right - left) / cell) + 2, int((bottom - top) / cell) + 2)
    raster = rasterise(face.dense, topology.triangles, (float(left), float(top)), size_wh, cell)
    middles = face.dense[topology.triangles].mean(axis=1)
    column = np.clip(((middles[:, 0] - left) / cell).astype(int), 0, size_wh[0] - 1)
    row = np.clip(((middles[:, 1] - top) / cell).astype(int), 0, size_wh[1] - 1)
    shown = raster.triangle[row, column]
    in_front = middles[np.maximum(shown, 0), 2] < middles[:, 2] - 0.12 * eye_distance
    hidden: Bool[np.ndarray, "t"] = ((shown >= 0) & in_front) | (facing(face.dense, topology.triangles) <= 0)
    return hidden


def _bare(texture: Frame) -> Mask:
    """Where an unrolled photo shows the person and nothing else: skin, features, beard; at the layers' scale."""
    fixed = layers(LAYER_SCALE)
    small = cv2.resize(texture, atlas(LAYER_SCALE).size_wh, interpolation=cv2.INTER_AREA)
    like = skin_likeness(small, fixed["sure"], fixed["safe"], mark_px=round(MARK * LAYER_SCALE))
    beard = fixed["lower"] * cv2.GaussianBlur(like.beard, (0, 0), 1.5)
    return np.maximum(with_features(like.skin, fixed["skin"], fixed["drawn"], LAYER_SCALE), beard)


def with_features(skin: Mask, bare: Mask, drawn: Mask, cells_per_unit: float | int) -> Mask:
    """Visible skin and, where the skin around them is visible, brows, eyes, lips and nostrils.

    Args:
        skin: What looks like skin.
        bare: Where the mesh has bare skin.
        drawn: Where it has features.
        cells_per_unit: Pixels of these masks per outer-eye distance.
    """
    sigma = max(NEIGHBOURHOOD * cells_per_unit, 1.0)
    around = (cv2.GaussianBlur(skin * bare, (0, 0), sigma) + 0.02) / (cv2.GaussianBlur(bare, (0, 0), sigma) + 0.02)
    return np.maximum(skin, drawn * np.clip((around - 0.45) / 0.3, 0, 1)).astype(np.float32)


def _mirror_filled(texture: Frame, own: Mask, scale: int) -> tuple[Frame, Mask]:
    """Fills what the photo does not show from the mirrored half, in the photo's light; and how far to trust it."""
    values, twin, twin_trust = texture.astype(np.float32), texture[:, ::-1].astype(np.float32), own[:, ::-1]
    low, twin_low = smooth_where(values, own, 0.3 * scale), smooth_where(twin, twin_trust, 0.3 * scale)
    relit = twin * np.clip((low + 4) / (twin_low + 4), 0.3, 3)
    borrowed = (1 - own) * twin_trust
    rest = np.clip(1 - own - borrowed, 0, 1)
    filled = own[..., None] * values + borrowed[..., None] * relit + rest[..., None] * low
    trust = np.clip(own + 0.9 * borrowed, 0, 1)
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8), trust.astype(np.float32)


def smooth_where(
    image: Float32[np.ndarray, "h w 3"], weight: Mask, sigma: float, floor: float = 1e-3
) -> Float32[np.ndarray, "h w 3"]:
    """Gaussian mean of the pixels that count; computed on a small copy, since it is smooth."""
    shrink = max(1, int(sigma / 4))
    size_wh = (max(1, image.shape[1] // shrink), max(1, image.shape[0] // shrink))
    w = cv2.resize(weight, size_wh, interpolation=cv2.INTER_AREA)[..., None]
    small = cv2.resize(image * weight[..., None], size_wh, interpolation=cv2.INTER_AREA)
    mean = (small.sum(axis=(0, 1)) / max(float(w.sum()), 1e-6)).astype(np.float32)
    both = np.concatenate([small, w], axis=2)
    blurred = cv2.GaussianBlur(both, (0, 0), sigma / shrink, borderType=cv2.BORDER_REFLECT)
    smooth = (blurred[..., :3] + floor * mean) / (blurred[..., 3:] + floor)
    return np.asarray(cv2.resize(smooth, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _smoothstep(x: Float[np.ndarray, "*n"], low: float, high: float) -> Float32[np.ndarray, "*n"]:
    t = np.clip((x - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


@functools.lru_cache(maxsize=2)
def layers(scale: int) -> dict[str, Mask]:
    """Fixed layers over the unrolled face, 0..1.

    keep: what stays the attribute image's: eyeballs, mouth interior. skin: bare skin. lit: skin and
    lips, where light and colour are measured.
    sure: the part of it that hair, beard and glasses cover least. safe: the part of that which glasses do not reach.
    drawn: brows, eyes, lips, nostrils, which differ from skin without being occluders. lower: where beards grow.
    """
    from facegraft.faces.topology import load_topology

    topology = load_topology()
    size_wh = atlas(scale).size_wh

    def filled(ring: tuple[int, ...], *, hull: bool = False, grow: float = 0.0) -> Mask:
        points = to_pixels(topology.uv[list(ring)], topology, scale)
        if hull:
            points = cv2.convexHull(points)[:, 0]
        mask = np.zeros((size_wh[1], size_wh[0]), np.float32)
        cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
        if grow:
            size = 2 * round(grow * scale) + 1
            round_brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
            return np.asarray(cv2.dilate(mask, round_brush), np.float32)
        return mask

    def soft(mask: Mask, sigma: float) -> Mask:
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma * scale), np.float32)

    eyes = np.maximum(filled(LEFT_EYE), filled(RIGHT_EYE))
    mouth = filled(LIPS_INNER)
    brows = np.maximum(filled(LEFT_BROW, hull=True, grow=0.06), filled(RIGHT_BROW, hull=True, grow=0.06))
    wide_eyes = np.maximum(filled(LEFT_EYE, grow=0.12), filled(RIGHT_EYE, grow=0.12))
    lips = filled(LIPS_OUTER, grow=0.05)
    nostrils = filled((98, 97, 2, 326, 327, 4), hull=True, grow=0.04)
    oval = filled(OVAL)
    distance = cv2.distanceTransform((oval > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / scale
    features = np.maximum.reduce([brows, wide_eyes, lips, nostrils])
    round_eyes = np.maximum(filled(LEFT_EYE, grow=0.3), filled(RIGHT_EYE, grow=0.3))
    near_eyes = np.maximum(filled(LEFT_EYE, grow=0.05), filled(RIGHT_EYE, grow=0.05))
    v = (np.arange(size_wh[1]) + 0.5) / scale + float(topology.uv[:, 1].min()) - MARGIN
    lower = _smoothstep(v, 0.45, 0.6)[:, None] * np.ones((1, size_wh[0]), np.float32)
    upper = v[:, None] < 0.55
    narrow = np.abs((np.arange(size_wh[0]) + 0.5) / size_wh[0] - 0.5)[None] < 0.31
    skin = oval * (1 - features) * (distance > 0.06)
    return {
        "keep": soft(np.maximum(eyes, mouth), 0.012),
        "skin": skin.astype(np.float32),
        "lit": np.maximum(skin, 0.8 * filled(LIPS_OUTER) * (1 - filled(LIPS_INNER, grow=0.03))).astype(np.float32),
        "sure": (skin * upper * narrow * (v[:, None] > -0.42)).astype(np.float32),
        "lower": soft(lower * oval, 0.03),
        "safe": soft((skin * upper * narrow * (1 - round_eyes)).astype(np.float32), 0.05),
        "drawn": soft(np.maximum.reduce([brows, near_eyes, lips, nostrils]), 0.02),
    }
