"""Small facts about a face in a picture, from 68 landmarks and pixels: light, skin, sharpness, expression.

Proxies, meant for sorting out bad pictures and for counting what a dataset holds; none of them judges a person.
Points follow the 68-point convention; left and right are those of the frame.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from facegraft.core.types import Frame, Mask
from facegraft.data.skin_tone import individual_typology_angle, lab_of_linear, nearest_monk, to_linear

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Of linear sRGB (IEC 61966-2-1)."""
LEFT_CHEEK, RIGHT_CHEEK = (41, 31, 48, 3), (13, 54, 35, 46)
"""Lower lid, wing of the nose, mouth corner and jaw, clockwise in the frame when turned to the viewer."""
MIN_PATCH = 0.04
"""Least area of a patch of skin in squared eye distances: less is seen edge-on."""

Landmarks = Float[np.ndarray, "68 2"]


def measure(frame: Frame, landmarks: Landmarks, visible: Mask | None = None) -> dict[str, float | int]:
    """All facts below, rounded to four digits.

    Args:
        frame: The picture.
        landmarks: In its pixels.
        visible: 1 where the face itself is seen; None: everywhere.

    Returns:
        What could be measured: a cheek that is turned away or covered gives neither skin tone nor light.
    """
    seen = np.ones(frame.shape[:2], bool) if visible is None else visible > 0.5
    found: dict[str, float | int] = {"sharpness": sharpness(frame, landmarks), **exposure(frame, landmarks)}
    found |= expression(landmarks) | skin_tone(frame, landmarks, seen) | light(frame, landmarks, seen)
    return {name: value if isinstance(value, int) else round(float(value), 4) for name, value in found.items()}


def sharpness(frame: Frame, landmarks: Landmarks) -> float:
    """How much of the face's contrast is in its finest octave, at the picture's own size: about 0 blurred, 1 crisp.

    The standard deviation of the Laplacian over that of the brightness, as `faces/people.py` does it, so that dim and
    pale pictures are not called blurred; noise and JPEG blocks count as detail.
    """
    grey = cv2.cvtColor(_around(frame, landmarks), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std() / max(float(grey.std()), 4.0))


def exposure(frame: Frame, landmarks: Landmarks) -> dict[str, float]:
    """`exposure`: mean brightness of the face, 0..1 (sRGB values); `clipped_share`: share of it that is black or white.

    White counts when every channel is: a red lip that saturates one channel is no fault.
    """
    face = frame[_polygon(frame, landmarks[:27])]
    if len(face) == 0:
        return {}
    low, high = face.max(axis=1) <= 6, face.min(axis=1) >= 252
    return {"exposure": float(face.mean() / 255), "clipped_share": float((low | high).mean())}


def expression(landmarks: Landmarks) -> dict[str, float]:
    """`mouth_open`, `eyes_open`: height over width; `smile`: how far the mouth's corners are above its middle.

    Open eyes give 0.15 to 0.3, closed ones under 0.12; lips that touch about 0. `smile` is in mouth widths.
    """
    points = landmarks.astype(np.float64)
    width = max(float(np.linalg.norm(points[54] - points[48])), 1e-6)
    up = points[27] - points[8]
    up /= max(float(np.linalg.norm(up)), 1e-6)
    corners, middle = (points[48] + points[54]) / 2, (points[51] + points[57]) / 2
    eyes = [_area(points[first : first + 6]) / _width(points, first, first + 3) ** 2 for first in (36, 42)]
    return {
        "mouth_open": _area(points[60:68]) / _width(points, 60, 64) ** 2,
        "eyes_open": float(np.mean(eyes)),
        "smile": float((corners - middle) @ up) / width,
    }


def skin_tone(frame: Frame, landmarks: Landmarks, seen: Bool[np.ndarray, "h w"]) -> dict[str, float | int]:
    """`monk` 1..10, `ita` in degrees and `skin_l`, `skin_a`, `skin_b` (CIELAB) of the cheeks, as lit in this picture.

    Light and camera confound all of them: a dim picture of pale skin and a bright one of dark skin look alike.
    """
    cheeks = [pixels for pixels in (_patch(frame, landmarks[list(c)], seen) for c in _cheeks()) if pixels is not None]
    if not cheeks:
        return {}
    lab = lab_of_linear(np.median(to_linear(np.concatenate(cheeks)), axis=0))
    ita = individual_typology_angle(lab)
    names = {"skin_l": float(lab[0]), "skin_a": float(lab[1]), "skin_b": float(lab[2])}
    return {"monk": nearest_monk(lab), "ita": ita, **names}


def light(frame: Frame, landmarks: Landmarks, seen: Bool[np.ndarray, "h w"]) -> dict[str, float]:
    """`light_x`, `light_y` -1..1: how much brighter the right cheek and the forehead are than left cheek and chin.

    `light_hardness`: how steeply the skin's brightness changes (90th percentile of the gradient of its logarithm, per
    eye distance): small in soft light, large where a shadow has an edge. Folds, beards and hair raise it too.
    """
    left, right = (_luminance(_patch(frame, landmarks[list(cheek)], seen)) for cheek in _cheeks())
    top, bottom = (_luminance(_patch(frame, corners, seen)) for corners in (_forehead(landmarks), _chin(landmarks)))
    found = {}
    if left is not None and right is not None:
        found["light_x"] = (right - left) / max(right + left, 1e-6)
    if top is not None and bottom is not None:
        found["light_y"] = (top - bottom) / max(top + bottom, 1e-6)
    hardness = _hardness(frame, landmarks, seen)
    return found if hardness is None else found | {"light_hardness": hardness}


def eye_distance(landmarks: Landmarks) -> float:
    """Between the middles of the eyes, in pixels, at least 1."""
    apart = landmarks[42:48].mean(axis=0) - landmarks[36:42].mean(axis=0)
    return max(1.0, float(np.linalg.norm(apart)))


def _cheeks() -> tuple[tuple[int, ...], tuple[int, ...]]:
    return LEFT_CHEEK, RIGHT_CHEEK


def _forehead(landmarks: Landmarks) -> Float[np.ndarray, "4 2"]:
    """Above the brows, as high as the nose's bridge is long."""
    up = landmarks[27] - landmarks[30]
    return np.stack([landmarks[18] + up, landmarks[25] + up, landmarks[24] + 0.15 * up, landmarks[19] + 0.15 * up])


def _chin(landmarks: Landmarks) -> Float[np.ndarray, "4 2"]:
    return landmarks[[58, 56, 9, 7]]


def _patch(
    frame: Frame, corners: Float[np.ndarray, "4 2"], seen: Bool[np.ndarray, "h w"]
) -> Float32[np.ndarray, "n 3"] | None:
    """Pixels of the inner part of a quadrangle of skin, or None where too little of it is turned to the viewer."""
    middle = corners.mean(axis=0)
    inner = middle + 0.6 * (corners - middle)
    inside = _polygon(frame, inner)
    across = float(np.linalg.norm(corners.max(axis=0) - corners.min(axis=0)))
    if _signed_area(corners) < MIN_PATCH * across**2 or inside.sum() < 12:
        return None
    visible = inside & seen
    return frame[visible].astype(np.float32) if visible.sum() > 0.4 * inside.sum() else None


def _luminance(pixels: Float32[np.ndarray, "n 3"] | None) -> float | None:
    return None if pixels is None else float(np.median(to_linear(pixels) @ LUMINANCE))


def _hardness(frame: Frame, landmarks: Landmarks, seen: Bool[np.ndarray, "h w"]) -> float | None:
    across = eye_distance(landmarks)
    quads = [landmarks[list(corners)] for corners in _cheeks()] + [_forehead(landmarks), _chin(landmarks)]
    places = [_polygon(frame, quad.mean(axis=0) + 0.8 * (quad - quad.mean(axis=0))) for quad in quads]
    inside = np.logical_or.reduce(places) & seen
    if inside.sum() < 0.02 * across**2:
        return None
    bright = np.log(to_linear(frame.astype(np.float32)) @ LUMINANCE + 0.01)
    smooth = cv2.GaussianBlur(bright.astype(np.float32), (0, 0), max(0.5, 0.06 * across))
    slope = np.hypot(cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)) / 32
    return float(np.quantile(slope[inside], 0.9)) * across


def _around(frame: Frame, landmarks: Landmarks) -> Frame:
    low = np.clip(np.floor(landmarks.min(axis=0)), 0, [frame.shape[1] - 1, frame.shape[0] - 1]).astype(int)
    high = np.ceil(landmarks.max(axis=0)).astype(int)
    return frame[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]


def _polygon(frame: Frame, points: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, "h w"]:
    """Inside of the convex hull of points."""
    canvas = np.zeros(frame.shape[:2], np.uint8)
    hull = cv2.convexHull(np.rint((points - 0.5) * 16).astype(np.int32))
    cv2.fillConvexPoly(canvas, hull, 1, cv2.LINE_8, 4)
    return canvas > 0


def _signed_area(points: Float[np.ndarray, "n 2"]) -> float:
    """Positive for points that go clockwise on the screen."""
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def _area(points: Float[np.ndarray, "n 2"]) -> float:
    return abs(_signed_area(points))


def _width(points: Float[np.ndarray, "n 2"], first: int, second: int) -> float:
    return max(float(np.linalg.norm(points[first] - points[second])), 1e-6)


def hull_share(plane: Mask, landmarks: Landmarks) -> float:
    """Mean of a plane over the convex hull of the landmarks: which share of the face it covers."""
    inside = _polygon(np.zeros((*plane.shape, 3), np.uint8), landmarks)
    return float(plane[inside].mean()) if inside.any() else 0.0
