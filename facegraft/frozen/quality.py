"""How well-trained a method's answer looks: Q of MobileFaceSwap (Xu et al., AAAI 2022, https://arxiv.org/abs/2201.03808).

Trained by train/eyes/quality.py on answers that one method gave at many moments of its own training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import ConvNormAct
from facegraft.tensors import Images

STAGES = 4


@dataclass(frozen=True)
class QualityConfig:
    """`[model]`. The paper: a ResNet-18, which is width 64 and depth 2."""

    width: int = 24
    """Channels of the first stage; each following one halves the size and has twice as many."""
    depth: int = 2
    """Blocks per stage."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 1:
            raise ValueError(f"expected width and depth from 1, found {self.width} and {self.depth}")


class Block(nn.Module):
    """Two 3x3 convolutions, beside them the input (He et al., arXiv:1512.03385)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNormAct(channels_in, channels_out, stride=stride),
            ConvNormAct(channels_out, channels_out, activation="none"),
        )
        same = stride == 1 and channels_in == channels_out
        self.beside = (
            nn.Identity() if same else ConvNormAct(channels_in, channels_out, 1, stride=stride, activation="none")
        )

    def forward(self, x: Float[Tensor, "b _c _h _w"]) -> Float[Tensor, "b _d _i _j"]:
        return F.relu(self.beside(x) + self.body(x))


class Quality(nn.Module):
    """Aligned pictures of a face, of any size from 32 px, to one number each."""

    def __init__(self, config: QualityConfig) -> None:
        super().__init__()
        widths = [config.width << stage for stage in range(STAGES)]
        self.stem = ConvNormAct(3, config.width)
        blocks, before = [], config.width
        for number, width in enumerate(widths):
            for place in range(config.depth):
                blocks.append(Block(before, width, stride=2 if number and not place else 1))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(before, 1)

    def forward(self, images: Images) -> Float[Tensor, "b"]:
        """The share of its training that the network behind a picture has had, 0..1."""
        held = self.blocks(self.stem(images)).mean((2, 3))
        return torch.sigmoid(self.last(held)[:, 0])
