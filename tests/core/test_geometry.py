"""Fits, warps and boxes against closed forms and round trips."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegraft.core.geometry import (
    box_overlap,
    compose,
    fit_rigid3,
    fit_similarity,
    invert,
    keep_best,
    similarity_scale,
    transform,
    warp,
)


def similarity(scale: float, degrees: float, x: float, y: float) -> np.ndarray:
    cos, sin = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[cos, -sin, x], [sin, cos, y]], np.float32)


@given(st.floats(0.1, 8), st.floats(-180, 180), st.floats(-300, 300), st.floats(-300, 300))
def test_a_similarity_is_found_again(scale: float, degrees: float, x: float, y: float) -> None:
    points = np.random.default_rng(0).uniform(-50, 50, (5, 2)).astype(np.float32)
    truth = similarity(scale, degrees, x, y)
    found = fit_similarity(points, transform(truth, points))
    np.testing.assert_allclose(transform(found, points), transform(truth, points), atol=2e-3 * max(1, scale))
    assert similarity_scale(found) == pytest.approx(scale, rel=1e-3)


def test_a_mirrored_face_is_never_fitted_by_mirroring() -> None:
    points = np.array([[0, 0], [10, 0], [5, 5], [1, 10], [9, 10]], np.float32)
    found = fit_similarity(points, points * [-1, 1])
    assert np.linalg.det(found[:, :2]) > 0


def test_equal_points_give_a_shift() -> None:
    points = np.full((5, 2), 3, np.float32)
    np.testing.assert_allclose(fit_similarity(points, points + 4), [[1, 0, 4], [0, 1, 4]], atol=1e-6)


def test_weights_switch_points_off() -> None:
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    onto = points + np.array([[2, 3]] * 3 + [[90, 90]], np.float32)
    found = fit_similarity(points, onto, np.array([1.0, 1, 1, 0]))
    np.testing.assert_allclose(found, [[1, 0, 2], [0, 1, 3]], atol=1e-5)


@given(st.integers(0, 2**31))
def test_a_rigid_fit_in_space_is_found_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(20, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    scale, shift = rng.uniform(0.2, 5), rng.normal(size=3)
    found_scale, found_turn, found_shift = fit_rigid3(points, scale * points @ turn.T + shift)
    assert found_scale == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(found_turn, turn, atol=1e-6)
    np.testing.assert_allclose(found_shift, shift, atol=1e-6)


def test_invert_and_compose() -> None:
    first, then = similarity(2, 30, 5, -3), similarity(0.5, -70, 1, 8)
    points = np.array([[1, 2], [30, -4]], np.float32)
    np.testing.assert_allclose(
        transform(compose(first, then), points), transform(then, transform(first, points)), atol=1e-4
    )
    np.testing.assert_allclose(transform(invert(first), transform(first, points)), points, atol=1e-4)


def test_warp_by_a_whole_pixel_moves_pixels_exactly() -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    moved = warp(image, np.array([[1, 0, 3], [0, 1, 2]], np.float32), (30, 20))
    np.testing.assert_array_equal(moved[2:, 3:], image[:-2, :-3])


def test_warp_keeps_pixel_centres_when_it_doubles() -> None:
    """Doubling puts the centre of pixel 0 (0.5) to 1.0, between the new pixels 0 and 1: both lean to it equally."""
    image = np.array([[0, 100]], np.float32).repeat(2, 0)
    doubled = warp(image, np.array([[2, 0, 0], [0, 2, 0]], np.float32), (4, 4))
    np.testing.assert_allclose(doubled[0], [0, 25, 75, 100], atol=0.5)


def test_a_point_and_its_picture_move_together() -> None:
    image = np.zeros((101, 101), np.float32)
    image[40, 60] = 255
    image = cv2.GaussianBlur(image, (0, 0), 2.5)
    matrix = similarity(1.4, 25, 10, -20)
    moved = warp(image, matrix, (160, 160), border=cv2.BORDER_CONSTANT)
    y, x = np.mgrid[0:160, 0:160] + 0.5
    centre = [(moved * x).sum() / moved.sum(), (moved * y).sum() / moved.sum()]
    np.testing.assert_allclose(centre, transform(matrix, np.array([[60.5, 40.5]]))[0], atol=0.05)


def test_shrinking_averages_instead_of_picking() -> None:
    """A fine chequerboard shrunk eight times must be even grey; single samples would flicker."""
    image = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    small = warp(image, similarity(1 / 8, 7, 0, 0), (24, 24))
    assert small[6:20, 6:20].std() < 4
    assert abs(small[6:20, 6:20].mean() - 127.5) < 3


def test_overlap_and_suppression() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(box_overlap(boxes[0], boxes), [1, 81 / 119, 0], atol=1e-6)
    assert keep_best(boxes, np.array([0.5, 0.9, 0.1], np.float32), 0.5) == [1, 2]


def test_a_box_in_a_better_box_is_dropped_when_asked() -> None:
    boxes = np.array([[0, 0, 100, 100], [40, 40, 60, 60]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    assert keep_best(boxes, scores, 0.4) == [0, 1]
    assert keep_best(boxes, scores, 0.4, containment=0.7) == [0]
