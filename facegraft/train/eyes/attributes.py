"""The recipe of the attributes network: exact labels of renders; pose and openings of photographs from a teacher."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.core.config import fill
from facegraft.core.types import Frame
from facegraft.data.augment import Stage
from facegraft.data.dataset import open_dataset
from facegraft.faces.topology import EYE_CENTRES
from facegraft.frozen.attributes import CHANNELS, MARGIN, SIZE_PX, Attributes, AttributesConfig
from facegraft.frozen.landmarks import EYE_CORNERS, MOUTH_ENDS
from facegraft.losses.points import laplace_nll, weighted_mean
from facegraft.tensors import Scalar
from facegraft.train.eyes.again import Repeated
from facegraft.train.eyes.crops import (
    CropOptions,
    Crops,
    draw_crops,
    drawn_rows,
    mirror_points,
    move_gaze,
    move_light,
    move_pose,
)
from facegraft.train.eyes.expressions import NAMES, channels_of, mirror_channels
from facegraft.train.eyes.face_crops import VAL_JITTER, FaceBatch, covered, face_batch, load_known
from facegraft.train.eyes.face_points import Known, Trust, in_picture, openings, outer_eye_distance
from facegraft.train.eyes.face_wear import EYES, Wear, load_cutouts, wear
from facegraft.train.eyes.landmarks import levelled, shut_rows
from facegraft.train.eyes.warm_start import train_only, warm_start
from facegraft.train.preview import BLUE, RED, WHITE, enlarged, frames_from_unit, sheet, with_points, with_text
from facegraft.train.recipe import to_device

COLOURS: Stage = dataclasses.replace(EYES, jitter=(0.3, 0.2, 0.2, 0.0), grey=0.03, distorted=0.0)
"""Milder than elsewhere: the colour of the light is asked for."""
PLACE = 0.02
"""Error of a place, in crop sides, from which on it counts linearly."""
RARE = 4.0
"""How much more a whole expression weighs than none: most channels are 0 in most pictures."""
SHEET = (4, 4)
TILE_PX = 384


@dataclass(frozen=True)
class AttributesData:
    """What is trained on."""

    renders: str
    """A dataset of `facegraft synth`."""
    real: str = ""
    """A dataset of `facegraft ingest`; "" = none."""
    occluders: str = ""
    """A folder with `hands`, `masks` or `things`; "" = what is pasted is drawn."""
    real_share: float = 0.2
    """Of the crops."""
    real_weight: float = 0.5
    """Of a teacher's pose and openings against exact ones."""
    pasted: float = 0.15
    """Faces that something is pasted over."""
    worn: bool = True
    """Worsen crops as cameras and files do."""
    crop: CropOptions = field(default_factory=lambda: CropOptions(SIZE_PX, MARGIN))
    trust: Trust = field(default_factory=Trust)
    cache: int = 20_000
    """Pictures of each dataset that are kept in memory."""
    val_share: float = 0.05
    """Of the people, where a dataset has no split of its own."""
    val_images: int = 512
    """Of each dataset."""
    start: str = ""
    """An ONNX file of `facegraft export`, whose weights are trained on; "" = from nothing."""
    start_windows: str = ""
    """The file of a landmarks network whose windows see as these do: what they have learnt of eyes and mouths."""
    start_crops: int = 512
    """Crops that means and variances are measured on, for the two."""
    windows_only: bool = False
    """Train nothing but where windows stand and what looks through them; what the whole crop says stays as it is."""
    repeated: int = 0
    """With `windows_only`: so many batches are made, and drawn again and again; 0 = every one is new."""
    shut: float = 0.0
    """Of the rendered crops, the share drawn among faces with a shut eye."""


@dataclass(frozen=True)
class AttributeLabels:
    """One row per face; NaN = not known. Units as in `frozen.attributes.Attributes.forward`."""

    pose: Float[Tensor, "n 3"]
    gaze: Float[Tensor, "n 2 2"]
    opening: Float[Tensor, "n 3"]
    expression: Float[Tensor, "n e"]
    light: Float[Tensor, "n 9 3"]
    weight: Float[Tensor, "n"]

    def rows(self, index: Tensor) -> AttributeLabels:
        return AttributeLabels(*(getattr(self, entry.name)[index] for entry in dataclasses.fields(self)))

    def moved(self, crops: Crops) -> AttributeLabels:
        """As crops show them."""
        sides = torch.cat([mirror_points(self.opening[:, :2], crops.flip), self.opening[:, 2:]], 1)
        return AttributeLabels(
            pose=move_pose(self.pose, crops),
            gaze=move_gaze(self.gaze, crops.flip),
            opening=sides,
            expression=mirror_channels(self.expression, crops.flip),
            light=move_light(self.light, crops),
            weight=self.weight,
        )


@dataclass(frozen=True)
class AttributeBatch:
    """Crops with their points, the labels, and the trunk's map and code where it has been asked."""

    faces: FaceBatch
    labels: AttributeLabels
    known: tuple[Float[Tensor, "b c h w"], Float[Tensor, "b n"]] | None = None

    def __len__(self) -> int:
        return len(self.faces)

    @staticmethod
    def join(parts: list[AttributeBatch]) -> AttributeBatch:
        names = [entry.name for entry in dataclasses.fields(AttributeLabels)]
        labels = (torch.cat([getattr(part.labels, name) for part in parts]) for name in names)
        return AttributeBatch(FaceBatch.join([part.faces for part in parts]), AttributeLabels(*labels))


class AttributesRecipe:
    """See `facegraft.train.recipe.Recipe`."""

    input_names = ("crop",)
    output_names = ("pose", "gaze", "gaze_sigma", "opening", "expression", "light")
    dynamic_axes: Mapping[str, Mapping[int, str]] = {"crop": {0: "b"}}
    loss_names = frozenset({"pose", "gaze", "opening", "expression", "light", "places"})
    head: nn.Module | None = None

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.options = options = fill(AttributesData, config["data"], "data")
        self.device = device
        self.train, self.val = load_known(
            options.renders, options.real, cache=options.cache, val_share=options.val_share, trust=options.trust
        )
        names = str(open_dataset(Path(options.renders)).card.options.get("expression_names") or "").split() or NAMES
        self.labels, held = (
            [labels_of(known, names, options.real_weight) for known in part] for part in (self.train, self.val)
        )
        self.cutouts = load_cutouts(Path(options.occluders)) if options.occluders else ()
        jitter = dataclasses.replace(VAL_JITTER, size_px=options.crop.size_px, margin=options.crop.margin)
        self.held = []
        for known, labels in zip(self.val, held, strict=True):
            rows = torch.arange(min(options.val_images, len(known)))
            self.held.append(
                _placed(known, labels, rows, jitter, torch.Generator().manual_seed(0), torch.device("cpu"))
            )
        self.shut = shut_rows(self.train[0])
        self.repeated: Repeated[AttributeBatch] | None = None
        self.net: nn.Module = self.build(config.get("model", {})).to(device)
        for file, parts in ((options.start, ("",)), (options.start_windows, ("eye.", "mouth."))):
            if file:
                crops = self._new_batch(torch.Generator().manual_seed(0), options.start_crops).faces.crop
                warm_start(self.net, Path(file), crops, parts)
        if options.windows_only:
            train_only(self.net, ("places.", "unit.", "eye.", "mouth.", "gaze_seen.", "doing_seen."))

    @staticmethod
    def build(model: Mapping[str, Any]) -> Attributes:
        return Attributes(fill(AttributesConfig, model, "model"))

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        return (torch.rand(1, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0)),)

    def batch(self, generator: torch.Generator, count: int) -> AttributeBatch:
        if not (self.options.windows_only and self.options.repeated):
            return self._new_batch(generator, count)
        if self.repeated is None:
            self.repeated = Repeated(self.options.repeated, lambda own: self._coded(self._new_batch(own, count)))
        return self.repeated.draw(generator)

    def _coded(self, batch: AttributeBatch) -> AttributeBatch:
        """With what the trunk, which does not learn, says of it; crops in float16."""
        trunk = cast(Attributes, self.net).trunk.eval()
        with torch.no_grad():
            fine, code = trunk.fine_and_code(batch.faces.crop)
        faces = dataclasses.replace(batch.faces, crop=batch.faces.crop.half())
        return AttributeBatch(faces, batch.labels, (fine.half(), code))

    def _new_batch(self, generator: torch.Generator, count: int) -> AttributeBatch:
        options = self.options
        real = round(count * options.real_share) if len(self.train) > 1 else 0
        parts = []
        for known, labels, share in zip(self.train, self.labels, (count - real, real), strict=False):
            if share:
                shut = round(share * options.shut) if known.rendered and len(self.shut) else 0
                rows = drawn_rows(share - shut, len(known), generator)
                if shut:
                    rows = torch.cat([rows, self.shut[drawn_rows(shut, len(self.shut), generator)]])
                parts.append(_placed(known, labels, rows, options.crop, generator, self.device))
        made = AttributeBatch.join(parts)
        faces = made.faces
        if options.pasted > 0:
            faces = covered(faces, generator, options.pasted, self.cutouts)
        if options.worn:
            faces = dataclasses.replace(faces, crop=wear(faces.crop, Wear(COLOURS), generator))
        return AttributeBatch(faces, made.labels)

    def losses(self, net: nn.Module, batch: AttributeBatch) -> dict[str, Scalar]:
        attributes, labels = cast(Attributes, net), batch.labels
        if self.options.windows_only:
            attributes.trunk.eval()  # or its normalisations would follow each batch
        known = batch.known and (batch.known[0].float(), batch.known[1])
        read = attributes.read(batch.faces.crop.float(), known)
        apart = torch.remainder(read.pose.float() - labels.pose.nan_to_num() + 180, 360) - 180
        opening, expression, light = (
            getattr(read, name).float() - getattr(labels, name).nan_to_num()
            for name in ("opening", "expression", "light")
        )
        open_ = batch.faces.visible[:, -2:] * batch.faces.visible_weights[:, -2:]
        places, unit = places_of(batch.faces.points)
        found = torch.cat([read.places.float().flatten(1), read.unit.float()[:, None]], 1)
        return {
            "pose": _known_mean(_smooth(apart / 10), labels.pose, labels.weight),
            "gaze": laplace_nll(
                read.gaze.float().flatten(0, 1)[:, :, None],
                labels.gaze.nan_to_num().flatten(0, 1)[:, :, None],
                read.gaze_log_sigma.float().flatten(0, 1),
                (open_[..., None] * labels.gaze.isfinite()).flatten(0, 1),
            ),
            "opening": _known_mean(opening.abs(), labels.opening, labels.weight),
            "expression": _known_mean(
                expression.square() * (1 + RARE * labels.expression.nan_to_num()), labels.expression, labels.weight
            ),
            "light": _known_mean(light.abs(), labels.light, labels.weight),
            "places": _smooth((found - torch.cat([places.flatten(1), unit[:, None]], 1)) / PLACE).mean(),
        }

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Scores of held-out faces: mean errors.

        `pose_degrees` of yaw, pitch and roll together, and of each; `gaze_degrees`: angle between the gazes of eyes in
        view; `opening_error` and `expression_error`: mean absolute; `expression_active_error`: of weights above 0.3;
        `light_error`: mean absolute, where the mean light is 1. `real_` says the same of photographs against a teacher.
        """
        scores: dict[str, float] = {}
        for known, held in zip(self.val, self.held, strict=True):
            front = "" if known.rendered else "real_"
            scores |= {front + name: value for name, value in attribute_scores(held, self._read(net, held)).items()}
        return scores

    def preview(self, net: nn.Module) -> Frame:
        """Held-out crops: pose found | labelled | openings in %; dots: gaze found (red), labelled (blue)."""
        count = SHEET[0] * SHEET[1] // len(self.held)
        tiles: list[Frame] = []
        for held in self.held:
            pose, gaze, _, opening, *_ = self._read(net, held)
            frames = frames_from_unit(held.faces.crop[:count])
            for row, frame in enumerate(frames):
                label = held.labels
                words = [_figures(pose[row]), _figures(label.pose[row]), _figures(opening[row] * 100)]
                tile = _with_gaze(enlarged(frame, TILE_PX), held.faces.points[row], gaze[row], label.gaze[row])
                tiles.append(with_text(tile, " | ".join(words), WHITE))
        return sheet([tiles[at : at + SHEET[1]] for at in range(0, len(tiles), SHEET[1])], TILE_PX)

    def _read(self, net: nn.Module, held: AttributeBatch) -> tuple[Tensor, ...]:
        """The network's outputs on the CPU."""
        parts = [net(crop.to(self.device)) for crop in held.faces.crop.split(64)]
        return tuple(torch.cat(some).detach().float().cpu() for some in zip(*parts, strict=True))


RECIPE = AttributesRecipe


def labels_of(known: Known, names: list[str] | tuple[str, ...], real_weight: float | int) -> AttributeLabels:
    """What is known of faces. Of photographs: yaw and roll (a teacher's zero of pitch differs), and openings."""
    arrays, count = known.pictures.arrays, len(known)
    opening = openings(levelled(known.dense) if known.rendered else known.dense)
    if not known.rendered:
        pose = arrays["pose_degrees"].clone()
        pose[:, 1] = torch.nan
        nothing = torch.nan
        return AttributeLabels(
            pose=pose,
            gaze=torch.full((count, 2, 2), nothing),
            opening=opening,
            expression=torch.full((count, len(CHANNELS)), nothing),
            light=torch.full((count, 9, 3), nothing),
            weight=torch.full((count,), float(real_weight)),
        )
    light = arrays["light"]
    return AttributeLabels(
        pose=in_picture(arrays["pose_degrees"], arrays["camera"]),
        gaze=arrays["gaze_degrees"].flip(1),  # renders count the person's own left first
        opening=opening,
        expression=channels_of(arrays["expression"], names),
        light=light / light[:, :1].mean(2, keepdim=True).clamp(min=1e-3),
        weight=torch.ones(count),
    )


def places_of(points: Float[Tensor, "b 538 3"]) -> tuple[Float[Tensor, "b 3 2"], Float[Tensor, "b"]]:
    """Middles of eyes and mouth, and the distance of the outer eye corners in space, in the points' unit."""
    middles = [points[:, list(ends), :2].mean(1) for ends in (*EYE_CORNERS, MOUTH_ENDS)]
    return torch.stack(middles, 1), outer_eye_distance(points)


def attribute_scores(held: AttributeBatch, read: tuple[Tensor, ...]) -> dict[str, float]:
    """Scores of one dataset's faces; see `AttributesRecipe.validate`. What is not known is left out."""
    pose, gaze, _, opening, expression, light = read
    labels = held.labels
    apart = (torch.remainder(pose - labels.pose + 180, 360) - 180).abs()
    open_ = (held.faces.visible[:, -2:] * held.faces.visible_weights[:, -2:]) > 0
    angle = torch.where(open_, angle_between(gaze, labels.gaze), torch.nan)
    active = torch.where(labels.expression > 0.3, (expression - labels.expression).abs(), torch.nan)
    found = {
        "pose_degrees": apart,
        "yaw_degrees": apart[:, 0],
        "pitch_degrees": apart[:, 1],
        "roll_degrees": apart[:, 2],
        "gaze_degrees": angle,
        "opening_error": (opening - labels.opening).abs(),
        "expression_error": (expression - labels.expression).abs(),
        "expression_active_error": active,
        "light_error": (light - labels.light).abs(),
    }
    return {name: float(error.nanmean()) for name, error in found.items() if error.isfinite().any()}


def angle_between(gaze: Float[Tensor, "*b 2"], other: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b"]:
    """Degrees between two directions given as yaw and pitch in degrees."""

    def direction(angles: Tensor) -> Tensor:
        yaw, pitch = torch.deg2rad(angles).unbind(-1)
        return torch.stack([pitch.cos() * yaw.sin(), pitch.sin(), pitch.cos() * yaw.cos()], -1)

    a, b = direction(gaze), direction(other)
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1)))


def _placed(
    known: Known,
    labels: AttributeLabels,
    rows: Tensor,
    options: CropOptions,
    generator: torch.Generator,
    device: torch.device,
) -> AttributeBatch:
    crops = draw_crops(known.dense[rows], options, generator)
    return AttributeBatch(face_batch(known, rows, crops, device), to_device(labels.rows(rows).moved(crops), device))


def _known_mean(errors: Float[Tensor, "b *n"], labels: Float[Tensor, "b *n"], weights: Float[Tensor, "b"]) -> Scalar:
    """Mean over what is known, that is, whose label is not NaN."""
    return weighted_mean(errors, weights.reshape(-1, *[1] * (errors.ndim - 1)) * labels.isfinite())


def _smooth(errors: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Quadratic to 1, linear beyond."""
    return F.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="none")


def _figures(values: Tensor) -> str:
    return " ".join("-" if value != value else f"{value:.0f}" for value in values.tolist())


def _with_gaze(frame: Frame, points: Tensor, gaze: Tensor, truth: Tensor) -> Frame:
    """Where the eyes look, as dots off the eyes' middles by the sine of the angles."""
    side = frame.shape[0]
    middles = torch.stack([points[list(ring), :2].mean(0) for ring in EYE_CENTRES]).numpy() * side
    for angles, colour in ((truth, BLUE), (gaze, RED)):
        away = np.sin(np.radians(angles.numpy())) * np.array([1.0, -1.0]) * 0.15 * side
        frame = with_points(frame, middles + away, colour, radius_px=4)
    return frame
