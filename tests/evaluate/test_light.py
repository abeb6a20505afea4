"""Light apart: what the measured difference answers to, and what it leaves out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegraft.core.types import Face, Frame
from facegraft.evaluate.damage import shade
from facegraft.evaluate.light import LEAST_POINTS, MOST, brightness, directions, light_apart, light_from
from facegraft.evaluate.look import Seen
from facegraft.faces.topology import LEFT_BROW, LEFT_EYE, LIPS_OUTER, RIGHT_BROW, RIGHT_EYE
from tests.evaluate.cases_for_tests import drawn_face, known, plain_case


def looked_at(frame: Frame, face: Face, visible: np.ndarray | None = None) -> Seen:
    """A picture whose face is in view, or as far as `visible` says."""
    seen = known(frame, face)
    seen.visible = np.ones(frame.shape[:2], np.float32) if visible is None else visible  # type: ignore[misc]
    return seen


def gains(frame: Frame, face: Face, way: tuple[float, float, float], stops: float) -> np.ndarray:
    """Factors on light that comes from a direction: `stops` where the skin points there; h x w, smooth."""
    gain = np.exp2(stops * directions(face) @ np.array(way)).astype(np.float32)
    points = np.rint(face.dense[: len(gain), :2]).astype(int)
    x, y = np.clip(points[:, 0], 0, frame.shape[1] - 1), np.clip(points[:, 1], 0, frame.shape[0] - 1)
    total, count = np.zeros(frame.shape[:2], np.float32), np.zeros(frame.shape[:2], np.float32)
    np.add.at(total, (y, x), gain)
    np.add.at(count, (y, x), 1)
    smooth = cv2.GaussianBlur(total, (0, 0), 6) / np.maximum(cv2.GaussianBlur(count, (0, 0), 6), 1e-6)
    return np.maximum(smooth, 1e-3)


def test_the_same_light_is_nothing_apart_whatever_its_strength_and_colour() -> None:
    frame, face = drawn_face()
    told = looked_at(frame, face)
    assert light_apart(told, told) == 0
    darker = (frame * np.float32(0.7)).astype(np.uint8)
    assert light_apart(looked_at(darker, face), told) < 0.03
    warmer = (frame * np.array([1.0, 0.9, 0.7], np.float32)).astype(np.uint8)
    assert light_apart(looked_at(warmer, face), told) < 0.03


@pytest.mark.parametrize("amount", [0.25, 0.5, 1.0])
def test_a_lamp_from_one_side_is_seen_in_proportion(amount: float) -> None:
    frame, face = drawn_face()
    darker = (frame * np.float32(0.6)).astype(np.uint8)  # no level may be cut off above
    told = looked_at(darker, face)
    found = light_apart(looked_at(shade(plain_case(darker), darker, face, amount), face), told)
    assert 0.25 * amount < found < 0.75 * amount


@settings(deadline=None, max_examples=20)
@given(way=st.sampled_from([(1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (-0.7, 0.7, 0.0)]), stops=st.floats(0.2, 1.2))
def test_light_from_anywhere_counts_both_ways_alike(way: tuple[float, float, float], stops: float) -> None:
    frame, face = drawn_face()
    dark = (frame * np.float32(0.5)).astype(np.uint8)
    gain = gains(dark, face, way, stops)
    lit = np.clip(dark * gain[..., None] ** (1 / 2.2), 0, 255).astype(np.uint8)
    told, seen = looked_at(dark, face), looked_at(lit, face)
    found, back = light_apart(seen, told), light_apart(told, seen)
    normals = directions(face)
    x, y = np.rint(face.dense[: len(normals), :2]).astype(int).T
    right = float(np.std(np.log2(gain[y, x])[normals[:, 2] < -0.25]))
    assert 0.6 * right < found < 1.1 * right
    assert back == pytest.approx(found, rel=0.05)


def test_painted_features_hardly_count() -> None:
    """Darker brows, eyes and lips are the person's."""
    frame, face = drawn_face()
    painted = frame.copy()
    for ring in (LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW, LIPS_OUTER):
        hull = cv2.convexHull(np.rint(face.dense[list(ring), :2]).astype(np.int32))
        cv2.fillConvexPoly(painted, hull, (90, 50, 45))
    told = looked_at(frame, face)
    lamp = shade(plain_case(frame), frame, face, 0.5)
    assert light_apart(looked_at(painted, face), told) < 0.35 * light_apart(looked_at(lamp, face), told)


def test_a_dark_and_shaded_face_counts_as_a_bright_one() -> None:
    frame, face = drawn_face()
    shaded = shade(plain_case(frame), (frame * np.float32(0.4)).astype(np.uint8), face, 1.0)
    half = np.clip(255 * (shaded / 255) * 0.5 ** (1 / 2.4), 0, 255).astype(np.uint8)  # about one stop less everywhere
    assert light_apart(looked_at(half, face), looked_at(shaded, face)) < 0.05


def test_what_covers_the_face_does_not_count() -> None:
    frame, face = drawn_face()
    covered = frame.copy()
    edge = round(float(np.median(face.dense[:, 0])))
    covered[:, :edge] = 20
    visible = np.ones(frame.shape[:2], np.float32)
    visible[:, :edge] = 0
    assert light_apart(looked_at(covered, face), looked_at(frame, face)) > 0.5
    assert light_apart(looked_at(covered, face), looked_at(frame, face, visible)) < 0.02


def test_nothing_is_said_without_a_face_or_of_a_covered_one() -> None:
    frame, face = drawn_face()
    told = looked_at(frame, face)
    assert np.isnan(light_apart(known(frame, None), told))
    assert np.isnan(light_apart(told, known(frame, None)))
    hidden = looked_at(frame, face, np.full(frame.shape[:2], 0.2, np.float32))
    assert np.isnan(light_apart(told, hidden))
    assert light_from(known(frame, None), told) == MOST
    assert np.isnan(light_from(known(frame, None), hidden))
    assert light_from(told, told) == 0


def test_a_face_at_the_border_is_judged_by_what_lies_within() -> None:
    frame, face = drawn_face()
    edge = round(float(np.quantile(face.dense[:, 0], 0.6)))
    cut = np.ascontiguousarray(frame[:, :edge])
    told = looked_at(cut, face)
    lit = np.ascontiguousarray(shade(plain_case(frame), frame, face, 0.5)[:, :edge])
    assert light_apart(told, told) == 0
    assert 0.05 < light_apart(looked_at(lit, face), told) < 0.5
    beyond = np.ascontiguousarray(frame[:, : round(float(np.sort(face.dense[:, 0])[LEAST_POINTS // 2]))])
    assert np.isnan(light_apart(looked_at(beyond, face), looked_at(beyond, face)))


def test_nothing_is_worse_than_the_worst() -> None:
    frame, face = drawn_face()
    split = np.zeros_like(frame)
    split[:, round(float(face.dense[1, 0])) :] = 255
    assert light_apart(looked_at(split, face), looked_at(255 - split, face)) == MOST


def test_directions_point_out_of_the_head() -> None:
    _, face = drawn_face()
    normals = directions(face)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert normals[1, 2] < -0.5  # the tip of the nose, at the viewer
    left, right = normals[LEFT_EYE[0], 0], normals[RIGHT_EYE[0], 0]
    assert left * right < 0
    assert np.sign(right - left) == np.sign(face.dense[RIGHT_EYE[0], 0] - face.dense[LEFT_EYE[0], 0])


def test_brightness_is_in_stops_of_light() -> None:
    _, face = drawn_face()
    one, other = (np.full((240, 320, 3), level, np.uint8) for level in (188, 137))  # linear .503 and .251
    visible = np.ones((240, 320), np.float32)
    apart = brightness(one, face, visible) - brightness(other, face, visible)
    assert apart == pytest.approx(np.full(len(apart), 1.0), abs=0.02)
