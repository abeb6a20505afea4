"""Differences between pictures: pixel by pixel where there is a right answer, and in structure."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from facegraft.tensors import Images, Scalar

PerSample = Float[Tensor, "b"]


def mean_where(values: PerSample, where: Bool[Tensor, "b"]) -> Scalar:
    """Mean over the samples that count; 0 where none does.

    Where several processes train, those of all of them count, so that a mean of their gradients is that of one
    process with the whole batch.
    """
    count = where.sum().float()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(count)
        count = count / dist.get_world_size()
    return (values.float() * where).sum() / count.clamp(min=1e-6) if count > 0 else (values * 0).sum().float()


def l1_where(images: Images, truth: Images, *, where: Bool[Tensor, "b"]) -> Scalar:
    """Mean absolute difference of the pairs that have a right answer."""
    return mean_where((images.float() - truth.float()).abs().mean((1, 2, 3)), where)


def mse_where(images: Images, truth: Images, *, where: Bool[Tensor, "b"]) -> Scalar:
    """Mean squared difference of the pairs that have a right answer."""
    return mean_where((images.float() - truth.float()).square().mean((1, 2, 3)), where)


def side_by_side(pictures: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The same numbers; on a CPU with channels last: it convolves each by itself two to three times as fast so."""
    on_cpu = pictures.device.type == "cpu"
    return pictures.contiguous(memory_format=torch.channels_last) if on_cpu else pictures


def dssim(
    first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"], window: int = 11, sigma: float = 1.5
) -> PerSample:
    """Structural dissimilarity (1 - SSIM) / 2 of pictures in 0..1; 0..1.

    SSIM of Wang et al. 2004 with k1 = .01, k2 = .03 and a Gaussian window, without padding, mean over channels.

    Args:
        first: 0..1.
        second: 0..1.
        window: Side in pixels; made odd, and cut to the pictures' side.
        sigma: Of the window, in pixels.
    """
    side = min(window, *first.shape[-2:])
    side -= 1 - side % 2
    channels = first.shape[1]
    at = torch.arange(side, device=first.device, dtype=torch.float32) - side // 2
    line = torch.exp(-at.square() / (2 * sigma**2))
    line = line / line.sum()

    def smooth(x: Tensor) -> Tensor:
        across = F.conv2d(x, line.expand(channels, 1, 1, side), groups=channels)
        return F.conv2d(across, line[:, None].expand(channels, 1, side, 1), groups=channels)

    x, y = side_by_side(first.float()), side_by_side(second.float())
    with torch.autocast(x.device.type, enabled=False):  # differences of squares need all the digits
        mean_x, mean_y = smooth(x), smooth(y)
        var_x, var_y = smooth(x * x) - mean_x.square(), smooth(y * y) - mean_y.square()
        both = smooth(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    bottom = (mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2)
    return (1 - (top / bottom).mean((1, 2, 3))) / 2
