"""Random moves of whole batches where training runs: one that picture and truth share, and a warp of the input alone.

DeepFaceLab's (arXiv:2005.05535; core/imagelib/warp.py), whose warp is what teaches its decoders the shape of a face:
they are never shown it as they have to draw it. Places are x, y in -1..1 from edge to edge, as `F.grid_sample` wants
them with `align_corners=False`. Whatever is drawn comes from torch's global generator on the CPU, so that a run is the
same on any device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

CELLS = (2, 4, 8)
"""Of the warp's grid, along each side; each as likely as the others. Each grid's points are points of the last one."""
CUT = 2.5
"""Standard deviations beyond which no offset is drawn."""

Affine = Float[Tensor, "b 2 3"]
"""From the new picture to the old one, in -1..1 of both."""
Offsets = Float[Tensor, "b 2 n n"]
"""What is added to x and to y at the points of a grid over the old picture; -1..1 is its side."""
Grid = Float[Tensor, "b h w 2"]
"""Where each pixel is read."""


@dataclass(frozen=True)
class WarpConfig:
    """How far pictures are moved. The defaults are DeepFaceLab's."""

    elastic: float = 0.24
    """Largest offset of the warp, in shares of a cell; folds cannot happen below about .4. 0: no warp."""
    degrees: float = 10.0
    """Turned by up to this, either way."""
    zoom: float = 0.15
    """Scaled by 1 / (1 + this) to 1 + this."""
    shift: float = 0.05
    """Shifted by up to this share of the side, in x and in y."""

    def __post_init__(self) -> None:
        if not 0 <= self.elastic < 0.4:
            raise ValueError(f"elastic: expected 0 to below 0.4, found {self.elastic}")
        for name in ("degrees", "zoom", "shift"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, found {getattr(self, name)}")


def draw_affine(count: int, config: WarpConfig, flip: float | int = 0.0) -> Affine:
    """Turns, scales and shifts, each uniform in its range, and left and right exchanged with chance `flip`."""
    turn = math.radians(config.degrees) * (2 * torch.rand(count) - 1)
    low, high = 1 / (1 + config.zoom), 1 + config.zoom
    scale = low + (high - low) * torch.rand(count)
    shift = 2 * config.shift * (2 * torch.rand(count, 2) - 1)
    sign = torch.where(torch.rand(count) < flip, -1.0, 1.0)
    cosine, sine = turn.cos() / scale, turn.sin() / scale
    x = sign * (-cosine * shift[:, 0] - sine * shift[:, 1])
    y = sine * shift[:, 0] - cosine * shift[:, 1]
    rows = [torch.stack([sign * cosine, sign * sine, x], 1), torch.stack([-sine, cosine, y], 1)]
    return torch.stack(rows, 1)


def draw_offsets(count: int, config: WarpConfig) -> Offsets:
    """A grid of 2, 4 or 8 cells whose inner points are moved by a truncated normal, written on the finest grid.

    Offsets between the points are linear, so that a coarse grid is a fine one without loss.
    """
    finest = CELLS[-1] + 1
    kinds = []
    for cells in CELLS:
        inner = nn.init.trunc_normal_(torch.empty(count, 2, cells - 1, cells - 1), a=-CUT, b=CUT) / CUT
        offsets = F.pad(inner * (2 * config.elastic / cells), (1, 1, 1, 1))
        kinds.append(F.interpolate(offsets, (finest, finest), mode="bilinear", align_corners=True))
    chosen = torch.randint(len(CELLS), (count,))
    return torch.stack(kinds)[chosen, torch.arange(count)]


def sampling_grid(affine: Affine, size_px: int, offsets: Offsets | None = None) -> Grid:
    """The warp first, then the affine move of what it gave: where each pixel of the new picture is read in the old."""
    grid = F.affine_grid(affine, [len(affine), 1, size_px, size_px], align_corners=False)
    if offsets is None:
        return grid
    # Beyond the picture the offsets are those of its border, which are 0.
    moved = F.grid_sample(offsets, grid, padding_mode="border", align_corners=True)
    return grid + moved.movedim(1, -1)


def read(
    images: Float[Tensor, "b c h w"], grid: Grid, beyond: Literal["border", "zeros"] = "border"
) -> Float[Tensor, "b c h w"]:
    """Pictures read at the grid's places, cubic, within the range that they had.

    Args:
        images: Any range.
        grid: Of the same size.
        beyond: What lies around a picture: its border goes on, or 0, as for masks.
    """
    moved = F.grid_sample(images.float(), grid, "bicubic", beyond, align_corners=False)
    known = images if beyond == "border" else F.pad(images, (0, 1))
    low, high = known.amin((1, 2, 3), keepdim=True), known.amax((1, 2, 3), keepdim=True)
    return torch.minimum(torch.maximum(moved, low), high)


def move_points(points: Float[Tensor, "b k 2"], affine: Affine, size_px: int) -> Float[Tensor, "b k 2"]:
    """Where points x, y in pixels of the old pictures lie in the new ones."""
    matrix = affine.to(points)
    unit = points * (2 / size_px) - 1 - matrix[:, None, :, 2]
    return (torch.linalg.solve(matrix[:, :, :2], unit.mT).mT + 1) * (size_px / 2)
