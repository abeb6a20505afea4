"""From linear layers to a photograph: skin's soft light, background, exposure, tone and noise."""

from __future__ import annotations

import cv2
import numpy as np
from draw import Layers
from textures import to_srgb


def soften_skin(layers: Layers, pixels_per_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Add skin: light wanders under it, red the furthest. Returns linear RGB (premultiplied) and coverage."""
    mask = layers.irradiance[..., 3]
    light = layers.irradiance[..., :3]
    blurred = np.zeros_like(light)
    shares = np.array([[0.30, 0.55, 0.70], [0.38, 0.30, 0.22], [0.32, 0.15, 0.08]])
    for width_mm, share in zip((0.2, 0.9, 2.4), shares, strict=True):
        sigma = max(width_mm * pixels_per_mm, 0.3)
        weight = cv2.GaussianBlur(np.ascontiguousarray(mask), (0, 0), sigma)
        for c in range(3):
            one = cv2.GaussianBlur(np.ascontiguousarray(light[..., c]), (0, 0), sigma) / np.maximum(weight, 1e-4)
            blurred[..., c] += share[c] * one
    return layers.direct[..., :3] + layers.albedo[..., :3] * blurred, np.clip(layers.direct[..., 3], 0, 1)


def tone(linear: np.ndarray) -> np.ndarray:
    """A camera-like curve: straight in the middle, a soft shoulder above, a slight toe."""
    knee = 0.55
    over = np.maximum(linear - knee, 0)
    soft = np.minimum(linear, knee) + (1 - knee) * (1 - np.exp(-over / (1 - knee)))
    srgb = to_srgb(soft)
    return np.clip(srgb + 0.10 * (srgb - 0.5) * srgb * (1 - srgb) * 4 * 0.5, 0, 1)


def develop(
    layers: Layers, background: np.ndarray, pixels_per_mm: float, exposure: float, seed: int, grain: float = 0.008
) -> np.ndarray:
    """RGB uint8 picture.

    Args:
        layers: What `Renderer.layers` returned.
        background: Linear RGB, already as bright as it shall be.
        pixels_per_mm: At the face; sets how far light wanders under the skin.
        exposure: Factor on the people's light.
        seed: Chooses the noise.
        grain: Standard deviation of the camera noise, 1 = white.
    """
    person, alpha = soften_skin(layers, pixels_per_mm)
    linear = person * exposure + background * (1 - alpha[..., None])
    height, width = alpha.shape
    y, x = np.mgrid[0:height, 0:width]
    radius = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 2
    linear = linear * (1 - 0.25 * radius[..., None] ** 1.5)
    glow = cv2.GaussianBlur(np.minimum(linear, 2.0), (0, 0), height / 60)
    srgb = tone(0.965 * linear + 0.035 * glow)
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=srgb.shape) * 0.6 + rng.normal(size=srgb.shape[:2])[..., None]
    srgb = srgb + grain * noise * (0.5 + 0.5 * np.sqrt(np.maximum(1 - srgb, 0)))
    return (np.clip(srgb, 0, 1) * 255 + 0.5).astype(np.uint8)


def room(size_wh: tuple[int, int], seed: int, wall: tuple[float, float, float], *, window: bool = True) -> np.ndarray:
    """A room far out of focus: wall, window, shelf and plants as blurred discs. Linear RGB."""
    rng = np.random.default_rng(seed)
    width, height = size_wh
    scale = 4
    w, h = width // scale * 2, height // scale * 2
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    image = np.array(wall, np.float32) * (1.1 - 0.35 * y[..., None] / h) * (0.9 + 0.2 * x[..., None] / w)
    floor = int(h * rng.uniform(0.72, 0.82))
    image[floor:] *= np.array([0.55, 0.45, 0.38], np.float32)
    if window:
        left = int(w * rng.choice([rng.uniform(0.02, 0.12), rng.uniform(0.70, 0.82)]))
        image[int(h * 0.05) : int(h * 0.62), left : left + int(w * 0.19)] = (1.25, 1.32, 1.4)
        image[int(h * 0.31) : int(h * 0.335), left : left + int(w * 0.19)] = (0.4, 0.4, 0.4)
    for _ in range(14):
        a = rng.uniform([0.0, 0.25], [1.0, 0.8])
        s = rng.uniform([0.03, 0.05], [0.10, 0.22])
        colour = np.array(wall) * rng.uniform(0.25, 1.1) * rng.uniform(0.75, 1.25, 3)
        image[int(a[1] * h) : int((a[1] + s[1]) * h), int(a[0] * w) : int((a[0] + s[0]) * w)] = colour
    for _ in range(40):
        centre = rng.normal([0.85 * w, 0.55 * h], [0.06 * w, 0.12 * h])
        cv2.circle(
            image,
            (int(centre[0]), int(centre[1])),
            int(rng.uniform(0.01, 0.03) * h),
            tuple(float(v) for v in np.array([0.06, 0.13, 0.05]) * rng.uniform(0.5, 2.0)),
            -1,
        )
    radius = int(h * 0.055)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.float32)
    image = cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)
    image = cv2.GaussianBlur(image, (0, 0), h * 0.012)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
