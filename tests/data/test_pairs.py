"""Pairs: the stated shares, the stated kinds, and pair n a pure function of (seed, n)."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegraft.core.errors import BadInputError
from facegraft.data.dataset import Dataset, DatasetCard, Row
from facegraft.data.pairs import (
    KINDS,
    SAME_IMAGE,
    SAME_PERSON,
    STRANGERS,
    TRIPLET,
    Draw,
    Pairs,
    pose_bin,
    row_weights,
)
from facegraft.data.policies import OURS, POLICIES, Policy, with_truth_share
from facegraft.data.shards import ShardReader
from tests.data.small_sets import small_set

DRAWS = 10_000
NOWHERE = ShardReader(Path("nowhere"))


def row(key: str, person: str, yaw: float | None = 0.0, clip: str = "", monk: int = 1, role: str = "picture") -> Row:
    """A row without a picture: pairs never look at pixels."""
    return Row(
        key=key,
        person=person,
        role=role,
        split="train",
        stratum="",
        licence="CC0-1.0",
        consent="",
        origin="",
        synthetic=True,
        clip=clip,
        frame_number=-1,
        pose_degrees=None if yaw is None else (float(yaw), 0.0, 0.0),
        facts={"monk": monk},
        shard=NOWHERE,
        position=0,
    )


def rows_only(rows: list[Row]) -> Dataset:
    return Dataset(DatasetCard(name="rows"), tuple(rows))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_set(tmp_path_factory.mktemp("pairs") / "set", people=7, photos=4, exact=9)


@pytest.mark.parametrize("name", POLICIES)
def test_shares_hold_within_one_percent(dataset: Dataset, name: str) -> None:
    policy = POLICIES[name]
    pairs = Pairs(dataset, policy, seed=5, group=16)
    found = Counter(pairs.kind(number) for number in range(DRAWS // 4, DRAWS // 4 + DRAWS))
    wanted = (policy.same_image, policy.same_person, policy.triplets, 1 - policy.truth_share)
    assert [found[kind] / DRAWS for kind in KINDS] == pytest.approx(wanted, abs=0.01)


def test_the_published_shares() -> None:
    stated = {
        "faceshifter": (0.2, 0, 0),
        "hear_net": (0.5, 0, 0),
        "simswap": (0, 0.5, 0),
        "rafswap": (0.2, 0, 0),
        "mobilefsgan": (0.112, 0, 0.288),
        "faceswapper": (0, 0, 0),
        "hyperswap": (0.2, 0, 0),
        "fastswap": (0, 1, 0),
    }
    for name, found in stated.items():
        policy = POLICIES[name]
        assert (policy.same_image, policy.same_person, policy.triplets) == found
    assert 0.2 <= OURS.same_person <= 0.3
    assert OURS.similar_pose == 0.5
    assert len(POLICIES) >= 19


@settings(max_examples=60)
@given(st.integers(0, 2**62), st.integers(0, 2**40), st.sampled_from(sorted(POLICIES)))
def test_every_pair_is_what_its_kind_says(dataset: Dataset, seed: int, number: int, name: str) -> None:
    pairs = Pairs(dataset, POLICIES[name], seed)
    draw = pairs.draw(number)
    assert (draw.number, draw.kind) == (number, pairs.kind(number))
    identity, attribute, truth = draw.identity, draw.attribute, draw.truth
    assert identity.role == attribute.role == "picture"
    if draw.kind == SAME_IMAGE:
        assert identity.key == attribute.key
        assert truth is attribute
    elif draw.kind == SAME_PERSON:
        assert identity.person == attribute.person
        assert identity.key != attribute.key
        assert truth is attribute
    elif draw.kind == TRIPLET:
        assert truth is not None
        assert truth.role == "truth"
        wanted = {"inner": truth.key}
        assert any(
            (pair.identity, pair.attribute, pair.truths) == (identity.key, attribute.key, wanted)
            for pair in dataset.pairs
        )
    else:
        assert identity.person != attribute.person
        assert truth is None
    if POLICIES[name].second_photo:
        assert draw.identity_other is not None
        assert draw.identity_other.person == identity.person
        assert draw.identity_other.key not in (identity.key, attribute.key)
    else:
        assert draw.identity_other is None


def test_a_pair_is_a_function_of_seed_and_number_only(dataset: Dataset) -> None:
    def keys(seed: int, numbers: list[int]) -> list[tuple[str, str]]:
        pairs = Pairs(dataset, POLICIES["ours_exact"], seed)
        return [(draw.identity.key, draw.attribute.key) for draw in map(pairs.draw, numbers)]

    forward = keys(1, list(range(200)))
    assert keys(1, list(range(199, -1, -1))) == forward[::-1]
    assert keys(1, list(range(100, 200))) == forward[100:]
    assert sum(a == b for a, b in zip(keys(2, list(range(200))), forward, strict=True)) < 30


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_every_rank_sees_the_stated_shares(dataset: Dataset, world: int) -> None:
    pairs = Pairs(dataset, POLICIES["mobilefsgan"], seed=0)
    for rank in range(world):
        found = Counter(pairs.kind(number) for number in range(rank, world * DRAWS, world))
        assert found[TRIPLET] / DRAWS == pytest.approx(0.288, abs=0.01)
        assert found[SAME_IMAGE] / DRAWS == pytest.approx(0.112, abs=0.01)


def test_alternating_batches_are_of_one_kind_in_turn(dataset: Dataset) -> None:
    pairs = Pairs(dataset, POLICIES["simswap"], group=8)
    kinds = [[pairs.kind(8 * batch + place) for place in range(8)] for batch in range(50)]
    assert all(len(set(batch)) == 1 for batch in kinds)
    assert [batch[0] for batch in kinds] == [SAME_PERSON, STRANGERS] * 25


def crowd(people: int = 60, photos: int = 5, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    return rows_only(
        [row(f"{who}-{n}", f"p{who}", float(rng.normal(0, 25))) for who in range(people) for n in range(photos)]
    )


def similar(draw: Draw, window: float = 15.0) -> bool:
    assert draw.identity.pose_degrees is not None
    assert draw.attribute.pose_degrees is not None
    return abs(draw.identity.pose_degrees[0] - draw.attribute.pose_degrees[0]) <= window


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_strangers_have_similar_poses_as_often_as_asked(share: float) -> None:
    dataset = crowd(people=200, photos=5)
    pairs = Pairs(dataset, Policy(similar_pose=share), seed=1)
    found = np.mean([similar(pairs.draw(number)) for number in range(3000)])
    yaws = np.array([found.pose_degrees[0] for found in dataset.rows if found.pose_degrees])
    by_chance = np.mean(np.abs(yaws[:, None] - yaws) <= 15)
    assert by_chance < 0.5
    assert found == pytest.approx(share + (1 - share) * by_chance, abs=0.03)


def test_same_person_prefers_similar_poses_where_there_are_any() -> None:
    dataset = rows_only(
        [row("a0", "a", 0), row("a1", "a", 10), row("a2", "a", 60), row("b0", "b", 0), row("b1", "b", 50)]
    )
    pairs = Pairs(dataset, Policy(same_person=1.0, similar_pose=1.0))
    found = {(draw.identity.key, draw.attribute.key) for draw in map(pairs.draw, range(500))}
    # a2 and b's have no photo of a similar pose: any other one serves.
    assert found == {("a0", "a1"), ("a1", "a0"), ("a0", "a2"), ("a1", "a2"), ("b0", "b1"), ("b1", "b0")}


def test_two_frames_come_from_one_clip_where_there_are_two() -> None:
    rows = [row("c0", "a", clip="c"), row("c1", "a", clip="c"), row("d0", "a", clip="d"), row("e0", "a")]
    pairs = Pairs(rows_only(rows), POLICIES["fastswap"])
    found = {(draw.attribute.key, draw.identity.key) for draw in map(pairs.draw, range(400))}
    assert {identity for attribute, identity in found if attribute == "c0"} == {"c1"}
    assert {identity for attribute, identity in found if attribute == "d0"} == {"c0", "c1", "e0"}


def test_weights_are_inverse_frequencies_with_a_cap() -> None:
    rows = [row(f"f{n}", "a", 0) for n in range(12)] + [row(f"t{n}", "a", -30) for n in range(6)]
    rows += [row("p0", "a", 80), row("u", "a", None)]
    weights = row_weights(rows, ("pose",), 3)
    assert weights.tolist() == [1.0] * 12 + [2.0] * 6 + [3.0, 1.0]
    assert row_weights(rows, (), 3).tolist() == [1.0] * 20
    assert row_weights([row("a", "x", monk=1)] * 4 + [row("b", "x", monk=9)], ("monk",), 10.0).tolist() == [1.0] * 4 + [
        4.0
    ]
    people = row_weights([row("a", "x"), row("b", "x"), row("c", "y")], ("person",), 3.0)
    assert people.tolist() == [1.0, 1.0, 2.0]
    assert [pose_bin(row("a", "x", yaw)) for yaw in (0, -14.9, 15, -44, 45, None)] == [
        "frontal", "frontal", "turned", "turned", "profile", None,
    ]  # fmt: skip


def test_rare_poses_are_drawn_as_often_as_their_weights_say() -> None:
    rows = [row(f"f{n}", f"f{n}", 0) for n in range(80)] + [row(f"p{n}", f"p{n}", 70) for n in range(20)]
    pairs = Pairs(rows_only(rows), Policy(balance=("pose",)))
    draws = [pairs.draw(number) for number in range(4000)]
    for side in ("identity", "attribute"):
        turned = np.mean([getattr(draw, side).pose_degrees[0] > 45 for draw in draws])
        assert turned == pytest.approx(20 * 3 / (80 + 20 * 3), abs=0.025)


def test_every_row_is_reached() -> None:
    dataset = crowd(people=8, photos=3)
    pairs = Pairs(dataset, OURS)
    draws = [pairs.draw(number) for number in range(1000)]
    everything = {found.key for found in dataset.rows}
    assert {draw.identity.key for draw in draws} == {draw.attribute.key for draw in draws} == everything
    assert {found.key for found in pairs.rows()} == everything


def test_one_person_with_almost_all_pictures_still_meets_strangers() -> None:
    rows = [row(f"a{n}", "a") for n in range(3000)] + [row("b", "b", None)]
    pairs = Pairs(rows_only(rows), Policy(similar_pose=1.0))
    for number in range(20):
        draw = pairs.draw(number)
        assert {draw.identity.person, draw.attribute.person} == {"a", "b"}
    only_a = Pairs(rows_only(rows), Policy(), identities={"a"})
    assert {only_a.draw(number).attribute.key for number in range(20)} == {"b"}


def test_a_model_of_two_people_gets_their_pictures_only() -> None:
    pairs = Pairs(crowd(), POLICIES["df"], identities={"p3"}, attributes={"p9"})
    draws = [pairs.draw(number) for number in range(100)]
    assert {(draw.identity.person, draw.attribute.person) for draw in draws} == {("p3", "p9")}


def test_unknown_people_are_strangers_and_never_the_same_person() -> None:
    pairs = Pairs(rows_only([row("a", ""), row("b", ""), row("c", "x")]), Policy(same_image=0.5))
    draws = [pairs.draw(number) for number in range(100)]
    assert all(draw.identity.key != draw.attribute.key for draw in draws if draw.kind == STRANGERS)
    with pytest.raises(BadInputError, match="people with two photos"):
        Pairs(rows_only([row("a", ""), row("b", "")]), Policy(same_person=1.0))


@pytest.mark.parametrize(
    ("rows", "policy", "message"),
    [
        ([row("a", "x"), row("b", "x")], Policy(), "needs two people, found none"),
        ([row("a", "x"), row("b", "y")], Policy(same_person=0.1), "needs people with two photos"),
        ([row("a", "x"), row("b", "y")], Policy(triplets=0.1), "needs exact pairs with the truth 'inner'"),
        ([row("a", "x", role="truth")], Policy(same_image=1.0), "needs pictures"),
        ([row("a", "x"), row("b", "y")], Policy(second_photo=True), "with another photo of the identity"),
    ],
)
def test_a_dataset_that_cannot_serve_the_policy_is_refused(rows: list[Row], policy: Policy, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        Pairs(rows_only(rows), policy)


def test_truth_share_is_a_dial() -> None:
    half = with_truth_share(POLICIES["mobilefsgan"], 0.9)
    assert half.truth_share == pytest.approx(0.9)
    assert half.triplets / half.same_image == pytest.approx(0.288 / 0.112)
    assert with_truth_share(Policy(), 0.4) == Policy(same_person=0.4)
    for bad in (-0.1, 1.1):
        with pytest.raises(BadInputError, match="expected 0 to 1"):
            with_truth_share(OURS, bad)
    for wrong in (
        {"same_image": -0.1},
        {"same_image": 0.6, "triplets": 0.6},
        {"similar_pose": 2.0},
        {"balance_cap": 0.5},
    ):
        with pytest.raises(BadInputError, match="pair policy"):
            dataclasses.replace(Policy(), **wrong)
