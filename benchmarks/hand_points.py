"""How far landmark networks are from points placed by eye, in percent of the hand-placed outer-eye distance.

    python benchmarks/hand_points.py --data /path/to/faces --networks mediapipe --networks facegraft/faces/weights

The points are in benchmarks/points/hand_points.json, the pictures are not part of this repository. Hidden points are
left out. The mesh is a surface: at turned heads its nose tip, nostril wing or lid corner need not lie on the outline
that an annotator sees, so part of each figure is that disagreement, and all of them hold the annotator's own error.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.image import read_picture
from facegraft.core.types import Frame, Matrix
from facegraft.faces.analyse import Analyser, FaceNetworks
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.own import Landmarks, OwnNetworks

POINTS = Path(__file__).parent / "points" / "hand_points.json"
MESH = (33, 133, 362, 263, 61, 291, 0, 17, 4, 2, 129, 358)
"""Points of the mesh, for all names but the irises. Chosen on the mean face: 4 is its foremost point (1 lies under it),
129 and 358 are the outermost of the nostril wings."""
GROUPS = {"eyes": range(4), "mouth": range(4, 8), "nose": range(8, 12), "mesh": range(12), "irises": range(12, 14)}
ROUNDS = 4000
Points = Float[np.ndarray, "14 2"]
Errors = Float[np.ndarray, "faces 14"]


class Own(OwnNetworks):
    """Our networks; remembers the irises of the last mesh. Where the folder has no detector, MediaPipe's stands in."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._stand_in = None if (folder / "detector.onnx").exists() else MediaPipeNetworks()
        self.irises = np.full((2, 2), np.nan, np.float32)

    def detect(
        self, frame: Frame, view: Matrix, view_side: float, *, near: bool, min_score: float
    ) -> tuple[Float32[np.ndarray, "n 4"], Float32[np.ndarray, "n"], Float32[np.ndarray, "n p 2"]]:
        detect = super().detect if self._stand_in is None else self._stand_in.detect
        return detect(frame, view, view_side, near=near, min_score=min_score)

    def landmarks(self, frame: Frame, crop: Matrix) -> Landmarks:
        found = super().landmarks(frame, crop)
        self.irises = found.points[-2:, :2]
        return found


def read_points(path: Path) -> tuple[list[str], Float[np.ndarray, "faces 14 2"]]:
    """Files and points; NaN where hidden."""
    faces = json.loads(path.read_text(encoding="utf-8"))["faces"]
    hidden = [np.nan, np.nan]
    placed = [[hidden if point is None else point for point in face["points"]] for face in faces]
    return [face["file"] for face in faces], np.array(placed, np.float64)


def placed_by(networks: FaceNetworks, frame: Frame, hand: Points) -> Points:
    """The 14 points of the face that lies nearest to the hand-placed ones; NaN where there is none.

    The mesh is placed once more on the crop that the found points give, as in a video: irises and mesh are of one crop.
    """
    analyser = Analyser(networks)
    faces = analyser.analyse(frame)
    found = np.full((14, 2), np.nan)
    if len(faces) == 0:
        return found
    middles = (faces.boxes_xyxy[:, :2] + faces.boxes_xyxy[:, 2:]) / 2
    row = int(np.linalg.norm(middles - np.nanmean(hand, axis=0), axis=1).argmin())
    found[:12] = analyser.refine(frame, faces.dense[row : row + 1]).dense[0, list(MESH), :2]
    if isinstance(networks, Own):
        found[12:] = networks.irises
    return found


def errors_percent(hand: Points, found: Points) -> Float[np.ndarray, "14"]:
    """Distance of each point in percent of the hand-placed outer-eye distance; NaN where either is missing."""
    return np.asarray(100 * np.linalg.norm(found - hand, axis=1) / np.linalg.norm(hand[3] - hand[0]))


def of_faces(errors: Errors, group: str) -> Float[np.ndarray, "faces"]:
    """Each face's mean over the group's points that are there; NaN where none is."""
    columns = errors[:, list(GROUPS[group])]
    there = np.isfinite(columns)
    count = there.sum(axis=1)
    return np.where(count > 0, np.where(there, columns, 0).sum(axis=1) / np.maximum(count, 1), np.nan)


def interval(rows: Float[np.ndarray, "k faces"], seed: int) -> dict[str, Any] | None:
    """Mean of the one row, or that of the first over that of the second, with a 95 % bootstrap interval over faces.

    One draw of faces serves both rows; faces that a row lacks are left out of both. None where none is left.
    """
    rows = rows[:, np.isfinite(rows).all(axis=0)]
    faces = rows.shape[1]
    if faces == 0:
        return None
    drawn = np.random.default_rng(seed).integers(0, faces, (ROUNDS, faces))
    means = np.column_stack([rows.mean(axis=1), rows[:, drawn].mean(axis=2)])
    values = means[0] if len(rows) == 1 else means[0] / means[1]
    low, high = np.percentile(values[1:], [2.5, 97.5])
    rounded = {"value": values[0], "low": low, "high": high}
    return {name: round(float(value), 3) for name, value in rounded.items()} | {"faces": faces}


def compare(measured: dict[str, Errors], seed: int) -> dict[str, dict[str, Any]]:
    """Every network's mean errors, then every other network's over MediaPipe's."""
    faces = {name: {group: of_faces(errors, group) for group in GROUPS} for name, errors in measured.items()}
    report = {name: {group: interval(row[None], seed) for group, row in rows.items()} for name, rows in faces.items()}
    teacher = faces.get("mediapipe", {})
    for name in sorted(faces.keys() - {"mediapipe"}) if teacher else ():
        report[f"{name} / mediapipe"] = {
            group: interval(np.stack([row, teacher[group]]), seed) for group, row in faces[name].items()
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("FACEGRAFT_DATA"), help="default: FACEGRAFT_DATA")
    parser.add_argument("--networks", action="append", required=True, help="`mediapipe`, or a folder; may repeat")
    parser.add_argument("--seed", type=int, default=0, help="chooses the faces that the bootstrap draws")
    args = parser.parse_args()
    if args.data is None:
        parser.error("no pictures: give --data, or set FACEGRAFT_DATA")
    files, hand = read_points(POINTS)
    frames = [read_picture(args.data / file).frame for file in files]
    measured: dict[str, Errors] = {}
    for name in args.networks:
        networks: FaceNetworks = MediaPipeNetworks() if name == "mediapipe" else Own(Path(name))
        found = [placed_by(networks, frame, points) for frame, points in zip(frames, hand, strict=True)]
        measured[name] = np.stack([errors_percent(*pair) for pair in zip(hand, found, strict=True)])
    report = compare(measured, args.seed)
    for name, rows in report.items():
        for group, row in rows.items():
            print(f"{name} {group}:", "-" if row is None else "{value} [{low}, {high}], {faces} faces".format(**row))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
