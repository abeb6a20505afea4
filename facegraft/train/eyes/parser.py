"""Recipe of the parser: exact labels of renders with things before the faces, and a mean teacher's of real pictures.

The teacher is the running average of the network (Tarvainen and Valpola, arXiv:1703.01780). It labels real pictures as
they are; the network must say the same of them strongly changed, where the teacher is sure (FixMatch,
arXiv:2001.07685), and must also find the things that were pasted there, whose labels are exact.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from facegraft.core.config import fill
from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset, open_dataset
from facegraft.frozen.parser import CLASSES, CROP_MARGIN, SIZE_PX, STEP_PX, Parser, ParserConfig
from facegraft.losses.regions import (
    agreement,
    balanced_weights,
    boundary_weight,
    dice_loss,
    lovasz_loss,
    mask_cross_entropy,
    region_cross_entropy,
)
from facegraft.tensors import Scalar
from facegraft.train.eyes.crops import (
    CropOptions,
    Crops,
    centred_crops,
    cut,
    cut_labels,
    draw_crops,
    inside_picture,
    mirror_points,
    move_points,
)
from facegraft.train.eyes.face_wear import EYES, Wear, load_cutouts, wear
from facegraft.train.eyes.parser_scores import parser_scores, parser_sheet
from facegraft.train.eyes.parser_things import NOTHING, class_table, hide, inner_table
from facegraft.train.eyes.pictures import Pictures, load_backgrounds, load_pictures, train_and_val
from facegraft.train.recipe import to_device

WEAR = Wear(stage=replace(EYES, cutout=0.0))
"""Without rectangles: they would be things without a label."""
ARRAYS = ("dense", "landmarks68")


@dataclass(frozen=True)
class ParserData:
    """`[data]` of the parser's config. Bare numbers are shares, 0..1."""

    renders: str
    """Dataset of `facegraft synth`, with the planes that it stores by itself."""
    real: str = ""
    """Dataset of `facegraft ingest`; "" = learn from renders alone."""
    real_share: float = 0.3
    """Of a batch: real pictures, whose labels the teacher gives."""
    backgrounds: str = ""
    """Folder of pictures without faces; "" = none, and covers have one colour each."""
    negative_share: float = 0.04
    """Of the labelled crops: no face at all."""
    occluders: str = ""
    """Folder with `hands`, `masks` and `things`; "" = all things are drawn."""
    occluded_share: float = 0.4
    covered_share: float = 0.06
    cache: int = 20_000
    """Pictures in memory, of each dataset."""
    size_px: int = SIZE_PX
    """Side of the crops. A smaller one with a margin smaller in proportion trains faster on the same scale of faces."""
    margin: float = CROP_MARGIN
    shift: float = 0.12
    confidence: float = 0.9
    """Share of a class from which on the teacher is believed."""
    momentum: float = 0.999
    """How much of the teacher a step keeps; less in the first steps."""
    silent_images: int = 30_000
    """What the teacher says does not count before these, and fully after as many again."""
    overlap: Literal["dice", "lovasz"] = "dice"
    class_power: float = 0.5
    """How far rare classes weigh more, see `balanced_weights`."""
    boundary_px: int = 2
    boundary_gain: float = 1.0
    """Pixels so near to another region weigh so much more."""
    validation: int = 300
    """Held-out renders that are scored."""

    def __post_init__(self) -> None:
        names = ("real_share", "negative_share", "occluded_share", "covered_share", "confidence", "momentum")
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected 0 to 1, found {getattr(self, name)}")
        if self.size_px < STEP_PX or self.size_px % STEP_PX:
            raise ValueError(f"size_px: expected a multiple of {STEP_PX}, found {self.size_px}")
        if self.real_share == 1:
            raise ValueError("real_share: expected less than 1, for only renders have labels")


@dataclass(frozen=True)
class ParserBatch:
    """Labelled crops, and real ones in two versions.

    Attributes:
        image: RGB 0..1.
        labels: Numbers of `CLASSES`.
        visible: 1 where the inner face is seen.
        inside: 1 where the crop shows the picture, 0 beyond its border: nothing is learnt there.
        weak: Real crops as they are.
        strong: The same ones worn, with things pasted.
        pasted: What was pasted there; `NOTHING` elsewhere.
        strong_inside: As `inside`, of them.
    """

    image: Float[Tensor, "b 3 s s"]
    labels: UInt8[Tensor, "b s s"]
    visible: Float[Tensor, "b 1 s s"]
    inside: Float[Tensor, "b s s"]
    weak: Float[Tensor, "r 3 s s"]
    strong: Float[Tensor, "r 3 s s"]
    pasted: UInt8[Tensor, "r s s"]
    strong_inside: Float[Tensor, "r s s"]


class Teacher(nn.Module):
    """The running average of a network, with a clock; saved with the run, never exported."""

    images_seen: Tensor
    steps: Tensor

    def __init__(self, net: nn.Module, momentum: float) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).requires_grad_(requires_grad=False)
        self.momentum = momentum
        for clock in ("images_seen", "steps"):
            self.register_buffer(clock, torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def follow(self, net: nn.Module, images: int) -> None:
        """Moves towards the network, after it has seen so many further images; at first it keeps little."""
        self.steps += 1
        self.images_seen += images
        kept = min(self.momentum, 1 - 1 / (int(self.steps) + 1))
        ours = self.net.state_dict()
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                ours[name].lerp_(value, 1 - kept)
            else:
                ours[name].copy_(value)

    @torch.no_grad()
    def teach(self, weak: Float[Tensor, "r 3 s s"]) -> tuple[Float[Tensor, "r c s s"], Float[Tensor, "r 1 s s"]]:
        """Shares of the classes, and of the visible face."""
        labels, visible = self.net.eval()(weak)
        return labels, visible


class ParserRecipe:
    """See `train.recipe.Recipe`."""

    input_names = ("crop",)
    output_names = ("labels", "visible")
    dynamic_axes: Mapping[str, Mapping[int, str]] = {"crop": {0: "b", 2: "h", 3: "w"}}
    loss_names = frozenset({"classes", "overlap", "visible", "visible_overlap", "taught", "taught_visible"})

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.options = fill(ParserData, config["data"], "data")
        self.device = device
        self.net = self.build(config.get("model", {})).to(device)
        self.head = Teacher(self.net, self.options.momentum).to(device)
        options = self.options
        train, val = train_and_val(open_dataset(Path(options.renders)))
        self._renders = _with_faces("renders", _load(train, options, ("regions",)), "regions")
        self._val = _with_faces(
            "renders", _load(val, replace(options, cache=options.validation), ("regions",)), "regions"
        )
        self._real = _with_faces("real", _load(open_dataset(Path(options.real)), options, ())) if options.real else None
        self._backgrounds = (
            load_backgrounds(Path(options.backgrounds), size_px=options.size_px) if options.backgrounds else None
        )
        self._cutouts = load_cutouts(Path(options.occluders)) if options.occluders else ()
        self._crops = CropOptions(size_px=options.size_px, margin=options.margin, shift=options.shift)
        counts = torch.bincount(self._renders.planes["regions"].flatten().long(), minlength=len(class_table()))
        of_class = torch.zeros(len(CLASSES)).index_add_(0, class_table().long(), counts.float())
        self._class_weights = balanced_weights(of_class, options.class_power).to(device)

    @staticmethod
    def build(model: Mapping[str, Any]) -> Parser:
        return Parser(fill(ParserConfig, model, "model"))

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        return (torch.rand((1, 3, SIZE_PX, SIZE_PX), generator=torch.Generator().manual_seed(0)),)

    def batch(self, generator: torch.Generator, count: int) -> ParserBatch:
        taught = round(count * self.options.real_share) if self._real is not None else 0
        image, labels, visible, inside = self._labelled(generator, count - taught)
        weak, strong, pasted, strong_inside = self._taught(generator, taught)
        batch = ParserBatch(image, labels, visible, inside, weak, strong, pasted, strong_inside)
        return to_device(batch, self.device)

    def losses(self, net: nn.Module, batch: ParserBatch) -> dict[str, Scalar]:
        """`taught` and `taught_visible` are 0 without real pictures, and while the teacher must be silent."""
        options, count = self.options, len(batch.image)
        if net.training:
            self.head.follow(net, count + len(batch.weak))
        logits, visible = cast(Parser, net).logits(torch.cat([batch.image, batch.strong]))
        weight = boundary_weight(batch.labels, options.boundary_px, options.boundary_gain) * batch.inside
        overlap = dice_loss if options.overlap == "dice" else lovasz_loss
        seen = visible[:count].sigmoid()
        found = {
            "classes": region_cross_entropy(logits[:count], batch.labels, weight, self._class_weights),
            "overlap": overlap(logits[:count].softmax(1), batch.labels, batch.inside),
            "visible": mask_cross_entropy(visible[:count], batch.visible, weight),
            "visible_overlap": overlap(torch.cat([1 - seen, seen], 1), batch.visible[:, 0], batch.inside),
        }
        return found | self._taught_losses(batch, logits[count:], visible[count:])

    def _taught_losses(self, batch: ParserBatch, logits: Tensor, visible: Tensor) -> dict[str, Scalar]:
        after = float(self.head.images_seen) - self.options.silent_images
        loudness = min(1.0, max(0.0, after / max(self.options.silent_images, 1)))
        if not len(batch.weak) or loudness == 0:
            return {"taught": logits.new_zeros(()), "taught_visible": logits.new_zeros(())}
        labels, seen = with_pasted(*self.head.teach(batch.weak), batch.pasted)
        sure = ((seen - 0.5).abs() >= self.options.confidence - 0.5)[:, 0]
        told = mask_cross_entropy(visible, (seen > 0.5).to(seen), batch.strong_inside * sure)
        sure_share = (batch.strong_inside * sure).sum() / batch.strong_inside.sum().clamp(min=1)
        return {
            "taught": agreement(logits, labels, batch.strong_inside, self.options.confidence) * loudness,
            "taught_visible": told * sure_share * loudness,
        }

    def validate(self, net: nn.Module) -> dict[str, float]:
        """In percent: `iou_<class>` over all pictures, their mean, and `visible_iou`, the mean of the pictures'.

        The latter also by stratum, skin tone (Monk), sex and age, and of pictures with a thing pasted.
        """
        return parser_scores(net, self._val, self._held_out, self.device)

    def preview(self, net: nn.Module) -> Frame:
        """Rows of picture, truth (black where there is none), answer, visible face: renders, hidden ones, real ones."""
        plain = self._held_out(torch.arange(min(6, len(self._val))), hidden=False)
        hidden = self._held_out(torch.arange(min(6, len(self._val))), hidden=True)
        images, truths = torch.cat([plain[0], hidden[0]]), torch.cat([plain[1], hidden[1]])
        if self._real is not None:
            rows = torch.arange(min(12, len(self._real)))
            crops = self._crops_of(self._real, rows, None)
            images = torch.cat([images, cut(self._real.images[rows], crops.matrix, crops.size_px)])
            truths = torch.cat([truths, torch.zeros_like(truths[:1]).expand(len(rows), -1, -1)])
        return parser_sheet(net, images.to(self.device), truths)

    def _held_out(
        self, rows: Tensor, *, hidden: bool
    ) -> tuple[Float[Tensor, "b 3 s s"], UInt8[Tensor, "b s s"], Bool[Tensor, "b s s"], Float[Tensor, "b s s"]]:
        """Crops of the validation set as analysis cuts them: images, labels, visible, inside; the same each time."""
        crops = self._crops_of(self._val, rows, None)
        share = float(hidden)
        generator = torch.Generator().manual_seed(int(rows[0]))
        return self._cut_labelled(self._val, rows, crops, generator, share=share, covered=0)

    def _labelled(self, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows = torch.randint(len(self._renders), (count,), generator=generator)
        crops = self._crops_of(self._renders, rows, generator)
        image, labels, visible, inside = self._cut_labelled(
            self._renders,
            rows,
            crops,
            generator,
            share=self.options.occluded_share,
            covered=self.options.covered_share,
        )
        if self._backgrounds is not None:
            empty = torch.rand(count, generator=generator) < self.options.negative_share
            scenes = self._backgrounds[torch.randint(len(self._backgrounds), (count,), generator=generator)]
            image = torch.where(empty[:, None, None, None], scenes.float() / 255, image)
            labels, visible = (torch.where(empty[:, None, None], 0, plane) for plane in (labels, visible))
            inside = torch.where(empty[:, None, None], 1.0, inside)
        return wear(image, WEAR, generator), labels.to(torch.uint8), visible[:, None].float(), inside

    def _cut_labelled(
        self,
        pictures: Pictures,
        rows: Tensor,
        crops: Crops,
        generator: torch.Generator,
        *,
        share: float | int,
        covered: float | int,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        regions = cut_labels(pictures.planes["regions"][rows], crops.matrix, crops.size_px).long()
        image = cut(pictures.images[rows], crops.matrix, crops.size_px)
        points = mirror_points(move_points(pictures.array("landmarks68", rows)[..., :2], crops.matrix), crops.flip)
        made = hide(
            image,
            points,
            generator,
            share=share,
            covered=covered,
            cutouts=self._cutouts,
            textures=self._backgrounds,
        )
        free = made.pasted == NOTHING
        labels = torch.where(free, class_table()[regions], made.pasted)
        inside = inside_picture(_size_hw(pictures), crops.matrix, crops.size_px) | ~free
        return made.images, labels, inner_table()[regions] & free, inside.float()

    def _taught(self, generator: torch.Generator, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        size = self.options.size_px
        if self._real is None or not count:
            planes = torch.zeros(0, size, size)
            return torch.zeros(0, 3, size, size), torch.zeros(0, 3, size, size), planes.to(torch.uint8), planes
        rows = torch.randint(len(self._real), (count,), generator=generator)
        crops = self._crops_of(self._real, rows, generator)
        weak = cut(self._real.images[rows], crops.matrix, size)
        points = mirror_points(move_points(self._real.array("landmarks68", rows)[..., :2], crops.matrix), crops.flip)
        made = hide(
            weak,
            points,
            generator,
            share=self.options.occluded_share,
            covered=self.options.covered_share,
            cutouts=self._cutouts,
            textures=self._backgrounds,
        )
        inside = inside_picture(_size_hw(self._real), crops.matrix, size) | (made.pasted != NOTHING)
        return weak, wear(made.images, WEAR, generator), made.pasted, inside.float()

    def _crops_of(self, pictures: Pictures, rows: Tensor, generator: torch.Generator | None) -> Crops:
        """Random crops, or without a generator those that analysis cuts."""
        dense = pictures.array("dense", rows)
        return centred_crops(dense, self._crops) if generator is None else draw_crops(dense, self._crops, generator)


def with_pasted(
    labels: Float[Tensor, "r c s s"], visible: Float[Tensor, "r 1 s s"], pasted: UInt8[Tensor, "r s s"]
) -> tuple[Float[Tensor, "r c s s"], Float[Tensor, "r 1 s s"]]:
    """What the teacher says, but where something was pasted that is certain, and the face is not seen there."""
    is_pasted = (pasted != NOTHING)[:, None]
    number = torch.where(is_pasted, pasted[:, None], 0).long()
    certain = torch.zeros_like(labels).scatter_(1, number, 1.0)
    return torch.where(is_pasted, certain, labels), torch.where(is_pasted, 0.0, visible)


def _load(dataset: Dataset, options: ParserData, planes: tuple[str, ...]) -> Pictures:
    return load_pictures(dataset, planes=planes, arrays=ARRAYS, cache=options.cache)


def _with_faces(option: str, pictures: Pictures, *planes: str) -> Pictures:
    """Those whose points, and planes, are known."""
    keep = torch.ones(len(pictures), dtype=torch.bool)
    for name in (*ARRAYS, *planes):
        keep &= pictures.has[name]
        if not keep.any():
            raise BadInputError(
                f"data.{option}: of its {len(pictures)} pictures none with all else has {name!r}; make it anew by "
                "`facegraft synth` or `facegraft ingest --points mediapipe`"
            )
    return pictures.where(keep)


def _size_hw(pictures: Pictures) -> tuple[int, int]:
    return pictures.size_px, pictures.size_px


RECIPE = ParserRecipe
