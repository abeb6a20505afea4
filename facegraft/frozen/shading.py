"""What the light of a photo does to a face: the factors that would undo it. Trained by train/eyes/shading.py.

A U-Net (Ronneberger et al., arXiv:1505.04597) of plain convolutions, down to a 16th of the crop. Factors are made at
half the crop's size: light has less detail than skin, and what is finer stays the person's.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import ConvNormAct, Up
from facegraft.nn.weights import load_weights

SIZE_PX = 128
CROP_MARGIN = 1.35
"""Side of the crop in sides of the box around the face's points."""
MOST = 2.0
"""Largest logarithm of a factor; black and burnt-out skin tell nothing beyond."""


@dataclass(frozen=True)
class ShadingConfig:
    """Size of the network."""

    widths: tuple[int, ...] = (16, 32, 64, 96)
    """Channels at 2, 4, 8 and 16 pixels per step."""

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths: expected two or more of 1 or more, found {self.widths}")


class Shading(nn.Module):
    """Crop -> logarithms of factors on its pixel values."""

    def __init__(self, config: ShadingConfig) -> None:
        super().__init__()
        self.config = config
        pairs = list(itertools.pairwise((3, *config.widths)))
        self.down = nn.ModuleList(
            nn.Sequential(ConvNormAct(before, width, stride=2), ConvNormAct(width, width)) for before, width in pairs
        )
        self.up = Up("bilinear")
        self.join = nn.ModuleList(
            ConvNormAct(fine + coarse, fine) for fine, coarse in itertools.pairwise(config.widths)
        )
        self.out = nn.Conv2d(config.widths[0], 3, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, crop: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 _h _w"]:
        """`crop * exp(factors)` is the face in even, white light, but for a factor on each channel as a whole.

        Args:
            crop: RGB, 0..1, as files hold it; height and width multiples of 16.

        Returns:
            At half the crop's size, -`MOST`..`MOST`.
        """
        held, kept = crop * 2 - 1, []
        for stage in self.down:
            held = stage(held)
            kept.append(held)
        for fine, join in zip(kept[-2::-1], reversed(self.join), strict=True):
            held = join(torch.cat([self.up(held), fine], 1))
        return MOST * torch.tanh(self.out(held) / MOST)


def load(path: Path, config: ShadingConfig | None = None) -> Shading:
    """Trained, ready to be asked.

    Raises:
        BadInputError: The file is missing, or holds the weights of something else.
    """
    net = Shading(config or ShadingConfig())
    load_weights(path, net)
    return net.eval()
