"""Sheets of the worst twenty pictures of a measure, to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from facegraft.core.geometry import transform, warp
from facegraft.core.image import save_frame
from facegraft.core.types import Frame
from facegraft.train.eyes.crops import CropOptions, centred_crops
from facegraft.train.preview import BLUE, GREEN, sheet, with_points, with_text

WORST, ACROSS = 20, 5
TILE_PX = 320
VIEW = CropOptions(TILE_PX, 1.6)


def save_worst(folder: Path | None, name: str, errors: np.ndarray, tile: Callable[[int], Frame]) -> None:
    """Draws the twenty largest errors, worst first, and on a sheet of their own up to twenty that were not found."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    worst, lost = worst_rows(errors)
    for kind, some in (("worst", worst), ("lost", lost)):
        tiles = [tile(row) for row in some]
        if tiles:
            rows = [tiles[at : at + ACROSS] for at in range(0, len(tiles), ACROSS)]
            save_frame(folder / f"{kind}_{name}.png", sheet(rows, TILE_PX))


def worst_rows(errors: np.ndarray) -> tuple[list[int], list[int]]:
    """Rows of the largest errors, worst first, and of those that are NaN, spread over all of them."""
    lost = np.flatnonzero(np.isnan(errors))
    places = np.linspace(0, len(lost) - 1, min(WORST, len(lost))).astype(int)
    worst = np.argsort(-np.nan_to_num(errors, nan=-np.inf), kind="stable")[: min(WORST, len(errors) - len(lost))]
    return worst.tolist(), lost[places].tolist()


def face_tile(frame: Frame, truth: np.ndarray, found: np.ndarray | None, words: str) -> Frame:
    """The face with the right points (blue) and those found (green)."""
    matrix = centred_crops(torch.from_numpy(truth[None].astype(np.float32)), VIEW).matrix[0].numpy()
    tile = with_points(warp(frame, matrix, (TILE_PX, TILE_PX)), transform(matrix, truth[:, :2]), BLUE, radius_px=1.0)
    if found is not None:
        tile = with_points(tile, transform(matrix, found[:, :2]), GREEN, radius_px=1.2)
    return with_text(tile, words)
