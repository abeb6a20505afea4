"""The visible-face mask: what is face, and what lies before it."""

from pathlib import Path

import numpy as np
import pytest

from facegraft.core.image import read_picture
from facegraft.faces.analyse import Analyser
from facegraft.faces.topology import EYE_CENTRES, load_topology
from facegraft.faces.visible import visible_mask
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
    frame, faces = one_face(spots=4)
    fan = np.linspace(-0.5, 0.5, 5)
    hand = np.zeros((21, 3), np.float32)
    hand[0, :2] = (150, 230)
    for finger, slope in enumerate(fan):
        for joint in range(4):
            hand[1 + 4 * finger + joint, :2] = (150 + slope * (40 + 12 * joint), 195 - 14 * joint)
    without, with_hand = visible_mask(frame, faces[0], MESH), visible_mask(frame, faces[0], MESH, [hand])
    assert without[185:195, 145:155].mean() > 0.7
    assert with_hand[185:195, 145:155].mean() < 0.1
    assert with_hand[80:100, 140:160].mean() > 0.7


def test_a_face_outside_the_frame_gives_an_empty_mask() -> None:
    frame, faces = one_face(at=(-300.0, 40.0))
    assert not visible_mask(frame, faces[0], MESH).any()


@pytest.mark.usefixtures("face_models")
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
