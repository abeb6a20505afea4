"""Learned complexions: mirrored, bounded, of the stated size, on the face alone, and different between people."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.data.synth.complexion import BEARD_LIMIT, GRID_HW, Complexions, count, facts, read_learned  # noqa: E402
from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.skin_space import SkinSpace, read_space  # noqa: E402


@pytest.fixture(scope="module")
def space(makehuman: Path) -> SkinSpace:
    return read_space(makehuman, 0.25)


def test_the_file_says_what_it_was_learned_from() -> None:
    learned = read_learned()
    assert len(learned.parts) == count() == facts()["parts"]
    assert int(facts()["portraits"]) > 1500
    for name in ("london", "sfhq", "hainish"):
        assert name in str(facts()["sets"])
    assert learned.texels.max() < GRID_HW[0] * GRID_HW[1]
    assert len(np.unique(learned.texels)) == len(learned.texels)


def test_every_person_has_their_own_and_the_dial_widens_it() -> None:
    first, second = sample_person(1).skin.complexion, sample_person(2).skin.complexion
    assert len(first) == count()
    assert np.std(np.array(first) - np.array(second)) > 0.5
    wild, mild = (np.array([sample_person(s, d).skin.complexion for s in range(30)]).std() for d in (1.0, 0.0))
    assert 2.3 < wild / mild < 2.8


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
    brows = (space.places[1] > 0.12) & (space.places[1] < 0.19) & (np.abs(np.abs(space.places[0]) - 0.3) < 0.1)
    assert mean[:, brows & space.head & (space.places[2] > 0)].mean() < -0.03  # portraits have darker brows
    assert np.abs(mean).max() <= np.abs(learned.mean).max() + 1e-6


def test_no_shadow_of_a_beard_where_none_grows(space: SkinSpace) -> None:
    beard = np.ones(GRID_HW, np.float32)
    skin = replace(sample_person(5).skin, complexion=(2.0, -2.0) * (count() // 2))
    bare = Complexions(space, beard).paint(replace(skin, stubble_shadow=0.0))
    shaved = Complexions(space, beard).paint(replace(skin, stubble_shadow=0.4))
    assert bare.min() >= BEARD_LIMIT - 1e-6
    assert shaved.min() < 2 * BEARD_LIMIT
