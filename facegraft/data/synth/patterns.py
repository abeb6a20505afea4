"""What cloth looks like close by: small tiles that repeat, of two colours and of light and dark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import BadInputError

TILE_PX = 128


@dataclass(frozen=True)
class Pattern:
    """How a tile is laid on cloth."""

    repeats: int
    """In one tile."""
    period: float
    """Of one repeat, in `Cloth.pattern_size`."""


PATTERNS = {
    "heather": Pattern(16, 0.15),
    "stripes": Pattern(4, 1.0),
    "checks": Pattern(4, 1.0),
    "knit": Pattern(8, 0.18),
    "print": Pattern(4, 1.3),
}
"""All that are drawn; "plain" needs no tile."""


def pattern_texture(name: str) -> Float32[np.ndarray, "2 128 128"]:
    """Share of the second colour (0..1) and a factor on the colour (mean 1), of a tile that repeats without a seam.

    Raises:
        BadInputError: There is no such pattern.
    """
    if name not in PATTERNS:
        raise BadInputError(f"no pattern is called {name!r}; expected one of {', '.join(PATTERNS)}")
    draw: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
        "heather": _heather,
        "stripes": _stripes,
        "checks": _checks,
        "knit": _knit,
        "print": _print,
    }
    at = (np.arange(TILE_PX) + 0.5) / TILE_PX * PATTERNS[name].repeats
    mix, relief = draw[name](*np.meshgrid(at, at))
    return np.stack([np.clip(mix, 0, 1), relief / relief.mean()]).astype(np.float32)


def _heather(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flecks of yarn along the rows."""
    flecks = _noise(u.shape, (0.7, 3.0), seed=1)
    return 0.22 + 0.09 * flecks, 1 + 0.05 * flecks


def _stripes(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _band(v, 0.36), np.ones_like(u)


def _checks(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gingham: where two stripes cross, the colour is full."""
    return (_band(u, 0.5) + _band(v, 0.5)) / 2, np.ones_like(u)


def _band(x: np.ndarray, share: float) -> np.ndarray:
    """1 over this share of each repeat, with edges as wide as a texel of four repeats."""
    return np.asarray(np.clip((share / 2 - np.abs(x % 1 - 0.5)) * 32 + 0.5, 0, 1))


def _knit(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of V-shaped stitches."""
    across = np.abs(2 * (u % 1) - 1)
    stitch = np.abs(np.sin(np.pi * (v + 0.55 * across)))
    groove = np.exp(-(((1 - across) / 0.22) ** 2))
    return np.zeros_like(u), (0.55 + 0.55 * stitch**0.8) * (1 - 0.35 * groove)


def _print(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blotches of ink."""
    return np.clip((_noise(u.shape, (9.0, 9.0), seed=4) - 0.35) * 9 + 0.5, 0, 1), np.ones_like(u)


def _noise(shape: tuple[int, ...], sigma: tuple[float, float], seed: int) -> np.ndarray:
    """Smooth noise that repeats, mean 0, standard deviation 1; `sigma` in texels down and across."""
    white = np.fft.fft2(np.random.default_rng(seed).normal(size=shape))
    far, across = (np.exp(-2 * (np.pi * np.fft.fftfreq(n) * s) ** 2) for n, s in zip(shape, sigma, strict=True))
    smooth = np.fft.ifft2(white * far[:, None] * across[None]).real
    return np.asarray((smooth - smooth.mean()) / smooth.std())
