"""The landmarks network: on portraits beside MediaPipe's mesh, on renders both beside exact points, and their times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from eye_networks.held_out import YAW_EDGES, Portrait, Renders, Setup, Sightings, portraits, watched
from eye_networks.looking import IrisTeacher, Look, Seen, at_crop, nearest, our_look, teacher_look
from eye_networks.measures import (
    alternating,
    chosen,
    degrees_apart,
    group_masks,
    mean_error,
    percentage,
    ratio,
    yaw_masks,
)
from eye_networks.sheets import face_tile, save_worst
from eye_networks.table import OURS, Line, Result, time_lines
from facegraft.core.errors import FacegraftError
from facegraft.core.geometry import warp
from facegraft.core.types import Frame, Matrix
from facegraft.export.compare import open_session
from facegraft.faces.fetch import missing_models, model_path
from facegraft.faces.mediapipe import MediaPipeNetworks, Network
from facegraft.faces.own import OwnNetworks, as_input
from facegraft.faces.topology import EYE_CENTRES, head_pose, load_topology
from facegraft.frozen.landmarks import MARGIN, SIZE_PX
from facegraft.train.eyes.crops import CropOptions, centred_crops

NAME, TEACHER = "landmarks", "MediaPipe"
PERCENT = "% of the outer eye distance"
NEAR_PERCENT = 10.0
IN_SPACE = 3
"""Coordinates of a point, the third of which is depth."""


@dataclass(frozen=True, eq=False)
class Lookers:
    """Who can look at faces here; None = cannot, and why is in `missing`."""

    own: OwnNetworks | None
    teacher: MediaPipeNetworks | None
    irises: IrisTeacher | None
    looks: dict[str, Look]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def lookers(setup: Setup) -> Lookers:
    """Networks that are there, ours behind our detector, or behind MediaPipe's where we have none."""
    missing, notes, looks = [], [], {}
    own = OwnNetworks(setup.weights, threads=1) if setup.network(NAME) else None
    teacher = None if missing_models() else MediaPipeNetworks(threads=1)
    eye_file = setup.teacher("iris_landmark.tflite")
    irises = IrisTeacher(eye_file) if teacher and eye_file else None
    if own is None:
        missing.append(f"landmarks: no {NAME}.onnx among the weights")
    if teacher is None:
        missing.append("MediaPipe beside landmarks: its models are not here, `facegraft models fetch --teacher`")
    elif irises is None:
        missing.append("MediaPipe's irises: no teachers/iris_landmark.tflite in FACEGRAFT_DATA")
    detector: Any = own if setup.network("detector") else teacher
    if own and detector:
        looks[OURS] = our_look(detector, own)
        whose = "our own detector found" if detector is own else "MediaPipe's found, for there is no detector.onnx yet"
        notes.append(f"Our landmarks are placed on faces that {whose}; MediaPipe's mesh on those that its own found.")
    elif own:
        missing.append("landmarks on faces as found: neither detector.onnx nor MediaPipe's detector is here")
    if teacher:
        looks[TEACHER] = teacher_look(teacher, irises)
    return Lookers(own, teacher, irises, looks, tuple(missing), tuple(notes))


def look_at_renders(who: Lookers, renders: Renders) -> Sightings:
    """Who looked -> the face of each render."""
    found: Sightings = {name: [] for name in who.looks}
    for frame, truth in watched(list(zip(renders.frames, renders.dense, strict=True)), "faces of renders"):
        for name, look in who.looks.items():
            found[name].append(nearest(look(frame), truth))
    return found


def measure(setup: Setup, who: Lookers, renders: Renders | None, seen: Sightings) -> Result:
    """All figures of the landmarks network."""
    result = Result(missing=list(who.missing), notes=list(who.notes))
    result.missing.append("landmarks: distance to hand-placed points, which another benchmark measures")
    if OURS in who.looks and TEACHER in who.looks:
        try:
            result.lines.extend(on_portraits(setup, who, result))
        except FacegraftError as error:
            result.missing.append(str(error))
    if renders is not None and seen:
        result.lines.extend(on_renders(setup, renders, seen))
    if renders is not None:
        result.lines.extend(at_true_crops(who, renders))
        result.lines.extend(times(setup, who, renders.frames[0], true_crops(renders.dense)[0]))
    return result


def on_portraits(setup: Setup, who: Lookers, result: Result) -> list[Line]:
    """Ours against MediaPipe's mesh, which is taken for the truth."""
    pictures = portraits(setup)
    frames = [portrait.frame() for portrait in watched(pictures, "portraits")]
    teacher: list[Seen | None] = []
    ours: list[Seen | None] = []
    for frame in watched(frames, "faces of portraits"):
        told = who.looks[TEACHER](frame)
        teacher.append(told[0] if told else None)
        ours.append(nearest(who.looks[OURS](frame), told[0].dense) if told else None)
    kept = [n for n, face in enumerate(teacher) if face is not None]
    lost = ", ".join(f"{pictures[n].set}/{pictures[n].path.name}" for n in range(len(frames)) if n not in kept)
    result.notes.append(
        f"Portraits: {len(kept)} of {len(frames)} of the split val; those in which MediaPipe itself finds no face"
        f" cannot be measured{f' ({lost})' if lost else ''}."
    )
    if not kept:
        return []
    truths = [face for face in teacher if face is not None]
    some = [pictures[n] for n in kept], [frames[n] for n in kept], [ours[n] for n in kept]
    return portrait_lines(setup, *some, truths)


def portrait_lines(
    setup: Setup, pictures: list[Portrait], frames: list[Frame], ours: list[Seen | None], truths: list[Seen]
) -> list[Line]:
    """Figures of portraits per set and by yaw; draws the worst."""
    people = [portrait.person for portrait in pictures]
    dense = np.stack([face.dense for face in truths])
    yaw = np.array([head_pose(load_topology(), points)[0] for points in dense])
    masks = group_masks([[f"set {portrait.set}"] for portrait in pictures]) | yaw_masks(yaw, YAW_EDGES)
    error = point_errors(ours, dense)
    units = np.array([eye_distance(points) for points in dense])
    measures = {f"portraits: distance to MediaPipe's mesh, {PERCENT}": error.mean(1)}
    if truths[0].irises is not None:
        irises = np.stack([face.irises for face in truths if face.irises is not None])
        name = f"portraits: distance to MediaPipe's irises, {PERCENT}"
        measures[name] = iris_errors(ours, irises, units).mean(1)
    measures["portraits: pose, degrees from that of MediaPipe's mesh"] = pose_errors(ours, poses(dense)).mean(1)
    lines = []
    for measure_name, errors in measures.items():
        for group, mask in masks.items():
            if mask.any():
                figure = mean_error(errors[mask], chosen(people, mask))
                lines.append(Line(NAME, measure_name, group, {OURS: figure}, _aim(measure_name, group)))
    tile = partial(_portrait_tile, frames, dense, ours, error.mean(1), pictures)
    save_worst(setup.sheets, "landmarks_portraits", error.mean(1), tile)
    return lines


def on_renders(setup: Setup, renders: Renders, seen: Sightings) -> list[Line]:
    """Ours and MediaPipe's against exact points, on faces as they were found, per group."""
    units = np.array([eye_distance(points) for points in renders.dense])
    irises = renders.known.points[:, -2:, :2].numpy()
    visible = renders.known.visible.numpy() > 0.5
    truth_pose = poses(renders.dense)
    measures: dict[str, dict[str, np.ndarray]] = {}
    for name, faces in seen.items():
        error = point_errors(faces, renders.dense)
        measures.setdefault(f"renders: error of 468 points, {PERCENT}", {})[name] = error.mean(1)
        shown = f"renders: error of the points in view, {PERCENT}"
        measures.setdefault(shown, {})[name] = mean_where(error, visible[:, :468])
        if any(face is not None and face.irises is not None for face in faces):
            apart = mean_where(iris_errors(faces, irises, units), visible[:, -2:])
            measures.setdefault(f"renders: error of irises in view, {PERCENT}", {})[name] = apart
        for axis, apart in zip(("yaw", "pitch", "roll"), pose_errors(faces, truth_pose).T, strict=True):
            measures.setdefault(f"renders: {axis}, degrees from that of the exact points", {})[name] = apart
    if seen.get(OURS):
        errors = measures[f"renders: error of 468 points, {PERCENT}"][OURS]
        save_worst(setup.sheets, "landmarks_renders", errors, partial(_render_tile, renders, seen[OURS], errors))
    return render_lines(renders, seen, measures, visible)


def render_lines(
    renders: Renders, seen: Sightings, measures: dict[str, dict[str, np.ndarray]], visible: np.ndarray
) -> list[Line]:
    """Lines of every measure and group; of the first also how many faces are right, and the ratio of both."""
    groups, people = renders.groups(), renders.people
    looked = np.ones(len(renders), bool)
    open_eyes = visible[:, -2:].any(1)
    lines = []
    for name, by_who in measures.items():
        for group, mask in groups.items():
            rows = mask & (open_eyes if "iris" in name else looked)
            figures = {who: mean_error(errors[rows], chosen(people, rows)) for who, errors in by_who.items()}
            if rows.any():
                lines.append(Line(NAME, name, group, figures, _aim(name, group)))
    main = measures[f"renders: error of 468 points, {PERCENT}"]
    for group, mask in groups.items():
        if mask.any():
            right = {who: percentage(errors[mask] < NEAR_PERCENT) for who, errors in main.items()}  # NaN is not below
            name = f"renders: % of faces found with an error below {NEAR_PERCENT:.0f} {PERCENT}"
            lines.append(Line(NAME, name, group, right))
    if OURS in main and TEACHER in main:
        for group, mask in groups.items():
            if mask.any():
                found = ratio(main[OURS][mask], main[TEACHER][mask], chosen(people, mask))
                measure_name = "renders: our error over MediaPipe's, where both found the face"
                aim = "1.10 or less (asked of hand-placed points)" if group == "all" else ""
                lines.append(Line(NAME, measure_name, group, {OURS: found}, aim))
    return lines


def at_true_crops(who: Lookers, renders: Renders) -> list[Line]:
    """One look of each network at the crop that exact points give, so that no detector counts."""
    crops = true_crops(renders.dense)
    lines: dict[str, np.ndarray] = {}
    for name, networks in ((OURS, who.own), (TEACHER, who.teacher)):
        if networks is not None:
            pairs = list(zip(renders.frames, crops, strict=True))
            told = [at_crop(networks, frame, crop) for frame, crop in watched(pairs, f"true crops, {name}")]
            faces = [None if dense is None else Seen(dense, None) for dense in told]
            lines[name] = point_errors(faces, renders.dense).mean(1)
    return [
        Line(
            NAME,
            f"renders: error of 468 points from one look at the true crop, {PERCENT}",
            group,
            {name: mean_error(errors[mask], chosen(renders.people, mask)) for name, errors in lines.items()},
        )
        for group, mask in renders.groups().items()
        if mask.any() and lines
    ]


def times(setup: Setup, who: Lookers, frame: Frame, crop: Matrix) -> list[Line]:
    """One face: as analysis asks of it, its crop cut from the frame, and each network's single look by itself."""
    asked = {name: partial(net.mesh, frame, crop) for name, net in ((OURS, who.own), (TEACHER, who.teacher)) if net}
    lines = time_lines(NAME, "one face as analysis asks of it", alternating(asked, setup.rounds), "")
    alone: dict[str, Callable[[], object]] = {}
    if path := setup.network(NAME):
        image = as_input(warp(frame, (crop * np.float32(SIZE_PX)).astype(np.float32), (SIZE_PX, SIZE_PX)))
        alone[OURS] = partial(open_session(path, 1).run, None, {"crop": image})
    if who.teacher:
        mesh = Network(model_path("mesh"), 1)
        pixels = warp(frame, (crop * np.float32(mesh.side)).astype(np.float32), (mesh.side, mesh.side))
        alone[TEACHER] = partial(mesh, pixels.astype(np.float32) / np.float32(255))
    timed = alternating(alone, setup.rounds)
    return lines + time_lines(NAME, "one crop, the network alone", timed, "2 ms (2 threads)")


def true_crops(dense: np.ndarray) -> list[Matrix]:
    """From the frame to the unit square around each face, as analysis cuts it."""
    made = centred_crops(torch.from_numpy(dense), CropOptions(SIZE_PX, MARGIN)).matrix.numpy() / SIZE_PX
    return [matrix.astype(np.float32) for matrix in made]


def eye_distance(dense: np.ndarray) -> float:
    """Between the outer corners of the eyes in space, so that it does not shrink as a head turns."""
    left, right = EYE_CENTRES[0][0], EYE_CENTRES[1][3]
    return float(np.linalg.norm(dense[left, :IN_SPACE] - dense[right, :IN_SPACE]))


def point_errors(faces: list[Seen | None], truth: np.ndarray) -> np.ndarray:
    """Rows of 468, in percent of the true outer eye distance; NaN = not found."""
    errors = np.full(truth.shape[:2], np.nan)
    for row, (face, points) in enumerate(zip(faces, truth, strict=True)):
        if face is not None:
            apart = np.linalg.norm(face.dense[:, :2] - points[:, :2], axis=1)
            errors[row] = 100 * apart / eye_distance(points)
    return errors


def iris_errors(faces: list[Seen | None], truth: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Rows of 2, in percent of `units`; NaN = not found."""
    errors = np.full(truth.shape[:2], np.nan)
    for row, (face, irises) in enumerate(zip(faces, truth, strict=True)):
        if face is not None and face.irises is not None:
            errors[row] = 100 * np.linalg.norm(face.irises - irises, axis=1) / units[row]
    return errors


def poses(dense: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll of each face's points, degrees."""
    return np.stack([head_pose(load_topology(), points) for points in dense])


def pose_errors(faces: list[Seen | None], truth: np.ndarray) -> np.ndarray:
    """Rows of 3, degrees; NaN = not found."""
    found = [np.full(3, np.nan) if face is None else head_pose(load_topology(), face.dense) for face in faces]
    return degrees_apart(np.stack(found), truth)


def mean_where(errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean of each row's errors that count; NaN where none does or nothing was found."""
    number = counts.sum(1)
    total = np.where(counts, errors, 0.0).sum(1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _aim(measure_name: str, group: str) -> str:
    """Of the lines that stand in the first table."""
    if group != "all":
        return ""
    asked = {
        f"portraits: distance to MediaPipe's mesh, {PERCENT}": "the smaller the better",
        f"renders: error of 468 points, {PERCENT}": "within 10 % of the teacher's",
        f"renders: error of irises in view, {PERCENT}": "the smaller the better",
        "renders: yaw, degrees from that of the exact points": "good to 75 degrees",
    }
    return asked.get(measure_name, "")


def _portrait_tile(
    frames: list[Frame],
    dense: np.ndarray,
    ours: list[Seen | None],
    errors: np.ndarray,
    pictures: list[Portrait],
    row: int,
) -> Frame:
    face = ours[row]
    words = f"{errors[row]:.1f} % {pictures[row].set}" if face else f"not found {pictures[row].set}"
    return face_tile(frames[row], dense[row], face.dense if face else None, words)


def _render_tile(renders: Renders, ours: list[Seen | None], errors: np.ndarray, row: int) -> Frame:
    face, stratum = ours[row], renders.known.pictures.rows[row].stratum
    words = f"{errors[row]:.1f} % {stratum}" if face else f"not found {stratum}"
    return face_tile(renders.frames[row], renders.dense[row], face.dense if face else None, words)
