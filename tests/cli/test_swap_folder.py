"""`facegraft swap` of a folder: which files are clips, and how far one file's fault goes."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from facegraft.cli import swapping
from facegraft.cli.main import main
from facegraft.cli.swap_kinds import kind_of
from facegraft.core.image import save_frame
from tests.odd_videos import Clip, write_clip


@pytest.fixture(scope="module")
def examples(root: Path) -> Path:
    return root / "examples"


def swap(*words: str | Path) -> int:
    return main(["swap", *(str(word) for word in words)])


def walls(path: Path, **clip: Any) -> Path:
    """Half a second in which nobody is seen."""
    frames = [np.full((120, 160, 3), 100 + number, np.uint8) for number in range(12)]
    return write_clip(path, frames, Clip(**clip))


ODD = {
    "disc.m2ts": {"container": "mpegts", "container_options": {"mpegts_m2ts_mode": "1"}},
    "camera.mts": {"container": "mpegts", "container_options": {"mpegts_m2ts_mode": "1"}},
    "plain.ts": {"container": "mpegts"},
    "media.wmv": {"container": "asf", "codec": "wmv2"},
    "media.asf": {"container": "asf", "codec": "wmv2"},
    "open.ogv": {"container": "ogg", "codec": "libvpx"},
    "disc.vob": {"container": "vob", "codec": "mpeg2video", "time_base": Fraction(1, 25)},
    "old.mov": {},
}


@pytest.mark.parametrize("name", ODD)
def test_clips_of_cameras_discs_and_old_programs_are_clips(
    name: str, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    clip = walls(folder / name, **ODD[name])
    if name == "old.mov":  # QuickTime before 2001 wrote no ftyp
        data = clip.read_bytes()
        assert data[4:8] == b"ftyp"
        clip.write_bytes(data[:4] + b"free" + data[8:])
    assert kind_of(clip) == "video"
    assert main(["verify", str(clip)]) == 1
    assert "NONE: nothing says how it was made" in capsys.readouterr().out
    assert swap(examples / "identity_1.jpg", folder, "-o", out, "--on-no-face", "keep") == 0
    assert [path.name for path in out.iterdir()] == [name if name == "old.mov" else f"{name}.mp4"]


def test_an_error_of_the_decoders_stops_no_folder(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    walls(folder / "a.mp4")
    (folder / "b.jpg").write_bytes((examples / "attribute_1.jpg").read_bytes())

    def fail(*_: object, **__: object) -> None:
        raise av.error.ExternalError(-542398533, "Generic error in an external library")

    monkeypatch.setattr(swapping, "swap_clip", fail)
    assert swap(examples / "identity_1.jpg", folder, "-o", out, "--no-report") == 2
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["failed"] == 1
    assert [path.name for path in out.iterdir()] == ["b.jpg"]


def test_a_clip_that_is_added_later_is_swapped(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    words = (examples / "identity_1.jpg", folder, "-o", out, "--on-no-face", "keep", "--no-report")
    for name in ("a.avi", "a.mp4", "a.avi.mp4"):
        walls(folder / name, **({"codec": "mpeg4"} if name == "a.avi" else {}))
        assert swap(*words) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.avi.mp4", "a.avi.mp4.mp4", "a.mp4"]


@pytest.mark.parametrize("options", [(), ("--no-report",)])
def test_no_report_tells_of_a_swap_that_was_written_over(
    options: tuple[str, ...], examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person, out = examples / "identity_1.jpg", tmp_path / "out.jpg"
    assert swap(person, examples / "attribute_1.jpg", "-o", out) == 0
    report = tmp_path / "out.jpg.report.json"
    assert json.loads(report.read_text())["files"][0]["swapped"] == 1
    save_frame(tmp_path / "wall.jpg", np.full((160, 120, 3), 90, np.uint8))
    capsys.readouterr()
    assert swap(person, tmp_path / "wall.jpg", "-o", out, "--on-no-face", "keep", *options) == 0
    assert not report.exists()
    assert f"note: {report} told of a file that has been written over" in capsys.readouterr().out
