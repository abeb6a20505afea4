"""Clips to methods of every kind: calls for pictures, calls for whole clips, floors, answers made elsewhere."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.core.image import save_frame
from facegraft.core.types import Frame
from facegraft.evaluate.clip_files import clip_files
from facegraft.evaluate.comparison import check_comparable
from facegraft.evaluate.contestants import Method
from facegraft.evaluate.protocol import CLIP_PROTOCOL, Swaps
from facegraft.evaluate.questions import ItselfSet, folder_set, identity_frames, keys_of, questions_of, set_facts
from facegraft.evaluate.report import as_table, compare_with
from facegraft.evaluate.report_page import page
from facegraft.evaluate.results import load, save
from facegraft.evaluate.run import evaluate
from facegraft.evaluate.run_clips import clip_facts, clips_of, export_clips
from tests.evaluate.cases_for_tests import EXAMPLES, example, own_eyes
from tests.evaluate.reports_for_tests import write_tiny_clips, write_tiny_set

KEY = "who+c"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clips(tmp_path_factory.mktemp("sets") / "clips")


def unchanged(_identity: Frame, attribute: Frame) -> Frame:
    return attribute


def test_clips_alone_are_a_report_with_its_date_page_and_file(clips: Path, tmp_path: Path) -> None:
    found = evaluate({"same": unchanged, "copy": "copy"}, None, clips=clips, eyes=own_eyes())
    assert (found.protocol, found.name, found.of, found.clips) == (CLIP_PROTOCOL, "tiny-clips", 1, None)
    assert found.made["date"]
    assert found.methods["same"].overall["flicker"].value == 0
    assert len(found.methods["same"].milliseconds) == 1
    assert not len(found.methods["copy"].milliseconds)
    assert any("models fetch --recogniser" in line for line in found.left_out)
    assert "warping error" in as_table(found)  # of clips every metric is told
    assert "1 clip of 1 person" in page(found, compare_with(found))
    save(found, tmp_path / "clips.json")
    assert load(tmp_path / "clips.json").methods["same"].overall["flicker"].value == 0
    with pytest.raises(BadInputError, match="neither"):
        evaluate("copy", None, eyes=own_eyes())


def test_a_method_with_a_call_for_clips_is_asked_both_ways(clips: Path) -> None:
    seen: list[tuple[int, int, float]] = []

    def whole(identities: Sequence[Frame], frames: Sequence[Frame], fps: float) -> list[Frame | None]:
        seen.append((len(identities), len(frames), fps))
        return [None, *frames[1:]]

    found = evaluate({"mine": Swaps(unchanged, clip=whole)}, None, clips=clips, eyes=own_eyes())
    assert seen == [(1, 4, 25.0), (1, 8, 25.0)]  # the clip, and the photo that stands still
    assert list(found.methods) == ["mine", "mine tracked"]
    assert {name: one.overall["lost_frames"].value for name, one in found.methods.items()} == {
        "mine": 0,
        "mine tracked": 25,
    }


def test_answers_to_clips_made_elsewhere_are_judged(clips: Path, tmp_path: Path) -> None:
    assert export_clips(clips_of(clips), tmp_path) == 1
    answers = tmp_path / "attribute"  # what a tool gives that changes nothing
    assert sorted(path.name for path in answers.iterdir()) == [KEY, f"{KEY}-still"]
    found = evaluate({"mine": answers, "copy": "copy"}, None, clips=clips, eyes=own_eyes())
    mine, copy = found.methods["mine"], found.methods["copy"]
    assert mine.kind == "folder"
    assert mine.overall["flicker"].value == mine.overall["static_photo"].value == mine.overall["lost_frames"].value == 0
    assert {name: one.value for name, one in mine.overall.items() if math.isfinite(one.value)} == {
        name: one.value for name, one in copy.overall.items() if math.isfinite(one.value)
    }
    (answers / KEY / "0001.png").unlink()
    shutil.rmtree(answers / f"{KEY}-still")
    worse = evaluate({"mine": answers}, None, clips=clips, eyes=own_eyes()).methods["mine"]
    assert worse.overall["lost_frames"].value == 25
    assert worse.overall["flicker"].value == pytest.approx(2 / 3 * 64)  # two of three steps are lost
    assert math.isnan(worse.overall["static_photo"].value)  # it was not asked


def test_folders_without_answers_to_clips_are_left_out_aloud(clips: Path, tmp_path: Path) -> None:
    save_frame(tmp_path / "holiday.png", example("identity_1", 64))
    found = evaluate({"mine": tmp_path, "copy": "copy"}, None, clips=clips, eyes=own_eyes())
    assert list(found.methods) == ["copy"]
    assert found.left_out[0].startswith("clips: mine: ")
    with pytest.raises(BadInputError, match=r"who\+c/0000\.png"):
        evaluate({"mine": tmp_path}, None, clips=clips, eyes=own_eyes())


def test_folders_with_answers_to_clips_alone_are_left_out_of_the_pictures(clips: Path, tmp_path: Path) -> None:
    tiny, answers = write_tiny_set(tmp_path / "tiny"), tmp_path / "out" / "attribute"
    export_clips(clips_of(clips), tmp_path / "out")
    words = {"suites": ["attributes"], "clips": clips, "most": 1, "eyes": own_eyes()}
    found = evaluate({"mine": answers, "copy": "copy"}, tiny, **words)  # type: ignore[arg-type]
    assert list(found.methods) == ["copy"]
    assert found.left_out[0] == f"pictures: mine: {answers} holds no answers to pictures"
    assert found.clips is not None
    assert list(found.clips.methods) == ["mine", "copy"]
    with pytest.raises(BadInputError, match="found only answers to clips"):
        evaluate({"mine": answers}, tiny, **words)  # type: ignore[arg-type]
    (tmp_path / "neither").mkdir()
    with pytest.raises(BadInputError, match="expected a picture per case"):
        evaluate({"mine": answers, "other": tmp_path / "neither", "copy": "copy"}, tiny, **words)  # type: ignore[arg-type]


def test_clip_files_have_no_right_answers(tmp_path: Path) -> None:
    save_frame(tmp_path / "me.png", example("identity_1", 128))
    asked = clip_files([tmp_path / "me.png"], [EXAMPLES / "clip.mp4"], frames=3)
    with pytest.raises(BadInputError, match="clip files have no right answers"):
        evaluate("true-swap", None, clips=asked, eyes=own_eyes())


def test_clip_files_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    def facts(picture: str, clip: bytes) -> dict[str, str]:
        save_frame(tmp_path / "me.png", example(picture, 64))
        (tmp_path / "c.mp4").write_bytes(clip)
        return clip_facts(clip_files([tmp_path / "me.png"], [tmp_path / "c.mp4"]))

    movie = (EXAMPLES / "clip.mp4").read_bytes()
    ours = facts("identity_1", movie)
    assert ours == facts("identity_1", movie)
    save_frame(tmp_path / "me.png", example("identity_1", 128))
    asked = clip_files([tmp_path / "me.png"], [EXAMPLES / "clip.mp4"], frames=3)
    found = evaluate("copy", None, clips=asked, eyes=own_eyes())
    check_comparable(found, found.protocol, found.name, found.networks, clip_facts(asked))
    for others in (facts("identity_2", movie), facts("identity_1", movie + b"0")):
        assert others.keys() == ours.keys()
        with pytest.raises(BadInputError, match="expected results on the same build"):
            check_comparable(found, found.protocol, found.name, found.networks, others)


def test_exported_clip_files_are_judged_by_the_same_photos_whichever_are_chosen(tmp_path: Path) -> None:
    save_frame(tmp_path / "me.png", example("identity_1", 128))
    names = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for name in names:
        shutil.copyfile(EXAMPLES / "clip.mp4", name)
    assert export_clips(clip_files([tmp_path / "me.png"], names, frames=3), tmp_path / "out") == 2
    asked = clip_files([tmp_path / "me.png"], names[1:], frames=3)
    found = evaluate({"mine": tmp_path / "out" / "attribute"}, None, clips=asked, eyes=own_eyes())
    assert found.methods["mine"].overall["static_photo"].value == 0  # exactly what was asked


def test_several_pictures_of_a_person_go_to_who_takes_them(tmp_path: Path) -> None:
    (tmp_path / "people" / "one").mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    for number in (1, 3):
        save_frame(tmp_path / "people" / "one" / f"{number}.png", example(f"identity_{number}", 128))
    save_frame(tmp_path / "people" / "two.png", example("identity_3", 128))
    for key in ("one", "two"):
        save_frame(tmp_path / "photos" / f"{key}.png", example("identity_2", 128))
    asked = folder_set(tmp_path / "people", tmp_path / "photos")
    seen: list[tuple[str, int]] = []

    def several(identities: Sequence[Frame], attribute: Frame) -> Frame:
        seen.append(("several", len(identities)))
        return attribute

    def pair(_identity: Frame, attribute: Frame) -> Frame:
        seen.append(("pair", 1))
        return attribute

    methods: dict[str, Method] = {"both": Swaps(pair, several), "one": Swaps(pair), "plain": pair}
    evaluate(methods, asked, suites=["attributes"], eyes=own_eyes())
    assert seen == [("several", 2), ("pair", 1), ("pair", 1), *[("pair", 1)] * 3]
    save_frame(tmp_path / "people" / "one.png", example("identity_1", 128))
    with pytest.raises(BadInputError, match="keep one of the two"):
        folder_set(tmp_path / "people", tmp_path / "photos")


def test_a_picture_into_itself_should_come_back(tmp_path: Path) -> None:
    plain = questions_of(write_tiny_set(tmp_path / "tiny"), 2)
    asked = ItselfSet(plain)  # type: ignore[arg-type]
    assert (asked.name, len(asked), keys_of(asked)) == ("tiny into itself", 2, keys_of(plain))
    assert questions_of(asked) is asked
    assert set_facts(asked) == set_facts(plain)
    for frame, case in zip(identity_frames(asked), plain, strict=True):
        np.testing.assert_array_equal(frame, case.attribute)
    for case in asked:
        assert not case.groups  # those of who would have been put into it
        np.testing.assert_array_equal(case.identity, case.attribute)
        assert case.truth is case.attribute
        assert case.identity_person == case.attribute_person

    methods: dict[str, Method] = {
        "same": unchanged,
        "lighter": lambda _, frame: np.minimum(frame, 251) + np.uint8(4),
        "right": "true-swap",
    }
    found = evaluate(methods, asked, suites=["truth"], eyes=own_eyes())
    inside = {name: one.overall["psnr_inside"].value for name, one in found.methods.items()}
    assert inside["same"] == inside["right"] == 60
    assert inside["lighter"] == pytest.approx(20 * math.log10(255 / 4), abs=0.1)
    assert found.name == "tiny into itself"
