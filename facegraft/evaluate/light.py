"""How differently light falls on two faces that stand alike: brighter here, darker there, in stops.

No network says it but those that place the 468 points and see what covers the face. Where it is in view, the
logarithm of one's brightness less that of the other's is laid over the directions in which the skin points. What light
does goes with direction: of surfaces that scatter evenly, nine functions of direction tell 99 % of what they receive
(Ramamoorthi and Hanrahan, 2001). Here they are fitted to logarithms, of which that holds only nearly, because in
logarithms paint is added to light and not multiplied with it: brows, beards and shadows of single features do not go
with direction and drop out. So does brightness as a whole. Colour is not looked at: nobody knows whether the skin has
it or the light.
"""

from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from facegraft.core.geometry import sample
from facegraft.core.types import Face, Frame, Mask
from facegraft.evaluate.look import Seen, outer_eye_distance
from facegraft.evaluate.pixels import luminance
from facegraft.faces.topology import LEFT_BROW, LEFT_EYE, LIPS_OUTER, RIGHT_BROW, RIGHT_EYE, load_topology

MOST = 3.0
"""Stops beyond which nothing is told apart; also the worst value."""
BLUR = 0.06
"""Sigma over which brightness is averaged, in distances of the outer eye corners: grain and pores do not count."""
DARKEST = 1 / 1024
"""Added to brightness of 0..1 before its logarithm: what lies in black is noise."""
STEEPEST = 0.25
"""Least cosine to the line of sight of skin that counts; less is seen at too flat an angle."""
OUTLIER = 0.3
"""Stops off the nine functions at which a point's weight is half: what is no light counts little."""
LEAST_POINTS = 30
"""Whose skin is more in view than not, of some 320; with fewer nothing is said."""
STEPS = 5


def light_apart(seen: Seen, told: Seen) -> float:
    """RMS over the face of what nine functions of direction explain in the difference of log2 brightness.

    Args:
        seen: A picture whose face stands, about, as the other's; of the same size.
        told: The picture whose light is right; its face's directions and its visible skin count.

    Returns:
        Stops, 0..`MOST`; NaN where either has no face, or too little of the other's is in view.
    """
    if seen.face is None or told.face is None or told.visible is None:
        return math.nan
    normals = directions(told.face)
    towards = -normals[:, 2]
    shown = _skin() & (towards > STEEPEST) & _within(told.frame, told.face)
    in_view = _at(told.visible, told.face, (0, 0))
    if (shown & (in_view > 0.5)).sum() < LEAST_POINTS:
        return math.nan
    weights = np.where(shown & _within(seen.frame, seen.face), towards * in_view, 0)
    if weights.sum() <= 0:
        return MOST
    first, second = (brightness(one.frame, face, told.visible) for one, face in ((seen, seen.face), (told, told.face)))
    fitted = _explained((first - second).astype(np.float64), _functions(normals), weights)
    fitted -= np.average(fitted, weights=weights)
    return min(MOST, math.sqrt(float(np.average(fitted**2, weights=weights))))


def light_from(seen: Seen, told: Seen) -> float:
    """`light_apart`; the worst where `seen` has no face and the other's light could have been told."""
    if seen.face is not None or math.isnan(light_apart(told, told)):
        return light_apart(seen, told)
    return MOST


def brightness(frame: Frame, face: Face, visible: Mask) -> Float32[np.ndarray, "k"]:
    """log2 of linear brightness at the mesh's points, averaged around each over what is visible."""
    sigma = BLUR * outer_eye_distance(face)
    places = face.dense[: len(_skin()), :2]
    size = np.array(frame.shape[1::-1])
    low = np.clip(np.floor(places.min(0) - 3 * sigma), 0, size - 1).astype(int)
    high = np.clip(np.ceil(places.max(0) + 3 * sigma), low + 1, size).astype(int)
    near = slice(low[1], high[1]), slice(low[0], high[0])
    stops = np.log2(luminance(frame[near]) + np.float32(DARKEST)).astype(np.float32)
    counted = np.ascontiguousarray(visible[near], np.float32) + np.float32(1e-4)  # all is covered somewhere
    mean = cv2.GaussianBlur(stops * counted, (0, 0), sigma) / cv2.GaussianBlur(counted, (0, 0), sigma)
    return _at(mean.astype(np.float32), face, (int(low[0]), int(low[1])))


def directions(face: Face) -> Float[np.ndarray, "k 3"]:
    """Which way the skin points at the mesh's points: unit vectors, x right, y down, z away from the viewer."""
    topology = load_topology()
    points = face.dense[: len(topology.xyz)].astype(np.float64)
    first, second, third = (points[topology.triangles[:, corner]] for corner in range(3))
    across = np.cross(second - first, third - first)  # as long as the triangle is large: large ones count more
    total = np.zeros_like(points)
    for corner in range(3):
        np.add.at(total, topology.triangles[:, corner], across)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    return np.asarray(-total if np.median(total[:, 2]) > 0 else total, np.float64)


def _functions(normals: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, "k 9"]:
    """Real spherical harmonics up to the second order, but for their factors."""
    x, y, z = normals.T
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], 1)


def _explained(
    apart: Float[np.ndarray, "k"], functions: Float[np.ndarray, "k 9"], weights: Float[np.ndarray, "k"]
) -> Float[np.ndarray, "k"]:
    """Least squares, again and again with less weight on what lies off (Cauchy's weights); a little towards 0."""
    counted, fitted = weights, np.zeros_like(apart)
    little = 1e-4 * weights.sum() * np.eye(functions.shape[1])
    for _ in range(STEPS):
        held = functions * counted[:, None]
        fitted = functions @ np.linalg.solve(held.T @ functions + little, held.T @ apart)
        counted = weights / (1 + ((apart - fitted) / OUTLIER) ** 2)
    return fitted


@cache
def _skin() -> Bool[np.ndarray, "k"]:
    """Points of the mesh that are neither lids nor brows, nor on or within the lips' outline."""
    plane = load_topology().xyz[:, :2].astype(np.float32)
    lips = cv2.convexHull(plane[list(LIPS_OUTER)])
    skin = np.array([cv2.pointPolygonTest(lips, (float(x), float(y)), False) < 0 for x, y in plane])
    skin[[*LEFT_EYE, *RIGHT_EYE, *LEFT_BROW, *RIGHT_BROW]] = False
    return skin


def _at(values: Float32[np.ndarray, "h w"], face: Face, origin_xy: tuple[int, int]) -> Float32[np.ndarray, "k"]:
    """At the mesh's points, of a part of the frame that begins at the origin."""
    places = face.dense[None, : len(_skin()), :2] - np.float32(0.5) - np.array(origin_xy, np.float32)
    return np.asarray(sample(values, places.astype(np.float32))[0], np.float32)


def _within(frame: Frame, face: Face) -> Bool[np.ndarray, "k"]:
    places = face.dense[: len(_skin()), :2]
    return np.asarray(((places >= 0) & (places < frame.shape[1::-1])).all(1))
