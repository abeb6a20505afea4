"""The recipe of Q: a method's answers at many moments of its training; each is labelled with how far that had come.

The labels cost nothing but the weights that the method's run has kept (`train.snapshot_every`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.core.config import fill, unknown_name
from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame
from facegraft.data.loader import LoaderOptions
from facegraft.data.policies import POLICIES
from facegraft.frozen.nets import FrozenNets
from facegraft.frozen.quality import Quality, QualityConfig
from facegraft.methods._method import Method
from facegraft.tensors import Images, Scalar, SwapBatch, concatenate
from facegraft.train.eyes.aligned import pair_loaders
from facegraft.train.folder import CONFIG, SNAPSHOTS, read_json
from facegraft.train.frozen_nets import load_frozen
from facegraft.train.methods import load_method
from facegraft.train.preview import WHITE, enlarged, frames_from_unit, sheet, with_text

LEAST = 3
"""Moments of training below which there is nothing to learn."""
PLACES = 2**40
"""Of the endless sequence of pairs."""
SHOWN, TILE_PX = 6, 192


@dataclass(frozen=True)
class QualityData:
    """What is looked at."""

    path: tuple[str, ...]
    """Datasets, joined."""
    teacher: str
    """Run of a method that has kept its snapshots."""
    policy: str = "ours"
    """Who meets whom: a name of data/policies.py."""
    val_share: float = 0.05
    """Of people, held out for scores, where a dataset has no split of its own."""
    val_images: int = 32
    """Pairs that every snapshot answers for the scores."""
    cache: str = ""
    """Folder where decoded pictures are kept; "": they are decoded each time."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(unknown_name("policy", self.policy, sorted(POLICIES)))
        if self.val_images < 1:
            raise ValueError(f"val_images: expected 1 or more, found {self.val_images}")


@dataclass(frozen=True)
class Judged:
    """Answers of one method, -1..1, and the share of its training that each had behind it, 0..1."""

    images: Images
    progress: Float[Tensor, "b"]

    def __len__(self) -> int:
        return len(self.progress)


class QualityRecipe:
    """See `facegraft.train.recipe.Recipe`."""

    input_names = ("image",)
    output_names = ("quality",)
    dynamic_axes: Mapping[str, Mapping[int, str]] = {"image": {0: "b"}}
    loss_names = frozenset({"progress"})
    head: nn.Module | None = None

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.options = options = fill(QualityData, config["data"], "data")
        self.moments = snapshots(Path(options.teacher), device)
        method = self.moments[0][1]
        card, size_px = method.card, method.config.size_px
        self.frozen = load_frozen(card.needs - {"teacher"}, card.alignment, size_px, device)
        made = LoaderOptions(
            batch=1,
            size_px=size_px,
            seed=int(config.get("seed", 0)),
            cache=Path(options.cache) if options.cache else None,
            template=card.alignment,
            device=str(device),
        )
        self.loader, held = pair_loaders(options.path, options.policy, made, val_share=options.val_share)
        pairs = [held.batch_at(number) for number in range(options.val_images)]
        self.held = [Judged(*self._answers(pairs, [moment] * len(pairs))) for moment in range(len(self.moments))]
        self.net: nn.Module = self.build(config.get("model", {})).to(device)

    @staticmethod
    def build(model: Mapping[str, Any]) -> Quality:
        return Quality(fill(QualityConfig, model, "model"))

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        return (torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1,)

    def batch(self, generator: torch.Generator, count: int) -> Judged:
        """Each picture by a moment of its own: a batch of one moment would tell it by its statistics."""
        places = torch.randint(PLACES, (count,), generator=generator).tolist()
        moments = torch.randint(len(self.moments), (count,), generator=generator).tolist()
        return Judged(*self._answers([self.loader.batch_at(place) for place in places], moments))

    def losses(self, net: nn.Module, batch: Judged) -> dict[str, Scalar]:
        return {"progress": F.mse_loss(net(batch.images).float(), batch.progress)}

    def validate(self, net: nn.Module) -> dict[str, float]:
        """`error`: mean absolute, 0..1. `order`: share of pairs of moments whose mean answers it puts in order."""
        found = [net(held.images).float() for held in self.held]
        error = torch.cat([(said - held.progress).abs() for said, held in zip(found, self.held, strict=True)]).mean()
        means = torch.stack([said.mean() for said in found])
        later, earlier = torch.tril_indices(len(means), len(means), -1)
        return {"error": float(error), "order": float((means[later] > means[earlier]).float().mean())}

    def preview(self, net: nn.Module) -> Frame:
        """A row for each moment: held-out answers with its share of training and what is found, in %."""
        rows = []
        for held in self.held:
            said = net(held.images[:SHOWN]).float() * 100
            frames = frames_from_unit((held.images[:SHOWN] + 1) / 2)
            words = [f"{float(held.progress[0]) * 100:.0f} | {one:.0f}" for one in said.tolist()]
            rows.append(
                [with_text(enlarged(frame, TILE_PX), word, WHITE) for frame, word in zip(frames, words, strict=True)]
            )
        return sheet(rows, TILE_PX)

    def _answers(self, pairs: Sequence[SwapBatch], moments: Sequence[int]) -> tuple[Images, Float[Tensor, "b"]]:
        """Each pair swapped by the moment of its number, and that moment's share of training."""
        images: dict[int, Tensor] = {}
        for moment in sorted(set(moments)):
            mine = [number for number, other in enumerate(moments) if other == moment]
            batch = concatenate([pairs[number] for number in mine])
            images |= zip(mine, answers(self.moments[moment][1], batch, self.frozen), strict=True)
        shares = torch.tensor([self.moments[moment][0] for moment in moments])
        return torch.stack([images[number] for number in range(len(pairs))]), shares.to(images[0].device)


RECIPE = QualityRecipe


def snapshots(run_dir: Path, device: torch.device) -> list[tuple[float, Method]]:
    """What a run's method was at the moments that it has kept, and at its end; each with its share of the training.

    Raises:
        BadInputError: No finished run of a method, or too few moments were kept.
    """
    last = load_method(run_dir, device)
    images = int(read_json(run_dir / CONFIG)["train"]["images"])
    found = [(1.0, last)]
    for path in sorted((run_dir / SNAPSHOTS).glob("*.safetensors")):
        if path.stem.isdigit() and int(path.stem) < images:
            found.append((int(path.stem) / images, load_method(run_dir, device, path)))
    if len(found) < LEAST:
        advice = "train it with train.snapshot_every, a tenth of its images for example"
        raise BadInputError(f"data.teacher: expected {LEAST} kept moments or more, found {len(found)}; {advice}")
    return sorted(found, key=lambda moment: moment[0])


@torch.no_grad()
def answers(method: Method, batch: SwapBatch, frozen: FrozenNets) -> Images:
    """A method's results in their places in the attribute images."""
    swap = method.swap(batch.attribute, method.encode_identity(batch.identity, frozen))
    return batch.attribute.image + swap.mask * (swap.image - batch.attribute.image)
