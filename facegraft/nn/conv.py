"""Convolution blocks of small networks: made for ONNX Runtime on a CPU, so static weights and operators that it fuses.

Every block takes and gives b x channels x h x w. A convolution is followed by a batch normalisation, which export folds
into it. Weights start as torch's own, seeded by whoever builds the network.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Features = Float[Tensor, "b _c _h _w"]
Activation = Literal["relu", "hardswish", "prelu", "none"]


class Slope(nn.Module):
    """PReLU (He et al., 2015) written as `relu(x) - slope * relu(-x)`: ONNX Runtime's own PRelu is slow on a CPU."""

    def __init__(self, channels: int, first: float = 0.25) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((channels, 1, 1), first))

    def forward(self, x: Features) -> Features:
        return F.relu(x) - self.slope * F.relu(-x)


class ConvNormAct(nn.Sequential):
    """Convolution that keeps the size (divided by the stride, rounded up), batch normalisation, activation."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: Activation = "relu",
    ) -> None:
        convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(channels_out), *activations(activation, channels_out))


class Separable(nn.Sequential):
    """Depthwise, then pointwise convolution (MobileNet, arXiv:1704.04861), each with normalisation and activation."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 3, *, stride: int = 1, activation: Activation = "relu"
    ) -> None:
        super().__init__(
            ConvNormAct(channels_in, channels_in, kernel, stride=stride, groups=channels_in, activation=activation),
            ConvNormAct(channels_in, channels_out, 1, activation=activation),
        )


class SqueezeExcite(nn.Module):
    """Weighs channels by their means (arXiv:1709.01507); with a hard sigmoid, as in MobileNetV3 (arXiv:1905.02244)."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        inner = max(8, channels // reduction)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, inner, 1),
            nn.ReLU(),
            nn.Conv2d(inner, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Features) -> Features:
        return x * self.weigh(x)


class Inverted(nn.Module):
    """Inverted residual: widen, depthwise, narrow (MobileNetV2, arXiv:1801.04381; with `squeeze` MobileNetV3's).

    The input is added where stride is 1 and the channels stay; the result has no activation.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        expansion: float | int = 4,
        kernel: int = 3,
        stride: int = 1,
        squeeze: bool = False,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        inner = round(channels_in * expansion)
        widen = [ConvNormAct(channels_in, inner, 1, activation=activation)] if inner != channels_in else []
        self.body = nn.Sequential(
            *widen,
            ConvNormAct(inner, inner, kernel, stride=stride, groups=inner, activation=activation),
            *([SqueezeExcite(inner)] if squeeze else []),
            ConvNormAct(inner, channels_out, 1, activation="none"),
        )
        self.adds = stride == 1 and channels_in == channels_out

    def forward(self, x: Features) -> Features:
        return x + self.body(x) if self.adds else self.body(x)


class Residual(nn.Module):
    """The input plus what the body makes of it, which must have the input's shape."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Features) -> Features:
        return x + self.body(x)


class Up(nn.Module):
    """Twice the size, nearest or bilinear, by nothing learnt; put a convolution before or after it."""

    def __init__(self, mode: Literal["nearest", "bilinear"] = "nearest") -> None:
        super().__init__()
        self.mode = mode

    def forward(self, x: Features) -> Features:
        if self.mode == "nearest":
            return F.interpolate(x, scale_factor=2.0, mode="nearest")
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def activations(name: Activation, channels: int) -> list[nn.Module]:
    """The activation's layer, or none, for `nn.Sequential`."""
    made: dict[str, list[nn.Module]] = {"relu": [nn.ReLU()], "hardswish": [nn.Hardswish()], "none": []}
    return [Slope(channels)] if name == "prelu" else made[name]


def count_parameters(net: nn.Module) -> int:
    """Trainable numbers of a network."""
    return sum(weight.numel() for weight in net.parameters())
