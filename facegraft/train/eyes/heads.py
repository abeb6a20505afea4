"""What scenes for the detector are made of: heads with known faces, rendered or photographed, and what is no face.

Everything is held out by person (heads) or by place (backgrounds), so that scores are of what no training saw.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from facegraft.core.errors import BadInputError
from facegraft.core.files import entries, read_bytes, shown
from facegraft.core.geometry import box_around
from facegraft.core.image import read_picture
from facegraft.core.image_bytes import decode_frame
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset, open_dataset, split_of
from facegraft.data.decode import MappedCache, build_cache
from facegraft.data.item import Row
from facegraft.data.regions import REGIONS
from facegraft.faces.topology import five_points, load_topology

PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
HELD_OUT_SHARE = 0.2
"""Of places of backgrounds; there are few of them, and false faces are counted on these."""
HELD_OUT_PEOPLE = 0.05
LARGEST_BACKGROUND_PX = 640
_PERSON = np.array([0] + [255] * (max(REGIONS.values())), np.uint8)


@dataclass(frozen=True, eq=False)
class Head:
    """One picture of one person.

    Attributes:
        picture: With its background.
        alpha: 255 where the person is.
        outline: Corners of the hull of the face's points: their box is the face's box, however the head is turned.
        points: The eye at an upright face's left, the other, nose tip, mouth's corner at the left, the other.
        photo: No render; `alpha` is an oval around the head then, with soft edges.
    """

    picture: Frame
    alpha: UInt8[np.ndarray, "h w"]
    outline: Float32[np.ndarray, "k 2"]
    points: Float32[np.ndarray, "5 2"]
    photo: bool


class RenderedHeads:
    """Heads of a dataset of `facegraft synth`, decoded once into a memory-mapped cache."""

    def __init__(self, folder: Path, split: str, size_px: int, cache: Path, most: int) -> None:
        self._rows = held_rows(open_dataset(folder), split)[:most]
        self._store = MappedCache(build_cache(open_dataset(folder), self._rows, size_px, {"regions", "dense"}, cache))
        self._topology = load_topology()

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, number: int) -> Head:
        """One head; black where a render was made without a background."""
        fields = self._store.gather([self._rows[number]], {"regions", "dense"})
        picture = np.ascontiguousarray(fields["image"][0].numpy().transpose(1, 2, 0))
        dense = fields["dense"][0].numpy().astype(np.float32)
        flat = np.pad(dense, ((0, 0), (0, 1)))
        alpha = _PERSON[fields["regions"][0].numpy()]
        return Head(picture, alpha, hull(dense), five_points(self._topology, flat), photo=False)


class PhotographedHeads:
    """Heads of pictures with faces on which two teachers agree; `tools/teacher_boxes.py` writes the list."""

    def __init__(self, folder: Path, boxes: Path, split: str) -> None:
        listed = read_teacher_boxes(boxes)
        self._faces = [facts for facts in listed if facts["split"] == split]
        if not self._faces:
            raise BadInputError(f"{shown(boxes)}: no face of split {split!r}; list more pictures, or leave real = ''")
        self._data = [read_bytes(folder / facts["file"]) for facts in self._faces]

    def __len__(self) -> int:
        return len(self._data)

    def read(self, number: int) -> Head:
        facts = self._faces[number]
        picture = decode_frame(self._data[number])
        outline = np.array(facts["outline"], np.float32)
        points = np.array(facts["points"], np.float32)
        return Head(picture, oval(picture.shape[:2], outline, points), outline, points, photo=True)


def read_teacher_boxes(path: Path) -> list[dict[str, Any]]:
    """The list that `tools/teacher_boxes.py` writes: file, split, outline, points of each face.

    Raises:
        BadInputError: Not such a list.
    """
    try:
        faces = json.loads(read_bytes(path))["faces"]
        return [{name: face[name] for name in ("file", "split", "outline", "points")} for face in faces]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{shown(path)}: expected a list of tools/teacher_boxes.py; make it anew") from error


def held_rows(dataset: Dataset, split: str) -> list[Row]:
    """The pictures of a split. A dataset without one for validation gives some of its people to it."""
    rows = [row for row in dataset.rows if row.role == "picture"]
    if not any(row.split == "val" for row in rows):
        kept = [row for row in rows if split_of(row.person or row.key, HELD_OUT_PEOPLE) == split]
    else:
        kept = [row for row in rows if row.split == split]
    if not kept:
        raise BadInputError(f"dataset {dataset.card.name!r}: no picture of split {split!r} among {len(rows)}")
    return kept


def free_files(folders: Sequence[Path], split: str) -> list[Path]:
    """Pictures without faces of a split, "train" or "val"; views of one place, `<place>_<number>`, are of one.

    Raises:
        BadInputError: A folder is missing, or the split is empty.
    """
    files: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise BadInputError(f"{shown(folder)}: expected a folder of pictures without faces, found none")
        files += [path for path in entries(folder) if path.suffix.lower() in PICTURES]
    kept = [path for path in files if split_of(_place(path), HELD_OUT_SHARE) == split]
    if not kept:
        raise BadInputError(f"{', '.join(map(shown, folders))}: no picture of split {split!r} among {len(files)}")
    return kept


def read_free(files: Sequence[Path]) -> list[Frame]:
    """Their pixels, reduced to `LARGEST_BACKGROUND_PX`."""
    return [_reduced(read_picture(path).frame) for path in files]


def hull(points: Float32[np.ndarray, "n 2"]) -> Float32[np.ndarray, "k 2"]:
    """Corners of the convex hull: the box of these, turned in any way, is the box of all points turned so."""
    return np.ascontiguousarray(cv2.convexHull(np.ascontiguousarray(points))[:, 0])


def oval(
    size_hw: tuple[int, int], outline: Float32[np.ndarray, "k 2"], points: Float32[np.ndarray, "5 2"]
) -> UInt8[np.ndarray, "h w"]:
    """A soft oval around a head, from its face: wider by the ears, higher by the hair, turned with the eyes."""
    across = points[1] - points[0]
    roll = float(np.degrees(np.arctan2(across[1], across[0])))
    box = box_around(outline)
    side = float((box[2:] - box[:2]).max())
    up = points[:2].mean(0) - points[3:].mean(0)
    middle = (box[:2] + box[2:]) / 2 + up * (0.12 * side / max(float(np.linalg.norm(up)), 1.0))
    mask = np.zeros(size_hw, np.uint8)
    axes = (0.66 * side, 0.85 * side)
    cv2.ellipse(mask, (tuple(map(float, middle)), (2 * axes[0], 2 * axes[1]), roll), 255, -1)
    width = max(1, round(0.08 * side)) * 2 + 1
    return np.asarray(cv2.blur(mask, (width, width)))


def _place(path: Path) -> str:
    stem, _, number = path.stem.rpartition("_")
    return stem if stem and number.isdigit() else path.stem


def _reduced(frame: Frame) -> Frame:
    scale = LARGEST_BACKGROUND_PX / max(frame.shape[:2])
    if scale >= 1:
        return frame
    size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
