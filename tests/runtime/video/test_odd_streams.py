"""Streams that are damaged, or joined so that their clocks start anew."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from tests.odd_videos import Clip, moving_frames, write_clip
from tests.runtime.video.clips import copied_packets, run, shown_frames

TONE = (("aac", 2),)


def test_damage_that_a_decoder_calls_its_own_fault_costs_its_frame_only(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mov", moving_frames(12), Clip(codec="png", pixel_format="rgb24"))
    with av.open(str(clip)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(clip.read_bytes())
    for position, size in places[3:8:2]:
        assert position is not None
        data[position + size // 2 : position + size // 2 + 40] = b"\xa5" * 40
    clip.write_bytes(bytes(data))
    with av.open(str(clip)) as container, pytest.raises(av.error.ExternalError):
        list(container.decode(video=0))
    report = run(clip, tmp_path / "out.mp4")
    assert report.frames == 9
    assert any(note.startswith("3 damaged packets") for note in report.notes)


def joined(path: Path) -> Path:
    """A transport stream twice, one behind the other: its clock jumps back in the middle."""
    once = write_clip(path, moving_frames(50), Clip(audio=TONE, time_base=Fraction(1, 90000)))
    once.write_bytes(once.read_bytes() * 2)
    return once


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_where_the_clock_jumps_back_sound_goes_on_as_the_pictures_do(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"out{suffix}"
    clip = joined(tmp_path / "clip.ts")
    before = copied_packets(clip)["audio", 0]
    assert run(clip, out).frames == 100
    sound = copied_packets(out)["audio", 0]
    assert [data for _, data in sound] == [data[7:] for _, data in before], "all but the heads that only streams have"
    steps = [later - time for (time, _), (later, _) in pairwise(sound)]
    assert all(Fraction(20, 1000) <= step <= Fraction(23, 1000) for step in steps), "each packet lasts 21.3 ms"
    pictures = [shown.time for shown in shown_frames(out)]
    assert abs(pictures[-1] - sound[-1][0]) < Fraction(1, 10)


def test_one_packet_out_of_place_moves_none_of_those_after_it(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    write_clip(clip, moving_frames(50), Clip(audio=TONE))
    data = bytearray(clip.read_bytes())
    before = copied_packets(clip)["audio", 0]
    late = before[40][1]  # a block's time lies in the two bytes before its flags
    place = data.index(late) - 3
    time_in_cluster = int.from_bytes(data[place : place + 2], "big", signed=True)
    data[place : place + 2] = (time_in_cluster - 40).to_bytes(2, "big", signed=True)
    clip.write_bytes(bytes(data))
    moved = copied_packets(clip)["audio", 0]
    assert [moved[n][0] - before[n][0] for n in (39, 40, 41)] == [0, Fraction(-40, 1000), 0]
    for suffix in (".mp4", ".mkv"):
        out = tmp_path / f"out{suffix}"
        assert any(note.startswith("1 packets of copied streams") for note in run(clip, out).notes)
        after = copied_packets(out)["audio", 0]
        shifts = [new - old for (new, _), (old, _) in zip(after, before, strict=True)]
        assert max(abs(shift) for number, shift in enumerate(shifts) if number != 40) < Fraction(2, 1000)
        assert after[39][0] < after[40][0] < after[41][0]
