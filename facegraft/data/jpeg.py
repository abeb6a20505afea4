"""JPEG's loss without JPEG's file: colour planes, 8x8 cosine transform, quantised and back (ITU-T T.81, Annex K).

Written after what libjpeg does by default, so that a picture comes out as a file of this quality would be read,
but batched, on any device, each image with its own quality. Blocks never see each other: see `reach`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

LOSSLESS = 100
"""From this quality on nothing is done at all."""
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
_TIE = 1e-6
"""Added before rounding: flat blocks land exactly between two steps, where the last bit of a sum must not decide."""


def jpeg(
    images: Float[Tensor, "b 3 h w"], quality: Float[Tensor, "b"], halved_colour: Bool[Tensor, "b"] | None = None
) -> Float[Tensor, "b 3 h w"]:
    """What is left of images after they were stored as JPEG and read again.

    Rounding passes gradients straight through, so the result can be trained against.

    Args:
        images: RGB, 0..1; clipped and rounded to 8 bits first.
        quality: 1..100 as libjpeg counts it, one per image; an image of 100 or more is left untouched, unrounded.
            Best on the CPU: the device is waited for otherwise.
        halved_colour: True: colour at half size (4:2:0, what nearly all files have); False: 4:4:4. Default: all True.

    Returns:
        RGB 0..1 in steps of 1/255.
    """
    halved = [True] * len(images) if halved_colour is None else halved_colour.tolist()
    lossy = [value < LOSSLESS for value in quality.tolist()]
    out = images
    for half in (True, False):
        rows = [row for row, flag in enumerate(lossy) if flag and halved[row] is half]
        if len(rows) == len(images):
            return _lossy(images, quality, half)
        if rows:
            index = torch.tensor(rows, device=images.device)
            out = out.index_copy(0, index, _lossy(images[index], quality[rows], half))
    return out


def reach(quality: float | int, *, halved_colour: bool = True) -> int:
    """How far, in pixels, a changed pixel can be felt: its block, and a pixel more where colour is interpolated."""
    if quality >= LOSSLESS:
        return 0
    return 16 if halved_colour else 7


def quality_tables(quality: Float[Tensor, "b"]) -> Float[Tensor, "b 2 64"]:
    """Quantiser steps for luma and chroma, as libjpeg scales the standard's tables."""
    clipped = quality.double().clamp(1, 100).reshape(-1, 1, 1)
    scale = torch.where(clipped < 50, (5000 / clipped).floor(), 200 - 2 * clipped)
    base = torch.from_numpy(np.array([_LUMA, _CHROMA], np.float64)).reshape(1, 2, 64).to(quality.device)
    return ((base * scale + 50) / 100).floor().clamp(1, 255)


@functools.cache
def _cosine_transform() -> Tensor:
    """(64, 64) float64: a flattened 8x8 block, as a row vector, times this gives its coefficients; orthonormal."""
    k, x = np.mgrid[0:8, 0:8]
    one = np.cos((2 * x + 1) * k * math.pi / 16) * np.where(k == 0, math.sqrt(1 / 8), 0.5)
    return torch.from_numpy(np.ascontiguousarray(np.kron(one, one).T))


def _round(values: Tensor) -> Tensor:
    rounded = (values + _TIE).round()
    return values + (rounded - values).detach() if values.requires_grad else rounded


def _lossy(images: Tensor, quality: Tensor, halved: bool) -> Tensor:
    height, width = images.shape[-2:]
    step = 16 if halved else 8
    pad = (0, -width % step, 0, -height % step)
    planes = _round(_to_ycc(_round(images.double().clamp(0, 1) * 255)))
    planes = F.pad(planes, pad, mode="replicate")
    luma, chroma = planes[:, :1], planes[:, 1:]
    chroma = _halve(chroma) if halved else chroma
    tables = quality_tables(quality.to(images.device))
    small = ((height + 1) // 2, (width + 1) // 2) if halved else (height, width)
    luma = _through_blocks(luma, tables[:, :1])[..., :height, :width]
    chroma = _through_blocks(chroma, tables[:, 1:])[..., : small[0], : small[1]]
    chroma = _double(chroma)[..., :height, :width] if halved else chroma
    return (_round(_to_rgb(torch.cat([luma, chroma], 1))).clamp(0, 255) / 255).to(images.dtype)


def _through_blocks(planes: Tensor, tables: Tensor) -> Tensor:
    """Quantises (b, c, h, w), h and w multiples of 8, by tables (b, 1, 64); values 0..255, rounded."""
    b, c, height, width = planes.shape
    rows, columns = height // 8, width // 8
    blocks = planes.reshape(b, c, rows, 8, columns, 8).transpose(3, 4).reshape(b, -1, 64)
    transform = _cosine_transform().to(planes.device)
    coefficients = (blocks - 128).matmul(transform)
    kept = _round(coefficients / tables) * tables
    blocks = _round(kept.matmul(transform.T) + 128).clamp(0, 255)
    return blocks.reshape(b, c, rows, columns, 8, 8).transpose(3, 4).reshape(b, c, height, width)


def _halve(chroma: Tensor) -> Tensor:
    """Means of 2x2, rounded up and down in turn from column to column, as libjpeg's encoder does."""
    rows = chroma[..., 0::2, :] + chroma[..., 1::2, :]
    sums = rows[..., 0::2] + rows[..., 1::2]
    bias = 1 + torch.arange(sums.shape[-1], device=sums.device, dtype=sums.dtype) % 2
    return _floor((sums + bias) / 4)


def _double(chroma: Tensor) -> Tensor:
    """Triangle filter to twice the size, as libjpeg's decoder does by default ("fancy upsampling")."""
    padded = F.pad(chroma, (0, 0, 1, 1), mode="replicate")
    high = torch.stack([3 * chroma + padded[..., :-2, :], 3 * chroma + padded[..., 2:, :]], -2).flatten(-3, -2)
    columns = F.pad(high, (1, 1, 0, 0), mode="replicate")
    centre = 3 * high
    left = _floor((centre + columns[..., :-2] + 8) / 16)
    right = _floor((centre + columns[..., 2:] + 7) / 16)
    return torch.stack([left, right], -1).flatten(-2)


def _floor(values: Tensor) -> Tensor:
    return values + (values.floor() - values).detach() if values.requires_grad else values.floor()


def _weighted(planes: Sequence[Tensor], weights: Sequence[float], offset: float) -> Tensor:
    """Products first, then sums: no fused step, so a pixel gets the same bits wherever it stands in the tensor."""
    return planes[0] * weights[0] + planes[1] * weights[1] + planes[2] * weights[2] + offset


def _to_ycc(rgb: Tensor) -> Tensor:
    """JFIF's luma and chroma of 0..255."""
    planes = rgb.unbind(1)
    return torch.stack(
        [
            _weighted(planes, (0.299, 0.587, 0.114), 0.0),
            _weighted(planes, (-0.168735892, -0.331264108, 0.5), 128.0),
            _weighted(planes, (0.5, -0.418687589, -0.081312411), 128.0),
        ],
        1,
    )


def _to_rgb(ycc: Tensor) -> Tensor:
    luma, blue, red = ycc[:, 0], ycc[:, 1] - 128, ycc[:, 2] - 128
    return torch.stack([luma + 1.402 * red, luma - 0.344136286 * blue - 0.714136286 * red, luma + 1.772 * blue], 1)
