"""Textures in linear light: skin mixed from photographs; eyes, hair, brows, lashes and teeth as MakeHuman has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from people import Person

SKIN_SIZE = 2048


@dataclass(frozen=True)
class SkinMaps:
    albedo: np.ndarray
    """Linear RGB."""
    masks: np.ndarray
    """Lips, height (0.5 = flat), ears, mouth interior."""


def to_linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def read_picture(path: Path) -> np.ndarray:
    """RGB or RGBA, 0..1, as stored."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise FileNotFoundError(f"{path}: expected a picture of MakeHuman's assets; check --assets")
    order = [2, 1, 0, 3][: image.shape[2]] if image.ndim == 3 else None
    return (image if order is None else image[..., order]).astype(np.float32) / 255


def _mask(assets: Path, name: str) -> np.ndarray:
    image = read_picture(assets / "mpfb2" / "textures" / f"mpfb_{name}.png")
    image = image if image.ndim == 2 else image[..., 0]
    return cv2.resize(image, (SKIN_SIZE, SKIN_SIZE), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def bake_skin(assets: Path, person: Person) -> SkinMaps:
    """Mix the photographs in log space, then move the mean of the face to the wanted colour."""
    folder = assets / "data" / "skins" / "textures"
    total = sum(person.skins.values())
    logs = np.zeros((SKIN_SIZE, SKIN_SIZE, 3), np.float32)
    for name, share in person.skins.items():
        photo = read_picture(folder / f"{name}.jpg")[..., :3]
        logs += share / total * np.log(to_linear(photo) + 0.004)
    face, lips, inside = _mask(assets, "face"), _mask(assets, "lips"), _mask(assets, "inside-mouth")
    pick = (face > 0.9) & (lips < 0.05)
    mean = np.median(logs[pick], axis=0)
    contrast = np.array([1.0, 0.95, 0.9], np.float32)
    albedo = np.exp((logs - mean) * contrast) * np.array(person.skin_colour, np.float32)
    rng = np.random.default_rng(person.seed)
    albedo *= _blotches(rng, face)
    tint = np.array(person.lips, np.float32)
    albedo *= 1 + lips[..., None] * (tint - 1)
    mouth = np.array([0.34, 0.10, 0.09], np.float32) * (0.6 + 0.8 * np.exp(logs).mean(-1, keepdims=True))
    albedo = albedo * (1 - inside[..., None]) + mouth * inside[..., None]
    height = _height(logs, rng, lips)
    masks = np.stack([lips, height, _mask(assets, "ears"), inside], -1)
    return SkinMaps(np.clip(albedo, 0.003, 0.9), masks)


def _smooth_noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    small = rng.normal(size=(cells, cells)).astype(np.float32)
    return cv2.resize(small, (SKIN_SIZE, SKIN_SIZE), interpolation=cv2.INTER_CUBIC)


def _blotches(rng: np.random.Generator, face: np.ndarray) -> np.ndarray:
    """Faint uneven redness and brown patches, stronger on the face."""
    red = 0.6 * _smooth_noise(rng, 40) + 0.4 * _smooth_noise(rng, 160) + 0.3 * _smooth_noise(rng, 400)
    brown = 0.5 * _smooth_noise(rng, 60) + 0.5 * _smooth_noise(rng, 500)
    strength = (0.4 + 0.6 * face)[..., None]
    return np.exp(
        -strength
        * (0.025 * red[..., None] * np.array([0.1, 1.0, 0.8]) + 0.02 * brown[..., None] * np.array([0.6, 0.9, 1.2]))
    ).astype(np.float32)


def _height(logs: np.ndarray, rng: np.random.Generator, lips: np.ndarray) -> np.ndarray:
    """Creases and pores from the photographs' fine shading, plus procedural pores; 0.5 is flat."""
    luminance = logs.mean(-1)
    fine = luminance - cv2.GaussianBlur(luminance, (0, 0), 7)
    fine = np.clip(fine, -0.35, 0.2)
    pores = cv2.GaussianBlur(rng.normal(size=luminance.shape).astype(np.float32), (0, 0), 1.1)
    pores = np.minimum(pores / pores.std(), 0.6)
    columns = cv2.GaussianBlur(rng.normal(size=luminance.shape).astype(np.float32), (0, 0), sigmaX=9, sigmaY=1.3)
    lip_lines = columns / columns.std()
    return np.clip(0.5 + 0.6 * fine + (1 - lips) * 0.022 * pores + lips * 0.03 * lip_lines, 0, 1)


def read_rgba(path: Path) -> np.ndarray:
    """Linear RGB and alpha, 0..1; colour is spread into the see-through parts so that filtering shows no fringe."""
    image = read_picture(path)
    if image.shape[2] == 3:
        image = np.dstack([image, np.ones(image.shape[:2], np.float32)])
    rgb, alpha = to_linear(image[..., :3]), image[..., 3:]
    weight = cv2.GaussianBlur(alpha[..., 0], (0, 0), 6)[..., None]
    spread = cv2.GaussianBlur(rgb * alpha, (0, 0), 6) / np.maximum(weight, 1e-4)
    out = np.where((alpha < 0.05) & (weight > 1e-3), spread, rgb)
    return np.dstack([out, alpha]).astype(np.float32)


def mean_luminance(rgba: np.ndarray) -> float:
    solid = rgba[..., 3] > 0.6
    return float(rgba[..., :3].mean(-1)[solid].mean())


def linear_eye(assets: Path, name: str) -> np.ndarray:
    return read_rgba(assets / "data" / "eyes" / "materials" / f"{name}_eye.png")
