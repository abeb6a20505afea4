"""Colour changes for training: jitter, grey, and the strong distortion that hides a picture's colours (FastSwap).

A change of one image is a colour matrix, a contrast, a gamma, a second matrix and a tint, in this order: every recipe
below comes down to these five. A pixel's colour depends on nothing but itself, not even on the image's mean, so a
picture and its truth go on agreeing wherever they agreed; an image comes out the same alone and in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Matrix3 = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
PIVOT = 0.42
"""sRGB level that a change of contrast leaves alone: about the mean of photographs of faces."""
_SAME: Matrix3 = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_LUMA = np.array([0.299, 0.587, 0.114])
_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


@dataclass(frozen=True)
class Colour:
    """What happens to one image's colours, in the order of the fields. Colours are sRGB 0..1.

    Attributes:
        before: First colour matrix.
        contrast: Factor on the distance from `PIVOT`.
        gamma: Exponent.
        after: Second colour matrix.
        tint: Colour that is mixed in.
        tint_share: How much of it, 0..1.
    """

    before: Matrix3 = _SAME
    contrast: float = 1.0
    gamma: float = 1.0
    after: Matrix3 = _SAME
    tint: tuple[float, float, float] = (0.5, 0.5, 0.5)
    tint_share: float = 0.0


def draw_jitter(
    generator: torch.Generator, *, brightness: float, contrast: float, saturation: float, hue: float, grey: float
) -> Colour:
    """Mild jitter: factors in 1 +- the first three, a turn of the hue of up to `hue` circles, grey by chance."""
    u = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
    spread = [1 + (2 * value - 1) * size for value, size in zip(u[:3], (brightness, contrast, saturation), strict=True)]
    matrix = _saturate(0.0 if u[4] < grey else spread[2]) @ _turn((2 * u[3] - 1) * hue) * spread[0]
    return Colour(before=_matrix3(matrix), contrast=spread[1])


def draw_distortion(generator: torch.Generator) -> Colour:
    """Strong distortion of all colours at once: after it, a picture's true colours cannot be told (FastSwap).

    Yoo et al., WACV 2023, give the idea and its look; the recipe is ours: grey with chance .3, gains .4..1.6, hue all
    around, saturation 0..2, brightness .5..1.3 and gamma .6..1.6 in random order, then a tint of up to a half.
    """
    u = torch.rand(13, generator=generator, dtype=torch.float64).tolist()
    order = torch.randperm(6, generator=generator).tolist()
    steps = [
        _saturate(0.0 if u[0] < 0.3 else 1.0),
        np.diag([0.4 + 1.2 * value for value in u[1:4]]),
        _turn(u[4] - 0.5),
        _saturate(2 * u[5]),
        np.eye(3) * (0.5 + 0.8 * u[6]),
        None,  # gamma
    ]
    halves = [np.eye(3), np.eye(3)]
    for number in order:
        step = steps[number]
        if step is not None:
            half = int(order.index(number) > order.index(5))
            halves[half] = step @ halves[half]
    return Colour(
        before=_matrix3(halves[0]),
        gamma=0.6 + u[7],
        after=_matrix3(halves[1]),
        tint=(u[8], u[9], u[10]),
        tint_share=0.5 * u[11],
    )


def recolour(images: Float[Tensor, "b 3 h w"], colours: Sequence[Colour]) -> Float[Tensor, "b 3 h w"]:
    """Changes the colours of images in -1..1, one `Colour` each; the result is cut to -1..1."""
    return _on_rows(images, [colour != Colour() for colour in colours], colours, _recolour)


def _on_rows(
    images: Tensor,
    chosen: Sequence[bool],
    colours: Sequence[Colour],
    work: Callable[[Tensor, Sequence[Colour]], Tensor],
) -> Tensor:
    """`work` on the chosen images; the others stay."""
    if all(chosen) or not any(chosen):
        return work(images, colours) if chosen and chosen[0] else images
    rows = [row for row, flag in enumerate(chosen) if flag]
    index = torch.tensor(rows, device=images.device)
    return images.index_copy(0, index, work(images[index], [colours[row] for row in rows]))


def _recolour(images: Tensor, colours: Sequence[Colour]) -> Tensor:
    matrices = torch.tensor([colour.before for colour in colours]).to(images)
    factors = torch.tensor([colour.contrast for colour in colours]).to(images)
    offsets = matrices.sum(2) - 1  # the matrix belongs to 0..1, the images are in -1..1
    offsets = offsets * factors[:, None] + (2 * PIVOT - 1) * (1 - factors[:, None])
    matrices = matrices * factors[:, None, None]
    out = _affine(images, matrices, offsets)
    late = [colour.gamma != 1 or colour.after != _SAME or colour.tint_share > 0 for colour in colours]
    return _on_rows(out, late, colours, _recolour_late)


def _recolour_late(images: Tensor, colours: Sequence[Colour]) -> Tensor:
    """Gamma, second matrix and tint."""
    gamma = torch.tensor([colour.gamma for colour in colours]).to(images)[:, None, None, None]
    curved = ((images + 1) * 0.5) ** gamma * 2 - 1
    after = torch.tensor([colour.after for colour in colours]).to(images)
    mixed = _affine(curved, after, after.sum(2) - 1)
    share = torch.tensor([colour.tint_share for colour in colours]).to(images)[:, None, None, None]
    tint = torch.tensor([colour.tint for colour in colours]).to(images)[:, :, None, None] * 2 - 1
    return mixed * (1 - share) + tint * share


def _affine(images: Tensor, matrices: Tensor, offsets: Tensor) -> Tensor:
    """Colour matrix and offset, cut to -1..1; products, then sums, so that no fused step differs from row to row."""
    weights = matrices[..., None, None]
    out = images[:, :1] * weights[:, :, 0]
    out += images[:, 1:2] * weights[:, :, 1]
    out += images[:, 2:] * weights[:, :, 2]
    out += offsets[:, :, None, None]
    return out.clamp_(-1, 1)


def _saturate(factor: float) -> np.ndarray:
    """1 leaves colours as they are, 0 makes them grey."""
    return np.eye(3) * factor + (1 - factor) * np.tile(_LUMA, (3, 1))


def _turn(circles: float) -> np.ndarray:
    """Turns all hues, brightness kept."""
    angle = 2 * math.pi * circles
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return np.linalg.solve(_YIQ, turn @ _YIQ)


def _matrix3(matrix: np.ndarray) -> Matrix3:
    a, b, c = ((float(row[0]), float(row[1]), float(row[2])) for row in matrix)
    return (a, b, c)
