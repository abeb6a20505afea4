"""Mends what the warp leaves behind: rims of glasses, chalky patches, shadows of the photo's lamp.

A U-Net (Ronneberger et al., arXiv:1505.04597) of plain convolutions that says what to add to a swapped face. It sees
the swap, where the face itself is seen, and the frame around it; of the frame's own face only its smooth colours, so
that it cannot bring the other person back. Trained by train/eyes/mender.py.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import ConvNormAct, Up
from facegraft.nn.weights import load_weights

SIZE_PX = 128
TEMPLATE = "arcface_112_v1"
SMOOTH = 8
"""Pixels over which colours of the frame's face are averaged."""

Pictures = Float[Tensor, "b 3 h w"]
Seen = Float[Tensor, "b 1 h w"]


@dataclass(frozen=True)
class MenderConfig:
    """Size of the network."""

    widths: tuple[int, ...] = (12, 24, 48, 96, 128)
    """Channels at 1, 2, 4, 8 and 16 pixels per step."""

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ValueError(f"widths: expected two or more of 1 or more, found {self.widths}")


class Mender(nn.Module):
    """Swapped crop, frame's crop, and where the face is seen -> what to add to the swapped crop."""

    def __init__(self, config: MenderConfig) -> None:
        super().__init__()
        self.config = config
        first, *_ = config.widths
        self.stem = ConvNormAct(7, first)
        self.down = nn.ModuleList(
            nn.Sequential(ConvNormAct(before, width, stride=2), ConvNormAct(width, width))
            for before, width in itertools.pairwise(config.widths)
        )
        self.up = Up("bilinear")
        self.join = nn.ModuleList(
            ConvNormAct(fine + coarse, fine) for fine, coarse in itertools.pairwise(config.widths)
        )
        self.out = nn.Conv2d(first, 3, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, swapped: Pictures, frame: Pictures, seen: Seen) -> Pictures:
        """What to add to the swapped crop, 0 where the face is not seen.

        Args:
            swapped: RGB, 0..1; height and width multiples of 16.
            frame: The same place of the frame as it was.
            seen: 1 where the face itself is seen.
        """
        held = self.stem(torch.cat([swapped * 2 - 1, around(frame, seen) * 2 - 1, seen], 1))
        kept = [held]
        for stage in self.down:
            held = stage(held)
            kept.append(held)
        for fine, join in zip(kept[-2::-1], reversed(self.join), strict=True):
            held = join(torch.cat([self.up(held), fine], 1))
        change: Pictures = torch.tanh(self.out(held)) * seen
        return change


def around(frame: Pictures, seen: Seen) -> Pictures:
    """The frame with its face replaced by that face's smooth colours: who it is cannot be told any more."""
    shares = F.avg_pool2d(seen, SMOOTH)
    colours = F.avg_pool2d(frame * seen, SMOOTH)
    wide_shares, wide = (
        F.avg_pool2d(each, 3, 1, 1, count_include_pad=False) + 1e-3 * each.mean((2, 3), keepdim=True)
        for each in (shares, colours)
    )
    smooth = F.interpolate(
        wide / wide_shares.clamp(min=1e-6), scale_factor=float(SMOOTH), mode="bilinear", align_corners=False
    )
    return frame + seen * (smooth - frame)


def load(path: Path, config: MenderConfig | None = None) -> Mender:
    """Trained, ready to be asked.

    Raises:
        BadInputError: The file is missing, or holds the weights of something else.
    """
    net = Mender(config or MenderConfig())
    load_weights(path, net)
    return net.eval()
