"""`facegraft swap` and its files: what is refused, what is copied as it is, and what outputs do not tell."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegraft.cli.data import progress_bar
from facegraft.cli.main import main
from facegraft.cli.swap_files import written_name
from facegraft.cli.swap_kinds import check_kinds
from facegraft.cli.swap_telling import clip_bar
from facegraft.core.errors import BadInputError
from facegraft.core.image import picture_from_frame, read_picture, write_picture
from facegraft.provenance.manifest import TAG, container_metadata, origin_now
from facegraft.provenance.report import read_provenance
from facegraft.runtime.video import Progress
from tests.odd_videos import Clip, write_clip

TOLD = "anna-of-the-photo"
"""Stands in a file's name and must not stand in its content."""


@pytest.fixture(scope="module")
def examples(root: Path) -> Path:
    return root / "examples"


def swap(*words: str | Path) -> int:
    return main(["swap", *(str(word) for word in words)])


def complaint(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line with which a command is refused, whether by its parser or by its work."""
    capsys.readouterr()
    try:
        code = main([str(word) for word in words])
    except SystemExit as stop:
        code = stop.code
    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines)) == (2, 1), (words, lines)
    return lines[0]


def wall(path: Path) -> Path:
    """A picture that shows nobody, with a comment that a new encoding would lose."""
    Image.new("RGB", (160, 120), (180, 170, 160)).save(path, quality=31)
    return path


def walls(path: Path, seconds: float = 0.4) -> Path:
    frames = [np.full((120, 160, 3), 100 + number, np.uint8) for number in range(round(25 * seconds))]
    return write_clip(path, frames, Clip(size_hw=(120, 160)))


@pytest.mark.parametrize("name", ["wall.jpg", "wall.png", "wall.webp", "wall.tif", "wall.bmp"])
def test_where_nobody_is_swapped_the_file_is_copied_and_carries_no_mark(
    name: str, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person, empty, out = examples / "identity_1.jpg", wall(tmp_path / name), tmp_path / f"out.{name}"
    assert swap(person, empty, "-o", out, "--on-no-face", "keep", "--watermark") == 0
    assert out.read_bytes() == empty.read_bytes()
    assert "plain copy" in capsys.readouterr().out


def test_where_nobody_is_swapped_another_format_is_written_anew_without_a_mark(examples: Path, tmp_path: Path) -> None:
    person, empty, out = examples / "identity_1.jpg", wall(tmp_path / "wall.jpg"), tmp_path / "out.png"
    assert swap(person, empty, "-o", out, "--on-no-face", "keep", "--watermark") == 0
    np.testing.assert_array_equal(read_picture(out).frame, read_picture(empty).frame)
    assert b"facegraft" not in out.read_bytes()
    assert b"C2PA" not in out.read_bytes()
    assert swap(person, empty, "-o", tmp_path / "low.jpg", "--on-no-face", "keep", "--quality", "5") == 0
    assert (tmp_path / "low.jpg").stat().st_size < empty.stat().st_size


def test_a_clip_in_which_nobody_is_swapped_is_copied_unless_it_is_cut(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person, empty, out = examples / "identity_1.jpg", walls(tmp_path / "wall.mp4"), tmp_path / "out.mp4"
    assert swap(person, empty, "-o", out, "--on-no-face", "keep", "--watermark") == 0
    assert out.read_bytes() == empty.read_bytes()
    told = capsys.readouterr().out
    assert "plain copy" in told
    assert json.loads(told.splitlines()[-1])["files"][0]["codec"] == "copy"
    for number, options in enumerate((["--end", "0.2"], ["--crf", "40"])):
        cut = tmp_path / f"{number}.mp4"
        assert swap(person, empty, "-o", cut, "--on-no-face", "keep", *options) == 0
        assert cut.read_bytes() != empty.read_bytes()
        assert "plain copy" not in capsys.readouterr().out


def test_a_bmp_cannot_say_that_it_was_made(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["swap", examples / "identity_1.jpg", examples / "attribute_1.jpg", "-o", tmp_path / "out.bmp"]
    for options in ([], ["--provenance", "metadata"], ["--dry-run"]):
        assert "--provenance none" in complaint(capsys, *words, *options)
    assert not list(tmp_path.iterdir())
    assert swap(*words[1:], "--provenance", "none", "--no-report") == 0
    assert "xmp" not in capsys.readouterr().out


def test_a_bmp_of_a_folder_fails_alone(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    frame = read_picture(examples / "attribute_1.jpg").frame
    for name in ("a.bmp", "b.png"):
        write_picture(folder / name, picture_from_frame(frame), [])
    assert swap(examples / "identity_3.jpg", folder, "-o", out, "--no-report") == 2
    told = capsys.readouterr().out
    assert "failed: " in told
    assert "--provenance none" in told
    assert [path.name for path in out.iterdir()] == ["b.png"]


def test_the_names_of_files_are_not_told(examples: Path, tmp_path: Path) -> None:
    for name, attribute, options in (
        (f"{TOLD}.jpg", examples / "attribute_1.jpg", []),
        (f"{TOLD}.mp4", examples / "clip.mp4", ["--end", "0.2"]),
        (f"{TOLD}.mkv", examples / "clip.mp4", ["--end", "0.2"]),
    ):
        out = tmp_path / name
        named = tmp_path / f"{TOLD}-in{attribute.suffix}"
        named.write_bytes(attribute.read_bytes())
        assert swap(examples / "identity_1.jpg", named, "-o", out, "--no-report", *options) == 0
        assert read_provenance(out).status == "intact"
        assert TOLD.encode() not in out.read_bytes()


def test_the_title_stands_in_the_manifest_only() -> None:
    assert "title" not in json.loads(container_metadata(origin_now("warp", title="swapped clip"))[TAG])


def test_a_folder_is_not_written_into_itself(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes((examples / "attribute_1.jpg").read_bytes())
    (tmp_path / "link").symlink_to(folder)
    for out in (folder, tmp_path / "link", folder / ".." / "in"):
        for options in ([], ["--restart"], ["--dry-run"]):
            line = complaint(capsys, "swap", examples / "identity_1.jpg", folder, "-o", out, *options)
            assert "input and output are the same folder" in line
    assert [path.name for path in folder.iterdir()] == ["a.jpg"]


def test_a_folder_is_not_written_over_the_identity(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    (folder / "a.jpg").write_bytes((examples / "attribute_1.jpg").read_bytes())
    person = out / "a.jpg"
    person.write_bytes((examples / "identity_1.jpg").read_bytes())
    assert swap(person, folder, "-o", out, "--restart") == 2
    assert "is an input of this job" in capsys.readouterr().out
    assert person.read_bytes() == (examples / "identity_1.jpg").read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ["swap", "", "ATTRIBUTE", "-o", "OUT"],
        ["swap", "PERSON", "", "-o", "OUT"],
        ["swap", "PERSON", "ATTRIBUTE", "-o", ""],
        ["swap", "PERSON", "ATTRIBUTE", "-o", "OUT", "--which", ""],
        ["swap", "PERSON", "ATTRIBUTE", "-o", "OUT", "--method", ""],
        ["swap", "PERSON", "ATTRIBUTE", "-o", "OUT", "--report", ""],
        ["swap", "ATTRIBUTE", "-o", "OUT", "--map", ""],
        ["analyse", ""],
        ["analyse", "PERSON", "--draw", ""],
        ["analyse", "PERSON", "--people", ""],
        ["verify", ""],
        ["ingest", "", "-o", "OUT"],
        ["ingest", "PERSON", "-o", ""],
        ["ingest", "PERSON", "-o", "OUT", "--manifest", ""],
    ],
)
def test_an_empty_name_is_not_the_current_folder(
    words: list[str],
    examples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes((examples / "attribute_1.jpg").read_bytes())
    places = {"PERSON": examples / "identity_1.jpg", "ATTRIBUTE": tmp_path / "a.jpg", "OUT": tmp_path / "out.png"}
    assert "found an empty one" in complaint(capsys, *(places.get(word, word) for word in words))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("a.jpg", "a.jpg"),
        ("a.mp4", "a.mp4"),
        ("a.b.png", "a.b.png"),
        ("a.avi", "a.avi.mp4"),
        ("a.AVI", "a.AVI.mp4"),
        ("a.m2ts", "a.m2ts.mp4"),
        ("a.avi.mp4", "a.avi.mp4.mp4"),
        ("a.avi.mp4.mp4", "a.avi.mp4.mp4.mp4"),
        ("still.gif", "still.gif.png"),
        ("still.gif.png", "still.gif.png.png"),
        (".mp4", ".mp4"),
    ],
)
def test_no_two_files_of_a_folder_have_one_result(given: str, written: str, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / given, format="GIF" if given.endswith(".gif") else "PNG")
    assert written_name(tmp_path / given) == written


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_a_folder_for_a_file_is_named_as_one(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    walls(tmp_path / "clip.mp4")
    wall(tmp_path / "a.jpg")
    for name, options in (
        ("clip.mp4", []),
        ("clip.mp4", ["--crf", "20"]),
        ("a.jpg", []),
        ("a.jpg", ["--quality", "9"]),
    ):
        line = complaint(capsys, "swap", "a.jpg", name, "-o", out, *options)
        advised = Path(out) / f"{Path(name).stem}-swapped{Path(name).suffix}"
        assert line == f"facegraft swap: {out}: is a folder; name a file to write, such as {advised}"


def test_brackets_in_a_name_are_shown_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for bar, now in ((clip_bar("a[/b].mp4"), Progress(1, 2, 1.0, 1.0)), (progress_bar("a[/b].mp4", 2), 1)):
        with bar as update:
            update(now)
        assert "a[/b].mp4" in capsys.readouterr().err


@pytest.mark.parametrize("made", ["missing", "pipe"])
def test_a_clip_that_is_not_there_is_said_to_be_missing(made: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    if made == "pipe":
        os.mkfifo(clip)
    with pytest.raises(BadInputError, match=r"cannot be opened|pipe"):
        check_kinds(clip, tmp_path / "out.mp4")
    with pytest.raises(BadInputError, match=r"cannot be opened|pipe"):
        check_kinds(clip, tmp_path / "out.png")
