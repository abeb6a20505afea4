"""The look after a swap: which frames are kept, what is measured of them, and what is said."""

from __future__ import annotations

import dataclasses
import functools
import math
from itertools import pairwise

import numpy as np
import pytest
from jaxtyping import Float32, UInt8

from facegraft.core.geometry import warp
from facegraft.core.types import Face, Frame, Patch, paste
from facegraft.evaluate.after import (
    GROW,
    MOST_FACES,
    MOST_GROUPS,
    MOST_PX,
    RUN,
    Album,
    Placed,
    Quality,
    measure,
    outside_pixels,
)
from facegraft.evaluate.eyes import NO_JUDGE
from facegraft.evaluate.look import Eyes
from facegraft.faces.align import alignment
from tests.evaluate.cases_for_tests import example, flat, own_eyes


class Brightness:
    """A judge that tells the bright from the dark."""

    size_px = 16

    def embed(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n d"]:
        angle = crops.astype(np.float32).mean((1, 2, 3)) / 255 * np.pi / 2
        return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


@functools.cache
def scene() -> tuple[Frame, Face]:
    """An example person, who is not real, and their face."""
    frame = example("identity_2", 200)
    return frame, own_eyes().analyser.analyse(frame, thorough=False)[0]


def shade(face: Face, frame: Frame, levels: float) -> Patch:
    """Adds so many levels to a square around the middle of a face."""
    x, y = face.dense[:, :2].mean(0).astype(int)
    return Patch(int(x) - 20, int(y) - 20, np.full((40, 40, 3), levels, np.float32))


def placed(levels: float = 0.0, number: int = 0, key: str = "one") -> Placed:
    frame, face = scene()
    return Placed(dataclasses.replace(face, number=number), key, shade(face, frame, levels))


def filled(frames: int, levels: list[float] | None = None) -> Album:
    album = Album()
    for number in range(frames):
        if album.wants(number):
            album.add(number, scene()[0], [placed(levels[number % len(levels)] if levels else 0.0)])
    return album


@pytest.mark.parametrize("frames", [1, 2, 3, 70, 72, 73, 200, 1000])
def test_runs_are_spread_over_a_clip_of_any_length(frames: int) -> None:
    runs = list(filled(frames).runs())
    begins = [run[0].number for run in runs]
    assert min(MOST_GROUPS // 2, math.ceil(frames / RUN)) <= len(runs) <= MOST_GROUPS
    assert begins[0] == 0
    gaps = {b - a for a, b in pairwise(begins)}
    assert len(gaps) <= 1
    assert frames - begins[-1] <= max(gaps or {RUN})
    for run in runs[:-1]:
        assert [one.number for one in run] == list(range(run[0].number, run[0].number + RUN))


def test_a_run_ends_where_a_face_is_missing_and_needs_its_first_frame() -> None:
    album = Album()
    frame = scene()[0]
    for number, faces in enumerate([[0, 1], [0], [0, 1], [0], [1], [0, 1]]):
        album.add(number, frame, [placed(number=face) for face in faces])
    runs = [(run[0].face.number, [one.number for one in run]) for run in album.runs()]
    assert runs == [(0, [0, 1, 2]), (1, [0]), (0, [3])]


def test_only_the_largest_faces_are_kept_cut_out_and_never_too_large() -> None:
    frame, face = scene()
    large = np.ascontiguousarray(np.repeat(np.repeat(frame, 4, 0), 4, 1))
    album = Album()
    faces = []
    for number in range(MOST_FACES + 2):
        scale = np.float32(4 * (1 - 0.1 * number))
        dense, points5 = face.dense * scale, face.points5 * scale
        this = dataclasses.replace(face, number=number, dense=dense, points5=points5, box_xyxy=face.box_xyxy * scale)
        faces.append(Placed(this, "one", Patch(0, 0, np.zeros((1, 1, 3), np.float32))))
    album.add(0, large, faces[::-1])
    assert sorted(one.face.number for one in album.cutouts) == list(range(MOST_FACES))
    for one in album.cutouts:
        assert max(one.attribute.shape[:2]) <= MOST_PX
        size = float(np.ptp(one.face.dense[:, 0]))
        if one.face.number == 0:  # the others' points are where no face is
            again = own_eyes().look(one.attribute, one.face).face
            assert again is not None
            assert np.abs(again.points5 - one.face.points5).max() < 0.1 * size
        assert size * GROW >= 0.6 * max(one.attribute.shape[:2])


def test_frames_are_kept_as_they_were_and_with_what_was_added() -> None:
    frame = scene()[0].copy()
    album, one = Album(), placed(30.0)
    album.add(0, frame, [one])
    swapped = frame.copy()
    paste(swapped, [one.patch])
    frame[:] = 0
    kept = album.cutouts[0]
    assert kept.attribute.any()
    differ = (kept.attribute != kept.swapped).any(2)
    assert differ.sum() == (swapped != scene()[0]).any(2).sum()


def test_a_swap_that_changes_nothing_is_no_way_off() -> None:
    found = measure(filled(6), own_eyes(), {}, clip=True)
    assert (found.looked_at, found.lost) == (2, 0)
    for value in (found.pose_degrees, found.expression_percent, found.gaze_degrees):
        assert value == pytest.approx(0, abs=1e-4)
    assert found.flicker_levels == found.landmark_jitter_percent == 0
    assert found.identity_cosine is None
    assert found.not_measured == (NO_JUDGE,)


def test_flicker_is_what_was_added_in_turn() -> None:
    steady = measure(filled(6, [25.0]), own_eyes(), {}, clip=True)
    blinking = measure(filled(6, [0.0, 25.0]), own_eyes(), {}, clip=True)
    assert steady.flicker_levels == 0
    assert blinking.flicker_levels is not None
    assert 3 < blinking.flicker_levels < 25
    assert blinking.pose_degrees is not None
    assert abs(blinking.landmark_jitter_percent or 0) > 0


def test_a_picture_has_no_flicker() -> None:
    found = measure(filled(1), own_eyes(), {})
    assert found.flicker_levels is None
    assert not any(line.startswith("flicker") for line in found.lines())
    alone = measure(filled(1), own_eyes(), {}, clip=True)
    assert any(line.startswith("flicker") for line in alone.not_measured)


def test_each_face_is_compared_with_its_own_identity() -> None:
    frame, _ = scene()
    eyes = Eyes(own_eyes().analyser, own_eyes().reader, {"brightness": Brightness()})
    dark = (frame * 0.4).astype(np.uint8)
    album = Album()
    album.add(0, frame, [placed(key="same", number=0)])
    same = measure(album, eyes, {"same": [frame], "dark": [dark]})
    assert same.judge == "brightness"
    assert same.identity_cosine == pytest.approx(1, abs=1e-4)
    album = Album()
    album.add(0, frame, [placed(levels=-60.0, key="dark")])
    other = measure(album, eyes, {"same": [frame], "dark": [dark]})
    assert other.identity_before is not None
    assert other.identity_cosine is not None
    assert other.identity_before < other.identity_cosine < 1
    nobody = measure(album, eyes, {"dark": [flat(90)]})
    assert nobody.identity_cosine is None


def test_a_face_that_is_lost_is_told() -> None:
    frame, face = scene()
    album = Album()
    hidden = Patch(0, 0, 90 - frame.astype(np.float32))
    album.add(0, frame, [Placed(face, "one", hidden)])
    found = measure(album, own_eyes(), {})
    assert (found.looked_at, found.lost, found.pose_degrees) == (1, 1, None)
    assert "1 of 1 faces are not found any more" in found.lines()


def test_nothing_swapped_is_one_line() -> None:
    found = measure(Album(), own_eyes(), {}, clip=True)
    assert [line.startswith("not measured: quality") for line in found.lines()] == [True]


def test_lines_say_what_was_measured_and_what_was_not() -> None:
    full = Quality(3, 1, "dlib", 0.93, 0.8, 1.25, 2.0, 3.0, 4.0, -0.5, 0, 1.0, ("gaze: closed",))
    lines = full.lines()
    assert len(lines) == 5
    assert "0.930 (before: 0.800)" in lines[0]
    assert "0.91 and more: one person" in lines[0]
    assert "1 of 3 faces" in lines[0]
    assert lines[1:4] == [
        "off the attribute: pose 1.2 degrees, expression 2.0 %, gaze 3.0 degrees",
        "flicker 4.0 levels of 255, trembling of the points -0.50 % of the eyes' distance",
        "0 pixels changed outside the swapped faces",
    ]
    assert lines[4] == "not measured: gaze: closed"
    assert Quality().lines() == []
    assert "one person" not in Quality(1, judge="second", identity_cosine=0.5).lines()[0]


def test_pixels_outside_are_those_that_no_patch_changes() -> None:
    attribute = flat(100)
    delta = np.zeros((10, 10, 3), np.float32)
    delta[:5] = 20
    patch = Patch(4, 6, delta)
    written = attribute.copy()
    paste(written, [patch])
    assert outside_pixels(attribute, written, [patch]) == 0
    written[12, 5] += 1  # in the patch's box, where it adds nothing
    written[0, 0] += 1
    assert outside_pixels(attribute, written, [patch]) == 2
    assert outside_pixels(attribute, written, []) == 52


def test_the_template_of_a_cut_out_face_fits_it() -> None:
    """Points and pixels of a cut-out go together: a crop by its points looks as one of the whole frame."""
    frame, face = scene()
    album = Album()
    album.add(0, frame, [placed()])
    one = album.cutouts[0]
    crops = [
        warp(picture, alignment(points, "arcface_112_v2", 64), (64, 64)).astype(int)
        for picture, points in ((frame, face.points5), (one.attribute, one.face.points5))
    ]
    assert np.abs(crops[0] - crops[1])[8:-8, 8:-8].mean() < 1
