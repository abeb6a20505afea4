"""The attributes network on held-out renders, beside the teachers that say some of it: MediaPipe's mesh and FSA-Net."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from eye_networks.held_out import Renders, Setup, Sightings, watched
from eye_networks.landmarks import TEACHER, poses
from eye_networks.looking import Seen
from eye_networks.measures import alternating, chosen, degrees_apart, mean_error
from eye_networks.sheets import face_tile, save_worst
from eye_networks.table import OURS, Line, Result, time_lines
from facegraft.core.geometry import box_around, warp
from facegraft.core.types import Frame
from facegraft.export.compare import open_session
from facegraft.faces.own import as_input
from facegraft.frozen.attributes import MARGIN, SIZE_PX
from facegraft.train.eyes.attributes import AttributeLabels, angle_between, labels_of
from facegraft.train.eyes.crops import CropOptions, Crops, centred_crops
from facegraft.train.eyes.expressions import NAMES
from facegraft.train.eyes.face_points import openings

NAME, FSANET = "attributes", "FSA-Net"
FSANET_FILES = ("fsanet-1x1-iter-688590.onnx", "fsanet-var-iter-688590.onnx")
FSANET_SIDE, FSANET_MARGIN = 64, 1.5
"""Of its crop: pixels, and in sides of the box around the points; of 1 to 1.7 this one fitted renders about best."""
OUTPUTS = ("pose", "gaze", "opening", "expression", "light")
AS_FOUND = "faces as found"
AXES = ("yaw", "pitch", "roll")
Errors = dict[str, np.ndarray]
"""Measure -> one error per picture; NaN = no face found, or not to be seen."""
AIMS = {"pose, degrees, mean of three": "3 degrees", "gaze of eyes in view, degrees": "6 degrees"}


class FsaNet:
    """Head pose by FSA-Net (Yang et al., CVPR 2019; ONNX of omasaht/headpose-fsanet-pytorch, MIT): two files' mean.

    It wants blue, green, red, and its yaw has the other sign; its zero of pitch is another one than ours.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._sessions = [open_session(path, 1) for path in paths]

    def __call__(self, frame: Frame, dense: np.ndarray) -> np.ndarray:
        left, top, right, bottom = box_around(dense[:, :2], FSANET_MARGIN).astype(np.float64)
        zoom = FSANET_SIDE / max(right - left, bottom - top)
        middle = np.array([left + right, top + bottom]) / 2
        shift = FSANET_SIDE / 2 - zoom * middle
        matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]], np.float32)
        pixels = warp(frame, matrix, (FSANET_SIDE, FSANET_SIDE))[..., ::-1].astype(np.float32)
        image = np.ascontiguousarray((pixels.transpose(2, 0, 1)[None] - np.float32(127.5)) / np.float32(128))
        told = np.mean([session.run(None, {"input": image})[0][0] for session in self._sessions], 0)
        return np.array([-told[0], told[1], told[2]])


def measure(setup: Setup, renders: Renders | None, seen: Sightings) -> Result:
    """All figures of the attributes network."""
    path, result = setup.network(NAME), Result()
    if path is None:
        result.missing.append(f"attributes: no {NAME}.onnx among the weights")
    if path is None or renders is None:
        return result
    ours = Reader(path, renders)
    errors = {OURS: ours.errors(list(renders.dense), "attributes, exact crop")}
    active = np.isfinite(errors[OURS]["expression, weights that are above 0.3"])
    lines = attribute_lines(renders, errors, active, "exact crop")
    if OURS in seen:
        dense = [None if face is None else face.dense for face in seen[OURS]]
        found = {OURS: ours.errors(dense, "attributes, faces as found")} | teachers(setup, renders, seen, result)
        lines += attribute_lines(renders, found, active, AS_FOUND)
    result.lines.extend(lines)
    result.lines.extend(times(setup, ours, renders))
    result.missing.append("attributes: the teacher of gaze is not run here")
    worst = np.nan_to_num(errors[OURS]["pose, degrees, mean of three"], nan=0.0)
    save_worst(setup.sheets, "attributes_pose", worst, partial(_tile, renders, worst, "pose"))
    gaze = np.nan_to_num(errors[OURS]["gaze of eyes in view, degrees"], nan=0.0)
    save_worst(setup.sheets, "attributes_gaze", gaze, partial(_tile, renders, gaze, "gaze"))
    return result


class Reader:
    """Our network, and the exact labels it is held against."""

    def __init__(self, path: Path, renders: Renders) -> None:
        self._session = open_session(path, 1)
        self._renders = renders
        self._labels: AttributeLabels = labels_of(renders.known, renders.expression_names or NAMES, 1.0)

    def ask(self, image: np.ndarray) -> list[np.ndarray]:
        """`OUTPUTS` of one crop."""
        return [answer[0] for answer in self._session.run(list(OUTPUTS), {"crop": image})]

    def image(self, row: int, crops: Crops) -> np.ndarray:
        """The crop of one render as the network takes it."""
        return as_input(warp(self._renders.frames[row], crops.matrix[0].numpy().astype(np.float32), (SIZE_PX, SIZE_PX)))

    def errors(self, dense: list[np.ndarray | None], what: str) -> Errors:
        """Of every render, in crops around these points; NaN where there are none."""
        rows = [self._of_one(row, points) for row, points in enumerate(watched(dense, what))]
        names = dict.fromkeys(name for one in rows for name in one)
        return {name: np.array([one.get(name, np.nan) for one in rows]) for name in names}

    def _of_one(self, row: int, dense: np.ndarray | None) -> dict[str, float]:
        if dense is None:
            return {}
        crops = centred_crops(torch.from_numpy(dense[None]).float(), CropOptions(SIZE_PX, MARGIN))
        answers = [torch.from_numpy(value)[None] for value in self.ask(self.image(row, crops))]
        told = dict(zip(OUTPUTS, answers, strict=True))
        truth = self._labels.rows(torch.tensor([row])).moved(crops)
        apart = degrees_apart(told["pose"][0].numpy(), truth.pose[0].numpy())
        open_ = self._renders.known.visible[row, -2:] > 0
        gaze = angle_between(told["gaze"], truth.gaze)[0][open_]
        strong = truth.expression > 0.3
        expression = (told["expression"] - truth.expression).abs()
        return pose_rows(apart) | {
            "gaze of eyes in view, degrees": mean_of(gaze),
            "opening of eyes, gap over width": float((told["opening"] - truth.opening)[0, :2].abs().mean()),
            "opening of the mouth, gap over width": float((told["opening"] - truth.opening)[0, 2].abs()),
            "expression, weights 0 to 1": float(expression.mean()),
            "expression, weights that are above 0.3": mean_of(expression[strong]),
            "light, where the mean is 1": float((told["light"] - truth.light).abs().mean()),
        }


def mean_of(values: torch.Tensor) -> float:
    """NaN where there are none."""
    return float(values.mean()) if values.numel() else float("nan")


def pose_rows(apart: np.ndarray) -> dict[str, float]:
    """Errors of one face's pose by name."""
    return {"pose, degrees, mean of three": float(np.mean(apart))} | {
        f"{axis}, degrees": float(value) for axis, value in zip(AXES, apart, strict=True)
    }


def teachers(setup: Setup, renders: Renders, seen: Sightings, result: Result) -> dict[str, Errors]:
    """What MediaPipe's mesh and FSA-Net say of pose, and the mesh of openings, on the faces that MediaPipe found."""
    faces = seen.get(TEACHER)
    if faces is None:
        result.missing.append("attributes: no teacher beside them, for MediaPipe is not here")
        return {}
    truth = renders.pose_degrees
    pose = np.stack([np.full(3, np.nan) if face is None else poses(face.dense[None])[0] for face in faces])
    found = {TEACHER: pose_errors(pose, truth) | opening_errors(renders, faces)}
    paths = [setup.teacher(name) for name in FSANET_FILES]
    if all(paths):
        net = FsaNet([path for path in paths if path is not None])
        pairs = list(zip(renders.frames, faces, strict=True))
        lost = np.full(3, np.nan)
        told = [lost if face is None else net(frame, face.dense) for frame, face in watched(pairs, FSANET)]
        found[FSANET] = pose_errors(np.stack(told), truth)
    else:
        result.missing.append("FSA-Net beside attributes: not among the teachers of FACEGRAFT_DATA")
    result.notes.append(
        "Teachers' pitch has another zero than the labels': its mean difference over all renders is taken off first,"
        " which favours them."
    )
    return found


def pose_errors(pose: np.ndarray, truth: np.ndarray) -> Errors:
    """Of a teacher, by name; pitch without its mean difference."""
    pose = pose.copy()
    pose[:, 1] -= np.nanmean(pose[:, 1] - truth[:, 1])
    apart = degrees_apart(pose, truth)
    return {"pose, degrees, mean of three": apart.mean(1)} | {
        f"{axis}, degrees": apart[:, number] for number, axis in enumerate(AXES)
    }


def opening_errors(renders: Renders, faces: list[Seen | None]) -> Errors:
    """Of the openings that a teacher's points have."""
    truth = openings(renders.known.dense).numpy()
    nothing = np.full(3, np.nan)
    told = [nothing if face is None else openings(torch.from_numpy(face.dense[None]))[0].numpy() for face in faces]
    apart = np.abs(np.stack(told) - truth)
    return {
        "opening of eyes, gap over width": apart[:, :2].mean(1),
        "opening of the mouth, gap over width": apart[:, 2],
    }


def attribute_lines(renders: Renders, by_who: dict[str, Errors], active: np.ndarray, where: str) -> list[Line]:
    """A line per measure and group; gaze counts where an eye is in view, weights above 0.3 where there are `active`."""
    lines = []
    open_eyes = (renders.known.visible[:, -2:] > 0).any(1).numpy()
    for name in by_who[OURS]:
        counts = open_eyes if name.startswith("gaze") else active if "above" in name else np.ones(len(renders), bool)
        for group, mask in renders.groups().items():
            rows, some = mask & counts, chosen(renders.people, mask & counts)
            of = {who: found[name][rows] for who, found in by_who.items() if name in found}
            figures = {who: mean_error(errors, some, looked=where == AS_FOUND) for who, errors in of.items()}
            aim = AIMS.get(name, "") if group == "all" else ""
            if rows.any():
                lines.append(Line(NAME, f"renders: {name}, {where}", group, figures, aim))
    return lines


def times(setup: Setup, ours: Reader, renders: Renders) -> list[Line]:
    """One crop, the network alone."""
    crops = centred_crops(torch.from_numpy(renders.dense[:1]), CropOptions(SIZE_PX, MARGIN))
    timed = alternating({OURS: partial(ours.ask, ours.image(0, crops))}, setup.rounds)
    return time_lines(NAME, "one crop", timed, "2 ms (2 threads)")


def _tile(renders: Renders, errors: np.ndarray, what: str, row: int) -> Frame:
    stratum = renders.known.pictures.rows[row].stratum
    return face_tile(renders.frames[row], renders.dense[row], None, f"{what} off by {errors[row]:.1f} {stratum}")
