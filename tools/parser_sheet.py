"""Draws what a parser (an ONNX file of `facegraft export`) says of the faces of pictures: a sheet to look at.

    python tools/parser_sheet.py parser.onnx PICTURES... --out sheet.png

Each face takes three tiles: the crop as the parser gets it, colours of the classes laid over it, and the crop with all
but the visible inner face darkened. A folder stands for the pictures in it.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from facegraft.core.errors import FacegraftError
from facegraft.core.geometry import warp
from facegraft.core.image import read_picture, save_frame
from facegraft.core.types import Frame
from facegraft.faces.analyse import Analyser
from facegraft.frozen.parser import CROP_MARGIN, SIZE_PX
from facegraft.train.eyes.crops import CropOptions, centred_crops
from facegraft.train.eyes.parser_scores import answers, legend, stacked
from facegraft.train.eyes.pictures import PICTURE_SUFFIXES
from facegraft.train.preview import sheet

logger = logging.getLogger(__name__)
OPTIONS = CropOptions(size_px=SIZE_PX, margin=CROP_MARGIN)


def pictures_of(paths: list[Path]) -> list[Path]:
    """Files as named, folders as the pictures in them by name."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES) if path.is_dir() else [path]
        found += inside
    return found


def crops_of(paths: list[Path], faces_each: int) -> Iterator[Frame]:
    """Crops of the largest faces of each picture, eyes level; pictures that cannot be read are logged."""
    analyser = Analyser()
    for path in paths:
        try:
            frame = read_picture(path).frame
        except FacegraftError as error:
            logger.warning("left out: %s", error)
            continue
        faces = analyser.analyse(frame)
        if not len(faces):
            logger.warning("%s: no face", path)
        for dense in faces.dense[:faces_each]:
            matrix = centred_crops(torch.from_numpy(dense[None]), OPTIONS).matrix[0].numpy()
            yield warp(frame, matrix, (SIZE_PX, SIZE_PX))


def drawn(session: onnxruntime.InferenceSession, crop: Frame) -> tuple[list[Frame], float]:
    """Three tiles of a crop, and how long the parser took, in ms."""
    image = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    start = time.perf_counter()
    shares, visible = session.run(["labels", "visible"], {"crop": image})
    took_ms = (time.perf_counter() - start) * 1e3
    return [crop, *answers(crop, shares[0], visible[0, 0])], took_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parser", type=Path, metavar="ONNX", help="parser made by `facegraft export`")
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PATH", help="pictures, or folders of them")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the sheet")
    parser.add_argument("--faces", type=int, default=1, metavar="N", help="largest faces taken of each picture")
    parser.add_argument("--columns", type=int, default=3, metavar="N", help="faces in a row")
    parser.add_argument("--tile", type=int, default=SIZE_PX, metavar="PX", help="side of a tile")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of ONNX Runtime")
    args = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(str(args.parser), options, providers=["CPUExecutionProvider"])
    made = [drawn(session, crop) for crop in crops_of(pictures_of(args.pictures), args.faces)]
    if not made:
        raise SystemExit("parser_sheet: no face in any of the pictures; name others")
    tiles = [tile for group, _ in made for tile in group]
    wide = 3 * args.columns
    drawing = sheet([tiles[start : start + wide] for start in range(0, len(tiles), wide)], args.tile)
    save_frame(args.out, stacked([legend(drawing.shape[1]), drawing]))
    print(json.dumps({"faces": len(made), "median_ms": round(float(np.median([ms for _, ms in made])), 2)}))  # noqa: T201 - a tool


if __name__ == "__main__":
    main()
