"""Learned complexions: mirrored, bounded, on the face alone; tied to sex and age, and otherwise everybody's own."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.data.synth.complexion import (  # noqa: E402
    BEARD_LIMIT,
    CENTRE,
    GRID_HW,
    TIED,
    Complexions,
    count,
    facts,
    muzzle,
    read_learned,
    tied,
)
from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.skin import SkinBaker  # noqa: E402
from facegraft.data.synth.skin_space import SkinSpace, read_space  # noqa: E402


@pytest.fixture(scope="module")
def space(makehuman: Path) -> SkinSpace:
    return read_space(makehuman, 0.25)


def test_the_file_says_what_it_was_learned_from() -> None:
    learned = read_learned()
    assert len(learned.parts) == count() == facts()["parts"]
    assert int(facts()["portraits"]) > 1500
    assert facts()["tied"] == TIED
    for name in ("figshare 5047666", "SFHQ-T2I", "PD-USGov"):
        assert name in str(facts()["sets"])
    assert learned.texels.max() < GRID_HW[0] * GRID_HW[1]
    assert len(np.unique(learned.texels)) == len(learned.texels)


def test_every_person_has_their_own_and_the_dial_widens_it() -> None:
    first, second = sample_person(1).skin.complexion, sample_person(2).skin.complexion
    assert len(first) == count()
    assert np.std(np.array(first) - np.array(second)) > 0.5
    wild, mild = (np.array([sample_person(s, d).skin.complexion for s in range(30)])[:, TIED:] for d in (1.0, 0.0))
    assert 2.3 < wild.std() / mild.std() < 2.8


def test_own_coefficients_have_mean_zero_and_the_stated_spread_and_go_with_nothing() -> None:
    people = [sample_person(seed) for seed in range(300)]
    own = np.array([person.skin.complexion[TIED:] for person in people])
    assert np.abs(own.mean(0)).max() < 0.22
    assert np.abs(own).max() <= 2.0 + 1e-9
    assert own.std() == pytest.approx(0.96, abs=0.03)  # a normal variable, cut at two
    by_sex = np.array([np.corrcoef(own[:, k], [p.female for p in people])[0, 1] for k in range(own.shape[1])])
    assert np.abs(by_sex).max() < 0.25


def test_sex_and_age_set_the_first_coefficients_whatever_the_dial() -> None:
    for seed in range(20):
        person = sample_person(seed)
        assert person.skin.complexion[:TIED] == tied(person.female, person.age)
        again = sample_person(seed, 1.0)
        assert again.skin.complexion[:TIED] == tied(again.female, again.age)
    middle = 45 + 20 * CENTRE[1]
    assert tied(CENTRE[0], middle) == pytest.approx((0, 0, 0))
    assert tied(1.0, middle)[0] > 0 > tied(0.0, middle)[0]
    assert tied(0.5, 70)[1] - tied(0.5, 50)[1] == pytest.approx(1)
    assert tied(0.3, 90) == tied(0.3, 79)
    first, second = tied(1.0, 65), tied(0.0, 65)
    assert first[2] - second[2] == pytest.approx(1.0)


def test_a_face_is_coloured_alike_on_both_halves_and_nowhere_else(space: SkinSpace) -> None:
    complexions = Complexions(space, np.zeros(GRID_HW, np.float32))
    field = complexions.paint(replace(sample_person(5).skin, stubble_shadow=0.3))
    assert field.shape == (3, *GRID_HW)
    x, y, z = space.places
    back = space.head & ((z < -1.0) | (y < -1.3) | (y > 0.6))
    assert np.abs(field[:, back]).max() < 1e-6
    nose = space.head & (np.abs(x) < 0.5) & (np.abs(y) < 0.9) & (z > -0.3)
    assert field[:, nose].std() > 0.03
    for centre in ((0.3, -0.35), (0.25, 0.15), (0.12, -0.45)):
        sides = [
            field[:, space.head & (z > -0.4) & (np.hypot(x - sign * centre[0], y - centre[1]) < 0.05)].mean(1)
            for sign in (1, -1)
        ]
        assert np.abs(sides[0] - sides[1]).max() < 0.06


def test_coefficients_of_zero_leave_the_mean_and_none_leave_nothing(space: SkinSpace) -> None:
    complexions, skin = Complexions(space, np.zeros(GRID_HW, np.float32)), sample_person(5).skin
    assert not complexions.paint(dataclasses.replace(skin, complexion=())).any()
    mean = complexions.paint(dataclasses.replace(skin, complexion=(0.0,) * count()))
    learned = read_learned()
    x, y, z = space.places
    folds = (np.abs(np.abs(x) - 0.27) < 0.03) & (np.abs(y + 0.5) < 0.05)
    assert mean[:, folds & space.head & (z > -0.5)].mean() < -0.1  # portraits smile more than our scenes
    assert np.abs(mean).max() <= np.abs(learned.mean).max() + 1e-6


def test_no_shadow_of_a_beard_where_none_grows(space: SkinSpace) -> None:
    beard = np.ones(GRID_HW, np.float32)
    skin = replace(sample_person(5).skin, complexion=(2.0, -2.0) * (count() // 2))
    bare = Complexions(space, beard).paint(replace(skin, stubble_shadow=0.0))
    shaved = Complexions(space, beard).paint(replace(skin, stubble_shadow=0.4))
    beside = muzzle(space, beard) == 0  # around the mouth, all of it may be darkened to match the cheeks
    assert bare[:, beside].min() >= BEARD_LIMIT - 1e-6
    assert shaved[:, beside].min() < 2 * BEARD_LIMIT
    assert bare.min() > shaved.min() + 0.1


def test_beardless_men_have_no_pale_muzzle(makehuman: Path) -> None:
    """What a complexion adds around the mouth, in the mean of some men, stays close to what it adds to cheeks."""
    baker = SkinBaker(makehuman, 0.25)
    x, y, z = baker.space.places
    front = baker.space.head & (z > -0.4)
    mouth = front & (np.abs(x) < 0.35) & (y < -0.45) & (y > -0.9)
    cheek = front & (np.abs(np.abs(x) - 0.45) < 0.12) & (np.abs(y + 0.3) < 0.1)
    men = [person for person in map(sample_person, range(300, 400)) if person.female < 0.5]
    bare = [person.skin for person in men if person.skin.stubble_shadow == 0][:12]
    fields = np.stack([baker._complexions.paint(skin) for skin in bare])
    paler = (fields[:, :, mouth].mean(2) - fields[:, :, cheek].mean(2)).mean(0)
    assert paler.max() < 0.09
    raw = np.stack([baker._complexions.paint(replace(skin, stubble_shadow=0.3)) for skin in bare])
    assert (raw[:, :, mouth].mean(2) - raw[:, :, cheek].mean(2)).mean(0).max() > paler.max() + 0.03  # as learned


def test_men_are_darker_where_beards_grow_and_old_faces_have_folds(space: SkinSpace) -> None:
    complexions, skin = Complexions(space, np.zeros(GRID_HW, np.float32)), sample_person(5).skin
    x, y, z = space.places
    front = space.head & (z > -0.5)

    def seen(female: float, age: float, where: np.ndarray) -> float:
        own = (0.0,) * (count() - TIED)
        field = complexions.paint(replace(skin, complexion=(*tied(female, age), *own)))
        return float(field[:, front & where].mean())

    moustache = (np.abs(x) < 0.2) & (y < -0.47) & (y > -0.56)
    fold = (np.abs(np.abs(x) - 0.27) < 0.03) & (np.abs(y + 0.5) < 0.05)
    cheek = (np.abs(np.abs(x) - 0.36) < 0.05) & (np.abs(y + 0.3) < 0.05)
    assert seen(1.0, 30, moustache) - seen(0.0, 30, moustache) > 0.1
    assert seen(0.5, 72, fold) - seen(0.5, 25, fold) < -0.5
    assert abs(seen(0.5, 72, cheek) - seen(0.5, 25, cheek)) < 0.1
