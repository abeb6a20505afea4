"""Finds faces: boxes, scores and five points from one pass over a picture of any size.

Every place of four feature maps, one step per 8, 16, 32 and 64 pixels, says whether it lies on a face and where that
face's sides and points are; no anchor boxes (FCOS, Tian et al., arXiv:1904.01355). One head serves all four maps, so
what it learns of small faces it knows of large ones (YuNet, Wu et al., doi:10.1007/s11633-023-1423-y, is built alike).
Trained by train/eyes/detector.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import ConvNormAct, Separable
from facegraft.nn.weights import load_weights

FINEST_PX = 8
"""Pixels per step of the finest map; each further map doubles it."""
STEP_PX = 32
"""Sides of a picture must be multiples of this: pad it at the right and at the bottom."""
POINTS = 5
"""The eye at the left of an upright face, the other eye, nose tip, the mouth's corner at the left, the other one. They
stay with the face when it is turned: of a face that is upside down the first eye is at the right."""
_RARE = 0.01
"""Score of every place before training (arXiv:1708.02002, section 4.1)."""
_HALF_STEPS = 1.5
"""Half the side of the boxes before training, in steps of their map."""


@dataclass(frozen=True)
class DetectorConfig:
    """Size of the network."""

    widths: tuple[int, ...] = (16, 32, 64, 96, 128, 128)
    """Channels at 2, 4, 8, 16, 32 and 64 pixels per step; with five, the coarsest map has 32."""
    depths: tuple[int, ...] = (1, 2, 3, 3, 1)
    """Blocks from 4 pixels per step on; the first of each halves the map."""
    neck: int = 64
    """Channels of the maps that the head reads."""
    head_depth: int = 2
    """Blocks of the head."""

    def __post_init__(self) -> None:
        if len(self.widths) not in {5, 6} or len(self.depths) != len(self.widths) - 1 or min(self.depths) < 1:
            raise ValueError("expected five or six widths, and a depth of 1 or more for each but the first")


@dataclass(frozen=True)
class Places:
    """What every place of every map says; n = all places, the finest map first, row by row.

    Attributes:
        logits: Of the score.
        boxes: Left, top, right, bottom in pixels; may reach outside the picture.
        points: x, y in pixels, see `POINTS`.
        centres: The places themselves, x, y in pixels.
    """

    logits: Float[Tensor, "b n"]
    boxes: Float[Tensor, "b n 4"]
    points: Float[Tensor, "b n 5 2"]
    centres: Float[Tensor, "n 2"]


class Detector(nn.Module):
    """Picture -> boxes, scores, points of every place. Those that overlap are left in: `core.geometry.keep_best`."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        widths, neck = config.widths, config.neck
        self.stem = ConvNormAct(3, widths[0], 3, stride=2)
        self.stages = nn.ModuleList(
            _stage(before, after, depth)
            for before, after, depth in zip(widths, widths[1:], config.depths, strict=False)
        )
        maps = widths[2:]
        self.lateral = nn.ModuleList(ConvNormAct(width, neck, 1) for width in maps)
        self.smooth = nn.ModuleList(Separable(neck, neck) for _ in maps)
        self.head = nn.ModuleList(_HeadBlock(neck, len(maps)) for _ in range(config.head_depth))
        self.out = nn.Conv2d(neck, 1 + 4 + 2 * POINTS, 1)
        self.scale = nn.Parameter(torch.ones(len(maps), 2))
        nn.init.normal_(self.out.weight, std=0.01)
        score = math.log(_RARE / (1 - _RARE))
        self.out.bias = nn.Parameter(torch.tensor([score, *[math.log(_HALF_STEPS)] * 4, *[0.0] * (2 * POINTS)]))

    def forward(
        self, image: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b n 4"], Float[Tensor, "b n"], Float[Tensor, "b n 5 2"]]:
        """Boxes, scores 0..1, points of all places; see `Places` for their order.

        Args:
            image: RGB, 0..1; height and width multiples of `STEP_PX`.
        """
        places = self.places(image)
        return places.boxes, places.logits.sigmoid(), places.points

    def places(self, image: Float[Tensor, "b 3 h w"]) -> Places:
        """The same, as training needs it."""
        told, centres, steps = [], [], []
        for level, map_ in enumerate(self._maps(image * 2 - 1)):
            step = float(FINEST_PX << level)
            centres.append(_centres(map_, step))
            steps.append(torch.full_like(centres[-1], step))
            for block in self.head:
                map_ = block(map_, level)
            values = self.out(map_).flatten(2).transpose(1, 2).float()  # half a pixel is lost otherwise
            told.append(torch.cat([values[..., :1], self._scaled(values[..., 1:], level)], -1))
        at, step_px, values = torch.cat(centres), torch.cat(steps), torch.cat(told, 1)
        sides = values[..., 1:5].clamp(max=6).exp() * torch.cat([step_px, step_px], -1)
        boxes = torch.cat([at - sides[..., :2], at + sides[..., 2:]], -1)
        points = values[..., 5:].reshape(values.shape[0], -1, POINTS, 2) * step_px[:, None] + at[:, None]
        return Places(values[..., 0], boxes, points, at)

    def _maps(self, image: Tensor) -> list[Tensor]:
        """The maps that the head reads, finest first; each knows of the coarser ones (FPN, arXiv:1612.03144)."""
        held, maps = self.stem(image), []
        for level, stage in enumerate(self.stages):
            held = stage(held)
            if level > 0:
                maps.append(self.lateral[level - 1](held))
        for level in reversed(range(len(maps) - 1)):
            maps[level] = maps[level] + F.interpolate(maps[level + 1], size=maps[level].shape[-2:], mode="nearest")
        return [smooth(map_) for smooth, map_ in zip(self.smooth, maps, strict=True)]

    def _scaled(self, values: Tensor, level: int) -> Tensor:
        """Each map has its own unit for sides and for points (FCOS, section 3.2)."""
        return torch.cat([values[..., :4] * self.scale[level, 0], values[..., 4:] * self.scale[level, 1]], -1)


class _HeadBlock(nn.Module):
    """A separable convolution for all maps, with norms of each map's own (RTMDet, arXiv:2212.07784, section 3.2).

    Maps differ in mean and spread. Norms that they share would average statistics over them that training, which
    normalises one map at a time, never uses.
    """

    def __init__(self, channels: int, maps: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.first = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(maps))
        self.second = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(maps))

    def forward(self, map_: Float[Tensor, "b c h w"], level: int) -> Float[Tensor, "b c h w"]:
        held = F.relu(self.first[level](self.depthwise(map_)))
        return F.relu(self.second[level](self.pointwise(held)))


def load(path: Path, config: DetectorConfig | None = None) -> Detector:
    """A trained detector, ready to be asked.

    Raises:
        BadInputError: The file holds the weights of something else.
    """
    net = Detector(config or DetectorConfig())
    load_weights(path, net)
    return net.eval()


def _stage(before: int, after: int, depth: int) -> nn.Sequential:
    rest = (Separable(after, after) for _ in range(depth - 1))
    return nn.Sequential(Separable(before, after, stride=2), *rest)


def _centres(map_: Float[Tensor, "b c h w"], step: float) -> Float[Tensor, "n 2"]:
    """Middles of a map's places in pixels, row by row."""
    height, width = map_.shape[-2:]
    y = (torch.arange(height, device=map_.device, dtype=torch.float32) + 0.5) * step
    x = (torch.arange(width, device=map_.device, dtype=torch.float32) + 0.5) * step
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).flatten(0, 1)
