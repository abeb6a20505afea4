"""People are a pure function of seed and dial, survive JSON, name only morphs that exist, and look like a crowd."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegraft.core.errors import BadInputError
from facegraft.data.synth.people import Person, from_json, macro_morphs, sample_person, to_json
from facegraft.data.synth.skin_tone import skin_tone

CROWD = 240


@pytest.fixture(scope="module")
def crowd() -> list[Person]:
    return [sample_person(seed) for seed in range(CROWD)]


@settings(max_examples=25)
@given(st.integers(0, 2**40), st.floats(0, 1))
def test_a_person_is_a_function_of_seed_and_dial_and_survives_json(seed: int, dial: float) -> None:
    person = sample_person(seed, dial)
    assert person == sample_person(seed, dial)
    assert from_json(to_json(person)) == person
    assert all(0 < weight <= 1 for weight in person.morphs.values())
    assert abs(sum(share for _, share in person.skin.photos) - 1) < 1e-9
    assert 20 <= person.age <= 80


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_each_kind_of_macro_sums_to_one(seed: int, dial: float) -> None:
    weights = macro_morphs(sample_person(seed, dial))
    universal = sum(w for name, w in weights.items() if "universal" in name)
    race = sum(w for name, w in weights.items() if "universal" not in name)
    assert universal == pytest.approx(1)
    assert race == pytest.approx(1)
    assert min(weights.values()) > 0


def test_the_middle_build_needs_one_universal_morph_per_sex_and_age() -> None:
    middle = dataclasses.replace(sample_person(1), weight=0.5, muscle=0.5, female=0.25, age=57.5)
    universal = {name: w for name, w in macro_morphs(middle).items() if "universal" in name}
    assert len(universal) == 4
    assert universal["macrodetails/universal-female-old-averagemuscle-averageweight"] == pytest.approx(0.125)


def test_the_dial_moves_the_same_person_away_from_the_mean() -> None:
    for seed in range(20):
        mild, strong = sample_person(seed, 0), sample_person(seed, 1)
        assert (mild.race, mild.age) == (strong.race, strong.age)
        nose = [name for name in mild.morphs if name.startswith("nose/") and "point-down" not in name]
        assert sum(strong.morphs.get(name, 0) for name in nose) > 1.8 * sum(mild.morphs[name] for name in nose)


def test_every_morph_is_a_file(makehuman: Path, crowd: list[Person]) -> None:
    names = {name for person in crowd for name in person.morphs | macro_morphs(person)}
    assert len(names) > 250
    folder = makehuman / "data" / "targets"
    assert [name for name in sorted(names) if not (folder / f"{name}.target").exists()] == []


def test_every_texture_is_a_file(makehuman: Path, crowd: list[Person]) -> None:
    data = makehuman / "data"
    skins = {path.stem for path in (data / "skins").rglob("*_diffuse*.*")}
    assert {name for p in crowd for name, _ in (*p.skin.photos, p.skin.patch)} <= skins
    irises = {path.stem.removesuffix("_eye") for path in (data / "eyes" / "materials").glob("*.png")}
    assert {name for p in crowd for name in (p.eyes.left, p.eyes.right)} <= irises
    brows = {path.name.removeprefix("eyebrow") for path in (data / "eyebrows").iterdir()}
    assert {p.brow.style for p in crowd} <= brows
    assert {f"eyelashes{p.lashes.style}" for p in crowd} <= {path.name for path in (data / "eyelashes").iterdir()}


def test_traits_go_together(crowd: list[Person]) -> None:
    melanin = np.array([p.skin.melanin for p in crowd])
    age = np.array([p.age for p in crowd])
    assert np.corrcoef(melanin, [p.race[0] for p in crowd])[0, 1] > 0.5
    assert np.corrcoef(age, [p.skin.wrinkles for p in crowd])[0, 1] > 0.8
    young = [sum(p.hair_colour) / 3 for p in crowd if p.age < 40 and p.skin.melanin > 0.05]
    old = [sum(p.hair_colour) / 3 for p in crowd if p.age > 70]
    assert np.median(old) > 4 * np.median(young)
    assert all(p.beard.style == "none" for p in crowd if p.female > 0.5)
    assert 0.3 < np.mean([p.beard.style != "none" for p in crowd if p.female <= 0.5]) < 0.7
    made_up = [p.skin.make_up.lipstick + p.skin.make_up.eyeliner > 0 for p in crowd]
    female = np.array([p.female > 0.5 for p in crowd])
    assert np.mean(np.array(made_up)[female]) > 5 * np.mean(np.array(made_up)[~female])
    dark = [p.eyes.left.startswith("brown") for p in crowd if p.skin.melanin > 0.6]
    assert np.mean(dark) > 0.8


def test_tones_span_the_scale_and_darken_with_pigment(crowd: list[Person]) -> None:
    tones = np.array([skin_tone(p.skin) for p in crowd])
    assert tones.min() > 0.01
    assert tones.max() < 0.85
    assert np.percentile(tones[:, 1], 95) > 0.35
    assert np.percentile(tones[:, 1], 5) < 0.075
    ordered = tones[np.argsort([p.skin.melanin for p in crowd])]
    assert (np.diff(ordered[:, 2].reshape(8, -1).mean(1)) < 0).all()
    assert (tones[:, 0] > tones[:, 1]).all()
    assert (tones[:, 1] > tones[:, 2]).all()


def test_visible_differences_are_rare_but_there() -> None:
    people = [sample_person(seed) for seed in range(700)]
    for mark in ("vitiligo", "port_wine", "acne", "scars", "burn"):
        share = np.mean([getattr(p.skin.marks, mark) > 0 for p in people])
        assert 0.001 < share < 0.09, mark
    assert 0 < np.mean([p.eyes.left != p.eyes.right for p in people]) < 0.02
    assert 0 < np.mean([p.skin.melanin == 0 for p in people]) < 0.01


def test_bad_seeds_dials_and_texts_are_refused() -> None:
    with pytest.raises(BadInputError, match="seed -1"):
        sample_person(-1)
    with pytest.raises(BadInputError, match="dial"):
        sample_person(1, 1.5)
    for text in ("", "[]", "{}", to_json(sample_person(1)).replace('"weight"', '"mass"')):
        with pytest.raises(BadInputError, match="JSON of a person"):
            from_json(text)
