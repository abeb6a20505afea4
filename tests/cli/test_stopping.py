"""Ctrl-C and `kill`: one line that promises only what is kept, exit code 130, nothing half-done left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM that a process could catch")

STOPPED = """
import os, signal, sys, time
from facegraft.cli import swapping
from facegraft.cli.main import main
from facegraft.runtime import pictures
from facegraft.runtime.clip import ClipSwap

with_number, at, seen = getattr(signal, sys.argv[1]), int(sys.argv[2]), [0]

def stopping(call):
    def counted(*args, **options):
        seen[0] += 1
        if seen[0] == at:
            os.kill(os.getpid(), with_number)
            time.sleep(5)
        return call(*args, **options)
    return counted

ClipSwap.edit, pictures.encode_picture = stopping(ClipSwap.edit), stopping(pictures.encode_picture)
short = swapping.VideoOptions
swapping.VideoOptions = lambda **options: short(segment_s=0.5, **options)
sys.exit(main(["swap", *sys.argv[3:]]))
"""


def stopped(stop: str, at: int, *words: str | Path) -> tuple[int, str]:
    """Exit code and last line of a swap that gets the signal at that picture or frame."""
    command = [sys.executable, "-c", STOPPED, stop, str(at), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, (done.stderr.splitlines() or [""])[-1]


@pytest.mark.parametrize("stop", ["SIGTERM", "SIGINT"])
def test_a_picture_leaves_nothing(stop: str, root: Path, tmp_path: Path) -> None:
    examples = root / "examples"
    words = (examples / "identity_1.jpg", examples / "attribute_1.jpg", "-o", tmp_path / "out.png")
    assert stopped(stop, 1, *words) == (130, "facegraft swap: interrupted")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("at", "more", "says"),
    [
        (3, (), "interrupted"),
        (31, (), "interrupted; the same command continues where it stopped"),
        (31, ("--restart",), "interrupted; the same command continues where it stopped"),
    ],
)
def test_a_clip_says_that_it_goes_on_where_a_segment_is_kept(
    at: int, more: tuple[str, ...], says: str, root: Path, tmp_path: Path
) -> None:
    examples = root / "examples"
    words = (examples / "identity_1.jpg", examples / "clip.mp4", "-o", tmp_path / "out.mp4", *more)
    assert stopped("SIGTERM", at, *words) == (130, f"facegraft swap: {says}")
    assert len(list(tmp_path.iterdir())) == ("continues" in says), "the folder of the job, or nothing"


def test_a_folder_goes_on_after_its_finished_files_and_leaves_hidden_ones_out(root: Path, tmp_path: Path) -> None:
    examples, folder, out = root / "examples", tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in (".facegraft-0.jpg", "a.jpg", "b.jpg"):
        (folder / name).write_bytes((examples / "attribute_1.jpg").read_bytes())
    words = (examples / "identity_1.jpg", folder, "-o", out, "--no-report")
    line = "facegraft swap: interrupted; the same command continues where it stopped"
    assert stopped("SIGTERM", 2, *words) == (130, line)
    assert [path.name for path in out.iterdir()] == ["a.jpg"]
    assert stopped("SIGTERM", 9, *words) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg", "b.jpg"]


def test_what_an_interrupted_folder_has_done_is_in_its_report(root: Path, tmp_path: Path) -> None:
    examples, folder, out = root / "examples", tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes((examples / "attribute_1.jpg").read_bytes())
    words = (examples / "identity_1.jpg", folder, "-o", out)
    assert stopped("SIGTERM", 2, *words)[0] == 130
    first = json.loads((out / "report.json").read_text())
    assert [Path(one["written"]).name for one in first["files"]] == ["a.jpg"]
    assert first["method"] == "warp"
    assert stopped("SIGTERM", 9, *words) == (0, "")
    files = json.loads((out / "report.json").read_text())["files"]
    assert files[0] == first["files"][0]
    assert [one["quality"]["looked_at"] for one in files] == [1, 1]


def test_a_handler_of_the_caller_stays() -> None:
    from facegraft.cli.stopping import terminated_like_interrupted

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with terminated_like_interrupted():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    with terminated_like_interrupted(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
