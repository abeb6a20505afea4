"""Broken off anywhere, by anything, and run again: the result equals that of an unbroken run, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from facegraft.core.errors import BadInputError, OutputError
from facegraft.runtime.video.decode import Faults, Place, Span, read_frames
from facegraft.runtime.video.journal import JobFolder, job_folder
from facegraft.runtime.video.probe import probe
from tests.odd_videos import Clip, moving_frames, variable_times, write_clip
from tests.runtime.video.clips import Painter, copied_packets, hashes, leftovers, psnr, run, shown_frames

ROOT = Path(__file__).parents[3]
OPTIONS = {"segment_s": 0.4, "queue": 3}
SETTINGS = {
    "plain": Clip(audio=(("aac", 2),)),
    "variable": Clip(times=variable_times(60)),
    "b-frames": Clip(options={"preset": "fast", "bf": "3", "b_strategy": "0", "g": "20"}),
    "open-gop": Clip(options={"preset": "fast", "x264-params": "open-gop=1:keyint=9:bframes=3"}),
    "intra-refresh": Clip(options={"x264-params": "intra-refresh=1:keyint=10"}),
}


def start(clip: Path, out: Path, pause: float, *more: str) -> subprocess.Popen[str]:
    """The job in its own process, past its imports."""
    script = Path(__file__).with_name("paint_job.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    job = subprocess.Popen(
        [sys.executable, str(script), str(clip), str(out), str(pause), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert job.stdout is not None
    assert job.stdout.readline() == "ready\n"
    return job


class _Break(Exception):  # noqa: N818
    pass


def break_at(frame: int, error: BaseException) -> Callable[[int], None]:
    def each(number: int) -> None:
        if number == frame:
            raise error

    return each


@pytest.fixture(scope="module", params=list(SETTINGS))
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    suffix = ".ts" if request.param == "open-gop" else ".mp4"
    return write_clip(folder / f"{request.param}{suffix}", moving_frames(60), SETTINGS[request.param])


def test_every_break_gives_the_same_bytes(clip: Path, tmp_path: Path) -> None:
    whole = Painter()
    run(clip, tmp_path / "whole.mp4", whole, **OPTIONS)
    for frame in (3, 25, 49):
        out = tmp_path / f"broken-{frame}.mp4"
        with pytest.raises(KeyboardInterrupt):
            run(clip, out, Painter(break_at(frame, KeyboardInterrupt())), **OPTIONS)
        again = Painter()
        report = run(clip, out, again, **OPTIONS)
        assert report.resumed_from <= frame
        assert report.resumed_from > frame - 25
        assert report.frames == 60
        assert again.times == whole.times[report.resumed_from :]
        assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert leftovers(tmp_path) == []


def test_broken_many_times(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(60), SETTINGS["variable"])
    run(clip, tmp_path / "whole.mp4", Painter(), **OPTIONS)
    done, breaks = 0, 0
    while done < 60:
        try:
            done = run(clip, tmp_path / "out.mp4", Painter(break_at(done + 14, _Break())), **OPTIONS).frames
        except _Break:
            breaks += 1
            done += 10 if breaks > 1 else 0
        assert breaks < 20
    assert breaks >= 3
    assert hashes(tmp_path / "out.mp4") == hashes(tmp_path / "whole.mp4")


def kill_and_finish(tmp_path: Path, kills: int, seed: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(100), SETTINGS["b-frames"])
    run(clip, tmp_path / "whole.mp4", Painter(), **OPTIONS)
    want, random_moment = hashes(tmp_path / "whole.mp4"), random.Random(seed)
    out, hits = tmp_path / "out.mp4", 0
    began = time.monotonic()
    finished = start(clip, out, 0.01)
    finished.communicate(timeout=60)
    assert finished.returncode == 0
    seconds = time.monotonic() - began
    for _ in range(5 * kills):
        if hits == kills:
            break
        if out.exists():  # finished before the kill came: start over
            assert hashes(out) == want
            out.unlink()
        job = start(clip, out, 0.01)
        time.sleep(random_moment.uniform(0, seconds))
        job.send_signal(signal.SIGKILL)
        job.communicate(timeout=10)
        hits += job.returncode == -signal.SIGKILL
        # Either no file, or the whole one.
        assert not out.exists() or hashes(out) == want
    job = start(clip, out, 0)
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 0, errors
    assert hashes(out) == want
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert hits == kills
    assert leftovers(tmp_path) == []


def test_killed_at_random_moments(tmp_path: Path) -> None:
    kill_and_finish(tmp_path, 3, seed=1)


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path: Path) -> None:
    kill_and_finish(tmp_path, 20, seed=2)


def test_ctrl_c_ends_the_process_soon_and_cleanly(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(100), Clip())
    job = start(clip, tmp_path / "out.mp4", 0.05)
    time.sleep(2.5)
    began = time.monotonic()
    job.send_signal(signal.SIGINT)
    _, errors = job.communicate(timeout=30)
    assert time.monotonic() - began < 5  # about a quarter of a second on an idle machine
    assert job.returncode == 130
    assert errors == ""
    assert not (tmp_path / "out.mp4").exists()
    report = run_paint(clip, tmp_path / "out.mp4")
    assert report.returncode == 0
    assert int(report.stdout.split()[-1]) > 0  # resumed


def run_paint(clip: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    job = start(clip, out, 0, *more)
    text, errors = job.communicate(timeout=60)
    return subprocess.CompletedProcess([], job.returncode, text, errors)


def test_a_full_disk_ends_in_one_line_and_continues(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: writing past it fails in the same places."""
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(60), SETTINGS["plain"])
    run(clip, tmp_path / "whole.mp4", Painter(), **OPTIONS)
    size = (tmp_path / "whole.mp4").stat().st_size
    for limit in (1000, 6000, size // 2, size - 100):
        failed = run_paint(clip, tmp_path / "out.mp4", str(limit))
        assert failed.returncode == 2, failed.stderr
        assert failed.stderr == ""
        (line,) = failed.stdout.splitlines()
        assert "the same command continues" in line
        assert not (tmp_path / "out.mp4").exists()
    run(clip, tmp_path / "other.mp4", Painter(), **OPTIONS)
    assert run_paint(clip, tmp_path / "out.mp4").returncode == 0
    assert hashes(tmp_path / "out.mp4") == hashes(tmp_path / "whole.mp4")


def broken_job(tmp_path: Path, frames: int = 60) -> tuple[Path, Path]:
    """A clip and an output with some finished segments."""
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(frames), Clip())
    out = tmp_path / "out.mp4"
    with pytest.raises(_Break):
        run(clip, out, Painter(break_at(45, _Break())), **OPTIONS)
    assert (job_folder(out) / "segment-000002").exists()
    return clip, out


@pytest.mark.parametrize("damage", ["torn line", "flipped byte", "short segment", "lost segment", "noise", "empty"])
def test_damage_to_the_journal_costs_only_work(tmp_path: Path, damage: str) -> None:
    clip, out = broken_job(tmp_path)
    run(clip, tmp_path / "whole.mp4", Painter(), **OPTIONS)
    journal, segment = job_folder(out) / "journal", job_folder(out) / "segment-000001"
    data, packets = journal.read_bytes(), segment.read_bytes()
    if damage == "torn line":
        journal.write_bytes(data[:-30])
    elif damage == "flipped byte":
        journal.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
    elif damage == "short segment":
        segment.write_bytes(packets[:-5])
    elif damage == "lost segment":
        segment.unlink()
    elif damage == "noise":
        segment.write_bytes(packets[:100] + b"\x00" * 9 + packets[109:])
    else:
        journal.write_bytes(b"")
    run(clip, out, Painter(), **OPTIONS)
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert leftovers(tmp_path) == []


def test_segments_of_another_job_are_never_used(tmp_path: Path) -> None:
    clip, out = broken_job(tmp_path)
    with pytest.raises(BadInputError, match="frames of an unfinished job with other inputs"):
        run(clip, out, Painter(), **OPTIONS, quality=30)
    report = run(clip, out, Painter(), **OPTIONS)  # the old job is still whole
    assert report.resumed_from >= 30


def test_copied_streams_may_be_left_out_on_the_way(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(60), Clip(audio=(("aac", 2),)))
    out = tmp_path / "out.mp4"
    with pytest.raises(_Break):
        run(clip, out, Painter(break_at(45, _Break())), **OPTIONS)
    report = run(clip, out, Painter(), **OPTIONS, drop=("audio",))
    assert report.resumed_from >= 30
    assert copied_packets(out) == {}


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("hevc", ".mp4"), ("vp9", ".webm"), ("av1", ".mkv")])
def test_more_or_fewer_cores_may_go_on(codec: str, suffix: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(24), Clip())
    out, whole = tmp_path / f"out{suffix}", tmp_path / f"whole{suffix}"
    options = {"segment_s": 0.2, "queue": 3, "codec": codec, "preset": "ultrafast"}
    with pytest.raises(_Break):
        run(clip, out, Painter(break_at(20, _Break())), **options, threads=1)
    assert run(clip, out, Painter(), **options, threads=3).resumed_from >= 5
    run(clip, whole, Painter(), **options, threads=1)
    found, wanted = shown_frames(out), shown_frames(whole)
    assert [shown.time for shown in found] == [shown.time for shown in wanted]
    assert min(psnr(one.rgb, other.rgb) for one, other in zip(found, wanted, strict=True)) > 40


def test_restart_discards_them(tmp_path: Path) -> None:
    clip, out = broken_job(tmp_path)
    report = run(clip, out, Painter(), **OPTIONS, quality=30, restart=True)
    assert report.resumed_from == 0
    assert report.frames == 60


def test_a_changed_clip_is_another_job(tmp_path: Path) -> None:
    clip, out = broken_job(tmp_path)
    write_clip(clip, moving_frames(60)[::-1], Clip())
    with pytest.raises(BadInputError, match="--restart"):
        run(clip, out, Painter(), **OPTIONS)


def test_a_finished_rendering_is_only_muxed(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(30), Clip())
    run(clip, tmp_path / "whole.mp4", Painter(), **OPTIONS)

    def fail(_: Path) -> None:
        raise _Break

    from facegraft.runtime.video import VideoOptions, process_video

    with pytest.raises(_Break):
        process_video(clip, tmp_path / "out.mp4", Painter(), VideoOptions(**OPTIONS), job_key="test", finish=fail)
    edit = Painter()
    report = run(clip, tmp_path / "out.mp4", edit, **OPTIONS)
    assert edit.times == []
    assert report.resumed_from == report.frames == 30
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_two_jobs_on_one_output(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_frames(30), Clip())
    job = start(clip, tmp_path / "out.mp4", 0.2)
    while not (job_folder(tmp_path / "out.mp4") / "journal").exists():
        assert job.poll() is None, job.communicate()
        time.sleep(0.02)
    with pytest.raises(OutputError, match=f"process {job.pid} is writing it now"):
        run(clip, tmp_path / "out.mp4", Painter(), **OPTIONS)
    (tmp_path / "other").mkdir()
    assert run(clip, tmp_path / "other" / "out.mp4", Painter(), **OPTIONS).frames == 30
    job.kill()
    job.communicate(timeout=10)
    assert run(clip, tmp_path / "out.mp4", Painter(), restart=True).frames == 30  # the lock died with the process


def test_long_names_have_short_folders(tmp_path: Path) -> None:
    name = "顔" * 80 + ".mp4"  # 244 bytes
    folder = JobFolder(tmp_path / name)
    assert folder.path.is_dir()
    assert len(os.fsencode(folder.path.name)) < 120
    folder.remove()
    assert job_folder(tmp_path / name) != job_folder(tmp_path / ("顔" * 79 + "額.mp4"))


@pytest.mark.parametrize("kind", list(SETTINGS))
@pytest.mark.parametrize("place", [1, 10, 30, 59])
def test_finding_the_place_again(tmp_path: Path, kind: str, place: int) -> None:
    """After any frame, by seeking or from the start: exactly the frames that follow, with their pictures."""
    suffix = ".ts" if kind == "open-gop" else ".mp4"
    clip = write_clip(tmp_path / f"clip{suffix}", moving_frames(60), SETTINGS[kind])
    source = probe(clip)
    whole = [(timed.number, timed.pts, timed.mark) for timed in read_frames(source, Span(), None, Faults())]
    assert len(whole) == 60
    tail = tuple(mark for _, _, mark in whole[max(0, place - 8) : place])
    for can_seek in (True, False):
        after = Place(place, whole[place - 1][1], tail, can_seek)
        rest = [(timed.number, timed.pts, timed.mark) for timed in read_frames(source, Span(), after, Faults())]
        assert rest == whole[place:]


def test_a_place_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    source = probe(write_clip(tmp_path / "clip.mp4", moving_frames(20), Clip()))
    after = Place(10, 12345, ((12345, 1),), True)
    with pytest.raises(BadInputError, match="does not decode as in the interrupted run"):
        list(read_frames(source, Span(), after, Faults()))
