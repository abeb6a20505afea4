"""Faces that nobody has: bent, and with another one shining through. A teacher can say whom they show.

Distillation on views that the teacher sees too needs no labels (Beyer et al., CVPR 2022, arXiv:2106.05237), so few
photographs become as many people as one likes. Random numbers come from the generator given, which lives on the CPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from facegraft.frozen.identity import SIZE_PX

NODES = 6
"""A side of the grid that bends; displacements between nodes are smooth."""
STEPS = 4
"""Of the search for where a point goes; bends are gentle, each step halves what is missing and more."""
MIXED = (0.15, 0.5)
"""How much of the other crop shines through."""

Bend = Float[Tensor, "b 112 112 2"]
"""Where the pixels of bent crops lie in the straight ones, less where they are, in pixels."""


def draw_bend(generator: torch.Generator, count: int, most_px: float) -> Bend:
    """Smooth displacements whose deviation is even in 0..`most_px`, each crop's its own."""
    strength = torch.rand((count, 1, 1, 1), generator=generator) * most_px
    nodes = torch.randn((count, 2, NODES, NODES), generator=generator) * strength
    return F.interpolate(nodes, (SIZE_PX, SIZE_PX), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def bent(crops: Float[Tensor, "b c 112 112"], bend: Bend) -> Float[Tensor, "b c 112 112"]:
    """Crops whose pixels come from where `bend` says; what lies outside repeats the border."""
    line = (torch.arange(SIZE_PX, device=crops.device) + 0.5) * (2 / SIZE_PX) - 1
    straight = torch.stack(torch.meshgrid(line, line, indexing="xy"), 2)
    grid = straight + bend.to(crops) * (2 / SIZE_PX)
    return F.grid_sample(crops, grid, mode="bilinear", padding_mode="border", align_corners=False)


def bent_points(points: Float[Tensor, "b k 2"], bend: Bend) -> Float[Tensor, "b k 2"]:
    """Points of crops, in pixels, where bending brings them; found in `STEPS` steps, to the pixel."""
    rows, found = torch.arange(len(points))[:, None], points
    for _ in range(STEPS):
        places = found.clamp(0, SIZE_PX - 1e-3).long()
        found = points - bend[rows, places[..., 1], places[..., 0]]
    return found


def draw_mix(generator: torch.Generator, count: int, share: float) -> tuple[Int64[Tensor, "b"], Float[Tensor, "b"]]:
    """Which crop of the batch shines through each one, and how much; 0 for those that stay by themselves."""
    other = torch.randperm(count, generator=generator)
    u = torch.rand((2, count), generator=generator)
    return other, torch.where(u[0] < share, MIXED[0] + (MIXED[1] - MIXED[0]) * u[1], 0.0)


def mixed(
    crops: Float[Tensor, "b c h w"], other: Int64[Tensor, "b"], share: Float[Tensor, "b"]
) -> Float[Tensor, "b c h w"]:
    """Crops with so much of others in them."""
    return torch.lerp(crops, crops[other.to(crops.device)], share.to(crops)[:, None, None, None])
