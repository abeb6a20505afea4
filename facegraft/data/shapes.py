"""Outlines, patterns and colours that drawn occluders are made of: signed distances in pixels, negative inside."""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Float, Float32

from facegraft.data.site import Site

Grid = tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]


def grid(size_hw: tuple[int, int]) -> Grid:
    y, x = np.mgrid[0 : size_hw[0], 0 : size_hw[1]].astype(np.float32) + np.float32(0.5)
    return x, y


def measured(
    size_hw: tuple[int, int], origin: Float[np.ndarray, "2"], direction: Float[np.ndarray, "2"]
) -> Float32[np.ndarray, "h w"]:
    """How far each pixel lies from a point along a direction."""
    x, y = grid(size_hw)
    dx, dy = float(direction[0]), float(direction[1])
    return x * dx + y * dy - (float(origin[0]) * dx + float(origin[1]) * dy)


def cover(distance: np.ndarray) -> Float32[np.ndarray, "h w"]:
    """Coverage of pixels by what lies below 0 of a distance in pixels."""
    return np.clip(0.5 - distance, 0, 1).astype(np.float32)


def filled(site: Site, colour: np.ndarray) -> Float32[np.ndarray, "h w 3"]:
    return np.broadcast_to(np.asarray(colour, np.float32), (*site.size_hw, 3)).copy()


def object_colour(rng: np.random.Generator, site: Site, *, dark: float) -> Float[np.ndarray, "3"]:
    """Linear colour of a thing in the site's light; `dark` is the chance of near black."""
    if rng.random() < dark:
        return rng.uniform(0.008, 0.06) * np.exp(rng.normal(0, 0.15, 3)) * site.light
    if rng.random() < 0.3:
        return rng.uniform(0.45, 0.85) * np.exp(rng.normal(0, 0.04, 3)) * site.light
    return (rng.uniform(0.1, 0.5) * np.exp(rng.normal(0, 0.5, 3))).clip(0.01, 0.85) * site.light


def pattern(site: Site, rng: np.random.Generator) -> Float32[np.ndarray, "h w"]:
    """Factors about 1: stripes, checks, dots or clouds."""
    x, y = grid(site.size_hw)
    angle, pitch = rng.uniform(0, math.pi), site.width * rng.uniform(0.03, 0.16)
    u = (x * math.cos(angle) + y * math.sin(angle)) / pitch
    v = (y * math.cos(angle) - x * math.sin(angle)) / pitch
    kind = rng.integers(4)
    strength = rng.uniform(0.3, 0.8)
    if kind == 0:
        wave = np.sign(np.sin(u * math.pi))
    elif kind == 1:
        wave = np.sign(np.sin(u * math.pi)) * np.sign(np.sin(v * math.pi))
    elif kind == 2:
        wave = np.where(np.hypot((u % 1) - 0.5, (v % 1) - 0.5) < 0.28, 1.0, -1.0)
    else:
        cells = tuple(int(value) for value in rng.integers(4, 16, 2))
        wave = cv2.resize(rng.normal(size=cells).astype(np.float32), site.size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(1 + strength * wave, 0.05, 2).astype(np.float32)


def segment(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> Float32[np.ndarray, "h w"]:
    """Distance from a line segment."""
    (ax, ay), (dx, dy) = a.tolist(), (b - a).tolist()
    t = np.clip(((x - ax) * dx + (y - ay) * dy) / max(dx * dx + dy * dy, 1e-6), 0, 1)
    return np.hypot(x - ax - t * dx, y - ay - t * dy)


def rounded_box(u: np.ndarray, v: np.ndarray, wide: float, high: float, corner: float) -> Float32[np.ndarray, "h w"]:
    du, dv = np.abs(u) - wide + corner, np.abs(v) - high + corner
    outside = np.hypot(np.maximum(du, 0), np.maximum(dv, 0))
    return (outside + np.minimum(np.maximum(du, dv), 0) - corner).astype(np.float32)


def curve(points: np.ndarray, count: int) -> Float[np.ndarray, "n 2"]:
    """A smooth line through points (Catmull-Rom)."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    at = np.linspace(0, len(points) - 1 - 1e-9, count)
    i, t = at.astype(int), (at % 1)[:, None]
    a, b, c, d = (padded[i + k] for k in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def polygon_distance(points: np.ndarray, size_hw: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    """Signed distance in pixels from a polygon's outline, negative inside; drawn at 4 times the size."""
    scale = 4 if max(size_hw) <= 256 else 2
    high, wide = size_hw[0] * scale, size_hw[1] * scale
    inside = np.zeros((high, wide), np.uint8)
    cv2.fillPoly(inside, [np.rint(points * scale * 8).astype(np.int32)], 255, cv2.LINE_8, 3)
    cover = cv2.resize(inside, size_hw[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    within = (cover >= 0.5).astype(np.uint8)
    distance = cv2.distanceTransform(1 - within, cv2.DIST_L2, 5) - cv2.distanceTransform(within, cv2.DIST_L2, 5)
    return np.where((cover > 0) & (cover < 1), 0.5 - cover, distance).astype(np.float32)
