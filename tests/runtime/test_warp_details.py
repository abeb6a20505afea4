"""Details of the baseline swap, each of which a small fault once slipped through."""

import dataclasses

import cv2
import numpy as np
import pytest

from facegraft.core.geometry import sample, transform
from facegraft.core.types import Patch, paste
from facegraft.faces import topology as t
from facegraft.faces.layers import LAYER_SCALE, atlas, layers, to_pixels
from facegraft.faces.mesh import Grid, interpolate, rasterise
from facegraft.faces.topology import LEFT_EYE, RIGHT_EYE, load_topology, openness
from facegraft.runtime import texture as tx
from facegraft.runtime.light import MOST_SATURATED, apply_light, measure_light
from facegraft.runtime.texture import View
from facegraft.runtime.warp import (
    Identity,
    Photo,
    _part_lips,
    _textured,
    best_view,
    encode,
    make_plan,
    swap_face,
    with_shape,
)
from tests.faces.drawn import LIGHT_SKIN, as_faces, draw, one_face, painted, posed

MESH = load_topology()


def view_of(frame: np.ndarray, face: object) -> View:
    """One photo, unrolled and completed."""
    return encode([Photo(frame, face)], MESH).views[0]


def test_head_pose_of_a_face_turned_about_two_axes():
    for yaw, roll in ((25, 40), (-30, 70)):
        np.testing.assert_allclose(t.head_pose(MESH, posed(yaw=yaw, roll=roll)), [yaw, 0, roll], atol=0.1)


def test_paste_into_a_deep_frame_scales():
    frame = np.full((4, 4, 3), 1000, np.uint16)
    paste(frame, [Patch(1, 1, np.full((2, 2, 3), 2.0, np.float32))])
    assert frame[1, 1, 0] == 1000 + 2 * 257
    assert frame[0, 0, 0] == 1000


@pytest.mark.parametrize("high", [2.0, 3.0])
def test_a_raster_cell_shows_the_triangle_at_its_middle(high):
    """A square, in square cells and in others, 16 offsets of a fraction of a cell: on average its middle is there."""
    corners = np.array([[0, 0, 0], [20, 0, 0], [20, 20, 0], [0, 20, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    errors = []
    for offset in (np.arange(16) + 0.5) / 8:
        points = corners + np.array([10 + offset, 10 + offset, 0], np.float32)
        raster = rasterise(points, triangles, Grid((0.0, 0.0), (24, 24), (2.0, high)))
        x, y = np.meshgrid(raster.x, raster.y)
        errors.append([x[raster.covered()].mean() - 20 - offset, y[raster.covered()].mean() - 20 - offset])
    np.testing.assert_allclose(np.mean(errors, axis=0), 0, atol=0.15)


def test_an_unrolled_photo_shows_each_point_where_the_atlas_has_it():
    """A picture whose colours are its positions, unrolled: every point must read its own, to a tenth of a pixel."""
    dense = posed(size=100, at=(150, 110), roll=13)
    y, x = np.mgrid[0:260, 0:300]
    frame = np.stack([np.clip((x - 60), 0, 255), np.clip(y, 0, 255), 0 * x + 128], 2).astype(np.uint8)
    sheet = atlas(100)
    position = interpolate(sheet.raster, MESH.uv, dense[:, :2], MESH.triangles)
    got = tx._sample(frame, position, 1.0).astype(float)[..., :2]
    want = np.stack([position[..., 0] - 0.5 - 60, position[..., 1] - 0.5], 2)
    seen = sheet.raster.covered()
    assert np.abs((got - want)[seen].mean(axis=0)).max() < 0.1


def test_the_result_has_the_identity_s_shape():
    """A narrow-nosed attribute with a wide-nosed identity: the frame's own nose wings move outwards, by Plan.shift."""
    for yaw in (0, 40):
        frame, faces = one_face(spots=0, yaw=yaw)
        wide = MESH.xyz.copy()
        nose = np.linalg.norm(MESH.xyz[:, :2] - MESH.xyz[4, :2], axis=1) < 0.25
        wide[nose, 0] *= 1.5
        view = dataclasses.replace(view_of(frame, faces[0]), shape=wide)
        plan = make_plan(frame, faces[0], view, MESH)
        goal = with_shape(faces[0].dense, wide, MESH)
        left, top, right, bottom = plan.box
        shift = cv2.resize(plan.shift, (right - left, bottom - top))
        moved = goal[:, :2] - faces[0].dense[:, :2]
        point = int(np.abs(moved).sum(1).argmax())
        x, y = goal[point, :2]
        assert np.abs(moved[point]).max() > 1
        np.testing.assert_allclose(shift[int(y) - top, int(x) - left], -moved[point], atol=0.7)


def test_a_shape_is_turned_with_the_head():
    """Deeper nose, head turned right: the tip moves to the side the head looks to."""
    long_nose = MESH.xyz.copy()
    nose = np.linalg.norm(MESH.xyz[:, :2] - MESH.xyz[1, :2], axis=1) < 0.2
    long_nose[nose, 2] -= 0.3
    for yaw in (40, -40):
        dense = posed(yaw=yaw)
        step = (with_shape(dense, long_nose, MESH) - dense)[1]
        assert np.sign(step[0]) == np.sign(yaw)
        assert abs(step[0]) > 2


def test_the_identity_s_eye_opening_is_not_taken_over():
    shape = MESH.xyz.copy()
    ring = list(LEFT_EYE)
    shape[ring, 1] = shape[33, 1] + 0.2 * (shape[ring, 1] - shape[33, 1])
    dense = posed()
    assert openness(with_shape(dense, shape, MESH), LEFT_EYE, (33, 133)) == pytest.approx(
        openness(dense, LEFT_EYE, (33, 133)), rel=0.12
    )


def shut(dense, ring, corner):
    out = dense.copy()
    out[list(ring), 1] = dense[corner, 1] + np.sign(dense[list(ring), 1] - dense[corner, 1])
    return out


@pytest.mark.parametrize(("ring", "corner", "other"), [(LEFT_EYE, 33, RIGHT_EYE), (RIGHT_EYE, 263, LEFT_EYE)])
def test_lids_of_the_closed_eye_stay_and_the_others_do_not(ring, corner, other):
    """A rough identity on a face with one eye closed: little changes at its lids, much at the other's."""
    dense = shut(posed(), ring, corner)
    texture = painted(LIGHT_SKIN, 0)
    frame = draw(dense, texture)
    faces = as_faces(dense)
    rough = painted(LIGHT_SKIN, 0)
    rng = np.random.default_rng(0)
    rough += np.repeat(np.repeat(rng.uniform(-40, 40, (100, 100, 1)), 4, 0), 4, 1)
    dense0 = posed()
    f0 = draw(dense0, np.clip(rough, 0, 255).astype(np.float32))
    view = encode([Photo(f0, as_faces(dense0)[0])], MESH).views[0]
    patch = swap_face(frame, faces[0], view, MESH)
    change = np.zeros(frame.shape[:2])
    h, w = patch.delta.shape[:2]
    change[patch.top : patch.top + h, patch.left : patch.left + w] = np.abs(patch.delta).mean(2)

    def around(ring):
        x, y = dense[list(ring), :2].mean(0).astype(int)
        return change[y - 7 : y - 2, x - 5 : x + 5].mean()

    assert around(ring) < 0.5 * around(other), (around(ring), around(other))


def closed_mouth(folded=0.0):
    """Points of a face whose lips lie on each other, or over each other by so many pixels."""
    dense = posed(size=100)
    lower, upper = list(t.LIPS_INNER[1:10]), list(t.LIPS_INNER[:10:-1])
    dense[upper] = dense[lower] = (dense[upper] + dense[lower]) / 2
    dense[lower, 1] -= folded
    return dense


@pytest.mark.parametrize("folded", [0.0, 3.0])
def test_between_closed_lips_the_frame_s_line_is_seen_all_along(folded):
    """A coarse grid that leaps from lip to lip draws steps and rings of all that lies between them in the texture."""
    dense = closed_mouth(folded)
    frame = draw(posed(size=100), painted(LIGHT_SKIN))
    view = view_of(frame, as_faces(posed(size=100))[0])
    plan = make_plan(frame, as_faces(dense)[0], view, MESH)
    keep = sample(layers(LAYER_SCALE)["keep"], to_pixels(plan.uv, MESH, LAYER_SCALE))
    inner = transform(plan.grid.to_grid(), with_shape(dense, view.shape, MESH)[list(t.LIPS_INNER), :2])
    (left, top), (right, bottom) = inner.min(axis=0), inner.max(axis=0)
    rim = 0.15 * (right - left)
    mouth = keep[round(top) - 3 : round(bottom) + 3, round(left + rim) : round(right - rim)]
    assert mouth.max(axis=0).min() > 0.5
    assert (mouth > 0.5).sum(axis=0).max() <= 3


@pytest.mark.parametrize("folded", [0.0, 3.0])
def test_closed_lips_part_evenly_and_open_ones_stay(folded):
    dense = closed_mouth(folded)
    parted = _part_lips(dense, 4.0)
    gap = parted[14] - parted[13]
    np.testing.assert_allclose(gap, [0, 4, 0], atol=0.05)
    np.testing.assert_allclose(parted[13] + parted[14], dense[13] + dense[14], atol=1e-3)
    np.testing.assert_array_equal(parted[[78, 308, 61, 0, 17]], dense[[78, 308, 61, 0, 17]])
    np.testing.assert_array_equal(_part_lips(parted, 3.0), parted)


def test_lips_that_are_held_apart_do_not_move_the_frame():
    """The same face on itself: nothing moves, though its lips are closed."""
    dense = closed_mouth()
    frame, face = draw(posed(size=100), painted(LIGHT_SKIN)), as_faces(dense)[0]
    assert np.abs(make_plan(frame, face, view_of(frame, face), MESH).shift).max() < 0.1


def test_best_view_counts_pitch_and_mirrors():
    def view(yaw, pitch):
        none = np.zeros((1, 1), np.float32)
        return View([], [], none, np.zeros((468, 3), np.float32), np.array([yaw, pitch, 0], np.float32))

    def p(yaw, pitch=0):
        return np.array([yaw, pitch, 0], np.float32)

    assert best_view(Identity([view(0, -25), view(5, 20)]), p(0, 20)) == 1
    assert best_view(Identity([view(20, 0), view(70, 0)]), p(-75)) == 1


def test_the_half_that_a_photo_hides_is_borrowed_and_trusted():
    """At 50 degrees the far half cannot be seen: it comes from the mirrored near one, which counts nearly as much."""
    tex = painted(LIGHT_SKIN, 0)
    dense = posed(yaw=50, size=100)
    faces = as_faces(dense)
    frame = draw(dense, tex)
    view = view_of(frame, faces[0])
    assert view.trust.mean() > 0.6  # borrowed halves are trusted


def test_light_falls_back_for_clipped_skin():
    texture = np.full((40, 40, 3), 120, np.uint8)
    goal = np.full((40, 40, 3), 90, np.uint8)
    goal[:, 20:] = 255
    lit = apply_light(texture, measure_light(texture, goal, np.ones((40, 40), np.float32), 3.0))
    np.testing.assert_allclose(lit, 90, atol=4)


RED_SKIN, WARM_SKIN, PALE_SKIN, BLACK_HAIR = (170, 105, 115), (205, 115, 105), (190, 150, 130), (40, 40, 40)


def skin_with_hair(skin: tuple[int, int, int], hair: tuple[int, int, int] | None = None) -> np.ndarray:
    """60 x 60 pixels of skin, with a small grey brow in the middle."""
    picture = np.empty((60, 60, 3), np.uint8)
    picture[:] = skin
    if hair is not None:
        picture[28:32, 20:40] = hair
    return picture


def bare_skin() -> np.ndarray:
    """Where light is measured: not at the brow."""
    weight = np.ones((60, 60), np.float32)
    weight[26:34, 18:42] = 0
    return weight


@pytest.mark.parametrize("level", [40, 220])
def test_grey_things_stay_grey_where_skins_differ(level):
    """Times the ratio of the two skins, black brows would be green; highlights too."""
    texture, goal = skin_with_hair(RED_SKIN, (level, level, level)), skin_with_hair(PALE_SKIN)
    lit = apply_light(texture, measure_light(texture, goal, bare_skin(), 6.0))
    np.testing.assert_allclose(lit[:10], np.broadcast_to(PALE_SKIN, (10, 60, 3)), atol=3)
    assert np.ptp(lit[30, 30]) < 0.03 * level
    ratio = np.prod(np.array(PALE_SKIN) / RED_SKIN) ** (1 / 3)
    assert lit[30, 30].mean() == pytest.approx(min(level * ratio, 255), rel=0.06)


def test_shaded_skin_takes_its_share_of_the_colour():
    """Half as bright, of the same pigment: half the goal."""
    texture, goal = skin_with_hair(RED_SKIN, tuple(level // 2 for level in RED_SKIN)), skin_with_hair(PALE_SKIN)
    lit = apply_light(texture, measure_light(texture, goal, bare_skin(), 6.0))
    np.testing.assert_allclose(lit[30, 30], np.array(PALE_SKIN) / 2, rtol=0.08)


def test_a_coloured_lamp_colours_grey_things_too():
    lamp = np.array([0.45, 0.7, 1.5])
    goal = skin_with_hair(tuple(int(level) for level in np.array(RED_SKIN) * lamp))
    texture = skin_with_hair(RED_SKIN, (120, 120, 120))
    lit = apply_light(texture, measure_light(texture, goal, bare_skin(), 6.0))
    np.testing.assert_allclose(lit[30, 30], 120 * lamp, rtol=0.1)


def test_a_grey_photo_takes_the_frames_colour():
    texture, goal = skin_with_hair((130, 130, 130)), skin_with_hair(PALE_SKIN)
    lit = apply_light(texture, measure_light(texture, goal, bare_skin(), 6.0))
    np.testing.assert_allclose(lit, goal, atol=3)


@pytest.mark.parametrize("feature", [(200, 20, 60), (195, 100, 100), (110, 55, 25)])
def test_no_feature_takes_more_of_the_change_than_a_little_above_the_skins_for_its_brightness(feature):
    """Lips, brighter ones, and brown brows, which were orange with as much of it as skin."""
    texture, goal = skin_with_hair(RED_SKIN, feature), skin_with_hair(WARM_SKIN)
    lit = apply_light(texture, measure_light(texture, goal, bare_skin(), 6.0))
    ratio = np.prod(np.array(WARM_SKIN) / RED_SKIN) ** (1 / 3)
    change = lit[30, 30] - ratio * np.array(feature)
    share = min(np.mean(feature) / np.mean(RED_SKIN), 1)
    skins = np.array(WARM_SKIN) - ratio * np.array(RED_SKIN)
    np.testing.assert_allclose(change, MOST_SATURATED * share * skins, atol=4)


@pytest.mark.parametrize("lips", [(190, 90, 95), (160, 70, 90), (205, 120, 110)])
def test_in_a_nearly_grey_frame_lips_are_nearly_grey(lips):
    """They had the skin's change at most, and what was left of their red was violet."""
    texture, goal = skin_with_hair(PALE_SKIN, lips), skin_with_hair((122, 114, 109))
    lit = apply_light(texture, measure_light(texture, goal, bare_skin(), 6.0))
    np.testing.assert_allclose(lit[:10], goal[:10], atol=2)
    red, green, blue = lit[30, 30]
    assert 0 < red - (green + blue) / 2 < 0.35 * (lips[0] - (lips[1] + lips[2]) / 2)
    assert blue - green < 4


def test_gain_is_bounded():
    texture = np.full((40, 40, 3), 10, np.uint8)
    goal = np.full((40, 40, 3), 230, np.uint8)
    lit = apply_light(texture, measure_light(texture, goal, np.ones((40, 40), np.float32), 3.0))
    assert lit.max() <= 10 * 3.5 + 8 + 1e-3


def test_contrast_follows_the_goal():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(60, 60, 1))
    strong = np.clip(120 + 25 * noise, 0, 255).repeat(3, 2).astype(np.uint8)
    weak = np.clip(120 + 6 * noise, 0, 255).repeat(3, 2).astype(np.uint8)
    w = np.ones((60, 60), np.float32)
    assert measure_light(strong, weak, w, 5.0).contrast < 0.75
    assert measure_light(weak, strong, w, 5.0).contrast > 1.1
    assert measure_light(weak, weak, w, 5.0).contrast == pytest.approx(1)


def test_smooth_light_is_averaged_in_linear_light():
    """Stripes of 40 and 200 average to the value whose LIGHT is the mean, not to 120."""
    goal = np.full((60, 60, 3), 40, np.uint8)
    goal[:, ::2] = 200
    texture = np.full((60, 60, 3), 100, np.uint8)
    light = measure_light(texture, goal, np.ones((60, 60), np.float32), 6.0)
    mean = 255 * (((40 / 255) ** 2.2 + (200 / 255) ** 2.2) / 2) ** (1 / 2.2)
    assert float(light.gain[30, 30, 0]) * 100**light.contrast == pytest.approx(mean, rel=0.03)


def test_a_small_face_takes_a_small_texture():
    """Fine stripes on the identity must average out on a face of a tenth of its size, not flicker."""
    big = posed(size=300, at=(450, 380))
    tex = painted(LIGHT_SKIN, 0)
    tex[::2] *= 0.6
    f = draw(big, tex, size_wh=(900, 900))
    view = encode([Photo(f, as_faces(big)[0])], MESH).views[0]
    d = posed(size=30, at=(60, 50))
    frame = draw(d, painted(LIGHT_SKIN, 0), size_wh=(120, 120))
    plan = make_plan(frame, as_faces(d)[0], view, MESH)
    left, top, right, bottom = plan.box
    got = _textured(view, plan.uv, MESH, 30.0, (right - left, bottom - top)).astype(float)
    h, w = got.shape[:2]
    rows = got[h // 2 - 6 : h // 2 + 6, w // 2 - 12 : w // 2 - 6, 0]
    assert np.abs(np.diff(rows, axis=0)).mean() < 8


@pytest.mark.parametrize("at", [(-40, 110), (340, 110), (-50, 110)])
def test_a_cut_face_has_its_map_in_place(at):
    """One cell size for both axes would put rows several pixels off where the frame cuts the face."""
    dense = posed(at=at)
    faces = as_faces(dense)
    frame = draw(dense, painted(LIGHT_SKIN, 0))
    photo, photo_faces = one_face(spots=0)
    view = view_of(photo, photo_faces[0])
    plan = make_plan(frame, faces[0], view, MESH)
    left, top, right, bottom = plan.box
    goal = with_shape(faces[0].dense, view.shape, MESH)
    raster = rasterise(goal, MESH.triangles, Grid((float(left), float(top)), (right - left, bottom - top), (1.0, 1.0)))
    true = interpolate(raster, goal, MESH.uv, MESH.triangles)
    error = np.abs(cv2.resize(plan.uv, (right - left, bottom - top)) - true)[raster.covered()] * 80
    assert np.median(error) < 0.3, np.median(error, axis=0)


@pytest.mark.parametrize("at", [(-40, 110), (-400, 110)])
def test_what_lies_outside_the_photo_is_not_trusted(at):
    """The photo's border column, smeared over the missing cheek, must not count as seen."""
    dense = posed(at=at)
    frame = draw(dense, painted(LIGHT_SKIN, 0))
    view = view_of(frame, as_faces(dense)[0])
    frame, faces = one_face(spots=0)
    whole = view_of(frame, faces[0])
    assert view.trust.mean() < (0.75 if at[0] > -100 else 0.05) * whole.trust.mean()
