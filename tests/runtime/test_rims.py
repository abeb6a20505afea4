"""Rims of glasses are painted over with the skin beside them; eyes, lenses and faces without glasses stay."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facegraft.faces.layers import LAYER_SCALE, atlas, layers
from facegraft.faces.topology import load_topology
from facegraft.faces.visible import Uncovered
from facegraft.runtime.rims import MAYBE, SURE, THICK, rims, without_rims
from facegraft.runtime.texture import unroll
from tests.faces.drawn import LIGHT_SKIN, as_faces, draw, painted, posed

SCALE = 160
SIZE_HW = atlas(SCALE).size_wh[::-1]
SKIN, DARK = (200, 150, 120), (20, 20, 30)
RADIUS = 0.36
"""Of lenses, in outer-eye distances: outside the lids."""


def eyes() -> list[tuple[int, int]]:
    """Middles of both eyes in the texture."""
    found = []
    for name in ("left_lids", "right_lids"):
        mask = cv2.resize(layers(LAYER_SCALE)[name], SIZE_HW[::-1]) > 0.5
        rows, columns = np.nonzero(mask)
        found.append((int(columns.mean()), int(rows.mean())))
    return found


def worn(thickness: float = 0.05, chance: float = 0.9, *, lenses: bool = False) -> np.ndarray:
    """The chance of glasses: a round rim about each eye, or dark lenses."""
    drawn = np.zeros(SIZE_HW, np.float32)
    for middle in eyes():
        width = cv2.FILLED if lenses else max(1, round(thickness * SCALE))
        cv2.circle(drawn, middle, round(RADIUS * SCALE), chance, width)
    return drawn


def texture(glasses: np.ndarray) -> np.ndarray:
    """Skin with light from one side, and rims on it."""
    slope = np.linspace(0.8, 1.2, SIZE_HW[1])[None, :, None]
    skin = np.broadcast_to(np.array(SKIN) * slope, (*SIZE_HW, 3))
    return np.where(glasses[..., None] > 0, DARK, skin).astype(np.uint8)


def test_rims_become_the_skin_beside_them() -> None:
    glasses = worn()
    bare = texture(np.zeros_like(glasses))
    painted_over, free = without_rims(texture(glasses), 1 - glasses, glasses, SCALE)
    off = np.abs(painted_over.astype(int) - bare).max(2)
    assert off.max() < 25
    assert np.median(off[glasses > 0]) < 6
    far = cv2.dilate((glasses > 0).astype(np.uint8), np.ones((31, 31), np.uint8)) == 0
    assert (painted_over[far] == bare[far]).all()
    assert free[glasses > 0].min() > 0.9  # what is painted counts as the face


def test_a_rim_begins_where_it_is_sure_and_runs_on_where_it_may_be() -> None:
    glasses = worn(chance=(SURE + MAYBE) / 2)
    assert not rims(glasses, SCALE).any()
    x, y = eyes()[0]
    glasses[y + round(RADIUS * SCALE), x] = 1.0
    found = rims(glasses, SCALE)
    assert found[y + round(RADIUS * SCALE), x]
    assert found[y - round(RADIUS * SCALE), x]  # the same rim, above the eye
    other_x, other_y = eyes()[1]
    assert not found[other_y + round(RADIUS * SCALE), other_x]
    assert not rims(worn(chance=0.9 * MAYBE), SCALE).any()


def test_dark_lenses_stay_unknown() -> None:
    glasses = worn(lenses=True)
    given = texture(glasses)
    kept, free = without_rims(given, 1 - glasses, glasses, SCALE)
    assert (kept == given).all()
    assert (free == 1 - glasses).all()
    assert THICK < 2 * 0.3  # the lenses drawn here are thicker than that


def test_eyes_are_never_painted() -> None:
    """A rim that runs across an eye, as of a head that is turned."""
    glasses = np.zeros(SIZE_HW, np.float32)
    (x, y), _ = eyes()
    glasses[y - 4 : y + 4, x - 60 : x + 60] = 0.9
    found = rims(glasses, SCALE)
    assert found.any()
    assert not found[y, x]


@pytest.mark.parametrize("looked", [True, False])
def test_a_photo_with_glasses_is_unrolled_without(looked: bool) -> None:
    """Drawn on the photo around both eyes; the texture has skin there, which counts as the person's."""
    mesh, dense = load_topology(), posed(size=100)
    face = as_faces(dense)[0]
    frame = draw(dense, painted(LIGHT_SKIN, 0), size_wh=(300, 300))
    chance = np.zeros((300, 300), np.float32)
    for outer, inner in ((33, 133), (263, 362)):
        middle = np.rint(dense[[outer, inner], :2].mean(0)).astype(int).tolist()
        cv2.circle(chance, middle, 30, 1.0, 5)
    shown = np.where(chance[..., None] > 0, DARK, frame).astype(np.uint8)
    told = Uncovered(1 - chance, np.eye(2, 3, dtype=np.float32), chance if looked else None)
    clean, found = unroll(frame, face, mesh), unroll(shown, face, mesh, told)
    rim = unroll(np.repeat((chance * 255).astype(np.uint8)[..., None], 3, 2), face, mesh).texture
    where = (rim[..., 0] > 200) & (clean.own > 0.9)
    assert where.sum() > 100
    off = np.abs(found.texture.astype(int) - clean.texture).max(2)[where]
    if looked:
        assert np.median(off) < 30
        assert np.median(found.own[where]) > 0.8
    else:
        assert np.median(off) > 60
        assert np.median(found.own[where]) < 0.1


def test_glasses_have_pixels_of_their_own() -> None:
    share, glasses = np.ones((10, 10), np.float32), np.zeros((40, 40), np.float32)
    glasses[20:24, 8:12] = 1
    told = Uncovered(share, np.array([[0.1, 0, 0], [0, 0.1, 0]], np.float32), glasses)  # a frame of 100 pixels
    places = np.array([[[25.0, 55.0], [55.0, 25.0]]], np.float32)
    assert told.glasses_at(places).tolist() == [[1.0, 0.0]]  # type: ignore[union-attr]
    assert Uncovered(share, told.from_frame).glasses_at(places) is None
