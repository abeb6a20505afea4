"""Mixed scenes are sorted by what they show, and by the same marks that the named strata are sampled with."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from facegraft.data.synth.scene import STRATA, Scene, sample_scene
from facegraft.data.synth.strata import stratum_of

NAMED = STRATA[1:]


def unlabelled(seed: int, stratum: str) -> Scene:
    return dataclasses.replace(sample_scene(seed, stratum), stratum="mixed")


@pytest.mark.parametrize("stratum", NAMED)
def test_a_named_stratum_is_kept(stratum: str) -> None:
    assert {stratum_of(sample_scene(seed, stratum)) for seed in range(30)} == {stratum}


@pytest.mark.parametrize(
    ("stratum", "least"),
    [("occluded", 1.0), ("large pose", 0.9), ("extreme expression", 0.5), ("hard light", 0.85), ("ordinary", 0.95)],
)
def test_scenes_are_told_by_what_they_show(stratum: str, least: float) -> None:
    """Not all: a strong expression may be sampled weak, a turned face may wear a mask, which counts first."""
    found = Counter(stratum_of(unlabelled(seed, stratum)) for seed in range(200))
    assert found[stratum] / 200 >= least, found


def test_every_stratum_is_found_in_mixed_scenes() -> None:
    found = Counter(stratum_of(sample_scene(seed)) for seed in range(400))
    assert set(found) == set(NAMED)
    assert min(found.values()) > 20, found


def test_photographed_light_counts_as_soft() -> None:
    scenes = [unlabelled(seed, "hard light") for seed in range(300)]
    hard = [scene for scene in scenes if stratum_of(scene) == "hard light"]
    photographed = [scene for scene in hard if scene.light.measured >= 0]
    assert photographed
    assert {stratum_of(scene, photographed_light=True) for scene in photographed} == {"ordinary"}
    others = [scene for scene in hard if scene.light.measured < 0]
    assert {stratum_of(scene, photographed_light=True) for scene in others} == {"hard light"}
