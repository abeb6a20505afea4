"""Bradley-Terry and JOD: planted strengths come back, one JOD is 75 %, intervals cover."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import optimize, stats

from facegraft.evaluate.study.scale import (
    Link,
    bootstrap_tail,
    covariance,
    fit_scale,
    preference,
    scale_raters,
    strongly_connected,
)

PLANTED = np.array([-1.25, -0.75, -0.25, 0.25, 0.75, 1.25])


def simulated(place: np.ndarray, raters: int, rounds: int, rng: np.random.Generator, link: Link = "bt") -> np.ndarray:
    """[rater, i, j] wins of raters who see every pair so many times."""
    wins = np.zeros((raters, len(place), len(place)))
    for i, j in itertools.combinations(range(len(place)), 2):
        won = rng.binomial(rounds, preference(link, place[i] - place[j]), raters)
        wins[:, i, j], wins[:, j, i] = won, rounds - won
    return wins


def test_one_jod_is_three_in_four() -> None:
    assert preference("jod", 1) == pytest.approx(0.75)
    assert preference("jod", -1) == pytest.approx(0.25)
    found = fit_scale(np.array([[0, 75.0], [25.0, 0]]), "jod")
    assert found[0] - found[1] == pytest.approx(1)
    assert found.sum() == pytest.approx(0)


def test_two_conditions_have_a_closed_form() -> None:
    found = fit_scale(np.array([[0, 30.0], [10.0, 0]]), "bt")
    assert found[0] - found[1] == pytest.approx(np.log(3))


@pytest.mark.parametrize("link", ["bt", "jod"])
def test_planted_strengths_come_back(link: Link) -> None:
    rng = np.random.default_rng(0)
    errors = [fit_scale(simulated(PLANTED, 1, 67, rng, link)[0], link) - PLANTED for _ in range(20)]  # 1005 votes
    assert np.sqrt(np.mean(np.square(errors))) < 0.15
    assert np.abs(np.mean(errors, 0)).max() < 0.08


@pytest.mark.parametrize("link", ["bt", "jod"])
def test_it_is_the_maximum_of_the_likelihood(link: Link) -> None:
    wins = simulated(PLANTED[:4], 1, 12, np.random.default_rng(3), link)[0]

    def loss(place: np.ndarray) -> float:
        distance = place[:, None] - place[None, :]
        share = stats.norm.cdf(distance / 1.4826022) if link == "jod" else 1 / (1 + np.exp(-distance))
        return float(-(wins * np.log(share)).sum())

    known = optimize.minimize(loss, np.zeros(4), tol=1e-10).x
    assert fit_scale(wins, link) == pytest.approx(known - known.mean(), abs=2e-3)


def test_bradley_terry_is_what_the_minorising_update_finds() -> None:
    wins = simulated(PLANTED[:4], 1, 12, np.random.default_rng(4))[0]
    strength = np.ones(4)
    for _ in range(3000):
        together = (wins + wins.T) / (strength[:, None] + strength[None, :])
        strength = wins.sum(1) / together.sum(1)
        strength /= strength.sum()
    logs = np.log(strength)
    assert fit_scale(wins, "bt") == pytest.approx(logs - logs.mean(), abs=1e-5)


def test_ties_pull_together() -> None:
    sure, tied = np.array([[0, 30.0], [10.0, 0]]), np.array([[0, 35.0], [15.0, 0]])
    assert fit_scale(tied, "bt")[0] < fit_scale(sure, "bt")[0]


@pytest.mark.parametrize("link", ["bt", "jod"])
def test_who_always_wins_gets_a_finite_place(link: Link) -> None:
    wins = np.array([[0, 10.0, 10.0], [0, 0, 6.0], [0, 4.0, 0]])
    assert not strongly_connected(wins[None])[0]
    found = fit_scale(wins, link)
    assert np.isfinite(found).all()
    assert found[0] > found[1] > found[2]
    assert scale_raters(wins[None], link, np.random.default_rng(0), 10).regularised


def test_a_chain_of_wins_connects() -> None:
    ring = np.zeros((1, 5, 5))
    ring[0, np.arange(5), (np.arange(5) + 1) % 5] = 1
    assert strongly_connected(ring)[0]
    ring[0, 4, 0] = 0
    assert not strongly_connected(ring)[0]


def test_a_stack_is_treated_as_its_parts() -> None:
    stack = simulated(PLANTED, 3, 9, np.random.default_rng(1))
    assert fit_scale(stack, "jod") == pytest.approx(np.stack([fit_scale(one, "jod") for one in stack]), abs=1e-5)


def test_raters_of_one_mind_are_fewer_opinions() -> None:
    """The same votes: in the one case ten raters each say both, in the other each says the same thing twice."""
    mixed = np.tile(np.array([[0, 1.0], [1.0, 0]]), (10, 1, 1))
    stubborn = np.stack([np.array([[0, 2.0], [0, 0]])] * 5 + [np.array([[0, 0], [2.0, 0]])] * 5)
    rng = np.random.default_rng(0)
    narrow, wide = (scale_raters(wins, "bt", rng, 300) for wins in (mixed, stubborn))
    assert narrow.high[0] - narrow.low[0] < 1e-6
    assert wide.high[0] - wide.low[0] > 0.8


def test_tails_are_those_of_students_t() -> None:
    for raters in (12, 25, 100):
        student = stats.t.ppf(0.975, raters - 1) * np.sqrt(raters / (raters - 1))
        assert bootstrap_tail(raters) == pytest.approx(stats.norm.cdf(-student), rel=0.03)


def test_covariance_shrinks_with_votes() -> None:
    few = np.array([[0, 5.0, 5], [5, 0, 5], [5, 5, 0]])
    zero = np.zeros(3)
    assert covariance(np.zeros((3, 3)), zero, "bt") == pytest.approx(4 * np.eye(3), abs=1e-9)
    assert np.trace(covariance(few * 10, zero, "bt")) < np.trace(covariance(few, zero, "bt"))
    two = covariance(np.array([[0, 50.0], [50, 0]]), np.zeros(2), "bt")
    assert two[0, 0] + two[1, 1] - 2 * two[0, 1] == pytest.approx(1 / 25, rel=0.01)  # 1 / (n p (1 - p)), prior is weak


@pytest.mark.parametrize("link", ["bt", pytest.param("jod", marks=pytest.mark.slow)])
def test_intervals_cover(link: Link) -> None:
    rng = np.random.default_rng(7)
    inside = []
    for _ in range(120):
        found = scale_raters(simulated(PLANTED, 40, 2, rng, link), link, rng, 250)
        inside.append((found.low <= PLANTED) & (found.high >= PLANTED))
    assert 0.92 <= np.mean(inside) <= 0.98
