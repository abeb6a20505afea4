"""A whole recipe at tiny size: squares of two brightnesses, to be told apart and located. Learns within seconds."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from facegraft.core.config import fill
from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame
from facegraft.nn.conv import ConvNormAct, Inverted
from facegraft.train.preview import frames_from_unit, sheet, with_points

SIDE = 16


@dataclass(frozen=True)
class TinyConfig:
    width: int = 8
    dropout: float = 0.1


@dataclass(frozen=True)
class TinyData:
    noise: float = 0.05
    renders: str = ""
    nan_at: int = 0
    """The batch of this number, from 1, has a label that is no number; 0: none has."""
    kill_at: int = 0
    """The process kills itself while it makes this batch, where the environment has TINY_KILLS."""
    interrupt_at: int = 0
    """The process sends itself the interrupt of Ctrl-C while it makes this batch, if TINY_KILLS is there."""

    def __post_init__(self) -> None:
        if self.noise < 0:
            raise ValueError(f"noise: expected 0 or more, found {self.noise}")


@dataclass(frozen=True)
class TinyBatch:
    crop: Float[Tensor, "b 3 h w"]
    centre: Float[Tensor, "b 2"]
    bright: Float[Tensor, "b"]


class TinyNet(nn.Module):
    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNormAct(3, config.width, stride=2),
            Inverted(config.width, config.width, squeeze=True, activation="hardswish"),
            ConvNormAct(config.width, config.width, stride=2, activation="prelu"),
        )
        self.drop = nn.Dropout(config.dropout)
        self.last = nn.Linear(config.width * 16, 3)

    def forward(self, crop: Float[Tensor, "b 3 16 16"]) -> tuple[Float[Tensor, "b 2"], Float[Tensor, "b"]]:
        """Centre in 0..1 of the crop, and how bright the square is, 0..1."""
        out = self.last(self.drop(self.body(crop * 2 - 1).flatten(1)))
        return out[:, :2], out[:, 2].sigmoid()


class TinyRecipe:
    input_names = ("crop",)
    output_names = ("centre", "bright")
    dynamic_axes: Mapping[str, Mapping[int, str]] = {"crop": {0: "b"}}
    loss_names = frozenset({"centre", "bright"})

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.data = fill(TinyData, config["data"], "data")
        if self.data.renders and not Path(self.data.renders).is_dir():
            raise BadInputError(f"{self.data.renders}: no dataset; make it with `facegraft synth`")
        self.device = device
        self.net = self.build(config["model"]).to(device)
        self.head = nn.Linear(1, 1).to(device)
        self.batches = 0

    @staticmethod
    def build(model: Mapping[str, Any]) -> nn.Module:
        return TinyNet(fill(TinyConfig, model, "model"))

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        return (torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)),)

    def batch(self, generator: torch.Generator, count: int) -> TinyBatch:
        self.batches += 1
        if os.environ.get("TINY_KILLS") and self.batches in (self.data.kill_at, self.data.interrupt_at):
            os.kill(os.getpid(), signal.SIGKILL if self.batches == self.data.kill_at else signal.SIGINT)
        corner = torch.randint(0, SIDE - 6, (count, 2), generator=generator)
        bright = torch.randint(0, 2, (count,), generator=generator).float()
        crop = self.data.noise * torch.rand(count, 3, SIDE, SIDE, generator=generator)
        for n, (x, y) in enumerate(corner.tolist()):
            crop[n, :, y : y + 6, x : x + 6] += 0.3 + 0.5 * bright[n]
        centre = (corner + 3) / SIDE
        if self.batches == self.data.nan_at:
            centre[0] = math.nan
        return TinyBatch(crop.clamp(0, 1).to(self.device), centre.to(self.device), bright.to(self.device))

    def losses(self, net: nn.Module, batch: TinyBatch) -> dict[str, Tensor]:
        centre, bright = net(batch.crop)
        bright = self.head(8 * bright[:, None] - 4)[:, 0]
        return {
            "centre": F.mse_loss(centre, batch.centre),
            "bright": F.binary_cross_entropy_with_logits(bright, batch.bright),
        }

    def validate(self, net: nn.Module) -> dict[str, float]:
        batch = self._held_out()
        return {"centre_error": float((net(batch.crop)[0] - batch.centre).norm(dim=1).mean())}

    def preview(self, net: nn.Module) -> Frame:
        batch = self._held_out()
        points = net(batch.crop)[0].detach().cpu().numpy() * SIDE
        frames = frames_from_unit(batch.crop)[:4]
        return sheet([[with_points(frame, where[None]) for frame, where in zip(frames, points, strict=False)]], 64)

    def _held_out(self) -> TinyBatch:
        batches, self.batches = self.batches, -(10**9)
        batch = self.batch(torch.Generator().manual_seed(12345), 64)
        self.batches = batches
        return batch


RECIPE = TinyRecipe

CONFIG = """
network = "tiny"
seed = 3
[model]
width = 8
[data]
noise = 0.05
[train]
images = 96
batch = 8
ema = 0.9
log_every = 16
save_every = 32
preview_every = 48
validate_every = 48
[optimiser]
lr = 5e-3
warmup = 16
[losses]
centre = 1.0
bright = 0.5
"""

if __name__ == "__main__":  # python -m tests.train.tiny train CONFIG ...: the command, with this recipe in its place
    sys.modules["facegraft.train.eyes.tiny"] = sys.modules["__main__"]
    from facegraft.cli.main import main

    sys.exit(main(sys.argv[1:]))
