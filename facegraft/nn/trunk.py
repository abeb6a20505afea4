"""What the small networks that read one face crop share: inverted residuals, and three ways to sum up what they see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import Activation, ConvNormAct, Inverted


@dataclass(frozen=True)
class TrunkConfig:
    """Size of a trunk. Four stages, at 1/4, 1/8, 1/16 and 1/32 of the crop's side."""

    stem: int = 16
    """Channels at half the crop's side."""
    widths: tuple[int, ...] = (24, 48, 96, 128)
    """Channels of the stages."""
    depths: tuple[int, ...] = (2, 3, 4, 2)
    """Blocks of each stage; the first of each halves the side."""
    expansions: tuple[int, ...] = (3, 3, 4, 4)
    """How much wider a block is inside."""
    looks: int = 24
    """Places that the network may choose to look at more closely, at 1/8 of the side."""
    pooled: int = 192
    """Channels of the last map, of which every place is weighed by itself."""
    code: int = 192
    """Numbers that sum up the crop."""
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        if not len(self.widths) == len(self.depths) == len(self.expansions) == 4 or min(self.depths) < 1:
            raise ValueError("expected four widths, four depths of 1 or more, and four expansions")


class Looks(nn.Module):
    """Soft attention of several heads: what is seen where each head looks, and where that is.

    A head's map goes through a softmax over all places; its mean place is a soft argmax (Levine et al.,
    arXiv:1504.00702), so positions stay exact to a fraction of a step.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.maps = nn.Conv2d(channels, heads, 1)
        self.size = heads * (channels + 2)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n"]:
        """Heads x (channels, x, y); x and y in -1..1."""
        weights, places = soft_places(self.maps(features))
        seen = weights @ features.flatten(2).transpose(1, 2)
        return torch.cat([seen, places], -1).flatten(1)


def soft_places(
    maps: Float[Tensor, "b n h w"],
) -> tuple[Float[Tensor, "b n k"], Float[Tensor, "b n 2"]]:
    """Softmax of each map over its places, and its mean place, x and y in -1..1."""
    height, width = maps.shape[-2:]
    y = (torch.arange(height, device=maps.device, dtype=maps.dtype) + 0.5) * (2 / height) - 1
    x = (torch.arange(width, device=maps.device, dtype=maps.dtype) + 0.5) * (2 / width) - 1
    places = torch.stack([x.expand(height, width), y[:, None].expand(height, width)]).flatten(1)
    weights = maps.flatten(2).softmax(-1)
    return weights, weights @ places.T


class Trunk(nn.Module):
    """Crop 0..1 -> code: the last map weighed place by place (MobileFaceNet's way), and what `Looks` sees."""

    def __init__(self, config: TrunkConfig, size_px: int) -> None:
        super().__init__()
        act = config.activation
        self.stem = ConvNormAct(3, config.stem, stride=2, activation=act)
        stages, before = [], config.stem
        for width, depth, expansion in zip(config.widths, config.depths, config.expansions, strict=True):
            blocks = []
            for block in range(depth):
                stride = 2 if block == 0 else 1
                blocks.append(Inverted(before, width, expansion=expansion, stride=stride, activation=act))
                before = width
            stages.append(nn.Sequential(*blocks))
        self.fine, self.coarse = nn.Sequential(*stages[:2]), nn.Sequential(*stages[2:])
        self.looks = Looks(config.widths[1], config.looks)
        self.whole = nn.Sequential(
            ConvNormAct(before, config.pooled, 1, activation=act),
            nn.Conv2d(config.pooled, config.pooled, size_px // 32, groups=config.pooled, bias=False),
            nn.BatchNorm2d(config.pooled),
            nn.Flatten(),
        )
        self.sum_up = nn.Sequential(
            nn.Linear(config.pooled + self.looks.size, config.code, bias=False), nn.BatchNorm1d(config.code), nn.ReLU()
        )

    def forward(self, crop: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b n"]:
        """0 or more each."""
        return self.fine_and_code(crop)[1]

    def fine_and_code(self, crop: Float[Tensor, "b 3 s s"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b n"]]:
        """The map at 1/8 of the side, and the code."""
        fine = self.fine(self.stem(crop * 2 - 1))
        return fine, self.sum_up(torch.cat([self.whole(self.coarse(fine)), self.looks(fine)], 1))
