"""Recipe of the mender: swaps whose right answer is a photograph (`facegraft data reverse --again`).

What the warp makes of identity and attribute image is mended towards the photograph as it was. Both images went through
a warp themselves, so all that a warp does badly is in them, and nothing of it in the answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from facegraft.core.config import fill
from facegraft.core.errors import BadInputError
from facegraft.core.geometry import warp
from facegraft.core.image_bytes import decode_frame
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset, open_dataset
from facegraft.data.framing import mesh_points5
from facegraft.data.item import Pair
from facegraft.faces.align import alignment
from facegraft.frozen.mender import SIZE_PX, TEMPLATE, Mender, MenderConfig
from facegraft.losses.identity import cosine_identity_loss
from facegraft.tensors import Scalar
from facegraft.train.eyes.pictures import train_and_val
from facegraft.train.frozen_nets import load_frozen
from facegraft.train.preview import frames_from_unit, sheet
from facegraft.train.recipe import to_device

STORED_PX = 144
"""Crops are kept a little larger than the network's, so that they can be moved; `MARGIN` of it lies outside."""
MARGIN = SIZE_PX / STORED_PX
BATCH, SHOWN, THREADS = 32, 8, 4
CHANNELS = 10
"""Of what is kept of a pair: swapped, frame, truth, seen."""


@dataclass(frozen=True)
class MenderData:
    """`[data]` of the mender's config."""

    path: tuple[str, ...]
    """Datasets of `facegraft data reverse --again`."""
    turn_degrees: float = 6.0
    zoom: float = 0.06
    shift: float = 0.03
    """How far crops are turned, enlarged or shrunk, and moved, in shares of their side."""
    levels: float = 0.15
    """How much darker or brighter all pictures of a pair may become."""
    cache: int = 12_000
    """Pairs in memory, of each dataset."""
    validation: int = 192
    """Held-out pairs that are scored, of each dataset."""

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path: expected at least one dataset, found none")
        if min(self.turn_degrees, self.zoom, self.shift, self.levels) < 0 or max(self.zoom, self.levels) >= 1:
            raise ValueError("expected turn_degrees, zoom, shift and levels from 0, and zoom and levels below 1")


@dataclass(frozen=True)
class MenderBatch:
    """Crops, RGB 0..1."""

    swapped: Float[Tensor, "b 3 s s"]
    frame: Float[Tensor, "b 3 s s"]
    truth: Float[Tensor, "b 3 s s"]
    seen: Float[Tensor, "b 1 s s"]


class MenderRecipe:
    """See `train.recipe.Recipe`."""

    input_names = ("swapped", "frame", "seen")
    output_names = ("change",)
    dynamic_axes: Mapping[str, Mapping[int, str]] = {name: {0: "b"} for name in input_names}
    loss_names = frozenset({"pixels", "edges", "perceptual", "identity"})
    head = None

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.options = options = fill(MenderData, config["data"], "data")
        self.device = device
        self.net = self.build(config.get("model", {})).to(device)
        self.frozen = load_frozen({"identity", "perceptual"}, TEMPLATE, SIZE_PX, device, robust=True)
        parts = [train_and_val(open_dataset(Path(path))) for path in options.path]
        self._train = torch.cat([_load(train, options.cache) for train, _ in parts])
        self._val = torch.cat([_load(val, options.validation) for _, val in parts])

    @staticmethod
    def build(model: Mapping[str, Any]) -> Mender:
        return Mender(fill(MenderConfig, model, "model"))

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(0)
        swapped, frame = (torch.rand((1, 3, SIZE_PX, SIZE_PX), generator=generator) for _ in range(2))
        return swapped, frame, (torch.rand((1, 1, SIZE_PX, SIZE_PX), generator=generator) > 0.3).float()

    def batch(self, generator: torch.Generator, count: int) -> MenderBatch:
        rows = torch.randint(len(self._train), (count,), generator=generator)
        pictures = self._train[rows].float() / 255
        moved = F.grid_sample(pictures, self._places(count, generator), padding_mode="border", align_corners=False)
        power = (1 + self.options.levels) ** (2 * torch.rand((count, 1, 1, 1), generator=generator) - 1)
        moved = torch.cat([moved[:, :-1].clamp(1e-4, 1) ** power, moved[:, -1:]], 1)
        return to_device(_batch(moved), self.device)

    def losses(self, net: nn.Module, batch: MenderBatch) -> dict[str, Scalar]:
        mended = batch.swapped + net(batch.swapped, batch.frame, batch.seen)
        off = (mended - batch.truth) * batch.seen
        with torch.no_grad():
            truth = batch.truth * 2 - 1
            person, wanted = self.frozen.likeness(truth), list(self.frozen.perceptual(truth))
        shown = mended * 2 - 1
        maps = zip(self.frozen.perceptual(shown), wanted, strict=True)
        return {
            "pixels": off.abs().sum() / _area(batch.seen),
            "edges": sum(_steps(off, batch.seen, reach) for reach in (1, 2, 4)) / 3,
            "perceptual": torch.stack([(a.float() - b.float()).abs().mean() for a, b in maps]).sum(),
            "identity": cosine_identity_loss(self.frozen.likeness(shown), person),
        }

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Error to right answers, and likeness to them by the plain network; of the swap as it was, and mended.

        `left_percent`: the error that is left, of that before; `identity_gained`: how much nearer in cosine.
        """
        before, after, alike, was_alike = 0.0, 0.0, [], []
        for batch in self._held():
            mended = batch.swapped + net(batch.swapped, batch.frame, batch.seen)
            before += float(((batch.swapped - batch.truth).abs() * batch.seen).sum())
            after += float(((mended - batch.truth).abs() * batch.seen).sum())
            swapped, answer, person = (
                self.frozen.identity(each * 2 - 1) for each in (batch.swapped, mended, batch.truth)
            )
            was_alike.append((swapped * person).sum(1))
            alike.append((answer * person).sum(1))
        cosine, was = float(torch.cat(alike).mean()), float(torch.cat(was_alike).mean())
        return {
            "left_percent": 100 * after / max(before, 1e-6),
            "identity_cosine": cosine,
            "identity_gained": cosine - was,
        }

    def preview(self, net: nn.Module) -> Frame:
        """Rows of frame, what the network sees of it, swap, mended swap, and right answer."""
        batch = next(self._held())
        mended = batch.swapped + net(batch.swapped, batch.frame, batch.seen)
        columns = (batch.frame, batch.seen.expand(-1, 3, -1, -1), batch.swapped, mended, batch.truth)
        rows = list(zip(*(frames_from_unit(column[:SHOWN]) for column in columns), strict=True))
        return sheet(rows, 2 * SIZE_PX)

    def _held(self) -> Iterator[MenderBatch]:
        rim = (STORED_PX - SIZE_PX) // 2
        for part in torch.split(self._val[:, :, rim : rim + SIZE_PX, rim : rim + SIZE_PX], BATCH):
            yield to_device(_batch(part.float() / 255), self.device)

    def _places(self, count: int, generator: torch.Generator) -> Float[Tensor, "b s s 2"]:
        """Where each crop's pixels lie in the stored ones; half of the crops mirrored."""
        options = self.options
        u = torch.rand((5, count), generator=generator) * 2 - 1
        angle, zoom = torch.deg2rad(u[0] * options.turn_degrees), MARGIN * (1 + options.zoom * u[1])
        flip = torch.where(u[2] < 0, -1.0, 1.0)
        cosine, sine = angle.cos() * zoom, angle.sin() * zoom
        rows = [[cosine * flip, -sine, 2 * options.shift * u[3]], [sine * flip, cosine, 2 * options.shift * u[4]]]
        matrix = torch.stack([torch.stack(row, 1) for row in rows], 1)
        return F.affine_grid(matrix, [count, CHANNELS, SIZE_PX, SIZE_PX], align_corners=False)


def _batch(pictures: Float[Tensor, "b 10 s s"]) -> MenderBatch:
    return MenderBatch(*torch.split(pictures, [3, 3, 3, 1], 1))


def _area(seen: Tensor) -> Scalar:
    """Of three channels."""
    return 3 * seen.sum().clamp(min=1)


def _steps(off: Tensor, seen: Tensor, reach: int) -> Scalar:
    """How far differences between pixels so far apart are off."""
    across = (off[..., reach:] - off[..., :-reach]).abs() * seen[..., reach:] * seen[..., :-reach]
    down = (off[..., reach:, :] - off[..., :-reach, :]).abs() * seen[..., reach:, :] * seen[..., :-reach, :]
    return (across.sum() + down.sum()) / _area(seen)


def _load(dataset: Dataset, cache: int) -> UInt8[Tensor, "n 10 s s"]:
    """Crops of all pairs, or of an even choice of so many.

    Raises:
        BadInputError: The set holds no swaps made again.
    """
    pairs: Sequence[Pair] = dataset.pairs
    if len(pairs) > cache:
        pairs = [pairs[number * len(pairs) // cache] for number in range(cache)]
    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(lambda pair: _crops(dataset, pair), pairs))
    if not made:
        raise BadInputError(f"dataset {dataset.card.name!r}: expected pairs, found none; see `facegraft data reverse`")
    return torch.from_numpy(np.stack(made))


def _crops(dataset: Dataset, pair: Pair) -> UInt8[np.ndarray, "10 s s"]:
    attribute, truth = dataset.item(pair.attribute), dataset.item(pair.truths["inner"])
    if "again" not in truth.planes:
        raise BadInputError(f"{truth.key}: what the swapper makes of the pair is not kept; make the set with --again")
    matrix, size = alignment(mesh_points5(attribute), TEMPLATE, STORED_PX), (STORED_PX, STORED_PX)
    frames = [decode_frame(truth.planes["again"]), attribute.frame(), truth.frame(), attribute.plane("visible")]
    crops = [warp(each, matrix, size).reshape(STORED_PX, STORED_PX, -1) for each in frames]
    return np.ascontiguousarray(np.concatenate(crops, 2).transpose(2, 0, 1))


RECIPE = MenderRecipe
