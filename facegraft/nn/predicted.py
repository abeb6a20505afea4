"""Networks whose weights are predicted: a person becomes the convolutions of a small network, once, and is then gone.

MobileFaceSwap (Xu et al., AAAI 2022, arXiv:2201.03808) predicts depthwise kernels and modulates pointwise weights.
Here are both ways of making weights, and the convolutions that take them, one set for each sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.norm import group_norm

Features = Float[Tensor, "b c h w"]
Kernels = Float[Tensor, "b c k k"]
"""One kernel for each channel of each sample."""
Matrices = Float[Tensor, "b o c"]
"""Weights of a 1 x 1 convolution for each sample."""
PADDING = 1
"""Of depthwise convolutions: kernels of 3 keep the size, kernels of 4 with stride 2 halve it."""
SLOPE = 0.1
"""Of the leaky ReLUs."""
GAIN = (2 / (1 + SLOPE**2)) ** 0.5
"""What makes up for the power that a leaky ReLU takes."""
NOISE = 0.5
"""How much the first predicted kernels differ from plain ones; gives deviations of about a fifth of a kernel."""
MOST = 2 * GAIN
"""Largest sum of a predicted kernel's magnitudes, twice a plain one's."""


def depthwise(x: Features, kernels: Kernels, stride: int = 1) -> Float[Tensor, "b c _h _w"]:
    """Convolves each channel of each sample with a kernel of its own; zeros around the picture, no bias.

    The samples become groups of one convolution. ONNX fixes the number of groups, so a graph with a free batch axis
    gets `each_with_all` instead, which is the same.
    """
    if torch.compiler.is_exporting():
        return each_with_all(x, kernels, stride)
    batch, channels, height, width = x.shape
    side = kernels.shape[-1]
    held = x.reshape(1, batch * channels, height, width)
    flat = kernels.reshape(batch * channels, 1, side, side)
    made = F.conv2d(held, flat.to(held.dtype), stride=stride, padding=PADDING, groups=batch * channels)
    return made.reshape(batch, channels, *made.shape[2:])


def each_with_all(x: Features, kernels: Kernels, stride: int = 1) -> Float[Tensor, "b c _h _w"]:
    """`depthwise`, with the channels alone as groups: convolves each sample with all samples' kernels, keeps its own.

    Wasteful for many samples, but frames come one by one.
    """
    batch, channels, side, _ = kernels.shape
    flat = kernels.transpose(0, 1).reshape(channels * batch, 1, side, side)
    made = F.conv2d(x, flat, stride=stride, padding=PADDING, groups=channels)
    own = torch.arange(batch, device=x.device)
    return made.unflatten(1, (channels, batch)).transpose(1, 2)[own, own]


def pointwise(x: Features, matrices: Matrices) -> Float[Tensor, "b o h w"]:
    """A 1 x 1 convolution of each sample with weights of its own; no bias."""
    return (matrices @ x.flatten(2)).unflatten(2, x.shape[2:])


def constant_layer(kernels: Float[Tensor, "c k k"], matrix: Float[Tensor, "o c"], stride: int) -> nn.Sequential:
    """`depthwise` and `pointwise` of one person as two plain convolutions, for runtimes that want constant weights."""
    channels, side = kernels.shape[:2]
    spread = nn.Conv2d(channels, channels, side, stride, PADDING, groups=channels, bias=False)
    mix = nn.Conv2d(channels, len(matrix), 1, bias=False)
    with torch.no_grad():
        spread.weight.copy_(kernels[:, None])
        mix.weight.copy_(matrix[..., None, None])
    return nn.Sequential(spread, mix).requires_grad_(False)


class Modulated(nn.Module):
    """Pointwise weights whose inputs the code scales, demodulated as in StyleGAN2 (arXiv:1912.04958, eq. 1 and 3).

    The scale starts at 1, whoever the person is.
    """

    def __init__(self, channels_in: int, channels_out: int, code: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in) * channels_in**-0.5)
        self.style = nn.Linear(code, channels_in)
        nn.init.zeros_(self.style.weight)
        nn.init.zeros_(self.style.bias)

    def forward(self, code: Float[Tensor, "b _d"]) -> Matrices:
        """Each row has length 1: what comes in with a power of 1 goes out with it."""
        scaled = self.weight.float() * (1 + self.style(code).float())[:, None]
        return scaled * torch.rsqrt(scaled.square().sum(2, keepdim=True) + 1e-16)


class KernelChain(nn.Module):
    """Predicts the depthwise kernels of several layers, one after the other, from a map as large as a kernel.

    Block by block the map (the state) gets as many channels as the next layer; a convolution beside the chain makes
    kernels of the state, so its places become the taps.

    Ours is `first`: kernels that learning starts from, the same for all people. Random ones would scramble the picture
    before anything is learnt.

    Args:
        channels: Of the map that comes in.
        widths: Channels of the layers, in the order in which their kernels are made.
        first: A plain kernel; the layers' kernels start near it.
        batch_norm: As the paper has it; else group normalisation.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], first: Float[Tensor, "k k"], *, batch_norm: bool = False
    ) -> None:
        super().__init__()
        before = [channels, *widths[:-1]]
        self.states = nn.ModuleList(
            conv_norm_act(n, width, 3, padding=1, batch_norm=batch_norm)
            for n, width in zip(before, widths, strict=True)
        )
        beside = [nn.Conv2d(width, width, 3, padding=1, bias=False) for width in widths]
        with torch.no_grad():
            for convolution in beside:
                convolution.weight.mul_(NOISE * first.square().mean().sqrt())
        self.beside = nn.ModuleList(beside)
        self.first = nn.ParameterList(first.expand(width, *first.shape).clone() for width in widths)

    def forward(self, state: Features) -> list[Tensor]:
        """For each layer b x width x k x k."""
        kernels: list[Tensor] = []
        for block, beside, first in zip(self.states, self.beside, self.first, strict=True):
            state = block(state)
            kernels.append(bounded(first + beside(state)))
        return kernels


def bounded(kernels: Kernels) -> Kernels:
    """Scales kernels down whose magnitudes sum up to more than `MOST`.

    Ours: pointwise weights are demodulated and keep the power of what comes in, depthwise ones were free. Within 300
    steps they grew up to twentyfold, values reached 5e5 in the last layer, and nothing was learnt any more.
    """
    reach = kernels.abs().sum((2, 3), keepdim=True)
    return kernels * (MOST / reach.clamp(min=MOST))


def averaging_kernel() -> Float[Tensor, "4 4"]:
    """Halves a picture as bilinear scaling with smoothing does; sums to `GAIN`."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return GAIN * line[:, None] * line


def centre_tap() -> Float[Tensor, "3 3"]:
    """Leaves a picture as it is, but for `GAIN`."""
    kernel = torch.zeros(3, 3)
    kernel[1, 1] = GAIN
    return kernel


def conv_norm_act(
    channels_in: int, channels_out: int, kernel: int, *, padding: int = 0, batch_norm: bool = False
) -> nn.Sequential:
    """Convolution, normalisation, leaky ReLU."""
    norm = nn.BatchNorm2d(channels_out) if batch_norm else group_norm(channels_out)
    convolution = nn.Conv2d(channels_in, channels_out, kernel, padding=padding, bias=False)
    return nn.Sequential(convolution, norm, nn.LeakyReLU(SLOPE))
