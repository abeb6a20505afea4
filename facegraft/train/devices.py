"""Where training runs, and what there is to set for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from facegraft.core.errors import BadInputError, MissingPartError


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


def quicken(net: nn.Module) -> None:
    """Brings 1x1 convolutions of small batches to oneDNN's kernels, in place; results stay, but for rounding.

    On one thread of a CPU, with fewer than 16 pictures, torch computes them by a path of its own that takes twice as
    long. It never does so for dilated ones, and a dilation means nothing to a kernel of one pixel. Not for networks
    that are exported: the graph would say so.

    Args:
        net: On a CPU; elsewhere nothing is done.
    """
    if any(weight.device.type != "cpu" for weight in net.parameters()):
        return
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1:
            layer.dilation = (2, 2)


@contextlib.contextmanager
def fast_convolutions(device: torch.device) -> Iterator[None]:
    """Lets cuDNN try which algorithm is fastest: a training's shapes stay the same."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        yield
