"""Faces by person, brought to the recogniser's template once, in crops a margin wider than its own."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.data.dataset import Dataset, open_dataset
from facegraft.data.regions import REGIONS
from facegraft.faces.align import template_points
from facegraft.faces.topology import EYE_CENTRES, LANDMARKS_68, MOUTH_LEFT, MOUTH_RIGHT, NOSE_TIP, OVAL
from facegraft.frozen.identity import SIZE_PX, TEMPLATE
from facegraft.train.eyes.crops import Matrices, cut, cut_labels, move_points
from facegraft.train.eyes.pictures import Pictures, load_pictures, train_and_val

logger = logging.getLogger(__name__)

MARGIN_PX = 16
STORE_PX = SIZE_PX + 2 * MARGIN_PX
"""Kept around the crop, so that it can be moved and turned."""
INNER = ("face", "nose", "upper_lip", "lower_lip", "mouth", "eye", "beard", "brow", "lash")
WORN = ("glasses", "occluder", "face_mask")
"""Regions that go along with an inner face where they lie within its oval, so that it keeps no holes."""
WORN_LEVEL = 128
_BEYOND = 255
MOST_PAIRS = 1000
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class People:
    """Aligned faces and who they show.

    Attributes:
        images: RGB; the crop that a recogniser sees without any change is the middle `SIZE_PX` pixels.
        inner: 255 where the inner face is seen: skin, brows, eyes, nose, lips; `WORN_LEVEL` where glasses or a thing
            hide it; 0 elsewhere.
        landmarks: 68 points x, y in pixels of `images`.
        pose: Yaw and pitch in degrees.
        labels: Rows of `names`.
        names: Of the people; dataset's number and person, or picture where the person is not known.
        real: Photographs.
        answers: A teacher's unit vectors, or None.
    """

    images: UInt8[Tensor, "n 3 s s"]
    inner: UInt8[Tensor, "n s s"]
    landmarks: Float[Tensor, "n 68 2"]
    pose: Float[Tensor, "n 2"]
    labels: Int64[Tensor, "n"]
    names: tuple[str, ...]
    real: Bool[Tensor, "n"]
    answers: Float[Tensor, "n t"] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def rows_of(self) -> list[Int64[Tensor, "k"]]:
        """Rows of each person, in the order of `names`."""
        order = torch.argsort(self.labels.cpu(), stable=True)
        counts = torch.bincount(self.labels.cpu(), minlength=len(self.names))
        return list(torch.split(order, counts.tolist()))

    def plain(self, rows: Int64[Tensor, "b"]) -> UInt8[Tensor, "b 3 c c"]:
        """Crops as analysis gives them."""
        inside = slice(MARGIN_PX, MARGIN_PX + SIZE_PX)
        return self.images[rows.to(self.images.device)][:, :, inside, inside]

    def to(self, device: torch.device) -> People:
        """The pictures on a device; labels stay where drawing needs them."""
        return dataclasses.replace(self, images=self.images.to(device), inner=self.inner.to(device))


def load_people(
    renders: Sequence[Path], real: Sequence[Path], *, cache: int, val_share: float, seed: int
) -> tuple[People, People]:
    """People to learn from and people held out.

    Args:
        renders: Datasets of rendered people.
        real: Datasets of photographs. A picture of nobody known is a person of its own.
        cache: Pictures of each dataset and split that are kept.
        val_share: Of people, where a dataset has no split of its own.
        seed: Chooses the pictures that are kept.

    Raises:
        BadInputError: No datasets, or a dataset without pictures or points.
    """
    if not renders and not real:
        raise BadInputError("data: expected datasets in renders or real, found none; name one")
    train: list[People] = []
    val: list[People] = []
    for number, (path, is_real) in enumerate([*((path, False) for path in renders), *((path, True) for path in real)]):
        for part, into in zip(
            train_and_val(open_dataset(path), val_share=val_share, seed=seed), (train, val), strict=True
        ):
            into.append(_people_of(part, number, cache=cache, seed=seed, real=is_real))
    return joined(train), joined(val)


def align_batch(points5: Float[Tensor, "b 5 2"]) -> Matrices:
    """From pictures to the store's crop: `core.geometry.fit_similarity` of a batch to the template's five points."""
    goal = torch.from_numpy(template_points(TEMPLATE, SIZE_PX)).to(points5) + MARGIN_PX
    a, b = torch.complex(points5[..., 0], points5[..., 1]), torch.complex(goal[:, 0], goal[:, 1])[None]
    mean_a, mean_b = a.mean(1, keepdim=True), b.mean(1, keepdim=True)
    turn = ((a - mean_a).conj() * (b - mean_b)).sum(1) / (a - mean_a).abs().square().sum(1).clamp(min=1e-6)
    shift = mean_b[:, 0] - turn * mean_a[:, 0]
    rows = [torch.stack([turn.real, -turn.imag, shift.real], 1), torch.stack([turn.imag, turn.real, shift.imag], 1)]
    return torch.stack(rows, 1)


def five_of(dense: Float[Tensor, "b k d"]) -> Float[Tensor, "b 5 2"]:
    """`faces.topology.five_points` of a batch."""
    flat = dense[..., :2]
    eyes = [flat[:, list(ring)].mean(1) for ring in EYE_CENTRES]
    return torch.stack([*eyes, *(flat[:, point] for point in (NOSE_TIP, MOUTH_LEFT, MOUTH_RIGHT))], 1)


def inner_face(
    oval: Float[Tensor, "b k 2"],
    *,
    regions: UInt8[Tensor, "b s s"] | None = None,
    visible: UInt8[Tensor, "b s s"] | None = None,
) -> UInt8[Tensor, "b s s"]:
    """`People.inner`: by labels, or the oval where nothing hides it, or all of the oval.

    Args:
        oval: Outline of the face in pixels.
        regions: Labels of data/regions.py, 255 = outside the picture.
        visible: 255 where the face is seen.
    """
    given = visible if regions is None else regions
    size = STORE_PX if given is None else int(given.shape[-1])
    filled = np.zeros((len(oval), size, size), np.uint8)
    for plane, points in zip(filled, oval.numpy(), strict=True):
        cv2.fillPoly(plane, [np.rint(points - 0.5).astype(np.int32)], 255)
    inside = torch.from_numpy(filled) > 0
    if regions is not None:
        worn = inside & _among(regions, WORN)
        return torch.where(_among(regions, INNER), 255, torch.where(worn, WORN_LEVEL, 0)).to(torch.uint8)
    seen = inside if visible is None else inside & (visible >= 128)
    return seen.to(torch.uint8) * 255


def pairs_of(people: People, *, real: bool, most: int = MOST_PAIRS) -> tuple[Tensor, Tensor, np.ndarray]:
    """Rows of pairs, half of one person, half of strangers, in turn; the same pairs every time.

    Returns:
        First and second rows, and which pairs are of one person; `most` at most, the even choice of all there are.
    """
    rng = np.random.default_rng(0)
    rows_of = [rows[people.real[rows] == real].numpy() for rows in people.rows_of]
    positive = [(int(a), int(b)) for rows in rows_of for at, a in enumerate(rows) for b in rows[at + 1 :]]
    if len(positive) > most // 2:
        positive = [positive[place] for place in np.sort(rng.permutation(len(positive))[: most // 2])]
    among = np.concatenate([*rows_of, np.zeros(0, np.int64)])
    labels = people.labels.numpy()
    negative: list[tuple[int, int]] = []
    while len(negative) < len(positive) and len({*labels[among]}) > 1:
        a, b = (int(row) for row in rng.choice(among, 2))
        if labels[a] != labels[b]:
            negative.append((a, b))
    both = [pair for two in zip(positive, negative, strict=False) for pair in two]
    first, second = torch.tensor(both, dtype=torch.int64).reshape(-1, 2).unbind(1)
    return first, second, np.arange(len(both)) % 2 == 0


def others_of(people: People, rows: Int64[Tensor, "b"]) -> Int64[Tensor, "b"]:
    """Another picture of the same person for each row."""
    found = []
    for row in rows.tolist():
        own = people.rows_of[int(people.labels[row])].tolist()
        found.append(own[(own.index(row) + 1) % len(own)])
    return torch.tensor(found)


def _among(regions: Tensor, names: Sequence[str]) -> Tensor:
    return torch.isin(regions, torch.tensor([REGIONS[name] for name in names], dtype=torch.uint8))


def _people_of(dataset: Dataset, number: int, *, cache: int, seed: int, real: bool) -> People:
    pictures = load_pictures(
        dataset, planes=("regions", "visible"), arrays=("dense", "pose_degrees"), cache=cache, seed=seed
    )
    known = pictures.has["dense"]
    if not known.any():
        raise BadInputError(f"dataset {dataset.card.name!r}: expected the array dense, found none; make it with labels")
    if not known.all():
        logger.info("%s: %d pictures without points left out", dataset.card.name, int((~known).sum()))
        pictures = pictures.where(known)
    made = [_aligned(pictures, begin) for begin in range(0, len(pictures), _CHUNK)]
    images, inner, landmarks = (torch.cat([part[place] for part in made]) for place in range(3))
    people = [f"{number}/{row.person or '?' + row.key}" for row in pictures.rows]
    names = tuple(sorted(set(people)))
    places = {name: place for place, name in enumerate(names)}
    return People(
        images=images,
        inner=inner,
        landmarks=landmarks,
        pose=pictures.arrays["pose_degrees"][:, :2].nan_to_num(0.0)
        if "pose_degrees" in pictures.arrays
        else torch.zeros(len(images), 2),
        labels=torch.tensor([places[person] for person in people]),
        names=names,
        real=torch.full((len(images),), real),
    )


def _aligned(pictures: Pictures, begin: int) -> tuple[Tensor, Tensor, Tensor]:
    rows = slice(begin, begin + _CHUNK)
    dense = pictures.arrays["dense"][rows].float()
    matrix = align_batch(five_of(dense))
    images = cut(pictures.images[rows], matrix, STORE_PX).mul(255).round().clamp(0, 255).to(torch.uint8)
    moved = move_points(dense[..., :2], matrix)
    oval = moved[:, list(OVAL)]
    regions = cut_labels(pictures.planes["regions"][rows], matrix, STORE_PX, outside=_BEYOND)
    visible = cut_labels(pictures.planes["visible"][rows], matrix, STORE_PX, outside=0)
    by_label, by_oval = inner_face(oval, regions=regions), inner_face(oval, visible=visible)
    bare = inner_face(oval)
    has_regions, has_visible = (pictures.has[name][rows][:, None, None] for name in ("regions", "visible"))
    inner = torch.where(has_regions, by_label, torch.where(has_visible, by_oval, bare))
    return images, inner, moved[:, list(LANDMARKS_68)]


def joined(parts: Sequence[People]) -> People:
    """Several as one, with labels in one row; a teacher's answers are left behind."""
    first = np.cumsum([0, *(len(part.names) for part in parts)])
    return People(
        images=torch.cat([part.images for part in parts]),
        inner=torch.cat([part.inner for part in parts]),
        landmarks=torch.cat([part.landmarks for part in parts]),
        pose=torch.cat([part.pose for part in parts]),
        labels=torch.cat([part.labels + int(start) for part, start in zip(parts, first, strict=False)]),
        names=tuple(name for part in parts for name in part.names),
        real=torch.cat([part.real for part in parts]),
    )
