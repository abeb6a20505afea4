"""What the training loop asks of a network's recipe: batches, losses, scores, a picture, and how it is exported.

`facegraft/train/eyes/<network>.py` defines the class and `RECIPE = <that class>`. The loop knows no network by name.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from facegraft.core.config import unknown_name
from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame
from facegraft.tensors import Scalar

Record = TypeVar("Record")


@runtime_checkable
class Recipe(Protocol):
    """One network: how its pictures become batches, losses and scores. Interface only: no code is inherited.

    The class alone, without data, says what export needs: `build`, `example`, and the names.

    Attributes:
        input_names: Of the exported graph, in the order of `forward`'s arguments.
        output_names: Of the exported graph, in the order of the results (a tensor, or a tuple or a frozen dataclass of
            tensors) of the network's method `exported` where it has one, else of `forward`.
        dynamic_axes: Input name -> axis -> its name, as `{"image": {0: "b", 2: "h", 3: "w"}}`. Only the inputs'; the
            outputs follow.
    """

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    dynamic_axes: Mapping[str, Mapping[int, str]]

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        """Opens the data and builds the network on the device.

        Args:
            config: The config's tables; the recipe fills its own with `fill(DataConfig, config["data"], "data")`.
            device: Where `net` lies and batches come to.

        The global generator is seeded by the loop around this call, so first weights may simply be torch's own.

        Raises:
            FacegraftError: A wrong key in the tables, or data that cannot be used.
        """

    @staticmethod
    def build(model: Mapping[str, Any]) -> nn.Module:
        """The network of a `[model]` table, on the CPU, untrained. Needs no data: export calls it.

        Raises:
            FacegraftError: A wrong key in the table.
        """
        ...

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        """Inputs of the exported graph, batch 1, in its own range; random, but the same each time."""
        ...

    @property
    def net(self) -> nn.Module:
        """What is trained, averaged, saved and exported; `build(config["model"])` on the device."""
        ...

    @property
    def head(self) -> nn.Module | None:
        """What is trained and saved too, but neither averaged nor exported, as a margin loss's centres; or None."""
        ...

    @property
    def loss_names(self) -> frozenset[str]:
        """The keys of `losses`; `[losses]` in the config must have the same."""
        ...

    def batch(self, generator: torch.Generator, count: int) -> Any:
        """Random samples, a frozen dataclass of tensors on the device; see `to_device`.

        Every draw comes from the generator (on the CPU) or from what is seeded with it, so that a resumed run sees
        what an unbroken one would. May be called from another thread while `losses` runs, but never twice at a time.
        """
        ...

    def losses(self, net: nn.Module, batch: Any) -> dict[str, Scalar]:
        """Named losses without weights. The loop weighs, sums and steps; the net is in training mode."""
        ...

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Scores on held-out data within seconds, the same each time; the net is in evaluation mode, without gradients.

        Names say the unit and which way is better where it is not plain, as `error_percent`, `iou`, `pose_degrees`.
        """
        ...

    def preview(self, net: nn.Module) -> Frame:
        """A sheet to look at, always of the same samples; `train/preview.py` has what to draw with."""
        ...


if TYPE_CHECKING:
    RecipeClass = type[Recipe]
else:
    RecipeClass = type  # checks of types at run time cannot ask whether a class is a protocol with data members


def find_recipe(network: str) -> RecipeClass:
    """The recipe of a network by its name.

    Raises:
        BadInputError: There is none; the message names those that there are.
    """
    name = f"facegraft.train.eyes.{network}"
    try:
        module = importlib.import_module(name) if network.isidentifier() else None
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        module = None
    if module is None or not hasattr(module, "RECIPE"):
        raise BadInputError(unknown_name(f"network = {network!r}", network, network_names()))
    recipe: RecipeClass = module.RECIPE
    return recipe


def network_names() -> list[str]:
    """Networks that can be trained: the files beside this one's `eyes` that define RECIPE."""
    files = sorted((Path(__file__).parent / "eyes").glob("*.py"))
    return [path.stem for path in files if "\nRECIPE" in path.read_text(encoding="utf-8")]


def to_device(record: Record, device: torch.device) -> Record:
    """A frozen dataclass with every tensor in it on a device; copies to a GPU go through pinned memory and do not wait.

    Fields that are no tensors stay; dataclasses inside are followed.
    """
    changes: dict[str, Any] = {}
    for entry in dataclasses.fields(record):  # type: ignore[arg-type]  # any dataclass
        value = getattr(record, entry.name)
        if isinstance(value, Tensor):
            pinned = value.pin_memory() if device.type == "cuda" and value.device.type == "cpu" else value
            changes[entry.name] = pinned.to(device, non_blocking=True)
        elif dataclasses.is_dataclass(value):
            changes[entry.name] = to_device(value, device)
    return dataclasses.replace(record, **changes)  # type: ignore[type-var]  # any dataclass
