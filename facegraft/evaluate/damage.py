"""Graded damages of an answer: they show that a metric falls with what it is named after, and less with other things.

Each takes a frame with a known face, most often the true swap, and spoils one thing inside the face, up to a soft edge
(`seam`: a hard one).
Amounts are relative to the face, so one amount means the same in pictures of all sizes; 0 changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from facegraft.core.geometry import sample
from facegraft.core.types import Face, Frame, Mask
from facegraft.evaluate.look import outer_eye_distance
from facegraft.evaluate.pixels import as_lab, as_rgb
from facegraft.evaluate.protocol import Case
from facegraft.faces.mesh import Grid, interpolate, rasterise
from facegraft.faces.topology import (
    LEFT_BROW,
    LEFT_EYE,
    MOUTH_LEFT,
    MOUTH_RIGHT,
    OVAL,
    RIGHT_BROW,
    RIGHT_EYE,
    load_topology,
)

EDGE = 0.15
"""Width of the soft edge within the face's oval, in distances of the outer eye corners."""
REACH = 0.25
"""How far beyond the oval a turned face pulls its surroundings along, in the same unit."""
LID_EDGE = 0.06
"""Width of the soft edge within an eye's opening, in widths of the eye."""
PULLED = 0.15
"""Sigma of what a pull at one point moves, over the unrolled face, in the same unit."""
SMOOTHED = 0.06
"""Sigma over which a moved mesh's shifts are smoothed, in the same unit: at outlines they jump."""
THREAD = 0.12
"""Half the width of what counts as a thread of changed pixels, in the same unit."""
LIDS_SMOOTHED = 0.01
"""The same of lids, which lie closer together than that."""
AXIS = 0.5
"""How far behind the mean depth of its points a head's axis lies, in distances of the outer eye corners."""

Call = Callable[[Case, Frame, Face, float], Frame]


@dataclass(frozen=True)
class Damage:
    """One thing that is spoilt.

    Attributes:
        name: Of the damage.
        unit: Of its amounts.
        amounts: From hardly to plainly seen.
        call: (case, frame, face, amount) -> the damaged frame.
        own: Metrics that are there to see it, by the start of their names.
    """

    name: str
    unit: str
    amounts: tuple[float, ...]
    call: Call
    own: tuple[str, ...]


def lose_identity(case: Case, frame: Frame, face: Face, amount: float) -> Frame:
    """Mixes the attribute picture in: a share of `amount` within the face; at 1 nobody was swapped."""
    return _mixed(frame, case.attribute.astype(np.float32), amount * inner(frame, face))


def roll(_case: Case, frame: Frame, face: Face, amount: float) -> Frame:
    """Turns the face clockwise in the picture's plane by `amount` degrees; around it the turn dies out."""
    weight = surroundings(frame, face)
    x, y = _grid(frame)
    middle = face.dense[:, :2].mean(0)
    # each pixel is fetched from where the turn had it, along a circle, so nothing folds
    angle = -np.radians(amount).astype(np.float32) * weight
    across, down = x - middle[0], y - middle[1]
    at = np.stack(
        [
            middle[0] + np.cos(angle) * across - np.sin(angle) * down,
            middle[1] + np.sin(angle) * across + np.cos(angle) * down,
        ],
        axis=2,
    )
    return _fetched(frame, at, weight)


def yaw(_case: Case, frame: Frame, face: Face, amount: float) -> Frame:
    """Turns the face's mesh about the head's upright axis by `amount` degrees, the way it is turned already.

    Every triangle carries its texture along; the skin that comes into view at the far side is what was seen there at
    a slant. Around the face the shift dies out.
    """
    return _carried(frame, face, _turned(face, amount if face.pose_degrees[0] >= 0 else -amount))


def smile(_case: Case, frame: Frame, face: Face, amount: float) -> Frame:
    """Pulls the mouth's corners up and out and raises the brows, by up to `amount` % of the outer eyes' distance."""
    topology, eyes_px = load_topology(), outer_eye_distance(face)
    right = face.dense[RIGHT_EYE[0], :2] - face.dense[LEFT_EYE[0], :2]
    across = right / max(float(np.linalg.norm(right)), 1e-3)
    up = np.array([across[1], -across[0]], np.float32)
    pulls = {MOUTH_LEFT: up - across, MOUTH_RIGHT: up + across, LEFT_BROW[2]: up, RIGHT_BROW[2]: up}
    moved = face.dense.copy()
    for point, way in pulls.items():
        near = np.exp(-np.square(np.linalg.norm(topology.uv - topology.uv[point], axis=1) / PULLED) / 2)
        moved[:, :2] += near[:, None] * way * (amount / 100 * eyes_px)
    return _carried(frame, face, moved)


def blink(_case: Case, frame: Frame, face: Face, amount: float) -> Frame:
    """Moves the lids towards the line of the eye's corners, by `amount` % of the way, less than 100."""
    moved = face.dense.copy()
    for ring in (LEFT_EYE, RIGHT_EYE):
        first, last = face.dense[ring[0], :2], face.dense[ring[8], :2]
        along = (last - first) / max(float(np.linalg.norm(last - first)), 1e-3)
        lids = face.dense[list(ring), :2]
        met = first + ((lids - first) @ along)[:, None] * along
        moved[list(ring), :2] = lids + amount / 100 * (met - lids)
    return _carried(frame, face, moved, LIDS_SMOOTHED)


def shift_gaze(_case: Case, frame: Frame, face: Face, amount: float) -> Frame:
    """Moves what is seen in both eyes' openings to the frame's right, by `amount` % of an eye's width.

    10 % of an eye's width is 3 mm, which a turn of the eye by about 14 degrees gives. Lids stay where they are.
    """
    result = frame
    for ring in (LEFT_EYE, RIGHT_EYE):
        points = face.dense[list(ring), :2]
        first, last = face.dense[ring[0], :2], face.dense[ring[8], :2]
        left, right = (first, last) if first[0] <= last[0] else (last, first)
        width = max(float(np.linalg.norm(right - left)), 1e-3)
        along = (right - left) / width
        weight = _soft(_filled(frame, points), LID_EDGE * width)
        x, y = _grid(frame)
        place = ((x - (left + right)[0] / 2) * along[0] + (y - (left + right)[1] / 2) * along[1]) / (width / 2)
        # full in the middle and nothing at the corners, so that the white is stretched and nothing folds
        push = (amount / 100 * width) * np.square(np.clip(1 - place**2, 0, 1))
        moved = _sampled(frame, np.stack([x - push * along[0], y - push * along[1]], axis=2))
        result = _mixed(result, moved, weight)
    return result


def blur(_case: Case, frame: Frame, face: Face, amount: float) -> Frame:
    """Gaussian blur within the face; sigma is `amount` % of the distance of the outer eye corners."""
    if amount <= 0:
        return frame
    soft = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), amount / 100 * outer_eye_distance(face))
    return _mixed(frame, soft, inner(frame, face))


def cast_colour(_case: Case, frame: Frame, face: Face, amount: float) -> Frame:
    """Shifts the face's colour by `amount` units of CIE L*a*b*, towards green; lightness stays."""
    lab = as_lab(frame.astype(np.float32))
    lab[..., 1] -= amount
    return _mixed(frame, as_rgb(lab).astype(np.float32), inner(frame, face))


def shade(_case: Case, frame: Frame, face: Face, amount: float) -> Frame:
    """Lights the face from the frame's right: so many stops brighter at that eye's outer corner, darker at the other's.

    Beyond the corners it stays as it is there. The display's curve is taken for a power of 2.2.
    """
    first, last = face.dense[LEFT_EYE[0], :2], face.dense[RIGHT_EYE[0], :2]
    left, right = (first, last) if first[0] <= last[0] else (last, first)
    half = max(float(np.linalg.norm(right - left)) / 2, 1.0)
    along = (right - left) / (2 * half)
    x, y = _grid(frame)
    place = ((x - (left + right)[0] / 2) * along[0] + (y - (left + right)[1] / 2) * along[1]) / half
    gain = np.exp2(amount * np.clip(place, -1, 1) / 2.2).astype(np.float32)
    return _mixed(frame, np.clip(frame * gain[..., None], 0, 255), inner(frame, face))


def seam(case: Case, frame: Frame, face: Face, amount: float) -> Frame:
    """Darkens all that the swap changed by `amount` units of L*, up to a hard edge; the oval where that is not known.

    Single pixels and threads of what was changed (a renderer's noise) are left as they are, holes are not.
    """
    where = _filled(frame, face.dense[list(OVAL), :2])
    if case.exact.changed is not None:
        size = 2 * max(1, round(THREAD * outer_eye_distance(face))) + 1
        disc = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
        where = (case.exact.changed > 0).astype(np.uint8)
        for step in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE):
            where = np.asarray(cv2.morphologyEx(where, step, disc), np.uint8)
    lab = as_lab(frame.astype(np.float32))
    lab[..., 0] -= amount
    return _mixed(frame, as_rgb(lab).astype(np.float32), where.astype(np.float32))


def jitter(frames: Sequence[Frame], faces: Sequence[Face], amount: float, *, seed: int = 0) -> list[Frame]:
    """Shifts the face of every frame by a random way of its own: `amount` is the RMS length of it in pixels.

    Raises:
        ValueError: Not one face per frame.
    """
    rng = np.random.default_rng(seed)
    ways = rng.normal(0, amount / np.sqrt(2), (len(frames), 2)).astype(np.float32)
    return [_shifted(frame, face, way) for frame, face, way in zip(frames, faces, ways, strict=True)]


IDENTITY = ("identity_", "inner_cosine", "top1", "top5", "verified", "original_")
DETAIL = ("sharpness_", "high_frequencies", "ssim_inside", "perceptual_inside", "frechet_", "kid_")
POSE = ("pose_degrees", "landmark_truth")
DAMAGES = (
    Damage("identity", "share", (0.1, 0.25, 0.5, 0.75, 1.0), lose_identity, IDENTITY),
    Damage("roll", "degrees", (2.0, 5.0, 10.0, 15.0, 20.0), roll, POSE),
    Damage("yaw", "degrees", (2.0, 5.0, 10.0, 15.0, 20.0), yaw, POSE),
    Damage("smile", "% of the outer eyes' distance", (1.0, 2.0, 4.0, 8.0, 12.0), smile, ("expression_",)),
    Damage("blink", "% of the way", (10.0, 25.0, 50.0, 70.0, 90.0), blink, ("eyes_opening", "expression_")),
    Damage("gaze", "% of an eye's width", (2.0, 5.0, 10.0, 15.0, 20.0), shift_gaze, ("gaze_", "iris_")),
    Damage("blur", "% of the outer eyes' distance", (1.0, 2.0, 4.0, 6.0, 8.0), blur, DETAIL),
    Damage("colour", "CIE L*a*b*", (2.0, 5.0, 10.0, 15.0, 20.0), cast_colour, ("colour_error",)),
    Damage("shade", "stops at the eyes' corners", (0.1, 0.25, 0.5, 0.75, 1.0), shade, ("light",)),
    Damage("seam", "CIE L*", (2.0, 5.0, 10.0, 15.0, 20.0), seam, ("boundary",)),
)
"""Of single pictures; `jitter` is for clips."""


def inner(frame: Frame, face: Face) -> Mask:
    """1 within the face's oval, 0 outside it, with a soft edge inside."""
    return _soft(_filled(frame, face.dense[list(OVAL), :2]), EDGE * outer_eye_distance(face))


def surroundings(frame: Frame, face: Face) -> Mask:
    """1 within the face's oval, dying out smoothly over `REACH` outside it."""
    outside = 1 - _filled(frame, face.dense[list(OVAL), :2])
    if not (outside == 0).any():
        return np.zeros(frame.shape[:2], np.float32)
    away = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return _smooth(1 - away / (REACH * outer_eye_distance(face)))


def _turned(face: Face, degrees: float) -> Float32[np.ndarray, "k 3"]:
    """The face's points after a turn about an upright axis within the head; positive = to the frame's right."""
    centre = face.dense.mean(0) + np.array([0, 0, AXIS * outer_eye_distance(face)], np.float32)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_y = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], np.float32)
    return ((face.dense - centre) @ about_y.T + centre).astype(np.float32)


def _carried(frame: Frame, face: Face, moved: Float32[np.ndarray, "k 3"], smoothed: float = SMOOTHED) -> Frame:
    """The frame after the face's points have moved, each triangle with its texture; around the face it dies out."""
    topology, eyes_px = load_topology(), outer_eye_distance(face)
    weight = surroundings(frame, face)
    raster = rasterise(moved, topology.triangles, Grid((0.0, 0.0), (frame.shape[1], frame.shape[0]), (1.0, 1.0)))
    came_from = interpolate(raster, moved, face.dense[:, :2], topology.triangles)
    here = np.stack(_grid(frame), axis=2)
    shift = _continued(came_from - here, raster.covered())
    soft = cv2.GaussianBlur(shift, (0, 0), max(0.5, smoothed * eyes_px))
    return _fetched(frame, here + soft * weight[..., None], weight)


def _continued(values: Float32[np.ndarray, "h w n"], known: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w n"]:
    """Elsewhere the value of the nearest known place."""
    if not known.any():
        return np.zeros_like(values)
    empty = 1 - known.astype(np.uint8)
    _, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.zeros((int(label.max()) + 1, values.shape[2]), np.float32)
    table[label[known]] = values[known]
    return np.asarray(table[label], np.float32)


def _shifted(frame: Frame, face: Face, way_xy: Float32[np.ndarray, "2"]) -> Frame:
    weight = surroundings(frame, face)
    return _fetched(frame, np.stack(_grid(frame), axis=2) - way_xy * weight[..., None], weight)


def _grid(frame: Frame) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Columns and rows, x and y, of the pixels' centres."""
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32) + np.float32(0.5)
    return x, y


def _sampled(frame: Frame, at: Float32[np.ndarray, "h w 2"]) -> Float32[np.ndarray, "h w 3"]:
    """The frame at places in its pixels."""
    picture = frame.astype(np.float32)
    return np.asarray(
        sample(picture, at.astype(np.float32) - np.float32(0.5), interpolation=cv2.INTER_CUBIC), np.float32
    )


def _fetched(frame: Frame, at: Float32[np.ndarray, "h w 2"], weight: Mask) -> Frame:
    """The frame resampled, its own pixels kept exactly where there is no weight."""
    fetched = np.clip(np.rint(_sampled(frame, at)), 0, 255).astype(np.uint8)
    return np.where(weight[..., None] > 0, fetched, frame)


def _mixed(frame: Frame, other: Float32[np.ndarray, "h w 3"], weight: Mask) -> Frame:
    share = weight[..., None]
    return np.clip(np.rint(frame * (1 - share) + other * share), 0, 255).astype(np.uint8)


def _filled(frame: Frame, points: Float32[np.ndarray, "n 2"]) -> UInt8[np.ndarray, "h w"]:
    inside = np.zeros(frame.shape[:2], np.uint8)
    # OpenCV counts between pixel centres, here in 1/16 of a pixel
    fixed = np.rint((cv2.convexHull(points.astype(np.float32)) - 0.5) * 16).astype(np.int32)
    return np.asarray(cv2.fillConvexPoly(inside, fixed, 1, cv2.LINE_8, 4), np.uint8)


def _soft(inside: UInt8[np.ndarray, "h w"], width_px: float) -> Mask:
    """From 0 at the edge of what is filled to 1 at `width_px` within."""
    padded = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    deep = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return _smooth(deep / max(width_px, 1.0))


def _smooth(values: Float32[np.ndarray, "h w"]) -> Mask:
    t = np.clip(values, 0, 1).astype(np.float32)
    return t * t * (3 - 2 * t)
