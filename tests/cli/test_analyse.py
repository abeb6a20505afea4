"""`facegraft analyse`: what it refuses without models, and what it finds on real pictures and clips."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from facegraft.cli.analyse import drawn
from facegraft.cli.main import main
from facegraft.core.errors import BadInputError
from facegraft.core.image import read_picture, save_frame
from facegraft.core.types import Faces
from tests.odd_videos import Clip, write_clip

MAN_AND_WOMAN = "intel_head-pose-face-detection-female-and-male_CCBY4.gif"


@pytest.fixture(scope="module")
def data() -> Path:
    if not os.environ.get("FACEGRAFT_DATA"):
        pytest.skip("needs FACEGRAFT_DATA, a folder with photos/ and video/")
    return Path(os.environ["FACEGRAFT_DATA"])


def last_line(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capfd.readouterr().out.splitlines()[-1])
    return found


def complaint(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["analyse", *map(str, arguments)]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_wrong_options_are_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture, text = tmp_path / "p.png", tmp_path / "notes.txt"
    save_frame(picture, np.zeros((8, 8, 3), np.uint8))
    text.write_text("hello")
    assert "cannot be opened" in complaint(capfd, tmp_path / "none.jpg")
    assert "found a folder" in complaint(capfd, tmp_path)
    assert "are for clips" in complaint(capfd, picture, "--people", tmp_path / "out")
    assert "expected seconds" in complaint(capfd, picture, "--every", "nan")
    assert "notes.txt" in complaint(capfd, text)
    assert "--draw is for pictures" in complaint(capfd, text, "--draw", tmp_path / "o.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "p.png"]


def test_drawing_marks_each_face_and_nothing_far_from_it() -> None:
    points = np.array([[40.5, 40.5, 0], [60.5, 70.5, 0]], np.float32)
    faces = Faces(
        numbers=np.array([7], np.int64),
        boxes_xyxy=np.array([[30, 30, 80, 90]], np.float32),
        scores=np.ones(1, np.float32),
        points5=np.zeros((1, 5, 2), np.float32),
        dense=points[None],
        pose_degrees=np.zeros((1, 3), np.float32),
    )
    frame = np.zeros((120, 200, 3), np.uint8)
    frame.flags.writeable = False
    marked = drawn(frame, faces).max(axis=2) > 0
    assert marked[40, 40]
    assert marked[70, 60]
    assert marked[60, 30]
    assert marked[20:30, 30:50].any()  # the number
    assert not marked[:, 100:].any()
    assert not marked[50:65, 40:55].any()


def test_picture(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = sorted((data / "photos").glob("faker*.jpg"))[0], tmp_path / "faces.png"
    assert main(["analyse", str(path), "--draw", str(out)]) == 0
    found = last_line(capfd)
    assert found["kind"] == "picture"
    assert [face["number"] for face in found["faces"]] == [0]
    face = found["faces"][0]
    left, top, right, bottom = face["box_xyxy"]
    assert 0 < left < right < found["size_wh"][0]
    assert 0 < top < bottom < found["size_wh"][1]
    assert face["score"] > 0.5
    changed = np.abs(read_picture(out).frame.astype(int) - read_picture(path).frame).max(axis=2) > 0
    assert 0.0005 < changed.mean() < 0.3
    assert main(["analyse", str(path), "--json", "--dry-run", "--draw", str(tmp_path / "none.png")]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 1
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize("way", ["itself", "symbolic link", "hard link"])
def test_a_picture_is_not_drawn_over_itself(
    way: str, root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photo, out = tmp_path / "a.jpg", tmp_path / "link.jpg"
    before = (root / "examples" / "attribute_1.jpg").read_bytes()
    photo.write_bytes(before)
    if way == "symbolic link":
        out.symlink_to(photo)
    elif way == "hard link":
        out.hardlink_to(photo)
    else:
        out = photo
    assert "input and output are the same file" in complaint(capfd, photo, "--draw", out)
    assert photo.read_bytes() == before


def test_pictures_of_others_are_not_thumbnails(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path / "none"))  # so no mapping file says whose the folder is
    clip, folder = root / "examples" / "clip.mp4", tmp_path / "cast"
    folder.mkdir()
    mine = folder / "person-1.jpg"
    save_frame(mine, np.zeros((8, 8, 3), np.uint8))
    before = mine.read_bytes()
    words = (clip, "--people", folder, "--every", "2", "--json")
    assert "person-1.jpg in it is not of `facegraft analyse`" in complaint(capfd, *words)
    assert [path.read_bytes() for path in folder.iterdir()] == [before]
    mine.rename(folder / "person-one.jpg")
    for _ in range(2):  # what we wrote ourselves is written anew
        assert main(["analyse", *map(str, words)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["person-1.jpg", "person-one.jpg"]
    assert (folder / "person-one.jpg").read_bytes() == before


def test_people_of_a_clip(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from facegraft.core.errors import MissingPartError
    from facegraft.faces.fetch import recogniser_path
    from facegraft.faces.mapping import read_mapping

    try:
        recogniser_path()
    except MissingPartError as error:
        pytest.skip(str(error))
    clip, folder = data / "video" / MAN_AND_WOMAN, tmp_path / "cast"
    assert main(["analyse", str(clip), "--people", str(folder), "--every", "0.4"]) == 0
    found = last_line(capfd)
    assert found["kind"] == "clip"
    assert len(found["people"]) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["people.toml", "person-1.jpg", "person-2.jpg"]
    mapping = folder / "people.toml"
    first, second = read_mapping(mapping)
    assert first.embedding @ second.embedding < 0.9
    assert all(4 < person.seconds < 5.5 for person in (first, second))

    # What the user writes stays when the clip is analysed again.
    (folder / "eva.jpg").write_bytes((folder / "person-1.jpg").read_bytes())
    text = mapping.read_text().replace('name = "person 2"\nidentity = ""', 'name = "Bob"\nidentity = "eva.jpg"')
    mapping.write_text(text)
    assert main(["analyse", str(clip), "--people", str(folder), "--every", "0.4", "--json"]) == 0
    assert [(person.name, person.identity) for person in read_mapping(mapping)] == [
        ("person 1", None),
        ("Bob", folder / "eva.jpg"),
    ]

    # A file that was broken by hand is never overwritten.
    broken = mapping.read_text().replace("version = 1", "version = ")
    mapping.write_text(broken)
    capfd.readouterr()
    assert "not valid TOML" in complaint(capfd, clip, "--people", folder, "--every", "2", "--json")
    assert mapping.read_text() == broken


def test_without_recogniser_tracks_are_listed(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    clip, folder = data / "video" / MAN_AND_WOMAN, tmp_path / "cast"
    assert main(["analyse", str(clip), "--people", str(folder), "--every", "0.4"]) == 0
    output = capfd.readouterr().out
    assert "facegraft models fetch --recogniser" in output
    found = json.loads(output.splitlines()[-1])
    assert found["mapping"] is None
    assert sorted(track for person in found["people"] for track in person["tracks"]) == [0, 1]
    assert cv2.imread(found["people"][0]["thumbnail"]).shape == (192, 192, 3)


def test_a_face_is_seen_no_longer_than_the_clip_lasts(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    small = cv2.resize(read_picture(root / "examples" / "attribute_1.jpg").frame, (256, 256))
    clip = write_clip(tmp_path / "clip.mp4", [np.asarray(small, np.uint8)] * 30, Clip(size_hw=(256, 256)))
    assert main(["analyse", str(clip), "--every", "1", "--dry-run"]) == 0
    found = last_line(capfd)
    assert found["frames"] == 2
    assert found["people"][0]["seconds"] == pytest.approx(found["seconds"], abs=0.05)
    assert 1.1 < found["seconds"] < 1.3


def test_the_limit_of_a_picture_can_be_raised(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = root / "examples" / "attribute_1.jpg"
    assert "--max-megapixels" in complaint(capfd, picture, "--max-megapixels", "0.1")
    assert "above 0" in complaint(capfd, picture, "--max-megapixels", "0")
    assert main(["analyse", str(picture), "--max-megapixels", "1"]) == 0


def test_pictures_that_are_somebody_elses_are_not_taken_for_thumbnails(tmp_path: Path) -> None:
    """A thumbnail of the mapping file is ours, also from before they were marked; an identity picture is not."""
    from facegraft.cli.analyse import _earlier
    from facegraft.faces.mapping import MappedPerson, write_mapping

    embedding = np.eye(4, dtype=np.float32)[0]
    Image.new("RGB", (8, 8)).save(tmp_path / "person-1.jpg")
    write_mapping(tmp_path / "people.toml", [MappedPerson("a", embedding, None, "person-1.jpg")], tmp_path / "c.mp4")
    assert len(_earlier(tmp_path)) == 1
    Image.new("RGB", (8, 8)).save(tmp_path / "person-3.jpg")
    with pytest.raises(BadInputError, match=r"person-3\.jpg in it is not of"):
        _earlier(tmp_path)
    (tmp_path / "person-3.jpg").unlink()
    text = (tmp_path / "people.toml").read_text().replace('identity = ""', 'identity = "person-1.jpg"')
    (tmp_path / "people.toml").write_text(text)
    with pytest.raises(BadInputError, match=r"person-1\.jpg in it is not of"):
        _earlier(tmp_path)
