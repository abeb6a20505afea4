"""How far told factors of light are from the right ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facegraft.tensors import Scalar

Factors = Float[Tensor, "b 3 h w"]
Where = Float[Tensor, "b 1 h w"]
FLOOR = 0.03
"""Of pixel values, 0..1: darker ones are noise, and their ratios are too."""


def factors_between(image: Float[Tensor, "b 3 s s"], even: Float[Tensor, "b 3 s s"]) -> Factors:
    """Logarithms of the factors from one picture, RGB 0..1, to the same in even light; at half the size."""
    lit, wanted = (F.avg_pool2d(each, 2) + FLOOR for each in (image, even))
    return (wanted / lit).log()


def unevenness(factors: Factors, where: Where) -> Factors:
    """Factors less each channel's mean over the face; 0 elsewhere."""
    total = where.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (factors * where).sum((2, 3), keepdim=True) / total
    return (factors - mean) * where


def shading_losses(told: Factors, right: Factors, where: Where) -> dict[str, Scalar]:
    """Losses over the face, each 0 where all is right.

    Returns:
        "place": mean distance of logarithms where each channel's mean is right; "edges": how far differences between
        neighbours are off, so that shadows keep their outlines; "level": of the channels' means.
    """
    difference = told.float() - right
    apart = unevenness(difference, where)
    count = where.sum().clamp(min=1) * told.shape[1]
    across = (apart[..., 1:] - apart[..., :-1]).abs() * where[..., 1:] * where[..., :-1]
    down = (apart[..., 1:, :] - apart[..., :-1, :]).abs() * where[..., 1:, :] * where[..., :-1, :]
    means = (difference * where).sum((2, 3)) / where.sum((2, 3)).clamp(min=1)
    return {
        "place": apart.abs().sum() / count,
        "edges": (across.sum() + down.sum()) / count,
        "level": means.abs().mean(),
    }


def left_percent(told: Factors, right: Factors, where: Where) -> float:
    """How much of the light's unevenness is left after the told factors, in %; 100 = nothing was told."""
    before, left = (unevenness(each, where).abs().sum() for each in (right, told.detach().float() - right))
    return 100 * float(left / torch.clamp(before, min=1e-6))
