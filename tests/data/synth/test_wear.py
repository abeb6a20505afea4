"""What a scene puts on: ranges, shares and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from facegraft.data.synth import wear


@pytest.mark.parametrize("stratum", wear.STRATA)
def test_samples_survive_json_and_depend_on_the_seed_only(stratum: str) -> None:
    for seed in range(40):
        first, second = (_all(np.random.default_rng(seed), stratum) for _ in range(2))
        assert first == second
        for thing in first:
            assert wear.restore(type(thing), json.loads(json.dumps(asdict(thing)))) == thing
    assert _all(np.random.default_rng(0), stratum) != _all(np.random.default_rng(1), stratum)


def _all(rng: np.random.Generator, stratum: str) -> list:
    worn = wear.sample_worn(rng, stratum)
    return [wear.sample_hair(rng), wear.sample_cloth(rng), *worn, *wear.sample_props(rng, stratum, worn)]


def test_ordinary_scenes_hide_nothing() -> None:
    glasses = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        worn = wear.sample_worn(rng, "ordinary")
        assert wear.sample_props(rng, "ordinary", worn) == ()
        assert all(thing.kind == "glasses" and thing.tint == 0 for thing in worn)
        glasses += len(worn)
    assert 0.02 < glasses / 400 < 0.12


def test_occluded_scenes_always_hide_something_once() -> None:
    for seed in range(300):
        rng = np.random.default_rng(seed)
        worn = wear.sample_worn(rng, "occluded")
        covers = [thing for thing in worn if thing.kind in ("face_mask", "scarf")]
        assert len(covers) + len(wear.sample_props(rng, "occluded", worn)) == 1


def test_every_named_choice_is_drawn_sooner_or_later() -> None:
    seen: set[str] = set()
    for seed in range(1500):
        rng = np.random.default_rng(seed)
        worn = wear.sample_worn(rng, "occluded")
        seen |= {f"{w.kind}:{w.variant}" for w in worn}
        seen |= {f"{p.kind}:{p.variant}" for p in wear.sample_props(rng, "occluded", worn)}
        seen |= {wear.sample_hair(rng).style, wear.sample_cloth(rng).kind}
    expected = {*wear.HAIR_STYLES, *wear.CLOTHS, *(f"hand:{pose}" for pose in wear.HAND_POSES)}
    expected |= {f"glasses:{v}" for v in wear.GLASSES} | {f"hat:{v}" for v in wear.HATS}
    expected |= {f"face_mask:{v}" for v in wear.FACE_MASKS}
    expected |= {f"{kind}:{v}" for kind in ("phone", "microphone", "cup", "book") for v in ("plain", "other")}
    assert expected <= seen


def test_colours_are_colours() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        for colour in (wear.sample_hair_colour(rng), wear.sample_dye(rng)):
            assert all(0 < channel <= 0.85 for channel in colour)
