"""Errors against the truth: nothing where it is met, the known amount where it is missed, nothing known without it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facegraft.core.types import Face
from facegraft.evaluate import truth
from facegraft.evaluate.look import outer_eye_distance
from facegraft.evaluate.pixels import CAP_DB
from facegraft.evaluate.protocol import worst_of
from tests.evaluate.cases_for_tests import case_of_examples, drawn_face, known, known_views, own_eyes, plain_case, told

NAMES = {metric.name for metric in truth.METRICS}


def shifted(face: Face, by_xy: tuple[float, float]) -> Face:
    dense = face.dense + np.array([*by_xy, 0], np.float32)
    return dataclasses.replace(face, dense=dense, points5=face.points5 + np.array(by_xy, np.float32))


def test_the_truth_itself_has_no_error() -> None:
    case = case_of_examples()
    assert case.truth is not None
    attribute, answer = own_eyes().look(case.attribute), own_eyes().look(case.truth)
    found = truth.values(case, known_views(attribute, answer, own_eyes().look(case.truth)))
    assert set(found) == NAMES
    assert found["psnr_inside"] == CAP_DB
    assert found["ssim_inside"] == pytest.approx(1)
    assert found["colour_error"] == found["perceptual_inside"] == found["landmark_truth"] == 0
    assert found["outside_changed"] == 100  # the made-up truth is brighter everywhere


def test_the_attribute_picture_misses_a_truth_that_is_brighter_by_six() -> None:
    case = case_of_examples()
    assert case.truth is not None
    attribute = own_eyes().look(case.attribute)
    found = truth.values(case, known_views(attribute, attribute, own_eyes().look(case.truth)))
    assert found["psnr_inside"] == pytest.approx(20 * np.log10(255 / 6), abs=0.1)
    assert 0 < found["colour_error"] < 4
    assert found["perceptual_inside"] > 0
    assert found["outside_changed"] == 0
    assert found["outside_psnr"] == CAP_DB


def test_without_a_truth_nothing_is_known() -> None:
    case = case_of_examples(truth=False)
    seen = own_eyes().look(case.attribute)
    found = truth.values(case, known_views(seen, seen))
    assert set(found) == NAMES
    assert all(np.isnan(value) for value in found.values())


def test_the_other_right_answer_is_the_one_in_the_attributes_skin_colour() -> None:
    case = case_of_examples()
    assert case.truth is not None
    toned = dataclasses.replace(case, toned=np.clip(case.truth.astype(int) - 9, 0, 255).astype(np.uint8))
    attribute, right = own_eyes().look(case.attribute), own_eyes().look(case.truth)
    found = truth.values(toned, known_views(attribute, right, right))
    assert found["psnr_inside"] == CAP_DB
    assert found["psnr_toned"] == pytest.approx(20 * np.log10(255 / 9), abs=0.2)
    assert toned.toned is not None
    other = truth.values(toned, known_views(attribute, own_eyes().look(toned.toned), right))
    assert other["psnr_toned"] == CAP_DB
    assert other["psnr_inside"] < 30
    assert np.isnan(truth.values(case, known_views(attribute, right, right))["psnr_toned"])


def test_inside_is_where_the_truth_changes_the_picture_and_nowhere_else() -> None:
    frame, face = drawn_face()
    changed = np.zeros(frame.shape[:2], np.uint8)
    changed[100:140, 120:180] = 255
    right = frame.copy()
    right[changed > 0] = 90
    case = plain_case(frame, right, changed=changed)
    seen = known(frame, face)
    good = truth.values(case, known_views(seen, known(right, face), known(right, face)))
    assert (good["psnr_inside"], good["outside_changed"], good["outside_psnr"]) == (CAP_DB, 0, CAP_DB)
    spilt = right.copy()
    spilt[:10, :10] += 40  # 100 pixels where the truth keeps the picture
    found = truth.values(case, known_views(seen, known(spilt, face), known(right, face)))
    assert found["psnr_inside"] == CAP_DB
    assert found["outside_changed"] == pytest.approx(100 * 100 / (changed == 0).sum())
    assert found["outside_psnr"] == pytest.approx(10 * np.log10(255**2 / (40**2 * 100 / (changed == 0).sum())))
    kept = truth.values(case, known_views(seen, seen, known(right, face)))
    assert kept["psnr_inside"] < 30
    assert kept["outside_changed"] == 0


def test_a_known_shift_of_the_points_is_the_landmark_error() -> None:
    _, face = drawn_face()
    moved = shifted(face, (3, 4))
    assert outer_eye_distance(face) == pytest.approx(80, abs=1)
    assert truth.landmark_distance(moved, face) == pytest.approx(100 * 5 / outer_eye_distance(face), rel=1e-4)
    assert truth.landmark_distance(shifted(face, (900, 0)), face) == 100
    assert truth.expression_from(moved, face) < 1e-3
    turned = dataclasses.replace(face, dense=np.ascontiguousarray(face.dense[:, [1, 0, 2]]))
    assert truth.landmark_distance(turned, face) > 20


def test_an_answer_without_a_face_gets_the_worst_where_a_face_is_needed() -> None:
    frame, face = drawn_face()
    blank = np.full_like(frame, 128)
    case = plain_case(frame, frame)
    found = truth.values(case, known_views(known(frame, face), known(blank, None), known(frame, face, told())))
    worst = worst_of(truth.METRICS)
    assert found["perceptual_inside"] == worst["perceptual_inside"]
    assert found["landmark_truth"] == worst["landmark_truth"]
    assert found["expression_truth"] == worst["expression_truth"]
    assert (found["gaze_truth"], found["light_truth"]) == (worst["gaze_truth"], worst["light_truth"])
    assert 0 < found["psnr_inside"] < 20
    assert 0 <= found["ssim_inside"] < 0.9
    assert {name for name, value in found.items() if np.isnan(value)} == {"psnr_toned"}


def test_gaze_is_read_against_the_truth_of_the_same_person() -> None:
    assert truth.gaze_from(told(gaze=(7, 0)), told(gaze=(-3, 0))) == pytest.approx(10, abs=1e-3)
    assert truth.gaze_from(told(), told()) == pytest.approx(0, abs=1e-4)
    shut = told(opening=(0.01, 0.02, 0.1))
    assert np.isnan(truth.gaze_from(told(), shut))
    assert np.isnan(truth.gaze_from(None, shut))
    assert np.isnan(truth.gaze_from(told(), None))


def test_perceptual_distance_weighs_places_by_what_lies_inside() -> None:
    frame, face = drawn_face()
    spoilt = frame.copy()
    spoilt[150:] = 255 - spoilt[150:]  # below the nose
    above = np.zeros(frame.shape[:2], bool)
    above[:120] = True
    seen, other = known(frame, face), known(spoilt, face)
    assert truth.perceptual(seen, known(frame, face), above) == 0
    inside_above, inside_below = truth.perceptual(other, seen, above), truth.perceptual(other, seen, ~above)
    assert inside_below > 5 * inside_above
    assert inside_below <= 2
    assert np.isnan(truth.perceptual(other, seen, np.zeros(frame.shape[:2], bool)))


def test_no_answer_is_worse_than_the_worst() -> None:
    frame, face = drawn_face()
    far = shifted(face, (500, 500))
    case = dataclasses.replace(plain_case(frame, frame), toned=frame)
    black = np.zeros_like(frame)
    read, right = told(gaze=(-90, 0)), told(gaze=(90, 0))
    found = truth.values(case, known_views(known(frame, face), known(black, far, read), known(frame, face, right)))
    assert found["gaze_truth"] == pytest.approx(180)
    for metric in truth.METRICS:
        value = found[metric.name]
        assert value >= metric.worst if metric.better == "high" else value <= metric.worst
