"""The detector on LFW's main faces at one false face in 200 pictures, beside YuNet and MediaPipe, and their times."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from eye_networks.held_out import Renders, Setup, spread, watched
from eye_networks.looking import SAME_FACE
from eye_networks.measures import Figure, alternating, percentage
from eye_networks.shared_tools import detector_lfw
from eye_networks.table import OURS, Line, Result, time_lines
from facegraft.core.geometry import box_around, box_overlap
from facegraft.core.image import read_picture
from facegraft.faces.analyse import MIN_SCORE, whole_view
from facegraft.faces.fetch import missing_models
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.own import OwnNetworks
from facegraft.train.eyes.heads import PICTURES, free_files, read_free

NAME = "detector"
YUNET = "yunet_n_dynamic.onnx"
RIVALS = {"yunet": "YuNet", "mediapipe": "MediaPipe"}
TIMED_PX = 320


def measure(setup: Setup, renders: Renders | None) -> Result:
    """All figures of the detector and of those beside it, which are measured without it too."""
    result = Result()
    if setup.network(NAME) is None:
        result.missing.append(f"detector: no {NAME}.onnx among the weights")
    folders = [setup.data / name for name in ("backgrounds", "views")] if setup.data else []
    lfw = setup.data / "eval" / "lfw" if setup.data else None
    if lfw is None or not all(folder.is_dir() for folder in [lfw, *folders]):
        result.missing.append("detector: FACEGRAFT_DATA names no folder with eval/lfw, backgrounds and views")
        return result
    looks = detectors(setup, result)
    files = spread(sorted(path for path in lfw.iterdir() if path.suffix.lower() in PICTURES), setup.most)
    free = [cut for frame in read_free(free_files(folders, "val")) for cut in detector_lfw.cuts(frame)]
    allowed = int(len(free) * detector_lfw.FALSE_FACES)
    words = f"{len(files)} pictures of LFW, one false face in 200 allowed: {allowed} in {len(free)} cuts without a face"
    result.notes.append(f"Detectors: {words}.")
    if allowed < 1:
        result.missing.append(f"detector: needs 200 pictures without faces, found {len(free)}")
        return result
    shares: dict[str, Figure] = {}
    thresholds: dict[str, float] = {}
    for name, look in looks.items():
        shares[name], scores, thresholds[name] = share_found(look, name, files, free, allowed)
        if name == OURS and setup.sheets is not None:
            setup.sheets.mkdir(parents=True, exist_ok=True)
            detector_lfw.worst_sheet(setup.sheets / "worst_detector.png", files, scores)
    result.lines.append(Line(NAME, "% of LFW's main faces found", "all", shares, "99.5 %"))
    if renders is not None:
        result.lines.extend(on_renders(looks, thresholds, renders))
    result.lines.extend(times(setup, files[0]))
    return result


def on_renders(looks: dict[str, detector_lfw.Detect], thresholds: dict[str, float], renders: Renders) -> list[Line]:
    """Share of the rendered faces that each finds in one look at its threshold, per group."""
    boxes = [box_around(dense[:, :2]) for dense in renders.dense]
    hits: dict[str, np.ndarray] = {}
    for name, look in looks.items():
        pairs = watched(list(zip(renders.frames, boxes, strict=True)), f"renders, {name}")
        hits[name] = np.array([found(look(frame), box, thresholds[name]) for frame, box in pairs])
    return [
        Line(
            NAME,
            "% of renders' faces found, one look",
            group,
            {who: percentage(own[mask]) for who, own in hits.items()},
        )
        for group, mask in renders.groups().items()
        if mask.any() and hits
    ]


def found(told: tuple[np.ndarray, np.ndarray], box_xyxy: np.ndarray, threshold: float) -> bool:
    """Whether a box with that score or more lies around the face."""
    boxes, scores = told
    sure = boxes[scores >= threshold]
    return bool(len(sure) and box_overlap(box_xyxy, sure.astype(np.float32)).max() >= SAME_FACE)


def detectors(setup: Setup, result: Result) -> dict[str, detector_lfw.Detect]:
    """Ours, if it is there, and its rivals; what is not there is named."""
    path, yunet, mediapipe = setup.network(NAME), setup.teacher(YUNET), not missing_models()
    if yunet is None:
        result.missing.append(f"YuNet beside the detector: no teachers/{YUNET} in FACEGRAFT_DATA")
    if not mediapipe:
        result.missing.append("MediaPipe beside the detector: no models, `facegraft models fetch --teacher`")
    asked = argparse.Namespace(yunet=yunet, mediapipe=mediapipe, ours=[])
    found = {RIVALS[name]: look for name, look in detector_lfw.detectors(asked).items()}
    return ({OURS: detector_lfw.ours(path)} if path else {}) | found


def share_found(
    look: detector_lfw.Detect, name: str, files: list[Path], free: list[np.ndarray], allowed: int
) -> tuple[Figure, np.ndarray, float]:
    """Percentage of the main faces, each one's score, and the threshold."""
    facts, scores = detector_lfw.measured(look, files, free, allowed, partial(watched, what=f"LFW, {name}"))
    low, high = facts["interval95"]
    return Figure(100 * facts["share"], 100 * low, 100 * high, len(files)), scores, float(facts["threshold"])


def times(setup: Setup, path: Path) -> list[Line]:
    """One look at a picture of 320 x 320 px at the score that analysis asks for, whatever size each makes of it.

    MediaPipe's two networks, for near and for far faces, both look, as in the shares.
    """
    frame = cv2.resize(read_picture(path).frame, (TIMED_PX, TIMED_PX), interpolation=cv2.INTER_LINEAR)
    view, side = whole_view(frame, 0)
    calls: dict[str, Callable[[], object]] = {}
    if setup.network(NAME):
        own = OwnNetworks(setup.weights, threads=1)
        calls[OURS] = partial(own.detect, frame, view, side, near=False, min_score=MIN_SCORE)
    if yunet := setup.teacher(YUNET):
        calls["YuNet"] = partial(detector_lfw.YuNet(yunet), frame, MIN_SCORE)
    if not missing_models():
        looks = [partial(MediaPipeNetworks(threads=1).detect, frame, view, side, near=near) for near in (False, True)]
        calls["MediaPipe"] = lambda: [look(min_score=MIN_SCORE) for look in looks]
    return time_lines(NAME, f"a picture of {TIMED_PX} px", alternating(calls, setup.rounds), "5 ms (2 threads)")
