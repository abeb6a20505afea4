"""Building: what is matched, copied and refused; nothing half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.image import read_picture
from facegraft.core.image_bytes import decode_frame, encode_frame
from facegraft.evaluate.study.build import BuildOptions, plan_study, write_study
from facegraft.evaluate.study.design import MEDIA_NAME, load_study, make_question
from facegraft.evaluate.study.spoil import sharpness, spoilt_frame
from tests.evaluate.study.studies import build, make_folders, picture, write_clip


def test_a_study_folder_holds_all_it_needs(tmp_path: Path) -> None:
    folder = build(tmp_path, ("one", "two"), questions=("natural",), trials=8)
    study = load_study(folder)
    assert study.conditions == ("one", "two")
    assert [stimulus.stem for stimulus in study.stimuli] == ["a", "b", "c", "d"]
    names = {name for stimulus in study.stimuli for name in stimulus.media.values()}
    names |= {check.spoilt for check in study.checks}
    assert {path.name for path in (folder / "media").iterdir()} == names
    assert all(MEDIA_NAME.fullmatch(name) for name in names)
    assert {path.name for path in (folder / "page").iterdir()} == {"index.html", "style.css", "study.js"}
    shutil.rmtree(tmp_path / "pictures")
    copied = folder / "media" / study.stimuli[1].media["two"]
    assert (decode_frame(copied.read_bytes()) == picture(101)).all()


def test_references_come_along_only_where_they_are_asked_for(tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "references", ("identity", "attribute"))
    folder = build(tmp_path, questions=("identity", "natural"), **folders)
    study = load_study(folder)
    assert all(stimulus.identity and not stimulus.attribute for stimulus in study.stimuli)
    assert study.question("identity").references == ("identity",)
    assert study.question("natural").references == ()


def test_the_same_again_is_done_and_other_things_are_kept(tmp_path: Path) -> None:
    folder = build(tmp_path)
    before = (folder / "study.json").stat().st_mtime_ns
    folders = {name: tmp_path / "pictures" / name for name in ("one", "two")}
    assert write_study(plan_study(BuildOptions("pairwise", folders)), folder) is False
    assert (folder / "study.json").stat().st_mtime_ns == before
    with pytest.raises(BadInputError, match="holds something else"):
        write_study(plan_study(BuildOptions("pairwise", folders, trials=7)), folder)
    (folders["one"] / "a.png").write_bytes(encode_frame(picture(9)))
    with pytest.raises(BadInputError, match="holds something else"):
        write_study(plan_study(BuildOptions("pairwise", folders)), folder)


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "pictures", ("one", "two"))
    plan = plan_study(BuildOptions("pairwise", folders))
    (folders["two"] / "d.png").unlink()  # vanishes between the check and the copy
    with pytest.raises(OutputError):
        write_study(plan, tmp_path / "study")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
    with pytest.raises(OutputError, match="does not exist"):
        write_study(plan, tmp_path / "no" / "study")


def test_pictures_that_browsers_do_not_show_become_png(tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "pictures", ("one", "two"), ["a"])
    from PIL import Image

    (folders["two"] / "a.png").unlink()
    Image.fromarray(picture(5)).save(folders["two"] / "a.tif")
    write_study(plan_study(BuildOptions("pairwise", folders)), tmp_path / "study")
    name = load_study(tmp_path / "study").stimuli[0].media["two"]
    assert name.endswith(".png")
    assert (read_picture(tmp_path / "study" / "media" / name).frame == picture(5)).all()


def break_stem(root: Path) -> None:
    (root / "two" / "c.png").unlink()


def break_picture(root: Path) -> None:
    (root / "two" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\nno")


def break_shape(root: Path) -> None:
    (root / "two" / "c.png").write_bytes(encode_frame(picture(1, 24, 20)))


def break_stems_twice(root: Path) -> None:
    shutil.copy(root / "two" / "c.png", root / "two" / "c.PNG")


def empty(root: Path) -> None:
    for path in (root / "two").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (break_stem, "two: 1 of 4 stems are missing, the first is 'c'"),
        (break_picture, "c.png: damaged"),
        (break_shape, "crop them alike"),
        (break_stems_twice, "has the same stem"),
        (empty, "no pictures in it"),
        (lambda root: shutil.rmtree(root / "two"), "expected a folder of pictures"),
    ],
)
def test_faults_of_files_are_told(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    folders = make_folders(tmp_path, ("one", "two"))
    spoil(tmp_path)
    with pytest.raises(BadInputError, match=message):
        plan_study(BuildOptions("pairwise", folders))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conditions": {}}, "needs 2 or more, found 0"),
        ({"conditions": {"spoilt": Path("x")}}, "--conditions 'spoilt'"),
        ({"conditions": {"a/b": Path("x")}}, "--conditions 'a/b'"),
        ({"design": "real-or-fake"}, "--real: the design"),
        ({"real": Path("x")}, "--real: only"),
        ({"trials": 0}, "--trials"),
        ({"hide_after_ms": 3000}, "--hide-after: only"),
        ({"design": "mos", "ties": True}, "--ties: only for pairs"),
        ({"design": "mos", "active": True}, "--active: only for pairs"),
        ({"questions": ("identity",)}, "give --identity FOLDER"),
        ({"questions": ("gaze",)}, "give --attribute FOLDER"),
        ({"questions": ("natural", "natural")}, "each question once"),
        ({"wording": {"gaze": "Where?"}}, "--wording gaze: is not asked"),
        ({"questions": ("beauty",)}, "--question: expected one of"),
    ],
)
def test_faults_of_options_are_told(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folders = make_folders(tmp_path, ("one", "two"))
    with pytest.raises(BadInputError, match=message):
        plan_study(BuildOptions(**({"design": "pairwise", "conditions": folders} | changes)))


def test_missing_references_are_told(tmp_path: Path) -> None:
    folders = make_folders(tmp_path, ("one", "two"))
    people = make_folders(tmp_path / "people", ("identity",), ("a", "b"))
    with pytest.raises(BadInputError, match="lacks 2 stems, the first is 'c'"):
        plan_study(BuildOptions("pairwise", folders, questions=("identity",), **people))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "of format 2, expected 1"),
        ({"extra": 1}, "no such key"),
        ({"trials": 0}, "damaged"),
        ({"stimuli": []}, "damaged"),
        ({"rules": {"agreement": "high"}}, "damaged"),
        ({"checks": [{"stimulus": 0, "clean": "../../secret.png", "spoilt": "x"}]}, "media name"),
    ],
)
def test_a_changed_study_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = build(tmp_path) / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(BadInputError, match=message):
        load_study(path.parent)


def test_questions_suit_their_design() -> None:
    assert make_question("identity", "pairwise").text == "Which picture looks more like the person in the reference?"
    assert make_question("identity", "video").text.startswith("Which clip")
    assert make_question("natural", "mos").high == "entirely natural"
    assert make_question("natural", "pairwise", "Nicer?").text == "Nicer?"
    with pytest.raises(BadInputError, match="real-or-fake asks only natural"):
        make_question("identity", "real-or-fake")


def test_spoilt_pictures_are_far_from_clean_ones() -> None:
    frame = picture(3, 96, 96)
    spoilt = spoilt_frame(frame, np.random.default_rng(0))
    assert spoilt.shape == frame.shape
    assert np.abs(spoilt.astype(int) - frame).mean() > 30
    noisy = np.clip(np.full((96, 96, 3), 128.0) + np.random.default_rng(0).normal(0, 12, (96, 96, 3)), 0, 255)
    assert sharpness(frame) > 5 * sharpness(noisy.astype(np.uint8))  # noise is not sharpness


def test_clips_are_matched_and_spoilt_too(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for stem in ("a", "b"):
            write_clip(tmp_path / name / f"{stem}.mp4")
    folders = {name: tmp_path / name for name in ("one", "two")}
    plan = plan_study(BuildOptions("video", folders, questions=("steady",)))
    write_study(plan, tmp_path / "study")
    check = plan.study.checks[0]
    with av.open(str(tmp_path / "study" / "media" / check.spoilt)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
    assert len(frames) == 6
    assert abs(frames[0].mean() - frames[3].mean()) > 20  # its light flickers
    write_clip(tmp_path / "two" / "b.mp4", frames=12)
    with pytest.raises(BadInputError, match="must end together"):
        plan_study(BuildOptions("video", folders))
    write_clip(tmp_path / "two" / "b.mp4", codec="mpeg4")
    with pytest.raises(BadInputError, match="coded as mpeg4"):
        plan_study(BuildOptions("video", folders))
    (tmp_path / "two" / "b.mp4").write_bytes(b"no clip")
    with pytest.raises(BadInputError, match="cannot be read as a clip"):
        plan_study(BuildOptions("video", folders))
