"""A face is freed of its photo's light and takes on the frame's: shadows that the networks see go over, and stay."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facegraft.core.geometry import transform
from facegraft.core.types import Frame, Patch
from facegraft.faces.shading import Shading
from facegraft.faces.topology import load_topology
from facegraft.runtime.texture import FINE_KEPT, unroll
from facegraft.runtime.warp import LIGHT_REACH, Photo, _factors, encode, make_plan, swap_face
from tests.faces.drawn import LIGHT_SKIN, as_faces, draw, painted, posed

MESH = load_topology()
SIDE_WH = (300, 300)
DENSE = posed(size=100)
FACE = as_faces(DENSE)[0]
SHADOW = np.log(np.float32(1.6))
NOTHING = Shading(np.zeros((8, 8, 3), np.float32), np.eye(2, 3, dtype=np.float32))
CHEEKS = (50, 280)
"""Points of the frame's left and right cheek."""


def shaded(frame: Frame, *, left: bool) -> tuple[Frame, Shading]:
    """The frame with a hard shadow over one half of the face, and what a network would say of it."""
    columns = np.arange(frame.shape[1]) + 0.5
    dark = columns < DENSE[1, 0] if left else columns >= DENSE[1, 0]
    logarithm = np.broadcast_to(np.where(dark, SHADOW, np.float32(0))[None, :, None], frame.shape)
    factors = np.ascontiguousarray(logarithm, np.float32)
    return np.rint(frame / np.exp(factors)).astype(np.uint8), Shading(factors, np.eye(2, 3, dtype=np.float32))


def levels(frame: Frame) -> list[float]:
    """Of the two cheeks."""
    return [float(frame[int(DENSE[point, 1]), int(DENSE[point, 0]), 1]) for point in CHEEKS]


def pasted(frame: Frame, patch: Patch | None) -> Frame:
    assert patch is not None
    swapped = frame.astype(np.float32)
    height, width = patch.delta.shape[:2]
    swapped[patch.top : patch.top + height, patch.left : patch.left + width] += patch.delta
    return np.clip(np.rint(swapped), 0, 255).astype(np.uint8)


def drawn(spots: int) -> Frame:
    return draw(DENSE, painted(LIGHT_SKIN, spots), size_wh=SIDE_WH)


def test_a_texture_is_freed_of_its_photos_light() -> None:
    frame, shading = shaded(drawn(0), left=True)
    plain = unroll(drawn(0), FACE, MESH)
    even, dark = unroll(frame, FACE, MESH, shading=shading), unroll(frame, FACE, MESH)
    seen = plain.own > 0.9
    apart = np.abs(even.texture.astype(float) - plain.texture)[seen].mean(1)
    before = np.abs(dark.texture.astype(float) - plain.texture)[seen].mean(1)
    assert np.median(apart) < 2  # beside the shadow's edge a little stays, as of features
    assert apart.mean() < 0.2 * before.mean()


def test_the_photos_shadow_does_not_come_along_and_the_frames_stays() -> None:
    photo, of_photo = shaded(drawn(3), left=True)
    frame, of_frame = shaded(drawn(0), left=False)
    view = encode([Photo(photo, FACE, None, of_photo)], MESH).views[0]
    swapped = pasted(frame, swap_face(frame, FACE, view, MESH, None, of_frame))
    left, right = levels(swapped)
    assert left / right == pytest.approx(1.6, rel=0.04)
    bent = pasted(frame, swap_face(frame, FACE, encode([Photo(photo, FACE)], MESH).views[0], MESH))
    edge = np.arange(int(DENSE[1, 0]) - 36, int(DENSE[1, 0]) + 36)
    row = int(DENSE[151, 1])  # the forehead: nothing but skin and the edge of both shadows
    right_answer = frame[row, edge, 1].astype(float)
    with_shading, without = (np.abs(each[row, edge, 1] - right_answer).mean() for each in (swapped, bent))
    assert with_shading < 0.6 * without  # shadows go over without their outlines


def test_in_even_light_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = encode([Photo(drawn(3), FACE)], MESH).views[0]
    told = encode([Photo(drawn(3), FACE, None, NOTHING)], MESH).views[0]
    np.testing.assert_array_equal(plain.levels[0], told.levels[0])
    monkeypatch.setattr("facegraft.runtime.warp.EVEN_REACH", LIGHT_REACH)
    one, other = (swap_face(drawn(0), FACE, plain, MESH, None, shading) for shading in (None, NOTHING))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.delta, other.delta, atol=0.01)


@pytest.mark.parametrize(("factors", "most"), [((-0.2, -0.2, -0.2), 4), ((0.1, 0.0, -0.2), 30)])
def test_one_factor_for_the_whole_face_says_nothing(factors: tuple[float, float, float], most: float) -> None:
    """Networks cannot know how bright a lamp is: what they say of a channel as a whole cancels out, but on lips."""
    frame, view = drawn(0), encode([Photo(drawn(3), FACE)], MESH).views[0]
    tinted = Shading(np.full((8, 8, 3), factors, np.float32), np.eye(2, 3, dtype=np.float32))
    one, other = (swap_face(frame, FACE, view, MESH, None, shading) for shading in (NOTHING, tinted))
    assert one is not None
    assert other is not None
    assert np.abs(one.delta - other.delta).max() < most
    assert np.abs(one.delta - other.delta).mean() < 0.5


def test_factors_lie_where_their_square_does() -> None:
    factors = np.zeros((4, 4, 3), np.float32)
    factors[:, 2:] = 1
    shading = Shading(factors, np.array([[0.1, 0, -1], [0, 0.1, -2]], np.float32))  # 40 pixels wide from (10, 20)
    places = np.array([[[15, 30], [45, 30], [0, 0], [99, 99]]], np.float32)
    np.testing.assert_allclose(shading.at(places)[0, :, 0], [0, 1, 0, 1], atol=1e-5)
    over = shading.over(np.array([[0.5, 0, 0], [0, 0.5, 0]], np.float32), (40, 40))
    assert over.shape == (40, 40, 3)
    np.testing.assert_allclose(over[15, [7, 22], 1], [0, 1], atol=1e-5)
    np.testing.assert_allclose(transform(shading.from_frame, np.array([[10, 20]], np.float32)), 0, atol=1e-6)


def test_a_bright_lamp_does_not_overflow() -> None:
    frame = drawn(0)
    dark = Shading(np.full((8, 8, 3), 2, np.float32), np.eye(2, 3, dtype=np.float32))
    dark.factors[:, 4:] = -2
    view = encode([Photo(drawn(3), FACE, None, dark)], MESH).views[0]
    patch = swap_face(frame, FACE, view, MESH, None, dark)
    assert patch is not None
    assert np.isfinite(patch.delta).all()
    assert np.abs(patch.delta).max() <= 255


def striped(height: float) -> Shading:
    """Upright stripes of four pixels each: as fine as features, far finer than shadows."""
    columns = np.where(np.arange(SIDE_WH[0]) % 8 < 4, np.float32(height), np.float32(-height))
    factors = np.broadcast_to(columns[None, :, None], (SIDE_WH[1], SIDE_WH[0], 3))
    return Shading(np.ascontiguousarray(factors, np.float32), np.eye(2, 3, dtype=np.float32))


def test_of_what_is_fine_only_what_is_strong_is_the_photos_light() -> None:
    weak, strong = (unroll(drawn(0), FACE, MESH, shading=striped(height)) for height in (FINE_KEPT * 0.9, 0.5))
    plain = unroll(drawn(0), FACE, MESH)
    seen = plain.own > 0.9
    assert np.abs(weak.texture.astype(float) - plain.texture)[seen].mean() < 0.6
    left = np.abs(np.log(np.maximum(strong.texture, 1) / np.maximum(plain.texture.astype(float), 1)))[seen]
    assert np.median(left) == pytest.approx(0.5 - FINE_KEPT, abs=0.06)


def test_what_is_fine_in_the_frames_light_is_not_drawn_on_the_result() -> None:
    frame, view = drawn(0), encode([Photo(drawn(3), FACE)], MESH).views[0]
    plain, told = (swap_face(frame, FACE, view, MESH, None, shading) for shading in (NOTHING, striped(0.3)))
    assert plain is not None
    assert told is not None
    assert np.abs(told.delta - plain.delta).max() < 3


def test_the_frames_light_moves_with_its_face() -> None:
    wide = DENSE.copy()
    wide[:, 0] = DENSE[1, 0] + 1.15 * (DENSE[:, 0] - DENSE[1, 0])
    view = encode([Photo(drawn(0), as_faces(wide)[0])], MESH).views[0]
    frame = drawn(0)
    plan = make_plan(frame, FACE, view, MESH)
    assert plan is not None
    ramp = np.arange(SIDE_WH[0], dtype=np.float32) / SIDE_WH[0]
    factors = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (SIDE_WH[1], SIDE_WH[0], 3)))
    shading = Shading(factors, np.eye(2, 3, dtype=np.float32))
    still, moved = (np.log(_factors(shading, plan, shift, 1.0)) for shift in (np.zeros_like(plan.shift), plan.shift))
    told = (moved - still)[..., 0] * SIDE_WH[0]
    expected = cv2.resize(plan.shift[..., 0], (told.shape[1], told.shape[0]))
    assert np.abs(expected).max() > 2
    inside = cv2.resize(plan.inside, (told.shape[1], told.shape[0])) > 0.9
    np.testing.assert_allclose(told[inside], expected[inside], atol=0.4)


def test_in_even_light_what_differs_within_a_cheek_is_the_persons() -> None:
    """A beard's shade, wide and soft: smooth light would be taken out of it, were it not known that it is none."""
    bearded = painted(LIGHT_SKIN)
    y, x = np.mgrid[:400, :400]
    shade = np.exp(-(((x - 200) / 45) ** 2 + ((y - 275) / 40) ** 2))
    bearded = (bearded * (1 - 0.5 * shade[..., None])).astype(np.float32)
    photo = draw(DENSE, bearded, size_wh=SIDE_WH)
    view = encode([Photo(photo, FACE, None, NOTHING)], MESH).views[0]
    told, smooth = (pasted(drawn(0), swap_face(drawn(0), FACE, view, MESH, None, each)) for each in (NOTHING, None))
    chin = tuple(DENSE[200, 1::-1].astype(int))
    kept, lost, whole, bare = (float(each[chin][1]) for each in (told, smooth, photo, drawn(0)))
    assert bare - kept > 1.3 * (bare - lost)
    assert whole < kept < bare
