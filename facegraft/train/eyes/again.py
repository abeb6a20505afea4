"""Batches that are made once and drawn again and again: for parts so small that making a batch costs the most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

Batch = TypeVar("Batch")


class Repeated(Generic[Batch]):
    """So many batches; which one comes next is the generator's choice, what is in it depends on its number alone.

    Args:
        count: How many different ones there are.
        make: Makes one from a generator.
    """

    def __init__(self, count: int, make: Callable[[torch.Generator], Batch]) -> None:
        self._count, self._make = count, make
        self._made: dict[int, Batch] = {}

    def draw(self, generator: torch.Generator) -> Batch:
        """One of them, made now if it never was."""
        number = int(torch.randint(self._count, (), generator=generator))
        if number not in self._made:
            self._made[number] = self._make(torch.Generator().manual_seed(number))
        return self._made[number]
