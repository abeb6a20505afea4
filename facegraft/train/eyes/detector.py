"""Recipe of the detector: scenes made up on the fly, task-aligned assignment, scores on held-out scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from facegraft.core.config import fill
from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame
from facegraft.data.sheet import tiled
from facegraft.frozen.detector import STEP_PX, Detector, DetectorConfig
from facegraft.losses.boxes import assign, distance_overlap_loss, inside, point_loss, quality_focal
from facegraft.tensors import Scalar
from facegraft.train.eyes.findings import (
    Found,
    Judged,
    average_precision,
    judge,
    point_errors,
    select,
    threshold_for,
)
from facegraft.train.eyes.heads import PhotographedHeads, RenderedHeads, free_files, read_free
from facegraft.train.eyes.scenes import Ground, Scene, SceneConfig, compose
from facegraft.train.recipe import to_device

EXAMPLE_PX = 320
FALSE_FACES = 1 / 200
"""Per picture without faces: where recall is read off."""
VAL_PX = 320
SMALL_PX, LARGE_PX = 32, 96
"""Longer sides of faces between which they are of middle size."""
UPRIGHT_DEGREES, TURNED_DEGREES = 30, 90
PREVIEWS = 24
PREVIEW_SCORE = 0.4


@dataclass(frozen=True)
class DetectorData:
    """`[data]`; paths start at the working folder, "" = none."""

    free: tuple[str, ...]
    """Folders of pictures without faces: backgrounds, and what false faces are counted on."""
    renders: str = ""
    """Dataset of `facegraft synth`, with regions and dense points."""
    real: str = ""
    """Folder of photographs."""
    real_boxes: str = ""
    """List of their faces, made by `tools/teacher_boxes.py`."""
    real_share: float = 0.4
    """How many heads are photographed, beside `scenes.portrait`."""
    distractors: tuple[str, ...] = ()
    """Folders of small things that are no faces, such as hands."""
    render_px: int = 192
    """Renders are held at this size."""
    cache: int = 20_000
    """Renders held at most."""
    cache_folder: str = "data/cache"
    """Where decoded renders lie between runs."""
    sizes_px: tuple[int, ...] = (256, 256, 256, 256, 384, 512)
    """Sides of scenes, one drawn per batch."""
    threads: int = 2
    """That make scenes."""
    val_scenes: int = 96
    """Held-out scenes with faces, and as many without."""
    scenes: SceneConfig = field(default_factory=SceneConfig)

    def __post_init__(self) -> None:
        if not self.sizes_px or any(size < STEP_PX or size % STEP_PX for size in self.sizes_px):
            raise ValueError(f"sizes_px: expected multiples of {STEP_PX}, found {list(self.sizes_px)}")
        if not 0 <= self.real_share <= 1 or min(self.threads, self.val_scenes, self.cache) < 1:
            raise ValueError("expected real_share in 0..1, and threads, val_scenes and cache of 1 or more")
        if bool(self.real) != bool(self.real_boxes) or not (self.real or self.renders):
            raise ValueError("expected renders, or real with real_boxes, or all three")


@dataclass(frozen=True)
class DetectorBatch:
    """Scenes as tensors; rows of faces beyond a scene's own are zeros.

    Attributes:
        image: RGB 0..255.
        boxes: Pixels.
        points: Pixels.
        real: Which rows are faces.
        ignored: Boxes where nothing counts; zeros hold no place.
    """

    image: UInt8[Tensor, "b 3 h w"]
    boxes: Float[Tensor, "b m 4"]
    points: Float[Tensor, "b m 5 2"]
    real: Bool[Tensor, "b m"]
    ignored: Float[Tensor, "b i 4"]


class DetectorRecipe:
    """See `train/recipe.py`."""

    input_names = ("image",)
    output_names = ("boxes", "scores", "points")
    dynamic_axes: Mapping[str, Mapping[int, str]] = {"image": {0: "b", 2: "h", 3: "w"}}

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self._data = fill(DetectorData, config.get("data", {}), "data")
        self._device = device
        self._net = self.build(config.get("model", {})).to(device)
        self._ground = open_ground(self._data, "train")
        self._pool = ThreadPoolExecutor(self._data.threads)
        held = open_ground(self._data, "val")
        self._held = held_scenes(held, self._data, empty=False)
        self._free = held_scenes(held, self._data, empty=True)

    @staticmethod
    def build(model: Mapping[str, Any]) -> nn.Module:
        return Detector(fill(DetectorConfig, model, "model"))

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        return (torch.rand((1, 3, EXAMPLE_PX, EXAMPLE_PX), generator=torch.Generator().manual_seed(0)),)

    @property
    def net(self) -> nn.Module:
        return self._net

    @property
    def head(self) -> nn.Module | None:
        return None

    @property
    def loss_names(self) -> frozenset[str]:
        return frozenset({"score", "box", "points"})

    def batch(self, generator: torch.Generator, count: int) -> DetectorBatch:
        """Scenes of one size; each is a function of its own seed, so threads change nothing."""
        sizes = self._data.sizes_px
        side = sizes[int(torch.randint(len(sizes), (), generator=generator))]
        seeds = torch.randint(2**62, (count,), generator=generator).tolist()

        def make(seed: int) -> Scene:
            return compose(self._ground, self._data.scenes, side, np.random.default_rng(seed))

        return to_device(gathered(list(self._pool.map(make, seeds))), self._device)

    def losses(self, net: nn.Module, batch: DetectorBatch) -> dict[str, Scalar]:
        return detector_losses(_detector(net), batch)

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Shares 0..1 but for the false faces; all higher is better but those and `point_error_share`."""
        told = [judge(find(net, scene.frame, self._device), scene.boxes, scene.ignored) for scene in self._held]
        free = [find(net, scene.frame, self._device).scores for scene in self._free]
        scores = {"average_precision": average_precision(told)}
        allowed = max(1, round(FALSE_FACES * len(free)))
        threshold = threshold_for(free, allowed)
        scores |= recalls(self._held, told, threshold)
        scores["threshold"] = threshold
        scores["false_faces_per_100_at_half"] = 100 * float(np.mean([(found >= 0.5).sum() for found in free]))
        return scores | {"point_error_share": self._point_error(net)}

    def _point_error(self, net: nn.Module) -> float:
        """Mean distance of the five points of faces that are found, in shares of the box's longer side."""
        errors = []
        for scene in self._held[:48]:
            found = find(net, scene.frame, self._device)
            rows = judge(found, scene.boxes, scene.ignored).finding
            seen = rows >= 0
            errors.append(point_errors(found.points[rows[seen]], scene.points[seen], scene.boxes[seen]))
        every = np.concatenate(errors)
        return float(every.mean()) if len(every) else float("nan")

    def preview(self, net: nn.Module) -> Frame:
        """Held-out scenes: truth in white, ignored faces in grey, findings in green, points in red."""
        shown = [*self._held[: PREVIEWS - 6], *self._free[:6]]
        frames = [drawn(scene, find(net, scene.frame, self._device)) for scene in shown]
        return tiled([frames[first : first + 6] for first in range(0, len(frames), 6)], VAL_PX)


RECIPE = DetectorRecipe


def open_ground(data: DetectorData, split: str) -> Ground:
    """What scenes of a split, "train" or "val", are made of.

    Raises:
        BadInputError: A path of `[data]` cannot be used.
    """
    rendered = photographed = None
    if data.renders:
        cache = Path(data.cache_folder)
        rendered = RenderedHeads(Path(data.renders), split, data.render_px, cache, data.cache)
    if data.real:
        photographed = PhotographedHeads(Path(data.real), Path(data.real_boxes), split)
    free = read_free(free_files([Path(folder) for folder in data.free], split))
    things = [Path(folder) for folder in data.distractors]
    distractors = read_free(free_files(things, split)) if things else []
    return Ground(rendered, photographed, data.real_share if rendered else 1.0, free, distractors)


def held_scenes(ground: Ground, data: DetectorData, *, empty: bool) -> list[Scene]:
    """Scenes for validation, the same each time."""
    chance = {"empty": 1.0} if empty else {"empty": 0.0}
    config = fill(SceneConfig, {**_plain(data.scenes), **chance}, "data.scenes")
    seeds = range(data.val_scenes)
    return [compose(ground, config, VAL_PX, np.random.default_rng([int(empty), seed])) for seed in seeds]


def _plain(config: SceneConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def gathered(scenes: Sequence[Scene]) -> DetectorBatch:
    """Scenes of one size as a batch on the CPU."""
    faces = max(1, *(len(scene.boxes) for scene in scenes), 1)
    hidden = max(1, *(len(scene.ignored) for scene in scenes), 1)
    boxes, points = np.zeros((len(scenes), faces, 4), np.float32), np.zeros((len(scenes), faces, 5, 2), np.float32)
    real, ignored = np.zeros((len(scenes), faces), bool), np.zeros((len(scenes), hidden, 4), np.float32)
    for row, scene in enumerate(scenes):
        boxes[row, : len(scene.boxes)], points[row, : len(scene.boxes)] = scene.boxes, scene.points
        real[row, : len(scene.boxes)], ignored[row, : len(scene.ignored)] = True, scene.ignored
    frames = np.ascontiguousarray(np.stack([scene.frame for scene in scenes]).transpose(0, 3, 1, 2))
    arrays = (frames, boxes, points, real, ignored)
    return DetectorBatch(*(torch.from_numpy(array) for array in arrays))


def detector_losses(net: Detector, batch: DetectorBatch) -> dict[str, Scalar]:
    """Score, box and points; each a sum over places, divided by the summed quality that the places should have."""
    places = net.places(batch.image.float() / 255)
    boxes = places.boxes
    given = assign(places.logits.sigmoid(), boxes, places.centres, batch.boxes, batch.real)
    whole = given.quality.sum().clamp(min=1)
    idle = inside(places.centres, batch.ignored).any(-1) & ~given.taken
    score = (quality_focal(places.logits, given.quality) * ~idle).sum() / whole
    rows = given.taken
    weight = given.quality[rows]
    truth = batch.boxes.gather(1, given.face[..., None].expand(-1, -1, 4))[rows]
    five = batch.points.flatten(2).gather(1, given.face[..., None].expand(-1, -1, 10))[rows].unflatten(-1, (5, 2))
    side = (truth[:, 2:] - truth[:, :2]).amax(1)
    box = (distance_overlap_loss(boxes[rows], truth) * weight).sum() / whole
    points = (point_loss(places.points[rows], five, side) * weight).sum() / whole
    return {"score": score, "box": box, "points": points}


@torch.no_grad()
def find(net: nn.Module, frame: Frame, device: torch.device) -> Found:
    """Faces of one frame; its sides need no multiples, it is padded with black at the right and at the bottom."""
    height, width = frame.shape[:2]
    padded = np.pad(frame, ((0, -height % STEP_PX), (0, -width % STEP_PX), (0, 0)))
    image = torch.from_numpy(padded.transpose(2, 0, 1)[None].astype(np.float32) / 255).to(device)
    boxes, scores, points = (array[0].float().cpu().numpy() for array in net(image))
    return select(boxes, scores, points)


def recalls(scenes: Sequence[Scene], judged: Sequence[Judged], threshold: float) -> dict[str, float]:
    """Share of faces found at a threshold: all, by size, by roll; a group without faces is left out."""
    boxes = np.concatenate([scene.boxes for scene in scenes])
    side = (boxes[:, 2:] - boxes[:, :2]).max(1)
    roll = np.abs(np.concatenate([scene.roll_degrees for scene in scenes]))
    hit = np.concatenate([one.found_at for one in judged]) >= max(threshold, 1e-6)
    groups = {
        "recall": np.ones(len(side), bool),
        "recall_small": side < SMALL_PX,
        "recall_middle": (side >= SMALL_PX) & (side < LARGE_PX),
        "recall_large": side >= LARGE_PX,
        "recall_upright": roll < UPRIGHT_DEGREES,
        "recall_turned": (roll >= UPRIGHT_DEGREES) & (roll < TURNED_DEGREES),
        "recall_upside_down": roll >= TURNED_DEGREES,
    }
    return {name: float(hit[rows].mean()) for name, rows in groups.items() if rows.any()}


def drawn(scene: Scene, found: Found) -> Frame:
    """A scene with boxes and points drawn in."""
    frame = scene.frame.copy()
    for boxes, colour in ((scene.ignored, (128, 128, 128)), (scene.boxes, (255, 255, 255))):
        for box in boxes:
            _rectangle(frame, box, colour)
    for box, score, points in zip(found.boxes, found.scores, found.points, strict=True):
        if score >= PREVIEW_SCORE:
            _rectangle(frame, box, (0, 255, 0))
            for x, y in points:
                cv2.circle(frame, (int(x), int(y)), 1, (255, 0, 0), -1)
    return frame


def _rectangle(frame: Frame, box: np.ndarray, colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = np.rint(np.clip(box, -4096, 4096)).astype(int).tolist()
    cv2.rectangle(frame, (left, top), (right, bottom), colour, 1)


def _detector(net: nn.Module) -> Detector:
    if not isinstance(net, Detector):
        raise BadInputError(f"expected a detector, found {type(net).__name__}; check `network` in the config")
    return net
