"""What photographers do to a finished picture's tones: contrast, saturation, shadows and highlights of two colours.

Renders come from a camera that does little of it. The same change is made to several pictures of one moment, as if one
hand had developed them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Crops = Float[Tensor, "b 3 h w"]

LUMA = (0.299, 0.587, 0.114)
DARKEST = 1e-4
SHADOWS_END, HIGHLIGHTS_BEGIN = 0.15, 0.7
"""Luma up to which the shadows' colour counts in full, and from which on the highlights' does."""


@dataclass(frozen=True)
class Grading:
    """How far development goes.

    Attributes:
        share: Of pictures that are developed, 0..1.
        contrast: Share of an S-shaped curve, at the most, 0..1.
        saturation: Logarithm of the factor on colours' distance from grey, at the most.
        split: Deviation of the logarithms by which shadows and highlights are coloured.
    """

    share: float = 0.0
    contrast: float = 0.7
    saturation: float = 0.4
    split: float = 0.12

    def __post_init__(self) -> None:
        for name in ("share", "contrast"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected 0 to 1, found {getattr(self, name)}")
        if min(self.saturation, self.split) < 0:
            raise ValueError(f"saturation, split: expected 0 or more, found {self.saturation}, {self.split}")


def develop(pictures: Sequence[Crops], how: Grading, generator: torch.Generator) -> list[Crops]:
    """Pictures of the same moments, RGB 0..1, all developed alike, each row by its own draw.

    Args:
        pictures: One or more, of equal shape.
        how: How far it goes.
        generator: On the CPU.
    """
    count = len(pictures[0])
    u = torch.rand((3, count, 1, 1, 1), generator=generator)
    tints = how.split * torch.randn((2, count, 3, 1, 1), generator=generator)
    tints = tints - tints.mean(2, keepdim=True)
    chosen = u[0] < how.share
    strength, vivid = how.contrast * u[1], torch.exp(how.saturation * (2 * u[2] - 1))
    return [torch.where(chosen, _developed(each, strength, vivid, tints), each) for each in pictures]


def _developed(image: Crops, strength: Tensor, vivid: Tensor, tints: Tensor) -> Crops:
    curved = image + strength * (image * image * (3 - 2 * image) - image)
    luma = (curved * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    light = ((luma - SHADOWS_END) / (HIGHLIGHTS_BEGIN - SHADOWS_END)).clamp(0, 1)
    shadows, highlights = tints
    coloured = (luma + vivid * (curved - luma)) * torch.exp(shadows + light * (highlights - shadows))
    return coloured.clamp(DARKEST, 1)
