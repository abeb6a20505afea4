"""A method as two graphs: "identity", which runs once per person, and "swap", which runs once per frame.

Frozen networks that say who a person is lie inside the first. Discriminators and all else that `swap` does not use are
in neither.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.export.compare import check_differences, largest_differences, milliseconds
from facegraft.export.to_onnx import Ports, export_onnx
from facegraft.frozen.nets import FrozenNets
from facegraft.methods._method import Method
from facegraft.tensors import Aligned, IdentityCode, Images, Mask

IDENTITY, SWAP = "identity", "swap"
ATTRIBUTE, IMAGE, MASK = "attribute", "image", "mask"
"""Input of the swap graph, beside the code's tensors; and its outputs."""
THREADS = (1, 2)


class IdentityGraph(nn.Module):
    """Aligned pictures of people, RGB -1..1 -> the tensors of their codes."""

    def __init__(self, method: Method, frozen: FrozenNets) -> None:
        super().__init__()
        self.method, self.frozen = method, frozen
        held = {entry.name: getattr(frozen, entry.name) for entry in dataclasses.fields(frozen)}
        self.nets = nn.ModuleDict({name: net for name, net in held.items() if isinstance(net, nn.Module)})
        self.kept_exact = ("nets",)

    def forward(self, images: Images) -> IdentityCode:
        return self.method.encode_identity(Aligned(images), self.frozen)


class SwapGraph(nn.Module):
    """Aligned attribute pictures and codes -> swapped pictures, RGB -1..1, and what to take of them, 0..1."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, images: Images, *code: Tensor) -> tuple[Images, Mask]:
        swapped = self.method.swap(Aligned(images), code)
        return swapped.image, swapped.mask


@dataclass(frozen=True)
class Exported:
    """A graph that was written.

    Attributes:
        path: Its file.
        inputs: Name -> shape; "b" where the batch is.
        outputs: Likewise.
        differences: Output -> largest absolute difference to torch on fixed inputs.
        milliseconds: Threads -> median time of one picture on the CPU.
    """

    path: Path
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    differences: dict[str, float]
    milliseconds: dict[str, float]


def export_graphs(
    method: Method, frozen: FrozenNets, folder: Path, *, half: bool, facts: Mapping[str, str] | None = None
) -> dict[str, Exported]:
    """Writes `identity.onnx` and `swap.onnx`, and compares them with torch.

    Args:
        method: Trained, on the CPU.
        frozen: At least what its card needs.
        folder: Where the files go.
        half: Store weights in float16, but for those of the frozen networks.
        facts: Strings to keep in the files' metadata.

    Returns:
        "identity", which is missing where the method keeps nothing of a person; "swap".

    Raises:
        BadInputError: torch cannot express the method as ONNX, or the files do not do what torch does.
        MissingPartError: onnx or onnxscript is not installed.
    """
    method.eval().requires_grad_(requires_grad=False)
    pictures = [_pictures(count, method.config.size_px, seed) for seed, count in enumerate((1, 3))]
    with torch.no_grad():
        codes = [method.encode_identity(Aligned(images), frozen) for images in pictures]
    names = code_names(len(codes[0]))
    swaps: list[tuple[Tensor, ...]] = [
        (_pictures(len(images), images.shape[-1], seed + 10), *code)
        for seed, (images, code) in enumerate(zip(pictures, codes, strict=True))
    ]
    jobs: dict[str, tuple[nn.Module, list[tuple[Tensor, ...]], Ports]] = {}
    if names:
        identities: list[tuple[Tensor, ...]] = [(images,) for images in pictures]
        jobs[IDENTITY] = IdentityGraph(method, frozen), identities, Ports((IDENTITY,), names, {IDENTITY: {0: "b"}})
    inputs = (ATTRIBUTE, *names)
    jobs[SWAP] = SwapGraph(method), swaps, Ports(inputs, (IMAGE, MASK), {name: {0: "b"} for name in inputs})
    return {
        name: _exported(net, samples, folder / f"{name}.onnx", ports, half=half, facts=facts)
        for name, (net, samples, ports) in jobs.items()
    }


def code_names(count: int) -> tuple[str, ...]:
    """Names of the code's tensors, in order."""
    return tuple(f"code_{number}" for number in range(count))


def _exported(
    net: nn.Module,
    samples: list[tuple[Tensor, ...]],
    path: Path,
    ports: Ports,
    *,
    half: bool,
    facts: Mapping[str, str] | None,
) -> Exported:
    export_onnx(net, samples[0], path, ports=ports, half=half, facts=facts)
    differences = largest_differences(net, path, samples, ports)
    check_differences(net, samples, differences, path, half=half)
    shapes: dict[str, list[int | str]] = {}
    with torch.no_grad():
        answers = net(*samples[0])
    for name, tensor in zip((*ports.input_names, *ports.output_names), (*samples[0], *answers), strict=True):
        shapes[name] = ["b", *tensor.shape[1:]]
    return Exported(
        path,
        {name: shapes[name] for name in ports.input_names},
        {name: shapes[name] for name in ports.output_names},
        differences,
        {str(threads): round(milliseconds(path, samples[0], ports, threads), 3) for threads in THREADS},
    )


def _pictures(count: int, size_px: int, seed: int) -> Images:
    """Smooth coloured noise with some grain, RGB -1..1: the same at each call."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator) * 2 - 1
    smooth = F.interpolate(coarse, size=(size_px, size_px), mode="bilinear", align_corners=False)
    return (smooth + 0.1 * torch.randn(count, 3, size_px, size_px, generator=generator)).clamp(-1, 1)
