"""Parts of the baseline swap that could be left out without another test's notice; each test fails without its part."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from facegraft.core.types import Face, Frame, Matrix, paste
from facegraft.faces.analyse import Analyser
from facegraft.faces.layers import atlas, to_pixels
from facegraft.faces.mesh import interpolate
from facegraft.faces.topology import LEFT_EYE, RIGHT_EYE, load_topology, openness
from facegraft.faces.visible import Uncovered
from facegraft.runtime.light import apply_light, measure_light
from facegraft.runtime.texture import complete, unroll
from facegraft.runtime.warp import Photo, encode, swap_face, with_shape
from tests.faces.drawn import DARK_SKIN, LIGHT_SKIN, as_faces, draw, one_face, painted, posed
from tests.runtime.test_swapper import DrawnNetworks, over_mouth, scene

MESH = load_topology()
GREEN = (20, 200, 30)
CHEEKS = (205, 425)


def swapped(identity: tuple[Frame, Face], frame: Frame, face: Face) -> Frame:
    patch = swap_face(frame, face, encode([Photo(*identity)], MESH).views[0], MESH)
    assert patch is not None
    out = frame.copy()
    paste(out, [patch])
    return out


def plain() -> tuple[Frame, Face]:
    frame, faces = one_face(spots=0)
    return frame.copy(), faces[0]


def shaded(darkest: float, brightest: float) -> np.ndarray:
    """Skin that grows brighter from the frame's left to its right, over 1.6 outer-eye distances."""
    ramp = np.interp(np.arange(400), [120, 280], [darkest, brightest])
    return (painted(LIGHT_SKIN) * ramp[None, :, None]).astype(np.float32)


# --- textures -----------------------------------------------------------------------------------------


def test_a_mirrored_half_is_relit() -> None:
    """The seen half ends bright at the nose: the borrowed one, outwards dark, must go on from there without a step."""
    dense = posed(yaw=50)
    photo = unroll(draw(dense, shaded(0.5, 1.2)), as_faces(dense)[0], MESH)
    (view,) = complete([photo])
    row = round(float(to_pixels(MESH.uv[50], MESH, photo.scale)[1]))
    own, levels = (image[row - 3 : row + 4].mean(axis=0) for image in (photo.own, view.levels[0].mean(axis=2)))
    seam = int(np.flatnonzero(own > 0.5).max())
    left, right = levels[seam - 16 : seam - 4].mean(), levels[seam + 30 : seam + 70].mean()
    assert right == pytest.approx(left, rel=0.08)


@pytest.mark.parametrize("yaw", [40, -50])
def test_what_lies_behind_the_nose_is_not_believed(yaw: float) -> None:
    """Places of the photo that show another part of the face, told by its shade, must not count as seen."""
    texture, dense = shaded(0.65, 1.15), posed(yaw=yaw, size=100)
    photo = unroll(draw(dense, texture), as_faces(dense)[0], MESH)
    raster = atlas(photo.scale).raster
    uv = interpolate(raster, MESH.uv, MESH.uv, MESH.triangles)
    truth = cv2.remap(texture, ((uv + 2) * 100).astype(np.float32), None, cv2.INTER_LINEAR)
    inside = cv2.erode(raster.covered().astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # without the drawing's rim
    wrong = (np.abs(photo.texture - truth).max(axis=2) > 12) & inside
    assert wrong.sum() > 1000
    assert (photo.own[wrong] > 0.5).sum() < 15


def test_a_bar_before_the_identity_does_not_arrive() -> None:
    (photo, photo_face), (frame, face) = plain(), plain()
    photo[60:200, 165:185] = GREEN
    out = swapped((photo, photo_face), frame, face)
    assert np.abs(out[120:160, 168:182].astype(int) - frame[120:160, 168:182]).mean() < 8


def test_what_the_networks_see_before_the_identity_is_not_believed() -> None:
    """Skin-coloured, so the colour model cannot tell: a hand over the frame's left half of the face."""
    frame, face = plain()
    share = np.ones((40, 40), np.float32)
    share[:, :20] = 0
    middle = float(face.dense[1, 0])
    seen = Uncovered(share, np.array([[0.1, 0, 20 - 0.1 * middle], [0, 0.1, 0]], np.float32))
    covered, free = unroll(frame, face, MESH, seen).own, unroll(frame, face, MESH).own
    third = covered.shape[1] // 3
    assert free[:, :third].max() > 0.9
    assert covered[:, :third].max() < 0.05
    assert covered[:, -third:].mean() > 0.95 * free[:, -third:].mean()


@pytest.mark.parametrize(("certainty", "believed"), [(1.0, True), (0.8, False)])
def test_a_shadow_is_the_identity_s_where_the_networks_are_certain(certainty: float, *, believed: bool) -> None:
    """By its colour alone a dark cheek is something before the face."""
    frame, face = plain()
    x, y = face.dense[CHEEKS[0], :2].astype(int)
    frame[y - 12 : y + 12, x - 12 : x + 12] = (45, 20, 12)
    share = np.full((75, 75), certainty, np.float32)
    photo = unroll(frame, face, MESH, Uncovered(share, np.array([[0.25, 0, 0], [0, 0.25, 0]], np.float32)))
    column, row = np.rint(to_pixels(MESH.uv[CHEEKS[0]], MESH, photo.scale)).astype(int)
    own = photo.own[row - 3 : row + 4, column - 3 : column + 4].mean()
    assert bool(own > 0.9) is believed
    assert bool(own < 0.3) is not believed


def test_where_no_photo_shows_the_identity_the_frame_s_skin_stays() -> None:
    """Both cheeks covered: no mirrored half can help. The frame's own marks there must be left."""
    (photo, photo_face), (frame, face) = plain(), plain()
    for point in CHEEKS:
        x, y = face.dense[point, :2].astype(int) + np.array([0, 18])
        photo[y - 12 : y + 12, x - 12 : x + 12] = GREEN
        frame[y - 1 : y + 2, x - 4 : x + 4] = (140, 110, 95)
    out = swapped((photo, photo_face), frame, face)
    for point in CHEEKS:
        x, y = face.dense[point, :2].astype(int) + np.array([0, 18])
        np.testing.assert_allclose(out[y - 2 : y + 3, x - 4 : x + 4], frame[y - 2 : y + 3, x - 4 : x + 4], atol=3)


# --- the frame's own ----------------------------------------------------------------------------------


def test_a_mole_of_the_attribute_is_replaced() -> None:
    frame, face = plain()
    x, y = (int(value) for value in face.dense[50, :2])
    cv2.circle(frame, (x, y), 5, (40, 25, 20), -1)
    np.testing.assert_allclose(swapped(plain(), frame, face)[y, x], LIGHT_SKIN, atol=35)


@pytest.mark.parametrize("tint", [(1, -0.5, -0.5), (1, 0, -1)])
def test_patches_of_coloured_light_are_removed_more_than_shading(tint: tuple[float, float, float]) -> None:
    """A patch of half the light's radius: what is left of it in red, when only its colour differs."""
    y, x = np.mgrid[-60:60, -60:60]
    patch = np.exp(-(x**2 + y**2) / (2 * 6.0**2))[..., None]
    goal, left = np.full((120, 120, 3), 140, np.uint8), []
    for colour in ((1, 1, 1), tint):
        texture = np.rint(140 * np.exp(0.2 * patch * np.array(colour))).astype(np.uint8)
        light = measure_light(texture, goal, np.ones((120, 120), np.float32), 12.0)
        left.append(float(np.log(apply_light(texture, light)[60, 60, 0] / 140)))
    assert 0 < left[1] < 0.85 * left[0]


def test_a_speckled_identity_is_softened_for_a_blurred_frame() -> None:
    speckles = np.random.default_rng(0).normal(0, 22, (200, 200, 1)).repeat(2, 0).repeat(2, 1)
    dense = posed(size=100)
    face, photo = as_faces(dense)[0], draw(dense, np.clip(painted(LIGHT_SKIN) + speckles, 0, 255).astype(np.float32))
    out = swapped((photo, face), cv2.GaussianBlur(photo, (0, 0), 2.0), face)
    x, y = dense[50, :2].astype(int)
    detail = [np.abs(np.diff(image[y - 8 : y + 9, x - 8 : x + 9].astype(int), axis=1)).mean() for image in (out, photo)]
    assert detail[0] < 0.25 * detail[1]


def test_lids_follow_the_corners_and_nothing_else() -> None:
    """An identity whose eyes are wider apart and twice as open: they move outwards, and open no further."""
    dense, shape = posed(), MESH.xyz.copy()
    for ring, side in ((list(LEFT_EYE), -1), (list(RIGHT_EYE), 1)):
        shape[ring] = shape[ring] * (1, 2, 1) - (0, shape[ring, 1].mean(), 0) + (0.06 * side, 0, 0)
    moved = with_shape(dense, shape, MESH)
    for ring, corners, side in ((LEFT_EYE, (33, 133), -1), (RIGHT_EYE, (263, 362), 1)):
        assert ((moved - dense)[list(ring), 0] * side > 1).all()
        assert openness(moved, ring, corners) == pytest.approx(openness(dense, ring, corners), rel=0.03)


# --- analysis -----------------------------------------------------------------------------------------


def test_the_visible_part_has_nothing_that_covers_the_face() -> None:
    networks, dense = DrawnNetworks(), posed()
    frame, face = scene(networks, 1, DARK_SKIN, dense), as_faces(dense)[0]
    x, y = dense[14, :2].astype(int)
    middle = (slice(y - 14, y + 4), slice(x - 8, x + 8))
    assert Analyser(networks).visible(frame, face)[middle].mean() > 0.7
    networks.covered_at[1] = over_mouth(dense)
    assert Analyser(networks).visible(frame, face)[middle].mean() < 0.3


@dataclasses.dataclass
class SeenBeside(DrawnNetworks):
    """The detector for near faces is off by almost half a face: two candidates, of which the mesh makes one face."""

    def detect(
        self, frame: Frame, view: Matrix, view_side: float, *, near: bool, min_score: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        boxes, scores, points = super().detect(frame, view, view_side, near=near, min_score=min_score)
        step = 0.45 * (boxes[:, 3] - boxes[:, 1])[:, None] * near
        return boxes + step * np.array([1, 0, 1, 0], np.float32), scores, points


def test_a_face_that_two_candidates_lead_to_is_one_face() -> None:
    networks, dense = SeenBeside(), posed()
    analyser, frame = Analyser(networks), scene(networks, 1, DARK_SKIN, dense)
    assert len(analyser._upright(frame, thorough=True)) == 2
    faces = analyser.analyse(frame)
    assert len(faces) == 1
    np.testing.assert_array_equal(faces.dense[0], dense)
