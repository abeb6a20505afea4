"""A failure in any stage: comes out as it is, soon, with nothing hanging and nothing half-written."""

from __future__ import annotations

import errno
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegraft.core.errors import FacegraftError, NoFaceError, OutputError
from facegraft.core.types import Frame, Patch
from facegraft.runtime.video import render
from facegraft.runtime.video.packets import SegmentWriter, StoredPacket
from facegraft.runtime.video.pipeline import Channel, Stop, Stopped, stage
from facegraft.runtime.video.probe import probe
from tests.odd_videos import Clip, moving_frames, write_clip
from tests.runtime.video.clips import Nothing, Painter, hashes, leftovers, run


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", moving_frames(60), Clip(audio=(("aac", 2),)))


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("facegraft-") for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "a stage still runs"
        time.sleep(0.01)


def failing(frame: int, error: BaseException) -> Painter:
    def each(number: int) -> None:
        if number == frame:
            raise error

    return Painter(each)


def test_an_error_in_the_edit_names_its_frame(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run(clip, tmp_path / "out.mp4", failing(33, ZeroDivisionError("oh")), segment_s=0.4)
    assert caught.value.__notes__ == ["while editing frame 33, 1.320 s"]
    assert not (tmp_path / "out.mp4").exists()


def test_our_own_errors_stay_one_line_of_their_kind(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(NoFaceError, match=r"^no face; use --on-no-face keep \(frame 2, 0.080 s\)$"):
        run(clip, tmp_path / "out.mp4", failing(2, NoFaceError("no face; use --on-no-face keep")))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("frame", [0, 7, 59])
@pytest.mark.parametrize("queue", [1, 5])
def test_decoder_failures(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame: int, queue: int) -> None:
    real = render.read_frames

    def broken(*arguments: Any) -> Iterator[Any]:
        for timed in real(*arguments):
            if timed.number == frame:
                raise OSError(errno.EIO, "disk on fire")
            yield timed

    monkeypatch.setattr(render, "read_frames", broken)
    with pytest.raises(OutputError, match="disk on fire"):
        run(clip, tmp_path / "out.mp4", Painter(), segment_s=0.4, queue=queue)
    monkeypatch.undo()
    run(clip, tmp_path / "whole.mp4", Painter(), segment_s=0.4)
    run(clip, tmp_path / "out.mp4", Painter(), segment_s=0.4, queue=queue)
    assert hashes(tmp_path / "out.mp4") == hashes(tmp_path / "whole.mp4")


@pytest.mark.parametrize("packet", [0, 3, 40])
@pytest.mark.parametrize("queue", [1, 5])
def test_writer_failures(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packet: int, queue: int) -> None:
    real, seen = SegmentWriter.add, []

    def broken(self: SegmentWriter, stored: StoredPacket) -> None:
        seen.append(stored)
        if len(seen) == packet + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, stored)

    monkeypatch.setattr(SegmentWriter, "add", broken)
    with pytest.raises(OutputError, match=r"no room to write .*then the same command continues"):
        run(clip, tmp_path / "out.mp4", Painter(), segment_s=0.4, queue=queue)
    assert not (tmp_path / "out.mp4").exists()
    assert bool(leftovers(tmp_path)) == (packet >= 10)  # only with a finished segment in it
    report = run(clip, tmp_path / "out.mp4", Painter(), segment_s=0.4)
    assert report.frames == 60
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("frame", [0, 5, 59])
def test_ctrl_c_in_the_edit(clip: Path, tmp_path: Path, frame: int) -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(clip, tmp_path / "out.mp4", failing(frame, KeyboardInterrupt()), queue=1)
    assert time.monotonic() - began < 10
    assert leftovers(tmp_path) == []


class _BadPatch(Nothing):
    def edit(self, frame: Frame, time_s: float) -> list[Patch]:
        delta = np.ones((9, 9, 3), np.float32)
        if time_s > 0.5:
            delta[4, 4, 1] = np.nan
        return [Patch(left=0, top=0, delta=delta)]


def test_a_patch_with_nan_stops_the_job(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finite"):
        run(clip, tmp_path / "out.mp4", _BadPatch())
    assert leftovers(tmp_path) == []


class _BadState(Nothing):
    def state(self) -> dict[str, Any]:
        return {"array": object()}


def test_a_state_that_is_no_json_stops_the_job(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="JSON"):
        run(clip, tmp_path / "out.mp4", _BadState(), segment_s=0.2)


def test_an_edit_may_not_write_into_the_frame(clip: Path, tmp_path: Path) -> None:
    class Writer(Nothing):
        def edit(self, frame: Frame, time_s: float) -> list[Patch]:
            frame[0, 0] = 0
            return []

    with pytest.raises(ValueError, match="read-only"):
        run(clip, tmp_path / "out.mp4", Writer())


def test_a_disk_that_is_too_small_is_refused_first(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facegraft.runtime.video import job

    monkeypatch.setattr(job.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100})())
    edit = Painter()
    with pytest.raises(OutputError, match=r"about \d+\.\d kB are needed beside it, 0\.1 kB are free"):
        run(clip, tmp_path / "out.mp4", edit)
    assert edit.times == []


def test_a_part_of_a_clip_needs_room_for_that_part_only(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facegraft.runtime.video import job

    def free(size: int) -> None:
        monkeypatch.setattr(job.shutil, "disk_usage", lambda _: type("Usage", (), {"free": size})())

    free(0)
    with pytest.raises(OutputError) as caught:
        run(clip, tmp_path / "out.mp4")
    needed = float(str(caught.value).split("about ")[1].split(" kB")[0]) * 1000
    free(int(needed / 2))
    with pytest.raises(OutputError, match="are needed beside it"):
        run(clip, tmp_path / "out.mp4")
    assert run(clip, tmp_path / "out.mp4", end_s=0.4).frames == 10


def test_a_full_channel_gives_way_to_a_stop() -> None:
    stop = Stop()
    channel: Channel[int] = Channel(1, stop)
    channel.put(1)
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Stopped):
        channel.put(2)
    with pytest.raises(Stopped):
        Channel(1, stop).get()


def test_the_first_failure_is_the_one_that_counts() -> None:
    stop = Stop()

    def fail() -> None:
        raise FacegraftError("first")

    with stage("one", fail, stop):
        pass
    stop.set(FacegraftError("second"))
    assert str(stop.failure) == "first"


def test_a_link_is_followed_and_an_old_files_mode_kept(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(6), Clip())
    there, link = tmp_path / "there", tmp_path / "out.mp4"
    there.mkdir()
    old = there / "old"
    old.write_bytes(b"old")
    old.chmod(0o640)
    link.symlink_to(old)
    run(clip, link)
    assert link.is_symlink()
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert probe(old).frames == 6
    assert leftovers(there) == leftovers(tmp_path) == []
