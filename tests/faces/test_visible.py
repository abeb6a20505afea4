"""The visible-face mask: what is face, and what lies before it."""

from pathlib import Path

import numpy as np
import pytest

from facegraft.core.image import read_picture
from facegraft.faces.analyse import Analyser
from facegraft.faces.topology import EYE_CENTRES, load_topology
from facegraft.faces.visible import Uncovered, sharper, visible_mask
from tests.faces.drawn import DARK_SKIN, LIGHT_SKIN, one_face

MESH = load_topology()


@pytest.mark.parametrize("skin", [LIGHT_SKIN, DARK_SKIN])
def test_a_bare_face_is_all_visible_and_nothing_else_is(skin: tuple[int, int, int]) -> None:
    frame, faces = one_face(skin=skin, spots=8)
    mask = visible_mask(frame, faces[0], MESH)
    outside = (frame == np.array([70, 110, 190])).all(axis=2)
    assert mask.shape == frame.shape[:2]
    assert mask[~outside].mean() > 0.85
    assert mask[outside].mean() < 0.03


@pytest.mark.parametrize("colour", [(20, 200, 30), (15, 15, 18), (240, 240, 250)])
def test_a_bar_over_the_face_is_cut_out(colour: tuple[int, int, int]) -> None:
    frame, faces = one_face(spots=4)
    frame[60:200, 165:185] = colour
    mask = visible_mask(frame, faces[0], MESH)
    assert mask[110:150, 171:179].mean() < 0.25
    assert mask[120:150, 120:150].mean() > 0.8


def test_a_hand_is_cut_out_though_it_has_the_same_colour() -> None:
    """The networks saw something over the lower half of a square that is turned by a quarter."""
    frame, faces = one_face(spots=4)
    share = np.ones((40, 40), np.float32)
    share[:, :20] = 0
    turned = np.array([[0, -0.25, 55], [0.25, 0, -17.5]], np.float32)  # x of the square runs up, from y = 220 to 60
    hidden = visible_mask(frame, faces[0], MESH, Uncovered(share, turned))
    whole = visible_mask(frame, faces[0], MESH)
    assert whole[150:190, 145:155].mean() > 0.7
    assert hidden[150:190, 145:155].mean() < 0.1
    assert hidden[80:100, 140:160].mean() > 0.7


@pytest.mark.parametrize(("certainty", "seen"), [(1.0, True), (0.8, False), (0.0, False)])
def test_a_beard_is_the_faces_where_the_networks_are_certain(certainty: float, *, seen: bool) -> None:
    """Its colour alone says that something lies before the face."""
    frame, faces = one_face(spots=4)
    frame[60:200, 165:185] = (15, 15, 18)
    share = np.full((75, 75), certainty, np.float32)
    mask = visible_mask(frame, faces[0], MESH, Uncovered(share, np.array([[0.25, 0, 0], [0, 0.25, 0]], np.float32)))
    assert bool(mask[110:150, 171:179].mean() > 0.9) is seen
    assert bool(mask[110:150, 171:179].mean() < 0.25) is not seen


def test_what_is_uncovered_is_the_same_on_a_raster_and_at_places() -> None:
    share = np.zeros((32, 32), np.float32)
    share[:, 16:] = 1
    seen = Uncovered(share, np.array([[0.5, 0, -10], [0, 0.5, -5]], np.float32))  # x = 52 of the frame is the edge
    to_grid = np.array([[0.25, 0, -5], [0, 0.25, -2]], np.float32)
    grid = seen.over(to_grid, (16, 16))
    assert (grid[:, :7] == 0).all()
    assert (grid[:, 9:] == 1).all()
    at = seen.share_at(np.stack(np.meshgrid(np.arange(22, 84, 4), np.arange(10, 72, 4)), -1).astype(np.float32))
    assert (at[:, :7] == 0).all()
    assert (at[:, 9:] == 1).all()
    np.testing.assert_allclose(sharper(np.array([[0.2, 0.5, 0.8]], np.float32)), [[0, 0.5, 1]], atol=1e-6)


def test_a_face_outside_the_frame_gives_an_empty_mask() -> None:
    frame, faces = one_face(at=(-300.0, 40.0))
    assert not visible_mask(frame, faces[0], MESH).any()


def test_sunglasses_hide_the_eyes_and_bare_eyes_are_seen(face_data: Path) -> None:
    analyser = Analyser()
    seen = {}
    for name in ("interfaces_038", "faker_male63"):
        frame = read_picture(face_data / "photos" / f"{name}.jpg").frame
        face = analyser.analyse(frame)[0]
        mask = analyser.visible(frame, face)
        eyes = [face.dense[list(ring), :2].mean(axis=0).astype(int) for ring in EYE_CENTRES]
        seen[name] = [float(mask[y - 3 : y + 4, x - 3 : x + 4].mean()) for x, y in eyes]
    assert max(seen["interfaces_038"]) < 0.35
    assert min(seen["faker_male63"]) > 0.6


def test_the_mouth_comes_over_another_raster_in_pixels_of_its_own() -> None:
    """Seen at 4 pixels where the share has 8: both lie over the same square of the frame."""
    mouth = np.zeros((4, 4), np.float32)
    mouth[2:, 2:] = 1
    seen = Uncovered(np.ones((8, 8), np.float32), np.array([[0.5, 0, -10], [0, 0.5, -5]], np.float32), mouth=mouth)
    to_image = np.array([[0.5, 0, -10], [0, 0.5, -5]], np.float32)
    found = seen.mouth_over(to_image, (8, 8))
    assert found is not None
    assert found[:3].max() == 0
    assert found[:, :3].max() == 0
    assert found[6:, 6:].min() == 1
    assert Uncovered(seen.share, seen.from_frame).mouth_over(to_image, (8, 8)) is None
