"""Small repeating textures of hair: luminance (mean 1) and height of the strands (0..1, evenly spread)."""

from __future__ import annotations

import zlib

import numpy as np
from jaxtyping import Float32
from scipy.ndimage import gaussian_filter, map_coordinates

from facegraft.core.errors import BadInputError

SIZE = 256
TILE_DM = {"straight": 0.5, "stubble": 0.5, "beard": 0.5, "curl": 0.9, "frizz": 0.8}
"""Side of one repeat on the head, decimetres."""


def strand_texture(kind: str) -> Float32[np.ndarray, "2 256 256"]:
    """The same values on every call.

    Args:
        kind: "straight" (along v), "stubble" (dots), "beard" (short, along v), "curl" (locks) or "frizz" (fine coils).

    Raises:
        BadInputError: There is no such kind.
    """
    makers = {"straight": _straight, "stubble": _stubble, "beard": _beard, "curl": _curl, "frizz": _frizz}
    if kind not in makers:
        raise BadInputError(f"no hair texture is called {kind!r}; expected one of {', '.join(makers)}")
    height, light = makers[kind](np.random.default_rng(zlib.crc32(kind.encode())))
    light = np.exp(0.45 * light)
    return np.stack([light / light.mean(), _evenly(height)]).astype(np.float32)


def _noise(rng: np.random.Generator, sigma_v: float | int, sigma_u: float | int) -> np.ndarray:
    values = gaussian_filter(rng.normal(size=(SIZE, SIZE)), (sigma_v, sigma_u), mode="wrap")
    return np.asarray(values / values.std())


def _evenly(values: np.ndarray) -> np.ndarray:
    """Replaced by their rank, 0..1: a cut at c hides the share c of the surface."""
    rank = np.empty(values.size)
    rank[np.argsort(values, axis=None, kind="stable")] = np.linspace(0, 1, values.size)
    return rank.reshape(values.shape)


def _straight(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    wave = 1.2 * _noise(rng, 30, 30)
    fine = _warped(_noise(rng, 22, 0.8), np.zeros_like(wave), wave)
    lock = _warped(_noise(rng, 50, 4.0), np.zeros_like(wave), wave)
    colour = _warped(_noise(rng, 40, 0.9), np.zeros_like(wave), wave)
    return 0.75 * fine + 0.6 * lock, 0.6 * colour + 0.45 * fine + 0.3 * lock


def _stubble(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    fine = _noise(rng, 1.3, 1.1)
    return fine + 0.35 * _noise(rng, 6, 6), 0.5 * fine + 0.4 * _noise(rng, 1.5, 1.5)


def _beard(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    wave = 5 * _noise(rng, 9, 9)
    fine = _warped(_noise(rng, 6, 0.8), np.zeros_like(wave), wave)
    lock = _warped(_noise(rng, 14, 3.5), np.zeros_like(wave), wave)
    return fine + 0.3 * lock, 0.6 * fine + 0.3 * _noise(rng, 8, 1)


def _curl(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    lock = _noise(rng, 7, 7)
    slope = 26 * _noise(rng, 9, 9)
    coil = np.sin(0.9 * lock * 5 + slope * 0.12)
    fine = _warped(_noise(rng, 5, 0.8), slope * 0.6, slope * 0.4)
    return lock + 0.35 * coil + 0.3 * fine, 0.55 * coil + 0.4 * fine + 0.45 * lock


def _frizz(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    lock, small = _noise(rng, 4, 4), _noise(rng, 1.8, 1.8)
    return 0.7 * lock + small, 0.7 * small + 0.4 * _noise(rng, 1, 1) + 0.3 * lock


def _warped(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    return np.asarray(map_coordinates(values, [y + rows, x + columns], order=1, mode="grid-wrap"))
