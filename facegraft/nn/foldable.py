"""Batch normalisation in front of what follows it, so made that evaluation folds it away: for networks on phones.

In training the statistics are the batch's. In evaluation they are constants, and a normalisation is a factor and an
offset per channel, which a 1x1 convolution behind it takes in without a difference at the border.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Features = Float[Tensor, "b _c _h _w"]
Style = Float[Tensor, "b 2 _c"]
"""Scale and shift of each channel; 0 leaves it as it is."""


class NormPoint(nn.Module):
    """Batch normalisation, then a 1x1 convolution; in evaluation one convolution does both."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels_in, affine=False)  # the convolution's own weights say as much
        self.point = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Features) -> Features:
        if self.training:
            return self.point(self.norm(x))
        scale, shift = settled(self.norm)
        weight = self.point.weight
        bias = (weight[:, :, 0, 0] * shift).sum(1)
        return F.conv2d(x, weight * scale[:, None, None], bias if self.point.bias is None else bias + self.point.bias)


class StyledNorm(nn.Module):
    """normalised x * (1 + scale) + shift, with a batch's statistics instead of AdaIN's of each picture.

    In evaluation that is one factor and one offset per channel, made of the style and of constants.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Features, style: Style) -> Features:
        if self.training:
            return self.norm(x) * (1 + style[:, 0, :, None, None]) + style[:, 1, :, None, None]
        factor, offset = self.affine(style)
        return x * factor[..., None, None] + offset[..., None, None]

    def affine(self, style: Style) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
        """What evaluation multiplies each channel by, and what it adds."""
        scale, shift = settled(self.norm)
        given = 1 + style[:, 0]
        return scale * given, shift * given + style[:, 1]

    def fixed(self, style: Style) -> nn.Conv2d:
        """The whole for one style, as a depthwise 1x1 convolution.

        Raises:
            ValueError: The style is not that of one person.
        """
        if len(style) != 1:
            raise ValueError(f"fold: expected the style of one person, found {len(style)}; fold for each by itself")
        factor, offset = self.affine(style)
        channels = factor.shape[1]
        layer = nn.Conv2d(channels, channels, 1, groups=channels)
        with torch.no_grad():
            layer.weight.copy_(factor[0, :, None, None, None])
            layer.bias.copy_(offset[0])  # type: ignore[union-attr]  # made with one
        return layer


def settled(norm: nn.BatchNorm2d) -> tuple[Float[Tensor, "c"], Float[Tensor, "c"]]:
    """A normalisation without weights in evaluation: factor and offset of each channel."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("fold: expected a batch normalisation with running statistics, found one without")
    scale = torch.rsqrt(variance + norm.eps)
    return scale, -mean * scale
