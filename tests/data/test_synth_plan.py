"""Plans of rendered sets: everybody gets a turn, nobody meets themselves, nobody trains on the benchmark's people."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegraft.core.errors import BadInputError
from facegraft.data import benchmark_sets as sets
from facegraft.data.reverse import ReverseOptions
from facegraft.data.synth import scene
from facegraft.data.synth.people import sample_person
from facegraft.data.synth_plan import (
    MOST,
    PEOPLE_PER_SEED,
    PHOTOGRAPHS,
    RESERVED,
    STRATA,
    TRUTHS,
    SynthOptions,
    check_options,
    differing,
    joined,
    person_seed,
    shard_length,
    shots_of,
    swaps_of,
    unit_count,
)
from facegraft.data.synthesise import command_of, make_plan, sampled_options

PICTURES = SynthOptions("pictures", people=7, images=100)
SWAPS = SynthOptions("swaps", people=7, images=500)


@given(people=st.integers(1, 40), images=st.integers(1, 300), cut=st.integers(0, 300))
def test_pictures_are_dealt_evenly_and_do_not_depend_on_where_shards_are_cut(
    people: int, images: int, cut: int
) -> None:
    options = SynthOptions("pictures", people, images)
    shots = shots_of(options, 0, images)
    turns = Counter(shot.person for shot in shots)
    assert len(turns) == min(people, images)
    assert max(turns.values()) - min(turns.values()) <= 1
    assert len({shot.key for shot in shots}) == len({shot.scene for shot in shots}) == images
    assert [shot.person for shot in shots] == sorted(shot.person for shot in shots)  # baked once, then used up
    cut = min(cut, images)
    assert shots_of(options, 0, cut) + shots_of(options, cut, images) == shots


@given(people=st.integers(2, 12), count=st.integers(1, 150))
def test_swaps_are_between_two_people_and_every_pair_of_people_comes_before_one_comes_twice(
    people: int, count: int
) -> None:
    swaps = swaps_of(SynthOptions("swaps", people, 5 * count), 0, count)
    met = Counter((swap.identity.person, swap.attributes[0].person) for swap in swaps)
    assert all(who != other for who, other in met)
    assert max(met.values()) <= -(-count // (people * (people - 1)))
    scenes = [shot.scene for swap in swaps for shot in (swap.identity, *swap.attributes)]
    assert len(set(scenes)) == 2 * count
    assert {swap.truths for swap in swaps} == {TRUTHS}


def test_truths_and_strata_are_those_of_the_renderer() -> None:
    assert STRATA == scene.STRATA
    pytest.importorskip("torch")
    from facegraft.data.synth import background, render

    assert TRUTHS == render.TRUTHS
    assert PHOTOGRAPHS == background.PHOTOGRAPHS


@pytest.mark.parametrize(
    "options", [PICTURES, SWAPS, SynthOptions("pictures", 3, 100_000), SynthOptions("swaps", 2, 5)]
)
def test_shards_hold_all_pictures(options: SynthOptions) -> None:
    plan, each = make_plan(options), 1 if options.plan == "pictures" else 5
    assert plan.pictures == unit_count(options) * each
    assert (plan.shards - 1) * shard_length(options) < unit_count(options) <= plan.shards * shard_length(options)
    assert shard_length(options) * each <= MOST


def test_other_seeds_are_other_people_and_scenes() -> None:
    zero, one = (shots_of(dataclasses.replace(PICTURES, seed=seed), 0, 100) for seed in (0, 1))
    assert not {shot.person for shot in zero} & {shot.person for shot in one}
    assert not {shot.scene for shot in zero} & {shot.scene for shot in one}


def test_the_people_of_the_benchmarks_cannot_be_trained_on() -> None:
    largest = RESERVED.start // PEOPLE_PER_SEED - 1
    check_options(dataclasses.replace(PICTURES, seed=largest))
    assert person_seed(largest, PEOPLE_PER_SEED - 1) < RESERVED.start
    with pytest.raises(BadInputError, match="the people of the benchmark sets"):
        check_options(dataclasses.replace(PICTURES, seed=largest + 1))
    for seed, number in ((largest + 1, PEOPLE_PER_SEED - 1), (0, PEOPLE_PER_SEED)):
        with pytest.raises(BadInputError, match="kept for the benchmark sets"):
            person_seed(seed, number)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"people": 0}, "--people"),
        ({"images": 0}, "--images"),
        ({"size_px": 16}, "--size"),
        ({"seed": -1}, "--seed"),
        ({"dial": 1.5}, "--dial"),
        ({"stratum": "large"}, "--stratum: expected one of mixed, ordinary"),
        ({"picture": "webp"}, "--format"),
        ({"planes": ""}, "--planes: expected names of regions, occluder"),
        ({"planes": "regions,edges"}, "--planes"),
        ({"planes": "own,own"}, "--planes"),
        ({"plan": "swaps", "people": 1}, "--pairs exact: expected 2 people"),
        ({"plan": "swaps", "images": 4}, "--pairs exact"),
        ({"plan": "swaps", "planes": "regions,even"}, "--planes even: expected pictures without --pairs exact"),
        ({"backgrounds": "no/such"}, "--backgrounds: no/such is no folder"),
        ({"environments": "no/such"}, "--environments"),
    ],
)
def test_options_that_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        make_plan(dataclasses.replace(PICTURES, **change))


def test_folders_without_pictures_are_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for option, suffix in (("backgrounds", r"\.jpg or \.jpeg or \.png"), ("environments", r"\.hdr")):
        with pytest.raises(BadInputError, match=f"--{option}: .* holds no {suffix} file"):
            make_plan(dataclasses.replace(PICTURES, **{option: str(tmp_path)}))
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "wall.png").touch()
    with pytest.raises(BadInputError, match=f"--backgrounds: {tmp_path} holds no"):
        make_plan(dataclasses.replace(PICTURES, backgrounds=joined([tmp_path / "rooms", tmp_path])))


def test_options_that_changed_are_named() -> None:
    assert differing(PICTURES, dataclasses.asdict(PICTURES)) == []
    changed = differing(dataclasses.replace(PICTURES, seed=1), dataclasses.asdict(PICTURES))
    assert changed == ["seed 0 is now 1"]
    before_planes = {name: value for name, value in dataclasses.asdict(PICTURES).items() if name != "planes"}
    assert differing(PICTURES, before_planes) == []
    assert differing(dataclasses.replace(PICTURES, planes="own"), before_planes) == [
        "planes 'regions,occluder,visible,own' is now 'own'"
    ]
    reversed_once = dataclasses.asdict(ReverseOptions("warp", 4))
    del reversed_once["both_ways"]
    assert differing(ReverseOptions("warp", 4), reversed_once) == []
    assert differing(ReverseOptions("warp", 4, both_ways=True), reversed_once) == ["both_ways False is now True"]


def test_defaults_depend_on_pairs() -> None:
    assert sampled_options(10, images=None, pairs="none") == SynthOptions("pictures", 10, 80, picture="jpg")
    assert sampled_options(10, images=None, pairs="exact") == SynthOptions("swaps", 10, 50, picture="png")


def test_the_order_of_planes_does_not_count() -> None:
    one, two = (sampled_options(2, images=None, pairs="none", planes=p) for p in (" depth, regions", "regions,depth"))
    assert one == two
    assert one.planes == "regions,depth"


def test_the_command_on_the_card_makes_the_same_options() -> None:
    import argparse
    import shlex

    from facegraft.cli import synth

    parser = argparse.ArgumentParser()
    synth.add_arguments(parser)
    for options in (PICTURES, SWAPS, dataclasses.replace(SWAPS, picture="png", dial=0.5, planes="own,depth", seed=4)):
        words = shlex.split(command_of(options, "my set"))
        assert synth._options(parser.parse_args(words[2:])) == options


def test_the_card_names_the_device_and_no_place(tmp_path: Path) -> None:
    lit = dataclasses.replace(
        PICTURES, device="cuda", backgrounds=str(tmp_path / "my rooms"), environments=str(tmp_path / "skies")
    )
    command = command_of(lit, "set")
    assert command.endswith("--backgrounds 'my rooms' --environments skies --device cuda")
    exact = command_of(sets.benchmark_options("exact-1k", device="cuda"), "my set")
    assert exact == "facegraft data benchmark exact-1k -o 'my set' --size 256 --device cuda"
    assert "--device" not in command_of(PICTURES, "set")


def test_exact_1k_is_what_it_says() -> None:
    options = sets.benchmark_options("exact-1k")
    swaps = [swap for shard in (0, 49) for swap in sets.swaps_of_shard(options, shard)]
    assert [swap.identity.key for swap in swaps] == [f"x{n:04d}-identity" for n in (*range(20), *range(980, 1000))]
    assert [swap.stratum for swap in swaps[:6]] == list(sets.EXACT_STRATA)
    shots = [shot for swap in swaps for shot in (swap.identity, *swap.attributes)]
    assert len({shot.person for shot in shots}) == len({shot.scene for shot in shots}) == 80
    assert all(shot.person in RESERVED for shot in shots)
    assert make_plan(options).pictures == 5000
    assert make_plan(options).shards * sets.SWAPS_IN_A_SHARD == sets.SWAPS


def test_people_of_different_swaps_never_meet() -> None:
    """By their places: the candidates of a swap end before those of the next, the clips' people come after all."""
    ends = [sets.RESERVED.start + n * sets.PEOPLE_OF_A_SWAP + sets.CANDIDATES for n in (0, 1, sets.SWAPS - 1)]
    assert ends[0] < sets.exact_swap(1, 0.35).identity.person
    assert ends[-1] < sets.clip_swap(0).identity.person


def test_people_of_the_cross_stratum_are_the_most_unlike_of_their_candidates() -> None:
    def apart(who: int, other: int) -> float:
        a, b = sample_person(who), sample_person(other)
        return abs(a.female - b.female) + abs(a.age - b.age) / 60 + abs(a.skin.melanin - b.skin.melanin)

    for number in (5, 11, 995):
        swap = sets.exact_swap(number, 0.35)
        assert (swap.stratum, swap.attributes[0].stratum) == (sets.CROSS, "ordinary")
        who = swap.identity.person
        candidates = [apart(who, other) for other in range(who + 1, who + 1 + sets.CANDIDATES)]
        assert apart(who, swap.attributes[0].person) == max(candidates) > 1.5 * np.mean(candidates)


def test_clips_50_is_what_it_says() -> None:
    clips = [sets.clip_swap(number) for number in range(sets.CLIPS)]
    people = [person for clip in clips for person in (clip.identity.person, clip.attributes[0].person)]
    assert len(set(people)) == 100
    assert all(person in RESERVED for person in people)
    for clip in clips:
        assert [shot.frame for shot in clip.attributes] == list(range(48))
        assert len({(shot.person, shot.scene, shot.clip) for shot in clip.attributes}) == 1
    assert make_plan(sets.benchmark_options("clips-50")).pictures == 50 * (1 + 2 * 48)


def test_a_set_may_be_as_large_as_its_seed_allows(tmp_path: Path) -> None:
    (tmp_path / "wall.JPG").touch()
    plan = make_plan(SynthOptions("pictures", PEOPLE_PER_SEED, 20_000_000, backgrounds=str(tmp_path)))
    assert plan.shards == -(-20_000_000 // MOST)
