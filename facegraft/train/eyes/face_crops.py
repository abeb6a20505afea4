"""Batches of face crops with their 538 points, and of crops that show no face or miss it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from facegraft.data.cutouts import Cutout
from facegraft.data.dataset import open_dataset
from facegraft.frozen.landmarks import DENSE, POINTS, SPARSE
from facegraft.train.eyes.crops import (
    CropOptions,
    Crops,
    cut,
    draw_crops,
    drawn_rows,
    mirror_points,
    move_points,
    place_crops,
    seen_at,
)
from facegraft.train.eyes.face_points import (
    PHOTO_ARRAYS,
    PHOTO_PLANES,
    RENDER_ARRAYS,
    RENDER_PLANES,
    Known,
    Trust,
    known_of_photos,
    known_of_renders,
    mixture68,
)
from facegraft.train.eyes.face_wear import paste_occluders
from facegraft.train.eyes.pictures import load_pictures, loading_bar, train_and_val

OUTSIDE_WEIGHT = 0.3
"""Factor on the weight of points outside the crop."""
FACES_FOR_68 = 1000
VAL_JITTER = CropOptions(shift=0.05, scale=(0.9, 1.1), roll_degrees=6.0, wild_share=0.0, flip=0.0)
"""Held-out crops miss the face by as much as a detector does."""


@dataclass(frozen=True)
class FaceBatch:
    """Crops RGB 0..1 and what is known of them; points in crop sides, weights 0 = not known."""

    crop: Float[Tensor, "b 3 s s"]
    points: Float[Tensor, "b 538 3"]
    weights: Float[Tensor, "b 538"]
    visible: Float[Tensor, "b 538"]
    visible_weights: Float[Tensor, "b 538"]
    presence: Float[Tensor, "b"]

    def __len__(self) -> int:
        return len(self.presence)

    def part(self, rows: slice) -> FaceBatch:
        """Some rows."""
        return FaceBatch(*(getattr(self, entry.name)[rows] for entry in dataclasses.fields(self)))

    @staticmethod
    def join(parts: Sequence[FaceBatch]) -> FaceBatch:
        """One batch of several."""
        names = [entry.name for entry in dataclasses.fields(FaceBatch)]
        return FaceBatch(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def load_known(
    renders: str, real: str, *, cache: int, val_share: float | int, trust: Trust, real_weight: float | int = 1.0
) -> tuple[list[Known], list[Known]]:
    """Rendered faces, and photographed ones where `real` names a dataset: to learn from, and held out.

    Raises:
        BadInputError: A dataset is missing, damaged, or without the labels needed.
    """
    known: tuple[list[Known], list[Known]] = ([], [])
    for part, dataset in zip(known, train_and_val(open_dataset(Path(renders)), val_share=val_share), strict=True):
        with loading_bar("renders") as bar:
            pictures = load_pictures(dataset, planes=RENDER_PLANES, arrays=RENDER_ARRAYS, cache=cache, progress=bar)
        part.append(known_of_renders(pictures))
    if not real:
        return known
    first = known[0][0].points[:FACES_FOR_68]
    to68 = mixture68(first[:, :DENSE], first[:, DENSE : DENSE + SPARSE])
    for part, dataset in zip(known, train_and_val(open_dataset(Path(real)), val_share=val_share), strict=True):
        with loading_bar("photographs") as bar:
            pictures = load_pictures(dataset, planes=PHOTO_PLANES, arrays=PHOTO_ARRAYS, cache=cache, progress=bar)
        part.append(known_of_photos(pictures, to68, trust, real_weight))
    return known


def face_batch(known: Known, rows: Tensor, crops: Crops, device: torch.device) -> FaceBatch:
    """Crops of some faces on a device, with their points."""
    size = crops.size_px
    images = cut(known.pictures.images[rows].to(device), crops.matrix.to(device), size)
    points = mirror_points(move_points(known.points[rows], crops.matrix), crops.flip) / size
    labels = (known.weights, known.visible, known.visible_weights)
    weights, visible, told = (mirror_points(values[rows], crops.flip) for values in labels)
    inside = ((points[..., :2] >= 0) & (points[..., :2] < 1)).all(-1)
    visible, told = visible * inside, torch.where(inside, told, (told > 0).float())
    weights = weights * torch.where(inside, 1.0, OUTSIDE_WEIGHT)
    moved = (part.to(device) for part in (points, weights, visible, told, torch.ones(len(rows))))
    return FaceBatch(images, *moved)


def drawn_faces(
    known: Known, count: int, options: CropOptions, generator: torch.Generator, device: torch.device
) -> FaceBatch:
    """Random crops of random faces."""
    rows = drawn_rows(count, len(known), generator)
    return face_batch(known, rows, draw_crops(known.dense[rows], options, generator), device)


def held_out(known: Known, most: int, options: CropOptions) -> FaceBatch:
    """Crops of the first faces, always the same, on the CPU."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(min(most, len(known)))
    jitter = dataclasses.replace(VAL_JITTER, size_px=options.size_px, margin=options.margin)
    return face_batch(known, rows, draw_crops(known.dense[rows], jitter, generator), torch.device("cpu"))


def covered(
    batch: FaceBatch, generator: torch.Generator, share: float | int, cutouts: Sequence[Cutout] = ()
) -> FaceBatch:
    """The batch with things pasted before a share of the faces; points behind them are no longer seen."""
    size = batch.crop.shape[-1]
    landmarks = batch.points[:, DENSE : DENSE + SPARSE, :2] * size
    landmarks = torch.where(batch.presence[:, None, None] > 0, landmarks, torch.nan)
    pasted = paste_occluders(batch.crop, landmarks, generator, share=share, cutouts=cutouts)
    hidden = seen_at(pasted.alpha, batch.points * size) >= 0.5
    visible = torch.where(hidden, 0.0, batch.visible)
    told = torch.where(hidden & (batch.presence[:, None] > 0), 1.0, batch.visible_weights)
    return dataclasses.replace(batch, crop=pasted.images, visible=visible, visible_weights=told)


def no_faces(crop: Float[Tensor, "b 3 s s"]) -> FaceBatch:
    """Crops without a face, or with one that is not where it should be."""
    count = len(crop)
    blank = crop.new_zeros(count, POINTS)
    return FaceBatch(crop, crop.new_zeros(count, POINTS, 3), blank, blank, blank, crop.new_zeros(count))


def missing_crops(known: Known, count: int, options: CropOptions, generator: torch.Generator) -> FaceBatch:
    """Crops that miss the face: beside it, far too large, far too small, or upside down, a quarter each."""
    rows = drawn_rows(count, len(known), generator)
    u = torch.rand((7, count), generator=generator)
    kind = (u[0] * 4).long()
    away, angle = 0.6 + 0.5 * u[1], 2 * torch.pi * u[2]
    beside = torch.stack([away * angle.cos(), away * angle.sin()], 1)
    near = (2 * torch.stack([u[3], u[4]], 1) - 1) * options.shift
    scale = torch.where(kind == 1, 2.4 + 2 * u[5], torch.where(kind == 2, 0.15 + 0.2 * u[5], 0.8 + 0.5 * u[5]))
    turn = torch.where(kind == 3, 110 + 140 * u[6], (2 * u[6] - 1) * options.roll_degrees)
    shift = torch.where((kind == 0)[:, None], beside, near)
    flip = u[1] < options.flip
    crops = place_crops(known.dense[rows], options, shift=shift, scale=scale, turn_degrees=turn, flip=flip)
    return no_faces(cut(known.pictures.images[rows], crops.matrix, crops.size_px))


def scene_crops(tiles: UInt8[Tensor, "m 3 s s"], count: int, size_px: int, generator: torch.Generator) -> FaceBatch:
    """Random squares of pictures without faces, turned as they may be."""
    rows = drawn_rows(count, len(tiles), generator)
    side = tiles.shape[-1]
    u = torch.rand((4, count), generator=generator)
    zoom = size_px / side * 3 ** u[0]
    angle = 2 * torch.pi * u[1]
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    linear = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    middle = side * (0.25 + 0.5 * u[2:].T)
    offset = size_px / 2 - (linear @ middle[:, :, None])
    return no_faces(cut(tiles[rows], torch.cat([linear, offset], 2), size_px, outside="reflection"))
