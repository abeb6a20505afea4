"""The recipe of the landmarks network: exact points of renders, a teacher's of photographs, crops without a face."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from facegraft.core.config import fill
from facegraft.core.types import Frame
from facegraft.faces.topology import LEFT_EYE, LIPS_INNER, LIPS_OUTER, RIGHT_EYE, head_pose, load_topology
from facegraft.frozen.landmarks import DENSE, IRISES, MARGIN, POINTS, SIZE_PX, SPARSE, Landmarks, LandmarksConfig
from facegraft.losses.points import laplace_nll, weighted_bce, wing
from facegraft.tensors import Scalar
from facegraft.train.eyes.again import Repeated
from facegraft.train.eyes.crops import CropOptions, draw_crops, drawn_rows, mirror_points, move_points
from facegraft.train.eyes.face_crops import (
    FaceBatch,
    covered,
    drawn_faces,
    face_batch,
    held_out,
    load_known,
    missing_crops,
    scene_crops,
)
from facegraft.train.eyes.face_points import Known, Trust, mean_and_directions, openings, outer_eye_distance
from facegraft.train.eyes.face_wear import Wear, load_cutouts, wear
from facegraft.train.eyes.pictures import load_backgrounds
from facegraft.train.eyes.pulls import pulled
from facegraft.train.eyes.warm_start import train_only, warm_start
from facegraft.train.preview import BLUE, GREEN, RED, enlarged, frames_from_unit, sheet, with_points
from facegraft.train.recipe import to_device

SHEET = (4, 4)
"""Rows of the preview and tiles in each."""
TILE_PX = 384
FIRST_FACES = 800
"""Crops that the first weights of the last layer are taken from."""
GAPS = (
    (160, 144), (159, 145), (158, 153), (385, 380), (386, 374), (387, 373), (13, 14), (82, 87), (312, 317), (81, 178),
    (311, 402),
)  # fmt: skip
"""Points of the mesh across eyes and mouth, upper ones first."""
GAP_WIDTH = 0.02
"""Errors of a gap below it are logarithmic; in crop sides."""
SHUT = 0.1
"""An opening below it is a shut eye's, as far as training draws more of them."""
QUITE_SHUT = 0.05
LID_MIDDLES = [159, 386]
"""Of the upper lids."""


@dataclass(frozen=True)
class LandmarksData:
    """What is trained on."""

    renders: str
    """A dataset of `facegraft synth`."""
    real: str = ""
    """A dataset of `facegraft ingest`; "" = none."""
    backgrounds: str = ""
    """A folder of pictures without faces; "" = negatives are only crops that miss a face."""
    occluders: str = ""
    """A folder with `hands`, `masks` or `things`; "" = what is pasted is drawn."""
    real_share: float = 0.3
    """Of the crops with a face."""
    real_weight: float = 1.0
    """Of a teacher's points against exact ones."""
    negative_share: float = 0.12
    """Crops without a face, or with one that is badly placed."""
    pasted: float = 0.25
    """Faces that something is pasted over."""
    worn: bool = True
    """Worsen crops as cameras and files do."""
    crop: CropOptions = field(default_factory=lambda: CropOptions(SIZE_PX, MARGIN))
    trust: Trust = field(default_factory=Trust)
    cache: int = 20_000
    """Pictures of each dataset that are kept in memory."""
    val_share: float = 0.05
    """Of the people, where a dataset has no split of its own."""
    val_images: int = 384
    """Of each dataset."""
    start: str = ""
    """An ONNX file of `facegraft export`, whose weights are trained on; "" = from nothing."""
    start_crops: int = 512
    """Crops that means and variances are measured on, for `start`."""
    windows_only: bool = False
    """Train nothing but what looks through windows; the first answer stays as it is."""
    repeated: int = 0
    """With `windows_only`: so many batches are made, and drawn again and again; 0 = every one is new."""
    shut: float = 0.0
    """Of the rendered crops, the share drawn among faces with a shut eye."""
    pulled: float = 0.0
    """Faces that are pulled about like rubber, see `train/eyes/pulls.py`."""


@dataclass(frozen=True)
class CodedBatch(FaceBatch):
    """Faces of which the trunk has been asked. Crops are kept in float16."""

    code: Float[Tensor, "b n"]


class LandmarksRecipe:
    """See `facegraft.train.recipe.Recipe`."""

    input_names = ("crop",)
    output_names = ("points", "sigma", "visible", "presence")
    dynamic_axes: Mapping[str, Mapping[int, str]] = {"crop": {0: "b"}}
    loss_names = frozenset({"points", "first", "gaps", "likelihood", "depth", "visible", "presence"})
    head: nn.Module | None = None

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.options = options = fill(LandmarksData, config["data"], "data")
        self.device = device
        self.train, self.val = load_known(
            options.renders,
            options.real,
            cache=options.cache,
            val_share=options.val_share,
            trust=options.trust,
            real_weight=options.real_weight,
        )
        self.cutouts = load_cutouts(Path(options.occluders)) if options.occluders else ()
        side = self.train[0].pictures.size_px
        self.tiles = load_backgrounds(Path(options.backgrounds), size_px=side) if options.backgrounds else None
        self.importance = importance().to(device)
        self.held = [held_out(known, options.val_images, options.crop) for known in self.val]
        self.held_pulled = [pulled(held, 1, torch.Generator().manual_seed(0)) for held in self.held]
        self.missed = self._negatives(self.val[0], 64, torch.Generator().manual_seed(0))
        net = self.build(config.get("model", {}))
        net.start_at(*first_shape(self.train[0], options.crop, net.config.directions))
        self.net: nn.Module = net.to(device)
        self.shut = shut_rows(self.train[0])
        self.repeated: Repeated[FaceBatch] | None = None
        if options.start:
            crops = self._new_batch(torch.Generator().manual_seed(0), options.start_crops).crop
            warm_start(self.net, Path(options.start), crops)
        if options.windows_only:
            train_only(net, ("eye.", "mouth.", "move_"))

    @staticmethod
    def build(model: Mapping[str, Any]) -> Landmarks:
        return Landmarks(fill(LandmarksConfig, model, "model"))

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        return (torch.rand(1, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0)),)

    def batch(self, generator: torch.Generator, count: int) -> FaceBatch:
        if not (self.options.windows_only and self.options.repeated):
            return self._new_batch(generator, count)
        if self.repeated is None:
            self.repeated = Repeated(self.options.repeated, lambda own: self._coded(self._new_batch(own, count)))
        return self.repeated.draw(generator)

    def _coded(self, batch: FaceBatch) -> CodedBatch:
        """With what the trunk, which does not learn, says of it."""
        trunk = cast(Landmarks, self.net).trunk.eval()
        with torch.no_grad():
            code = trunk(batch.crop)
        kept = {entry.name: getattr(batch, entry.name) for entry in dataclasses.fields(FaceBatch)}
        return CodedBatch(**kept | {"crop": batch.crop.half()}, code=code)

    def _new_batch(self, generator: torch.Generator, count: int) -> FaceBatch:
        options = self.options
        missed = round(count * options.negative_share)
        real = round((count - missed) * options.real_share) if len(self.train) > 1 else 0
        parts = []
        for known, share in zip(self.train, (count - missed - real, real), strict=False):
            shut = round(share * options.shut) if known.rendered and len(self.shut) else 0
            if shut:
                rows = self.shut[drawn_rows(shut, len(self.shut), generator)]
                crops = draw_crops(known.dense[rows], options.crop, generator)
                parts.append(face_batch(known, rows, crops, self.device))
            if share > shut:
                parts.append(drawn_faces(known, share - shut, options.crop, generator, self.device))
        if missed:
            parts.append(to_device(self._negatives(self.train[0], missed, generator), self.device))
        made = pulled(FaceBatch.join(parts), options.pulled, generator)
        if options.pasted > 0:
            made = covered(made, generator, options.pasted, self.cutouts)
        return dataclasses.replace(made, crop=wear(made.crop, Wear(), generator)) if options.worn else made

    def losses(self, net: nn.Module, batch: FaceBatch) -> dict[str, Scalar]:
        landmarks = cast(Landmarks, net)
        if self.options.windows_only:
            landmarks.trunk.eval()  # or its normalisations would follow each batch
        told = landmarks.tell(batch.crop.float(), batch.code if isinstance(batch, CodedBatch) else None)
        points, log_sigma = told.points.float(), told.log_sigma.float()
        weights = batch.weights * self.importance
        flat, truth = points[..., :2], batch.points[..., :2]
        seen = landmarks.seen
        upper, lower = (list(points) for points in zip(*GAPS, strict=True))
        return {
            "points": wing(flat, truth, weights),
            "first": wing(told.first.float()[:, seen, :2], truth[:, seen], weights[:, seen]),
            "gaps": wing(
                flat[:, upper] - flat[:, lower],
                truth[:, upper] - truth[:, lower],
                torch.minimum(batch.weights[:, upper], batch.weights[:, lower]),
                width=GAP_WIDTH,
                bend=GAP_WIDTH / 5,
            ),
            "likelihood": laplace_nll(flat, truth, log_sigma, weights),
            "depth": wing(points[..., 2:], batch.points[..., 2:], weights),
            "visible": weighted_bce(told.visible.float(), batch.visible, batch.visible_weights),
            "presence": weighted_bce(told.presence.float(), batch.presence, torch.ones_like(batch.presence)),
        }

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Scores of held-out faces.

        Errors are mean distances in % of the distance of the outer eye corners in space: `error_percent` of the mesh
        (and of each stratum), `error68_percent`, `iris_percent` of irises in view. `pose_degrees`: mean error of yaw,
        pitch and roll, from the points. `visible_accuracy` and `presence_accuracy` are shares. `sigma_ratio` is 1 where
        sigma is right, more where the network is too sure. `follows` is the share of pulls at the lips that is seen.
        `real_` says the same of photographs, whose right answers are a teacher's.
        """
        presence = [self._told(net, self.missed.crop)[3] < 0.5]
        scores: dict[str, float] = {}
        for known, held, moved in zip(self.val, self.held, self.held_pulled, strict=True):
            points, sigma, visible, found = self._told(net, held.crop)
            front = "" if known.rendered else "real_"
            scores |= {front + name: value for name, value in point_scores(held, points, sigma, visible).items()}
            presence.append(found >= 0.5)
            scores |= stratum_scores(held, points, known.strata()) if known.rendered else {}
            scores[f"{front}follows"] = seen_of_pulls(held, moved, points, self._told(net, moved.crop)[0])
        return scores | {"presence_accuracy": float(torch.cat(presence).float().mean())}

    def preview(self, net: nn.Module) -> Frame:
        """Held-out crops with the mesh (green), the 68 (blue) and irises (red)."""
        rows, across = SHEET
        crop = torch.cat([held.crop[: rows * across // len(self.held)] for held in self.held])
        tiles = []
        for frame, points in zip(frames_from_unit(crop), self._told(net, crop)[0].numpy(), strict=True):
            at = points[:, :2] * TILE_PX
            tile = with_points(enlarged(frame, TILE_PX), at[:DENSE], GREEN, radius_px=0.9)
            tile = with_points(tile, at[DENSE : DENSE + SPARSE], BLUE, radius_px=2)
            tiles.append(with_points(tile, at[-IRISES:], RED, radius_px=3))
        return sheet([tiles[at : at + across] for at in range(0, len(tiles), across)], TILE_PX)

    def _told(self, net: nn.Module, crop: Float[Tensor, "b 3 s s"]) -> tuple[Tensor, ...]:
        """The network's outputs on the CPU."""
        parts = [net(some.to(self.device)) for some in crop.split(64)]
        return tuple(torch.cat(some).detach().float().cpu() for some in zip(*parts, strict=True))

    def _negatives(self, known: Known, count: int, generator: torch.Generator) -> FaceBatch:
        if self.tiles is None or count < 2:
            return missing_crops(known, count, self.options.crop, generator)
        scenes = scene_crops(self.tiles, count // 2, self.options.crop.size_px, generator)
        return FaceBatch.join([scenes, missing_crops(known, count - count // 2, self.options.crop, generator)])


RECIPE = LandmarksRecipe


def importance() -> Float[Tensor, "538"]:
    """Weights of the points: eyes and lips say what a face does, the 68 and the irises are few; mean 1."""
    weights = torch.ones(POINTS)
    weights[[*LEFT_EYE, *RIGHT_EYE, *LIPS_INNER, *LIPS_OUTER]] = 2
    weights[DENSE : DENSE + SPARSE] = 3
    weights[-IRISES:] = 10
    return weights / weights.mean()


def first_shape(
    known: Known, options: CropOptions, count: int
) -> tuple[Float[Tensor, "538 3"], Float[Tensor, "r 538 3"]]:
    """Mean and principal directions of the points of random crops, in crop sides."""
    generator = torch.Generator().manual_seed(0)
    rows = drawn_rows(FIRST_FACES, len(known), generator)
    crops = draw_crops(known.dense[rows], options, generator)
    points = mirror_points(move_points(known.points[rows], crops.matrix), crops.flip)
    return mean_and_directions(points / crops.size_px, known.weights[rows], count)


def shut_rows(known: Known) -> Int64[Tensor, "n"]:
    """Faces of which at least one eye is shut."""
    return (openings(levelled(known.dense))[:, :2].amin(1) < SHUT).nonzero()[:, 0]


def levelled(dense: Float[Tensor, "b k 3"]) -> Float[Tensor, "b k 3"]:
    """With the two points of each gap at one depth: that of rendered faces is the mean face's, whose lids are apart."""
    upper, lower = (list(points) for points in zip(*GAPS, strict=True))
    level = dense.clone()
    level[:, upper, 2] = level[:, lower, 2] = (dense[:, upper, 2] + dense[:, lower, 2]) / 2
    return level


def point_scores(
    held: FaceBatch, points: Float[Tensor, "b 538 3"], sigma: Float[Tensor, "b 538"], visible: Float[Tensor, "b 538"]
) -> dict[str, float]:
    """Scores of one dataset's faces; see `LandmarksRecipe.validate`."""
    distance = (points - held.points)[..., :2].norm(dim=-1)
    percent = 100 * distance / outer_eye_distance(held.points)[:, None]
    iris = held.visible[:, -IRISES:] * held.weights[:, -IRISES:]
    scores = {
        "error_percent": float(percent[:, :DENSE].mean()),
        "error68_percent": float(percent[:, DENSE : DENSE + SPARSE].mean()),
        "visible_accuracy": _mean_where((visible >= 0.5) == (held.visible >= 0.5), held.visible_weights),
        "sigma_ratio": _mean_where((distance / sigma).square() / 2, (held.weights > 0).float()) ** 0.5,
        "pose_degrees": pose_error(points[:, :DENSE], held.points[:, :DENSE]),
        "lips_percent": float(percent[:, [*LIPS_INNER, *LIPS_OUTER]].mean()),
        "lids_percent": float(percent[:, [*LEFT_EYE, *RIGHT_EYE]].mean()),
    }
    truth = openings(levelled(held.points[:, :DENSE]))[:, :2]
    shut = (truth < QUITE_SHUT) & (held.visible[:, LID_MIDDLES] > 0)
    if shut.any():
        scores["shut_opening"] = float(openings(levelled(points[:, :DENSE]))[:, :2][shut].mean())
    return scores | ({"iris_percent": _mean_where(percent[:, -IRISES:], iris)} if iris.sum() > 0 else {})


def seen_of_pulls(
    held: FaceBatch, moved: FaceBatch, points: Float[Tensor, "b 538 3"], after: Float[Tensor, "b 538 3"]
) -> float:
    """Of how far faces' lips were pulled, the share by which the points found of them moved; 1 = all."""
    told, true = ((b - a)[:, LIPS_OUTER, :2] for a, b in ((points, after), (held.points, moved.points)))
    return float((told * true).sum() / true.square().sum())


def stratum_scores(held: FaceBatch, points: Float[Tensor, "b 538 3"], strata: list[str]) -> dict[str, float]:
    """Mean error of the mesh in each stratum."""
    distance = (points - held.points)[:, :DENSE, :2].norm(dim=-1).mean(1)
    percent = 100 * distance / outer_eye_distance(held.points)
    groups: dict[str, list[float]] = {}
    for name, error in zip(strata, percent.tolist(), strict=False):
        groups.setdefault(name, []).append(error)
    return {f"error_percent_{name}": sum(errors) / len(errors) for name, errors in sorted(groups.items())}


def pose_error(points: Float[Tensor, "b 468 3"], truth: Float[Tensor, "b 468 3"]) -> float:
    """Mean difference in degrees of yaw, pitch and roll, both from the rigid fit of the mean face."""
    topology = load_topology()
    found = torch.tensor([head_pose(topology, one).tolist() for one in points.numpy()])
    wanted = torch.tensor([head_pose(topology, one).tolist() for one in truth.numpy()])
    apart = torch.remainder(found - wanted + 180, 360) - 180
    return float(apart.abs().mean())


def _mean_where(values: Tensor, weights: Tensor) -> float:
    return float((values.float() * weights).sum() / weights.sum().clamp(min=1e-9))
