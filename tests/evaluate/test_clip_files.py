"""Clips in files: what is asked of them, what other tools are given, and how their answers are read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.image import read_picture, save_frame
from facegraft.core.types import Frame
from facegraft.evaluate.clip_files import ClipAnswers, clip_files, read_clip, write_clip
from facegraft.evaluate.clips import ClipCase
from tests.evaluate.cases_for_tests import EXAMPLES, flat, noise


def asked(frames: int = 5, **more: object) -> ClipCase:
    shown = tuple(flat(10 * number) for number in range(frames))
    return ClipCase("ann+walk", flat(200), shown, "ann", "ben", **more)  # type: ignore[arg-type]


def levels(answer: list[Frame | None] | None) -> list[int | None]:
    assert answer is not None
    return [None if frame is None else int(frame[0, 0, 0]) for frame in answer]


def test_a_set_of_files_is_read_one_after_the_other(tmp_path: Path) -> None:
    for name, level in (("ann", 100), ("side", 50)):
        save_frame(tmp_path / f"{name}.png", flat(level))
    found = clip_files([tmp_path / "ann.png", tmp_path / "side.png"], [EXAMPLES / "clip.mp4"], frames=4)
    assert (found.name, len(found), found.keys()) == ("ann into clip, first 4 frames", 1, ["ann+clip"])
    (clip,) = found
    assert (clip.key, len(clip)) == ("ann+clip", 4)
    assert [int(picture[0, 0, 0]) for picture in clip.identities] == [100, 50]
    assert [int(picture[0, 0, 0]) for picture in found.identity_frames()] == [100]
    assert clip.fps == pytest.approx(25, abs=0.1)
    assert next(clip.cases()).more is clip.more
    assert read_clip(tmp_path / "ann.png", EXAMPLES / "clip.mp4", frames=4, every=2).fps == pytest.approx(12.5, abs=0.1)


def test_two_clips_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="two of the name 'a'"):
        clip_files([tmp_path / "me.png"], [tmp_path / "a.mp4", tmp_path / "a.mov"])
    with pytest.raises(BadInputError, match="found none"):
        clip_files([], [tmp_path / "a.mp4"])


def test_what_is_written_for_other_tools_is_read_back_as_an_answer(tmp_path: Path) -> None:
    clip = asked()
    write_clip(clip, tmp_path)
    assert sorted(path.name for path in (tmp_path / "attribute" / clip.key).iterdir()) == [
        f"000{number}.png" for number in range(5)
    ]
    assert read_picture(tmp_path / "identity" / "ann+walk.png").frame[0, 0, 0] == 200
    answers = ClipAnswers(tmp_path / "attribute")
    assert "ann+walk" in answers
    assert "ann+run" not in answers
    assert levels(answers.get(clip)) == [0, 10, 20, 30, 40]
    write_clip(asked(more=(flat(150),)), tmp_path / "two")
    pictures = [read_picture(tmp_path / "two" / "identity" / "ann+walk" / f"000{n}.png").frame for n in (0, 1)]
    assert [int(picture[0, 0, 0]) for picture in pictures] == [200, 150]


def test_what_is_written_again_leaves_nothing_of_before(tmp_path: Path) -> None:
    write_clip(asked(6, more=(flat(150), flat(160))), tmp_path)
    people, frames = tmp_path / "identity", tmp_path / "attribute" / "ann+walk"
    (people / "ben+walk.png").touch()
    for name in ("cover.png", "12.png", "0005.jpg"):  # no export wrote these
        (frames / name).touch()
    write_clip(asked(4, more=(flat(150),)), tmp_path)
    assert names_in(people / "ann+walk") == ["0000.png", "0001.png"]
    assert names_in(frames) == ["0000.png", "0001.png", "0002.png", "0003.png", "0005.jpg", "12.png", "cover.png"]
    write_clip(asked(4), tmp_path)
    assert names_in(people) == ["ann+walk.png", "ben+walk.png"]
    write_clip(asked(4, more=(flat(150),)), tmp_path)
    assert names_in(people) == ["ann+walk", "ben+walk.png"]


def test_pictures_behind_a_link_are_not_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "0000.png").touch()
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "ann+walk").symlink_to(tmp_path / "mine")
    write_clip(asked(), tmp_path)
    assert names_in(tmp_path / "mine") == ["0000.png"]


def test_what_cannot_be_removed_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "identity" / "ann+walk" / "0001.png").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"0001\.png: of an earlier export, cannot be removed"):
        write_clip(asked(), tmp_path)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_numbers_from_one_are_as_good_and_a_missing_one_is_a_lost_frame(tmp_path: Path) -> None:
    clip, folder = asked(), tmp_path / "ann+walk"
    folder.mkdir()
    for number in range(1, 6):
        save_frame(folder / f"out_{number}.png", flat(number))
        (folder / f"._out_{number}.png").write_bytes(b"\0\5\x16\7")  # as macOS leaves beside each
    (tmp_path / "._ann+walk.mp4").touch()
    assert levels(ClipAnswers(tmp_path).get(clip)) == [1, 2, 3, 4, 5]
    (folder / "out_5.png").unlink()
    (folder / "out_2.png").unlink()
    assert levels(ClipAnswers(tmp_path).get(clip)) == [None, 1, None, 3, 4]


@pytest.mark.parametrize("folder", ["ann+walk", "ann+walk-still"])
def test_a_picture_without_a_number_is_told_at_once(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    save_frame(tmp_path / folder / "0000.png", flat(1))
    save_frame(tmp_path / folder / "cover.png", flat(9))
    with pytest.raises(BadInputError, match=r"cover\.png: expected pictures named by the numbers"):
        ClipAnswers(tmp_path, ["ann+walk"])
    assert "ann+walk" not in ClipAnswers(tmp_path, ["ben+walk"])  # whose folder that is, nobody asks


def test_two_answers_of_one_key_are_refused(tmp_path: Path) -> None:
    for name in ("k.mp4", "k.mkv"):
        (tmp_path / name).touch()
    with pytest.raises(BadInputError, match=r"k\.mp4: a second answer of this name beside 'k\.mkv'"):
        ClipAnswers(tmp_path)
    (tmp_path / "k.mp4").unlink()
    (tmp_path / "k").mkdir()
    with pytest.raises(BadInputError, match=r"k\.mkv: a second answer of this name beside 'k'"):
        ClipAnswers(tmp_path, ["k"])
    assert "k" not in ClipAnswers(tmp_path, ["other"])


def test_a_lossless_clip_file_is_an_answer_too(tmp_path: Path) -> None:
    frames = [noise(seed, (48, 64)) for seed in range(4)]
    with av.open(str(tmp_path / "ann+walk.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    found = ClipAnswers(tmp_path).get(asked(4))
    assert found is not None
    for one, other in zip(found, frames, strict=True):
        assert one is not None
        np.testing.assert_array_equal(one, other)
    too_long = ClipAnswers(tmp_path).get(asked(3))
    assert too_long is not None
    assert len(too_long) == 4  # which does not fit, so it counts as lost


def test_a_clip_without_an_answer_is_none(tmp_path: Path) -> None:
    assert ClipAnswers(tmp_path).get(asked()) is None
    with pytest.raises(BadInputError, match="expected a folder of answers"):
        ClipAnswers(tmp_path / "none")
