"""What an answer kept: nothing is lost where nothing changed, a known change is measured, failures are worst."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facegraft.core.types import Face
from facegraft.evaluate import attributes
from facegraft.evaluate.attributes import EXPRESSIVE, angle_between, rotation_of
from facegraft.evaluate.pixels import CAP_DB
from facegraft.evaluate.protocol import worst_of
from facegraft.faces.topology import LEFT_EYE, RIGHT_EYE, head_pose, load_topology
from tests.evaluate.cases_for_tests import (
    case_of_examples,
    drawn_face,
    example,
    known,
    known_views,
    own_eyes,
    plain_case,
    told,
)
from tests.faces.drawn import as_faces, turn

NAMES = {metric.name for metric in attributes.METRICS}
ANGLES = st.floats(-60, 60)


def with_dense(face: Face, dense: np.ndarray) -> Face:
    return as_faces(np.ascontiguousarray(dense, np.float32))[0]


def test_the_same_picture_kept_everything() -> None:
    case = case_of_examples(attribute="attribute_2", truth=False)
    seen = own_eyes().look(case.attribute)
    found = attributes.values(case, known_views(seen, own_eyes().look(case.attribute.copy())))
    assert set(found) == NAMES
    decibels = {"background_psnr", "occluder_psnr"}
    assert all(found[name] == pytest.approx(0, abs=1e-4) for name in NAMES - decibels)
    assert all(found[name] == CAP_DB for name in decibels)  # she wears glasses


def test_a_mirrored_picture_did_not() -> None:
    picture = example("attribute_1")
    seen = own_eyes().look(picture)
    found = attributes.values(
        plain_case(picture), known_views(seen, own_eyes().look(np.ascontiguousarray(picture[:, ::-1])))
    )
    assert seen.face is not None
    assert found["pose_degrees"] > abs(float(seen.face.pose_degrees[0]))  # twice the yaw
    assert found["light"] > 0.2  # it comes from one side
    assert found["background_psnr"] < 30


def test_an_attribute_picture_without_a_face_tells_nothing() -> None:
    frame, face = drawn_face()
    found = attributes.values(plain_case(frame), known_views(known(frame, None), known(frame, face, told())))
    assert set(found) == NAMES
    assert all(np.isnan(value) for value in found.values())


def test_an_answer_without_a_face_gets_the_worst_but_for_what_needs_none() -> None:
    frame, face = drawn_face()
    case, seen = plain_case(frame), known(frame, face, told())
    found = attributes.values(case, known_views(seen, known(frame, None)))
    worst = worst_of(attributes.METRICS)
    assert {name for name in NAMES if found[name] == worst[name]} >= NAMES - {"background_psnr", "occluder_psnr"}
    assert found["background_psnr"] == CAP_DB
    hidden = known(frame, face, told())
    hidden.visible = np.zeros(frame.shape[:2], np.float32)  # type: ignore[misc]  # a cached property takes it
    assert np.isnan(attributes.values(case, known_views(hidden, known(frame, None)))["light"])
    shut = known(frame, face, told(opening=(0.02, 0.02, 0.0)))
    assert np.isnan(attributes.values(case, known_views(shut, known(frame, None)))["gaze_degrees"])


@given(yaw=ANGLES, pitch=ANGLES, roll=ANGLES)
def test_rotations_are_those_of_the_heads_angles(yaw: float, pitch: float, roll: float) -> None:
    rotation = rotation_of(yaw, pitch, roll)
    assert rotation == pytest.approx(turn(yaw, pitch, roll), abs=1e-12)
    topology = load_topology()
    dense = topology.xyz.astype(np.float64) @ rotation.T
    assert head_pose(topology, dense) == pytest.approx([yaw, pitch, roll], abs=1e-2)


@given(seed=st.integers(0, 10_000), degrees=st.floats(0, 180))
def test_the_angle_between_rotations(seed: int, degrees: float) -> None:
    first = Rotation.random(rng=np.random.default_rng(seed))
    axis = np.random.default_rng(seed + 1).normal(size=3)
    second = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis)) * first
    assert angle_between(second.as_matrix(), first.as_matrix()) == pytest.approx(degrees, abs=1e-4)


@pytest.mark.parametrize("angles", [(10.0, 0.0, 0.0), (0.0, 10.0, 0.0), (0.0, 0.0, 10.0)])
def test_pose_of_points_and_of_what_is_read_turns_as_the_head_does(angles: tuple[float, float, float]) -> None:
    frame, face = drawn_face()
    turned, other = drawn_face(yaw=angles[0], pitch=angles[1], roll=angles[2])
    # crops have level eyes, so a reader sees no roll of the head that its eyes share
    seen = known(turned, other, told(pose=(angles[0], angles[1], 0)))
    found = attributes.values(plain_case(frame), known_views(known(frame, face, told()), seen))
    assert found["pose_degrees"] == pytest.approx(10, abs=0.2)


@settings(max_examples=20)
@given(yaw=ANGLES, roll=ANGLES, size=st.floats(0.5, 2))
def test_expression_does_not_see_pose_size_or_place(yaw: float, roll: float, size: float) -> None:
    _, face = drawn_face()
    dense = (face.dense @ turn(yaw, 0, roll).T * size + [30, -20, 5]).astype(np.float32)
    assert attributes.expression_distance(dense, face.dense) < 1e-4


def test_expression_sees_a_raised_brow_and_a_moved_jaw_but_little_of_a_long_nose() -> None:
    topology, (_, face) = load_topology(), drawn_face()
    unit = attributes.outer_eye_distance(face)
    raised = face.dense.copy()
    raised[list(EXPRESSIVE), 1] -= 0.1 * unit
    assert attributes.expression_distance(raised, face.dense) == pytest.approx(0.1, abs=0.03)
    nose = face.dense.copy()
    nose[1, 1] += 0.1 * unit
    assert attributes.expression_distance(nose, face.dense) < 0.005
    assert len(set(EXPRESSIVE)) == len(EXPRESSIVE) < len(topology.xyz) / 4


def test_gaze_is_an_angle_in_space() -> None:
    assert attributes.gaze_error(told(gaze=(15, 0)), told(gaze=(5, 0))) == pytest.approx(10, abs=1e-4)
    assert attributes.gaze_error(told(gaze=(0, -8)), told(gaze=(0, 4))) == pytest.approx(12, abs=1e-4)
    # far up, a turn about the upright axis is a smaller angle
    high = attributes.gaze_error(told(gaze=(10, 60)), told(gaze=(-10, 60)))
    assert high == pytest.approx(np.degrees(np.arccos(0.75 + 0.25 * np.cos(np.radians(20)))), abs=1e-4)


def test_gaze_counts_only_eyes_open_in_the_attribute_picture() -> None:
    one = told(opening=(0.3, 0.02, 0.0))
    off = dataclasses.replace(told(), gaze_degrees=np.array([[4, 0], [40, 0]], np.float32))
    assert attributes.gaze_error(off, one) == pytest.approx(4, abs=1e-3)
    assert np.isnan(attributes.gaze_error(off, told(opening=(0.05, 0.02, 0.4))))


@pytest.mark.parametrize("shift", [0.05, 0.1, -0.1])
def test_irises_are_found_where_they_were_drawn(shift: float) -> None:
    ahead, face = drawn_face(eyes_at=0.0)
    aside, _ = drawn_face(eyes_at=shift)
    found = attributes.iris_error(known(aside, face, told()), known(ahead, face, told()))
    assert found == pytest.approx(abs(shift), abs=0.02)
    places = [attributes.iris_place(known(aside, face), ring) for ring in (LEFT_EYE, RIGHT_EYE)]
    assert places == pytest.approx([shift, shift], abs=0.03)
    elsewhere, other = drawn_face(eyes_at=0.0, at=(140, 100), roll=10)
    assert attributes.iris_error(known(elsewhere, other, told()), known(ahead, face, told())) < 0.02


def test_openings_and_weights_are_differences() -> None:
    frame, face = drawn_face()
    seen = known(frame, face, told())
    other = known(frame, face, told(opening=(0.2, 0.4, 0.15), expression=0.25))
    found = attributes.values(plain_case(frame), known_views(seen, other))
    assert found["eyes_opening"] == pytest.approx(10, abs=1e-3)
    assert found["mouth_opening"] == pytest.approx(10, abs=1e-3)
    assert found["expression_weights"] == pytest.approx(5, abs=1e-3)
    assert found["pose_degrees"] == found["expression_points"] == found["gaze_degrees"] == found["light"] == 0


def test_background_and_what_covers_are_told_apart_from_the_face() -> None:
    frame, face = drawn_face()
    occluder = np.zeros(frame.shape[:2], np.uint8)
    nose = np.rint(face.dense[1, :2]).astype(int)
    cv2.circle(occluder, tuple(nose.tolist()), 15, 255, -1)
    case, seen = plain_case(frame, occluder=occluder), known(frame, face, told())

    def of(spoilt: np.ndarray) -> tuple[float, float]:
        answer = np.where(spoilt[..., None], 255 - frame, frame)
        found = attributes.values(case, known_views(seen, known(answer, face, told())))
        return found["background_psnr"], found["occluder_psnr"]

    def disc(at: np.ndarray, radius: int) -> np.ndarray:
        return np.asarray(
            cv2.circle(np.zeros(frame.shape[:2], np.uint8), np.rint(at).astype(int).tolist(), radius, 1, -1)
        )

    assert of(disc(np.array([10, 10]), 8) > 0)[0] < 35
    assert of(disc(np.array([10, 10]), 8) > 0)[1] == CAP_DB
    assert of(disc(nose, 8) > 0)[0] == CAP_DB
    assert of(disc(nose, 8) > 0)[1] < 15
    beside = face.dense[RIGHT_EYE[0], :2]
    assert of(disc(beside, 3) > 0) == (CAP_DB, CAP_DB)


def test_nothing_before_the_face_is_no_occluder_and_what_the_truth_changes_is_no_background() -> None:
    frame, face = drawn_face()
    seen = known(frame, face, told())
    spoilt = frame.copy()
    spoilt[:20] = 0
    nothing = np.zeros(frame.shape[:2], np.uint8)
    changed = nothing.copy()
    changed[:20] = 255
    found = attributes.values(
        plain_case(frame, occluder=nothing, changed=changed), known_views(seen, known(spoilt, face, told()))
    )
    assert np.isnan(found["occluder_psnr"])
    assert found["background_psnr"] == CAP_DB
