"""Pictures of pages in rows on one sheet, with their names, for the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facegraft.core.image import picture_from_frame
from facegraft.core.image_bytes import decode_frame
from facegraft.provenance.manifest import origin_now
from facegraft.runtime.pictures import write_marked

GAP, LABEL = 14, 26
BACK, INK = (150, 156, 164), (20, 24, 30)


@dataclass(frozen=True)
class Page:
    """A page as PNG, and its place on the sheet.

    Attributes:
        name: Written above it.
        png: The page.
        width_px: On the sheet.
        tallest_px: On the sheet; what is below is cut off.
    """

    name: str
    png: bytes
    width_px: int
    tallest_px: int


def write_sheet(out: Path, pages: Sequence[Page], columns: int, *, quality: int = 72) -> None:
    """Writes pages beside each other as one JPEG, which says that it shows swapped faces."""
    tiles = [_tile(page) for page in pages]
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    width = max(sum(tile.width + GAP for tile in row) for row in rows) + GAP
    sheet = Image.new("RGB", (width, sum(map(_height, rows)) + GAP), BACK)
    top = GAP
    for row in rows:
        left = GAP
        for tile in row:
            sheet.paste(tile, (left, top))
            left += tile.width + GAP
        top += _height(row)
    picture = picture_from_frame(np.asarray(sheet))
    write_marked(out, picture, origin_now("several", title="swapped pictures"), level="metadata", quality=quality)


def keep_pages(folder: Path, pages: Mapping[str, bytes]) -> None:
    """Each page as a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pages.items():
        (folder / f"{name.replace(' ', '-')}.png").write_bytes(data)


def _tile(page: Page) -> Image.Image:
    """The name above the page."""
    frame = decode_frame(page.png)
    scale = page.width_px / frame.shape[1]
    shown = frame[: round(page.tallest_px / scale)]
    small = cv2.resize(shown, (page.width_px, round(shown.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    tile = Image.new("RGB", (page.width_px, LABEL + small.shape[0]), BACK)
    ImageDraw.Draw(tile).text((2, 3), page.name, fill=INK, font=ImageFont.load_default(17))
    tile.paste(Image.fromarray(small), (0, LABEL))
    return tile


def _height(row: list[Image.Image]) -> int:
    return max(tile.height for tile in row) + GAP
