"""What a method costs to run: weights that a swap needs, and multiply-adds, counted without computing anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from facegraft.frozen.nets import FrozenNets
from facegraft.methods._method import Method, build_method
from facegraft.tensors import Aligned

META = torch.device("meta")


@dataclass(frozen=True)
class Cost:
    """Of one swap of one face; the recogniser's share is left out.

    Attributes:
        parameters: Weights that swapping uses.
        trained: All weights, those of discriminators included.
        identity_macs: Multiply-adds of convolutions and matrices, once per person.
        swap_macs: The same, once per frame.
    """

    parameters: int
    trained: int
    identity_macs: int
    swap_macs: int


class _NoIdentity(nn.Module):
    """Shapes of the recogniser's answers, at no cost."""

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        count = len(images)
        return F.normalize(images.new_ones(count, 512)), images.new_ones(count, 512, 7, 7)

    def forward(self, images: Tensor) -> Tensor:
        return self.look(images)[0]


def cost_of(name: str, model: dict[str, object]) -> Cost:
    """Counts a method of a `[model]` table.

    Raises:
        BadInputError: No such method, or a wrong key in the table.
    """
    with META:
        method = build_method({"method": name, "model": model}).eval()
    frozen = FrozenNets(identity=_NoIdentity())
    pictures = Aligned(torch.zeros(1, 3, method.config.size_px, method.config.size_px, device=META))
    with FlopCounterMode(display=False) as identity:
        code = method.encode_identity(pictures, frozen)
    with FlopCounterMode(display=False) as swap:
        swapped = method.swap(pictures, code)
    (swapped.image.sum() + swapped.mask.sum()).backward()
    return Cost(
        parameters=_used(method),
        trained=sum(weight.numel() for weight in method.parameters()),
        identity_macs=identity.get_total_flops() // 2,
        swap_macs=swap.get_total_flops() // 2,
    )


def _used(method: Method) -> int:
    return sum(weight.numel() for weight in method.parameters() if weight.grad is not None)
