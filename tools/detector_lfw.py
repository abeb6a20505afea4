"""How many main faces of Labeled Faces in the Wild detectors find at one false face in 200 pictures without faces.

    python tools/detector_lfw.py --lfw LFW --free BACKGROUNDS VIEWS --yunet yunet_n_dynamic.onnx --ours detector.onnx

Measures only; nothing may be trained on LFW. Each detector gets its own threshold: the lowest at which the pictures
without faces, cut from places that training holds out, show at most one false face in 200. The main face is found where
a box with that score or more lies around the picture's middle, as LFW was cut. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from yunet import YuNet

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.geometry import keep_best
from facegraft.core.image import read_picture, save_frame
from facegraft.core.types import Frame
from facegraft.data.sheet import tiled
from facegraft.train.eyes.findings import APART, threshold_for, wilson
from facegraft.train.eyes.heads import PICTURES, free_files, read_free

FREE_PX = 250
"""Side of the pictures without faces: LFW's."""
CUTS = 8
"""Of each picture without faces."""
FALSE_FACES = 1 / 200
OFF_MIDDLE, SMALLEST, LARGEST = 0.2, 0.2, 0.9
"""In sides of the picture: how far the main face's middle may lie from the picture's, and its box's longer side."""
STEP_PX = 32
LOWEST = 0.02
WORST = 20

Detect = Callable[[Frame], tuple[np.ndarray, np.ndarray]]
"""Boxes and scores of a frame."""
Watch = Callable[[Sequence[Path]], Iterable[Path]]
logger = logging.getLogger("detector_lfw")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, required=True, metavar="DIR")
    parser.add_argument("--free", type=Path, nargs="+", required=True, metavar="DIR", help="pictures without faces")
    parser.add_argument("--ours", type=Path, nargs="*", default=[], metavar="FILE", help="exported detectors")
    parser.add_argument("--yunet", type=Path, metavar="FILE")
    parser.add_argument("--mediapipe", action="store_true", help="its two detectors, looking once")
    parser.add_argument("--most", type=int, default=0, metavar="N", help="pictures of LFW, spread; 0 = all")
    parser.add_argument("--worst", type=Path, metavar="FILE", help=f"sheet of the {WORST} hardest of the last detector")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        work(args)
    except FacegraftError as error:
        logger.error("detector_lfw: %s", error)
        return 2
    return 0


def work(args: argparse.Namespace) -> None:
    files = sorted(path for path in args.lfw.iterdir() if path.suffix.lower() in PICTURES)
    if args.most:
        files = files[:: max(1, len(files) // args.most)][: args.most]
    free = [cut for frame in read_free(free_files(args.free, "val")) for cut in cuts(frame)]
    allowed = int(len(free) * FALSE_FACES)
    if not files or allowed < 1:
        raise BadInputError(f"expected pictures of LFW and 200 without faces, found {len(files)} and {len(free)}")
    results = {name: measured(detect, files, free, allowed) for name, detect in detectors(args).items()}
    for name, (facts, _) in results.items():
        logger.info("%s: %s", name, json.dumps(facts))
    if args.worst and results:
        worst_sheet(args.worst, files, list(results.values())[-1][1])
    facts = {name: told for name, (told, _) in results.items()}
    logger.info("%s", json.dumps({"pictures": len(files), "free": len(free), "false_allowed": allowed, "found": facts}))


def measured(
    detect: Detect, files: Sequence[Path], free: Sequence[Frame], allowed: int, watch: Watch = iter
) -> tuple[dict, np.ndarray]:
    """Figures of one detector, and the score of each picture's main face; `watch` may show how far it is."""
    detect(free[0])
    begin = time.perf_counter()
    false = [detect(frame)[1] for frame in free]
    spent = (time.perf_counter() - begin) / len(free)
    threshold = max(threshold_for(false, allowed), LOWEST)
    main_scores = np.array([main_score(read_picture(path).frame, detect) for path in watch(files)])
    found = int((main_scores >= threshold).sum())
    low, high = wilson(found, len(files))
    facts = {
        "share": round(found / len(files), 5),
        "interval95": [round(low, 5), round(high, 5)],
        "missed": len(files) - found,
        "threshold": round(threshold, 4),
        "false_faces": int(sum((scores >= threshold).sum() for scores in false)),
        "found_at_half": round(float((main_scores >= 0.5).mean()), 5),
        "ms": round(spent * 1e3, 2),
    }
    return facts, main_scores


def main_score(frame: Frame, detect: Detect) -> float:
    """Score of the best box that can be the main face's; 0 = none."""
    boxes, scores = detect(frame)
    side = max(frame.shape[:2])
    apart = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - np.array(frame.shape[1::-1]) / 2).max(1, initial=0) / side
    size = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0) / side
    fits = (apart < OFF_MIDDLE) & (size > SMALLEST) & (size < LARGEST)
    return float(scores[fits].max(initial=0))


def cuts(frame: Frame) -> list[Frame]:
    """Squares of LFW's size: the whole middle, and parts at places that are the same each time."""
    height, width = frame.shape[:2]
    rng = np.random.default_rng(0)
    found = []
    for number in range(CUTS):
        side = min(height, width) if number == 0 else int(min(height, width) * rng.uniform(0.4, 0.9))
        left, top = ((np.array([width, height]) - side) * rng.uniform(0, 1, 2)).astype(int)
        how = cv2.INTER_AREA if side > FREE_PX else cv2.INTER_LINEAR
        found.append(cv2.resize(frame[top : top + side, left : left + side], (FREE_PX, FREE_PX), interpolation=how))
    return found


def detectors(args: argparse.Namespace) -> dict[str, Detect]:
    """Name -> detector, ours last."""
    found: dict[str, Detect] = {}
    if args.yunet:
        yunet = YuNet(args.yunet)
        found["yunet"] = lambda frame: yunet(frame, LOWEST)[:2]
    if args.mediapipe:
        found["mediapipe"] = mediapipe()
    return found | {path.stem: ours(path) for path in args.ours}


def mediapipe() -> Detect:
    """MediaPipe's two detectors on the whole frame, without the mesh that would check them."""
    from facegraft.faces.analyse import whole_view
    from facegraft.faces.mediapipe import MediaPipeNetworks

    networks = MediaPipeNetworks()

    def detect(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        view, side = whole_view(frame, 0)
        told = [networks.detect(frame, view, side, near=near, min_score=LOWEST)[:2] for near in (False, True)]
        boxes, scores = np.concatenate([told[0][0], told[1][0]]), np.concatenate([told[0][1], told[1][1]])
        kept = keep_best(boxes, scores, 0.3)
        return boxes[kept], scores[kept]

    return detect


def ours(path: Path) -> Detect:
    """An exported detector, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def detect(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        padded = np.pad(frame, ((0, -frame.shape[0] % STEP_PX), (0, -frame.shape[1] % STEP_PX), (0, 0)))
        image = np.ascontiguousarray(padded.transpose(2, 0, 1)[None]).astype(np.float32) / np.float32(255)
        boxes, scores = (array[0] for array in session.run(["boxes", "scores"], {"image": image}))
        rows = np.flatnonzero(scores >= LOWEST)
        kept = rows[keep_best(boxes[rows], scores[rows], APART)]
        return boxes[kept], scores[kept]

    return detect


def worst_sheet(path: Path, files: Sequence[Path], scores: np.ndarray) -> None:
    """The pictures whose main face scores least, worst first. For eyes here only: LFW may not be shown."""
    frames = [read_picture(files[number]).frame for number in np.argsort(scores, kind="stable")[:WORST]]
    save_frame(path, tiled([frames[first : first + 5] for first in range(0, len(frames), 5)], FREE_PX))


if __name__ == "__main__":
    sys.exit(main())
