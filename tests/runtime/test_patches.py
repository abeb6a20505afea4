"""What another lamp leaves of itself in patches of a swapped face, and the border of what a photo shows."""

import cv2
import numpy as np
import pytest

from facegraft.core.geometry import transform
from facegraft.faces.layers import to_pixels
from facegraft.faces.topology import load_topology
from facegraft.faces.visible import Uncovered
from facegraft.runtime.light import PATCH_KEPT, PATCH_LIMIT, match_patches
from facegraft.runtime.texture import COVERED_REACH, unroll
from facegraft.runtime.warp import Photo, encode, make_plan, swap_face
from tests.faces.drawn import LIGHT_SKIN, as_faces, draw, painted, posed

MESH = load_topology()
SKIN = np.array([132, 120, 108], np.float32)


def patched(change, *, sigma=2.0, weight=None):
    """A skin of level 120 whose square of 24 x 24 pixels differs by this log, put into an even frame; 96 x 96."""
    lit = np.full((96, 96, 3), (132, 120, 108), np.float32)
    lit[36:60, 36:60] *= np.exp(np.float32(change))
    goal = np.full((96, 96, 3), (132, 120, 108), np.uint8)
    weight = np.ones((48, 48), np.float32) if weight is None else weight
    return lit, match_patches(lit, goal, weight, sigma, 4 * sigma)


@pytest.mark.parametrize("change", [0.5, -0.5])
def test_highlights_and_shadows_keep_only_what_a_patch_may(change):
    lit, tempered = patched(change, sigma=1.0)
    left = np.log(tempered[48, 48] / np.array([132, 120, 108]))
    np.testing.assert_allclose(left, np.sign(change) * PATCH_KEPT, atol=0.02)  # no colour of its own either
    np.testing.assert_allclose(tempered[:20], lit[:20], atol=0.01)


def test_what_differs_little_is_the_persons_and_stays():
    lit, tempered = patched(0.6 * PATCH_KEPT)
    np.testing.assert_allclose(tempered, lit, atol=0.01)
    lit, tempered = patched(0.5, weight=np.zeros((48, 48), np.float32))
    np.testing.assert_array_equal(tempered, lit)


def test_a_change_of_a_patch_is_bounded_and_stays_below_white():
    _, tempered = patched(-2.5)
    assert np.log(tempered[48, 48, 1] / 120) == pytest.approx(-2.5 + PATCH_LIMIT, abs=0.05)
    lit, goal = np.full((16, 16, 3), 150, np.float32), np.full((16, 16, 3), 230, np.uint8)
    lit[8, 8] = 250
    assert match_patches(lit, goal, np.ones((16, 16), np.float32), 1.0, 4.0).max() == 255


def test_hair_beside_skin_does_not_count():
    lit, goal, weight = np.full((32, 32, 3), 120, np.float32), np.full((32, 32, 3), 120, np.uint8), np.ones((32, 32))
    lit[:, 16:], weight[:, 16:] = 10, 0
    np.testing.assert_allclose(match_patches(lit, goal, weight.astype(np.float32), 2.0, 8.0), lit, atol=0.01)


def test_a_few_cells_of_skin_say_little_of_a_patch():
    lone = np.zeros((48, 48), np.float32)
    lone[24, 24] = 1
    lit, tempered = patched(0.5, weight=lone)
    change = np.log(tempered / lit)
    assert -0.05 < change.min() < -0.001


def test_burnt_out_skin_of_the_frame_does_not_brighten_a_patch():
    lit, goal = np.full((32, 32, 3), 120, np.float32), np.full((32, 32, 3), 255, np.uint8)
    np.testing.assert_array_equal(match_patches(lit, goal, np.ones((32, 32), np.float32), 2.0, 8.0), lit)


def stained(in_face, in_frame):
    """An even skin with a square stain of these factors in the face, and in the frame; 96 x 96. Log of the result."""
    lit, goal = np.full((96, 96, 3), SKIN), np.full((96, 96, 3), SKIN)
    lit[36:60, 36:60] *= np.float32(in_face)
    goal[36:60, 36:60] *= np.float32(in_frame)
    goal = np.rint(goal).astype(np.uint8)
    made = match_patches(lit, goal, np.ones((48, 48), np.float32), 1.0, 24.0)
    return np.log(made[48, 48] / SKIN)


def test_a_stain_of_another_lamp_is_taken_out():
    """Violet, of the same brightness."""
    violet = np.array([1.06, 0.88, 1.08])
    np.testing.assert_allclose(stained(violet, np.ones(3)), np.log(violet).mean(), atol=0.02)


def test_a_stain_that_the_frame_has_too_stays():
    blue = np.array([0.9, 1.0, 1.12])
    np.testing.assert_allclose(stained(blue, blue), np.log(blue), atol=0.02)


def test_a_tint_between_that_of_the_frame_s_patch_and_its_surroundings_stays():
    """A highlight's blue does not come without its shine; what is half as blue is no stain either."""
    blue = np.array([0.86, 1.0, 1.16])
    np.testing.assert_allclose(stained(np.ones(3), blue), 0, atol=0.02)
    np.testing.assert_allclose(stained(blue**0.5, blue), 0.5 * np.log(blue), atol=0.02)


def test_brows_go_with_the_skin_around_them():
    """A square that is no bare skin, in a face that is too bright all over."""
    lit, goal = np.full((96, 96, 3), SKIN * 1.5), np.full((96, 96, 3), SKIN.astype(np.uint8))
    weight = np.ones((48, 48), np.float32)
    weight[21:27, 21:27] = 0
    lit[42:54, 42:54] = 30
    made = match_patches(lit, goal, weight, 2.0, 8.0)
    assert np.log(made[48, 48, 1] / 30) == pytest.approx(PATCH_KEPT - np.log(1.5), abs=0.05)


def test_patches_are_those_of_skin_that_both_show(monkeypatch):
    """Not of lips, of what is beside the face, or of what its photo does not show."""
    seen = {}

    def looked_at(lit, goal, weight, sigma, wide):
        seen.update(weight=weight, sigma=sigma, wide=wide)
        return lit

    monkeypatch.setattr("facegraft.runtime.warp.match_patches", looked_at)
    dense = posed(size=100)
    frame, face = draw(dense, painted(LIGHT_SKIN)), as_faces(dense)[0]
    view = encode([Photo(frame, face)], MESH).views[0]
    plan = make_plan(frame, face, view, MESH)
    swap_face(frame, face, view, MESH)

    def of(points):
        columns, rows = np.rint(transform(plan.grid.to_grid(), dense[points, :2]) - 0.5).astype(int).T
        return seen["weight"][rows, columns]

    assert of([50, 280, 151]).min() > 0.95  # cheeks, forehead
    assert of([0, 17, 159, 105]).max() < 0.05  # lips, a lid, a brow
    assert seen["weight"][[0, -1]].max() < 0.05
    assert seen["wide"] > 2 * seen["sigma"] > 0
    view.trust[:] = 0
    swap_face(frame, face, view, MESH)
    assert seen["weight"].max() == 0


# --- beside what covers a photo's face ----------------------------------------------------------------


def half_covered(*, covered=True):
    """A frontal photo whose face is covered on the frame's left of its middle, and how much each place is believed."""
    dense = posed()
    face = as_faces(dense)[0]
    share = np.ones((100, 100), np.float32)
    share[:, : 50 if covered else 0] = 0
    from_frame = np.array([[0.25, 0, 50 - 0.25 * float(dense[1, 0])], [0, 0.25, 0]], np.float32)
    return unroll(draw(dense, painted(LIGHT_SKIN)), face, MESH, Uncovered(share, from_frame))


def believed(photo, points):
    own = cv2.GaussianBlur(photo.own, (0, 0), 2)
    return [
        float(own[row, column])
        for column, row in np.rint(to_pixels(points.astype(np.float32), MESH, photo.scale)).astype(int)
    ]


def test_little_is_believed_beside_what_covers_a_photo():
    beside, farther = np.array([0.25, 2.2]) * COVERED_REACH
    chin = MESH.uv[152] - [0, 0.12]
    places = chin + np.array([[beside, 0], [farther, 0]])
    (near, far), (free_near, free_far) = believed(half_covered(), places), believed(half_covered(covered=False), places)
    assert near < 0.12 * free_near
    assert far > 0.9 * free_far


def test_eyes_are_believed_up_to_what_covers_the_photo():
    dense, frame = posed(), draw(posed(), painted(LIGHT_SKIN))
    share = np.ones((100, 100), np.float32)
    lid = float(dense[145, 1])
    eye_distance = float(np.linalg.norm(dense[33] - dense[263]))
    share[round(lid / 4 + 0.1 * eye_distance / 4) :] = 0  # a mask up to a tenth below the lower lid
    uncovered = Uncovered(share, np.array([[0.25, 0, 0], [0, 0.25, 0]], np.float32))
    photo = unroll(frame, as_faces(dense)[0], MESH, uncovered)
    (iris,) = believed(photo, MESH.uv[[33, 133]].mean(axis=0, keepdims=True))
    assert iris > 0.9


def test_from_the_front_the_nose_is_believed_down_to_its_base():
    """Its underside is seen at a flat angle only, but frames show it no better: else noses would be the frame's."""
    photo = unroll(draw(posed(), painted(LIGHT_SKIN)), as_faces(posed())[0], MESH)
    nose = MESH.uv[[1, 2, 4, 97, 98, 326, 327]]
    assert min(believed(photo, nose)) > 0.8
