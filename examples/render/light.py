"""Studio light: one soft key lamp that casts shadows, softer lamps and a sky-to-ground gradient around the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Lamp:
    """A soft lobe of light: radiance * exp(sharpness * (cos - 1))."""

    azimuth: float
    """Degrees; 0 = from the camera, positive = from the right of the picture."""
    elevation: float
    radiance: tuple[float, float, float]
    sharpness: float = 6.0

    @property
    def direction(self) -> np.ndarray:
        return direction(self.azimuth, self.elevation)


@dataclass(frozen=True)
class Lighting:
    key_azimuth: float = -35.0
    key_elevation: float = 35.0
    key_size: float = 14.0
    """Half the width of the square lamp, degrees."""
    key: tuple[float, float, float] = (1.9, 1.8, 1.7)
    """Irradiance of a surface that faces the lamp, divided by pi."""
    lamps: tuple[Lamp, ...] = ()
    sky: tuple[float, float, float] = (0.5, 0.52, 0.55)
    ground: tuple[float, float, float] = (0.22, 0.2, 0.18)

    @property
    def key_direction(self) -> np.ndarray:
        return direction(self.key_azimuth, self.key_elevation)

    def radiance(self, directions: np.ndarray) -> np.ndarray:
        """Light from everywhere but the key lamp, (n, 3)."""
        up = (directions[:, 1:2] * 0.5 + 0.5) ** 1.2
        out = up * np.array(self.sky) + (1 - up) * np.array(self.ground)
        for lamp in self.lamps:
            lobe = np.exp(lamp.sharpness * (directions @ lamp.direction - 1))
            out = out + lobe[:, None] * np.array(lamp.radiance)
        return out

    def harmonics(self) -> np.ndarray:
        """Nine coefficients a colour that give the unshadowed irradiance / pi of a normal, (9, 3)."""
        directions = sphere(512)
        radiance = self.radiance(directions)
        normals = sphere(200)
        irradiance = np.maximum(normals @ directions.T, 0) @ radiance * 4 / len(directions)
        return np.linalg.lstsq(harmonic_basis(normals), irradiance, rcond=None)[0]

    def key_samples(self, count: int) -> np.ndarray:
        """Directions spread over the square key lamp, (count, 3)."""
        centre = self.key_direction
        side = np.cross([0, 1, 0], centre)
        side /= np.linalg.norm(side)
        up = np.cross(centre, side)
        i = np.arange(count)
        u, v = (i * 0.7548776662 + 0.5) % 1 * 2 - 1, (i * 0.5698402910 + 0.5) % 1 * 2 - 1
        size = np.tan(np.radians(self.key_size))
        out = centre + size * (u[:, None] * side + v[:, None] * up)
        return out / np.linalg.norm(out, axis=1, keepdims=True)


def direction(azimuth: float, elevation: float) -> np.ndarray:
    a, e = np.radians([azimuth, elevation])
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])


def sphere(count: int) -> np.ndarray:
    """Evenly spread unit vectors (Fibonacci spiral)."""
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    a = np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(a), z, r * np.sin(a)], 1)


def harmonic_basis(n: np.ndarray) -> np.ndarray:
    x, y, z = n.T
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], 1)
