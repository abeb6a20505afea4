"""Samples of a dataset as one picture to look at; swaps as rows of identity, attribute and truths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.core.image import save_frame
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset

GAP_PX = 4
WIDEST = 12
LARGEST_TILE_PX = 256


def write_sheet(dataset: Dataset, path: Path, *, count: int = 64, seed: int = 0) -> int:
    """Draws samples to a picture; returns how many.

    Args:
        dataset: With pairs: whole swaps are drawn, a row each; else pictures.
        path: Format by its suffix.
        count: Pictures at most, but one row at least.
        seed: Chooses which.

    Raises:
        BadInputError: The dataset is empty, the seed is negative, or the suffix is not that of a picture.
        OutputError: The file cannot be written.
    """
    if seed < 0:
        raise BadInputError(f"--seed: expected 0 or more, found {seed}")
    rows = _rows(dataset, count, np.random.default_rng(seed))
    if not rows:
        raise BadInputError(f"dataset {dataset.card.name!r}: no picture to draw; name another")
    frames = [[dataset.item(key).frame() for key in row] for row in rows]
    side = min(LARGEST_TILE_PX, max(max(frame.shape[:2]) for row in frames for frame in row))
    save_frame(path, tiled([[_tile(frame, side) for frame in row] for row in frames], side))
    return sum(map(len, rows))


def tiled(rows: Sequence[Sequence[Frame]], side: int) -> Frame:
    """Square tiles in rows on white, with gaps."""
    step, width = side + GAP_PX, max(map(len, rows))
    sheet = np.full((len(rows) * step + GAP_PX, width * step + GAP_PX, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            top, left = GAP_PX + y * step, GAP_PX + x * step
            sheet[top : top + side, left : left + side] = tile
    return sheet


def _rows(dataset: Dataset, count: int, rng: np.random.Generator) -> list[list[str]]:
    if dataset.pairs:
        width = 2 + max(len(pair.truths) for pair in dataset.pairs)
        chosen = sorted(rng.permutation(len(dataset.pairs))[: max(1, count // width)])
        pairs = [dataset.pairs[number] for number in chosen]
        return [[pair.identity, pair.attribute, *pair.truths.values()] for pair in pairs]
    keys = [row.key for row in dataset.rows if row.role == "picture"]
    chosen_keys = [keys[number] for number in sorted(rng.permutation(len(keys))[:count])]
    width = min(WIDEST, math.ceil(math.sqrt(max(1, len(chosen_keys)))))
    return [chosen_keys[first : first + width] for first in range(0, len(chosen_keys), width)]


def _tile(frame: Frame, side: int) -> Frame:
    """Fitted into a square, on white."""
    height, width = frame.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = frame if scale == 1 else np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
    tile = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    tile[top : top + small.shape[0], left : left + small.shape[1]] = small
    return tile
