"""What is said of a run while it goes on: names of losses, sizes of weights, and all of it for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegraft.core.errors import MissingPartError
from facegraft.train.job import Phase


def in_phase(phase: Phase, name: str) -> str:
    """A loss's name in the log: with its phase in front where there are phases."""
    return f"{phase.name}/{name}" if phase.name else name


def loss_names(phase: Phase) -> list[str]:
    """The losses of a phase in the order in which they are summed up."""
    return [in_phase(phase, name) for name in sorted(phase.losses)]


@torch.no_grad()
def sizes_of(net: nn.Module) -> dict[str, float]:
    """Root mean square of the weights of each part of a network: parts that blow up or fade show here first."""
    found = {}
    for name, part in net.named_children():
        weights = [weight.detach().float().square().mean() for weight in part.parameters() if weight.ndim > 1]
        if weights:
            found[name] = float(torch.stack(weights).mean().sqrt())
    return found


class Board:
    """Scalars and previews for TensorBoard, in `tensorboard` of the run's folder.

    Raises:
        MissingPartError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise MissingPartError("tensorboardX is missing: pip install 'facegraft[train]'") from error
        self.writer = SummaryWriter(str(folder / "tensorboard"))

    def add(self, line: Mapping[str, Any]) -> None:
        """One line of the log."""
        for name, value in flat(line).items():
            if name != "images_seen":
                self.writer.add_scalar(name, value, int(line["images_seen"]))
        self.writer.flush()

    def close(self) -> None:
        """Writes what waits."""
        self.writer.close()


def flat(tables: Mapping[str, Any], front: str = "") -> dict[str, float]:
    """Nested tables as one, keys joined by slashes."""
    found: dict[str, float] = {}
    for name, value in tables.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{front}{name}/")
        else:
            found[f"{front}{name}"] = float(value)
    return found
