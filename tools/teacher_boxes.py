"""Lists the faces of portraits on which two teachers agree, for training the detector on photographs.

    python tools/teacher_boxes.py FOLDER --yunet yunet_n_dynamic.onnx -o data/real_boxes.json

FOLDER holds `manifest.csv` (columns file and split, "train" or "val"; other splits are left out) or just pictures. A
picture is kept where MediaPipe (as the networks of our analysis) and YuNet find exactly one face, the same one, with
points in the same places. The outline is the hull of MediaPipe's 468 points: its box is the face's box as
`Faces.boxes_xyxy` has it, however it is turned later.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from yunet import YuNet

from facegraft.core.errors import FacegraftError
from facegraft.core.files import atomic_path, read_bytes
from facegraft.core.geometry import box_containment
from facegraft.core.image_bytes import decode_frame
from facegraft.data.dataset import split_of
from facegraft.faces.analyse import Analyser
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.train.eyes.heads import hull

SURE = 0.6
"""Below this a finding of YuNet is none."""
RIVAL = 0.75
"""A second face that one teacher is this sure of spoils the picture: the face would be taught to be none."""
LEAST_COMMON = 0.75
"""Share of the smaller box that lies in the other: YuNet's boxes reach up further."""
LARGEST_ERROR = 0.09
"""Mean distance of the five points between the teachers, in shares of the face's box."""

logger = logging.getLogger("teacher_boxes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--yunet", type=Path, required=True, metavar="FILE", help="yunet_n_dynamic.onnx")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--most", type=int, default=0, metavar="N", help="this many only, spread over all; 0 = all")
    parser.add_argument("--val-share", type=float, default=0.05, help="where there is no manifest")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        work(args)
    except FacegraftError as error:
        logger.error("teacher_boxes: %s", error)
        return 2
    return 0


def work(args: argparse.Namespace) -> None:
    """Asks the teachers about every picture and writes the list."""
    listed = pictures(args.folder, args.val_share)
    if args.most:
        listed = listed[:: max(1, len(listed) // args.most)][: args.most]
    analyser, yunet = Analyser(MediaPipeNetworks()), YuNet(args.yunet)
    faces: list[dict[str, Any]] = []
    verdicts = Counter[str]()
    for number, row in enumerate(listed, 1):
        face, verdict = agreed(args.folder / row["file"], analyser, yunet)
        verdicts[verdict] += 1
        if face is not None:
            faces.append(row | face)
        if number % 200 == 0:
            logger.info("%d of %d, %d kept", number, len(listed), len(faces))
    about = "Faces on which MediaPipe's mesh and YuNet agree; outline and points are MediaPipe's, in pixels."
    with atomic_path(args.out) as temporary:
        text = json.dumps({"about": about, "verdicts": dict(verdicts), "faces": faces}, separators=(",", ":"))
        temporary.write_text(text, encoding="utf-8")
    logger.info("%s", json.dumps({"pictures": len(listed), "kept": len(faces), **verdicts}))


def pictures(folder: Path, val_share: float) -> list[dict[str, str]]:
    """File below the folder and split of each picture for training and validation."""
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        with manifest.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["split"] in {"train", "val"}]
        return [{"file": row["file"], "split": row["split"]} for row in rows]
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    names = [path.relative_to(folder).as_posix() for path in files]
    return [{"file": name, "split": split_of(name, val_share)} for name in names]


def agreed(path: Path, analyser: Analyser, yunet: YuNet) -> tuple[dict[str, Any] | None, str]:
    """Outline and points of the only face, or None; and why."""
    try:
        frame = decode_frame(read_bytes(path))
    except FacegraftError as error:
        logger.warning("%s", error)
        return None, "unreadable"
    faces = analyser.analyse(frame)
    boxes, scores, points = yunet(frame, SURE)
    if len(faces) == 0 or len(boxes) == 0:
        return None, "found by none" if len(faces) == len(boxes) else "found by one"
    common = box_containment(faces.boxes_xyxy[0], boxes)
    match = int(common.argmax())
    if (faces.scores[1:] >= RIVAL).any() or (np.delete(scores, match) >= RIVAL).any():
        return None, "more than one face"
    box, five = faces.boxes_xyxy[0], faces.points5[0]
    error = np.linalg.norm(points[match] - five, axis=1).mean() / max(float((box[2:] - box[:2]).max()), 1.0)
    if common[match] < LEAST_COMMON or error > LARGEST_ERROR:
        return None, "differ"
    outline = hull(np.ascontiguousarray(faces.dense[0, :, :2]))
    return {"outline": _short(outline), "points": _short(five)}, "agree"


def _short(points: np.ndarray) -> list[list[float]]:
    return points.astype(float).round(1).tolist()


if __name__ == "__main__":
    sys.exit(main())
