"""What the loop trains: a network with one optimiser, or a method with several phases. The loop sees only this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from facegraft.core.config import unknown_name
from facegraft.core.errors import BadInputError
from facegraft.core.seeds import seed_for
from facegraft.core.types import Frame
from facegraft.tensors import Scalar
from facegraft.train.options import OptimiserOptions, RunConfig
from facegraft.train.processes import Processes
from facegraft.train.recipe import Recipe

DATA_STREAM = 0
"""Rank for `seed_for`: what a recipe draws."""


@dataclass(frozen=True)
class Phase:
    """One kind of step.

    Attributes:
        name: "" for a network's only one.
        losses: Name -> weight.
        optimiser: Of its weights.
        modules: How the names of its weights begin; () = all.
    """

    name: str
    losses: Mapping[str, float]
    optimiser: OptimiserOptions
    modules: tuple[str, ...] = ()

    def trains(self, weight: str) -> bool:
        """Whether a weight of the net is this phase's."""
        return not self.modules or weight.split(".")[0] in self.modules


@runtime_checkable
class Job(Protocol):
    """What is trained and on what. Made once per start of a run."""

    @property
    def name(self) -> str:
        """Of the network or the method."""
        ...

    @property
    def net(self) -> nn.Module:
        """What is trained, averaged and saved."""
        ...

    @property
    def head(self) -> nn.Module | None:
        """What is trained along and left out of the result, or None."""
        ...

    @property
    def phases(self) -> tuple[Phase, ...]:
        """In the order in which they run on each batch."""
        ...

    def batch(self, images_seen: int) -> Any:
        """This process' share of the batch that starts there; may be called from another thread."""
        ...

    def losses(self, phase: str, net: nn.Module, batch: Any) -> dict[str, Scalar]:
        """Named losses without weights, those of the phase."""
        ...

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Scores on held-out data."""
        ...

    def preview(self, net: nn.Module) -> Frame:
        """A sheet to look at."""
        ...


class NetworkJob:
    """A recipe of train/eyes as a job of one phase."""

    def __init__(self, recipe: Recipe, options: RunConfig, processes: Processes) -> None:
        check_losses(recipe.loss_names, options.losses, "losses")
        self.recipe, self.options, self.processes = recipe, options, processes
        self.name = options.network
        self.phases = (Phase("", options.losses, options.optimiser),)

    @property
    def net(self) -> nn.Module:
        return self.recipe.net

    @property
    def head(self) -> nn.Module | None:
        return self.recipe.head

    def batch(self, images_seen: int) -> Any:
        rank, world = self.processes.rank, self.processes.world
        seed = seed_for(self.options.seed, DATA_STREAM + 2 * rank, images_seen)
        return self.recipe.batch(torch.Generator().manual_seed(seed), self.options.train.batch // world)

    def losses(self, phase: str, net: nn.Module, batch: Any) -> dict[str, Scalar]:
        del phase  # there is one
        return self.recipe.losses(net, batch)

    def validate(self, net: nn.Module) -> dict[str, float]:
        return self.recipe.validate(net)

    def preview(self, net: nn.Module) -> Frame:
        return self.recipe.preview(net)


def check_losses(promised: frozenset[str], weighed: Mapping[str, float], where: str) -> None:
    """Weights must name every loss and no other.

    Raises:
        BadInputError: The first that is missing or unknown.
    """
    odd = sorted(promised ^ set(weighed))
    if odd and odd[0] in promised:
        raise BadInputError(f"{where}.{odd[0]}: is missing; give its weight, 0 for none")
    if odd:
        raise BadInputError(unknown_name(f"{where}.{odd[0]}", odd[0], sorted(promised)))
