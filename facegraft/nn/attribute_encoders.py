"""Encoders that keep all of a picture but who it shows: maps of all sizes, coarse first, for generators made of AAD.

The first map is 2 pixels wide, each next one twice as wide, the last as wide as the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import Up
from facegraft.nn.norm import group_norm

Picture = Float[Tensor, "b _c h w"]
Features = Float[Tensor, "b _c _h _w"]


@runtime_checkable
class AttributeEncoder(Protocol):
    """A picture -> its maps, coarse first. `channels` says how many channels each map has."""

    channels: Sequence[int]

    def __call__(self, images: Picture) -> list[Features]: ...


class UNetAttributes(nn.Module):
    """A U-Net without a last layer: all maps of its way up (FaceShifter, arXiv:1912.13457, section 3.1).

    Group normalisation stands where the released codes have batch normalisation: a map's scale must be fixed by
    something, or shrinking all maps would be the cheapest way to keep them alike.

    Args:
        size_px: Side of the pictures; a power of two from 8.
        width: Channels of the first layer; they double at each halving.
        most: Channels at the most.
        join: How the way up meets the way down: "concatenate" (U-Net) or "add" (LinkNet, arXiv:1707.03718).
        channels_in: Of the pictures.
        smallest_px: Side of the first map.
    """

    def __init__(
        self,
        size_px: int,
        width: int,
        most: int,
        *,
        join: Literal["concatenate", "add"] = "concatenate",
        channels_in: int = 3,
        smallest_px: int = 2,
    ) -> None:
        super().__init__()
        widths = [min(width * 2**level, most) for level in range(halvings(size_px, smallest_px))]
        entering = [channels_in, *widths]
        self.down = nn.ModuleList(_down(before, after) for before, after in zip(entering, widths, strict=False))
        times = 2 if join == "concatenate" else 1
        self.channels = [widths[-1]]
        self.up = nn.ModuleList()
        for skipped in reversed(widths[:-1]):
            self.up.append(_up(self.channels[-1], skipped))
            self.channels.append(times * skipped)
        self.channels.append(self.channels[-1])
        self.join, self.widen = join, Up("bilinear")

    def forward(self, images: Picture) -> list[Features]:
        held, skipped = images, []
        for layer in self.down:
            held = layer(held)
            skipped.append(held)
        maps = [held]
        for layer, beside in zip(self.up, reversed(skipped[:-1]), strict=True):
            risen = layer(maps[-1])
            maps.append(torch.cat([risen, beside], 1) if self.join == "concatenate" else risen + beside)
        return [*maps, self.widen(maps[-1])]


class ResNetAttributes(nn.Module):
    """The maps of a residual network's stages, without a way up (GHOST, arXiv:2202.03046).

    The only one of the three whose last map is made of the picture at full size, and whose fine maps know nothing of
    the whole.

    Args:
        size_px: Side of the pictures; a power of two from 8.
        width: Channels of the two finest maps; they double at each halving.
        most: Channels at the most. The last stage has half of those of the one before it.
    """

    def __init__(self, size_px: int, width: int, most: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 7, padding=3, bias=False), group_norm(width), nn.ReLU())
        self.halved = nn.Sequential(nn.Conv2d(width, width, 7, 2, 3, bias=False), group_norm(width), nn.ReLU())
        stages = halvings(size_px) - 1
        widths = [min(2 * width * 2**stage, most) for stage in range(stages - 1)]
        widths.append((widths[-1] if widths else 2 * width) // 2)
        entering = [width, *widths]
        self.stages = nn.ModuleList(
            nn.Sequential(Bottleneck(before, after, 2), Bottleneck(after, after))
            for before, after in zip(entering, widths, strict=False)
        )
        self.channels = [*reversed(widths), width, width]

    def forward(self, images: Picture) -> list[Features]:
        maps = [self.stem(images)]
        for stage in (self.halved, *self.stages):
            maps.append(stage(maps[-1]))
        return maps[::-1]


class Bottleneck(nn.Module):
    """Narrow to a quarter, 3x3, widen; the input is added (He et al., arXiv:1512.03385)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        inner = max(1, channels_out // 4)
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, inner, 1, bias=False),
            group_norm(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, bias=False),
            group_norm(inner),
            nn.ReLU(),
            nn.Conv2d(inner, channels_out, 1, bias=False),
            group_norm(channels_out),
        )
        self.beside = nn.Sequential()
        if stride > 1 or channels_in != channels_out:
            self.beside.extend([nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), group_norm(channels_out)])

    def forward(self, x: Features) -> Features:
        return F.relu(self.beside(x) + self.body(x))


def halvings(size_px: int, smallest_px: int = 2) -> int:
    """How often a picture is halved until its side is `smallest_px`.

    Raises:
        ValueError: It never is, or less than twice.
    """
    times = (size_px // smallest_px).bit_length() - 1
    if times < 2 or smallest_px * 2**times != size_px:
        raise ValueError(f"size_px: expected {smallest_px} times a power of two from 4, found {size_px}")
    return times


def _down(channels_in: int, channels_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 4, 2, 1, bias=False)
    return nn.Sequential(convolution, group_norm(channels_out), nn.LeakyReLU(0.1))


def _up(channels_in: int, channels_out: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(channels_in, channels_out, 4, 2, 1, bias=False)
    return nn.Sequential(convolution, group_norm(channels_out), nn.LeakyReLU(0.1))
