"""What stands behind the person: a bank of painted or photographed pictures, cropped, blurred and lit per scene."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.core.files import entries, shown
from facegraft.core.image import read_picture
from facegraft.data.synth.light import LUMINANCE, Environments, behind
from facegraft.data.synth.scene import Background
from facegraft.data.synth.scenery import painted

LOG = logging.getLogger(__name__)
PHOTOGRAPHS = (".jpg", ".jpeg", ".png")
BANK_LEVEL = 0.3
"""Mean luminance of every picture of a bank, unless that would need more than a factor of 2.5."""
MARGIN = 0.09
"""Drawn around the picture on every side, as a share of it, so that a blur does not see the opposite edge."""
LEVEL_RANGE = (0.04, 0.9)
"""Darkest and brightest mean luminance behind a face whose skin is well exposed."""


def background_bank(
    folders: Path | Sequence[Path] | None = None, count: int = 128, size_px: int = 256, seed: int = 0
) -> Float[Tensor, "k 3 h w"]:
    """`count` square pictures, linear RGB, 1 = white, lamps brighter; of photographs where folders are named.

    Args:
        folders: Hold .jpg or .png photographs without people; None paints pictures.
        count: Rows of the bank; photographs are used again, cropped otherwise, where there are fewer.
        size_px: Side of the pictures.
        seed: Of crops and paint.

    Raises:
        BadInputError: The folders hold no photograph, or one that cannot be read.
    """
    paths = [] if folders is None else _photographs([folders] if isinstance(folders, Path) else folders)
    order = np.random.default_rng([seed, 0]).permutation(max(len(paths), 1))
    pictures = []
    for row in range(count):
        rng = np.random.default_rng([seed, 1, row])
        picture = _photograph(paths[order[row % len(paths)]], rng, size_px) if paths else painted(rng, size_px)
        level = float(picture.mean((0, 1)) @ np.array(LUMINANCE))
        pictures.append(picture * min(max(BANK_LEVEL / max(level, 1e-4), 0.4), 2.5))
    LOG.info("%d backgrounds %s", count, f"of {len(paths)} photographs" if paths else "painted")
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32).copy())


def backgrounds(
    wanted: Sequence[Background],
    bank: Float[Tensor, "k 3 h w"],
    size_px: int,
    device: torch.device | str = "cpu",
    light: Environments | None = None,
) -> Float[Tensor, "b 3 s s"]:
    """The background of each scene, linear RGB, as bright as the person's own picture is exposed.

    Args:
        wanted: One a scene.
        bank: Of `background_bank`, best on the device already.
        size_px: Side of the result.
        device: Where the result is.
        light: The scenes' light: sets brightness and part of the colour. None: a mean luminance near .3.
    """
    bank = bank.to(device)
    margin = math.ceil(MARGIN * size_px)
    side = size_px + 2 * margin
    fine = 2 if bank.shape[-1] > 1.3 * side else 1
    rows = torch.tensor([min(int(b.choice * len(bank)), len(bank) - 1) for b in wanted], device=device)
    crop = torch.nn.functional.grid_sample(
        bank[rows], _grid(wanted, side, fine, side / size_px).to(device), padding_mode="reflection", align_corners=False
    )
    crop = torch.nn.functional.avg_pool2d(crop, fine) if fine > 1 else crop
    crop = _defocused(crop, [b.blur_px * size_px / 256 for b in wanted])
    crop = crop[..., margin : margin + size_px, margin : margin + size_px]
    return crop.clamp(min=0) * _factors(wanted, light, device)[:, :, None, None]


def _grid(wanted: Sequence[Background], side: int, fine: int, widened: float) -> Float[Tensor, "b n n 2"]:
    """Where in its bank picture (-1..1) each pixel of the widened crop looks."""
    steps = (torch.arange(side * fine) + 0.5) / (side * fine) * 2 - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    grid = torch.stack([x, y], -1) * widened
    size = torch.tensor([b.size for b in wanted])[:, None, None, None]
    flip = torch.tensor([[-1.0 if b.mirrored else 1.0, 1.0] for b in wanted])[:, None, None]
    centre = (torch.tensor([b.centre_xy for b in wanted])[:, None, None] * 2 - 1) * (1 - size)
    looked: Tensor = grid * flip * size + centre
    return looked


def _defocused(pictures: Float[Tensor, "b 3 s s"], sigma_px: Sequence[float]) -> Float[Tensor, "b 3 s s"]:
    """Each picture blurred by a disc with a soft rim of this standard deviation, by its Fourier transform.

    A disc of radius r has the deviation r / 2 along each axis and the transform 2 J1(k r) / (k r).
    """
    side = pictures.shape[-1]
    device = pictures.device
    down = torch.fft.fftfreq(side, device=device)[:, None] * 2 * math.pi
    across = torch.fft.rfftfreq(side, device=device)[None] * 2 * math.pi
    rate = torch.hypot(down, across)
    sigma = torch.tensor(sigma_px, device=device)[:, None, None]
    argument = (rate * sigma * 2 * 0.97).clamp(min=1e-3)
    disc = 2 * torch.special.bessel_j1(argument) / argument
    rim = torch.exp(-0.5 * (rate * sigma * 0.243) ** 2)  # .97 ** 2 + .243 ** 2 = 1: the deviation stays
    spectrum = torch.fft.rfft2(pictures) * (disc * rim)[:, None]
    blurred: Tensor = torch.fft.irfft2(spectrum, s=(side, side))
    return blurred


def _factors(
    wanted: Sequence[Background], light: Environments | None, device: torch.device | str
) -> Float[Tensor, "b 3"]:
    """Colour factors: the scene's own tint and brightness, times what the environment sends from behind the person.

    A camera exposes for the face, and a wall returns about a third of what falls on it, so brightness follows the
    light less than in proportion, inside limits.
    """
    tint = torch.tensor([b.tint for b in wanted], device=device)
    level = torch.tensor([b.brightness for b in wanted], device=device) * BANK_LEVEL
    if light is not None:
        seen = behind(light).to(device)
        luminance = (seen @ torch.tensor(LUMINANCE, device=device)).clamp(min=1e-4)
        level = level * luminance**0.6
        tint = tint * (seen / luminance[:, None]).clamp(0.4, 2.5) ** 0.5
    return tint * (level.clamp(*LEVEL_RANGE) / BANK_LEVEL)[:, None]


def _photographs(folders: Sequence[Path]) -> list[Path]:
    paths = [p for folder in folders for p in entries(folder) if p.suffix.lower() in PHOTOGRAPHS]
    if not paths:
        names = ", ".join(shown(folder) for folder in folders)
        raise BadInputError(f"{names}: expected .jpg or .png photographs, found none; name a folder that holds some")
    return paths


def _photograph(path: Path, rng: np.random.Generator, size_px: int) -> Float32[np.ndarray, "s s 3"]:
    """A square of a photograph in linear light, its burnt highlights made bright again, so that a blur shows them."""
    frame = read_picture(path).frame
    side = min(frame.shape[:2])
    top, left = (int(rng.integers(length - side + 1)) for length in frame.shape[:2])
    square = frame[top : top + side, left : left + side].astype(np.float32) / 255
    linear = np.where(square <= 0.04045, square / 12.92, ((square + 0.055) / 1.055) ** 2.4)
    linear = linear * (1 + 1.5 * linear.min(2, keepdims=True) ** 8)
    method = cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC
    return np.asarray(np.maximum(cv2.resize(linear, (size_px, size_px), interpolation=method), 0), np.float32)
