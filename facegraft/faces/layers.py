"""The unrolled face: its triangle map, and fixed layers that say what lies where on it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.types import Mask
from facegraft.faces.mesh import Grid, Raster, rasterise
from facegraft.faces.topology import (
    LEFT_BROW,
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    OVAL,
    RIGHT_BROW,
    RIGHT_EYE,
    Topology,
    load_topology,
)

MARGIN = 0.03
"""Border around the unrolled face, in outer-eye distances."""
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


@functools.lru_cache(maxsize=8)
def atlas(scale: int) -> Atlas:
    """The triangle map of the unrolled face; it depends on nothing but the scale."""
    topology = load_topology()
    low, high = topology.uv.min(axis=0) - MARGIN, topology.uv.max(axis=0) + MARGIN
    width, height = (int(np.ceil(length * scale)) for length in high - low)
    flat = np.column_stack([topology.uv, np.zeros(len(topology.uv))])
    raster = rasterise(
        flat, topology.triangles, Grid((float(low[0]), float(low[1])), (width, height), (1 / scale, 1 / scale))
    )
    return Atlas(scale, raster, (width, height))


def to_pixels(uv: Float[np.ndarray, "*any 2"], topology: Topology, scale: float | int) -> Float32[np.ndarray, "*any 2"]:
    """Places of the unrolled face in texture pixels, counted between pixel centres as OpenCV's remap does."""
    shift = (topology.uv_low - MARGIN) * scale + 0.5
    return uv * np.float32(scale) - shift.astype(np.float32)


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


def smoothstep(x: Float[np.ndarray, "*n"], low: float, high: float) -> Float32[np.ndarray, "*n"]:
    t = np.clip((x - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


@functools.lru_cache(maxsize=2)
def layers(scale: int) -> dict[str, Mask]:
    """Fixed layers over the unrolled face, 0..1.

    keep: what stays the attribute image's: eyeballs, mouth interior. left_lids, right_lids: an eye and its lids. mouth:
    with the lips.
    skin: bare skin. lit: skin and lips, where light and colour are measured. sure: the part of the skin that hair,
    beard and glasses cover least. safe: the part of that which glasses do not reach. drawn: brows, eyes, lips,
    nostrils, which differ from skin without being occluders. lower: where beards grow. rims: around the eyes, not
    between them: where glasses run. eyes: with lids and sockets. brows: with
    a margin.
    """
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
    across = np.abs((np.arange(size_wh[0]) + 0.5) / size_wh[0] - 0.5)[None]
    about_eyes = np.maximum(filled(LEFT_EYE, grow=0.45), filled(RIGHT_EYE, grow=0.45))
    rims = about_eyes * (1 - wide_eyes) * (across > 0.06)
    near_eyes = np.maximum(filled(LEFT_EYE, grow=0.05), filled(RIGHT_EYE, grow=0.05))
    v = (np.arange(size_wh[1]) + 0.5) / scale + float(topology.uv[:, 1].min()) - MARGIN
    # not the outer cheeks: what is dark there is hair that hangs
    lower = smoothstep(v, 0.45, 0.6)[:, None] * (1 - smoothstep(across, 0.24, 0.32))
    upper = v[:, None] < 0.55
    narrow = across < 0.31
    skin = oval * (1 - features) * (distance > 0.06)
    return {
        "keep": soft(np.maximum(eyes, mouth), 0.012),
        "mouth": soft(filled(LIPS_OUTER, grow=0.03), 0.012),
        "left_lids": soft(filled(LEFT_EYE, grow=0.09), 0.03),
        "right_lids": soft(filled(RIGHT_EYE, grow=0.09), 0.03),
        "skin": skin.astype(np.float32),
        "lit": np.maximum(skin, 0.8 * filled(LIPS_OUTER) * (1 - filled(LIPS_INNER, grow=0.03))).astype(np.float32),
        "sure": (skin * upper * narrow * (v[:, None] > -0.42)).astype(np.float32),
        "lower": soft(lower * oval, 0.03),
        "safe": soft((skin * upper * narrow * (1 - round_eyes)).astype(np.float32), 0.05),
        "rims": soft(oval * rims, 0.03),
        "eyes": soft(round_eyes, 0.05),
        "brows": soft(brows, 0.02),
        "drawn": soft(np.maximum.reduce([brows, near_eyes, lips, nostrils]), 0.02),
    }


@functools.lru_cache(maxsize=8)
def pack(scale: int, *names: str) -> Float32[np.ndarray, "_h _w c"]:
    """Several layers as the channels of one image (OpenCV samples at most four at once)."""
    return np.ascontiguousarray(np.dstack([layers(scale)[name] for name in names]))
