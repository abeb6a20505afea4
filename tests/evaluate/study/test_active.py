"""The pair that tells most: among equals any, never one that is known already; fewer votes for the same certainty."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from facegraft.evaluate.study.active import choose_pair, expected_gain
from facegraft.evaluate.study.scale import fit_scale, preference


def test_gain_of_one_vote_by_sampling() -> None:
    """Mutual information of a vote and a difference of variance 8, by Monte Carlo."""
    share = 1 / (1 + np.exp(-np.random.default_rng(0).normal(0, np.sqrt(8), 400_000)))
    entropy = -share * np.log(share) - (1 - share) * np.log1p(-share)
    assert expected_gain(np.zeros((2, 2)))[0, 1] == pytest.approx(np.log(2) - np.nanmean(entropy), abs=2e-3)


def test_gain_is_symmetric_and_falls_with_votes() -> None:
    wins = np.array([[0, 9.0, 1], [7, 0, 0], [1, 0, 0]])
    gain = expected_gain(wins)
    assert gain == pytest.approx(gain.T)
    assert gain[0, 1] < gain[0, 2] < gain[1, 2]
    assert (np.diag(gain) == 0).all()


def test_clear_pairs_are_not_asked_again() -> None:
    wins = np.full((4, 4), 6.0)
    wins[3, :], wins[:, 3] = 40, 0.5  # the last one wins always
    wins[0, 1] = wins[1, 0] = 0  # these two never met
    gain = expected_gain(wins)
    assert gain[0, 1] == gain.max()
    assert gain[:3, 3].max() < gain[0, 2]


def test_first_choices_reach_every_condition() -> None:
    rng = np.random.default_rng(0)
    seen = {choose_pair(np.zeros((5, 5)), rng) for _ in range(200)}
    assert {at for pair in seen for at in pair} == set(range(5))
    assert all(first < second for first, second in seen)


@pytest.mark.slow
def test_active_choice_beats_all_pairs_in_turn() -> None:
    """Ten conditions far apart: after 300 votes the error of neighbours' distances is smaller."""
    place = np.linspace(-4.5, 4.5, 10)
    pairs = list(itertools.combinations(range(10), 2))
    errors: dict[bool, list[float]] = {True: [], False: []}
    for active, seed in itertools.product(errors, range(6)):
        rng = np.random.default_rng(seed)
        wins = np.zeros((10, 10))
        for number in range(300):
            i, j = choose_pair(wins, rng) if active else pairs[number % len(pairs)]
            first = rng.random() < preference("bt", float(place[i] - place[j]))
            wins[(i, j) if first else (j, i)] += 1
        errors[active].append(float(np.square(np.diff(fit_scale(wins, "bt")) - 1).mean()))
    assert np.mean(errors[True]) < 0.75 * np.mean(errors[False])
