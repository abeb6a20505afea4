"""Clips as questions: what a dataset and files hold, in order; what a method of pictures makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegraft.core.errors import BadInputError, NoFaceError
from facegraft.core.image import save_frame
from facegraft.core.image_bytes import encode_frame
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset, DatasetCard, Pair, open_dataset, write_card, write_shard
from facegraft.evaluate.clip_files import read_clip
from facegraft.evaluate.clips import ClipCase, clip_set, frame_by_frame
from facegraft.evaluate.protocol import Case
from tests.data.small_sets import item, picture
from tests.evaluate.cases_for_tests import EXAMPLES, flat


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two clips of four frames, stored in no order; only the first has truths; and one pair of still pictures."""
    folder = tmp_path_factory.mktemp("clips")
    items, pairs = [item("still", "someone")], [Pair("one-identity", "still")]
    for clip, person in (("one", "ann"), ("two", "ben")):
        items.append(item(f"{clip}-identity", f"{clip}-giver", seed=7, facts={"female": 1.0, "age": 40.0}))
        for number in (2, 0, 3, 1):
            key = f"{clip}-{number}"
            seed = 10 * number + (clip == "two")
            items.append(item(key, person, seed=seed, clip=clip, frame_number=number))
            items.append(item(f"{key}-true", "", image=encode_frame(picture(100 + number)), role="truth"))
            truths = {"inner": f"{key}-true"} if clip == "one" else {}
            pairs.append(Pair(f"{clip}-identity", key, truths, stratum="ordinary"))
    write_shard(folder, 0, items, pairs)
    write_card(folder, DatasetCard(name="clips", seed=0))
    return open_dataset(folder)


def test_a_clip_is_read_in_the_order_of_its_frames(clips: Dataset) -> None:
    found = clip_set(clips)
    assert len(found) == 2
    first, second = found
    assert (first.key, first.identity_person, first.attribute_person) == ("one-identity+one", "one-giver", "ann")
    assert (first.stratum, first.groups["sex"], first.groups["age"]) == ("ordinary", "women", "35 to 60")
    for number, (frame, truth) in enumerate(zip(first.frames, first.truths or (), strict=True)):
        np.testing.assert_array_equal(frame, picture(10 * number))
        np.testing.assert_array_equal(truth, picture(100 + number))
    np.testing.assert_array_equal(second.frames[1], picture(11))
    assert second.truths is None


def test_fewer_clips_and_frames_are_the_first_ones(clips: Dataset) -> None:
    assert (clip_set(clips, most=1).name, clip_set(clips, frames=3).name) == ("clips", "clips, first 3 frames")
    found = list(clip_set(clips, most=1, frames=3))
    assert [one.key for one in found] == ["one-identity+one"]
    np.testing.assert_array_equal(found[0].frames[2], picture(20))
    assert len(found[0]) == 3


def test_a_set_without_clips_says_so(clips: Dataset) -> None:
    stills = Dataset(clips.card, clips.rows, clips.pairs[:1])
    with pytest.raises(BadInputError, match="clips-50"):
        clip_set(stills)


def test_a_clip_of_files(tmp_path: Path) -> None:
    person = tmp_path / "ann.png"
    save_frame(person, flat(100))
    found = read_clip(person, EXAMPLES / "clip.mp4", start_s=1.0, frames=4, every=2)
    assert (found.key, found.identity_person, found.attribute_person) == ("ann+clip", "identity ann", "attribute clip")
    assert len(found) == 4
    assert found.frames[0].shape == (720, 1280, 3)
    assert (found.frames[0] != found.frames[1]).any()
    with pytest.raises(BadInputError, match="3 frames or more"):
        read_clip(person, EXAMPLES / "clip.mp4", start_s=4.95)


def test_a_clip_that_does_not_fit_together_is_refused() -> None:
    frame = flat(1)
    for frames, truths, says in (
        ((frame, frame), None, "3 frames"),
        ((frame, frame, flat(1, (40, 51))), None, "one size"),
        ((frame,) * 3, (frame,) * 2, "truth for each"),
        ((frame,) * 3, (flat(1, (40, 51)),) * 3, "one size"),
    ):
        with pytest.raises(BadInputError, match=says):
            ClipCase("clip", frame, frames, "", "", truths=truths)


def test_a_method_of_pictures_sees_one_frame_after_the_other_and_may_fail_at_some() -> None:
    frames, truths = tuple(flat(n) for n in range(4)), tuple(flat(50 + n) for n in range(4))
    clip = ClipCase("clip", flat(9), frames, "one", "other", "dark", truths)
    seen = []

    def answer(case: Case) -> Frame | None:
        seen.append((case.key, int(case.identity[0, 0, 0]), case.attribute_person, case.stratum))
        if case.attribute[0, 0, 0] == 2:
            raise NoFaceError("none")
        return case.truth

    found = frame_by_frame(answer)(clip)
    assert [None if frame is None else int(frame[0, 0, 0]) for frame in found] == [50, 51, None, 53]
    assert seen == [(f"clip-000{n}", 9, "other", "dark") for n in range(4)]
