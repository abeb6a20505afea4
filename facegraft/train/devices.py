"""Where training runs, and what there is to set for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.core.errors import BadInputError, MissingPartError

VECTOR = 8
"""Numbers of float32 in a register of AVX2."""


def pick_device(name: str) -> torch.device:
    """The device that a user names.

    Raises:
        BadInputError: The name is none of auto, cpu, cuda.
        MissingPartError: There is no CUDA here.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"--device: expected auto, cpu or cuda, found {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise MissingPartError("--device cuda: torch finds no CUDA here; use --device cpu, or install torch for CUDA")
    return torch.device("cpu" if name == "cpu" or not torch.cuda.is_available() else "cuda")


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's global generators start at the seed; outside they are as they were.

    First weights and dropout draw from the global generators and can be told no other.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else [], enabled=True):
        torch.manual_seed(seed)
        yield


class _InFull:
    """A layer that is computed in float32 even where others are computed in bfloat16."""

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            made: Tensor = super().forward(images.float())  # type: ignore[misc]  # of the layer beside
            return made


class _FullConv2d(_InFull, nn.Conv2d):
    pass


class _FullGroupNorm(_InFull, nn.GroupNorm):
    pass


class _SteppedConv2d(nn.Conv2d):
    """A 1x1 convolution that halves, or the like: the pixels it asks for are picked before it."""

    def forward(self, images: Tensor) -> Tensor:
        down, across = self.stride
        return F.conv2d(images[:, :, ::down, ::across], self.weight, self.bias)


def quicken(net: nn.Module) -> None:
    """Brings layers that a CPU computes slowly or wrongly to other kernels, in place; results stay, but for rounding.

    - 1x1 convolutions: on one thread, with fewer than 16 pictures, torch computes them by a path of its own that takes
      twice as long as oneDNN. It never does so for dilated ones, and a dilation means nothing to a kernel of one pixel.
    - Depthwise convolutions that halve, and norms of groups, take up to fifty times as long back in bfloat16; they
      stay in float32.
    - 1x1 convolutions that halve fewer than 8 channels, stored channels last: where a CPU has AVX2 and no AVX-512,
      torch 2.13 writes past their gradients, or never ends.

    Not for networks that are exported: the graph would say so.

    Args:
        net: On a CPU; elsewhere nothing is done.
    """
    if any(weight.device.type != "cpu" for weight in net.parameters()):
        return
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1:
            layer.dilation = (2, 2)
            halves = layer.stride != (1, 1) and layer.padding == (0, 0)
            if type(layer) is nn.Conv2d and halves and layer.in_channels < VECTOR:
                layer.__class__ = _SteppedConv2d
        if type(layer) is nn.Conv2d and layer.groups > 1 and layer.stride != (1, 1):
            layer.__class__ = _FullConv2d
        elif type(layer) is nn.GroupNorm:
            layer.__class__ = _FullGroupNorm


def computes_halves() -> bool:
    """Whether this CPU has instructions for bfloat16; without them torch takes forty times as long as in float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # nothing public tells


def half_precision(when: str, device: torch.device) -> torch.autocast:
    """Inside, convolutions and products of matrices are computed in bfloat16, if so wanted on such a device.

    Args:
        when: "gpu", "always" or "never", the option `train.half`.
        device: Where is computed.

    Raises:
        BadInputError: Wanted on a CPU that has no instructions for it.
    """
    on_cpu = device.type == "cpu"
    if when == "always" and on_cpu and not computes_halves():
        raise BadInputError("train.half: this CPU has neither AVX-512 BF16 nor AMX, it would be slow; use gpu or never")
    return torch.autocast(device.type, torch.bfloat16, enabled=when == "always" or (when == "gpu" and not on_cpu))


@contextlib.contextmanager
def fast_convolutions(device: torch.device) -> Iterator[None]:
    """Lets cuDNN try which algorithm is fastest: a training's shapes stay the same."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        yield
