"""A second look at full resolution: windows on parts of a face, placed by a network's own first answer.

After Attention Mesh (Grishchenko et al., arXiv:2006.10962), whose submodels for eyes and lips see regions of a feature
map. Here they are cut from the crop itself: an eye is some 20 pixels wide there, and nothing of it may be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from facegraft.nn.conv import Activation, ConvNormAct, Inverted
from facegraft.nn.trunk import Looks

JITTER = (0.08, 0.08, 0.08)
"""In training windows are moved by up to this share of their half side, turned by as many radians, and their size
changes by up to this share: first answers of pictures that were learnt from are better than those of others."""


@dataclass(frozen=True)
class WindowConfig:
    """Size of a network that looks through a window."""

    side_px: int = 40
    """Of the window as it is sampled; a multiple of 8."""
    stem: int = 16
    """Channels at half the side."""
    widths: tuple[int, int] = (24, 40)
    """Channels at a quarter and an eighth of the side."""
    depths: tuple[int, int] = (2, 2)
    """Blocks of each; the first of each halves the side."""
    expansion: int = 3
    looks: int = 8
    """Places that the network may choose to look at more closely, at a quarter of the side."""
    pooled: int = 96
    code: int = 96
    """Numbers that sum up the window."""
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        if self.side_px % 8 or self.side_px < 8:
            raise ValueError(f"side_px: expected a multiple of 8, found {self.side_px}")
        if min(self.depths) < 1:
            raise ValueError(f"depths: expected 1 or more each, found {self.depths}")


@dataclass(frozen=True)
class Windows:
    """Squares in crops, several per crop. Kept as one tensor, because many small steps are slow on a CPU.

    Attributes:
        edges: Vectors from a window's middle to the middles of its right edge and of its lower one, as its network
            sees it, in crop sides. The first one points left in a mirrored window.
        middles: x, y in crop sides.
    """

    edges: Float[Tensor, "b n 2 2"]
    middles: Float[Tensor, "b n 2"]

    @staticmethod
    def level_with(
        axis: Float[Tensor, "b 2"],
        middles: Float[Tensor, "b n 2"],
        halves: Float[Tensor, "b n"],
        mirrored: Sequence[bool],
    ) -> Windows:
        """Windows turned as an axis is that points right on an upright face.

        Args:
            axis: Of any length.
            middles: Of the windows.
            halves: Half their sides.
            mirrored: Exchange left and right in what is seen, as for the eye at the right of the frame.
        """
        # Two points that fall on each other have no direction, but must not stop a training.
        unit = axis / axis.norm(dim=1, keepdim=True).clamp(min=1e-6)
        turned = unit @ axis.new_tensor([[0.0, 1.0], [-1.0, 0.0]])
        sign = axis.new_tensor([-1.0 if one else 1.0 for one in mirrored])[:, None]
        across = unit[:, None] * halves[..., None] * sign
        return Windows(torch.stack([across, turned[:, None] * halves[..., None]], 2), middles)

    def jittered(self) -> Windows:
        """Moved, turned and scaled at random, by torch's own generator."""
        moved, turned, scaled = JITTER
        x, y, turn, scale = (2 * torch.rand(4, *self.middles.shape[:2], device=self.middles.device) - 1).unbind()
        middles = self.middles + moved * (torch.stack([x, y], -1)[..., None] * self.edges).sum(2)
        sine, cosine = torch.sin(turned * turn), torch.cos(turned * turn)
        turning = torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], -2)
        return Windows((1 + scaled * scale)[..., None, None] * turning @ self.edges, middles)

    def look(self, crop: Float[Tensor, "b c h w"], side_px: int) -> Float[Tensor, "n b c s s"]:
        """What the windows show, bilinear; beyond the crop its border goes on."""
        at = (torch.arange(side_px, device=crop.device, dtype=crop.dtype) + 0.5) * (2 / side_px) - 1
        pixels = torch.stack([at.expand(side_px, side_px), at[:, None].expand(side_px, side_px)], -1).flatten(0, 1)
        grid = pixels @ (2 * self.edges) + (2 * self.middles - 1)[:, :, None]
        grid = grid.unflatten(2, (side_px, side_px)).flatten(1, 2)
        seen = F.grid_sample(crop, grid, "bilinear", padding_mode="border", align_corners=False)
        count = self.edges.shape[1]
        return torch.stack([seen[:, :, place * side_px : (place + 1) * side_px] for place in range(count)])

    def inside(self, points: Float[Tensor, "b k 2"], which: Int64[Tensor, "k"]) -> Float[Tensor, "b k 2"]:
        """Points of crops as windows see them: -1..1 from edge to edge.

        Args:
            points: In crop sides.
            which: Window of each.
        """
        edges = (self.edges / self.edges.square().sum(-1, keepdim=True)).index_select(1, which)
        away = points - self.middles.index_select(1, which)
        return (edges * away[:, :, None]).sum(-1)

    def moves(self, inside: Float[Tensor, "b k 2"], which: Int64[Tensor, "k"]) -> Float[Tensor, "b k 2"]:
        """Moves within windows as moves within crops."""
        return (self.edges.index_select(1, which) * inside[..., None]).sum(2)


class WindowNet(nn.Module):
    """What a window shows, -1..1 -> code: `Trunk` at a small size."""

    def __init__(self, config: WindowConfig) -> None:
        super().__init__()
        act = config.activation
        self.stem = ConvNormAct(3, config.stem, stride=2, activation=act)
        stages, before = [], config.stem
        for width, depth in zip(config.widths, config.depths, strict=True):
            blocks = []
            for block in range(depth):
                stride = 2 if block == 0 else 1
                blocks.append(Inverted(before, width, expansion=config.expansion, stride=stride, activation=act))
                before = width
            stages.append(nn.Sequential(*blocks))
        self.fine, self.coarse = stages
        self.looks = Looks(config.widths[0], config.looks)
        self.whole = nn.Sequential(
            ConvNormAct(before, config.pooled, 1, activation=act),
            nn.Conv2d(config.pooled, config.pooled, config.side_px // 8, groups=config.pooled, bias=False),
            nn.BatchNorm2d(config.pooled),
            nn.Flatten(),
        )
        self.sum_up = nn.Sequential(
            nn.Linear(config.pooled + self.looks.size, config.code, bias=False), nn.BatchNorm1d(config.code), nn.ReLU()
        )

    def forward(self, seen: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b n"]:
        """0 or more each."""
        fine = self.fine(self.stem(seen))
        return self.sum_up(torch.cat([self.whole(self.coarse(fine)), self.looks(fine)], 1))
