"""What an answer kept of the attribute picture: pose, expression, gaze, openings, light, background, what covers.

Both pictures are seen through the same networks, so a network's steady errors cancel. Its errors that come from who the
person is do not: even the true swap, a known person with the attribute's very expression, gets some degrees and per
cent. That floor is measured by scoring the truth, and the attribute picture put into itself, as methods beside others.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from facegraft.core.geometry import fit_rigid3, fit_similarity, transform, warp
from facegraft.core.types import Face
from facegraft.evaluate.light import MOST, light_apart, light_from
from facegraft.evaluate.look import Seen, Views, outer_eye_distance
from facegraft.evaluate.pixels import psnr
from facegraft.evaluate.protocol import Case, Metric, Values, worst_of
from facegraft.faces.attributes import FaceAttributes
from facegraft.faces.topology import (
    LEFT_BROW,
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_BROW,
    RIGHT_EYE,
    load_topology,
)

METRICS = (
    Metric("pose_degrees", "degrees", "low", 180.0, "Angle between the heads' rotations", primary=True),
    Metric("expression_points", "%", "low", 100.0, "Brows, lids and lips apart, of the outer eyes' distance"),
    Metric("expression_weights", "%", "low", 100.0, "Action units apart, of their range", primary=True),
    Metric("gaze_degrees", "degrees", "low", 180.0, "Angle between gazes in the head, of open eyes"),
    Metric("iris_offset", "%", "low", 100.0, "Irises apart between the lids' corners, of an eye's width", primary=True),
    Metric("eyes_opening", "%", "low", 100.0, "Lids' gaps apart, of an eye's width"),
    Metric("mouth_opening", "%", "low", 100.0, "Lips' gaps apart, of the mouth's width"),
    Metric("light", "stops", "low", MOST, "Light apart by where it falls on the face", primary=True),
    Metric("background_psnr", "dB", "high", 0.0, "Signal to noise outside the face"),
    Metric("occluder_psnr", "dB", "high", 0.0, "Signal to noise on what covers the face"),
)
NEED_A_FACE = METRICS[:8]
EXPRESSIVE = (*LEFT_BROW, *RIGHT_BROW, *LEFT_EYE, *RIGHT_EYE, *LIPS_OUTER, *LIPS_INNER)
"""Points that expressions move."""
LEAST_OPENING = 0.12
"""Of an eye, gap over width, below which nobody can say where it looks."""
GROWN = 0.3
"""How far beyond the oval of the attribute's face the background begins, in distances of the outer eye corners."""
LEAST_COVERED = 0.02
"""Share of the face's oval that must be covered for `occluder_psnr` to be measured."""
COVERED = 250
"""Of `Exact.occluder`, from which a pixel shows nothing but what covers."""
SURELY_COVERED = 0.1
"""Of the uncovered share that the networks see, below which a pixel counts as covered."""
EYE_WH = (64, 48)
"""Pixels of the crop in which irises are sought: the corners stand at 1/8 and 7/8 of its width, half-way down."""


def values(case: Case, views: Views) -> Values:
    """What the answer kept; NaN where the attribute picture shows no face, nothing that covers it, or closed eyes."""
    found = {metric.name: float("nan") for metric in METRICS}
    face, told = views.attribute.face, views.attribute.attributes
    if face is None or told is None:
        return found
    found["background_psnr"] = psnr(views.swapped.frame, case.attribute, _background(case, views.attribute, face))
    covered = _covered(case, views.attribute, face)
    if covered.sum() >= LEAST_COVERED * views.attribute.hull.sum():
        found["occluder_psnr"] = psnr(views.swapped.frame, case.attribute, covered)
    swapped, read = views.swapped.face, views.swapped.attributes
    if swapped is None or read is None:
        unknown = {"gaze_degrees", "iris_offset"} if math.isnan(gaze_error(told, told)) else set()
        worst = worst_of([metric for metric in NEED_A_FACE if metric.name not in unknown])
        return found | worst | {"light": light_from(views.swapped, views.attribute)}
    opening = 100 * np.abs(read.opening - told.opening).astype(np.float64)
    found["pose_degrees"] = angle_between(rotation(views.swapped), rotation(views.attribute))
    found["expression_points"] = 100 * expression_distance(swapped.dense, face.dense)
    found["expression_weights"] = 100 * float(np.abs(read.expression - told.expression).mean())
    found["gaze_degrees"] = gaze_error(read, told)
    found["iris_offset"] = 100 * iris_error(views.swapped, views.attribute)
    found["eyes_opening"], found["mouth_opening"] = float(opening[:2].mean()), float(opening[2])
    found["light"] = light_apart(views.swapped, views.attribute)
    return {**found, **{name: min(found[name], worst) for name, worst in worst_of(NEED_A_FACE).items()}}


def rotation_of(yaw: float, pitch: float, roll: float) -> Float[np.ndarray, "3 3"]:
    """Rotation of a head, x right, y down, z away, whose angles in degrees are those of `Faces.pose_degrees`."""
    y, p, r = np.radians([yaw, pitch, roll]).astype(np.float64)
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def angle_between(first: Float[np.ndarray, "3 3"], second: Float[np.ndarray, "3 3"]) -> float:
    """The least turn in degrees from one rotation to the other, acos((trace - 1) / 2): metric 6 of Huynh (2009)."""
    cosine = (float(np.trace(first @ second.T)) - 1) / 2
    # near 0 the cosine is flat, and the sine tells small angles apart
    skew = first @ second.T - second @ first.T
    sine = float(np.linalg.norm([skew[2, 1], skew[0, 2], skew[1, 0]])) / 2
    return math.degrees(math.atan2(sine, cosine))


def expression_distance(dense: Float32[np.ndarray, "k 3"], other: Float32[np.ndarray, "k 3"]) -> float:
    """Mean distance of brows', lids' and lips' points after each face is laid onto the mean face.

    The fit is a similarity in space by the points that expressions hardly move, so neither pose nor size nor place
    count; distances are in the mean face's plane, as shares of its outer-eye distance.
    """
    first, second = _unposed(dense), _unposed(other)
    return float(np.linalg.norm(first - second, axis=1).mean())


def gaze_error(read: FaceAttributes, told: FaceAttributes) -> float:
    """Mean angle in degrees between gazes in the head, of the eyes open in the attribute picture; NaN: none is."""
    first, second = _directions(read.gaze_degrees), _directions(told.gaze_degrees)
    apart = np.degrees(np.arccos(np.clip((first * second).sum(1), -1, 1)))
    counted = told.opening[:2] >= LEAST_OPENING
    return float(apart[counted].mean()) if counted.any() else math.nan


def rotation(seen: Seen) -> Float[np.ndarray, "3 3"]:
    """How the head is turned in the frame: the mean of two measurements whose errors have little in common.

    One is the fit of the mean face to the 468 points; the other is read in the crop, whose eyes are level, and turned
    back with it. The mean is the rotation nearest to both: the projection of their sum (Moakher, 2002, section 3.2).
    """
    if seen.face is None or seen.attributes is None:
        raise ValueError("expected a face")
    crop = seen.eyes.analyser.crop_around(seen.face.dense)
    level = rotation_of(0.0, 0.0, math.degrees(math.atan2(crop[0, 1], crop[0, 0])))
    read = level @ rotation_of(*map(float, seen.attributes.pose_degrees))
    u, _, vt = np.linalg.svd(read + rotation_of(*map(float, seen.face.pose_degrees)))
    return np.asarray(u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt, np.float64)


def iris_error(swapped: Seen, attribute: Seen) -> float:
    """Mean distance of irises' places between the lids' corners, in widths of the eye; of the eyes open in `attribute`.

    Up and down does not count: lids hide too much of it.

    Returns:
        NaN where none is open.
    """
    if swapped.face is None or attribute.face is None or attribute.attributes is None:
        raise ValueError("expected a face")
    counted = attribute.attributes.opening[:2] >= LEAST_OPENING
    apart = [abs(iris_place(swapped, ring) - iris_place(attribute, ring)) for ring in (LEFT_EYE, RIGHT_EYE)]
    return float(np.mean(apart, where=counted)) if counted.any() else math.nan


def iris_place(seen: Seen, ring: tuple[int, ...]) -> float:
    """Where what is dark within the lids has its centre: -0.5 at the left corner .. 0.5 at the right one.

    Dark is the way from a twentieth below the brightest to a twentieth above the darkest, cubed: skin of the lids'
    edges and shadows of the lashes hardly count.
    """
    if seen.face is None:
        raise ValueError("expected a face")
    points = seen.face.dense[list(ring), :2]
    corners = points[[0, 8]] if points[0, 0] <= points[8, 0] else points[[8, 0]]
    wide, high = EYE_WH
    matrix = fit_similarity(corners, np.array([[wide / 8, high / 2], [wide * 7 / 8, high / 2]]))
    grey = cv2.GaussianBlur(warp(seen.frame, matrix, EYE_WH).astype(np.float32).mean(2), (0, 0), wide / 32)
    inside = np.zeros((high, wide), np.uint8)
    hull = cv2.convexHull(transform(matrix, points) - np.float32(0.5))
    cv2.fillConvexPoly(inside, np.rint(hull).astype(np.int32), 1)
    dark, bright = np.percentile(grey[inside > 0], [5, 95])
    weight = np.clip((bright - grey) / max(float(bright - dark), 1.0), 0, 1) ** 3 * inside + 1e-9 * inside
    x = np.arange(wide) + 0.5
    return float(((weight * x).sum() / weight.sum() - wide / 2) / (wide * 3 / 4))


def _unposed(dense: Float32[np.ndarray, "k 3"]) -> Float[np.ndarray, "e 2"]:
    topology = load_topology()
    scale, rotation, shift = fit_rigid3(
        dense.astype(np.float64), topology.xyz.astype(np.float64), topology.rigid_weights
    )
    return np.asarray((scale * dense[list(EXPRESSIVE)] @ rotation.T + shift)[:, :2], np.float64)


def _directions(gaze_degrees: Float32[np.ndarray, "2 2"]) -> Float[np.ndarray, "2 3"]:
    """Unit vectors of yaw and pitch."""
    yaw, pitch = np.radians(gaze_degrees.astype(np.float64)).T
    return np.stack([np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)], 1)


def _background(case: Case, attribute: Seen, face: Face) -> Bool[np.ndarray, "h w"]:
    """What lies farther from the face's oval than `GROWN`, and where a true swap, if known, changes nothing."""
    away = cv2.distanceTransform(1 - attribute.hull, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    far = np.asarray(away > GROWN * outer_eye_distance(face), bool)
    return far if case.exact.changed is None else far & (case.exact.changed == 0)


def _covered(case: Case, attribute: Seen, face: Face) -> Bool[np.ndarray, "h w"]:
    """What covers the face, within its oval: things, as the renderer knows them, else all that the networks see."""
    inside = attribute.hull > 0
    if case.exact.occluder is not None:
        return inside & (case.exact.occluder >= COVERED)
    frame = attribute.frame
    seen = attribute.eyes.analyser.uncovered(frame, face)
    return inside & (seen.over(np.eye(2, 3, dtype=np.float32), (frame.shape[1], frame.shape[0])) < SURELY_COVERED)
