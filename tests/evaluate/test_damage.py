"""Each damage does what it says, by how much it says, and nothing beyond the face."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from facegraft.core.types import Face, Frame
from facegraft.evaluate import damage as damages
from facegraft.evaluate.attributes import iris_error
from facegraft.evaluate.damage import (
    DAMAGES,
    REACH,
    Damage,
    blink,
    blur,
    cast_colour,
    inner,
    jitter,
    lose_identity,
    seam,
    shade,
    shift_gaze,
    smile,
    surroundings,
)
from facegraft.evaluate.look import outer_eye_distance
from facegraft.evaluate.pixels import as_lab
from facegraft.faces.topology import LEFT_EYE, MOUTH_LEFT, MOUTH_RIGHT, OVAL, RIGHT_EYE
from tests.evaluate.cases_for_tests import drawn_face, example, known, noise, own_eyes, plain_case, told
from tests.faces.drawn import BLUE, draw, painted, posed, turn

OTHER = np.full((260, 300, 3), (90, 200, 60), np.uint8)


def apart(frame: Frame, other: Frame, inside: np.ndarray) -> float:
    return float(np.abs(frame.astype(float) - other)[inside].mean())


def deep_inside(frame: Frame, face: Face) -> np.ndarray:
    """Well away from the soft edge."""
    return np.asarray(inner(frame, face) == 1)


def worn(dense: np.ndarray) -> Frame:
    """The drawn face of `drawn_face` with other points."""
    return draw(dense.astype(np.float32), painted((205, 165, 140), 6))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_nothing_happens_at_zero_and_nothing_far_from_the_face(damage: Damage) -> None:
    frame, face = drawn_face(eyes_at=0.0)
    case = plain_case(OTHER)
    nothing = damage.call(case, frame, face, 0.0)
    assert np.abs(nothing.astype(int) - frame).max() <= 1
    spoilt = damage.call(case, frame, face, damage.amounts[-1])
    hull = cv2.convexHull(face.dense[list(OVAL), :2])
    outside = np.array([[cv2.pointPolygonTest(hull, (x + 0.5, y + 0.5), True) for x in range(300)] for y in range(260)])
    far = outside < -REACH * outer_eye_distance(face) - 1.5
    assert far.mean() > 0.3
    assert np.array_equal(spoilt[far], frame[far])
    assert np.any(spoilt != frame)
    assert spoilt.dtype == np.uint8


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_more_is_more(damage: Damage) -> None:
    frame, face = drawn_face(eyes_at=0.0)
    hull = surroundings(frame, face) > 0
    changes = [apart(damage.call(plain_case(OTHER), frame, face, amount), frame, hull) for amount in damage.amounts]
    assert damage.amounts == tuple(sorted(damage.amounts))
    assert all(after > 1.05 * before for before, after in itertools.pairwise(changes))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_face_that_leaves_the_picture_is_damaged_where_it_is_seen(damage: Damage) -> None:
    frame, face = drawn_face(at=(20, 30))
    assert damage.call(plain_case(OTHER), frame, face, damage.amounts[-1]).shape == frame.shape


def test_identity_is_mixed_by_its_share() -> None:
    frame, face = drawn_face()
    deep, case = deep_inside(frame, face), plain_case(OTHER)
    assert np.array_equal(lose_identity(case, frame, face, 1.0)[deep], OTHER[deep])
    quarter = lose_identity(case, frame, face, 0.25)[deep].astype(float)
    assert np.abs(quarter - (0.75 * frame[deep] + 0.25 * OTHER[deep])).max() <= 0.5


def test_rolled_is_what_the_face_looks_like_when_rolled_clockwise() -> None:
    frame, face = drawn_face()
    inside = deep_inside(frame, face)
    middle = face.dense.mean(0)

    def rolled(degrees: float) -> Frame:
        return worn((face.dense - middle) @ turn(0, 0, degrees).T + middle)

    spoilt = damages.roll(plain_case(frame), frame, face, 12.0)
    assert apart(spoilt, rolled(12), inside) < 0.2 * apart(spoilt, rolled(0), inside)
    assert apart(spoilt, rolled(12), inside) < 0.2 * apart(spoilt, rolled(-12), inside)


@pytest.mark.parametrize("side", [1, -1])
def test_turned_is_what_the_face_looks_like_when_turned_further(side: int) -> None:
    frame, face = drawn_face(yaw=5 * side)
    inside = deep_inside(frame, face)
    spoilt = damages.yaw(plain_case(frame), frame, face, 10.0)
    further = {extra: posed(yaw=5 * side + extra * side) for extra in (-10, 0, 10)}
    found = own_place(spoilt, worn(further[10]), inside)
    assert found < own_place(spoilt, worn(further[0]), inside)
    assert found < own_place(spoilt, worn(further[-10]), inside)


def own_place(spoilt: Frame, expected: Frame, inside: np.ndarray) -> float:
    """The least difference over shifts by whole pixels along a row: the axis of a turn is a matter of taste."""
    return min(apart(spoilt, np.roll(expected, shift, 1), inside) for shift in range(-12, 13))


def test_irises_move_to_the_right_by_their_share_of_the_eye() -> None:
    frame, face = drawn_face(eyes_at=0.0)
    seen = known(frame, face, told())
    right, expected = shift_gaze(plain_case(frame), frame, face, 10.0), drawn_face(eyes_at=0.1)[0]
    assert iris_error(known(right, face, told()), seen) == pytest.approx(0.1, abs=0.04)
    assert iris_error(known(right, face, told()), known(expected, face, told())) < 0.04
    assert iris_error(known(right, face, told()), known(drawn_face(eyes_at=-0.1)[0], face, told())) > 0.14


def test_a_smile_pulls_the_corners_of_the_mouth_up_and_out() -> None:
    frame, face = drawn_face()
    spoilt = smile(plain_case(frame), frame, face, 8.0)
    unit = outer_eye_distance(face)
    for corner, out in ((MOUTH_LEFT, -1), (MOUTH_RIGHT, 1)):

        def redder(down: int, corner: int = corner, out: int = out) -> int:
            """How much of the lips' red has come to where skin was."""
            x, y = np.rint(face.dense[corner, :2] + np.array([out, down]) * 0.04 * unit).astype(int)
            return int(frame[y, x, 1]) - int(spoilt[y, x, 1])

        assert redder(-1) > 8
        assert redder(1) < 3


def test_lids_come_together_by_their_share() -> None:
    frame, face = drawn_face(eyes_at=0.0)

    def white(picture: Frame) -> int:
        return int((picture.min(2) > 215).sum())

    half, nearly = (blink(plain_case(frame), frame, face, amount) for amount in (50.0, 90.0))
    assert white(frame) > 1.3 * white(half) > 1.3 * white(nearly)


def test_light_from_the_right_is_so_many_stops_at_the_corners_of_the_eyes() -> None:
    frame, face = drawn_face()
    flat_face = np.full_like(frame, 100)
    spoilt = shade(plain_case(frame), flat_face, face, 0.5)
    middle = face.dense[[LEFT_EYE[0], RIGHT_EYE[0]], :2].mean(0)
    half = outer_eye_distance(face) / 2
    for place in (-0.6, 0.0, 0.6):
        x, y = np.rint(middle + np.array([place * half, 0])).astype(int)
        assert spoilt[y, x, 0] == pytest.approx(100 * 2 ** (0.5 * place / 2.2), abs=2)


def test_a_seam_is_where_the_swap_ends_and_single_pixels_are_none() -> None:
    frame, face = drawn_face()
    changed = np.zeros(frame.shape[:2], np.uint8)
    changed[60:160, 100:200] = 255
    changed[110:114, 140:144] = 0
    changed[20, 20] = 255
    spoilt = seam(plain_case(frame, changed=changed), frame, face, 10.0)
    differ = np.any(spoilt != frame, 2)
    assert differ[80:140, 120:180].all()
    assert not differ[:58].any()
    assert not differ[:, 202:].any()
    lightness = (as_lab(spoilt.astype(float)) - as_lab(frame.astype(float)))[80:140, 120:180, 0]
    assert np.median(lightness) == pytest.approx(-10, abs=0.5)
    assert np.array_equal(np.any(seam(plain_case(frame), frame, face, 10.0) != frame, 2)[20:240], oval(face)[20:240])


def oval(face: Face) -> np.ndarray:
    """Inside the oval's hull, by OpenCV's own filling."""
    inside = np.zeros((260, 300), np.uint8)
    hull = cv2.convexHull(np.rint((face.dense[list(OVAL), :2] - 0.5) * 16).astype(np.int32))
    return np.asarray(cv2.fillConvexPoly(inside, hull, 1, cv2.LINE_8, 4) > 0)


def test_blur_takes_detail_and_keeps_the_mean() -> None:
    picture = example("identity_1", 240)
    face = own_eyes().look(picture).face
    assert face is not None
    deep = deep_inside(picture, face)
    detail = []
    for amount in (0.0, 2.0, 8.0):
        spoilt = blur(plain_case(picture), picture, face, amount)
        detail.append(float(cv2.Laplacian(spoilt.astype(np.float32).mean(2), cv2.CV_32F)[deep].var()))
        assert np.abs(spoilt[deep].mean(0) - picture[deep].mean(0)).max() < 4
    assert detail[0] > 2 * detail[1] > 4 * detail[2]


def test_the_cast_is_of_so_many_units_towards_green() -> None:
    frame, face = drawn_face()
    deep = deep_inside(frame, face)
    spoilt = cast_colour(plain_case(frame), frame, face, 10.0)
    change = (as_lab(spoilt.astype(float)) - as_lab(frame.astype(float)))[deep]
    assert np.median(change, 0) == pytest.approx([0, -10, 0], abs=0.5)


def test_jitter_shifts_each_frame_by_its_own_way() -> None:
    face = drawn_face()[1]
    grain = cv2.GaussianBlur(noise(0, (260, 300)).astype(np.float32), (0, 0), 2)
    frame = np.clip(128 + 4 * (grain - grain.mean()), 0, 255).astype(np.uint8)
    shaken = jitter([frame] * 40, [face] * 40, 2.0, seed=3)
    again = jitter([frame] * 40, [face] * 40, 2.0, seed=3)
    assert all(np.array_equal(first, second) for first, second in zip(shaken, again, strict=True))
    assert np.array_equal(jitter([frame], [face], 0.0)[0], frame)
    x, y = np.rint(face.dense[:, :2].mean(0)).astype(int)
    grey = [each[y - 32 : y + 32, x - 32 : x + 32].astype(np.float64).mean(2) - 128 for each in (frame, *shaken)]
    window = cv2.createHanningWindow((64, 64), cv2.CV_64F)
    ways = [cv2.phaseCorrelate(grey[0].copy(), other, window)[0] for other in grey[1:]]
    assert np.sqrt(np.square(ways).sum(1).mean()) == pytest.approx(2, rel=0.3)
    with pytest.raises(ValueError, match="shorter"):
        jitter([frame, frame], [face], 1.0)


def test_the_edge_is_soft() -> None:
    frame, face = drawn_face()
    weight = inner(frame, face)
    assert weight.min() == 0
    assert weight.max() == 1
    assert float(np.abs(np.diff(weight, axis=1)).max()) < 0.25
    around = surroundings(frame, face)
    assert np.all(around >= weight)
    assert np.all(around[inner(frame, face) > 0] == 1)
    assert tuple(frame[0, 0]) == BLUE
