"""Draws swaps of portraits to be looked at closely: identity, attribute, swapped; two to a row.

    python tools/portrait_sheet.py FOLDER sheet.jpg --pair female10 female62 --pair male10 male9

FOLDER holds the portraits; a name stands for the one file that ends in it. Its pictures are somebody's: such a sheet is
for the eye, not for the documents, which show renders.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from facegraft.core.image import picture_from_frame, read_picture
from facegraft.core.types import Frame, Matrix
from facegraft.provenance.manifest import origin_now
from facegraft.runtime.pictures import write_marked
from facegraft.runtime.swapper import Swapper, load_swapper

AROUND = 1.2
"""Half the side of a tile, in distances of the outer eye corners."""
DOWN = 0.3
"""How far below the eyes its middle is, likewise."""


def find(folder: Path, name: str) -> Path:
    """The one picture whose name ends so."""
    found = sorted(folder.glob(f"*_{name}.jpg"))
    if len(found) != 1:
        raise SystemExit(f"{folder}: expected one picture *_{name}.jpg, found {len(found)}")
    return found[0]


def tile_of(swapper: Swapper, frame: Frame, side: int) -> Matrix:
    """From the picture to a square around its largest face."""
    dense = swapper.analyser.analyse(frame)[0].dense
    eyes = float(np.linalg.norm(dense[33, :2] - dense[263, :2]))
    middle = (dense[33, :2] + dense[263, :2]) / 2 + [0, DOWN * eyes]
    scale = side / (2 * AROUND * eyes)
    return np.column_stack([scale * np.eye(2), side / 2 - scale * middle]).astype(np.float32)


def tiles(swapper: Swapper, identity: Frame, attribute: Frame, side: int) -> list[Frame]:
    """Identity, attribute and swapped picture around their faces."""
    swapper.set_identity([identity])
    own, other = (tile_of(swapper, frame, side) for frame in (identity, attribute))
    shown = ((identity, own), (attribute, other), (swapper.swap(attribute), other))
    return [np.asarray(cv2.warpAffine(frame, at, (side, side), flags=cv2.INTER_AREA)) for frame, at in shown]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pair", nargs=2, action="append", required=True, metavar=("IDENTITY", "ATTRIBUTE"))
    parser.add_argument("--method", default="warp", help="or a bundle")
    parser.add_argument("--side", type=int, default=240, help="of a tile")
    args = parser.parse_args()
    swapper = load_swapper(args.method)
    rows: list[list[Frame]] = []
    for number, names in enumerate(args.pair):
        identity, attribute = (read_picture(find(args.folder, name)).frame for name in names)
        if number % 2 == 0:
            rows.append([])
        rows[-1] += tiles(swapper, identity, attribute, args.side)
    widest = max(map(len, rows))
    white = np.full((args.side, args.side, 3), 255, np.uint8)
    sheet = np.concatenate([np.concatenate(row + [white] * (widest - len(row)), axis=1) for row in rows])
    origin = origin_now(swapper.method, title="swapped pictures")
    write_marked(args.out, picture_from_frame(sheet), origin, level="metadata", quality=82)


if __name__ == "__main__":
    main()
