"""In coloured light a texture takes its brightness alone from the photo; skin of any tone in white light stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facegraft.faces.layers import LAYER_SCALE, atlas, layers
from facegraft.faces.shading import Shading
from facegraft.faces.topology import load_topology
from facegraft.runtime.texture import unroll
from facegraft.runtime.tinted import HAIR, SKIN, in_coloured_light, natural_brows, without_tint
from tests.faces.drawn import LIGHT_SKIN, as_faces, draw, painted, posed

SCALE = 160
SIZE_WH = atlas(SCALE).size_wh
TONES = {
    "pale": (236, 205, 186),
    "tan": (198, 150, 114),
    "brown": (140, 92, 66),
    "dark": (78, 52, 42),
    "grey": (128, 128, 128),
    "by a lamp": (230, 150, 90),
}
BLUE, RED, GREEN = (20, 70, 190), (220, 30, 25), (40, 170, 60)


def flat(colour: tuple[int, int, int]) -> np.ndarray:
    """A texture of one colour, a little brighter to the right."""
    slope = np.linspace(0.9, 1.1, SIZE_WH[0])[None, :, None]
    return np.clip(np.broadcast_to(np.array(colour) * slope, (SIZE_WH[1], SIZE_WH[0], 3)), 0, 255).astype(np.uint8)


def everywhere() -> np.ndarray:
    return np.ones(SIZE_WH[::-1], np.float32)


@pytest.mark.parametrize("tone", TONES)
def test_skin_in_white_light_stays(tone: str) -> None:
    photo, even = flat(TONES[tone]), flat((150, 120, 100))
    assert in_coloured_light(photo, everywhere(), SCALE).max() == 0
    assert without_tint(photo, even, np.zeros((*SIZE_WH[::-1], 3), np.float32), everywhere(), SCALE) is even


@pytest.mark.parametrize("colour", [BLUE, RED, GREEN])
def test_in_coloured_light_brightness_alone_is_taken(colour: tuple[int, int, int]) -> None:
    """With the factor that the light's have in the mean."""
    photo, even = flat(colour), flat((10, 250, 120))
    factors = np.broadcast_to(np.log(np.array([2.0, 0.5, 1.0], np.float32)), photo.shape).astype(np.float32)
    found = without_tint(photo, even, factors + np.float32(0.2), everywhere(), SCALE)
    grey = photo.astype(np.float32).mean(2, keepdims=True) * np.exp(np.float32(0.2))
    np.testing.assert_allclose(found, np.clip(SKIN * grey, 0, 255), atol=1)


def test_only_the_side_in_coloured_light_changes_and_softly() -> None:
    photo, even = flat(TONES["tan"]), flat((150, 120, 100))
    half = SIZE_WH[0] // 2
    photo[:, :half] = flat(BLUE)[:, :half]
    found = without_tint(photo, even, np.zeros(photo.shape, np.float32), everywhere(), SCALE)
    assert (found[:, -half // 2 :] == even[:, -half // 2 :]).all()
    skin = SKIN * photo.astype(np.float32).mean(2, keepdims=True)
    np.testing.assert_allclose(found[:, : half // 2], skin[:, : half // 2], atol=1)
    share = in_coloured_light(photo, everywhere(), SCALE)
    assert np.abs(np.diff(share, axis=1)).max() < 0.1


def test_skin_speaks_for_brows_and_sockets_around_it() -> None:
    """What is no known skin is not asked for its colour: neither stained lids in blue light, nor blue ones in white."""
    middle = (SIZE_WH[1] // 2, SIZE_WH[0] // 2)
    place = (slice(middle[0] - 50, middle[0] + 50), slice(middle[1] - 90, middle[1] + 90))
    skin = everywhere()
    skin[place] = 0
    blue, white = flat(BLUE), flat(TONES["tan"])
    for photo, other, expected in ((blue, (90, 60, 60), 1.0), (white, BLUE, 0.0)):
        photo[place] = other
        share = in_coloured_light(photo, skin, SCALE)
        np.testing.assert_allclose(share[place], expected, atol=0.15)


def test_nothing_is_said_where_no_skin_is_known() -> None:
    assert in_coloured_light(flat(BLUE), np.zeros(SIZE_WH[::-1], np.float32), SCALE).max() == 0


@pytest.mark.parametrize("told", [True, False])
def test_a_photo_in_blue_light_is_unrolled_in_the_colours_of_skin(told: bool) -> None:
    """Where the light is told; the same photo in white light keeps its own."""
    mesh, dense = load_topology(), posed(size=100)
    face = as_faces(dense)[0]
    white = draw(dense, painted(LIGHT_SKIN, 4), size_wh=(300, 300))
    tint = np.array([0.12, 0.4, 0.9])
    blue = np.clip(white * tint, 0, 255).astype(np.uint8)
    # Told too strongly, which would leave a tint of the other side; less bright, so that nothing is cut off.
    logarithms = np.broadcast_to(-1.2 * np.log(tint) - 0.5, (8, 8, 3)).astype(np.float32).copy()
    shading = Shading(logarithms, np.array([[8 / 300, 0, 0], [0, 8 / 300, 0]], np.float32))
    nothing = Shading(np.zeros((8, 8, 3), np.float32), shading.from_frame)
    plain = unroll(white, face, mesh, shading=nothing)
    assert (plain.texture == unroll(white, face, mesh).texture).all()
    found = unroll(blue, face, mesh, shading=shading if told else None)
    sure = cv2.erode(found.own, np.ones((9, 9), np.uint8)) > 0.9
    assert sure.sum() > 500
    ratio = found.texture[sure].astype(float).mean(0)
    if told:
        np.testing.assert_allclose(ratio / ratio.mean(), SKIN, atol=0.06)
    else:
        assert ratio[2] > 3 * ratio[0]


@pytest.mark.parametrize("cold", [(20, 60, 40), (20, 40, 70), (40, 30, 60)])
def test_brows_are_never_green_or_blue(cold: tuple[int, int, int]) -> None:
    brows = np.zeros(SIZE_WH[::-1], np.float32)
    brows[10:20] = 1
    found = natural_brows(np.broadcast_to(np.uint8(cold), (*brows.shape, 3)).copy(), brows)
    np.testing.assert_allclose(found[12, 5], HAIR * np.mean(cold), atol=1)
    assert (found[30] == cold).all()


@pytest.mark.parametrize("hair", [(60, 40, 25), (150, 70, 30), (200, 170, 120), (90, 90, 90), (20, 20, 20)])
def test_brows_of_hairs_own_colours_stay(hair: tuple[int, int, int]) -> None:
    texture = np.broadcast_to(np.uint8(hair), (*SIZE_WH[::-1], 3)).copy()
    assert (natural_brows(texture, np.ones(SIZE_WH[::-1], np.float32)) == hair).all()


def test_a_texture_in_even_light_has_natural_brows() -> None:
    """Through `unroll`: green brows on a drawn face, whose light says nothing."""
    dense = posed(size=100)
    frame, face = draw(dense, painted(LIGHT_SKIN)), as_faces(dense)[0]
    x, y = face.dense[[70, 63, 105, 66, 107], :2].mean(axis=0).astype(int)
    frame[y - 3 : y + 4, x - 12 : x + 13] = (10, 70, 30)
    nothing = Shading(np.zeros((8, 8, 3), np.float32), np.array([[0.02, 0, 0], [0, 0.02, 0]], np.float32))
    greens = {}
    for shading in (None, nothing):
        texture = unroll(frame, face, load_topology(), None, shading).texture.astype(int)
        inside = cv2.resize(layers(LAYER_SCALE)["brows"], texture.shape[1::-1]) > 0.95
        greens[shading is None] = int((texture[inside][:, 1] - texture[inside][:, 0] > 30).sum())
    assert greens[True] > 50
    assert greens[False] < 0.1 * greens[True]
