"""Recipe of the shading network: renders whose moments were rendered once more in even light (`--planes even`).

No photograph has such an answer. Renders carry over: shadows and highlights look alike on skin that is painted and skin
that grew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.core.config import fill
from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame
from facegraft.data.dataset import open_dataset
from facegraft.data.regions import REGIONS
from facegraft.frozen.parser import INNER_REGIONS
from facegraft.frozen.shading import CROP_MARGIN, SIZE_PX, Shading, ShadingConfig
from facegraft.losses.shading import factors_between, left_percent, shading_losses
from facegraft.tensors import Scalar
from facegraft.train.eyes.crops import CropOptions, Crops, centred_crops, cut, cut_labels, draw_crops
from facegraft.train.eyes.face_wear import EYES, Wear, wear
from facegraft.train.eyes.grading import Grading, develop
from facegraft.train.eyes.pictures import Pictures, load_pictures, train_and_val
from facegraft.train.eyes.warm_start import warm_start
from facegraft.train.preview import frames_from_unit, sheet
from facegraft.train.recipe import to_device

WEAR = Wear(stage=replace(EYES, jitter=(0.2, 0.1, 0.2, 0.02), grey=0.0, distorted=0.0), dimmed=0.0)
"""Colours change little, and levels by no exponent: what they do to one picture alone would be light to undo."""
PLANES, ARRAYS = ("regions", "even"), ("dense",)
LIT = INNER_REGIONS - {"mouth"}
"""Regions that count. Teeth lie in a shadow of their own."""
WHOLE = 0.9
"""A place counts where so much of it is such a region."""
BATCH = 32


@dataclass(frozen=True)
class ShadingData:
    """`[data]` of the shading network's config. Bare numbers are shares, 0..1."""

    renders: tuple[str, ...]
    """Datasets of `facegraft synth` with the planes "regions" and "even"."""
    even_share: float = 0.15
    """Of a batch: pictures that are in even light already, whose factors are 1."""
    grey_share: float = 0.08
    gamma: float = 1.25
    """Levels of picture and answer are raised to a power between this and its inverse."""
    grading: Grading = field(default_factory=Grading)
    """How picture and answer are developed, both alike."""
    shift: float = 0.06
    start: str = ""
    """ONNX file of a shading network to go on from; "": from nothing."""
    start_crops: int = 256
    """With `start`: how many pictures the network's normalisations are measured on."""
    cache: int = 20_000
    """Pictures in memory, of each dataset."""
    validation: int = 128
    """Held-out renders that are scored, of each dataset."""

    def __post_init__(self) -> None:
        if not self.renders:
            raise ValueError("renders: expected at least one dataset, found none")
        for name in ("even_share", "grey_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected 0 to 1, found {getattr(self, name)}")
        if self.gamma < 1:
            raise ValueError(f"gamma: expected 1 or more, found {self.gamma}")


@dataclass(frozen=True)
class ShadingBatch:
    """Crops, RGB 0..1; the right factors' logarithms at half their size, and where the face is."""

    image: Float[Tensor, "b 3 s s"]
    factors: Float[Tensor, "b 3 h w"]
    where: Float[Tensor, "b 1 h w"]


class ShadingRecipe:
    """See `train.recipe.Recipe`."""

    input_names = ("crop",)
    output_names = ("factors",)
    dynamic_axes: Mapping[str, Mapping[int, str]] = {"crop": {0: "b"}}
    loss_names = frozenset({"place", "edges", "level"})
    head = None

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.options = options = fill(ShadingData, config["data"], "data")
        self.device = device
        self.net = self.build(config.get("model", {})).to(device)
        self._crops = CropOptions(size_px=SIZE_PX, margin=CROP_MARGIN, shift=options.shift)
        parts = [train_and_val(open_dataset(Path(path))) for path in options.renders]
        self._sets = [_load(train, options.cache) for train, _ in parts]
        self._val = [_load(val, options.validation) for _, val in parts]
        if options.start:
            crops = self.batch(torch.Generator().manual_seed(0), options.start_crops).image
            warm_start(self.net, Path(options.start), crops)

    @staticmethod
    def build(model: Mapping[str, Any]) -> Shading:
        return Shading(fill(ShadingConfig, model, "model"))

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        return (torch.rand((1, 3, SIZE_PX, SIZE_PX), generator=torch.Generator().manual_seed(0)),)

    def batch(self, generator: torch.Generator, count: int) -> ShadingBatch:
        sizes = torch.tensor([float(len(pictures)) for pictures in self._sets])
        of_set = torch.multinomial(sizes, count, replacement=True, generator=generator).tolist()
        images, evens, wheres = [], [], []
        for number, pictures in enumerate(self._sets):
            rows = torch.randint(len(pictures), (of_set.count(number),), generator=generator)
            crops = draw_crops(pictures.array("dense", rows), self._crops, generator)
            image, even, where = self._cut(pictures, rows, crops)
            images.append(image)
            evens.append(even)
            wheres.append(where)
        image, even, where = torch.cat(images), torch.cat(evens), torch.cat(wheres)
        u = torch.rand((3, count, 1, 1, 1), generator=generator)
        image = torch.where(u[0] < self.options.even_share, even, image)
        image, even = develop([image, even], self.options.grading, generator)
        grey = u[1] < self.options.grey_share
        power = self.options.gamma ** (2 * u[2] - 1)
        image, even = (
            torch.where(grey, each.mean(1, keepdim=True), each).clamp(1e-4, 1) ** power for each in (image, even)
        )
        made = ShadingBatch(wear(image, WEAR, generator), factors_between(image, even), where)
        return to_device(made, self.device)

    def losses(self, net: nn.Module, batch: ShadingBatch) -> dict[str, Scalar]:
        return shading_losses(net(batch.image), batch.factors, batch.where)

    def validate(self, net: nn.Module) -> dict[str, float]:
        """`left_percent` (lower is better): how much of the light's unevenness is left; of each dataset by its name."""
        found = {}
        for path, pictures in zip(self.options.renders, self._val, strict=True):
            told, right, where = (torch.cat(parts) for parts in zip(*self._told(net, pictures), strict=True))
            found[f"left_percent/{Path(path).name}"] = left_percent(told, right, where)
        return found | {"left_percent": float(np.mean(list(found.values())))}

    def preview(self, net: nn.Module) -> Frame:
        """Rows of picture, evened, and in even light."""
        rows = []
        for pictures in self._val:
            index = torch.arange(min(8, len(pictures)))
            image, even, _ = self._cut(pictures, index, self._centred(pictures, index))
            factors = net(image.to(self.device)).float().cpu()
            evened = image * F.interpolate(factors, scale_factor=2, mode="bilinear", align_corners=False).exp()
            rows += list(zip(*(frames_from_unit(each) for each in (image, evened, even)), strict=True))
        return sheet(rows, 2 * SIZE_PX)

    def _told(self, net: nn.Module, pictures: Pictures) -> list[tuple[Tensor, Tensor, Tensor]]:
        """What the network says of held-out crops as analysis cuts them, the right factors, and where the face is."""
        made = []
        for index in torch.split(torch.arange(len(pictures)), BATCH):
            image, even, where = self._cut(pictures, index, self._centred(pictures, index))
            made.append((net(image.to(self.device)).float().cpu(), factors_between(image, even), where))
        return made

    def _centred(self, pictures: Pictures, index: Tensor) -> Crops:
        return centred_crops(pictures.array("dense", index), self._crops)

    def _cut(self, pictures: Pictures, rows: Tensor, crops: Crops) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, the same in even light, and at half the size where the face is."""
        even = pictures.planes["even"][rows].permute(0, 3, 1, 2)
        image, answer = (cut(each, crops.matrix, SIZE_PX) for each in (pictures.images[rows], even))
        regions = cut_labels(pictures.planes["regions"][rows], crops.matrix, SIZE_PX, outside=REGIONS["background"])
        lit = torch.isin(regions, torch.tensor([REGIONS[name] for name in sorted(LIT)], dtype=regions.dtype))
        return image, answer, (F.avg_pool2d(lit[:, None].float(), 2) > WHOLE).float()


def _load(dataset: Any, cache: int) -> Pictures:
    pictures = load_pictures(dataset, planes=PLANES, arrays=ARRAYS, cache=cache)
    known = torch.stack([pictures.has[name] for name in (*PLANES, *ARRAYS)]).all(0)
    if not known.any():
        raise BadInputError(
            f"dataset {dataset.card.name!r}: expected planes regions and even, found none; render it with "
            "--planes regions,even"
        )
    return pictures.where(known)


RECIPE = ShadingRecipe
