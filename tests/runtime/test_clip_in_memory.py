"""Clips in memory are swapped as clip files are: followed from frame to frame; a person may have several pictures."""

from __future__ import annotations

import numpy as np
import pytest

from facegraft.core.errors import NoFaceError
from facegraft.faces.analyse import Analyser
from facegraft.runtime.swapper import Swapper
from tests.faces.drawn import DARK_SKIN, LIGHT_SKIN, posed
from tests.runtime.test_swapper import DrawnNetworks, begin, clip, edited, scene


def drawn() -> tuple[DrawnNetworks, Swapper]:
    networks = DrawnNetworks()
    return networks, Swapper(Analyser(networks))


def test_frames_come_out_as_the_edit_of_a_clip_makes_them() -> None:
    networks, swapper = drawn()
    person, frames = scene(networks, 200, LIGHT_SKIN, posed(), spots=14), clip(networks, 16)
    found = swapper.swap_frames([person], frames, 25.0)
    wanted = edited(begin(swapper), frames)
    for one, other in zip(found, wanted, strict=True):
        assert one is not None
        np.testing.assert_array_equal(one, other)
    alone = [swapper.swap(frame) for frame in frames]
    assert any((one != other).any() for one, other in zip(found, alone, strict=True))  # frame by frame is not the same


def test_a_frame_without_a_face_has_no_answer() -> None:
    networks, swapper = drawn()
    person, frames = scene(networks, 200, LIGHT_SKIN, posed(), spots=14), clip(networks, 4)
    found = swapper.swap_frames([person], [*frames, scene(networks, 90, DARK_SKIN)])
    assert [one is None for one in found] == [False] * 4 + [True]
    with pytest.raises(NoFaceError):
        swapper.swap_frames([np.full((50, 60, 3), 250, np.uint8)], frames)


def test_several_pictures_of_a_person_are_all_learned() -> None:
    networks, swapper = drawn()
    photos = [scene(networks, 200 + n, LIGHT_SKIN, posed(yaw=yaw), spots=14) for n, yaw in ((0, -25), (1, 25))]
    attribute = scene(networks, 1, DARK_SKIN, posed(yaw=-25))
    both, second = swapper.swap_several(photos, attribute), swapper.swap_pair(photos[1], attribute)
    assert (both != second).any()  # the photo that is turned the same way serves better
    swapper.set_identity(photos)
    np.testing.assert_array_equal(both, swapper.swap(attribute))
