"""Normalisations that treat each sample by itself, and so do not care how a batch is split over processes."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

Features = Float[Tensor, "b _c _h _w"]
EPS = 1e-5
"""SimSwap's code has 1e-8, which half precision rounds to 0."""


def instance_norm(x: Features) -> Features:
    """Each channel of each sample with mean 0 and deviation 1 over its places; in float32.

    Written out, because torch's own refuses maps of a single place while training; those become 0.
    """
    if x.requires_grad and torch.is_grad_enabled():
        made: Features = _InstanceNorm.apply(x)
        return made
    return _measured(x)[0].to(x.dtype)


def _normalised(x: Features) -> Features:
    held = x.float()
    variance, mean = torch.var_mean(held, (2, 3), correction=0, keepdim=True)
    return ((held - mean) * torch.rsqrt(variance + EPS)).to(x.dtype)


def _measured(x: Features) -> tuple[Features, Features]:
    """Normalised in float32, and the gains; two means over places, as `var_mean` is slow on a CPU."""
    held = x.float()
    held = held - held.mean((2, 3), keepdim=True)
    gain = torch.rsqrt(held.square().mean((2, 3), keepdim=True) + EPS)
    held *= gain
    return held, gain


class _InstanceNorm(torch.autograd.Function):
    """`_normalised` for training; the way back is one formula."""

    @staticmethod
    def forward(ctx: Any, x: Features) -> Features:
        held, gain = _measured(x)
        ctx.save_for_backward(x, held, gain)
        return held.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, above: Features) -> Features:
        x, held, gain = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody asks for the gradient of the gradient, as penalties do
            back: Features = torch.autograd.grad(_normalised(x), x, above, create_graph=True)[0]
            return back
        above = above.float()
        slope = (above * held).mean((2, 3), keepdim=True)
        return (gain * (above - above.mean((2, 3), keepdim=True) - held * slope)).to(x.dtype)


class InstanceNorm(nn.Module):
    """`instance_norm` as a layer."""

    def forward(self, x: Features) -> Features:
        return instance_norm(x)


def group_norm(channels: int, most: int = 16) -> nn.GroupNorm:
    """As many groups as divide the channels, `most` at the most (Wu and He, arXiv:1803.08494)."""
    groups = next(n for n in range(min(most, channels), 0, -1) if channels % n == 0)
    return nn.GroupNorm(groups, channels)


def pixel_norm(x: Float[Tensor, "b _c *_places"]) -> Float[Tensor, "b _c *_places"]:
    """Each place's numbers over their root mean square (Karras et al., arXiv:1710.10196)."""
    return x * torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-6).to(x.dtype)
