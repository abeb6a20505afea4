"""Reversed swaps: who meets whom, that the answer is the photograph, and that nothing else ever draws what goes in."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from facegraft.cli.main import main
from facegraft.core.errors import BadInputError, NoFaceError
from facegraft.core.types import Frame
from facegraft.data import reverse
from facegraft.data.dataset import Dataset, DatasetCard, Pair, join, open_dataset, write_card, write_shard
from facegraft.data.ingest import IngestOptions, ingest
from facegraft.data.ingest_unit import Recipe
from facegraft.data.item import Row
from facegraft.data.licences import allows_commercial
from facegraft.data.meetings import DONOR_DEGREES, MIRRORED, Meeting, by_split, meeting, usable
from facegraft.data.pairs import STRANGERS, TRIPLET, Pairs
from facegraft.data.policies import Policy
from facegraft.data.reverse import ReverseOptions, write_reversed
from facegraft.runtime.swapper import pair_swapper
from tests.data.ingest_inputs import fill
from tests.data.small_sets import item, small_set
from tests.data.test_pairs import row

COUNT = 6
OPTIONS = ReverseOptions("warp", COUNT, seed=3, plain=0.5, shard=4)


@pytest.fixture(scope="module")
def photos(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people, a photo of each and of three a mirrored one; licence and consent are each photo's own."""
    folder = tmp_path_factory.mktemp("reverse")
    fill(folder / "photos", root, mirrored=3)
    lines = ["path,person,licence,consent,synthetic"]
    for number, path in enumerate(sorted((folder / "photos").rglob("*.jpg"))):
        licence = "CC0-1.0" if number % 3 else "RESEARCH-ONLY"
        lines.append(f"{path},{path.parent.name},{licence},consent {number},true")
    (folder / "photos.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = IngestOptions(Recipe(size=160), manifest=folder / "photos.csv")
    ingest([folder / "photos"], folder / "faces", options)
    return folder / "faces"


@pytest.fixture(scope="module")
def undone(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two shards by two processes."""
    out = tmp_path_factory.mktemp("reverse") / "undone"
    return write_reversed(photos, out, OPTIONS, pair_swapper, jobs=2)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "shards").iterdir())}


# --- who meets whom -----------------------------------------------------------------------------------


def people(photos: int = 1) -> dict[str, list[Row]]:
    """Twenty people looking from -57 to 57 degrees, in two splits."""
    rows = [row(f"{who}-{n}", f"p{who}", yaw=6.0 * who - 57) for who in range(20) for n in range(photos)]
    train, val = rows[: 14 * photos], [dataclasses.replace(each, split="val") for each in rows[14 * photos :]]
    return {"train": train, "val": val}


def met(plain: float, photos: int = 1, count: int = 400) -> list[Meeting]:
    splits = people(photos)
    return [meeting(splits, number, seed=0, plain=plain) for number in range(count)]


def who_met(faces: Dataset, number: int) -> Meeting:
    """In pair `number` of `undone`."""
    return meeting(by_split(list(faces.rows)), number, seed=OPTIONS.seed, plain=OPTIONS.plain)


def test_a_meeting_is_a_pure_function_of_seed_and_number() -> None:
    splits = people()

    def found(seed: int) -> list[Meeting]:
        return [meeting(splits, number, seed=seed, plain=0.25) for number in range(5)]

    assert found(1) == found(1)
    assert found(1)[0] != found(1)[1]
    assert found(1) != found(2)


def test_strangers_meet_within_their_split_and_look_alike_ways() -> None:
    splits = people()
    split_of = {each.key: name for name, rows in splits.items() for each in rows}
    apart = []
    for who in met(0.25):
        beside = [other for other in (who.donor, who.host) if other is not None]
        assert all(other.person != who.truth.person for other in beside)
        assert {split_of[other.key] for other in beside} == {split_of[who.truth.key]}
        assert who.truth.pose_degrees is not None
        assert who.donor.pose_degrees is not None
        apart.append(abs(who.truth.pose_degrees[0] - who.donor.pose_degrees[0]))
    assert max(apart) <= DONOR_DEGREES
    assert np.mean(apart) > 5


def test_the_answer_itself_never_goes_in_as_it_is() -> None:
    """A person whose one photo is all there is comes mirrored, or on somebody else."""
    plain = met(1.0)
    assert all(who.mirrored and who.host is None and who.other is None for who in plain)
    swapped = met(0.0)
    assert all(who.host is not None for who in swapped)
    assert abs(np.mean([who.mirrored for who in swapped]) - MIRRORED) < 0.08
    several = met(0.3, photos=3)
    assert abs(np.mean([who.host is None for who in several]) - 0.3) < 0.07
    with_other = [who for who in several if who.other is not None]
    assert 0.4 < len(with_other) / len(several) < 0.6
    for who in with_other:
        assert who.other is not None
        assert who.other.person == who.truth.person
        assert who.other.key != who.truth.key
        assert not who.mirrored


# --- what is made -------------------------------------------------------------------------------------


def test_the_answer_is_the_photograph(undone: Dataset, photos: Path) -> None:
    faces = open_dataset(photos)
    assert len(undone.pairs) == COUNT
    assert Counter(each.role for each in undone.rows) == {"swapped": 2 * COUNT, "truth": COUNT}
    for number, pair in enumerate(undone.pairs):
        identity, attribute, truth = (undone.item(key) for key in (pair.identity, pair.attribute, pair.truths["inner"]))
        who = who_met(faces, number)
        photo = faces.item(str(truth.facts["photo"]))
        assert photo.key == who.truth.key
        assert truth.image == photo.image
        assert (truth.person, identity.person, attribute.person) == (photo.person, photo.person, who.donor.person)
        assert pair.truths["inner_recoloured"] == pair.truths["inner"]
        off = np.abs(attribute.frame().astype(int) - photo.frame()).max(2)
        changed = truth.plane("changed") > 0
        inside = attribute.plane("visible") > 200
        assert changed[inside].mean() > 0.8  # the face was swapped
        assert off[~changed].max() <= 60  # JPEG alone
        assert np.median(off[:20, :20]) <= 3


def test_licences_and_consents_are_those_of_all_who_are_seen(undone: Dataset, photos: Path) -> None:
    """In an attribute image who was put on whom; in an identity image the photo that says who, and on whom it is."""
    faces = open_dataset(photos)
    licences = Counter()
    for number, pair in enumerate(undone.pairs):
        who = who_met(faces, number)
        beside = [] if who.host is None else [who.host]
        for key, seen in ((pair.attribute, [who.donor, who.truth]), (pair.identity, [who.other or who.truth, *beside])):
            made = undone.item(key)
            licences[made.licence] += 1
            for name in ("licence", "consent", "origin"):
                told = [getattr(row, name) for row in seen]
                assert getattr(made, name) == " + ".join(dict.fromkeys(told))
            assert allows_commercial(made.licence) is all(allows_commercial(row.licence) for row in seen)
    assert {"CC0-1.0", "RESEARCH-ONLY"} < set(licences)
    assert any(" + " in licence for licence in licences)
    assert not allows_commercial("CC0-1.0 + RESEARCH-ONLY")
    assert allows_commercial("CC0-1.0 + MIT")


def test_points_are_those_of_the_swapped_pictures(undone: Dataset) -> None:
    """The frame's outline stays, so an attribute image has about its photograph's points; an identity image has not."""
    near, far = [], []
    for pair in undone.pairs:
        identity, attribute, truth = (undone.item(key) for key in (pair.identity, pair.attribute, pair.truths["inner"]))
        assert attribute.arrays["landmarks68"].shape == (68, 2)
        assert attribute.arrays["pose_degrees"].shape == (3,)
        for one, kept in ((attribute, near), (identity, far)):
            kept.append(float(np.abs(one.arrays["dense"][:, :2] - truth.arrays["dense"][:, :2]).mean()))
    assert max(near) < 3
    assert np.median(far) > 2 * np.median(near)


def test_both_ways_keep_each_swap_as_it_was_made(undone: Dataset, photos: Path, tmp_path: Path) -> None:
    """And leave the pairs that undo it as they are."""
    faces = open_dataset(photos)
    both = write_reversed(photos, tmp_path / "both", dataclasses.replace(OPTIONS, both_ways=True), pair_swapper, jobs=2)
    assert [pair for pair in both.pairs if pair.stratum == "reversed"] == list(undone.pairs)
    forward = [pair for pair in both.pairs if pair.stratum == "as made"]
    assert len(forward) == COUNT == len(both.pairs) - len(undone.pairs)
    for number, (pair, undoing) in enumerate(zip(forward, undone.pairs, strict=True)):
        who = who_met(faces, number)
        identity, attribute, truth = (both.item(key) for key in (pair.identity, pair.attribute, pair.truths["inner"]))
        assert identity.image == faces.item(who.donor.key).image
        assert attribute.image == faces.item(who.truth.key).image
        swapped = both.item(undoing.attribute)
        assert truth.image == swapped.image
        assert truth.licence == swapped.licence
        assert (truth.person, identity.person, attribute.person) == (
            who.donor.person,
            who.donor.person,
            who.truth.person,
        )
        assert (identity.role, attribute.role, truth.role) == ("swapped", "swapped", "truth")
        assert truth.planes["changed"] == both.item(undoing.truths["inner"]).planes["changed"]
        assert pair.truths["inner_recoloured"] == pair.truths["inner"]
    drawn = {Pairs(both, Policy(triplets=1.0)).draw(number).attribute.key for number in range(80)}
    assert drawn == {pair.attribute for pair in both.pairs}
    assert not both.people


def test_the_files_do_not_depend_on_who_made_them(undone: Dataset, photos: Path, tmp_path: Path) -> None:
    write_reversed(photos, tmp_path / "alone", OPTIONS, pair_swapper, jobs=1)
    made = {row.shard.path.parent for row in undone.rows}
    assert len(made) == 1
    assert files(tmp_path / "alone") == files(made.pop().parent)


def test_a_set_that_was_cut_short_goes_on(undone: Dataset, photos: Path, tmp_path: Path) -> None:
    make = pair_swapper
    out = tmp_path / "again"
    seen: list[tuple[int, int]] = []
    few = ReverseOptions("warp", 2, seed=3, plain=0.5)
    write_reversed(photos, out, few, make, jobs=1, progress=lambda *done: seen.append(done))
    assert seen == [(0, 1), (1, 1)]
    kept = files(out)
    (out / "shards" / "000000.safetensors").unlink()
    (out / "card.json").unlink()
    write_reversed(photos, out, few, make, jobs=1)
    assert files(out) == kept
    assert write_reversed(photos, out, few, _fails, jobs=1).pairs  # all is done: nobody is asked
    with pytest.raises(BadInputError, match="begun with other options"):
        write_reversed(photos, out, ReverseOptions("warp", 2, seed=4, plain=0.5), make)


def _fails(method: str) -> reverse.PairSwap:
    raise AssertionError(f"no {method} is needed")


def _finds_nobody(_method: str) -> reverse.PairSwap:
    def swap(identity: Frame, attribute: Frame) -> Frame:
        raise NoFaceError("nobody")

    return swap


def _does_nothing(_method: str) -> reverse.PairSwap:
    return lambda _identity, attribute: attribute


def _does_hardly_anything(_method: str) -> reverse.PairSwap:
    def swap(_identity: Frame, attribute: Frame) -> Frame:
        dotted = attribute.copy()
        dotted[::9, ::9] += 1
        return dotted

    return swap


def _swaps_once(method: str) -> reverse.PairSwap:
    """Every second swap, which is the identity image's, does nothing."""
    swap, calls = pair_swapper(method), itertools.count()
    return lambda identity, attribute: attribute if next(calls) % 2 else swap(identity, attribute)


@pytest.mark.parametrize("make", [_finds_nobody, _does_nothing, _does_hardly_anything, _swaps_once])
def test_swaps_that_fail_are_left_out(photos: Path, tmp_path: Path, make: reverse.MakeSwap) -> None:
    options = ReverseOptions("warp", 3, plain=0.0)
    dataset = write_reversed(photos, tmp_path / "none", options, make, jobs=1)
    assert not dataset.pairs
    assert not dataset.rows


# --- what draws it ------------------------------------------------------------------------------------


def test_pairs_draw_swapped_pictures_with_their_answers_only(undone: Dataset) -> None:
    pairs = Pairs(undone, Policy(triplets=1.0))
    drawn = [pairs.draw(number) for number in range(40)]
    told = {(pair.identity, pair.attribute, pair.truths["inner"]) for pair in undone.pairs}
    assert {(each.identity.key, each.attribute.key, each.truth.key) for each in drawn if each.truth} == told
    assert {each.key for each in pairs.rows()} == {each.key for each in undone.rows}
    with pytest.raises(BadInputError, match="two people"):
        Pairs(undone, Policy(triplets=0.5))
    assert not undone.people


def test_no_other_kind_of_pair_shows_a_swapped_picture(tmp_path: Path) -> None:
    """Beside a set of photographs; and none where people are named, or need another photo."""
    made = [item("i", "anna", role="swapped"), item("a", "bert", role="swapped"), item("t", "anna", role="truth")]
    write_shard(tmp_path / "made", 0, made, [Pair("i", "a", {"inner": "t"})])
    write_card(tmp_path / "made", DatasetCard("made"))
    both = join([small_set(tmp_path / "faces"), open_dataset(tmp_path / "made")])
    pairs = Pairs(both, Policy(triplets=0.5))
    for number in range(200):
        draw = pairs.draw(number)
        roles = {draw.identity.role, draw.attribute.role}
        assert roles == ({"swapped"} if draw.kind == TRIPLET else {"picture"})
        assert draw.kind in (TRIPLET, STRANGERS)
    for identities, attributes in ((["1-made/anna"], None), (None, ["1-made/bert"])):
        with pytest.raises(BadInputError, match="exact pairs"):
            Pairs(both, Policy(triplets=1.0), identities=identities, attributes=attributes)
    with pytest.raises(BadInputError, match="exact pairs"):
        Pairs(both, Policy(triplets=1.0, second_photo=True))


# --- faults -------------------------------------------------------------------------------------------


def test_command(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made"
    words = ["data", "reverse", str(photos), "-o", str(out), "--pairs", "2", "--seed", "3", "--jobs", "1"]
    assert main(words) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts == {"output": str(out), "pairs": 2, "left_out": 0}
    card = open_dataset(out).card
    assert card.command == "facegraft data reverse faces -o made --pairs 2 --method warp --seed 3 --plain 0.25"
    assert card.pairs == 2
    assert main([*words, "--dry-run"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts == {"output": str(out), "pairs": 2, "photographs": 9, "shards": 1}
    both = [str(tmp_path / "both") if word == str(out) else word for word in words] + ["--both-ways"]
    assert main([*both, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["pairs"] == 4
    assert main(both) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (facts["pairs"], facts["left_out"]) == (4, 0)
    assert open_dataset(tmp_path / "both").card.command.endswith("--seed 3 --plain 0.25 --both-ways")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pairs", "0"], "--pairs, --plain: expected 1 or more"),
        (["--plain", "1.5"], "a share 0..1, found"),
        (["--jobs", "0"], "--jobs: expected 1 or more"),
        (["--method", "nobody"], "no method or bundle 'nobody'"),
        (["--seed", "-1"], "--seed: expected 0 or more"),
    ],
)
def test_faults_are_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["data", "reverse", str(photos), "-o", str(tmp_path / "made"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "made").exists()


def test_photographs_must_be_of_two_people_with_points(tmp_path: Path) -> None:
    lonely = small_set(tmp_path / "lonely", people=1)
    with pytest.raises(BadInputError, match="expected photographs of two people with known poses, found 4"):
        usable(lonely)


def test_photographs_without_points_are_named(tmp_path: Path) -> None:
    faces = tmp_path / "flat"
    items = [item(f"p{n}", f"p{n}", seed=n) for n in range(3)]
    write_shard(
        faces, 0, [dataclasses.replace(each, arrays={"pose_degrees": np.zeros(3, np.float32)}) for each in items]
    )
    write_card(faces, DatasetCard("flat"))
    with pytest.raises(BadInputError, match="no mesh of points"):
        write_reversed(faces, tmp_path / "out", ReverseOptions("x", 1), _does_nothing, jobs=1)


def test_frames_of_one_clip_are_no_strangers() -> None:
    rows = [dataclasses.replace(row(f"c{n}", "", clip="clip"), split="train") for n in range(4)]
    other = row("other", "")
    for number in range(40):
        who = meeting({"train": [*rows, other]}, number, seed=0, plain=0.0)
        assert "other" in {who.truth.key, who.donor.key}
        assert who.other is None
