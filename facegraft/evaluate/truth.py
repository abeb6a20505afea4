"""How far an answer is from the true swap, where a renderer gave one. Everything is NaN where there is none.

"Inside" is where the truth differs from the attribute picture; where that is not known, the oval of the truth's face.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from facegraft.core.geometry import warp
from facegraft.core.types import Face, Frame
from facegraft.evaluate.attributes import expression_distance, gaze_error
from facegraft.evaluate.light import MOST, light_from
from facegraft.evaluate.look import Seen, Views, outer_eye_distance
from facegraft.evaluate.pixels import colour_difference, psnr, ssim
from facegraft.evaluate.protocol import Case, Metric, Values
from facegraft.faces.align import alignment
from facegraft.faces.attributes import FaceAttributes

METRICS = (
    Metric("psnr_inside", "dB", "high", 0.0, "Signal to noise against the true swap, inside", primary=True),
    Metric(
        "psnr_toned",
        "dB",
        "high",
        0.0,
        "As psnr_inside, but against the true swap in the attribute's skin colour",
        primary=True,
    ),
    Metric("ssim_inside", "", "high", 0.0, "Structure like the true swap's, inside; 1 = the same", primary=True),
    Metric("colour_error", "", "low", 100.0, "CIEDE2000 colour difference from the true swap, detail left out"),
    Metric("perceptual_inside", "", "low", 2.0, "Distance from the true swap in features of faces", primary=True),
    Metric("landmark_truth", "%", "low", 100.0, "Distance of 468 points from the true swap's, of the outer eyes'"),
    Metric(
        "expression_truth",
        "%",
        "low",
        100.0,
        "Brows, lids and lips from the true swap's, of the outer eyes'",
        primary=True,
    ),
    Metric(
        "gaze_truth",
        "degrees",
        "low",
        180.0,
        "Angle between gazes in the head and the true swap's, of open eyes",
        primary=True,
    ),
    Metric("light_truth", "stops", "low", MOST, "Light by where it falls on the face from the true swap's"),
    Metric("outside_changed", "%", "low", 100.0, "Pixels that are not the attribute picture's where the truth's are"),
    Metric("outside_psnr", "dB", "high", 0.0, "Signal to noise against the attribute picture, outside"),
)
COLOUR_BLUR = 0.1
"""Sigma of what leaves out detail before colours are compared, in distances of the outer eye corners."""


def values(case: Case, views: Views) -> Values:
    """Errors against the true swap.

    Pixels need no face in the answer and are measured all the same; `perceptual_inside` and what ends in `_truth` need
    one.
    """
    found = {metric.name: float("nan") for metric in METRICS}
    inside = _inside(case, views)
    if case.truth is None or inside is None or views.truth is None:
        return found
    swapped, face = views.swapped.frame, views.truth.face
    found["psnr_inside"] = psnr(swapped, case.truth, inside)
    if case.toned is not None:
        found["psnr_toned"] = psnr(swapped, case.toned, inside)
    found["ssim_inside"] = max(0.0, ssim(swapped, case.truth, inside))
    found["outside_changed"] = _share_changed(swapped, case.attribute, ~inside)
    found["outside_psnr"] = psnr(swapped, case.attribute, ~inside)
    if face is not None:
        blur_px = COLOUR_BLUR * outer_eye_distance(face)
        found["colour_error"] = colour_difference(swapped, case.truth, inside, blur_px)
        found["perceptual_inside"] = perceptual(views.swapped, views.truth, inside)
        found["landmark_truth"] = landmark_distance(views.swapped.face, face)
        found["expression_truth"] = expression_from(views.swapped.face, face)
        found["gaze_truth"] = gaze_from(views.swapped.attributes, views.truth.attributes)
        found["light_truth"] = light_from(views.swapped, views.truth)
    return found


def landmark_distance(face: Face | None, truth: Face) -> float:
    """Mean distance of the 468 points in the frame, in % of the truth's outer-eye distance; no face: the worst."""
    if face is None:
        return 100.0
    apart = np.linalg.norm(face.dense[:, :2].astype(np.float64) - truth.dense[:, :2], axis=1)
    return min(100.0, 100 * float(apart.mean()) / outer_eye_distance(truth))


def expression_from(face: Face | None, truth: Face) -> float:
    """`expression_distance` in %: both show one person, so it has no floor; no face: the worst."""
    return 100.0 if face is None else min(100.0, 100 * expression_distance(face.dense, truth.dense))


def gaze_from(read: FaceAttributes | None, told: FaceAttributes | None) -> float:
    """`gaze_error` in degrees: one person is in both pictures, so a right answer has 0; no face: the worst.

    Returns:
        NaN where the truth shows no face, or both of its eyes are shut.
    """
    if told is None or math.isnan(gaze_error(told, told)):
        return math.nan
    return 180.0 if read is None else gaze_error(read, told)


def perceptual(swapped: Seen, truth: Seen, inside: Bool[np.ndarray, "h w"]) -> float:
    """Squared distance of features that are brought to length 1 at each place, mean over the places inside.

    As Zhang, Isola, Efros, Shechtman, Wang (2018), eq. 1, have it, without their learned weights of channels. Each face
    is brought upright by its own points, so a face at the wrong place costs nothing here but in `landmark_truth`.

    Returns:
        0..2; NaN without a feature; the worst without a face in the answer.
    """
    if truth.face is None or truth.map is None:
        return float("nan")
    if swapped.map is None:
        return 2.0
    first, second = _unit(swapped.map), _unit(truth.map)
    weights = _inside_crop(inside, truth, first.shape[1:])
    if weights.sum() <= 0:
        return float("nan")
    apart = ((first - second) ** 2).sum(0)
    return min(2.0, float((apart * weights).sum() / weights.sum()))


def _inside(case: Case, views: Views) -> Bool[np.ndarray, "h w"] | None:
    if case.exact.changed is not None:
        inside = case.exact.changed > 0
    elif views.truth is not None and views.truth.face is not None:
        inside = views.truth.hull > 0
    else:
        return None
    return inside if inside.any() else None


def _share_changed(frame: Frame, attribute: Frame, outside: Bool[np.ndarray, "h w"]) -> float:
    if not outside.any():
        return float("nan")
    return 100 * float((frame != attribute).any(2)[outside].mean())


def _unit(features: Float32[np.ndarray, "c h w"]) -> Float32[np.ndarray, "c h w"]:
    return features / np.maximum(np.linalg.norm(features, axis=0, keepdims=True), 1e-9)


def _inside_crop(inside: Bool[np.ndarray, "h w"], truth: Seen, shape: tuple[int, ...]) -> Float32[np.ndarray, "h2 w2"]:
    """How much of each place of the truth's feature map lies inside."""
    feature, face = truth.eyes.feature, truth.face
    if feature is None or face is None:
        raise ValueError("expected a face and a feature")
    side = feature.size_px
    from_points = alignment(face.points5, "arcface_112_v2", side)
    share = warp(inside.astype(np.float32), from_points, (side, side))
    return np.asarray(cv2.resize(share, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.float32)
