"""What is trained beside the identity network and thrown away."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

_NORM_MOMENTUM = 0.99


class Head(nn.Module):
    """What training needs beside the network.

    Clean: a centre per person and usual lengths. Taught: a matrix from embeddings to the teacher's answers, and one for
    each map that the network should be able to guess of its teacher.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, people: int, size: int, answer_size: int, maps: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__()
        self.centres = None if answer_size else nn.Parameter(torch.randn(people, size) * 0.05)
        self.answer = nn.Linear(size, answer_size, bias=False) if answer_size else None
        self.maps = nn.ModuleList([_guess(ours, theirs) for ours, theirs in maps])
        self.register_buffer("mean", torch.tensor(size**0.5))
        self.register_buffer("deviation", torch.tensor(size**0.5 / 5))

    @torch.no_grad()
    def note(self, lengths: Float[Tensor, "b"]) -> None:
        """Moves mean and deviation towards those of a batch."""
        self.mean.lerp_(lengths.mean(), 1 - _NORM_MOMENTUM)
        self.deviation.lerp_(lengths.std(), 1 - _NORM_MOMENTUM)


def _guess(ours: int, theirs: int) -> nn.Sequential:
    """From a map to what the teacher's is; at first it says that nothing differs within it."""
    mixes = nn.Conv2d(ours, theirs, 1, bias=False)
    nn.init.zeros_(mixes.weight)
    return nn.Sequential(nn.BatchNorm2d(ours, affine=False), mixes)
