"""The baseline swap on drawn faces, where the true answer is known."""

import numpy as np
import pytest

from facegraft.core.types import paste
from facegraft.faces.layers import LAYER_SCALE, atlas, layers, to_pixels
from facegraft.faces.topology import LEFT_EYE, LIPS_INNER, RIGHT_EYE, eyes_openness, load_topology
from facegraft.faces.visible import Uncovered
from facegraft.runtime import warp
from facegraft.runtime.light import apply_light, match_sharpness, measure_light
from facegraft.runtime.texture import View, complete, smooth_where, unroll
from facegraft.runtime.warp import Photo, best_view, closed_eyes, encode, swap_face, with_shape, working_box
from tests.faces.drawn import DARK_SKIN, LIGHT_SKIN, as_faces, draw, one_face, painted, posed

MESH = load_topology()


def swapped(identity: tuple, attribute: tuple) -> np.ndarray:
    frame, faces = attribute
    person = encode([Photo(identity[0], identity[1][0])], MESH)
    patch = swap_face(frame, faces[0], person.views[0], MESH)
    assert patch is not None
    out = frame.copy()
    paste(out, [patch])
    return out


def inner(dense: np.ndarray, points: tuple[int, ...]) -> np.ndarray:
    return dense[list(points), :2].astype(int)


def test_swapping_a_face_with_itself_changes_next_to_nothing() -> None:
    frame, faces = one_face(spots=12)
    out = swapped((frame, faces), (frame, faces))
    assert np.abs(out.astype(int) - frame).mean() < 0.6


def test_nothing_outside_the_face_is_touched() -> None:
    identity, attribute = one_face(spots=20), one_face(spots=0, skin=DARK_SKIN, yaw=20)
    out = swapped(identity, attribute)
    outside = (attribute[0] == np.array([70, 110, 190])).all(axis=2)
    assert outside.mean() > 0.5
    np.testing.assert_array_equal(out[outside], attribute[0][outside])


@pytest.mark.parametrize("yaw", [0, 25, -25])
def test_the_identity_marks_arrive_where_the_attribute_pose_puts_them(yaw: float) -> None:
    """Truth: the identity's texture in the attribute's pose. Its marks must be there, the attribute's gone."""
    identity = one_face(spots=14)
    attribute = one_face(spots=13, yaw=yaw, roll=8)
    truth = draw(attribute[1].dense[0], painted(LIGHT_SKIN, 14))
    out = swapped(identity, attribute)
    marks = np.abs(truth.astype(int) - attribute[0]).max(axis=2) > 25
    before = np.abs(attribute[0].astype(int) - truth)[marks].mean()
    after = np.abs(out.astype(int) - truth)[marks].mean()
    assert after < 0.5 * before


def test_colour_is_the_attribute_s() -> None:
    out = swapped(one_face(skin=LIGHT_SKIN), one_face(skin=DARK_SKIN, spots=0))
    x, y = posed()[50, :2].astype(int)  # a cheek
    np.testing.assert_allclose(out[y, x], DARK_SKIN, atol=10)


def test_eyeballs_and_mouth_interior_stay() -> None:
    attribute = one_face(skin=LIGHT_SKIN, spots=0)
    dense = attribute[1].dense[0]
    frame = attribute[0].copy()
    x, y = dense[list(LEFT_EYE), :2].mean(axis=0).astype(int)
    frame[y - 1 : y + 2, x - 1 : x + 2] = (20, 240, 20)
    out = swapped(one_face(skin=DARK_SKIN), (frame, attribute[1]))
    assert np.abs(out[y, x].astype(int) - (20, 240, 20)).max() < 40


def test_the_lids_of_a_closed_eye_stay() -> None:
    dense = posed()
    shut = dense.copy()
    shut[list(LEFT_EYE), 1] = dense[33, 1] + np.sign(dense[list(LEFT_EYE), 1] - dense[33, 1])
    assert closed_eyes(dense) == (0.0, 0.0)
    assert closed_eyes(shut) == (1.0, 0.0)


def test_a_lone_cell_that_shows_a_fold_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds of the mesh around open mouths: a strip of lip stood among the teeth."""
    frame, faces = one_face(skin=LIGHT_SKIN)
    view = encode([Photo(frame, faces[0])], MESH).views[0]
    plain = warp.make_plan(frame, faces[0], view, MESH)
    assert plain is not None
    row, column = (length // 2 for length in plain.uv.shape[:2])
    interpolate = warp.interpolate

    def folded(*given: object) -> np.ndarray:
        at = np.array(interpolate(*given))
        at[row, column] += 9
        return at

    monkeypatch.setattr(warp, "interpolate", folded)
    plan = warp.make_plan(frame, faces[0], view, MESH)
    assert plan is not None
    assert np.abs(plan.uv - plain.uv).max() < 0.1
    assert np.abs(plan.shift - plain.shift).max() < 0.5


def test_the_inside_of_the_mouth_moves_with_the_face() -> None:
    """What is seen at 10 cells from the left lies at 7 where the face is drawn 3 cells to the left of its place."""
    frame, faces = one_face(skin=LIGHT_SKIN)
    plan = warp.make_plan(frame, faces[0], encode([Photo(frame, faces[0])], MESH).views[0], MESH)
    assert plan is not None
    width, height = plan.grid.size_wh
    mouth = np.zeros((height, width), np.float32)
    mouth[20:30, 10:20] = 1
    seen = Uncovered(np.ones((height, width), np.float32), plan.grid.to_grid(), mouth=mouth)
    shift = np.zeros((height, width, 2), np.float32)
    shift[..., 0] = 3 * plan.grid.cell_wh[0]
    still, moved = (warp._inside_mouth(seen, plan, each) for each in (np.zeros_like(shift), shift))
    np.testing.assert_allclose(still[22:28, 12:18], 1, atol=1e-3)
    np.testing.assert_allclose(moved[:, :-3], still[:, 3:], atol=1e-3)
    assert warp._inside_mouth(None, plan, shift).max() == 0


def test_a_narrow_eye_whose_iris_is_hidden_is_closed() -> None:
    dense = posed()
    narrow = dense.copy()
    for ring, corner in ((LEFT_EYE, 33), (RIGHT_EYE, 263)):
        narrow[list(ring), 1] = dense[corner, 1] + (dense[list(ring), 1] - dense[corner, 1]) * 0.75
    assert all(0.15 < each < 0.17 for each in eyes_openness(narrow))
    assert closed_eyes(narrow) == (0.0, 0.0)
    assert closed_eyes(narrow, np.array([0.9, 0.6], np.float32)) == (0.0, 0.0)
    assert closed_eyes(narrow, np.array([0.1, 0.9], np.float32)) == (1.0, 0.0)
    assert closed_eyes(narrow, np.array([0.9, 0.1], np.float32)) == (0.0, 1.0)
    assert 0.3 < closed_eyes(narrow, np.array([0.9, 0.325], np.float32))[1] < 0.7
    assert closed_eyes(dense, np.array([0.1, 0.1], np.float32)) == (0.0, 0.0)  # wide open: dark glass, not lids


def test_lids_close_together_unless_the_other_iris_is_seen_or_the_face_looks_aside() -> None:
    """Points leave a painted lid open; its neighbour's are on it."""
    dense = posed()
    half = dense.copy()
    half[list(LEFT_EYE), 1] = dense[33, 1] + (dense[list(LEFT_EYE), 1] - dense[33, 1]) * 0.3
    half[list(RIGHT_EYE), 1] = dense[263, 1] + (dense[list(RIGHT_EYE), 1] - dense[263, 1]) * 0.95
    openness = eyes_openness(half)
    assert openness[0] < 0.1
    assert 0.19 < openness[1] < 0.21
    hidden, wink = np.array([0.1, 0.3], np.float32), np.array([0.1, 0.9], np.float32)
    assert closed_eyes(half) == closed_eyes(half, wink) == (1.0, 0.0)
    assert closed_eyes(half, hidden)[1] == pytest.approx(1.0, abs=0.1)
    assert closed_eyes(half, hidden, yaw_degrees=-15.0) == closed_eyes(half, hidden)
    assert closed_eyes(half, hidden, yaw_degrees=-40.0) == (1.0, 0.0)
    half[list(RIGHT_EYE), 1] = dense[263, 1] + (dense[list(RIGHT_EYE), 1] - dense[263, 1]) * 1.3
    assert closed_eyes(half, hidden) == (1.0, 0.0)


def test_a_thing_before_the_face_stays() -> None:
    identity, attribute = one_face(spots=10), one_face(spots=0)
    frame = attribute[0].copy()
    frame[95:150, 165:185] = (20, 200, 30)  # a green bar over a cheek
    out = swapped(identity, (frame, attribute[1]))
    assert np.abs(out[110:140, 170:180].astype(int) - frame[110:140, 170:180]).mean() < 8


def test_the_seam_does_not_move_with_the_shape() -> None:
    from facegraft.faces.topology import OVAL

    wide = MESH.xyz * np.array([1.3, 1, 1], np.float32)
    moved = with_shape(posed(), wide, MESH)
    assert np.abs(moved - posed())[list(OVAL)].max() < 0.6
    assert np.abs(moved - posed()).max() > 1.5


def test_an_equal_shape_moves_nothing_in_any_pose() -> None:
    dense = posed(yaw=33, pitch=-12, roll=40)
    np.testing.assert_allclose(with_shape(dense, MESH.xyz, MESH), dense, atol=0.05)


def test_an_open_mouth_of_the_identity_does_not_open_the_attribute_s() -> None:
    shape = MESH.xyz.copy()
    lower = [point for point in LIPS_INNER if shape[point, 1] > shape[list(LIPS_INNER), 1].mean()]
    shape[lower, 1] += 0.2
    gap = lambda dense: dense[14, 1] - dense[13, 1]  # noqa: E731
    assert gap(with_shape(posed(), shape, MESH)) == pytest.approx(gap(posed()), abs=1.0)


def test_a_face_outside_the_frame_has_no_box() -> None:
    assert working_box(posed(at=(-500, 40)), 300, 260) is None
    left, top, right, bottom = working_box(posed(at=(10, 40)), 300, 260) or (0, 0, 0, 0)
    assert (left, top) == (0, 0)
    assert right <= 300
    assert bottom <= 260


def test_the_photo_with_the_nearest_pose_is_used_and_kept() -> None:
    photos = [one_face(yaw=yaw) for yaw in (-40, 0, 40)]
    person = encode([Photo(frame, faces[0]) for frame, faces in photos], MESH)
    pose = lambda yaw: np.array([yaw, 0, 0], np.float32)  # noqa: E731
    assert [best_view(person, pose(yaw)) for yaw in (-35, 3, 35)] == [0, 1, 2]
    assert best_view(person, pose(22), last=1, margin_degrees=6) == 1
    assert best_view(person, pose(38), last=1, margin_degrees=6) == 2


def test_the_hidden_half_comes_from_the_other() -> None:
    """Photographed at 50 degrees of yaw, the far cheek cannot be seen; unrolled, it mirrors the near one."""
    frame, faces = one_face(yaw=50, spots=0)
    (view,) = complete([unroll(frame, faces[0], MESH)])
    width = view.levels[0].shape[1]
    row = int(view.levels[0].shape[0] * 0.5)
    near, far = view.levels[0][row, int(width * 0.72)], view.levels[0][row, int(width * 0.28)]
    np.testing.assert_allclose(near.astype(int), far.astype(int), atol=14)
    np.testing.assert_allclose(far, LIGHT_SKIN, atol=20)


def test_light_turns_one_evenly_lit_face_into_another() -> None:
    texture = np.full((40, 40, 3), (200, 150, 120), np.uint8)
    goal = np.full((40, 40, 3), (90, 80, 75), np.uint8)
    light = measure_light(texture, goal, np.ones((40, 40), np.float32), 5.0)
    np.testing.assert_allclose(apply_light(texture, light).mean(axis=(0, 1)), (90, 80, 75), atol=1.5)


def test_light_follows_a_gradient() -> None:
    texture = np.full((64, 64, 3), 150, np.uint8)
    goal = np.repeat(np.repeat(np.linspace(60, 200, 64)[None], 64, 0)[..., None], 3, 2).astype(np.uint8)
    light = measure_light(texture, goal, np.ones((64, 64), np.float32), 4.0)
    lit = apply_light(texture, light)
    assert np.abs(lit - goal)[8:-8, 8:-8].mean() < 6


def test_a_sharp_identity_is_blurred_into_a_soft_frame_only() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(90, 160, (60, 60, 3), np.uint8).astype(np.uint8)
    soft = np.full((60, 60, 3), 125, np.uint8)
    weight = np.ones((60, 60), np.float32)
    assert match_sharpness(sharp, soft, weight).std() < 0.8 * sharp.std()
    np.testing.assert_array_equal(match_sharpness(sharp, sharp, weight), sharp)


def test_smoothing_ignores_what_does_not_count() -> None:
    image = np.full((50, 50, 3), 10, np.float32)
    image[:, 25:] = 99
    weight = np.zeros((50, 50), np.float32)
    weight[:, :25] = 1
    np.testing.assert_allclose(smooth_where(image, weight, 6.0), 10, atol=0.6)


def test_layers_lie_on_the_unrolled_face() -> None:
    fixed = layers(LAYER_SCALE)
    size = atlas(LAYER_SCALE).size_wh
    for name, layer in fixed.items():
        assert layer.shape == (size[1], size[0]), name
        assert layer.min() >= 0, name
        assert layer.max() > 0.9, name
        assert layer.max() <= 1 + 1e-5, name
        twin = fixed[name.replace("left", "right") if "left" in name else name.replace("right", "left")]
        assert np.abs(layer - twin[:, ::-1]).mean() < 0.01, name
    assert not (fixed["skin"] * (fixed["drawn"] > 0.9)).any()


def test_another_photo_fills_a_photo_better_than_its_mirror() -> None:
    """A mark on the left cheek alone. The photo that shows the right cheek mirrors it when alone, and not the mark."""
    texture = painted(LIGHT_SKIN)
    at = MESH.uv[50]  # a cheek: the frame's left
    column, row = (int((value + 2) * 100) for value in at)
    texture[row - 4 : row + 5, column - 4 : column + 5] = (120, 40, 40)
    shows_left, shows_right = (
        unroll(draw(dense, texture), as_faces(dense)[0], MESH) for dense in (posed(yaw=45), posed(yaw=-45))
    )
    x, y = np.rint(to_pixels(at, MESH, shows_right.scale)).astype(int)

    def redness(view: View) -> int:
        red, green, _ = view.levels[0][y, x].astype(int)
        return red - green

    assert redness(complete([shows_left])[0]) > 60
    assert redness(complete([shows_right])[0]) < 50
    assert redness(complete([shows_right, shows_left])[0]) > 60
