"""MakeHuman's skin photographs, made comparable: logarithms of linear light around each one's own skin colour."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32
from scipy.ndimage import gaussian_filter
from torch import Tensor

from facegraft.core.errors import MissingPartError
from facegraft.core.image import read_picture
from facegraft.data.assets import find_texture
from facegraft.data.synth.skin_space import FULL_HW, FULL_PX, LEFT, TOP, SkinSpace
from facegraft.data.synth.traits import PHOTOS

FLOOR = 0.004
"""Added to linear light before the logarithm, so that the noise of black pixels stays small."""
DARK_COLOUR, LIGHT_COLOUR = 0.5, 0.85
"""Share of the photographs' own colour variation that is kept: JPEG's and the lamp's tints show most in dark ones."""
SMOOTH_HW = (FULL_HW[0] // 8, FULL_HW[1] // 8)
"""Size of smooth maps, whatever the atlas's scale."""
_SRGB = np.arange(256) / 255
LINEAR_OF_BYTE = np.where(_SRGB <= 0.04045, _SRGB / 12.92, ((_SRGB + 0.055) / 1.055) ** 2.4).astype(np.float32)


def read_mask(assets: Path, name: str, space: SkinSpace) -> Float32[np.ndarray, "h w"]:
    """One of mpfb2's uv masks, 0..1, on the head rectangle; beyond the seams as just within them."""
    path = find_texture(assets / "mpfb2" / "textures", f"mpfb_{name}")
    pixels = read_picture(path).pixels[..., 0].astype(np.float32) / 255
    full = cv2.resize(pixels, (FULL_PX, FULL_PX), interpolation=cv2.INTER_CUBIC)[TOP:, LEFT:]
    mask = resized(full, space.size_hw).clip(0, 1)
    return mask.ravel()[space.filled_from]


def resized(image: Float32[np.ndarray, "..."], size_hw: tuple[int, int]) -> Float32[np.ndarray, "..."]:
    """Area-filtered to the size when smaller, linear when larger."""
    if image.shape[:2] == size_hw:
        return image
    area = image.shape[0] > size_hw[0]
    return cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR)


def find_photo(assets: Path, name: str) -> Path:
    """The photograph's file: a full-size copy in either format before a small one."""
    skins = assets / "data" / "skins"
    for folder in (skins / "textures", skins / "textures_512"):
        for suffix in (".jpg", ".png", ".jpeg"):
            if (folder / f"{name}{suffix}").exists():
                return folder / f"{name}{suffix}"
    raise MissingPartError(
        f"{skins}: expected the skin photograph {name} (.jpg or .png) in `textures`, found none; "
        "run `facegraft data assets`"
    )


@dataclass
class PhotoBank:
    """Photographs at one scale, each read on first use and kept.

    `skin` marks the texels whose median is a photograph's skin colour; `scalp` (0..1) is where the photographs show
    shaved hair, which is taken out: people bring their own.
    """

    assets: Path
    space: SkinSpace
    skin: Bool[np.ndarray, "h w"]
    scalp: Float32[np.ndarray, "h w"] = field(init=False)
    _structure: dict[str, Tensor] = field(default_factory=dict)
    _smooth: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scalp = self._find_scalp()

    def _logs(self, name: str) -> Float32[np.ndarray, "h w 3"]:
        """Log of linear light minus the skin's median, with the colour beyond the seams filled from within."""
        pixels = read_picture(find_photo(self.assets, name)).pixels[..., :3]
        size = pixels.shape[0]
        crop = LINEAR_OF_BYTE[pixels[TOP * size // FULL_PX :, LEFT * size // FULL_PX :]]
        logs = np.log(resized(crop, self.space.size_hw) + FLOOR)
        logs = logs.reshape(-1, 3)[self.space.filled_from.ravel()].reshape(logs.shape)
        return (logs - np.median(logs[self.skin], axis=0)).astype(np.float32)

    def _find_scalp(self) -> Float32[np.ndarray, "h w"]:
        """The dark photographs show hair nearly black, which draws the hairline."""
        dark = np.mean([self._logs(name).mean(-1) for name in PHOTOS["dark"]["middle"]], axis=0)
        sigma = 14 * self.space.scale
        y, z = self.space.places[1], self.space.places[2]
        could_be = self.space.head & ((y > 0.45) | (z < -0.75) | ((y > 0.1) & (z < -0.45))) & (y > -1.8)
        hair = np.clip((-cv2.GaussianBlur(dark, (0, 0), sigma) - 0.3) / 0.5, 0, 1) * could_be
        around = max(3, round(44 * self.space.scale))
        spread = cv2.dilate(hair.astype(np.float32), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (around, around)))
        spread = spread.ravel()[self.space.filled_from]  # seams run through the scalp: no fading there
        return cv2.GaussianBlur(spread, (0, 0), 16 * self.space.scale).astype(np.float32)

    def structure(self, name: str) -> Tensor:
        """(4, h, w): log colour around the skin's median, then fine log luminance for the height map."""
        if name not in self._structure:
            logs, scale = self._logs(name), self.space.scale
            scalp = self.scalp[..., None]
            smooth = cv2.GaussianBlur(logs, (0, 0), 26 * scale)
            logs = logs - scalp * smooth - 0.75 * scalp * (logs - smooth)
            logs -= 0.35 * cv2.GaussianBlur(logs, (0, 0), 70 * scale) * (1 - scalp)  # the studio's lamps
            light = logs.mean(-1, keepdims=True)
            fine = light[..., 0] - cv2.GaussianBlur(light[..., 0], (0, 0), 7 * scale)
            is_dark = any(name in group for group in PHOTOS["dark"].values())
            colour = np.clip((DARK_COLOUR if is_dark else LIGHT_COLOUR) * (logs - light), -0.5, 0.5)
            bright = np.clip(light, -1.6, 0.45) * (0.85 if is_dark or name.startswith("old") else 1.0)
            stack = np.concatenate([bright + colour, fine[..., None]], -1)
            self._structure[name] = torch.from_numpy(np.ascontiguousarray(stack.transpose(2, 0, 1)))
        return self._structure[name]

    def smooth(self, name: str) -> Tensor:
        """(3, a, b) of `SMOOTH_HW`: low frequencies of a photograph, scalp and lips left out."""
        if name not in self._smooth:
            logs = self._logs(name) * (1 - self.scalp[..., None])
            low = cv2.GaussianBlur(logs, (0, 0), 20 * self.space.scale)
            small = resized(np.clip(low, -0.6, 0.35), SMOOTH_HW)
            self._smooth[name] = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))
        return self._smooth[name]


def full_noise(seed: int, sigma_px: tuple[float, float], size_hw: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    """Blurred Gaussian noise of unit spread, defined at full size (sigma along columns, rows), filtered to the size."""
    noise = np.random.default_rng(seed).standard_normal(FULL_HW, np.float32)
    noise = gaussian_filter(noise, (sigma_px[1], sigma_px[0]), mode="wrap")
    return resized(noise / noise.std(), size_hw)
